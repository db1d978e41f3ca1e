#include <cmath>
#include <string>
#include <utility>

#include "validate/parallel/check_layers.h"

namespace foretrain::parallel {
namespace {

constexpr std::int64_t kElements = 4096;
constexpr float kDrop = 0.25F;
constexpr std::uint64_t kSeed = 77;

/// Whether a count of independent events of probability p lies within five standard deviations of its mean: a false
/// alarm in two million.
bool likely(std::int64_t count, double p) {
  const auto n = static_cast<double>(kElements);
  return std::abs(static_cast<double>(count) - n * p) <= 5 * std::sqrt(n * p * (1 - p));
}

void run_dropout(const ParallelPlan& plan, const CheckRun& run) {
  const PlaceRules rules = run.fault != nullptr ? rules_with(*run.fault, plan) : PlaceRules();
  const Mesh mesh = mesh_of(plan, plan.tensor, run.world);
  const std::unique_ptr<RandomStreams> streams = rules.streams(kSeed, mesh.place);
  for (const Region region : {Region::replicated, Region::split}) {
    const std::string name = region == Region::replicated ? "replicated" : "split";
    const Tensor mask = run.math.zeros(1, kElements);
    run.math.fill(1, mask);
    run.math.dropout(kDrop, streams->draw(region), mask);
    const Tensor masks = run.math.zeros(mesh.tensor->size(), kElements);
    mesh.tensor->all_gather(mask.span(), masks.span(), "masks");
    const std::vector<float> all = run.math.download(masks);
    const auto kept = [&](int rank, std::int64_t i) {
      return all[static_cast<std::size_t>(rank * kElements + i)] != 0;
    };
    for (int a = 0; a < mesh.tensor->size(); ++a) {
      std::int64_t count = 0;
      for (std::int64_t i = 0; i < kElements; ++i) count += kept(a, i) ? 1 : 0;
      run.difference.require(likely(count, 1 - double{kDrop}), "share kept in " + name + " regions");
      for (int b = 0; b < a; ++b) {
        std::int64_t alike = 0;
        for (std::int64_t i = 0; i < kElements; ++i) alike += kept(a, i) == kept(b, i) ? 1 : 0;
        const double drop = double{kDrop};
        const bool right =
            region == Region::replicated ? alike == kElements : likely(alike, drop * drop + (1 - drop) * (1 - drop));
        run.difference.require(right, "masks of tensor ranks " + std::to_string(b) + " and " + std::to_string(a) +
                                          " in " + name + " regions");
      }
    }
    // Kept elements grow by 1 / (1 - 1/4), which floats hold exactly to the last place.
    for (const float value : all)
      run.difference.require(value == 0 || value == 1 / (1 - kDrop), "value kept in " + name + " regions");
  }
}

}  // namespace

Check dropout_check(std::string name, int tensor, std::vector<Fault> faults) {
  const ParallelPlan plan{.tensor = tensor};
  return {std::move(name), tensor, [plan](const CheckRun& run) { run_dropout(plan, run); }, std::move(faults)};
}

}  // namespace foretrain::parallel
