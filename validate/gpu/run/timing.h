/// Times of work on a stream, by GPU events, one sample at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "validate/gpu/run/cuda_objects.h"

namespace foretrain::gpu {

/// Times launches. Before each sample the L2 cache is filled with other data, so that operands come from memory as they
/// do in a step.
class ColdTimer {
 public:
  /// Reserves twice the L2 cache.
  ColdTimer();

  /// Microseconds of `samples` launches. `meanwhile` is called while the GPU is at work on them: to read its clocks.
  std::vector<double> time(const std::function<void(cudaStream_t)>& launch, std::int32_t samples,
                           const std::function<void()>& meanwhile = {});
  /// A launch or several that must be over before samples count: code is loaded, clocks rise.
  void warm_up(const std::function<void(cudaStream_t)>& launch, std::int32_t times);
  /// What two events with nothing between them measure; part of every sample.
  double empty_us();

  [[nodiscard]] cudaStream_t stream() const { return stream_; }

 private:
  Stream stream_;
  DeviceMemory other_data_;
  std::vector<Event> begins_, ends_;
};

/// The host's time for launches, in microseconds each.
struct LaunchCosts {
  std::vector<double> kernel;      ///< one kernel, launched alone
  std::vector<double> graph;       ///< a whole CUDA graph of `graph_nodes` small kernels
  std::vector<double> graph_node;  ///< the GPU's time from one small kernel of the graph to the next
  std::int32_t graph_nodes = 0;
};
LaunchCosts measure_launches(std::int32_t samples);

}  // namespace foretrain::gpu
