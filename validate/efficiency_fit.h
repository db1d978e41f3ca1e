/// Fits the numbers of EfficiencySpec to measured kernels: robust, regularised, the same for the same rows.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "hwmodels/catalogue.h"
#include "validate/kernel_rows.h"

namespace foretrain {

/// A measured row with the GPU it ran on. `train` rows are fitted, the others only judged.
struct FitRow {
  const KernelRow* row = nullptr;
  bool train = true;
};

/// Rows that are no example of what the GPU does: `source` equal and `library` beginning as given ("" is any).
struct LeftOut {
  std::string source;
  std::string library;
};

/// The rows of `gpu` that can be predicted, without those `left_out`. Seven in ten are for training, by a hash of
/// operation and shape, so that one shape measured twice stays on one side.
std::vector<FitRow> rows_of(const std::vector<KernelRow>& rows, const Catalogue& catalogue, const GpuSpec& gpu,
                            const std::vector<LeftOut>& left_out);

/// What a fit of GEMMs leaves alone, or moves beside their own numbers (and `casts` of memory, where rows convert their
/// operands first).
struct GemmFit {
  std::array<bool, kDTypeNames.size()> known{};  ///< formats whose `sustained` is known from elsewhere
  bool cached_casts = false;                     ///< fit `cached` of memory from such rows too
};

/// `start` with the numbers of one kind of kernel moved to where
///
///     sum over training rows of weight rho(log(predicted / measured)) / 0.05  +  1/2 sum over numbers ((x - start) /
///     sigma)^2
///
/// is least. rho(e) = |e| up to 0.3 and a third of the slope beyond: rows of another software or a bad run pull little.
/// x is the logarithm (or logit) of a number and sigma its prior width, so few rows move a number little and none keep
/// it. GEMMs under 10 GFLOP weigh a half, those in fp8 a half and in fp4 a quarter.
EfficiencySpec fit(KernelFileKind kind, const std::vector<FitRow>& rows, const GpuSpec& gpu,
                   const EfficiencySpec& start, const GemmFit& gemm = {});

/// Errors of the rows on one side of the split, of those that `wanted` picks.
ErrorSummary judge(const std::vector<FitRow>& rows, const GpuSpec& gpu, const EfficiencySpec& e, bool train,
                   const std::function<bool(const KernelRow&)>& wanted);

}  // namespace foretrain
