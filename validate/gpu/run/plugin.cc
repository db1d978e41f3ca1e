// The exported functions of libforetrain_gpu.so.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include "base/spec_error.h"
#include "validate/gpu/library/attention.h"
#include "validate/gpu/library/gemm.h"
#include "validate/gpu/run/device_facts.h"
#include "validate/gpu/run/foretrain_gpu_api.h"
#include "validate/gpu/run/session.h"

#define FORETRAIN_EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

using foretrain::SpecError;
using foretrain::gpu::Options;

void copy_text(char* to, std::size_t size, const std::string& text) {
  if (to != nullptr && size > 0) std::snprintf(to, size, "%s", text.c_str());
}

Options options_of(const ForetrainGpuRequest& r) {
  const auto text = [](const char* t) { return std::string(t == nullptr ? "" : t); };
  std::vector<std::string> words = {"--" + text(r.mode)};
  if (r.graph != nullptr) words.push_back(text(r.graph));
  Options o = foretrain::gpu::read_options(words);
  o.output = text(r.output);
  o.name = text(r.name);
  if (r.samples > 0) o.samples = r.samples;
  if (r.stage > 0) o.stage = r.stage;  // 0: the file's first
  if (r.ranks_per_gpu > 1) o.ranks_per_gpu = r.ranks_per_gpu;
  o.cuda_graphs = r.cuda_graphs != 0;
  o.paced = r.paced != 0;
  if (r.time_limit_seconds > 0) o.time_limit_seconds = r.time_limit_seconds;
  return o;
}

}  // namespace

FORETRAIN_EXPORTED int foretrain_gpu_probe(ForetrainGpuProbe* probe) {
  const int callers = probe->api_version;
  probe->api_version = FORETRAIN_GPU_API_VERSION;
  if (callers != FORETRAIN_GPU_API_VERSION) return 2;
  const foretrain::gpu::DeviceState state = foretrain::gpu::device_state();
  probe->state = state.state;
  probe->device_count = state.devices;
  ncclGetVersion(&probe->nccl_version);
  probe->cublaslt_version = foretrain::gpu::version_number(foretrain::gpu::GemmLibrary::version());
  probe->cudnn_version = foretrain::gpu::version_number(foretrain::gpu::AttentionLibrary::version());
  copy_text(probe->message, sizeof probe->message, state.line);
  cudaDeviceProp properties{};
  if (state.devices > 0 && cudaGetDeviceProperties(&properties, 0) == cudaSuccess) {
    copy_text(probe->device_name, sizeof probe->device_name, properties.name);
  }
  return state.state == FORETRAIN_GPU_READY ? 0 : 3;
}

FORETRAIN_EXPORTED int foretrain_gpu_run(const ForetrainGpuRequest* request, char* error, unsigned long error_size) {
  copy_text(error, error_size, "");
  if (request->api_version != FORETRAIN_GPU_API_VERSION) {
    copy_text(error, error_size, "the caller has another version of the GPU library's interface");
    return 2;
  }
  try {
    const foretrain::gpu::SessionEnd end =
        foretrain::gpu::run_session(options_of(*request), [request](const std::string& line) {
          if (request->progress != nullptr) request->progress(line.c_str(), request->user);
        });
    copy_text(error, error_size, end.error);
    return end.status;
  } catch (const SpecError& e) {
    copy_text(error, error_size, e.what());
    return 2;
  }
}
