// The four things that may be missing, each said in one line; requests that end badly.
#include "validate/device/gpu_plugin.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_node.h"

using namespace foretrain;

namespace {

/// Sets environment variables for a while.
class Environment {
 public:
  Environment(const char* plugin, const char* behaviour) {
    ::setenv("FORETRAIN_GPU_PLUGIN", plugin, 1);
    ::setenv("FORETRAIN_STAND_IN", behaviour, 1);
  }
  ~Environment() {
    for (const char* name : {"FORETRAIN_GPU_PLUGIN", "FORETRAIN_STAND_IN", "FORETRAIN_STAND_IN_DEVICES"})
      ::unsetenv(name);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
};

GpuMachine probe(const char* plugin, const char* behaviour = "") {
  const Environment environment(plugin, behaviour);
  const GpuMachine machine = probe_gpus();
  CHECK(machine.why.find('\n') == std::string::npos);
  CHECK(machine.why.empty() == (machine.lack == GpuLack::nothing));
  return machine;
}
bool says(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

constexpr const char* kGraph =
    "foretrain.graph/1\nworld 1 1 1 1 1 1 8\nstage 0 1\nlane 0 0 compute compute\nwork 0 gemm 1 64 64 64 bf16 bf16 0 "
    "tn\n"
    "task 0 0 1000 compute -1 -1 0\nend 1\n";

/// Runs the stand-in on a small graph; `output` is what it wrote.
GpuOutcome run(const char* behaviour, std::string& output, Seconds limit = 60 * seconds) {
  const Environment environment(STAND_IN_GPU, behaviour);
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "foretrain_gpu_plugin_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string graph = (folder / "a.graph").string(), file = (folder / "out.json").string();
  std::ofstream(graph) << kGraph;
  const GpuOutcome outcome =
      run_on_gpus({.mode = GpuMode::kernels, .graph = graph, .output = file, .name = "test", .time_limit = limit});
  std::ifstream in(file);
  output.assign(std::istreambuf_iterator<char>(in), {});
  std::filesystem::remove_all(folder);
  return outcome;
}

}  // namespace

TEST_CASE("a machine with GPUs says how many, which, and with which libraries") {
  const GpuMachine machine = probe(STAND_IN_GPU);
  CHECK(machine.lack == GpuLack::nothing);
  CHECK(machine.devices == 1);
  CHECK(machine.device_name == "NVIDIA H200");
  CHECK(machine.versions == "NCCL 2.28.9, cuBLASLt 13.1, cuDNN 9.19");
}

TEST_CASE("what is missing is named: the library, its libraries, the driver, the device") {
  const GpuMachine no_plugin = probe("/nowhere/libforetrain_gpu.so");
  CHECK(no_plugin.lack == GpuLack::plugin);
  CHECK(says(no_plugin.why, "/nowhere/libforetrain_gpu.so"));

  const GpuMachine no_libraries = probe(STAND_IN_NEEDS_ABSENT);
  CHECK(no_libraries.lack == GpuLack::libraries);
  CHECK(says(no_libraries.why, "CUDA libraries are missing or too old"));
  CHECK(says(no_libraries.why, "libstand_in_absent.so"));

  const GpuMachine no_driver = probe(STAND_IN_GPU, "no driver");
  CHECK(no_driver.lack == GpuLack::driver);
  CHECK(no_driver.why == "no NVIDIA driver: cudaGetDeviceCount: error 35");

  const GpuMachine no_device = probe(STAND_IN_GPU, "no device");
  CHECK(no_device.lack == GpuLack::device);
  CHECK(no_device.why == "no GPU: cudaGetDeviceCount: error 100");
}

TEST_CASE("without the environment variable the library is sought beside the program, and its absence means no CUDA") {
  ::unsetenv("FORETRAIN_GPU_PLUGIN");
  const std::vector<std::string> places = gpu_plugin_places();
  REQUIRE(places.size() == 3);
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
  CHECK(places[0] == (program.parent_path().parent_path() / "lib/foretrain/libforetrain_gpu.so").string());
  for (const std::string& place : places) {
    if (std::filesystem::exists(place)) return;  // a folder layout of its own
  }
  const GpuMachine machine = probe_gpus();
  CHECK(machine.lack == GpuLack::plugin);
  CHECK(says(machine.why, "built without CUDA"));
}

TEST_CASE("a library that is not ours, of another version, or that crashes at once") {
  const GpuMachine other = probe(STAND_IN_OTHER);
  CHECK(other.lack == GpuLack::version);
  CHECK(says(other.why, "lacks foretrain_gpu_probe"));

  const GpuMachine version = probe(STAND_IN_GPU, "version");
  CHECK(version.lack == GpuLack::version);
  CHECK(says(version.why, "interface 2 where 1 is needed"));

  const GpuMachine text = probe("README.md");
  CHECK(text.lack == GpuLack::libraries);
  CHECK(says(text.why, "README.md"));

  const GpuMachine crashed = probe(STAND_IN_GPU, "probe crashes");
  CHECK(crashed.lack == GpuLack::answer);
}

TEST_CASE("a request runs, and its measurements are there") {
  std::string output;
  const GpuOutcome outcome = run("", output);
  CHECK(outcome.exit_code == 0);
  CHECK(outcome.message.empty());
  const SpecNode file = SpecNode::parse(output, "out.json");
  CHECK(file.required("complete").as_bool());
  REQUIRE(file.required("kernels").size() == 1);
  CHECK(file.required("kernels").items()[0].required("work").required("m").as_int() == 64);
}

TEST_CASE("however a request ends, it is one line and the samples so far are kept") {
  struct End {
    const char* behaviour;
    const char* says;
    bool interrupted;
  };
  for (const End& end :
       {End{"lost", "kernels: device 0 is lost: unspecified launch failure", false},
        End{"crash", "kernels: it was ended by signal 6", false}, End{"exit", "kernels: it ended with status 3", false},
        End{"interrupt", "interrupted", true}}) {
    CAPTURE(end.behaviour);
    std::string output;
    const GpuOutcome outcome = run(end.behaviour, output);
    CHECK(outcome.exit_code == 3);
    CHECK(outcome.interrupted == end.interrupted);
    CHECK(says(outcome.message, end.says));
    CHECK(outcome.message.find('\n') == std::string::npos);
    const SpecNode file = SpecNode::parse(output, "out.json");
    CHECK_FALSE(file.required("complete").as_bool());
    CHECK(file.required("kernels").size() == 1);
  }
}

TEST_CASE("a graph that cannot be read is the input's fault") {
  const Environment environment(STAND_IN_GPU, "");
  const GpuOutcome outcome =
      run_on_gpus({.mode = GpuMode::kernels, .graph = "/nowhere/a.graph", .output = "/dev/null", .name = "test"});
  CHECK(outcome.exit_code == 2);
  CHECK(says(outcome.message, "/nowhere/a.graph"));
}
