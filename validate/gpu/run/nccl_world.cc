#include "validate/gpu/run/nccl_world.h"

#include <algorithm>

#include "base/spec_error.h"
#include "validate/gpu/run/rank_groups.h"

namespace foretrain::gpu {

void check_nccl(ncclResult_t result, const char* call, const char* file, int line) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  std::string text = std::string(call) + ": " + ncclGetErrorString(result);
  const std::string last = ncclGetLastError(nullptr);
  if (last.find("Duplicate GPU") != std::string::npos) {
    int version = 0;
    ncclGetVersion(&version);
    text = "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100) +
           " refuses several ranks on one GPU; each needs a process and an NCCL_HOSTID " +
           "of its own (--ranks-per-gpu starts them so)";
  } else if (!last.empty()) {
    text += ": " + last.substr(0, last.find('\n'));
  }
  throw MachineError(text + " (" + file + ":" + std::to_string(line) + ")");
}

NcclWorld::NcclWorld(std::int32_t rank, std::int32_t size, const ncclUniqueId& id, Watchdog& dog, double limit_seconds)
    : rank_(rank), size_(size), dog_(dog), limit_seconds_(limit_seconds) {
  const Watched watched(dog_, "the meeting of " + std::to_string(size) + " NCCL ranks", limit_seconds_);
  FORETRAIN_NCCL_CHECK(ncclCommInitRank(&whole_, size, id, rank));
}

NcclWorld::NcclWorld(NcclWorld& whole, std::int32_t size)
    : rank_(whole.rank_), size_(size), dog_(whole.dog_), limit_seconds_(whole.limit_seconds_) {
  const Watched watched(dog_, "making a world of " + std::to_string(size) + " NCCL ranks", limit_seconds_);
  FORETRAIN_NCCL_CHECK(ncclCommSplit(whole.whole_, rank_ < size ? 0 : NCCL_SPLIT_NOCOLOR, rank_, &whole_, nullptr));
}

NcclWorld::~NcclWorld() {
  const Watched watched(dog_, "the end of the NCCL ranks", limit_seconds_);
  for (const ncclComm_t group : groups_) ncclCommDestroy(group);
  if (whole_ != nullptr) ncclCommDestroy(whole_);
}

ncclComm_t NcclWorld::split(const std::vector<std::int32_t>& ranks) {
  const Watched watched(dog_, "making a group of NCCL ranks", limit_seconds_);
  const auto me = std::find(ranks.begin(), ranks.end(), rank_);
  const bool takes_part = ranks.size() > 1 && me != ranks.end();
  const int color = takes_part ? *std::min_element(ranks.begin(), ranks.end()) : NCCL_SPLIT_NOCOLOR;
  ncclComm_t group = nullptr;
  FORETRAIN_NCCL_CHECK(ncclCommSplit(whole_, color, static_cast<int>(me - ranks.begin()), &group, nullptr));
  if (group == nullptr) return nullptr;
  groups_.push_back(group);
  return group;
}

PlanGroups::PlanGroups(const World& plan, NcclWorld& world) : stages_(plan.pipeline) {
  const RankPlace me = place_of(plan, world.rank());
  stage_ = me.pipeline;
  for (std::size_t g = 0; g <= static_cast<std::size_t>(Group::embedding); ++g) {
    const std::vector<std::int32_t> ranks = group_ranks(plan, world.rank(), static_cast<Group>(g));
    groups_[g] = {world.split(ranks), 0, std::max(1, static_cast<std::int32_t>(ranks.size()))};
  }
  if (stages_ == 1) return;
  for (std::vector<ncclComm_t>* direction : {&forward_, &backward_}) {
    for (std::int32_t e = 0; e < stages_; ++e) {
      RankPlace from = me, to = me;
      from.pipeline = e;
      to.pipeline = (e + 1) % stages_;
      direction->push_back(world.split({rank_of(plan, from), rank_of(plan, to)}));
    }
  }
}

PlanGroups::Channel PlanGroups::channel(const Message& m) const {
  if (m.group != Group::next && m.group != Group::previous) return groups_[static_cast<std::size_t>(m.group)];
  if (stages_ == 1) return {};
  // What goes to the next stage, or comes from the one before, goes forward.
  const bool forward = (m.group == Group::next) == m.sends;
  const std::int32_t edge = m.group == Group::next ? stage_ : (stage_ + stages_ - 1) % stages_;
  const ncclComm_t comm = (forward ? forward_ : backward_)[static_cast<std::size_t>(edge)];
  return {comm, m.group == Group::next ? 1 : 0, 2};
}

