#include "validate/parallel/check_training.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "validate/parallel/expected_masks.h"

namespace foretrain::parallel {
namespace {

/// What the reference gives: losses and gradients of every step, and the parameters after the last.
struct Expected {
  std::vector<double> losses;
  std::vector<ReferenceWeights> gradients;
  ReferenceWeights changes;
};

Expected expected_of(const TrainSetup& setup, std::int64_t steps) {
  Expected expected;
  ReferenceModel reference(setup.model, initial_weights(setup.model, setup.seed));
  const ReferenceWeights before = reference.weights();
  for (std::int64_t step = 0; step < steps; ++step) {
    expected.losses.push_back(reference.compute_gradients(step, setup.plan.sequences(), expected_masks(setup, step)));
    expected.gradients.push_back(reference.gradients());
    reference.update(setup.adam, step + 1);
  }
  expected.changes = reference.weights();
  for (auto& entry : expected.changes) {
    for (std::size_t i = 0; i < entry.second.values.size(); ++i)
      entry.second.values[i] -= before.at(entry.first).values[i];
  }
  return expected;
}

/// Float roundings on the way from a token to a gradient: the lengths of the sums along it, forward, and twice
/// backward.
std::int64_t roundings(const TrainSetup& setup) {
  const SmallModel& m = setup.model;
  const std::int64_t attention = m.hidden + m.head_dim + m.sequence + m.heads * m.head_dim;
  const std::int64_t mlp = m.hidden + m.ffn_hidden;
  const std::int64_t layer = attention + mlp + 4 * m.hidden;
  const std::int64_t ends = 2 * m.hidden + m.hidden + m.vocab;
  return 3 * (m.layers * layer + ends) + std::int64_t{setup.plan.sequences()} * m.sequence;
}

/// Compares a rank's pieces with the reference's. Where all of a parameter's numbers are near zero (the gradient of a
/// key bias is zero but for rounding), a tenth of the largest number of its unit is the scale.
void compare_pieces(const std::string& what, const TrainSetup& setup, int tensor_rank, const Weights& got,
                    const ReferenceWeights& wanted, double allowed, Difference& difference) {
  for (const UnitSpec& unit : units_of(setup.model)) {
    double unit_scale = 0;
    for (const ParameterSpec& spec : unit.parameters)
      unit_scale = std::max(unit_scale, largest(wanted.at(unit.name + "/" + spec.name).values));
    for (const ParameterSpec& spec : unit.parameters) {
      const std::string name = std::string(unit.name).append("/").append(spec.name);
      const auto found = got.find(name);
      if (found == got.end()) continue;  // on another stage
      const std::vector<double>& whole = wanted.at(name).values;
      const Part part = part_of(spec, tensor_rank, setup.plan.tensor);
      const std::vector<double> piece = piece_of<double>(spec, whole, part.number, part.of);
      difference.compare(std::string(what).append(" of ").append(name), found->second, piece, allowed,
                         std::max(largest(whole), unit_scale / 10));
    }
  }
}

void run(const TrainSetup& setup, std::int64_t steps, const Expected& expected, const CheckRun& check) {
  Trainer trainer(setup, check.world, check.math,
                  check.fault != nullptr ? rules_with(*check.fault, setup.plan) : PlaceRules());
  Difference& difference = check.difference;
  const double allowed = rounding_tolerance(roundings(setup));
  const Weights before = trainer.weights();
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto at = static_cast<std::size_t>(step);
    const std::string step_name = "step " + std::to_string(step) + ": ";
    const auto loss = static_cast<float>(trainer.compute_gradients(step));
    // Later steps start from parameters that already differ by rounding.
    const double allowed_now = allowed * static_cast<double>(step + 1);
    difference.compare(step_name + "loss", {&loss, 1}, {&expected.losses[at], 1}, allowed_now);
    compare_pieces(step_name + "gradient", setup, trainer.place().tensor, trainer.gradients(), expected.gradients[at],
                   allowed_now, difference);
    trainer.update(step);
  }
  Weights changes = trainer.weights();
  for (auto& entry : changes) {
    for (std::size_t i = 0; i < entry.second.size(); ++i) entry.second[i] -= before.at(entry.first)[i];
  }
  compare_pieces("change", setup, trainer.place().tensor, changes, expected.changes,
                 allowed * static_cast<double>(steps + 1), difference);

  const ParallelPlan& plan = setup.plan;
  const sim::PipelineShape shape{plan.pipeline, plan.virtual_pipeline, plan.micro_batches};
  const sim::Schedule& schedule = *sim::find_schedule(plan.schedule);
  difference.require(trainer.most_in_flight() == schedule.peak_in_flight(shape, trainer.place().pipeline),
                     "passes in flight");
}

}  // namespace

Check training_check(std::string name, const TrainSetup& setup, std::int64_t steps, std::vector<Fault> faults) {
  FORETRAIN_CHECK(why_illegal(setup.model, setup.plan) == nullptr);
  struct Once {
    std::once_flag flag;
    Expected expected;
  };
  const auto once = std::make_shared<Once>();
  Check check;
  check.name = std::move(name);
  check.ranks = setup.plan.ranks();
  check.faults = std::move(faults);
  check.run = [setup, steps, once](const CheckRun& context) {
    std::call_once(once->flag, [&] { once->expected = expected_of(setup, steps); });
    run(setup, steps, once->expected, context);
  };
  return check;
}

}  // namespace foretrain::parallel
