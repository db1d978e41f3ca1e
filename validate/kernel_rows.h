/// Measured kernels from CSV files, and what kernel_time predicts for them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hwmodels/calibration.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/kernel.h"
#include "hwmodels/kernel_time.h"
#include "validate/comparison.h"

namespace foretrain {

enum class KernelFileKind { gemm, attention, memory_bound };

/// One measured operation: what was timed, as kernels, in the order they ran. A row whose shape or format we cannot
/// express has no kernels and says why.
struct KernelRow {
  std::string id;  ///< "file.csv:12"
  KernelFileKind kind = KernelFileKind::gemm;
  std::string gpu;  ///< as the file names it
  std::vector<Kernel> kernels;
  std::string refusal;    ///< not empty: why there are no kernels
  std::string operation;  ///< "gemm bf16", "attention bwd causal bf16", "memory rms_norm fwd": a group label
  std::string source;     ///< column `source`, or ""
  std::string library;    ///< column `library`, or "": of attention it says whose kernels ran
  std::string note;       ///< column `note`, or ""
  AttentionVariant variant;
  Seconds measured;
  int runs_before_end = 1;   ///< runs back to back, warm-up and all, that the measurement ends with
  Seconds full_clock_until;  ///< how long those run before the power limit lowers the clocks
};

/// Reads a kernel file: CSV with a header, quotes as in RFC 4180. The columns tell the kind:
///
///     gpu dtype b m n k time_us                                                            GEMM
///     gpu dtype pass causal b seq_q seq_kv heads_q heads_kv d_qk d_v time_us               attention
///     gpu dtype op pass rows cols time_us                                                  memory-bound kernel
///
/// in any order; further columns are kept out of the prediction, but `source` says how long was measured, `library`
/// whose attention ran, and `note` may say what else the measured time holds: "layout=NT accumulate=True out=fp32" (a
/// GEMM's layout and result), "dynamic activation quantisation" (operands arrive in bf16), "paged KV" (keys and values
/// are first written to a cache). SpecError names file:line and column.
std::vector<KernelRow> read_kernel_rows(const std::string& path);

/// True when the header of `path` has the columns of a kernel file.
bool is_kernel_file(const std::string& path);

/// Predicted seconds of a row: the sum over its kernels, of which a calibration (may be null) corrects the last, as it
/// was fitted. Nothing when the row is refused; `why` then says why.
std::optional<Seconds> predict(const KernelRow& row, const GpuSpec& gpu, const EfficiencySpec& e, std::string& why,
                               const Calibration* calibration = nullptr);

/// Every row predicted (quantity gemm_seconds, attention_seconds or memory_bound_seconds; groups by GPU, operation and
/// size class) or refused: unknown GPU, format the GPU lacks, unknown operation, no shape or time.
Comparison compare_kernels(const std::vector<KernelRow>& rows, const Catalogue& catalogue,
                           const Calibration* calibration = nullptr);

}  // namespace foretrain
