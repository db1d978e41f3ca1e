#include "validate/gpu/run/nccl_communicator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "base/check.h"
#include "validate/gpu/run/cuda_objects.h"

namespace foretrain::gpu {
namespace {

using parallel::CommunicationError;
using parallel::Operation;
using parallel::Reduction;
using parallel::Transfer;

ncclRedOp_t operation_of(Reduction reduction) {
  return reduction == Reduction::sum ? ncclSum : reduction == Reduction::max ? ncclMax : ncclAvg;
}

/// A buffer on the GPU that grows as needed.
class Staging {
 public:
  float* room(std::size_t count) {
    const auto bytes = static_cast<std::int64_t>(4 * std::max<std::size_t>(count, 64));
    if (memory_.bytes() < bytes) memory_ = DeviceMemory(2 * bytes);
    return static_cast<float*>(memory_.data());
  }

 private:
  DeviceMemory memory_;
};

class NcclCommunicator final : public parallel::Communicator {
 public:
  NcclCommunicator(const std::string& name, std::vector<int> ranks, int rank, ncclComm_t comm, std::string where)
      : Communicator(name, std::move(ranks), rank), comm_(comm), where_(std::move(where)) {}

 protected:
  void do_all_reduce(std::span<float> data, Reduction reduction, std::string_view) override {
    float* on_gpu = upload(data);
    FORETRAIN_NCCL_CHECK(
        ncclAllReduce(on_gpu, on_gpu, data.size(), ncclFloat32, operation_of(reduction), comm_, stream_));
    download(on_gpu, data);
  }
  void do_all_gather(std::span<const float> part, std::span<float> whole, std::string_view) override {
    if (comm_ == nullptr) return copy(part, whole);
    const float* from = upload(part);
    float* to = receive_.room(whole.size());
    FORETRAIN_NCCL_CHECK(ncclAllGather(from, to, part.size(), ncclFloat32, comm_, stream_));
    download(to, whole);
  }
  void do_reduce_scatter(std::span<const float> whole, std::span<float> part, Reduction reduction,
                         std::string_view) override {
    if (comm_ == nullptr) return copy(whole, part);
    const float* from = upload(whole);
    float* to = receive_.room(part.size());
    FORETRAIN_NCCL_CHECK(
        ncclReduceScatter(from, to, part.size(), ncclFloat32, operation_of(reduction), comm_, stream_));
    download(to, part);
  }
  void do_all_to_all(std::span<const float> from, std::span<float> to, std::string_view) override {
    if (comm_ == nullptr) return copy(from, to);
    const float* source = upload(from);
    float* target = receive_.room(to.size());
    const std::size_t piece = from.size() / static_cast<std::size_t>(size());
    FORETRAIN_NCCL_CHECK(ncclGroupStart());
    for (int r = 0; r < size(); ++r) {
      const std::size_t at = static_cast<std::size_t>(r) * piece;
      FORETRAIN_NCCL_CHECK(ncclSend(source + at, piece, ncclFloat32, r, comm_, stream_));
      FORETRAIN_NCCL_CHECK(ncclRecv(target + at, piece, ncclFloat32, r, comm_, stream_));
    }
    FORETRAIN_NCCL_CHECK(ncclGroupEnd());
    download(target, to);
  }
  void do_broadcast(std::span<float> data, int root, std::string_view) override {
    float* on_gpu = upload(data);
    FORETRAIN_NCCL_CHECK(ncclBroadcast(on_gpu, on_gpu, data.size(), ncclFloat32, root, comm_, stream_));
    download(on_gpu, data);
  }

  /// NCCL matches what two ranks send each other by order alone, and one communicator serves all lanes here: each
  /// message ends with its lane, and what arrives for a lane before it is asked for is kept.
  void do_exchange(std::span<const Transfer> transfers) override {
    std::vector<const Transfer*> sends, wanted;
    for (const Transfer& t : transfers) (t.operation == Operation::send ? sends : wanted).push_back(&t);
    take_kept(wanted);
    bool first = true;
    while (first || !wanted.empty()) {
      const std::vector<Arrival> arrived = transfer(first ? sends : std::vector<const Transfer*>{}, wanted);
      first = false;
      for (const Arrival& a : arrived) kept_[{a.peer, a.lane}].push_back(a.data);
      take_kept(wanted);
    }
  }

 private:
  struct Arrival {
    int peer = 0, lane = 0;
    std::vector<float> data;
  };

