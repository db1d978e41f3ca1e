// foretrain_fit_kernels: writes hwmodels/catalogue/efficiency.json from the measured kernels in
// validate/published/kernels.
//
//     foretrain_fit_kernels [-o efficiency.json]     prints the errors of both sides of the split
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/data_dir.h"
#include "base/spec_error.h"
#include "base/text.h"
#include "hwmodels/catalogue.h"
#include "validate/efficiency_fit.h"

namespace foretrain {
namespace {

/// A GPU with measured rows: from whose numbers the fit starts.
struct MeasuredGpu {
  const char* gpu;
  const char* start;  ///< an earlier GPU, or "": the defaults in efficiency.h
  double bandwidth;   ///< STREAM triad over the data sheet's bandwidth (`stream` rows of membound_measured.csv), or 0:
                      ///< as `start`
  const char* backward =
      "";  ///< without measured backward attention: the GPU whose backward over forward holds here too
};
constexpr std::array kMeasured = {
    MeasuredGpu{"a100-sxm4-80gb", "", 0.85, "a100-pcie-80gb"},
    MeasuredGpu{"a100-pcie-80gb", "a100-sxm4-80gb", 0},
    MeasuredGpu{"a40-48gb", "a100-sxm4-80gb", 0.95, "a100-pcie-80gb"},
    MeasuredGpu{"v100-sxm2-32gb", "a100-sxm4-80gb", 0.89, "a100-pcie-80gb"},
    MeasuredGpu{"h100-sxm5-80gb", "", 0.887, "h200-sxm5-141gb"},
    MeasuredGpu{"h200-sxm5-141gb", "h100-sxm5-80gb", 0.865},
    MeasuredGpu{"h800-sxm5-80gb", "h100-sxm5-80gb", 0, "h200-sxm5-141gb"},
    MeasuredGpu{"h20-sxm5-96gb", "h100-sxm5-80gb", 0, "h200-sxm5-141gb"},
    MeasuredGpu{"gb200-186gb", "", 0},
    MeasuredGpu{"b200-sxm-180gb", "gb200-186gb", 0},
    MeasuredGpu{"gb300-288gb", "gb200-186gb", 0},
    MeasuredGpu{"b300-sxm-288gb", "gb300-288gb", 0, "gb300-288gb"},
    MeasuredGpu{"l40s-48gb", "", 0.94, "a100-pcie-80gb"},
    MeasuredGpu{"rtx-pro-6000-96gb", "l40s-48gb", 0, "a100-pcie-80gb"},
    MeasuredGpu{"mi355x-288gb", "", 0},
    MeasuredGpu{"mi300x-192gb", "mi355x-288gb", 0},
    MeasuredGpu{"mi210-64gb", "mi355x-288gb", 0.78},
};

/// Rows that are measured but say little of a training kernel on a healthy machine.
std::vector<LeftOut> left_out_of(const GpuSpec& gpu, KernelFileKind kind) {
  std::vector<LeftOut> out = {{"cookbook", ""}};  // sample output of a GPU that its file does not name
  if (kind == KernelFileKind::memory_bound) {
    out.push_back(
        {"llmcompass", ""});  // timed one by one from Python: 47 us for the smallest, which is the host and not the GPU
    out.push_back({"cudnn_frontend", "pytorch"});  // forward norms as chains of eager kernels; trainers fuse them
  }
  // Trainers on Ampere run FlashAttention 2; cuDNN's kernels there are a fifth slower.
  if (gpu.compute_capability == 80) out.push_back({"cudnn_frontend", "cudnn"});
  if (gpu.compute_capability >= 100 && gpu.compute_capability < 110) {
    // FlashAttention 2 has no kernel for these tensor cores and reaches a third of cuDNN.
    out.push_back({"cudnn_frontend", "flash_attention"});
    out.push_back({"cudnn_frontend", "pyt_flash_attention"});
    // Mostly at clocks that the power limit has lowered (hwmodels/sustained_rate.h); the ceilings here are of bursts.
    out.push_back({"simumax", ""});
  }
  return out;
}

struct Rates {
  double fp32, tf32, half, fp8, fp4;  ///< shares of the data-sheet peak; 0 keeps what `from` has
};
/// Shares of the peak that bare kernels hold where the measured rows hold conversions too: those fit the conversions'
/// rate instead.
struct KnownCeiling {
  std::string_view gpu;
  DType dtype;
  double share;
};
constexpr std::array kKnownCeilings = {
    // MXFP8 3100 TFLOP/s at 16384^3 (flashinfer pull request 2464), MXFP4 5239 with cuBLASLt at 8192^3, which fills
    // 0.97
    // of the SMs (DeepGEMM pull request 348).
    KnownCeiling{"b200-sxm-180gb", DType::fp8, 0.69}, KnownCeiling{"b200-sxm-180gb", DType::fp4, 0.6},
    // The B200's, times the ratio of their best shapes in fp8, 3616 of 5000 to 3433 of 4500 TFLOP/s
    // (ml-engineering@744d01e).
    KnownCeiling{"gb200-186gb", DType::fp8, 0.654}, KnownCeiling{"gb200-186gb", DType::fp4, 0.569}};

/// A GPU for which only a best-shape or sustained figure is known, or nothing: numbers of the same kind of SM, with
/// that figure as its ceiling. A best shape stands above the mean of shapes by kBestShape.
struct DerivedGpu {
  const char* gpu;
  const char* from;
  Rates sustained;
  double bandwidth;  ///< share of the data-sheet bandwidth, or 0
  const char* source;
  bool under_power_limit = false;  ///< `sustained` was measured over long runs
};
// H100: best shape 0.803-0.83, fitted ceiling over all shapes 0.805; A100: 0.859-0.869 and 0.81; B200: 0.776 and 0.69.
constexpr double kBestShape = 0.95;
constexpr std::array kDerived = {
    DerivedGpu{"a100-sxm4-40gb",
               "a100-sxm4-80gb",
               {0.977, 0.793, 0.831, 0, 0},
               0.854,
               "sustained mean of 8 GPUs, FlagOpen/FlagPerf@1b5a0303 base/benchmarks/computation-*/nvidia/A100: fp32 "
               "19.05, tf32 123.7, bf16 259.2 TFLOP/s, 1328 GB/s",
               true},
    DerivedGpu{"a100-pcie-40gb", "a100-pcie-80gb", {0, 0, 0, 0, 0}, 0, "the same chip and power class"},
    DerivedGpu{"a800-sxm4-80gb", "a100-sxm4-80gb", {0, 0, 0, 0, 0}, 0, "the same chip with fewer NVLinks"},
    DerivedGpu{"a10-24gb",
               "a40-48gb",
               {0, 0, 0.53, 0, 0},
               0,
               "best shape 69.7 TFLOP/s of its A10G variant (mag-/gpu_benchmark@93322b7), of the A10's data-sheet 125"},
    DerivedGpu{"v100-sxm2-16gb", "v100-sxm2-32gb", {0, 0, 0, 0, 0}, 0, "the same chip"},
    DerivedGpu{"v100-sxm3-32gb", "v100-sxm2-32gb", {0, 0, 0, 0, 0}, 0, "the same chip"},
    DerivedGpu{"t4-16gb",
               "v100-sxm2-32gb",
               {0, 0, 0.4, 0, 0},
               0,
               "assumed: 70 W hold the clock near half of boost; no measurement yet"},
    DerivedGpu{"h100-pcie-80gb",
               "h100-sxm5-80gb",
               {0, 0, 0.661 * kBestShape, 0.6, 0},
               0.835,
               "best shape 499.5 TFLOP/s (mag-/gpu_benchmark@93322b7), STREAM scale 1704 GB/s "
               "(te42kyfo/gpu-benches@1c36d50); fp8 in proportion"},
    DerivedGpu{"h100-nvl-94gb",
               "h100-sxm5-80gb",
               {0, 0, 0.585 * kBestShape, 0.53, 0},
               0,
               "best shape 488.5 TFLOP/s (mag-/gpu_benchmark@93322b7); fp8 in proportion"},
    DerivedGpu{"h100-sxm5-96gb-hbm2e",
               "h100-sxm5-80gb",
               {0, 0, 0.581, 0.678, 0},
               0,
               "500 W instead of 700 W: bf16 558 and 591, fp8 1309 and 1374 TFLOP/s at 16384 x 7168 x 8192 and 16384 x "
               "8192 x 3584 (meta-pytorch/float8_experimental pull request 100, H100 of that power: pytorch/ao issue "
               "1297)",
               true},
    DerivedGpu{"gh200-96gb",
               "h200-sxm5-141gb",
               {0, 0, 0, 0, 0},
               0,
               "best shape 828.6 TFLOP/s (ml-engineering@744d01e), 3 percent above the H200's: kept as the H200"},
    DerivedGpu{"l4-24gb",
               "l40s-48gb",
               {0, 0, 0.755 * kBestShape, 0, 0},
               0,
               "best shape 91.4 TFLOP/s (mag-/gpu_benchmark@93322b7)"},
    DerivedGpu{"l40-48gb", "l40s-48gb", {0, 0, 0, 0, 0}, 0, "the same chip"},
    DerivedGpu{
        "rtx4090-24gb",
        "l40s-48gb",
        {0, 0, 0.97, 0, 0},
        0,
        "best shape 178.8 TFLOP/s (mag-/gpu_benchmark@93322b7), above the data sheet's 165 whose clock it exceeds"},
    DerivedGpu{"mi300x-192gb",
               "mi300x-192gb",
               {0, 0, 0.55 * kBestShape, 0, 0},
               0,
               "best shapes 668 and 788 TFLOP/s (ml-engineering@744d01e, mag-/gpu_benchmark@93322b7); the batched "
               "kernels that were fitted reach 0.4 of the peak"},
    DerivedGpu{"mi325x-256gb",
               "mi300x-192gb",
               {0, 0, 0.601 * kBestShape, 0, 0},
               0,
               "best shape 784.9 TFLOP/s (ml-engineering@744d01e)"},
    DerivedGpu{"mi250x-128gb", "mi210-64gb", {0, 0, 0, 0, 0}, 0, "two of the same dies; one process sees one of them"},
};

struct Sample {
  std::vector<KernelRow> gemm, attention, memory;
};

Sample read_sample() {
  const std::string folder = "validate/published/kernels/";
  return {read_kernel_rows(data_file(folder + "gemm_core.csv")),
          read_kernel_rows(data_file(folder + "attention_core.csv")),
          read_kernel_rows(data_file(folder + "membound_measured.csv"))};
}

void print_errors(const std::string& gpu, const char* kind, const ErrorSummary& train, const ErrorSummary& test) {
  fmt::print("{:<20} {:<18} {:>5} {:>6.1f} {:>6.1f} {:>6.1f}   {:>5} {:>6.1f} {:>6.1f} {:>6.1f}\n", gpu, kind,
             train.count, 100 * train.median_ape, 100 * train.p90_ape, 100 * train.bias, test.count,
             100 * test.median_ape, 100 * test.p90_ape, 100 * test.bias);
}

bool is_narrow(const KernelRow& row) {
  const DType t = std::get<Gemm>(row.kernels.back()).dtype;
  return t == DType::fp8 || t == DType::fp4;
}

std::string sources_of(const std::vector<FitRow>& rows) {
  std::vector<std::string> names;
  for (const FitRow& r : rows) {
    bool seen = r.row->source.empty();
    for (const std::string& name : names) seen = seen || name == r.row->source;
    if (!seen) names.push_back(r.row->source);
  }
  return names.empty() ? std::string("none") : fmt::format("{} rows of {}", rows.size(), fmt::join(names, ", "));
}

std::string to_json(const EfficiencySpec& e) {
  std::string sustained;
  for (std::size_t t = 0; t < kDTypeNames.size(); ++t)
    sustained += fmt::format("{}\"{}\": {:.4g}", t == 0 ? "" : ", ", kDTypeNames[t], e.gemm.sustained[t]);
  const auto us = [](Seconds s) { return fmt::format("\"{:.3g} us\"", s / microseconds); };
  return fmt::format(
      "    \"{}\": {{\n      \"source\": \"{}\",\n{}"
      "      \"gemm\": {{\"sustained\": {{{}}},\n        \"headroom\": {:.4g}, \"loop_start\": {:.4g}, \"tile_half\": "
      "{:.4g}, \"wave_overlap\": {:.4g}, "
      "\"memory\": {:.4g}, \"transposed\": {:.4g}, \"fixed\": {}}},\n"
      "      \"attention\": {{\"forward\": {:.4g}, \"backward\": {:.4g}, \"fp8_forward\": {:.4g}, \"fp8_backward\": "
      "{:.4g},\n"
      "        \"softmax\": {:.4g}, \"block_start\": {:.4g}, \"wave_overlap\": {:.4g}, \"paged\": {:.4g}, \"fixed\": "
      "{}}},\n"
      "      \"memory\": {{\"bandwidth\": {:.4g}, \"scalar\": {:.4g}, \"casts\": {:.4g}, \"cached\": {:.4g}, "
      "\"fixed\": {}}}\n    }}",
      e.gpu, e.source, e.under_power_limit ? "      \"under_power_limit\": true,\n" : "", sustained, e.gemm.headroom,
      e.gemm.loop_start, e.gemm.tile_half, e.gemm.wave_overlap, e.gemm.memory, e.gemm.transposed, us(e.gemm.fixed),
      e.attention.forward, e.attention.backward, e.attention.fp8_forward, e.attention.fp8_backward, e.attention.softmax,
      e.attention.block_start, e.attention.wave_overlap, e.attention.paged, us(e.attention.fixed), e.memory.bandwidth,
      e.memory.scalar, e.memory.casts, e.memory.cached, us(e.memory.fixed));
}

EfficiencySpec* find(std::vector<EfficiencySpec>& specs, const std::string& gpu) {
  for (EfficiencySpec& spec : specs) {
    if (spec.gpu == gpu) return &spec;
  }
  return nullptr;
}

EfficiencySpec fit_one(const MeasuredGpu& plan, const Sample& sample, const Catalogue& catalogue,
                       std::vector<EfficiencySpec>& done) {
  const GpuSpec& gpu = catalogue.gpu(plan.gpu, "kMeasured");
  const EfficiencySpec* base = find(done, plan.start);
  EfficiencySpec e = base == nullptr ? EfficiencySpec{} : *base;
  e.gpu = gpu.name;
  if (plan.bandwidth > 0) e.memory.bandwidth = plan.bandwidth;
  if (gpu.vendor == "AMD" && base == nullptr) {
    // Assumed, no measurement yet: the published rates of Composable Kernel's attention are near half and a third of
    // the peak.
    e.attention.forward = 0.55;
    e.attention.backward = 0.35;
  }
  const auto mine = [&](const std::vector<KernelRow>& rows, KernelFileKind kind) {
    return rows_of(rows, catalogue, gpu, left_out_of(gpu, kind));
  };
  // Memory first: its kernels are part of some measured GEMMs (quantisation) and attentions (cache writes).
  const std::vector<FitRow> memory = mine(sample.memory, KernelFileKind::memory_bound),
                            gemm = mine(sample.gemm, KernelFileKind::gemm),
                            attention = mine(sample.attention, KernelFileKind::attention);
  if (!memory.empty()) e = fit(KernelFileKind::memory_bound, memory, gpu, e);
  GemmFit how = {.cached_casts = memory.empty()};
  for (const KnownCeiling& known : kKnownCeilings) {
    if (known.gpu != gpu.name) continue;
    how.known[static_cast<std::size_t>(known.dtype)] = true;
    e.gemm.sustained[static_cast<std::size_t>(known.dtype)] = known.share;
  }
  if (!gemm.empty()) e = fit(KernelFileKind::gemm, gemm, gpu, e, how);
  if (!attention.empty()) e = fit(KernelFileKind::attention, attention, gpu, e);
  e.source = fmt::format("fit to GEMM: {}; attention: {}; memory: {}; from {}", sources_of(gemm), sources_of(attention),
                         sources_of(memory), base == nullptr ? "general start values" : "the fit of " + base->gpu);

  const auto print = [&](const char* kind, const std::vector<FitRow>& rows,
                         const std::function<bool(const KernelRow&)>& wanted) {
    const ErrorSummary train = judge(rows, gpu, e, true, wanted), test = judge(rows, gpu, e, false, wanted);
    if (train.count + test.count > 0) print_errors(gpu.name, kind, train, test);
  };
  const auto half_gemm = [](const KernelRow& r) { return !is_narrow(r) && flops_of(r.kernels.back()) >= 10 * GFLOP; };
  const auto small_half_gemm = [](const KernelRow& r) {
    return !is_narrow(r) && flops_of(r.kernels.back()) < 10 * GFLOP;
  };
  print("GEMM >= 10 GFLOP", gemm, half_gemm);
  print("GEMM < 10 GFLOP", gemm, small_half_gemm);
  print("GEMM fp8, fp4", gemm, is_narrow);
  print("attention forward", attention,
        [](const KernelRow& r) { return !std::get<Attention>(r.kernels.back()).backward; });
  print("attention backward", attention,
        [](const KernelRow& r) { return std::get<Attention>(r.kernels.back()).backward; });
  print("memory", memory, [](const KernelRow&) { return true; });
  return e;
}

EfficiencySpec derive(const DerivedGpu& plan, std::vector<EfficiencySpec>& done) {
  EfficiencySpec e = *find(done, plan.from);
  e.gpu = plan.gpu;
  e.source = fmt::format("from {}; {}", plan.from, plan.source);
  e.under_power_limit = plan.under_power_limit;
  const std::array rates = {plan.sustained.fp32, plan.sustained.tf32, plan.sustained.half,
                            plan.sustained.half, plan.sustained.fp8,  plan.sustained.fp4};
  for (std::size_t t = 0; t < rates.size(); ++t) {
    if (rates[t] <= 0) continue;
    if (static_cast<DType>(t) == DType::bf16 && e.gpu != plan.from) {
      // What bounds whole GEMMs bounds attention alike, and nothing is above the peak.
      const double ratio = std::min(rates[t] / e.gemm.sustained[t], 1 / e.attention.forward);
      e.attention.forward *= ratio;
      e.attention.backward *= ratio;
    }
    e.gemm.sustained[t] = rates[t];
  }
  if (plan.bandwidth > 0) e.memory.bandwidth = plan.bandwidth;
  return e;
}

int run(const std::string& output) {
  const Catalogue catalogue = Catalogue::load();
  const Sample sample = read_sample();
  fmt::print("{:<20} {:<18} {:>5} {:>6} {:>6} {:>6}   {:>5} {:>6} {:>6} {:>6}\n", "GPU", "error in %", "train",
             "median", "p90", "bias", "test", "median", "p90", "bias");
  std::vector<EfficiencySpec> specs;
  for (const MeasuredGpu& plan : kMeasured) specs.push_back(fit_one(plan, sample, catalogue, specs));
  for (const MeasuredGpu& plan : kMeasured) {
    const EfficiencySpec* like = find(specs, plan.backward);
    if (like == nullptr) continue;
    AttentionEfficiency& e = find(specs, plan.gpu)->attention;
    e.backward = e.forward * like->attention.backward / like->attention.forward;
  }
  for (const DerivedGpu& plan : kDerived) {
    EfficiencySpec spec = derive(plan, specs);
    if (EfficiencySpec* fitted = find(specs, plan.gpu)) {
      spec.source = fmt::format("{}; ceiling: {}", fitted->source, plan.source);
      *fitted = spec;
    } else {
      specs.push_back(spec);
    }
  }

  std::string text =
      "{\n  \"schema\": \"foretrain.efficiency/1\",\n  \"notes\": \"Written by foretrain_fit_kernels from "
      "validate/published/kernels; docs/models/kernel.md says what each number means.\",\n  \"gpus\": {\n";
  for (std::size_t i = 0; i < specs.size(); ++i) text += to_json(specs[i]) + (i + 1 < specs.size() ? ",\n" : "\n");
  text += "  }\n}\n";
  if (output.empty()) return 0;
  std::ofstream file(output, std::ios::binary);
  file << text;
  file.flush();
  if (!file) throw MachineError("cannot write " + output);
  return 0;
}

}  // namespace
}  // namespace foretrain

int main(int argc, char** argv) {
  try {
    return foretrain::run(argc == 3 && std::string(argv[1]) == "-o" ? argv[2] : "");
  } catch (const std::exception& error) {
    fmt::print(stderr, "foretrain_fit_kernels: {}\n", error.what());
    return 2;
  }
}
