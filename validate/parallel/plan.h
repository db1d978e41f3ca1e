/// How a small model is spread over ranks, and the groups that a rank then belongs to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "validate/parallel/communicator.h"

namespace foretrain::parallel {

enum class ContextKind : std::uint8_t { ring, ulysses };

struct ParallelPlan {
  int tensor = 1;
  int context = 1;
  int data = 1;
  int pipeline = 1;
  int virtual_pipeline = 1;  ///< chunks a stage
  bool sequence_parallel = false;
  ContextKind context_kind = ContextKind::ring;
  std::string schedule = "1f1b";  ///< of sim/schedule.h
  bool blocking_sends = false;    ///< one message at a time; otherwise grouped as Megatron-LM groups them
  int micro_batches = 1;
  int micro_batch = 1;  ///< sequences
  int zero_stage = 0;   ///< 0 to 3: shards nothing; the optimizer; gradients too; parameters too
  bool recompute = false;

  int ranks() const { return tensor * context * data * pipeline; }
  int sequences() const { return data * micro_batches * micro_batch; }  ///< of a step
};

/// A rank's place: rank = tensor + T (context + C (data + D pipeline)), Megatron-LM's order tp-cp-dp-pp.
struct Coordinates {
  int tensor = 0;
  int context = 0;
  int data = 0;
  int pipeline = 0;
};

Coordinates coordinates_of(const ParallelPlan& plan, int rank);
int rank_of(const ParallelPlan& plan, const Coordinates& place);

/// One rank's groups, each ordered by the coordinate that varies in it.
struct Mesh {
  Coordinates place;
  std::unique_ptr<Communicator> tensor;
  std::unique_ptr<Communicator> key_value;  ///< the tensor ranks with the same keys and values, where heads are too few
  std::unique_ptr<Communicator> context;
  std::unique_ptr<Communicator> data;  ///< data and context ranks: what averages gradients and shards under ZeRO
  std::unique_ptr<Communicator> pipeline;
  std::unique_ptr<Communicator> embedding;  ///< first and last stage; alone on the stages between
  std::unique_ptr<Communicator> everyone;
};

/// Needs world.size() == plan.ranks(); `kv_heads` are the model's. Every rank calls it.
Mesh mesh_of(const ParallelPlan& plan, std::int64_t kv_heads, World& world);

/// The positions that context rank `rank` holds, in its order. The sequence is cut in 2 C pieces; rank r takes pieces r
/// and 2 C - 1 - r, so that causal attention is the same work everywhere (Megatron-LM, get_batch_on_this_cp_rank).
/// C = 1 holds all. Needs sequence divisible by 2 C.
std::vector<int> positions_of(std::int64_t sequence, int rank, int context);

}  // namespace foretrain::parallel
