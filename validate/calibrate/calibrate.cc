#include "validate/calibrate/calibrate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/spec_error.h"
#include "hwmodels/kernel_json.h"
#include "validate/calibrate/measured_rates.h"
#include "validate/calibrate/surface_fit.h"

namespace foretrain {
namespace {

/// A row whose other kernels take more than this share of its time says little of the last one.
constexpr double kMostBeside = 0.5;
constexpr Flops kLargeWork = 10 * GFLOP;
constexpr Bytes kLargeMove = 16 * MiB, kLargeCollective = 1 * MiB;
/// Fewer kernels do not tell a sustained rate; rates beyond this range are a mistake of the measurement.
constexpr std::size_t kLeastSustained = 5;
constexpr double kSlowest = 0.3, kFastest = 1.1;
/// An isolated surface that misses more than a tenth of its own rows by this says nothing of a step's clock.
constexpr double kMostUnsure = 0.1;

/// A usable row of either kind: what is fitted (`log_ratio` at `at`) and what is judged.
struct Row {
  ShapePoint at{};
  double log_ratio = 0;
  double beside = 0, model = 0, measured = 0;  ///< seconds: other kernels, the fitted one, the whole row
  bool large = false, held_out = false;
  bool tensor_core = false;
};

using KernelKey = std::tuple<std::string, int, int, int, bool, int>;  // gpu, kind, dtype, op, backward, measured in
using CollectiveKey = std::tuple<std::string, int, int, int, int>;    // gpu, op, fabric, network or -1, measured in

template <class Family>
struct FamilyRows {
  Family family;
  std::string gpu;
  MeasuredIn measured_in = MeasuredIn::isolated;
  std::vector<Row> rows;
};

bool is_held_out(const std::string& what, const HeldOut& held_out) {
  const std::string chosen_by = held_out.seed == 0 ? what : fmt::format("{} seed {}", what, held_out.seed);
  return static_cast<double>(hash_of(chosen_by) >> 11U) * 0x1p-53 < held_out.share;
}

KernelKey key_of(const std::string& gpu, const KernelFamily& f, MeasuredIn in) {
  return {gpu,        static_cast<int>(f.kind), static_cast<int>(f.dtype), static_cast<int>(f.op),
          f.backward, static_cast<int>(in)};
}
CollectiveKey key_of(const std::string& gpu, const CollectiveFamily& f, MeasuredIn in) {
  return {gpu, static_cast<int>(f.op), static_cast<int>(f.fabric), f.network ? static_cast<int>(*f.network) : -1,
          static_cast<int>(in)};
}

bool is_large(const Kernel& kernel) {
  return std::holds_alternative<MemoryKernel>(kernel) ? bytes_of(kernel) >= kLargeMove : flops_of(kernel) >= kLargeWork;
}

class Fitter {
 public:
  Fitter(const Catalogue& catalogue, const HeldOut& held_out) : catalogue_(catalogue), held_out_(held_out) {}

  void add(const Measurements& file) {
    Measurements refused;
    refused.source.file = file.source.file;
    for (const KernelSample& sample : file.kernels) add(sample, refused);
    for (const CollectiveSample& sample : file.collectives) add(sample);
    CalibrationSource source = file.source;
    for (const LeftOutRows& l : refused.left_out) source.used -= l.rows;
    result_.calibration.sources.push_back(source);
    auto& left_out = result_.calibration.left_out;
    left_out.insert(left_out.end(), file.left_out.begin(), file.left_out.end());
    left_out.insert(left_out.end(), refused.left_out.begin(), refused.left_out.end());
  }

  CalibrationResult finish() {
    for (const auto& entry : kernels_) fit(entry.second);
    for (const auto& entry : collectives_) fit(entry.second);
    add_sustained();
    return std::move(result_);
  }

