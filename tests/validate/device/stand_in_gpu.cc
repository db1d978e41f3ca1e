/// A GPU library without a GPU: every kernel and collective takes 100 us, every step 1 s and 10 GB. What the machine
/// has and how a run ends is told by FORETRAIN_STAND_IN (below) and FORETRAIN_STAND_IN_DEVICES.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <unistd.h>

#include "base/spec_error.h"
#include "validate/gpu/run/foretrain_gpu_api.h"
#include "validate/gpu/run/graph_file.h"
#include "validate/gpu/run/results.h"

namespace {

using namespace foretrain::gpu;

std::string behaviour() {
  const char* word = std::getenv("FORETRAIN_STAND_IN");
  return word == nullptr ? "" : word;
}

/// Not what a test program or a sanitizer makes of it.
void crash(int signal) {
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void write_samples(const ForetrainGpuRequest& request, Results& results) {
  const std::vector<double> samples = {99, 100, 101};
  const std::string mode = request.mode;
  if (mode == "correctness") {
    results.add(Section::checks, JsonLine().text("name", "column-parallel linear").flag("passed", true).end());
    const bool broken = behaviour() == "wrong";
    results.add(Section::checks, JsonLine()
                                     .text("name", "dropout streams")
                                     .flag("passed", !broken)
                                     .text("detail", broken ? "two ranks drop alike" : "")
                                     .end());
    return;
  }
  const StepFile file = read_step_file(request.graph);
  if (mode == "step") {
    JsonLine step;
    step.text("name", request.name).whole("rank", 0);
    std::string kernels;
    for (const StepWork& work : file.works)
      if (!std::holds_alternative<Message>(work))
        kernels +=
            (kernels.empty() ? "" : ", ") + JsonLine().raw("work", work_json(work)).number("median_us", 100).end();
    step.raw("kernels", "[" + kernels + "]");
    results.add(Section::steps, add_samples(step, {1e6, 1e6, 1e6}).end());
    results.add(Section::memory,
                JsonLine().text("name", request.name).whole("rank", 0).whole("peak_bytes", 10'000'000'000).end());
    return;
  }
  for (const StepWork& work : file.works) {
    const auto* message = std::get_if<Message>(&work);
    JsonLine line;
    if (mode == "kernels" && message == nullptr) {
      results.add(Section::kernels, add_samples(line.raw("work", work_json(work)), samples).end());
    } else if (mode == "collectives" && message != nullptr && message->group == Group::tensor) {
      line.text("op", foretrain::kCollectiveNames[static_cast<std::size_t>(message->op)])
          .whole("bytes", message->bytes)
          .whole("ranks", file.world.tensor)
          .whole("ranks_per_node", file.world.tensor);
      results.add(Section::collectives, add_samples(line, samples).end());
    }
  }
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int foretrain_gpu_probe(ForetrainGpuProbe* probe) {
  if (behaviour() == "version") {
    probe->api_version = FORETRAIN_GPU_API_VERSION + 1;
    return 3;
  }
  if (behaviour() == "probe crashes") crash(SIGSEGV);
  probe->api_version = FORETRAIN_GPU_API_VERSION;
  probe->nccl_version = 22809;
  probe->cublaslt_version = 130100;
  probe->cudnn_version = 91900;
  if (behaviour() == "no driver") {
    probe->state = FORETRAIN_GPU_NO_DRIVER;
    std::strcpy(probe->message, "cudaGetDeviceCount: error 35");
    return 3;
  }
  if (behaviour() == "no device") {
    probe->state = FORETRAIN_GPU_NO_DEVICE;
    std::strcpy(probe->message, "cudaGetDeviceCount: error 100");
    return 3;
  }
  probe->state = FORETRAIN_GPU_READY;
  const char* devices = std::getenv("FORETRAIN_STAND_IN_DEVICES");
  probe->device_count = devices == nullptr ? 1 : std::atoi(devices);
  std::strcpy(probe->device_name, "NVIDIA H200");
  return 0;
}

__attribute__((visibility("default"))) int foretrain_gpu_run(const ForetrainGpuRequest* request, char* error,
                                                             unsigned long error_size) {
  std::printf("stand-in: %s\n", request->mode);  // must not reach the user's stdout
  Results results(request->output);
  results.describe_device(JsonLine().text("gpu", "NVIDIA H200").end());
  try {
    write_samples(*request, results);
    results.write(behaviour().empty());
  } catch (const std::exception& failure) {
    std::snprintf(error, error_size, "%s", failure.what());
    return 2;
  }
  if (behaviour() == "crash") crash(SIGABRT);
  if (behaviour() == "hang") std::this_thread::sleep_for(std::chrono::minutes(10));
  if (behaviour() == "interrupt") {
    ::kill(::getppid(), SIGINT);  // as Ctrl-C does
    std::this_thread::sleep_for(std::chrono::minutes(10));
  }
  if (behaviour() == "exit") {
    std::fprintf(stderr, "a peer did not arrive within 60 s\n");
    std::_Exit(3);
  }
  if (behaviour() == "lost") {
    std::snprintf(error, error_size, "device 0 is lost:\nunspecified launch failure");
    return 3;
  }
  return 0;
}
}
