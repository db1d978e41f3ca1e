/// foretrain-gpu and the GPU library as others start them. Where there is a GPU, what needs none is still tested.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include <dlfcn.h>
#include <doctest/doctest.h>

#include "tests/validate/gpu_run/run_program.h"
#include "validate/gpu/run/foretrain_gpu_api.h"

namespace {

using foretrain::test::run_program;
using foretrain::test::RunResult;

const std::string kProgram = FORETRAIN_GPU_PROGRAM;

/// A graph of validate/gpu/graphs, unpacked into the temporary folder.
std::string unpacked(const std::string& name) {
  const std::string path = (std::filesystem::temp_directory_path() / (name + ".graph")).string();
  REQUIRE(run_program("gzip -dc validate/gpu/graphs/" + name + ".graph.gz > " + path).status == 0);
  return path;
}

struct Library {
  void* handle = dlopen(FORETRAIN_GPU_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ~Library() {
    if (handle != nullptr) dlclose(handle);
  }
  template <class Function>
  Function* find(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(handle, name));
  }
};
bool has_gpu() {
  const Library library;
  REQUIRE_MESSAGE(library.handle != nullptr, dlerror());
  ForetrainGpuProbe probe{};
  probe.api_version = FORETRAIN_GPU_API_VERSION;
  return library.find<decltype(foretrain_gpu_probe)>("foretrain_gpu_probe")(&probe) == 0;
}

}  // namespace

TEST_CASE("The committed graphs are whole, and a rank alone takes what its step was predicted to") {
  for (const char* name :
       {"llama-3.1-8b_tp1", "gpt-125m_tp1", "llama-3.1-70b_tp8_pp4", "llama-3.1-405b_tp8_pp16", "kernels"}) {
    const std::string path = unpacked(name);
    const RunResult dry = run_program(kProgram + " " + path + " --step --dry-run");
    CHECK(dry.status == 0);
    CHECK(dry.output.rfind(std::string(name) + ": stage ", 0) == 0);
    // Without pipeline, one rank is the whole step: its longest path is what the simulator said (key step_ps), up to
    // the links that messages share there.
    if (std::string(name).find("tp1") != std::string::npos) {
      const double step_ms = std::stod(run_program("grep step_ps " + path + " | cut -d' ' -f3").output) / 1e9;
      const std::size_t place = dry.output.find("  step ");
      REQUIRE(place != std::string::npos);
      CHECK(std::stod(dry.output.substr(place + 7)) == doctest::Approx(step_ms).epsilon(0.01));
    }
    std::filesystem::remove(path);
  }
}

TEST_CASE("Wrong input ends with status 2 and one line") {
  CHECK(run_program(kProgram).status == 2);
  CHECK(run_program(kProgram).output ==
        "foretrain-gpu: command line: expected a mode: --kernels, --collectives, --step, --correctness or --device\n");
  const RunResult none = run_program(kProgram + " no-such.graph --step");
  CHECK(none.status == 2);
  CHECK(none.output == "foretrain-gpu: no-such.graph: expected a graph file; it cannot be opened\n");
  const RunResult foreign = run_program(kProgram + " README.md --kernels");
  CHECK(foreign.status == 2);
  CHECK(foreign.output.rfind("foretrain-gpu: README.md:1: expected \"foretrain.graph/1\"", 0) == 0);
  CHECK(run_program(kProgram + " --help").output.rfind("usage: foretrain-gpu", 0) == 0);
}

TEST_CASE("Without a GPU every mode ends with status 3 and one line") {
  if (has_gpu()) return;
  const std::string path = unpacked("gpt-125m_tp1");
  for (const std::string& mode :
       {path + " --kernels", path + " --step", path + " --step --cuda-graphs", std::string("--collectives"),
        std::string("--correctness"), std::string("--device")}) {
    const RunResult ran = run_program(kProgram + " " + mode);
    CHECK(ran.status == 3);
    CHECK(ran.output.rfind("foretrain-gpu: no ", 0) == 0);
    CHECK(std::count(ran.output.begin(), ran.output.end(), '\n') == 1);
  }
  std::filesystem::remove(path);
}

TEST_CASE("The library answers without a GPU, and refuses another version of its interface") {
  const Library library;
  REQUIRE_MESSAGE(library.handle != nullptr, dlerror());
  auto* probe = library.find<decltype(foretrain_gpu_probe)>("foretrain_gpu_probe");
  auto* start = library.find<decltype(foretrain_gpu_run)>("foretrain_gpu_run");
  REQUIRE((probe != nullptr));
  REQUIRE((start != nullptr));
  ForetrainGpuProbe answer{};
  answer.api_version = 0;
  CHECK(probe(&answer) == 2);
  CHECK(answer.api_version == FORETRAIN_GPU_API_VERSION);
  answer.api_version = FORETRAIN_GPU_API_VERSION;
  const int status = probe(&answer);
  CHECK(answer.nccl_version > 20000);
  CHECK(answer.cublaslt_version >= 110000);
  if (status != 0) {
    CHECK(answer.state != FORETRAIN_GPU_READY);
    CHECK(std::string(answer.message).rfind("no ", 0) == 0);
  }
  char error[256];
  ForetrainGpuRequest request{};
  CHECK(start(&request, error, sizeof error) == 2);
  request.api_version = FORETRAIN_GPU_API_VERSION;
  request.mode = "dance";
  CHECK(start(&request, error, sizeof error) == 2);
  CHECK(std::strstr(error, "--dance") != nullptr);
  request.mode = "step";
  request.graph = "no-such.graph";
  CHECK(start(&request, error, sizeof error) == 2);
  CHECK(std::string(error) == "no-such.graph: expected a graph file; it cannot be opened");
}
