#include "validate/efficiency_fit.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "hwmodels/kernel_time.h"
#include "validate/simplex.h"

namespace foretrain {
namespace {

constexpr double kErrorScale = 0.05;  // spread of measurements among themselves, below which nothing is to be gained
constexpr int kStartPoints = 8;
constexpr double kOutlier = 0.3;  // beyond this a row is of another software or a bad run rather than informative

enum class Range { positive, share, above_one };

/// One number to fit: where it is, which values it may take, and how wide its prior is on the real line that it is
/// mapped to (log x, logit x, log(x - 1)).
struct Parameter {
  double* value;
  Range range;
  double sigma;
  [[nodiscard]] double coordinate() const {
    const double x = *value;
    switch (range) {
      case Range::positive:
        return std::log(x);
      case Range::share:
        return std::log(x / (1 - x));
      case Range::above_one:
        return std::log(x - 1);
    }
    return 0;
  }
  void set(double x) const {
    switch (range) {
      case Range::positive:
        *value = std::exp(x);
        break;
      case Range::share:
        *value = 1 / (1 + std::exp(-x));
        break;
      case Range::above_one:
        *value = 1 + std::exp(x);
        break;
    }
  }
};

std::uint32_t fnv1a(const std::string& text) {
  std::uint32_t h = 2166136261u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h ^ (h >> 15);
}

std::string shape_key(const KernelRow& row) {
  const Kernel& main = row.kernels.back();
  if (const auto* g = std::get_if<Gemm>(&main))
    return fmt::format("{} {} {} {} {}", row.operation, g->batch, g->m, g->n, g->k);
  if (const auto* a = std::get_if<Attention>(&main))
    return fmt::format("{} {} {} {} {} {} {} {}", row.operation, a->batch, a->seq_q, a->seq_kv, a->heads_q, a->heads_kv,
                       a->d_qk, a->d_v);
  const auto& m = std::get<MemoryKernel>(main);
  return fmt::format("{} {} {}", row.operation, m.rows, m.cols);
}

/// What a row counts: training runs in 16 bits first, so the shared numbers should hold there first.
double weight_of(const KernelRow& row) {
  const auto* g = std::get_if<Gemm>(&row.kernels.back());
  if (g == nullptr) return 1;
  const double size = flops_of(row.kernels.back()) < 10 * GFLOP ? 0.5 : 1;
  return size * (g->dtype == DType::fp8 ? 0.5 : g->dtype == DType::fp4 ? 0.25 : 1);
}

double rho(double error) {
  const double e = std::abs(error);
  return e <= kOutlier ? e : kOutlier + (e - kOutlier) / 3;
}

bool uses(const std::vector<FitRow>& rows, const std::function<bool(const Kernel&)>& wanted) {
  return std::any_of(rows.begin(), rows.end(),
                     [&](const FitRow& r) { return r.train && wanted(r.row->kernels.back()); });
}

std::vector<Parameter> gemm_parameters(EfficiencySpec& spec, const std::vector<FitRow>& rows, const GemmFit& plan) {
  GemmEfficiency& e = spec.gemm;
  std::vector<Parameter> p = {{&e.headroom, Range::above_one, 0.8},
                              {&e.loop_start, Range::positive, 0.5},
                              {&e.tile_half, Range::positive, 0.5},
                              {&e.wave_overlap, Range::share, 1.0},
                              {&e.memory, Range::share, 0.3}};
  for (std::size_t t = 0; t < e.sustained.size(); ++t) {
    const auto has = [t](const Kernel& k) { return static_cast<std::size_t>(std::get<Gemm>(k).dtype) == t; };
    if (uses(rows, has) && !plan.known[t]) p.push_back({&e.sustained[t], Range::share, 0.7});
  }
  const bool converts =
      std::any_of(rows.begin(), rows.end(), [](const FitRow& r) { return r.train && r.row->kernels.size() > 1; });
  if (converts) p.push_back({&spec.memory.casts, Range::share, 0.7});
  if (converts && plan.cached_casts) p.push_back({&spec.memory.cached, Range::above_one, 1.5});
  if (uses(rows, [](const Kernel& k) { return std::get<Gemm>(k).layout == GemmLayout::nt; }))
    p.push_back({&e.transposed, Range::share, 0.6});
  return p;
}

std::vector<Parameter> attention_parameters(AttentionEfficiency& e, const std::vector<FitRow>& rows) {
  std::vector<Parameter> p = {
      {&e.softmax, Range::positive, 0.5}, {&e.block_start, Range::positive, 0.7}, {&e.wave_overlap, Range::share, 1.0}};
  // What a page table costs shows where both kinds were measured.
  const auto in_16_bits = [&](bool paged) {
    return std::any_of(rows.begin(), rows.end(), [&](const FitRow& r) {
      const auto& a = std::get<Attention>(r.row->kernels.back());
      return r.train && !a.backward && a.dtype != DType::fp8 && r.row->variant.paged == paged;
    });
  };
  if (in_16_bits(true) && in_16_bits(false)) {
    e.paged = std::max(e.paged, 1.1);  // at 1 the logarithm of what is above it has no value to start from
    p.push_back({&e.paged, Range::above_one, 1.0});
  }
  const auto has = [&](bool fp8, bool backward) {
    return uses(rows, [&](const Kernel& k) {
      const auto& a = std::get<Attention>(k);
      return (a.dtype == DType::fp8) == fp8 && a.backward == backward;
    });
  };
  if (has(false, false)) p.push_back({&e.forward, Range::share, 0.5});
  if (has(false, true)) p.push_back({&e.backward, Range::share, 0.5});
  if (has(true, false)) p.push_back({&e.fp8_forward, Range::share, 0.7});
  if (has(true, true)) p.push_back({&e.fp8_backward, Range::share, 0.7});
  return p;
}

std::vector<Parameter> memory_parameters(MemoryEfficiency& e, const std::vector<FitRow>& rows) {
  std::vector<Parameter> p = {{&e.bandwidth, Range::share, 0.08}, {&e.cached, Range::above_one, 1.5}};
  if (uses(rows, [](const Kernel& k) { return !std::get<MemoryKernel>(k).vectorised; }))
    p.push_back({&e.scalar, Range::share, 0.5});
  return p;
}

}  // namespace

std::vector<FitRow> rows_of(const std::vector<KernelRow>& rows, const Catalogue& catalogue, const GpuSpec& gpu,
                            const std::vector<LeftOut>& left_out) {
  std::vector<FitRow> mine;
  const EfficiencySpec& e = catalogue.efficiency(gpu);
  for (const KernelRow& row : rows) {
    std::string why;
    if (std::any_of(left_out.begin(), left_out.end(), [&](const LeftOut& out) {
          return out.source == row.source && row.library.rfind(out.library, 0) == 0;
        }))
      continue;
    try {
      if (catalogue.gpu(row.gpu, "gpu").name != gpu.name) continue;
    } catch (const SpecError&) {
      continue;
    }
    if (predict(row, gpu, e, why)) mine.push_back({&row, fnv1a(shape_key(row)) % 10 < 7});
  }
  return mine;
}

EfficiencySpec fit(KernelFileKind kind, const std::vector<FitRow>& rows, const GpuSpec& gpu,
                   const EfficiencySpec& start, const GemmFit& gemm) {
  EfficiencySpec e = start;
  Seconds& fixed = kind == KernelFileKind::gemm        ? e.gemm.fixed
                   : kind == KernelFileKind::attention ? e.attention.fixed
                                                       : e.memory.fixed;
  double fixed_us = fixed / microseconds;
  std::vector<Parameter> parameters = kind == KernelFileKind::gemm        ? gemm_parameters(e, rows, gemm)
                                      : kind == KernelFileKind::attention ? attention_parameters(e.attention, rows)
                                                                          : memory_parameters(e.memory, rows);
  parameters.push_back({&fixed_us, Range::positive, 0.5});
  std::vector<double> origin;
  for (const Parameter& p : parameters) origin.push_back(p.coordinate());

  const auto set = [&](const std::vector<double>& x) {
    for (std::size_t i = 0; i < x.size(); ++i) parameters[i].set(x[i]);
    fixed = fixed_us * microseconds;
  };
  const auto loss = [&](const std::vector<double>& x) {
    set(x);
    double sum = 0;
    std::string why;
    for (const FitRow& r : rows) {
      if (!r.train) continue;
      const double error = std::log(predict(*r.row, gpu, e, why).value() / r.row->measured);
      sum += weight_of(*r.row) * rho(error) / kErrorScale;
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double off = (x[i] - origin[i]) / parameters[i].sigma;
      sum += 0.5 * off * off;
    }
    return sum;
  };
  // A loss with maxima inside has several valleys: search from the prior and from points about it, keep the best.
  std::vector<double> best;
  double least = 0;
  std::mt19937 random(1);  // the standard fixes its sequence
  for (int start_point = 0; start_point < kStartPoints; ++start_point) {
    std::vector<double> x = origin;
    for (std::size_t i = 0; i < x.size() && start_point > 0; ++i)
      x[i] += parameters[i].sigma * (static_cast<double>(random()) / 2147483648.0 - 1.0);
    x = minimise(loss, x, {.step = 0.15, .evaluations = 4000, .restarts = 3});
    const double found = loss(x);
    if (start_point > 0 && found >= least) continue;
    least = found;
    best = x;
  }
  set(best);
  return e;
}

ErrorSummary judge(const std::vector<FitRow>& rows, const GpuSpec& gpu, const EfficiencySpec& e, bool train,
                   const std::function<bool(const KernelRow&)>& wanted) {
  std::vector<ComparisonRow> judged;
  std::string why;
  for (const FitRow& r : rows) {
    if (r.train != train || !wanted(*r.row)) continue;
    judged.push_back(
        {r.row->id, "seconds", {}, predict(*r.row, gpu, e, why).value() / seconds, r.row->measured / seconds});
  }
  return summarise(judged);
}

}  // namespace foretrain