 private:
  void add(const KernelSample& sample, Measurements& refused) {
    const GpuSpec& gpu = catalogue_.gpu(sample.gpu, "gpu");
    const EfficiencySpec& e = catalogue_.efficiency(gpu);
    const Kernel& main = sample.kernels.back();
    Row row;
    try {
      for (std::size_t i = 0; i + 1 < sample.kernels.size(); ++i)
        row.beside += kernel_time(sample.kernels[i], gpu, e).time.base();
      const KernelTime t = kernel_time(main, gpu, e);
      row.model = t.time.base();
      row.tensor_core = t.bound == KernelBound::tensor_core;
    } catch (const SpecError& error) {
      return refused.leave_out(error.what());
    }
    row.measured = sample.time.base();
    if (row.beside > kMostBeside * row.measured)
      return refused.leave_out("what it holds beside its kernel takes most of its time");
    row.at = shape_point(main);
    row.log_ratio = std::log((row.measured - row.beside) / row.model);
    row.large = is_large(main);
    row.held_out = is_held_out(gpu.name + " " + kernel_json(main), held_out_);
    const KernelFamily family = family_of(main);
    auto& group = kernels_[key_of(gpu.name, family, sample.measured_in)];
    group.family = family;
    group.gpu = gpu.name;
    group.measured_in = sample.measured_in;
    group.rows.push_back(row);
  }

  void add(const CollectiveSample& sample) {
    const ClusterSpec& cluster = *sample.cluster;
    const CollectiveTime t = collective_time(sample.op, sample.size, sample.group, cluster, sample.choice);
    const CollectiveFamily family = family_of(sample.op, sample.group, cluster);
    Row row;
    row.model = t.time.base();
    row.measured = sample.time.base();
    row.at = shape_point(sample.size, sample.group, cluster, t.algorithm, t.protocol);
    row.log_ratio = std::log(row.measured / row.model);
    row.large = sample.size >= kLargeCollective;
    std::string what = cluster.gpu.name + " " + to_text(family);
    for (const double x : row.at) what += fmt::format(" {:.3f}", x);
    row.held_out = is_held_out(what, held_out_);
    auto& group = collectives_[key_of(cluster.gpu.name, family, sample.measured_in)];
    group.family = family;
    group.gpu = cluster.gpu.name;
    group.measured_in = sample.measured_in;
    group.rows.push_back(row);
  }

  static std::vector<std::string> axes_of(const KernelFamily& f) { return axis_names(f.kind); }
  static std::vector<std::string> axes_of(const CollectiveFamily&) { return collective_axis_names(); }
  void keep(KernelCorrection c) { result_.calibration.kernels.push_back(std::move(c)); }
  void keep(CollectiveCorrection c) { result_.calibration.collectives.push_back(std::move(c)); }

  template <class Family>
  void fit(const FamilyRows<Family>& group) {
    constexpr bool kCollective = std::is_same_v<Family, CollectiveFamily>;
    std::conditional_t<kCollective, CollectiveCorrection, KernelCorrection> correction;
    correction.gpu = group.gpu;
    correction.family = group.family;
    correction.measured_in = group.measured_in;
    std::vector<RatioAt> fitted;
    for (const Row& row : group.rows)
      if (!row.held_out) fitted.push_back({row.at, row.log_ratio});
    if (!fitted.empty()) {
      SurfaceFit fit = fit_surface(fitted, axes_of(group.family));
      correction.surface = std::move(fit.surface);
      correction.quality.outliers = fit.outliers;
    }
    std::vector<double> errors[2][2];  // [held out][after]
    for (const Row& row : group.rows) {
      const CorrectionSurface::Value value =
          fitted.empty() ? CorrectionSurface::Value{} : correction.surface.at(row.at);
      JudgedRow judged{.gpu = group.gpu,
                       .family = to_text(group.family),
                       .measured_in = group.measured_in,
                       .collective = kCollective,
                       .large = row.large,
                       .held_out = row.held_out,
                       .outside = value.outside || fitted.empty()};
      if constexpr (!kCollective) judged.gemm = group.family.kind == KernelFamily::Kind::gemm;
      judged.before = (row.beside + row.model) / row.measured - 1;
      judged.after = (row.beside + row.model * std::exp(value.log_ratio)) / row.measured - 1;
      errors[row.held_out ? 1 : 0][0].push_back(judged.before);
      errors[row.held_out ? 1 : 0][1].push_back(judged.after);
      result_.rows.push_back(std::move(judged));
    }
    correction.quality.before = residuals_of(errors[0][0]);
    correction.quality.after = residuals_of(errors[0][1]);
    correction.quality.held_out_before = residuals_of(errors[1][0]);
    correction.quality.held_out_after = residuals_of(errors[1][1]);
    if (!fitted.empty()) keep(std::move(correction));
  }

