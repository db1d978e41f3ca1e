#include "validate/kernel_rows.h"

#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"
#include "hwmodels/kernel_time.h"
#include "hwmodels/sustained_rate.h"
#include "validate/csv.h"

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 7> kGemmColumns = {"gpu", "dtype", "b", "m", "n", "k", "time_us"};
constexpr std::array<std::string_view, 12> kAttentionColumns = {
    "gpu", "dtype", "pass", "causal", "b", "seq_q", "seq_kv", "heads_q", "heads_kv", "d_qk", "d_v", "time_us"};
constexpr std::array<std::string_view, 7> kMemoryColumns = {"gpu", "dtype", "op", "pass", "rows", "cols", "time_us"};

bool has_all(const CsvTable& table, std::span<const std::string_view> columns) {
  for (const std::string_view column : columns) {
    if (table.column(column) < 0) return false;
  }
  return true;
}

/// Fields of one row by column name; absent columns read as "".
class Fields {
 public:
  Fields(const CsvTable& table, const CsvTable::Row& row) : table_(table), row_(row) {}

  [[nodiscard]] std::string text(std::string_view column) const {
    const int i = table_.column(column);
    return i < 0 ? std::string() : row_.fields[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] std::int64_t count(std::string_view column) const {
    const std::string field = text(column);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || value < 1 || value > 1'000'000'000'000)
      fail(column, "a whole number of at least 1");
    return value;
  }
  [[nodiscard]] Seconds microseconds_of(std::string_view column) const {
    const std::string field = text(column);
    double value = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || !(value > 0) || !std::isfinite(value))
      fail(column, "microseconds above 0");
    return value * microseconds;
  }
  [[nodiscard]] bool one_of(std::string_view column, std::string_view no, std::string_view yes) const {
    const std::string field = text(column);
    if (field != no && field != yes) fail(column, fmt::format("{} or {}", no, yes));
    return field == yes;
  }

 private:
  [[noreturn]] void fail(std::string_view column, const std::string& expected) const {
    throw SpecError(where(table_, row_, column), fmt::format("expected {}; got '{}'", expected, text(column)));
  }
  const CsvTable& table_;
  const CsvTable::Row& row_;
};

struct DTypeName {
  std::string_view name;
  DType dtype;
};
// Block-scaled formats run at the rate of their element; what the scales cost is in the measured efficiency.
constexpr std::array kFormats = {DTypeName{"fp32", DType::fp32}, DTypeName{"tf32", DType::tf32},
                                 DTypeName{"fp16", DType::fp16}, DTypeName{"bf16", DType::bf16},
                                 DTypeName{"fp8", DType::fp8},   DTypeName{"fp8_block", DType::fp8},
                                 DTypeName{"mxfp8", DType::fp8}, DTypeName{"fp8_block_grouped", DType::fp8},
                                 DTypeName{"fp4", DType::fp4},   DTypeName{"nvfp4", DType::fp4},
                                 DTypeName{"mxfp4", DType::fp4}};

std::optional<DType> format_of(const std::string& name) {
  for (const DTypeName& f : kFormats) {
    if (f.name == name) return f.dtype;
  }
  return std::nullopt;
}

struct MeasuredOp {
  std::string_view name;
  MemoryOp op;
  bool vectorised;
  double reads;  ///< how often the kernel reads its inputs
  double widen;  ///< elements it works on, against the rows x cols of the file
};
// Names in published tables that are not ours. The last four are vLLM's kernels of early 2024
// (csrc/activation_kernels.cu, layernorm_kernels.cu, pos_encoding_kernels.cu): one element a thread, and the norm reads
// its row twice. The rotation's cols are the queries' alone; the keys add between 1/8 (grouped) and all of them, which
// the file does not say. Assumed: a half.
constexpr std::array kMeasuredOps = {MeasuredOp{"layernorm", MemoryOp::layer_norm, true, 1, 1},
                                     MeasuredOp{"mlp_act", MemoryOp::swiglu, false, 1, 1},
                                     MeasuredOp{"input_layernorm", MemoryOp::rms_norm, false, 2, 1},
                                     MeasuredOp{"post_attention_layernorm", MemoryOp::rms_norm, false, 2, 1},
                                     MeasuredOp{"attn_rope", MemoryOp::rope, false, 1, 1.5}};