std::vector<Message> PlanGroups::ends_of(const Message& received) const {
  if (received.group != Group::next && received.group != Group::previous) {
    return channel(received).comm != nullptr ? std::vector{received} : std::vector<Message>{};
  }
  const bool from_next = received.group == Group::next;
  Message sent = received;
  sent.sends = true;
  sent.group = from_next ? Group::previous : Group::next;
  const bool has_previous = stage_ > 0, has_next = stage_ + 1 < stages_;
  std::vector<Message> ends;
  if (from_next ? has_previous : has_next) ends.push_back(sent);
  if (from_next ? has_next : has_previous) ends.push_back(received);
  return ends;
}

namespace {

/// Piece r of `send` to rank r, as ncclAlltoAll (from 2.28 on) does.
void exchange_all(const void* send, void* receive, std::size_t count, ncclDataType_t type, const PlanGroups::Channel& c,
                  cudaStream_t stream) {
  const std::size_t bytes = count * (type == ncclFloat32 ? 4 : 2);
  FORETRAIN_NCCL_CHECK(ncclGroupStart());
  for (int r = 0; r < c.size; ++r) {
    const std::size_t place = static_cast<std::size_t>(r) * bytes;
    FORETRAIN_NCCL_CHECK(ncclSend(static_cast<const char*>(send) + place, count, type, r, c.comm, stream));
    FORETRAIN_NCCL_CHECK(ncclRecv(static_cast<char*>(receive) + place, count, type, r, c.comm, stream));
  }
  FORETRAIN_NCCL_CHECK(ncclGroupEnd());
}

}  // namespace

void launch_message(const Message& m, const PlanGroups::Channel& c, const void* send, void* receive,
                    cudaStream_t stream) {
  const bool within_model =
      m.group == Group::tensor || m.group == Group::context || m.group == Group::next || m.group == Group::previous;
  const ncclDataType_t type = within_model ? ncclBfloat16 : ncclFloat32;
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(1, m.bytes / (within_model ? 2 : 4)));
  const std::size_t share = std::max<std::size_t>(1, count / static_cast<std::size_t>(c.size));
  switch (m.op) {
    case CollectiveOp::all_reduce:
      FORETRAIN_NCCL_CHECK(ncclAllReduce(send, receive, count, type, ncclSum, c.comm, stream));
      return;
    case CollectiveOp::all_gather:
      FORETRAIN_NCCL_CHECK(ncclAllGather(send, receive, share, type, c.comm, stream));
      return;
    case CollectiveOp::reduce_scatter:
      FORETRAIN_NCCL_CHECK(ncclReduceScatter(send, receive, share, type, ncclSum, c.comm, stream));
      return;
    case CollectiveOp::all_to_all:
      exchange_all(send, receive, share, type, c, stream);
      return;
    case CollectiveOp::broadcast:
      FORETRAIN_NCCL_CHECK(ncclBroadcast(send, receive, count, type, 0, c.comm, stream));
      return;
    case CollectiveOp::send_recv:
      break;
  }
  if (m.group == Group::next || m.group == Group::previous) {
    if (m.sends) {
      FORETRAIN_NCCL_CHECK(ncclSend(send, count, type, c.peer, c.comm, stream));
    } else {
      FORETRAIN_NCCL_CHECK(ncclRecv(receive, count, type, c.peer, c.comm, stream));
    }
    return;
  }
  int rank = 0;  // around the ring of the group
  FORETRAIN_NCCL_CHECK(ncclCommUserRank(c.comm, &rank));
  FORETRAIN_NCCL_CHECK(ncclGroupStart());
  FORETRAIN_NCCL_CHECK(ncclSend(send, count, type, (rank + 1) % c.size, c.comm, stream));
  FORETRAIN_NCCL_CHECK(ncclRecv(receive, count, type, (rank + c.size - 1) % c.size, c.comm, stream));
  FORETRAIN_NCCL_CHECK(ncclGroupEnd());
}

double nccl_estimate_us(const Message& m, const PlanGroups::Channel& c, const void* send, void* receive,
                        cudaStream_t stream) {
  if (m.op == CollectiveOp::send_recv || m.op == CollectiveOp::all_to_all) return -1;
  ncclSimInfo_t estimate = NCCL_SIM_INFO_INITIALIZER;
  FORETRAIN_NCCL_CHECK(ncclGroupStart());
  launch_message(m, c, send, receive, stream);
  FORETRAIN_NCCL_CHECK(ncclGroupSimulateEnd(&estimate));
  return static_cast<double>(estimate.estimatedTime);
}

}  // namespace foretrain::gpu
