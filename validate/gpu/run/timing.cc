#include "validate/gpu/run/timing.h"

#include <algorithm>
#include <chrono>

#include "validate/gpu/run/device_data.h"
#include "validate/gpu/run/samples.h"

namespace foretrain::gpu {
namespace {

std::int64_t l2_bytes() {
  int device = 0, bytes = 0;
  FORETRAIN_CUDA_CHECK(cudaGetDevice(&device));
  FORETRAIN_CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device));
  return bytes;
}

double host_us(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - from).count();
}

}  // namespace

ColdTimer::ColdTimer() : other_data_(std::max<std::int64_t>(64 << 20, 2 * l2_bytes())) {}

void ColdTimer::warm_up(const std::function<void(cudaStream_t)>& launch, std::int32_t times) {
  for (std::int32_t i = 0; i < times; ++i) launch(stream_);
  FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream_));
}

std::vector<double> ColdTimer::time(const std::function<void(cudaStream_t)>& launch, std::int32_t samples,
                                    const std::function<void()>& meanwhile) {
  while (begins_.size() < static_cast<std::size_t>(samples)) {
    begins_.emplace_back();
    ends_.emplace_back();
  }
  for (std::int32_t i = 0; i < samples; ++i) {
    // The fill also gives the host time to queue the rest, so that nothing waits between the events.
    FORETRAIN_CUDA_CHECK(
        cudaMemsetAsync(other_data_.data(), i, static_cast<std::size_t>(other_data_.bytes()), stream_));
    FORETRAIN_CUDA_CHECK(cudaEventRecord(begins_[static_cast<std::size_t>(i)], stream_));
    launch(stream_);
    FORETRAIN_CUDA_CHECK(cudaEventRecord(ends_[static_cast<std::size_t>(i)], stream_));
  }
  if (meanwhile) meanwhile();
  FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream_));
  std::vector<double> times;
  for (std::size_t i = 0; i < static_cast<std::size_t>(samples); ++i) {
    times.push_back(microseconds_between(begins_[i], ends_[i]));
  }
  return times;
}

double ColdTimer::empty_us() {
  return summary_of(time([](cudaStream_t) {}, 20)).median;
}

LaunchCosts measure_launches(std::int32_t samples) {
  constexpr std::int32_t kNodes = 200;
  LaunchCosts costs;
  costs.graph_nodes = kNodes;
  const Stream stream;
  const DeviceMemory memory(4096);
  auto* numbers = static_cast<float*>(memory.data());
  const auto launch_all = [&] {
    for (std::int32_t i = 0; i < kNodes; ++i) {
      FORETRAIN_CUDA_CHECK(
          fill_random(numbers, 4, Storage::fp32, Filling::normal, static_cast<std::uint64_t>(i), stream));
    }
  };
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  FORETRAIN_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  launch_all();
  FORETRAIN_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  FORETRAIN_CUDA_CHECK(cudaGraphInstantiateWithFlags(&executable, graph, 0));
  const Event begin, end;
  for (std::int32_t s = -2; s < samples; ++s) {  // two rounds to warm up
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream));
    auto from = std::chrono::steady_clock::now();
    launch_all();
    const double kernel = host_us(from) / kNodes;
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream));
    FORETRAIN_CUDA_CHECK(cudaEventRecord(begin, stream));
    from = std::chrono::steady_clock::now();
    FORETRAIN_CUDA_CHECK(cudaGraphLaunch(executable, stream));
    const double whole = host_us(from);
    FORETRAIN_CUDA_CHECK(cudaEventRecord(end, stream));
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream));
    if (s < 0) continue;
    costs.kernel.push_back(kernel);
    costs.graph.push_back(whole);
    costs.graph_node.push_back(microseconds_between(begin, end) / kNodes);
  }
  FORETRAIN_CUDA_CHECK(cudaGraphExecDestroy(executable));
  FORETRAIN_CUDA_CHECK(cudaGraphDestroy(graph));
  return costs;
}

}  // namespace foretrain::gpu
