// NCCL among the threads of one process: real data, real waiting.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <nccl.h>

#include "tests/validate/gpu_run/fake_gpu/fake_stream.h"
#include "validate/reference/number_format.h"

namespace {

[[noreturn]] void wrong(const std::string& what) {
  std::fprintf(stderr, "fake NCCL: %s\n", what.c_str());
  std::abort();
}

enum class Kind { all_reduce, all_gather, reduce_scatter, broadcast };

/// One rank's part of a collective.
struct Part {
  Kind kind = Kind::all_reduce;
  const char* send = nullptr;
  char* receive = nullptr;
  std::size_t count = 0;
  ncclDataType_t type = ncclFloat32;
  ncclRedOp_t operation = ncclSum;
  int root = 0;
};
struct Message {
  bool sends = false;
  char* data = nullptr;
  std::size_t bytes = 0;
  int peer = 0;
};

std::size_t width(ncclDataType_t type) { return type == ncclFloat32 ? 4 : 2; }
double number(const char* at, ncclDataType_t type) {
  if (type == ncclFloat32) {
    float value;
    std::memcpy(&value, at, 4);
    return static_cast<double>(value);
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, 2);
  return static_cast<double>(foretrain::reference::from_bf16_bits(bits));
}
void store(double value, char* at, ncclDataType_t type) {
  const auto narrow = static_cast<float>(value);
  if (type == ncclFloat32) {
    std::memcpy(at, &narrow, 4);
  } else {
    const std::uint16_t bits = foretrain::reference::bf16_bits(narrow);
    std::memcpy(at, &bits, 2);
  }
}

/// What the ranks of a communicator share.
struct Shared {
  explicit Shared(int ranks) : size(ranks) {}
  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;  // ranks that have come to the beginning

  struct Round {
    std::map<int, Part> parts;
    bool done = false;
    int left = 0;  // ranks that are through
  };
  std::map<std::uint64_t, Round> rounds;
  std::map<int, std::uint64_t> calls;  // of each rank, as it comes to them
  std::set<int> inside;                // ranks
  struct Split {
    std::map<int, std::pair<int, int>> wishes;  // rank -> color, key
    std::map<int, ncclComm_t> made;
    bool done = false;
  };
  std::map<std::uint64_t, Split> splits;
  struct Posted {
    char* data;
    std::size_t bytes;
    bool* done;
  };
  std::map<std::pair<int, int>, std::deque<Posted>> sends, receives;  // [from, to]

  /// Messages of more bytes move nothing: FAKE_NCCL_COMPUTES (all).
  static bool computes(std::size_t bytes) {
    static const char* const most = std::getenv("FAKE_NCCL_COMPUTES");
    return most == nullptr || bytes <= static_cast<std::size_t>(std::atoll(most));
  }
  void compute(const Round& round) const {
    const Part& first = round.parts.begin()->second;
    for (const auto& [rank, p] : round.parts) {
      if (p.kind != first.kind || p.count != first.count || p.type != first.type) {
        wrong("the ranks of a communicator make different calls");
      }
    }
    const std::size_t w = width(first.type), n = first.count;
    if (!computes(n * w)) return;
    const auto summed = [&](std::size_t i) {
      double sum = first.operation == ncclMax ? number(first.send + i * w, first.type) : 0;
      for (const auto& [rank, p] : round.parts) {
        const double value = number(p.send + i * w, first.type);
        sum = first.operation == ncclMax ? std::max(sum, value) : sum + value;
      }
      return first.operation == ncclAvg ? sum / size : sum;
    };
    if (first.kind == Kind::all_reduce || first.kind == Kind::reduce_scatter) {
      const std::size_t whole = first.kind == Kind::all_reduce ? n : n * static_cast<std::size_t>(size);
      std::vector<double> sums(whole);
      for (std::size_t i = 0; i < whole; ++i) sums[i] = summed(i);
      for (const auto& [rank, p] : round.parts) {
        const std::size_t from = first.kind == Kind::all_reduce ? 0 : n * static_cast<std::size_t>(rank);
        for (std::size_t i = 0; i < n; ++i) store(sums[from + i], p.receive + i * w, p.type);
      }
      return;
    }
    for (const auto& [to, receiver] : round.parts) {
      for (const auto& [from, sender] : round.parts) {
        if (first.kind == Kind::broadcast && from != first.root) continue;
        const std::size_t place = first.kind == Kind::broadcast ? 0 : static_cast<std::size_t>(from) * n * w;
        std::memmove(receiver.receive + place, sender.send, n * w);
      }
    }
  }

