#include "hwmodels/residuals.h"

#include <algorithm>

namespace foretrain {
namespace {

constexpr IntRange kRows = {0, 1'000'000'000};
constexpr RealRange kSpread = {0, 3}, kBias = {-3, 3};

PartResidual read_part(const SpecNode& node) {
  node.allow_only({"rows", "log_sd"});
  return {node.required("rows").as_int(kRows), node.required("log_sd").as_real(kSpread)};
}

StepResidual read_step(const SpecNode& node) {
  node.allow_only({"rows", "log_bias", "log_width"});
  return {node.required("rows").as_int(kRows), node.required("log_bias").as_real(kBias),
          node.required("log_width").as_real(kSpread)};
}

std::map<std::string, PartResidual> read_parts(const SpecNode& node) {
  std::map<std::string, PartResidual> parts;
  for (const std::string& gpu : node.keys()) parts[gpu] = read_part(node.required(gpu));
  return parts;
}

}  // namespace

ResidualSpec read_residuals(const SpecNode& file) {
  file.allow_only({"schema", "notes", "kernels", "collectives", "steps", "any_step", "ranking"});
  ResidualSpec spec;
  spec.kernels = read_parts(file.required("kernels"));
  spec.collectives = read_parts(file.required("collectives"));
  const SpecNode steps = file.required("steps");
  for (const std::string& trainer : steps.keys()) spec.steps[trainer] = read_step(steps.required(trainer));
  spec.any_step = read_step(file.required("any_step"));
  spec.ranking = read_part(file.required("ranking"));
  return spec;
}

double log_sd_of(const std::map<std::string, PartResidual>& residuals, const std::string& gpu) {
  const auto found = residuals.find(gpu);
  if (found != residuals.end()) return found->second.log_sd;
  double widest = 0;
  for (const auto& [name, residual] : residuals) widest = std::max(widest, residual.log_sd);
  return widest;
}

}  // namespace foretrain
