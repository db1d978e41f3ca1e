#include "validate/device/gpu_plugin.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include "validate/device/child_process.h"
#include "validate/gpu/run/foretrain_gpu_api.h"

namespace foretrain {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "libforetrain_gpu.so";
constexpr Seconds kProbeLimit = 60 * seconds;  // a cold driver on eight GPUs takes ten seconds and more
constexpr Seconds kGrace = 30 * seconds;       // to write the samples and take the communicators down

/// What the child says before anything else, in one byte.
enum Stage : char { kNotLoaded = 'l', kOtherVersion = 'v', kRan = 'r' };

struct Library {
  decltype(&foretrain_gpu_probe) probe = nullptr;
  decltype(&foretrain_gpu_run) run = nullptr;
};

/// Writes one line for the parent.
void tell(int pipe, Stage stage, const std::string& text) {
  const std::string all = std::string(1, stage) + text;
  std::size_t done = 0;
  while (done < all.size()) {
    const ssize_t count = ::write(pipe, all.data() + done, all.size() - done);
    if (count <= 0) return;
    done += static_cast<std::size_t>(count);
  }
}

/// In the child: the library's functions; says why there are none.
bool load(const std::string& path, int pipe, Library& library) {
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    tell(pipe, kNotLoaded, ::dlerror());
    return false;
  }
  library.probe = reinterpret_cast<decltype(library.probe)>(::dlsym(handle, "foretrain_gpu_probe"));
  library.run = reinterpret_cast<decltype(library.run)>(::dlsym(handle, "foretrain_gpu_run"));
  if (library.probe != nullptr && library.run != nullptr) return true;
  tell(pipe, kOtherVersion, "it lacks foretrain_gpu_probe or foretrain_gpu_run");
  return false;
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

/// The library's file; "" when there is none.
std::string find_plugin() {
  std::error_code error;
  for (const std::string& place : gpu_plugin_places())
    if (fs::is_regular_file(place, error)) return place;
  return {};
}

std::string not_built() {
  if (const char* chosen = std::getenv("FORETRAIN_GPU_PLUGIN"); chosen != nullptr && *chosen != '\0')
    return fmt::format("FORETRAIN_GPU_PLUGIN names {}, which is no file", chosen);
  return fmt::format("this foretrain was built without CUDA: there is no {} beside it", kFile);
}

std::string other_version(const std::string& path, const std::string& why) {
  return fmt::format("{} belongs to another version of foretrain: {}", path, why);
}

/// How a child ended that did not say.
std::string end_of(const ChildOutcome& outcome) {
  if (outcome.interrupted) return "interrupted";
  if (outcome.timed_out) return "it did not answer in time and was stopped";
  if (outcome.signal != 0)
    return fmt::format("it was ended by signal {} ({})", outcome.signal, ::strsignal(outcome.signal));
  return fmt::format("it ended with status {}; what it said stands above", outcome.exit_code);
}

std::string version_text(const ForetrainGpuProbe& p) {
  // 22809 -> 2.28.9; 130100 -> 13.1; 91900 -> 9.19 (as their headers define them).
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (p.nccl_version > 0)
    add(fmt::format("NCCL {}.{}.{}", p.nccl_version / 10000, p.nccl_version / 100 % 100, p.nccl_version % 100));
  if (p.cublaslt_version > 0)
    add(fmt::format("cuBLASLt {}.{}", p.cublaslt_version / 10000, p.cublaslt_version / 100 % 100));
  if (p.cudnn_version > 0) add(fmt::format("cuDNN {}.{}", p.cudnn_version / 10000, p.cudnn_version / 100 % 100));
  return text;
}

int probe_in_child(const std::string& path, int pipe) {
  Library library;
  if (!load(path, pipe, library)) return 0;
  ForetrainGpuProbe probe;
  std::memset(&probe, 0, sizeof probe);
  probe.api_version = FORETRAIN_GPU_API_VERSION;
  library.probe(&probe);
  if (probe.api_version != FORETRAIN_GPU_API_VERSION) {
    tell(pipe, kOtherVersion,
         fmt::format("interface {} where {} is needed", probe.api_version, FORETRAIN_GPU_API_VERSION));
    return 0;
  }
  tell(pipe, kRan, std::string(reinterpret_cast<const char*>(&probe), sizeof probe));
  return 0;
}

void show_progress(const char* line, void*) { std::fprintf(stderr, "%s\n", line); }

int run_request_in_child(const std::string& path, const GpuRequest& r, int pipe) {
  Library library;
  if (!load(path, pipe, library)) return 3;
  ForetrainGpuRequest request;
  std::memset(&request, 0, sizeof request);
  const std::string mode(kGpuModeNames[static_cast<std::size_t>(r.mode)]);
  request.api_version = FORETRAIN_GPU_API_VERSION;
  request.mode = mode.c_str();
  request.graph = r.graph.empty() ? nullptr : r.graph.c_str();
  request.output = r.output.c_str();
  request.name = r.name.empty() ? nullptr : r.name.c_str();
  request.samples = r.samples;
  request.stage = r.stage;
  request.ranks_per_gpu = r.ranks_per_gpu;
  request.cuda_graphs = r.cuda_graphs ? 1 : 0;
  request.paced = r.paced ? 1 : 0;
  request.time_limit_seconds = r.time_limit / seconds;
  if (::isatty(STDERR_FILENO) != 0) request.progress = show_progress;
  std::array<char, 1024> message{};
  const int code = library.run(&request, message.data(), message.size());
  message.back() = '\0';
  tell(pipe, kRan, message.data());
  return code;
}

}  // namespace

