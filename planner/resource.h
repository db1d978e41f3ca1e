/// Resources of a cluster, scaled: what a step would take if the hardware were another.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "planner/problem.h"
#include "planner/rejection.h"

namespace foretrain {

enum class Resource : std::uint8_t {
  peak_flops,
  hbm_bandwidth,
  nvlink_bandwidth,
  nic_bandwidth,
  network_latency,
  memory
};
/// Keys of files, and what people call them.
inline constexpr std::array<std::string_view, 6> kResourceNames = {
    "peak_flops", "hbm_bandwidth", "nvlink_bandwidth", "nic_bandwidth", "network_latency", "memory"};
inline constexpr std::array<std::string_view, 6> kResourceTexts = {
    "peak FLOP/s", "HBM bandwidth", "NVLink bandwidth", "NIC bandwidth", "network latency", "memory"};
constexpr std::string_view name_of(Resource r) { return kResourceNames[static_cast<std::size_t>(r)]; }
constexpr std::string_view text_of(Resource r) { return kResourceTexts[static_cast<std::size_t>(r)]; }

/// `cluster` with `factor` times as much of a resource; efficiencies, latencies of NCCL and of launches stay as they
/// are. peak_flops: tensor cores in every format. nvlink_bandwidth: what joins the GPUs of a node (xGMI, PCIe).
ClusterSpec scaled(ClusterSpec cluster, Resource resource, double factor);
Problem scaled(Problem problem, Resource resource, double factor);

/// What becomes of one plan: simulated without labels, also where it lacks memory.
struct Outcome {
  std::optional<Rejection> rejection;
  Seconds step;  ///< 0: it breaks a rule and cannot be simulated
  Bytes peak_memory;
  [[nodiscard]] bool runs() const { return !rejection.has_value(); }
};
Outcome outcome(const Problem& problem, const Plan& plan);

/// Change of the plan's step when there is 1 % more of `resource`, as a fraction of the step: -0.0093. By simulating
/// again. Of memory it is 0: another plan would be needed to use it.
double elasticity(const Problem& problem, const Plan& plan, Resource resource);

/// How much of a resource would make `other` faster than `own`.
struct BreakEven {
  Resource resource = Resource::peak_flops;
  double factor = 1;
  Seconds own, other;  ///< steps with that much
};
/// The least change of `resource` for which `other` is the faster plan: factors 2, 4, 8, 16 and their inverses are
/// simulated, and the first one that turns the order is narrowed down to 1 % by bisection. At most one answer upwards
/// and one downwards. Memory counts by what fits alone: less than `own` needs, and enough for `other`.
std::vector<BreakEven> break_even(const Problem& problem, const Plan& own, const Plan& other, Resource resource);

}  // namespace foretrain
