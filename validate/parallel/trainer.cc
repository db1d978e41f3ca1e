#include "validate/parallel/trainer.h"

#include <algorithm>
#include <array>
#include <utility>

namespace foretrain::parallel {
namespace {

std::vector<std::vector<int>> positions_by_rank(const TrainSetup& setup) {
  std::vector<std::vector<int>> positions;
  for (int r = 0; r < setup.plan.context; ++r)
    positions.push_back(positions_of(setup.model.sequence, r, setup.plan.context));
  return positions;
}

sim::PipelineShape shape_of(const ParallelPlan& plan) {
  return {plan.pipeline, plan.virtual_pipeline, plan.micro_batches};
}

}  // namespace

const char* why_illegal(const SmallModel& model, const ParallelPlan& plan) {
  const sim::Schedule* const schedule = sim::find_schedule(plan.schedule);
  if (schedule == nullptr) return "has no such schedule";
  if (const char* const why = schedule->why_illegal(shape_of(plan))) return why;
  if (model.layers % (std::int64_t{plan.pipeline} * plan.virtual_pipeline) != 0)
    return "needs layers divisible by pipeline parts";
  if (model.heads % plan.tensor != 0 || model.heads % model.kv_heads != 0) return "needs heads divisible by tensor";
  if (model.kv_heads % plan.tensor != 0 && plan.tensor % model.kv_heads != 0)
    return "needs kv heads divisible by tensor or the other way";
  if (model.ffn_hidden % plan.tensor != 0 || model.vocab % plan.tensor != 0)
    return "needs ffn_hidden and vocab divisible by tensor";
  if (plan.context > 1 && model.sequence % (std::int64_t{2} * plan.context) != 0)
    return "needs sequence divisible by 2 context";
  if (plan.sequence_parallel && model.sequence / plan.context % plan.tensor != 0)
    return "needs a context rank's tokens divisible by tensor";
  if (plan.context_kind == ContextKind::ulysses &&
      (model.heads / plan.tensor % plan.context != 0 || model.kv_heads < std::int64_t{plan.tensor} * plan.context ||
       model.kv_heads / plan.tensor % plan.context != 0))
    return "needs a tensor rank's heads divisible by context";
  return nullptr;
}

Trainer::Trainer(const TrainSetup& setup, World& world, Math& math, const PlaceRules& rules)
    : setup_(setup),
      rules_(rules),
      math_(math),
      mesh_(mesh_of(setup.plan, setup.model.kv_heads, world)),
      streams_(rules_.streams(setup.seed, mesh_.place)),
      rank_{math_, mesh_, setup_.model, setup_.plan, *streams_, positions_by_rank(setup_)},
      parameters_(setup_.plan, mesh_, math_, setup_.model.tied_embeddings && setup_.plan.pipeline > 1) {
  FORETRAIN_CHECK(why_illegal(setup_.model, setup_.plan) == nullptr);
  const ParallelPlan& plan = setup_.plan;
  const int parts = plan.pipeline * plan.virtual_pipeline;
  std::vector<std::string> names;
  for (int chunk = 0; chunk < plan.virtual_pipeline; ++chunk) {
    const int part = chunk * plan.pipeline + mesh_.place.pipeline;
    const std::vector<std::string> more = ModelPart::unit_names(setup_.model, part, parts);
    names.insert(names.end(), more.begin(), more.end());
    parts_.emplace_back(rank_, parameters_, part, parts);
  }
  const Weights weights = initial_weights(setup_.model, setup_.seed);
  for (const UnitSpec& unit : units_of(setup_.model)) {
    if (std::find(names.begin(), names.end(), unit.name) != names.end())
      parameters_.add(unit, weights, rules_.weights(mesh_.place).tensor);
  }
}

MicroBatch Trainer::tokens_of(std::int64_t step, std::int32_t micro_batch) const {
  const ParallelPlan& plan = setup_.plan;
  const Coordinates place = rules_.tokens(mesh_.place);
  const std::int64_t first = (std::int64_t{place.data} * plan.micro_batches + micro_batch) * plan.micro_batch;
  std::vector<std::vector<int>> sequences;
  for (int i = 0; i < plan.micro_batch; ++i) sequences.push_back(token_ids(setup_.model, step, first + i));
  MicroBatch tokens;
  for (const int position : rank_.positions[static_cast<std::size_t>(place.context)]) {
    for (const std::vector<int>& sequence : sequences) {
      tokens.ids.push_back(sequence[static_cast<std::size_t>(position)]);
      tokens.targets.push_back(sequence[static_cast<std::size_t>(position) + 1]);
    }
  }
  return tokens;
}

double Trainer::compute_gradients(std::int64_t step) {
  const ParallelPlan& plan = setup_.plan;
  const std::int64_t tokens = rank_.whole_rows() * plan.micro_batches;  // of this rank; the data ranks are averaged
  double loss = 0;
  PipelineWork work;
  work.forward = [&](const sim::Pass& pass, const Tensor& x) {
    PartSaved& saved = saved_[{pass.chunk, pass.micro_batch}];
    most_in_flight_ = std::max(most_in_flight_, static_cast<std::int64_t>(saved_.size()));
    const auto number = static_cast<std::uint64_t>(step * plan.micro_batches + pass.micro_batch);
    Tensor y =
        parts_[static_cast<std::size_t>(pass.chunk)].forward(tokens_of(step, pass.micro_batch), number, x, saved);
    loss += saved.loss_sum / static_cast<double>(tokens);
    return y;
  };
  work.backward = [&](const sim::Pass& pass, const Tensor& dy) {
    const auto saved = saved_.find({pass.chunk, pass.micro_batch});
    Tensor dx =
        parts_[static_cast<std::size_t>(pass.chunk)].backward(dy, 1 / static_cast<float>(tokens), saved->second);
    saved_.erase(saved);
    return dx;
  };
  work.buffer = [&] { return math_.zeros(rank_.own_rows(), setup_.model.hidden); };
  run_pipeline(*mesh_.pipeline, *sim::find_schedule(plan.schedule), shape_of(plan),
               plan.blocking_sends ? Messages::one_by_one : Messages::grouped, work);
  parameters_.reduce_gradients();

  const std::array<float, 1> own_loss = {static_cast<float>(loss)};
  const Tensor mean_loss = math_.upload(1, 1, own_loss);
  mesh_.pipeline->broadcast(mean_loss.span(), plan.pipeline - 1, "loss");
  mesh_.data->all_reduce(mean_loss.span(), Reduction::mean, "loss");
  return double{math_.download(mean_loss).front()};
}

void Trainer::update(std::int64_t step) { parameters_.update(setup_.adam, step + 1); }

Weights Trainer::report(const std::function<Tensor(const Unit&)>& flat_of) {
  Weights pieces;
  for (const Unit& unit : parameters_.units()) {
    const std::vector<float> flat = math_.download(flat_of(unit));
    auto next = flat.begin();
    for (const Parameter& parameter : unit.parameters) {
      pieces[full_name(unit, parameter)] = {next, next + parameter.value.size()};
      next += parameter.value.size();
    }
  }
  return pieces;
}

Weights Trainer::gradients() {
  return report([&](const Unit& unit) { return parameters_.whole_gradient(unit); });
}

Weights Trainer::weights() {
  return report([&](const Unit& unit) { return parameters_.whole_values(unit); });
}

}  // namespace foretrain::parallel