  /// Sends all of `sends` and receives one message for each of `wanted`, from its peer and of its size.
  std::vector<Arrival> transfer(const std::vector<const Transfer*>& sends, const std::vector<const Transfer*>& wanted) {
    const auto total = [](const std::vector<const Transfer*>& list) {
      std::size_t count = 0;
      for (const Transfer* t : list) count += t->data.size() + 1;
      return count;
    };
    std::vector<float> out;
    for (const Transfer* t : sends) {
      out.insert(out.end(), t->data.begin(), t->data.end());
      out.push_back(static_cast<float>(t->lane));
    }
    const float* source = upload(std::span<const float>(out));
    float* target = receive_.room(total(wanted));
    FORETRAIN_NCCL_CHECK(ncclGroupStart());
    for (const Transfer* t : sends) {
      FORETRAIN_NCCL_CHECK(ncclSend(source, t->data.size() + 1, ncclFloat32, t->peer, comm_, stream_));
      source += t->data.size() + 1;
    }
    for (const Transfer* t : wanted) {
      FORETRAIN_NCCL_CHECK(ncclRecv(target, t->data.size() + 1, ncclFloat32, t->peer, comm_, stream_));
      target += t->data.size() + 1;
    }
    FORETRAIN_NCCL_CHECK(ncclGroupEnd());
    std::vector<float> in(total(wanted));
    download(receive_.room(in.size()), in);
    std::vector<Arrival> arrived;
    std::size_t place = 0;
    for (const Transfer* t : wanted) {
      const auto begin = in.begin() + static_cast<std::ptrdiff_t>(place);
      const auto end = begin + static_cast<std::ptrdiff_t>(t->data.size());
      arrived.push_back({t->peer, static_cast<int>(*end), {begin, end}});
      place += t->data.size() + 1;
    }
    return arrived;
  }

  /// Hands out what has arrived, and leaves in `wanted` what has not.
  void take_kept(std::vector<const Transfer*>& wanted) {
    std::vector<const Transfer*> missing;
    for (const Transfer* t : wanted) {
      auto& queue = kept_[{t->peer, t->lane}];
      if (queue.empty()) {
        missing.push_back(t);
        continue;
      }
      if (queue.front().size() != t->data.size()) {
        throw CommunicationError(where_ + ": " + t->what + ": rank " + std::to_string(t->peer) + " of " + name() +
                                 " sent " + std::to_string(queue.front().size()) + " numbers, " +
                                 std::to_string(t->data.size()) + " were expected");
      }
      std::copy(queue.front().begin(), queue.front().end(), t->data.begin());
      queue.pop_front();
    }
    wanted = std::move(missing);
  }

  const float* upload(std::span<const float> data) {
    float* to = send_.room(data.size());
    if (data.empty()) return to;  // a rank that only receives
    FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(to, data.data(), data.size_bytes(), cudaMemcpyHostToDevice, stream_));
    return to;
  }
  float* upload(std::span<float> data) {
    return const_cast<float*>(upload(std::span<const float>(data)));  // it is this object's own memory
  }
  void download(const float* from, std::span<float> to) {
    if (!to.empty()) {
      FORETRAIN_CUDA_CHECK(cudaMemcpyAsync(to.data(), from, to.size_bytes(), cudaMemcpyDeviceToHost, stream_));
    }
    FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(stream_));
  }
  static void copy(std::span<const float> from, std::span<float> to) {
    if (from.data() != to.data()) std::copy(from.begin(), from.end(), to.begin());
  }

  ncclComm_t comm_;
  std::string where_;
  Stream stream_;
  Staging send_, receive_;
  std::map<std::pair<int, int>, std::deque<std::vector<float>>> kept_;  // [peer, lane]
};

class NcclParallelWorld final : public parallel::World {
 public:
  explicit NcclParallelWorld(NcclWorld& world) : world_(world) {}
  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::unique_ptr<parallel::Communicator> group(const std::vector<int>& ranks, const std::string& name) override {
    const auto me = std::find(ranks.begin(), ranks.end(), rank());
    FORETRAIN_CHECK(me != ranks.end());
    const ncclComm_t comm = world_.split(std::vector<std::int32_t>(ranks.begin(), ranks.end()));
    return std::make_unique<NcclCommunicator>(name, ranks, static_cast<int>(me - ranks.begin()), comm,
                                              "rank " + std::to_string(rank()));
  }

 private:
  NcclWorld& world_;
};

}  // namespace

std::unique_ptr<parallel::World> nccl_parallel_world(NcclWorld& world) {
  return std::make_unique<NcclParallelWorld>(world);
}

}  // namespace foretrain::gpu
