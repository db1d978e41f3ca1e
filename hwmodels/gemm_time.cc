// Time of a matrix multiplication: tiles over SMs in waves, under a power ceiling and a memory roofline.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "hwmodels/kernel_time.h"

namespace foretrain {
namespace {

struct Tile {
  int m, n;
};

// Tile shapes of cuBLAS kernels by generation, as their kernel names state them
// (ampere_bf16_s16816gemm_bf16_256x128_..., sm90_xmma_gemm_bf16bf16_..._tilesize128x256x64, nvjet_..._256x256 on two
// SMs of sm100, each with half of it); AMD: hipBLASLt MT256x256 down.
constexpr std::array kMmaTiles = {Tile{256, 128}, Tile{128, 256}, Tile{128, 128}, Tile{128, 64},
                                  Tile{64, 128},  Tile{64, 64},   Tile{64, 32},   Tile{32, 64}};
constexpr std::array kWarpgroupTiles = {Tile{256, 128}, Tile{128, 256}, Tile{128, 192}, Tile{192, 128}, Tile{128, 128},
                                        Tile{128, 64},  Tile{64, 128},  Tile{64, 64},   Tile{64, 32}};
constexpr std::array kCdnaTiles = {Tile{256, 256}, Tile{256, 128}, Tile{128, 256}, Tile{128, 128},
                                   Tile{128, 64},  Tile{64, 128},  Tile{64, 64},   Tile{32, 64}};
constexpr std::array kKSplits = {1, 2, 4};

std::span<const Tile> tiles_of(const GpuSpec& gpu) {
  if (gpu.vendor == "AMD") return kCdnaTiles;
  if (gpu.compute_capability >= 90 && gpu.compute_capability < 120) return kWarpgroupTiles;
  return kMmaTiles;
}

constexpr double harmonic_edge(Tile t) { return 2.0 * t.m * t.n / (t.m + t.n); }

/// Largest power of two that divides `n`, up to 128. A power of two below that packs whole lines: as good as 128.
constexpr std::int64_t alignment_of(std::int64_t n) {
  const std::int64_t power = n & -n;
  return power == n || power > 128 ? 128 : power;
}

/// Rate when rows do not start on a 128-byte line, against rows that do. Operands move in 16-byte pieces out of
/// 128-byte lines; rows that are multiples of 64 bytes only take lines they share with their neighbours, rows not of 16
/// bytes cannot use the wide copies at all. Measured: of GEMMs of 10 GFLOP and more whose contiguous dimensions are
/// multiples of 32 but not of 64 16-bit elements, the median efficiency is 0.84 (A100, Vidur) and 0.80 (H100, Vidur) of
/// the others'; at 64 and above there is no difference. Below that the same factor is assumed for each halving, and
/// twice its effect where 16-byte copies are impossible (arXiv 2401.14489, section on tensor cores, finds the same
/// order). Volta's kernels show none of it (DeepBench).
double alignment_rate(const Gemm& g, const GpuSpec& gpu, double width) {
  if (gpu.vendor != "NVIDIA" || gpu.compute_capability < 80) return 1;
  const std::int64_t across = g.layout == GemmLayout::nt ? g.m : g.k;
  const std::int64_t elements = std::min(alignment_of(across), alignment_of(g.n));
  constexpr double kHalving = 0.82;
  double rate = 1;
  for (double row = static_cast<double>(elements) * width; row < 128; row *= 2)
    rate *= row < 16 ? kHalving * kHalving : kHalving;
  return rate;
}

/// Hopper's tensor cores add 8-bit products in fewer than 32 bits; without fast accumulation each 128 of them are added
/// in fp32 by other instructions. Measured: fast accumulation is 1.1 to 1.2 times as fast on H100 with cuBLAS
/// (pytorch/ao issue 2377); the middle is taken.
constexpr double kPromotion = 1.15;
double promotion_rate(const Gemm& g, const GpuSpec& gpu) {
  return g.promotes && g.dtype == DType::fp8 && gpu.compute_capability == 90 ? 1 / kPromotion : 1;
}

}  // namespace

KernelTime gemm_time(const Gemm& g, const GpuSpec& gpu, const EfficiencySpec& spec) {
  const GemmEfficiency& e = spec.gemm;
  const FlopsPerSecond rate = required_peak(gpu, g.dtype);
  const double layout_rate = g.layout == GemmLayout::nt ? e.transposed : 1.0;
  const double sms = static_cast<double>(gpu.sm_count);
  const double width = bytes_per_element(g.dtype);
  const double chip_rate = rate.base() * e.sustained[static_cast<std::size_t>(g.dtype)] * layout_rate *
                           alignment_rate(g, gpu, width) * promotion_rate(g, gpu);
  const double sm_rate = chip_rate / sms * e.headroom;
  const std::span<const Tile> tiles = tiles_of(gpu);
  const double largest = harmonic_edge(tiles.front());
  const double result_bytes = static_cast<double>(g.batch) * static_cast<double>(g.m) * static_cast<double>(g.n);
  const double bandwidth = gpu.memory_bandwidth.base() * e.memory;

  double loop = 0;
  bool found = false;
  for (const Tile tile : tiles) {
    const double edge = harmonic_edge(tile);
    const double tile_rate = sm_rate * edge / (edge + e.tile_half) * (largest + e.tile_half) / largest;
    const double count = static_cast<double>(g.batch * ceil_div(g.m, tile.m) * ceil_div(g.n, tile.n));
    for (const int split : kKSplits) {
      // Splitting K pays when SMs would idle; each part writes fp32 sums that one of them reads back and adds.
      if (split > 1 && (count * split > sms || g.k < 1024 * split)) break;
      const double k = static_cast<double>(g.k) / split + e.loop_start / width;
      const double tile_time = 2.0 * tile.m * tile.n * k / tile_rate;
      const double waves = count * split / sms;
      const double whole = std::ceil(waves);
      const double rounds = whole <= 1 ? 1 : whole - e.wave_overlap * (whole - waves);
      const double reduce = split > 1 ? 2.0 * split * 4.0 * result_bytes / bandwidth : 0.0;
      const double time = rounds * tile_time + reduce;
      if (!found || time < loop) loop = time;
      found = true;
    }
  }

  const double ceiling = flops_of(g).base() / chip_rate;
  const double matrix = std::max(loop, ceiling);
  const double memory = bytes_of(g).base() / bandwidth;
  const double busy = std::max(matrix, memory);
  const KernelBound bound = e.fixed.base() > busy ? KernelBound::latency
                            : memory > matrix     ? KernelBound::memory
                                                  : KernelBound::tensor_core;
  return {Seconds::from_base(busy) + e.fixed, bound};
}

}  // namespace foretrain