  void collect(int rank, const Part& part) {
    std::unique_lock lock(mutex);
    if (!inside.insert(rank).second) wrong("a rank is in two calls of one communicator, which nothing orders");
    const std::uint64_t call = calls[rank]++;
    Round& round = rounds[call];
    round.parts[rank] = part;
    if (static_cast<int>(round.parts.size()) == size) {
      compute(round);
      round.done = true;
      changed.notify_all();
    }
    changed.wait(lock, [&] { return round.done; });
    inside.erase(rank);
    if (++round.left == size) rounds.erase(call);
  }

  /// Returns when every message of the group has met its counterpart.
  void exchange(int rank, const std::vector<Message>& messages) {
    std::unique_lock lock(mutex);
    std::deque<bool> done(messages.size(), false);
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const Message& m = messages[i];
      const std::pair<int, int> way = m.sends ? std::pair{rank, m.peer} : std::pair{m.peer, rank};
      (m.sends ? sends : receives)[way].push_back({m.data, m.bytes, &done[i]});
      match(way);
    }
    changed.notify_all();
    changed.wait(lock, [&] { return std::all_of(done.begin(), done.end(), [](bool d) { return d; }); });
  }
  void match(const std::pair<int, int>& way) {
    auto& from = sends[way];
    auto& to = receives[way];
    while (!from.empty() && !to.empty()) {
      if (from.front().bytes != to.front().bytes) wrong("a message meets a receive of another size");
      if (computes(from.front().bytes)) std::memcpy(to.front().data, from.front().data, from.front().bytes);
      *from.front().done = *to.front().done = true;
      from.pop_front();
      to.pop_front();
    }
  }
};

struct Group {
  int depth = 0;
  struct Waiting {
    ncclComm_t comm;
    cudaStream_t stream;
    std::vector<Message> messages;
  };
  std::vector<Waiting> waiting;
  std::vector<std::function<void()>> collectives;
};
thread_local Group group;

}  // namespace

struct ncclComm {
  std::shared_ptr<Shared> shared;
  int rank = 0;
  std::uint64_t splits = 0;
};