std::vector<std::string> gpu_plugin_places() {
  if (const char* chosen = std::getenv("FORETRAIN_GPU_PLUGIN"); chosen != nullptr && *chosen != '\0') return {chosen};
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const fs::path prefix = program.parent_path().parent_path();
  std::vector<std::string> places;
  for (const char* folder : {"lib/foretrain", "validate/gpu", "validate/gpu/run"})
    places.push_back((prefix / folder / kFile).string());
  return places;
}

GpuMachine probe_gpus() {
  const std::string path = find_plugin();
  if (path.empty()) return {GpuLack::plugin, not_built(), 0, {}, {}};
  const ChildOutcome outcome = run_in_child([&](int pipe) { return probe_in_child(path, pipe); }, kProbeLimit);
  const std::string said = outcome.output.empty() ? "" : outcome.output.substr(1);
  if (outcome.output.empty()) return {GpuLack::answer, fmt::format("{}: {}", path, end_of(outcome)), 0, {}, {}};
  if (outcome.output[0] == kNotLoaded)
    return {GpuLack::libraries, "CUDA libraries are missing or too old: " + one_line(said), 0, {}, {}};
  if (outcome.output[0] == kOtherVersion) return {GpuLack::version, other_version(path, said), 0, {}, {}};
  ForetrainGpuProbe probe;
  if (said.size() != sizeof probe) return {GpuLack::answer, path + ": its answer is cut", 0, {}, {}};
  std::memcpy(&probe, said.data(), sizeof probe);
  probe.message[sizeof probe.message - 1] = '\0';
  probe.device_name[sizeof probe.device_name - 1] = '\0';
  const std::string versions = version_text(probe);
  if (probe.state == FORETRAIN_GPU_NO_DRIVER)
    return {GpuLack::driver, "no NVIDIA driver: " + one_line(probe.message), 0, {}, versions};
  if (probe.state != FORETRAIN_GPU_READY || probe.device_count < 1)
    return {GpuLack::device, "no GPU: " + one_line(probe.message), 0, {}, versions};
  return {GpuLack::nothing, {}, probe.device_count, probe.device_name, versions};
}

GpuOutcome run_on_gpus(const GpuRequest& request) {
  const std::string path = find_plugin();
  if (path.empty()) return {3, false, not_built()};
  const ChildOutcome outcome =
      run_in_child([&](int pipe) { return run_request_in_child(path, request, pipe); }, request.time_limit + kGrace);
  const std::string said = outcome.output.empty() ? "" : one_line(outcome.output.substr(1));
  if (outcome.interrupted) return {3, true, "interrupted"};
  const std::string mode(kGpuModeNames[static_cast<std::size_t>(request.mode)]);
  if (outcome.timed_out)
    return {3, false, fmt::format("{}: not done {:.0f} s after its time limit; stopped", mode, kGrace / seconds)};
  if (outcome.output.empty()) return {3, false, fmt::format("{}: {}", mode, end_of(outcome))};
  if (outcome.output[0] == kNotLoaded) return {3, false, "CUDA libraries are missing or too old: " + said};
  if (outcome.output[0] == kOtherVersion) return {3, false, other_version(path, said)};
  if (outcome.signal != 0) return {3, false, fmt::format("{}: {}", mode, end_of(outcome))};
  if (outcome.exit_code == 0) return {};
  return {outcome.exit_code == 2 ? 2 : 3, false, fmt::format("{}: {}", mode, said.empty() ? end_of(outcome) : said)};
}

}  // namespace foretrain