std::optional<MeasuredOp> measured_op(const std::string& name) {
  for (const MeasuredOp& op : kMeasuredOps) {
    if (op.name == name) return op;
  }
  for (int i = 0; i <= static_cast<int>(MemoryOp::grad_norm); ++i) {
    const auto op = static_cast<MemoryOp>(i);
    if (op_name(op) == name) return MeasuredOp{op_name(op), op, true, 1, 1};
  }
  return std::nullopt;
}

/// How a source times: how many runs it makes back to back, and for how long of that the GPU keeps its clocks.
struct Timing {
  std::string_view source;
  int runs;
  Seconds full_clock_until;
};
constexpr std::array kTimings = {
    // 25 runs to warm up and 75 timed, one shape after the other without a pause (simu_tools/efficency_test/
    // test_gemm_efficiency.py): the GPU comes hot from the last shape. Clocks of a B200 fall after 5 ms
    // (flashinfer-ai/flashinfer pull request 2899).
    Timing{"simumax", 100, 5 * milliseconds},
    // 3 + 3 + 6 runs (collector/helper.py), after new operands were made: cool. Hopper's rates fall from 8 ms a run on.
    Timing{"aic", 12, 96 * milliseconds},
    // A second and more of one shape.
    Timing{"azure_guide", 1000, 96 * milliseconds}};

/// Whose attention a row of column `library` measured. Serving engines' names stand for the GPU's best.
AttentionLibrary library_of(const std::string& name) {
  if (name.rfind("cudnn", 0) == 0 || name == "pyt_cudnn" || name == "cuDNN") return AttentionLibrary::cudnn;
  if (name.rfind("flash_attention", 0) == 0 || name == "pyt_flash_attention" || name == "FA2")
    return AttentionLibrary::flash_2;
  return AttentionLibrary::best;
}

bool mentions(const std::string& text, std::string_view words) { return text.find(words) != std::string::npos; }

MemoryKernel move(MemoryOp op, std::int64_t rows, std::int64_t cols, double read_per_element,
                  double written_per_element) {
  MemoryKernel kernel;
  kernel.op = op;
  kernel.rows = rows;
  kernel.cols = cols;
  const double elements = static_cast<double>(rows) * static_cast<double>(cols);
  kernel.read = elements * read_per_element * bytes;
  kernel.written = elements * written_per_element * bytes;
  return kernel;
}

void gemm_kernels(const Fields& f, KernelRow& row) {
  Gemm g{.batch = f.count("b"), .m = f.count("m"), .n = f.count("n"), .k = f.count("k")};
  row.operation = "gemm " + f.text("dtype");
  const auto dtype = format_of(f.text("dtype"));
  if (!dtype) return;
  g.dtype = *dtype;
  g.output = g.dtype == DType::fp32 || g.dtype == DType::tf32 ? DType::fp32
             : g.dtype == DType::fp16                         ? DType::fp16
                                                              : DType::bf16;
  if (mentions(row.note, "layout=NT")) g.layout = GemmLayout::nt;
  if (mentions(row.note, "layout=NN")) g.layout = GemmLayout::nn;
  if (mentions(row.note, "accumulate=True")) g.accumulate = true;
  if (mentions(row.note, "out=fp32")) g.output = DType::fp32;
  if (mentions(row.note, "dynamic activation quantisation")) {
    // The activations arrive in bf16. fp8 has one scale a tensor: a kernel finds the largest value, one makes the scale
    // of it, one converts. fp4 has a scale a block and converts at once. The converters load an element a thread.
    const double width = bytes_per_element(g.dtype);
    if (g.dtype == DType::fp8) {
      row.kernels.emplace_back(move(MemoryOp::grad_norm, g.batch * g.m, g.k, 2, 0));
      row.kernels.emplace_back(move(MemoryOp::scale, 1, 1, 4, 4));
    }
    MemoryKernel convert = move(MemoryOp::cast, g.batch * g.m, g.k, 2, width);
    convert.vectorised = false;
    row.kernels.emplace_back(convert);
  }
  row.kernels.emplace_back(g);
}

