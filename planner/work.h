/// What a task of a kernel-level graph does, as data: what the simulator times and what GPUs execute.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <variant>

#include "hwmodels/collective_time.h"
#include "hwmodels/kernel.h"

namespace foretrain {

/// Which group of ranks takes part. `model`: all tensor and pipeline ranks of one replica; `embedding`: first and last
/// stage; `next`, `previous`: the neighbouring stages of a send or receive.
enum class WorkGroup : std::uint8_t { tensor, context, data, shard, replica, model, embedding, next, previous };
inline constexpr std::array<std::string_view, 9> kWorkGroupNames = {"tensor", "context",   "data", "shard",   "replica",
                                                                    "model",  "embedding", "next", "previous"};

/// A collective, or one end of a message between stages (op send_recv; `sends` says which end). `bytes` as
/// CollectiveTime counts them.
struct MessageWork {
  CollectiveOp op = CollectiveOp::all_reduce;
  std::int64_t bytes = 0;
  WorkGroup group = WorkGroup::data;
  bool sends = false;
};

using Work = std::variant<Kernel, MessageWork>;

}  // namespace foretrain
