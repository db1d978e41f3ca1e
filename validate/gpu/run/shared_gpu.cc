#include "validate/gpu/run/shared_gpu.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spec_error.h"

extern char** environ;

namespace foretrain::gpu {
namespace {

constexpr const char* kStarted = "FORETRAIN_STARTED_RANK";
constexpr double kGraceSeconds = 60;      // beyond the ranks' own time limit
constexpr double kGraceAfterFailure = 5;  // for the others to end by themselves, with what they have written

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& w : words) list.push_back(w.data());
  list.push_back(nullptr);
  return list;
}

/// This process's environment with `changes` in it.
std::vector<std::string> changed_environment(const std::vector<std::string>& changes) {
  std::vector<std::string> all = changes;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string entry(*e);
    const std::string name = entry.substr(0, entry.find('=') + 1);
    bool changed = false;
    for (const std::string& c : changes) changed = changed || c.rfind(name, 0) == 0;
    if (!changed) all.push_back(entry);
  }
  return all;
}

pid_t start(const std::string& program, std::vector<std::string> arguments, std::vector<std::string> environment) {
  arguments.insert(arguments.begin(), program);
  pid_t process = 0;
  const int error = posix_spawn(&process, program.c_str(), nullptr, nullptr, pointers(arguments).data(),
                                pointers(environment).data());
  if (error != 0) throw MachineError(program + ": cannot be started: " + std::strerror(error));
  return process;
}

}  // namespace

bool is_started_rank() { return std::getenv(kStarted) != nullptr; }

std::vector<std::string> rank_environment(int rank, int ranks, const std::string& rendezvous) {
  return {std::string(kStarted) + "=1",
          "RANK=" + std::to_string(rank),
          "WORLD_SIZE=" + std::to_string(ranks),
          "LOCAL_RANK=0",
          "FORETRAIN_RENDEZVOUS=" + rendezvous,
          "NCCL_HOSTID=foretrain-" + std::to_string(rank),
          "NCCL_P2P_DISABLE=1",
          "NCCL_SHM_DISABLE=1",
          "NCCL_NET=Socket",
          "NCCL_SOCKET_IFNAME=lo",
          "NCCL_IB_DISABLE=1",
          "NCCL_MNNVL_ENABLE=0"};
}

std::vector<std::string> as_arguments(const Options& o) {
  std::vector<std::string> words;
  if (!o.graph.empty()) words.push_back(o.graph);
  words.push_back("--" + std::string(kModeNames[static_cast<std::size_t>(o.mode)]));
  const auto option = [&](const char* name, const std::string& value) {
    words.emplace_back(name);
    words.push_back(value);
  };
  if (!o.output.empty()) option("--output", o.output);
  if (!o.name.empty()) option("--name", o.name);
  option("--samples", std::to_string(o.samples));
  if (o.stage >= 0) option("--stage", std::to_string(o.stage));
  if (o.ranks_per_gpu > 1) option("--ranks-per-gpu", std::to_string(o.ranks_per_gpu));
  option("--time-limit", std::to_string(o.time_limit_seconds));
  if (!o.rendezvous.empty()) option("--rendezvous", o.rendezvous);
  if (o.cuda_graphs) words.emplace_back("--cuda-graphs");
  if (o.append) words.emplace_back("--append");
  if (o.paced) words.emplace_back("--paced");
  if (o.one_rank) words.emplace_back("--one-rank");
  return words;
}

std::string standalone_program() {
  namespace fs = std::filesystem;
  constexpr const char* kName = "foretrain-gpu";
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  if (own.filename() == kName) return own.string();
  Dl_info library{};
  if (dladdr(reinterpret_cast<void*>(&standalone_program), &library) != 0 && library.dli_fname != nullptr) {
    const fs::path folder = fs::absolute(library.dli_fname, error).parent_path();
    // In the build folder, installed beside the library, and in bin beside lib/foretrain.
    for (const fs::path& place : {folder / kName, folder / "../../bin" / kName, own.parent_path() / kName}) {
      if (fs::exists(place, error)) return fs::canonical(place, error).string();
    }
  }
  throw MachineError("several ranks on one GPU need the program foretrain-gpu, which is not beside the GPU library");
}

int run_ranks(const std::string& program, const Options& options) {
  std::string folder = (std::filesystem::temp_directory_path() / "foretrain-ranks-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw MachineError(folder + ": cannot be made");
  const std::string rendezvous = folder + "/id";
  std::vector<pid_t> running;
  for (int r = 0; r < options.ranks_per_gpu; ++r) {
    running.push_back(start(program, as_arguments(options),
                            changed_environment(rank_environment(r, options.ranks_per_gpu, rendezvous))));
  }
  const auto after = [](double seconds) {
    return std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  };
  auto end = after(options.time_limit_seconds + kGraceSeconds);
  int status = 0;
  const auto end_all = [&] {
    for (const pid_t p : running) kill(p, SIGKILL);
  };
  while (!running.empty()) {
    for (std::size_t i = 0; i < running.size();) {
      int ended = 0;
      if (waitpid(running[i], &ended, WNOHANG) == 0) {
        ++i;
        continue;
      }
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      const int code = WIFEXITED(ended) ? WEXITSTATUS(ended) : 3;
      if (code != 0 && status == 0) {
        status = code;
        end = std::min(end, after(kGraceAfterFailure));
      }
    }
    if (!running.empty() && std::chrono::steady_clock::now() >= end) {
      if (status == 0) std::fprintf(stderr, "foretrain-gpu: the ranks on one GPU did not end in time\n");
      if (status == 0) status = 3;
      end_all();  // where one failed the others wait for it in vain
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return status;
}

}  // namespace foretrain::gpu
