#include "validate/parallel/pipeline.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/check.h"

namespace foretrain::parallel {
namespace {

constexpr int kForwardLane = 0;
constexpr int kBackwardLane = 1;

/// A message that a pass waits for or sends: its peer, and a name that both ends agree on.
struct Message {
  int peer = 0;
  int lane = 0;
  std::string what;
};

class Stage {
 public:
  Stage(Communicator& communicator, const sim::PipelineShape& shape, const PipelineWork& work)
      : communicator_(communicator), shape_(shape), work_(work) {}

  /// Runs passes slot by slot: what a slot sends goes with what the next one receives, or each message alone.
  void run(const std::vector<std::vector<sim::Pass>>& slots, Messages messages) {
    const bool grouped = messages == Messages::grouped;
    if (grouped) exchange({}, slots.front());
    for (std::size_t i = 0; i < slots.size(); ++i) {
      for (const sim::Pass& pass : slots[i]) {
        if (!grouped) exchange({}, {pass});
        run(pass);
        if (!grouped) exchange({pass}, {});
      }
      if (grouped) exchange(slots[i], i + 1 < slots.size() ? slots[i + 1] : std::vector<sim::Pass>());
    }
  }

 private:
  using Key = std::tuple<sim::PassKind, std::int32_t, std::int32_t>;
  static Key key_of(const sim::Pass& pass) { return {pass.kind, pass.chunk, pass.micro_batch}; }

  std::int32_t part_of(const sim::Pass& pass) const { return pass.chunk * shape_.stages + communicator_.rank(); }
  std::int32_t last_part() const { return shape_.stages * shape_.virtual_stages - 1; }

  /// False where the pass starts (ends) the chain of its kind.
  bool receives(const sim::Pass& pass) const {
    return part_of(pass) != (pass.kind == sim::PassKind::forward ? 0 : last_part());
  }
  bool sends(const sim::Pass& pass) const {
    return part_of(pass) != (pass.kind == sim::PassKind::forward ? last_part() : 0);
  }

  /// Forward passes go one stage up, backward passes one down, and round the end to the next chunk.
  Message message(const sim::Pass& pass, Operation operation) const {
    const bool forward = pass.kind == sim::PassKind::forward;
    const bool up = forward == (operation == Operation::send);
    const int stages = shape_.stages;
    const int from = operation == Operation::send ? part_of(pass) : part_of(pass) + (forward ? -1 : 1);
    return {(communicator_.rank() + (up ? 1 : stages - 1)) % stages, forward ? kForwardLane : kBackwardLane,
            (forward ? "activations of part " : "gradient of part ") + std::to_string(from) + ", micro-batch " +
                std::to_string(pass.micro_batch)};
  }

  void exchange(const std::vector<sim::Pass>& done, const std::vector<sim::Pass>& next) {
    std::vector<Transfer> transfers;
    const auto add = [&](const sim::Pass& pass, Operation operation, const Tensor& data) {
      Message m = message(pass, operation);
      transfers.push_back({operation, m.peer, m.lane, data.span(), std::move(m.what)});
    };
    for (const sim::Pass& pass : done) {
      if (sends(pass)) add(pass, Operation::send, outputs_.at(key_of(pass)));
    }
    for (const sim::Pass& pass : next) {
      if (receives(pass)) add(pass, Operation::receive, inputs_[key_of(pass)] = work_.buffer());
    }
    communicator_.exchange(transfers);
    for (const sim::Pass& pass : done) outputs_.erase(key_of(pass));
  }

  void run(const sim::Pass& pass) {
    const Tensor input = receives(pass) ? inputs_.at(key_of(pass)) : Tensor();
    inputs_.erase(key_of(pass));
    outputs_[key_of(pass)] =
        pass.kind == sim::PassKind::forward ? work_.forward(pass, input) : work_.backward(pass, input);
  }

  Communicator& communicator_;
  const sim::PipelineShape& shape_;
  const PipelineWork& work_;
  std::map<Key, Tensor> inputs_;
  std::map<Key, Tensor> outputs_;
};

/// Passes that exchange their messages together. Where a stage has chunks, a forward pass of the steady state goes with
/// the backward pass after it, for a stage's warm-up is two passes longer than its neighbour's. A stage whose forward
/// passes are all warm-up has no such pairs.
std::vector<std::vector<sim::Pass>> slots_of(const std::vector<sim::Pass>& order, bool chunks) {
  const auto is_forward = [](const sim::Pass& pass) { return pass.kind == sim::PassKind::forward; };
  const bool all_warm_up = std::is_partitioned(order.begin(), order.end(), is_forward);
  std::vector<std::vector<sim::Pass>> slots;
  for (std::size_t i = 0; i < order.size(); ++i) {
    slots.push_back({order[i]});
    const bool steady = chunks && !all_warm_up && i + 1 < order.size();
    if (steady && is_forward(order[i]) && !is_forward(order[i + 1])) slots.back().push_back(order[++i]);
  }
  return slots;
}

}  // namespace

void run_pipeline(Communicator& communicator, const sim::Schedule& schedule, const sim::PipelineShape& shape,
                  Messages messages, const PipelineWork& work) {
  FORETRAIN_CHECK(schedule.why_illegal(shape) == nullptr && communicator.size() == shape.stages);
  const std::vector<sim::Pass> order = schedule.order(shape, communicator.rank());
  Stage(communicator, shape, work).run(slots_of(order, shape.virtual_stages > 1), messages);
}

}  // namespace foretrain::parallel
