/// Runs a stage's passes in the order of a schedule, with the messages between stages.
#pragma once

#include <functional>

#include "sim/schedule.h"
#include "validate/parallel/communicator.h"
#include "validate/parallel/math.h"

namespace foretrain::parallel {

/// How a stage waits for its messages.
enum class Messages : std::uint8_t {
  /// Each receive before its pass and each send after it, one at a time. With sends that wait for their receiver GPipe
  /// runs so; 1F1B does not: two stages end up sending to each other.
  one_by_one,
  /// What a pass sends together with what the next one receives; interleaved: what a forward and the backward after it
  /// send with what the next two receive. Source: Megatron-LM megatron/core/pipeline_parallel/schedules.py,
  /// send_forward_recv_backward and send_forward_backward_recv_forward_backward.
  grouped
};

struct PipelineWork {
  /// Given the micro-batch's activations from the part before (empty for the first), gives those for the next.
  std::function<Tensor(const sim::Pass&, const Tensor&)> forward;
  /// Given the gradient from the part after (empty for the last), gives that for the part before.
  std::function<Tensor(const sim::Pass&, const Tensor&)> backward;
  /// Room for one message.
  std::function<Tensor()> buffer;
};

/// Runs this rank's stage, communicator.rank(). Needs a shape that the schedule allows. Part chunk * stages + stage of
/// the model is chunk `chunk` of stage `stage`.
void run_pipeline(Communicator& communicator, const sim::Schedule& schedule, const sim::PipelineShape& shape,
                  Messages messages, const PipelineWork& work);

}  // namespace foretrain::parallel
