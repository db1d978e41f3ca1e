/// `foretrain kernel`: how long a GPU kernel runs, and what bounds it.
#include "hwmodels/kernel.h"

#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"
#include "base/text.h"
#include "cli/choices.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/kernel_time.h"

namespace foretrain::cli {
namespace {

constexpr std::array<std::string_view, 3> kLayoutNames = {"tn", "nn", "nt"};
constexpr std::array<std::string_view, 3> kBoundNames = {"tensor cores", "memory", "latency"};

/// The value of an option that this kind of kernel cannot do without.
std::int64_t needed(std::int64_t value, const std::string& flag, const std::string& kind) {
  if (value <= 0) throw SpecError(flag, kind + " needs it");
  return value;
}

Kernel read_gemm(const KernelOptions& o, DType dtype) {
  return Gemm{.batch = o.batch,
              .m = needed(o.m, "--m", "a gemm"),
              .n = needed(o.n, "--n", "a gemm"),
              .k = needed(o.k, "--k", "a gemm"),
              .dtype = dtype,
              .output = bytes_per_element(dtype) < 2 ? DType::bf16 : dtype,
              .layout = static_cast<GemmLayout>(choose(o.layout, kLayoutNames, "--layout", "layout"))};
}

Kernel read_attention(const KernelOptions& o, DType dtype) {
  const std::int64_t queries = needed(o.seq_q, "--seq-q", "attention");
  const std::int64_t heads = needed(o.heads_q, "--heads-q", "attention");
  const std::int64_t key_heads = o.heads_kv > 0 ? o.heads_kv : heads;
  if (heads % key_heads != 0)
    throw SpecError("--heads-kv", fmt::format("{} query heads do not divide by {} key heads", heads, key_heads));
  return Attention{.batch = o.batch,
                   .seq_q = queries,
                   .seq_kv = o.seq_kv > 0 ? o.seq_kv : queries,
                   .heads_q = heads,
                   .heads_kv = key_heads,
                   .d_qk = o.head_dim,
                   .d_v = o.head_dim,
                   .causal = !o.not_causal,
                   .backward = o.backward,
                   .dtype = dtype};
}

Kernel read_kernel(const KernelOptions& o) {
  std::vector<std::string_view> kinds = {"gemm", "attention"};
  for (std::size_t i = 0; i <= static_cast<std::size_t>(MemoryOp::grad_norm); ++i)
    kinds.push_back(op_name(static_cast<MemoryOp>(i)));
  const std::size_t kind = choose(o.kind, kinds, "KIND", "kernel");
  const auto dtype = static_cast<DType>(choose(o.dtype, kDTypeNames, "--dtype", "number format"));
  if (kind == 0) return read_gemm(o, dtype);
  if (kind == 1) return read_attention(o, dtype);
  return memory_kernel(static_cast<MemoryOp>(kind - 2), o.backward, needed(o.rows, "--rows", "a memory kernel"),
                       needed(o.cols, "--cols", "a memory kernel"), dtype);
}

}  // namespace

int kernel(const KernelOptions& options) {
  const Catalogue catalogue = Catalogue::load();
  const GpuSpec& gpu = catalogue.gpu(options.gpu, "--gpu");
  const EfficiencySpec& efficiency = catalogue.efficiency(gpu);
  const Kernel kernel = read_kernel(options);
  const KernelTime predicted = kernel_time(kernel, gpu, efficiency);
  const Flops work = flops_of(kernel);
  const Bytes moved = bytes_of(kernel);
  const FlopsPerSecond rate = work / predicted.time;
  const BytesPerSecond traffic = moved / predicted.time;
  const auto dtype = static_cast<DType>(choose(options.dtype, kDTypeNames, "--dtype", "number format"));
  const bool computes = !std::holds_alternative<MemoryKernel>(kernel);
  const double of_peak = computes && peak(gpu, dtype) ? rate / *peak(gpu, dtype) : traffic / gpu.memory_bandwidth;
  const std::string_view bound = kBoundNames[static_cast<std::size_t>(predicted.bound)];
  if (options.format == Format::json) {
    const nlohmann::ordered_json document = {{"kind", options.kind},
                                             {"gpu", gpu.name},
                                             {"dtype", kDTypeNames[static_cast<std::size_t>(dtype)]},
                                             {"seconds", predicted.time.base()},
                                             {"flops", work.base()},
                                             {"bytes", moved.base()},
                                             {"flops_per_second", rate.base()},
                                             {"bytes_per_second", traffic.base()},
                                             {"share_of_peak", of_peak},
                                             {"bound", bound},
                                             {"efficiency_source", efficiency.source}};
    print(document.dump(2) + "\n");
    return kDone;
  }
  print(fmt::format("{} on {}: {}\n", options.kind, gpu.name, to_text(predicted.time)));
  if (computes) print(fmt::format("  work     {}, {}\n", to_text(work), to_text(rate)));
  print(fmt::format("  memory   {} at least, {}\n", to_text(moved), to_text(traffic)));
  print(fmt::format("  bound by {}; {:.1f} % of the {} peak\n", bound, 100 * of_peak, computes ? "compute" : "memory"));
  print(fmt::format("  efficiencies: {}\n", efficiency.source));
  return kDone;
}

}  // namespace foretrain::cli
