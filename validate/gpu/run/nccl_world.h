/// NCCL communicators of a run: all ranks, and the groups of a plan split from them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nccl.h>

#include "validate/gpu/run/graph_file.h"
#include "validate/gpu/run/watchdog.h"

namespace foretrain::gpu {

/// Throws MachineError "ncclAllReduce(...): unhandled cuda error (file:line)" unless `result` is ncclSuccess.
void check_nccl(ncclResult_t result, const char* call, const char* file, int line);
#define FORETRAIN_NCCL_CHECK(call) ::foretrain::gpu::check_nccl((call), #call, __FILE__, __LINE__)

/// All ranks of a run, one of which is this one. Every call that makes a communicator is made by all of them, in the
/// same order.
class NcclWorld {
 public:
  /// Waits for all `size` ranks; the watchdog ends the process after `limit_seconds`.
  NcclWorld(std::int32_t rank, std::int32_t size, const ncclUniqueId& id, Watchdog& dog, double limit_seconds);
  /// The first `size` ranks of `whole` as a world of their own. All ranks of `whole` make it; those that are not among
  /// them hold an empty one.
  NcclWorld(NcclWorld& whole, std::int32_t size);
  ~NcclWorld();
  NcclWorld(const NcclWorld&) = delete;
  NcclWorld& operator=(const NcclWorld&) = delete;

  [[nodiscard]] std::int32_t rank() const { return rank_; }
  [[nodiscard]] std::int32_t size() const { return size_; }
  [[nodiscard]] ncclComm_t whole() const { return whole_; }

  /// The communicator of `ranks` in this order; null for fewer than two, or where this rank is not among them. Groups
  /// made by one call are disjoint. Owned by the world.
  ncclComm_t split(const std::vector<std::int32_t>& ranks);

 private:
  std::int32_t rank_, size_;
  Watchdog& dog_;
  double limit_seconds_;
  ncclComm_t whole_ = nullptr;
  std::vector<ncclComm_t> groups_;
};

/// The communicators of one rank of a plan. Messages between stages have two for each pair of stages, one for each
/// direction, so that neither waits for the other.
class PlanGroups {
 public:
  /// `world` has as many ranks as `plan` has GPUs.
  PlanGroups(const World& plan, NcclWorld& world);

  struct Channel {
    ncclComm_t comm = nullptr;  ///< null: nobody to talk to
    std::int32_t peer = 0;      ///< of a send_recv between stages
    std::int32_t size = 1;
  };
  [[nodiscard]] Channel channel(const Message& message) const;

  /// What this rank does when all ranks send `received` (or do the collective) at the same time: the message itself;
  /// for one between stages its receive and the send that another stage waits for, where it has them; nothing for a
  /// rank outside the group.
  [[nodiscard]] std::vector<Message> ends_of(const Message& received) const;

 private:
  std::int32_t stage_ = 0, stages_ = 1;
  std::array<Channel, kGroupNames.size()> groups_;
  std::vector<ncclComm_t> forward_, backward_;  // [edge from stage e to the next]
};

/// Puts a collective on a stream. `send` and `receive` have the message's bytes (the smaller side of a gather or
/// scatter its share of them). Reductions add bf16 within a model, fp32 over data-parallel ranks.
void launch_message(const Message& message, const PlanGroups::Channel& channel, const void* send, void* receive,
                    cudaStream_t stream);

/// Microseconds that NCCL's own model gives the message; negative where it says nothing (send_recv).
double nccl_estimate_us(const Message& message, const PlanGroups::Channel& channel, const void* send, void* receive,
                        cudaStream_t stream);

}  // namespace foretrain::gpu