namespace {

std::map<std::string, std::shared_ptr<Shared>>& meetings() {
  static std::map<std::string, std::shared_ptr<Shared>> all;
  return all;
}
std::mutex& meetings_mutex() {
  static std::mutex m;
  return m;
}

/// FAKE_NCCL_REFUSES_SHARING: ranks of other processes are never met here; say what NCCL says of two on one GPU.
bool refuses_sharing() {
  return std::getenv("FAKE_NCCL_REFUSES_SHARING") != nullptr && std::getenv("FORETRAIN_STARTED_RANK") != nullptr;
}

ncclResult_t collective(ncclComm_t comm, cudaStream_t stream, const Part& part) {
  const auto put = [comm, stream, part] {
    foretrain::fake_gpu::enqueue(stream,
                                 [shared = comm->shared, rank = comm->rank, part] { shared->collect(rank, part); });
  };
  if (group.depth > 0) {
    group.collectives.push_back(put);
  } else {
    put();
  }
  return ncclSuccess;
}

ncclResult_t message(ncclComm_t comm, cudaStream_t stream, const Message& m) {
  for (Group::Waiting& w : group.waiting) {
    if (w.comm == comm && w.stream == stream) {
      w.messages.push_back(m);
      return ncclSuccess;
    }
  }
  group.waiting.push_back({comm, stream, {m}});
  return group.depth > 0 ? ncclSuccess : (ncclGroupStart(), ncclGroupEnd());
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int next = 0;
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "fake-%d", next++);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  if (refuses_sharing()) return ncclInvalidUsage;
  std::shared_ptr<Shared> shared;
  {
    const std::lock_guard lock(meetings_mutex());
    std::shared_ptr<Shared>& place = meetings()[id.internal];
    if (!place) place = std::make_shared<Shared>(ranks);
    shared = place;
  }
  std::unique_lock lock(shared->mutex);
  ++shared->arrived;
  shared->changed.notify_all();
  shared->changed.wait(lock, [&] { return shared->arrived == ranks; });
  *comm = new ncclComm{shared, rank, 0};
  return ncclSuccess;
}
ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* made, ncclConfig_t*) {
  Shared& shared = *comm->shared;
  std::unique_lock lock(shared.mutex);
  Shared::Split& split = shared.splits[comm->splits++];
  split.wishes[comm->rank] = {color, key};
  if (static_cast<int>(split.wishes.size()) == shared.size) {
    std::map<int, std::vector<std::pair<int, int>>> colors;  // color -> key, rank
    for (const auto& [rank, wish] : split.wishes) {
      if (wish.first >= 0) colors[wish.first].push_back({wish.second, rank});
    }
    for (auto& [c, members] : colors) {
      std::sort(members.begin(), members.end());
      const auto together = std::make_shared<Shared>(static_cast<int>(members.size()));
      for (std::size_t i = 0; i < members.size(); ++i) {
        split.made[members[i].second] = new ncclComm{together, static_cast<int>(i), 0};
      }
    }
    split.done = true;
    shared.changed.notify_all();
  }
  shared.changed.wait(lock, [&] { return split.done; });
  const auto mine = split.made.find(comm->rank);
  *made = mine == split.made.end() ? nullptr : mine->second;
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  *rank = comm->rank;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t) { return "fake error"; }
const char* ncclGetLastError(ncclComm_t) {
  return refuses_sharing() ? "Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1000" : "";
}

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  return collective(
      comm, stream,
      {Kind::all_reduce, static_cast<const char*>(send), static_cast<char*>(receive), count, type, operation, 0});
}
ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return collective(
      comm, stream,
      {Kind::all_gather, static_cast<const char*>(send), static_cast<char*>(receive), count, type, ncclSum, 0});
}
ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                               ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  return collective(
      comm, stream,
      {Kind::reduce_scatter, static_cast<const char*>(send), static_cast<char*>(receive), count, type, operation, 0});
}
ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective(
      comm, stream,
      {Kind::broadcast, static_cast<const char*>(send), static_cast<char*>(receive), count, type, ncclSum, root});
}
ncclResult_t ncclSend(const void* send, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return message(comm, stream, {true, static_cast<char*>(const_cast<void*>(send)), count * width(type), peer});
}
ncclResult_t ncclRecv(void* receive, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return message(comm, stream, {false, static_cast<char*>(receive), count * width(type), peer});
}
ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (--group.depth > 0) return ncclSuccess;
  for (const auto& put : group.collectives) put();
  group.collectives.clear();
  for (const Group::Waiting& w : group.waiting) {
    foretrain::fake_gpu::enqueue(w.stream, [shared = w.comm->shared, rank = w.comm->rank, messages = w.messages] {
      shared->exchange(rank, messages);
    });
  }
  group.waiting.clear();
  return ncclSuccess;
}
ncclResult_t ncclGroupSimulateEnd(ncclSimInfo_t* information) {
  --group.depth;
  group.collectives.clear();
  group.waiting.clear();
  information->estimatedTime = 12.5F;
  return ncclSuccess;
}

}  // extern "C"
