#include "hwmodels/efficiency.h"

#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "base/check.h"

namespace foretrain {
namespace {

constexpr RealRange kShare{.least = 0.001, .most = 1.5};  // above 1: clocks beyond the data sheet's (RTX 4090)
constexpr RealRange kLength{.least = 0, .most = 1e5};

void read_share(const SpecNode& node, std::string_view key, double& value, RealRange range = kShare) {
  if (const auto found = node.optional(key)) value = found->as_real(range);
}
void read_time(const SpecNode& node, std::string_view key, Seconds& value) {
  if (const auto found = node.optional(key)) value = found->as_seconds();
}

void read_gemm(const SpecNode& node, GemmEfficiency& e) {
  node.allow_only(
      {"sustained", "headroom", "loop_start", "tile_half", "wave_overlap", "memory", "transposed", "fixed"});
  if (const auto sustained = node.optional("sustained")) {
    sustained->allow_only(kDTypeNames);
    for (std::size_t i = 0; i < kDTypeNames.size(); ++i) read_share(*sustained, kDTypeNames[i], e.sustained[i]);
  }
  read_share(node, "headroom", e.headroom, {1, 3});
  read_share(node, "loop_start", e.loop_start, kLength);
  read_share(node, "tile_half", e.tile_half, kLength);
  read_share(node, "wave_overlap", e.wave_overlap, {0, 1});
  read_share(node, "memory", e.memory);
  read_share(node, "transposed", e.transposed);
  read_time(node, "fixed", e.fixed);
}

void read_attention(const SpecNode& node, AttentionEfficiency& e) {
  node.allow_only({"forward", "backward", "fp8_forward", "fp8_backward", "softmax", "block_start", "wave_overlap",
                   "paged", "fixed"});
  read_share(node, "forward", e.forward);
  read_share(node, "backward", e.backward);
  read_share(node, "fp8_forward", e.fp8_forward);
  read_share(node, "fp8_backward", e.fp8_backward);
  read_share(node, "softmax", e.softmax, {0, 10});
  read_share(node, "block_start", e.block_start, kLength);
  read_share(node, "wave_overlap", e.wave_overlap, {0, 1});
  read_share(node, "paged", e.paged, {1, 3});
  read_time(node, "fixed", e.fixed);
}

void read_memory(const SpecNode& node, MemoryEfficiency& e) {
  node.allow_only({"bandwidth", "scalar", "casts", "cached", "fixed"});
  read_share(node, "bandwidth", e.bandwidth);
  read_share(node, "scalar", e.scalar);
  read_share(node, "casts", e.casts);
  read_share(node, "cached", e.cached, {1, 10});
  read_time(node, "fixed", e.fixed);
}

const GpuSpec* find(const std::vector<GpuSpec>& gpus, const std::string& name) {
  for (const GpuSpec& gpu : gpus) {
    if (gpu.name == name) return &gpu;
  }
  return nullptr;
}

/// How unlike two GPUs are: another vendor counts most, then another architecture, then compute capability.
int distance(const GpuSpec& a, const GpuSpec& b) {
  return (a.vendor == b.vendor ? 0 : 100'000) + (a.architecture == b.architecture ? 0 : 1'000) +
         std::abs(a.compute_capability - b.compute_capability);
}

}  // namespace

std::vector<EfficiencySpec> read_efficiencies(const SpecNode& file) {
  file.allow_only({"schema", "notes", "gpus"});
  std::vector<EfficiencySpec> specs;
  const SpecNode entries = file.required("gpus");
  for (const std::string& name : entries.keys()) {
    const SpecNode node = entries.required(name);
    node.allow_only({"source", "from", "under_power_limit", "gemm", "attention", "memory"});
    EfficiencySpec spec;
    if (const auto from = node.optional("from")) {
      const std::string base = from->as_string();
      bool found = false;
      for (const EfficiencySpec& earlier : specs) {
        if (earlier.gpu != base) continue;
        spec = earlier;
        found = true;
      }
      if (!found) from->fail_expected("the name of an earlier entry");
    }
    spec.gpu = name;
    spec.source = node.required("source").as_string();
    if (const auto limited = node.optional("under_power_limit")) spec.under_power_limit = limited->as_bool();
    if (const auto gemm = node.optional("gemm")) read_gemm(*gemm, spec.gemm);
    if (const auto attention = node.optional("attention")) read_attention(*attention, spec.attention);
    if (const auto memory = node.optional("memory")) read_memory(*memory, spec.memory);
    specs.push_back(spec);
  }
  if (specs.empty()) entries.fail("no GPU in it");
  return specs;
}

EfficiencySpec efficiency_of(const GpuSpec& gpu, const std::vector<EfficiencySpec>& known,
                             const std::vector<GpuSpec>& gpus) {
  FORETRAIN_CHECK(!known.empty());
  for (const EfficiencySpec& spec : known) {
    if (spec.gpu == gpu.name) return spec;
  }
  const EfficiencySpec* nearest = &known.front();
  int least = std::numeric_limits<int>::max();
  for (const EfficiencySpec& spec : known) {
    const GpuSpec* measured = find(gpus, spec.gpu);
    if (measured == nullptr) continue;
    const int far = distance(gpu, *measured);
    if (far < least) {
      least = far;
      nearest = &spec;
    }
  }
  EfficiencySpec spec = *nearest;
  spec.source = fmt::format("not measured; from {}, the nearest measured architecture", nearest->gpu);
  spec.gpu = gpu.name;
  return spec;
}

}  // namespace foretrain