void attention_kernels(const Fields& f, KernelRow& row) {
  Attention a{.batch = f.count("b"),
              .seq_q = f.count("seq_q"),
              .seq_kv = f.count("seq_kv"),
              .heads_q = f.count("heads_q"),
              .heads_kv = f.count("heads_kv"),
              .d_qk = f.count("d_qk"),
              .d_v = f.count("d_v"),
              .causal = f.one_of("causal", "0", "1"),
              .backward = f.one_of("pass", "fwd", "bwd")};
  row.operation =
      fmt::format("attention {} {} {}", a.backward ? "bwd" : "fwd", a.causal ? "causal" : "full", f.text("dtype"));
  const auto dtype = format_of(f.text("dtype"));
  if (!dtype) return;
  a.dtype = *dtype;
  row.variant = {.paged = mentions(row.note, "paged KV"),
                 .block_scaled = f.text("dtype") == "mxfp8",
                 .deterministic = mentions(row.note, "deterministic bwd")};
  if (row.variant.paged) {
    // A serving engine's prefill: new keys and values are copied into the cache first.
    const double width = bytes_per_element(a.dtype);
    row.kernels.emplace_back(move(MemoryOp::copy, a.batch * a.seq_kv, a.heads_kv * a.d_qk, width, width));
    row.kernels.emplace_back(move(MemoryOp::copy, a.batch * a.seq_kv, a.heads_kv * a.d_v, width, width));
  }
  row.kernels.emplace_back(a);
}

void memory_kernels(const Fields& f, KernelRow& row) {
  row.operation = fmt::format("{} {}", f.text("op"), f.text("pass").empty() ? "fwd" : f.text("pass"));
  if (f.text("rows").empty() || f.text("cols").empty()) {
    row.refusal = "no rows and cols";
    return;
  }
  const bool backward = !f.text("pass").empty() && f.one_of("pass", "fwd", "bwd");
  const std::int64_t rows = f.count("rows"), cols = f.count("cols");
  const auto op = measured_op(f.text("op"));
  if (!op) {
    row.refusal = fmt::format("unknown operation '{}'", f.text("op"));
    return;
  }
  const auto dtype = format_of(f.text("dtype"));
  if (!dtype) return;
  MemoryKernel kernel = memory_kernel(op->op, backward, rows, cols, *dtype);
  kernel.read *= op->reads * op->widen;
  kernel.written *= op->widen;
  kernel.vectorised = op->vectorised;
  // As in a step (planner/layer_ops.cc): backward norms of PyTorch and torch.compile.
  const bool norm = kernel.op == MemoryOp::rms_norm || kernel.op == MemoryOp::layer_norm;
  if (norm && backward && (row.library == "pytorch" || row.library == "torch_compile")) kernel.vectorised = false;
  row.kernels.emplace_back(kernel);
}

std::string size_class(const KernelRow& row) {
  const Kernel& main = row.kernels.back();
  switch (row.kind) {
    case KernelFileKind::gemm: {
      const double gflop = flops_of(main) / GFLOP;
      return gflop < 10     ? "under 10 GFLOP"
             : gflop < 100  ? "10 to 100 GFLOP"
             : gflop < 1000 ? "100 to 1000 GFLOP"
                            : "over 1000 GFLOP";
    }
    case KernelFileKind::attention: {
      const std::int64_t keys = std::get<Attention>(main).seq_kv;
      return keys <= 2048 ? "up to 2048 keys" : keys <= 8192 ? "2049 to 8192 keys" : "over 8192 keys";
    }
    case KernelFileKind::memory_bound: {
      const Bytes moved = bytes_of(main);
      return moved < 16 * MiB ? "under 16 MiB" : moved < 256 * MiB ? "16 to 256 MiB" : "over 256 MiB";
    }
  }
  return {};
}

std::string_view quantity_of(KernelFileKind kind) {
  switch (kind) {
    case KernelFileKind::gemm:
      return "gemm_seconds";
    case KernelFileKind::attention:
      return "attention_seconds";
    case KernelFileKind::memory_bound:
      return "memory_bound_seconds";
  }
  return {};
}

std::optional<KernelFileKind> kind_of(const CsvTable& table) {
  if (has_all(table, kGemmColumns)) return KernelFileKind::gemm;
  if (has_all(table, kAttentionColumns)) return KernelFileKind::attention;
  if (has_all(table, kMemoryColumns)) return KernelFileKind::memory_bound;
  return std::nullopt;
}

