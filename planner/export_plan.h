/// Exporters: a plan as the files that a trainer is launched with.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "planner/problem.h"
#include "planner/rejection.h"
#include "planner/trainer.h"

namespace foretrain {

struct Exporter {
  std::string_view name;           ///< as --to takes it
  std::string_view summary;        ///< what is written
  std::string_view source;         ///< where the keys are from
  std::optional<Trainer> trainer;  ///< whose launch rules hold; none: any plan can be written
  /// Needs a plan that breaks no launch rule of `trainer`. Same input, same bytes.
  std::string (*write)(const Problem&, const Plan&);
};

/// Every exporter, in the order in which they are listed.
std::span<const Exporter> exporters();

/// Why `exporter` cannot write the plan: the first of its trainer's launch rules that it breaks.
std::optional<Rejection> why_not_exported(const Exporter& exporter, const Problem& problem, const Plan& plan);

}  // namespace foretrain
