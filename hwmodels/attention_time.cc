// Time of fused attention: blocks of queries over SMs, matrix work beside exponentials, under a memory roofline.
#include <algorithm>
#include <array>
#include <cmath>

#include "hwmodels/kernel_time.h"

namespace foretrain {
namespace {

// FlashAttention-2/3 and cuDNN give a thread block 128 queries at head dimension 128 (Dao 2023, section 3.3; Shah et
// al. 2024, table 1), or 64 where 128 would leave SMs idle. Assumed: half the queries for the same keys cost 15 % more
// a query.
struct QueryBlock {
  std::int64_t queries;
  double cost;
};
constexpr std::array kQueryBlocks = {QueryBlock{128, 1.0}, QueryBlock{64, 1.15}};
// MUFU unit: 16 exponentials a clock and SM on every NVIDIA GPU since Volta (CUDA programming guide, arithmetic
// throughput).
constexpr double kExponentialsPerClock = 16;
// Backward: five matrix products where forward has two (Dao 2023, section 3.1.2).
constexpr double kBackwardWork = 2.5;
// Backward at head dimensions above 128 in 16 bits: blocks shrink, since their operands and gradients must fit into an
// SM. Measured against 128: 1.18 at 192 / 128 on GB200 and GB300 (medians of cudnn-frontend's benchmarks).
constexpr double kWideHeadBackward = 1.18;

double share_of_peak(const AttentionEfficiency& e, const Attention& a) {
  if (a.dtype == DType::fp8) return a.backward ? e.fp8_backward : e.fp8_forward;
  return a.backward ? e.backward : e.forward;
}

}  // namespace

KernelTime attention_time(const Attention& a, const GpuSpec& gpu, const EfficiencySpec& spec) {
  const AttentionEfficiency& e = spec.attention;
  const double sms = static_cast<double>(gpu.sm_count);
  const double sm_rate = required_peak(gpu, a.dtype).base() / sms * share_of_peak(e, a);
  const bool wide = a.backward && a.d_qk > 128 && a.dtype != DType::fp8;
  const double work = (a.backward ? kBackwardWork : 1.0) * (wide ? kWideHeadBackward : 1.0);
  const double score = work * 2.0 * static_cast<double>(a.d_qk + a.d_v) / sm_rate +
                       e.softmax / (kExponentialsPerClock * gpu.boost_clock.base());

  const double keys = static_cast<double>(a.seq_kv);
  double matrix = 0;
  for (const QueryBlock& block : kQueryBlocks) {
    const std::int64_t blocks = ceil_div(a.seq_q, block.queries);
    // Keys that a block sees: all; or, causal, those up to its last query, on average half and half a block.
    const double mean_keys = a.causal ? 0.5 * keys * (1.0 + 1.0 / static_cast<double>(blocks)) : keys;
    const double per_key = static_cast<double>(block.queries) * block.cost * score;
    const double waves = static_cast<double>(a.batch * a.heads_q * blocks) / sms;
    const double whole = std::ceil(waves);
    const double rounds = whole <= 1 ? 1 : whole - e.wave_overlap * (whole - waves);
    const double longest = (keys + e.block_start) * per_key;
    const double time = std::max(rounds * (mean_keys + e.block_start) * per_key, longest);
    if (matrix == 0 || time < matrix) matrix = time;
  }
  const double memory = bytes_of(a).base() / (gpu.memory_bandwidth.base() * spec.memory.bandwidth);
  const double busy = std::max(matrix, memory);
  const KernelBound bound = e.fixed.base() > busy ? KernelBound::latency
                            : memory > matrix     ? KernelBound::memory
                                                  : KernelBound::tensor_core;
  return {Seconds::from_base(busy) + e.fixed, bound};
}

double library_slowdown(AttentionLibrary library, const GpuSpec& gpu, bool backward) {
  if (library == AttentionLibrary::best) return 1;
  if (library == AttentionLibrary::cudnn) return gpu.compute_capability != 80 ? 1 : backward ? 1.25 : 1.16;
  const bool hopper = gpu.compute_capability == 90;
  const bool blackwell = gpu.compute_capability >= 100 && gpu.compute_capability < 110;
  const double second = hopper ? 1.65 : !blackwell ? 1.0 : backward ? 3.3 : 3.0;
  return second * (library == AttentionLibrary::flash_1 ? 2 : library == AttentionLibrary::flash_triton ? 1.7 : 1);
}

double variant_slowdown(const AttentionVariant& variant, const Attention& a, const EfficiencySpec& e) {
  double slowdown = variant.paged ? e.attention.paged : 1;
  if (variant.block_scaled) slowdown *= a.backward ? 1.27 : 1.08;
  if (variant.deterministic && a.backward && a.d_qk <= 128) slowdown *= 1.18;
  return slowdown;
}

}  // namespace foretrain