std::string file_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

std::vector<KernelRow> read_kernel_rows(const std::string& path) {
  const CsvTable table = read_csv(path);
  const auto kind = kind_of(table);
  if (!kind)
    throw SpecError(path + ":1", fmt::format("expected the columns of a kernel file: '{}', '{}' or '{}'",
                                             fmt::join(kGemmColumns, " "), fmt::join(kAttentionColumns, " "),
                                             fmt::join(kMemoryColumns, " ")));
  std::vector<KernelRow> rows;
  for (const CsvTable::Row& line : table.rows) {
    const Fields f(table, line);
    KernelRow row;
    row.id = fmt::format("{}:{}", file_name(path), line.line);
    row.kind = *kind;
    row.gpu = f.text("gpu");
    row.source = f.text("source");
    row.library = f.text("library");
    row.note = f.text("note");
    switch (*kind) {
      case KernelFileKind::gemm:
        gemm_kernels(f, row);
        break;
      case KernelFileKind::attention:
        attention_kernels(f, row);
        break;
      case KernelFileKind::memory_bound:
        memory_kernels(f, row);
        break;
    }
    if (row.kernels.empty() && row.refusal.empty())
      row.refusal = fmt::format("unknown number format '{}'", f.text("dtype"));
    for (const Timing& timing : kTimings) {
      if (timing.source != row.source) continue;
      row.runs_before_end = timing.runs;
      row.full_clock_until = timing.full_clock_until;
    }
    if (row.refusal.empty()) row.measured = f.microseconds_of("time_us");
    rows.push_back(std::move(row));
  }
  return rows;
}

bool is_kernel_file(const std::string& path) { return kind_of(read_csv(path)).has_value(); }

std::optional<Seconds> predict(const KernelRow& row, const GpuSpec& gpu, const EfficiencySpec& e, std::string& why,
                               const Calibration* calibration) {
  if (!row.refusal.empty()) {
    why = row.refusal;
    return std::nullopt;
  }
  Seconds total;
  try {
    for (std::size_t i = 0; i + 1 < row.kernels.size(); ++i) total += kernel_time(row.kernels[i], gpu, e).time;
    const CalibratedKernelTime last = kernel_time(row.kernels.back(), gpu, e, calibration);
    const bool hot =
        row.full_clock_until > Seconds{} && row.runs_before_end * (total + last.time) > row.full_clock_until;
    const bool burst = last.use == CalibrationUse::none && last.bound == KernelBound::tensor_core;
    const double long_run = hot && burst ? long_run_rate(gpu, e, row.kernels.back(), e.under_power_limit) : 1;
    const auto* attention = std::get_if<Attention>(&row.kernels.back());
    const double library = attention != nullptr && last.use == CalibrationUse::none
                               ? library_slowdown(library_of(row.library), gpu, attention->backward) *
                                     variant_slowdown(row.variant, *attention, e)
                               : 1;
    total += last.time * library / long_run;
  } catch (const SpecError& error) {
    why = error.what();
    return std::nullopt;
  }
  return total;
}

Comparison compare_kernels(const std::vector<KernelRow>& rows, const Catalogue& catalogue,
                           const Calibration* calibration) {
  Comparison comparison;
  for (const KernelRow& row : rows) {
    const GpuSpec* gpu = nullptr;
    std::string why;
    try {
      gpu = &catalogue.gpu(row.gpu, "gpu");
    } catch (const SpecError& error) {
      why = error.what();
    }
    const auto time = gpu == nullptr ? std::nullopt : predict(row, *gpu, catalogue.efficiency(*gpu), why, calibration);
    if (!time) {
      comparison.refused.push_back({row.id, why});
      continue;
    }
    std::vector<std::string> groups = {"gpu: " + gpu->name, "operation: " + row.operation, "size: " + size_class(row)};
    if (calibration != nullptr)
      groups.push_back(
          calibration_group(kernel_time(row.kernels.back(), *gpu, catalogue.efficiency(*gpu), calibration).use));
    comparison.rows.push_back({.id = row.id,
                               .quantity = std::string(quantity_of(row.kind)),
                               .groups = std::move(groups),
                               .predicted = *time / seconds,
                               .measured = row.measured / seconds});
  }
  return comparison;
}

}  // namespace foretrain
