#include "validate/parallel/context_attention.h"

#include <array>
#include <utility>
#include <vector>

namespace foretrain::parallel {
namespace {

AttentionBlock block_of(const RankContext& rank, const ContextAttentionSaved& saved) {
  AttentionBlock block;
  block.batch = rank.plan.micro_batch;
  block.heads = saved.q.columns() / rank.model.head_dim;
  block.kv_heads = saved.k.columns() / rank.model.head_dim;
  block.head_dim = rank.model.head_dim;
  block.sequence = rank.model.sequence;
  block.drop = rank.model.attention_drop;
  block.draw = saved.draw;
  block.query_positions = rank.own_positions();
  block.key_positions = rank.own_positions();
  return block;
}

/// Passes tensors to the next context rank and takes those of the one before.
std::vector<Tensor> hop(const RankContext& rank, const std::vector<Tensor>& mine, const std::string& what) {
  Communicator& context = *rank.mesh.context;
  const int ranks = context.size();
  const int next = (context.rank() + 1) % ranks;
  const int previous = (context.rank() + ranks - 1) % ranks;
  std::vector<Tensor> theirs;
  std::vector<Transfer> transfers;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    theirs.push_back(rank.math.zeros(mine[i].rows(), mine[i].columns()));
    const auto lane = static_cast<int>(i);
    transfers.push_back({Operation::send, next, lane, mine[i].span(), what});
    transfers.push_back({Operation::receive, previous, lane, theirs[i].span(), what});
  }
  context.exchange(transfers);
  return theirs;
}

Tensor ring_forward(const RankContext& rank, ContextAttentionSaved& saved) {
  const int ranks = rank.mesh.context->size();
  AttentionBlock block = block_of(rank, saved);
  saved.result = rank.math.attention(block, saved.q, saved.k, saved.v);
  std::vector<Tensor> keys = {saved.k, saved.v};
  for (int step = 1; step < ranks; ++step) {
    keys = hop(rank, keys, "ring keys and values");
    const int owner = (rank.mesh.context->rank() + ranks - step) % ranks;
    block.key_positions = rank.positions[static_cast<std::size_t>(owner)];
    rank.math.merge_attention(block, rank.math.attention(block, saved.q, keys[0], keys[1]), saved.result);
  }
  return saved.result.out;
}

AttentionGradients ring_backward(const RankContext& rank, const ContextAttentionSaved& saved, const Tensor& dout) {
  Math& math = rank.math;
  const int ranks = rank.mesh.context->size();
  AttentionBlock block = block_of(rank, saved);
  const Tensor dq = math.zeros(saved.q.rows(), saved.q.columns());
  std::vector<Tensor> keys = {saved.k, saved.v};
  std::vector<Tensor> gradients = {math.zeros(saved.k.rows(), saved.k.columns()),
                                   math.zeros(saved.v.rows(), saved.v.columns())};
  for (int step = 0; step < ranks; ++step) {
    if (step > 0) keys = hop(rank, keys, "ring keys and values");
    const int owner = (rank.mesh.context->rank() + ranks - step) % ranks;
    block.key_positions = rank.positions[static_cast<std::size_t>(owner)];
    math.attention_backward(block, saved.q, keys[0], keys[1], saved.result, dout, dq, gradients[0], gradients[1]);
    if (ranks > 1) gradients = hop(rank, gradients, "ring key gradients");
  }
  return {dq, gradients[0], gradients[1]};
}

/// Positions of all context ranks, one rank after the other: the order of rows once tokens are together.
std::vector<int> all_positions(const RankContext& rank) {
  std::vector<int> all;
  for (const std::vector<int>& part : rank.positions) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// [own tokens, all heads] to [all tokens, own heads].
Tensor heads_together(const RankContext& rank, const Tensor& x, const std::string& what) {
  const int ranks = rank.mesh.context->size();
  const Tensor pieces = rank.math.split_columns(x, ranks);
  Tensor together = rank.math.zeros(pieces.rows(), pieces.columns());
  rank.mesh.context->all_to_all(pieces.span(), together.span(), what);
  return together;
}

/// The way back.
Tensor heads_apart(const RankContext& rank, const Tensor& x, const std::string& what) {
  const Tensor pieces = rank.math.zeros(x.rows(), x.columns());
  rank.mesh.context->all_to_all(x.span(), pieces.span(), what);
  return rank.math.join_columns(pieces, rank.mesh.context->size());
}

AttentionBlock all_positions_block(const RankContext& rank, const ContextAttentionSaved& saved,
                                   const std::vector<int>& positions) {
  AttentionBlock block = block_of(rank, saved);
  block.query_positions = positions;
  block.key_positions = positions;
  return block;
}

Tensor ulysses_forward(const RankContext& rank, ContextAttentionSaved& saved) {
  saved.q = heads_together(rank, saved.q, "ulysses queries");
  saved.k = heads_together(rank, saved.k, "ulysses keys");
  saved.v = heads_together(rank, saved.v, "ulysses values");
  const std::vector<int> positions = all_positions(rank);
  saved.result = rank.math.attention(all_positions_block(rank, saved, positions), saved.q, saved.k, saved.v);
  return heads_apart(rank, saved.result.out, "ulysses output");
}

AttentionGradients ulysses_backward(const RankContext& rank, const ContextAttentionSaved& saved, const Tensor& dout) {
  Math& math = rank.math;
  const Tensor dout_share = heads_together(rank, dout, "ulysses output gradient");
  const std::vector<int> positions = all_positions(rank);
  const Tensor dq = math.zeros(saved.q.rows(), saved.q.columns());
  const Tensor dk = math.zeros(saved.k.rows(), saved.k.columns());
  const Tensor dv = math.zeros(saved.v.rows(), saved.v.columns());
  math.attention_backward(all_positions_block(rank, saved, positions), saved.q, saved.k, saved.v, saved.result,
                          dout_share, dq, dk, dv);
  return {heads_apart(rank, dq, "ulysses query gradient"), heads_apart(rank, dk, "ulysses key gradient"),
          heads_apart(rank, dv, "ulysses value gradient")};
}

}  // namespace

Tensor context_attention(const RankContext& rank, ContextAttentionSaved& saved) {
  return rank.plan.context_kind == ContextKind::ring ? ring_forward(rank, saved) : ulysses_forward(rank, saved);
}

AttentionGradients context_attention_backward(const RankContext& rank, const ContextAttentionSaved& saved,
                                              const Tensor& dout) {
  return rank.plan.context_kind == ContextKind::ring ? ring_backward(rank, saved, dout)
                                                     : ulysses_backward(rank, saved, dout);
}

}  // namespace foretrain::parallel