  /// Isolated time as corrected over step time, of matrix products that tensor cores bound.
  void add_sustained() {
    std::map<std::string, std::vector<double>> ratios;
    for (const auto& entry : kernels_) {
      const FamilyRows<KernelFamily>& group = entry.second;
      if (group.measured_in != MeasuredIn::step || group.family.kind != KernelFamily::Kind::gemm) continue;
      const auto isolated = std::find_if(
          result_.calibration.kernels.begin(), result_.calibration.kernels.end(), [&](const KernelCorrection& c) {
            return c.gpu == group.gpu && c.family == group.family && c.measured_in == MeasuredIn::isolated;
          });
      if (isolated == result_.calibration.kernels.end() || isolated->quality.after.p90 > kMostUnsure) continue;
      for (const Row& row : group.rows) {
        const CorrectionSurface::Value value = isolated->surface.at(row.at);
        if (!row.tensor_core || !row.large || row.held_out || value.outside) continue;
        ratios[group.gpu].push_back(row.model * std::exp(value.log_ratio) / (row.measured - row.beside));
      }
    }
    for (const auto& [gpu, values] : ratios) {
      if (values.size() < kLeastSustained) continue;
      result_.calibration.sustained.push_back(
          {gpu, std::clamp(median_of(values), kSlowest, kFastest), static_cast<std::int64_t>(values.size())});
    }
  }

  const Catalogue& catalogue_;
  HeldOut held_out_;
  std::map<KernelKey, FamilyRows<KernelFamily>> kernels_;
  std::map<CollectiveKey, FamilyRows<CollectiveFamily>> collectives_;
  CalibrationResult result_;
};

}  // namespace

Residuals residuals_of(const std::vector<double>& errors) {
  if (errors.empty()) return {};
  std::vector<double> sizes;
  for (const double e : errors) sizes.push_back(std::abs(e));
  return {.rows = static_cast<std::int64_t>(sizes.size()),
          .median = quantile_of(sizes, 0.5),
          .p90 = quantile_of(sizes, 0.9)};
}

CalibrationResult calibrate(const std::vector<Measurements>& files, const Catalogue& catalogue, const HeldOut& held_out,
                            const std::string& version) {
  FORETRAIN_CHECK(held_out.share >= 0 && held_out.share < 1);
  Fitter fitter(catalogue, held_out);
  for (const Measurements& file : files) fitter.add(file);
  CalibrationResult result = fitter.finish();
  result.calibration.foretrain = version;
  result.calibration.held_out = held_out.share;
  result.calibration.held_out_seed = held_out.seed;
  add_launches(files, result.calibration);
  add_rates(files, result.calibration);
  const Calibration& c = result.calibration;
  if (c.kernels.empty() && c.collectives.empty() && c.launches.empty()) {
    std::string why = "no row can be used";
    if (!c.left_out.empty()) why += fmt::format(": {}", c.left_out.front().why);
    throw SpecError(files.empty() ? "calibrate" : files.front().source.file, why);
  }
  return result;
}

}  // namespace foretrain
