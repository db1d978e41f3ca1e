#include "validate/parallel/thread_world.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace foretrain::parallel {
namespace {

/// One rank's side of a collective.
struct Call {
  Operation operation = Operation::all_reduce;
  Reduction reduction = Reduction::sum;
  int root = 0;
  std::span<const float> in;
  std::span<float> out;
  std::string what;
};

std::string text_of(const Call& call) {
  std::ostringstream text;
  text << name_of(call.operation) << " \"" << call.what << "\" of " << call.in.size() << " floats";
  return text.str();
}

/// A message that one side has posted. `done` outlives the posting call in buffered mode.
struct Posted {
  std::span<float> data;
  std::vector<float> buffer;  ///< the floats, when the sender has gone on
  std::string what;
  std::shared_ptr<bool> done;
};

struct Channel {
  std::deque<Posted> sends;
  std::deque<Posted> receives;
};

struct Group {
  std::string name;
  std::vector<int> ranks;
  std::vector<std::optional<Call>> calls;  ///< of the collective that is gathering, by place in the group
  std::int64_t finished_collectives = 0;
  std::map<std::tuple<int, int, int>, Channel> channels;  ///< by sender, receiver, lane
  std::condition_variable changed;
};

std::string text_of(const Group& group, const Transfer& transfer) {
  std::ostringstream text;
  text << name_of(transfer.operation) << " \"" << transfer.what << "\" of " << transfer.data.size() << " floats "
       << (transfer.operation == Operation::send ? "to" : "from") << " rank "
       << group.ranks[static_cast<std::size_t>(transfer.peer)];
  return text.str();
}

void reduce(std::span<const std::span<const float>> inputs, Reduction reduction, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    float value = inputs[0][i];
    for (std::size_t r = 1; r < inputs.size(); ++r) {
      value = reduction == Reduction::max ? std::max(value, inputs[r][i]) : value + inputs[r][i];
    }
    out[i] = reduction == Reduction::mean ? value / static_cast<float>(inputs.size()) : value;
  }
}

/// Carries out a collective whose ranks are all there.
void perform(std::span<const std::optional<Call>> calls) {
  const std::size_t ranks = calls.size();
  const Operation operation = calls[0]->operation;
  std::vector<std::span<const float>> inputs;
  for (const auto& call : calls) inputs.push_back(call->in);
  const auto put = [](std::span<const float> from, std::span<float> to) {
    if (!from.empty()) std::memmove(to.data(), from.data(), from.size_bytes());
  };
  if (operation == Operation::all_reduce) {
    std::vector<float> sum(inputs[0].size());
    reduce(inputs, calls[0]->reduction, sum);
    for (const auto& call : calls) put(sum, call->out);
  } else if (operation == Operation::reduce_scatter) {
    const std::size_t part = calls[0]->out.size();
    std::vector<std::vector<float>> sums(ranks, std::vector<float>(part));  // an output may lie in an input
    for (std::size_t r = 0; r < ranks; ++r) {
      std::vector<std::span<const float>> pieces;
      for (const std::span<const float> input : inputs) pieces.push_back(input.subspan(r * part, part));
      reduce(pieces, calls[0]->reduction, sums[r]);
    }
    for (std::size_t r = 0; r < ranks; ++r) put(sums[r], calls[r]->out);
  } else if (operation == Operation::all_gather) {
    std::vector<float> whole;
    for (const std::span<const float> input : inputs) whole.insert(whole.end(), input.begin(), input.end());
    for (const auto& call : calls) put(whole, call->out);
  } else if (operation == Operation::all_to_all) {
    const std::size_t piece = inputs[0].size() / ranks;
    for (std::size_t to = 0; to < ranks; ++to) {
      for (std::size_t from = 0; from < ranks; ++from)
        put(inputs[from].subspan(to * piece, piece), calls[to]->out.subspan(from * piece, piece));
    }
  } else {
    FORETRAIN_CHECK(operation == Operation::broadcast);
    const auto root = static_cast<std::size_t>(calls[0]->root);
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r != root) put(inputs[root], calls[r]->out);
    }
  }
}

/// What the threads share. One lock over everything: the sizes are small, and a rank that waits sleeps.
class Shared {
 public:
  Shared(int ranks, const ThreadOptions& options)
      : options_(options), returned_(static_cast<std::size_t>(ranks)), waits_(static_cast<std::size_t>(ranks)) {}

  Group& group(const std::vector<int>& ranks, const std::string& name) {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Group>& group = groups_[{name, ranks}];
    if (!group) {
      group = std::make_unique<Group>();
      group->name = name;
      group->ranks = ranks;
      group->calls.resize(ranks.size());
    }
    return *group;
  }

  void collective(Group& group, int rank, Call call) {
    std::unique_lock lock(mutex_);
    stop_if_failed(group, rank);
    const auto place = static_cast<std::size_t>(rank);
    FORETRAIN_CHECK(!group.calls[place]);  // one thread a rank
    const std::string what = text_of(call);
    group.calls[place] = std::move(call);
    const bool complete = std::all_of(group.calls.begin(), group.calls.end(), [](const auto& c) { return bool(c); });
    if (complete) {
      agree_or_fail(group);
      perform(group.calls);
      for (auto& done : group.calls) done.reset();
      ++group.finished_collectives;
      group.changed.notify_all();
      return;
    }
    const std::int64_t number = group.finished_collectives;
    wait(
        lock, group, rank, what, [&] { return group.finished_collectives != number; },
        [&] {
          for (std::size_t r = 0; r < group.ranks.size(); ++r) {
            if (!group.calls[r] && has_returned(group, static_cast<int>(r))) return static_cast<int>(r);
          }
          return -1;
        });
  }

  void exchange(Group& group, int rank, std::span<const Transfer> transfers) {
    std::unique_lock lock(mutex_);
    stop_if_failed(group, rank);
    std::vector<std::shared_ptr<bool>> done;
    std::string what;
    for (const Transfer& transfer : transfers) {
      done.push_back(post(group, rank, transfer));
      if (!*done.back()) what += (what.empty() ? "" : " and ") + text_of(group, transfer);
    }
    group.changed.notify_all();
    wait(
        lock, group, rank, what,
        [&] { return std::all_of(done.begin(), done.end(), [](const auto& d) { return *d; }); },
        [&] {
          for (std::size_t i = 0; i < transfers.size(); ++i) {
            if (!*done[i] && has_returned(group, transfers[i].peer)) return transfers[i].peer;
          }
          return -1;
        });
  }

  void leave(int rank, const std::exception_ptr& error) {
    const std::lock_guard lock(mutex_);
    returned_[static_cast<std::size_t>(rank)] = true;
    if (error && !first_error_) {
      first_error_ = error;
      failed_ = true;
    }
    wake_everyone();
  }

  void rethrow() const {
    if (first_error_) std::rethrow_exception(first_error_);
  }

 private:
  bool has_returned(const Group& group, int rank) const {
    return returned_[static_cast<std::size_t>(group.ranks[static_cast<std::size_t>(rank)])];
  }

  void wake_everyone() {
    for (auto& entry : groups_) entry.second->changed.notify_all();
  }

  [[noreturn]] void fail(const std::string& message) {
    const CommunicationError error(message);
    if (!failed_) first_error_ = std::make_exception_ptr(error);
    failed_ = true;
    wake_everyone();
    throw error;
  }

  void stop_if_failed(const Group& group, int rank) const {
    if (!failed_) return;
    throw CommunicationError("rank " + std::to_string(group.ranks[static_cast<std::size_t>(rank)]) +
                             " stopped: another rank failed");
  }

  void agree_or_fail(Group& group) {
    const Call& first = *group.calls[0];
    for (std::size_t r = 1; r < group.calls.size(); ++r) {
      const Call& other = *group.calls[r];
      if (other.operation == first.operation && other.reduction == first.reduction && other.root == first.root &&
          other.in.size() == first.in.size() && other.what == first.what)
        continue;
      fail("group " + group.name + ": rank " + std::to_string(group.ranks[0]) + " calls " + text_of(first) + ", rank " +
           std::to_string(group.ranks[r]) + " calls " + text_of(other));
    }
  }

  /// Matches the transfer with the other side's, or queues it; what it gives turns true when the floats have moved.
  std::shared_ptr<bool> post(Group& group, int rank, const Transfer& transfer) {
    const bool sends = transfer.operation == Operation::send;
    Channel& channel = group.channels[{sends ? rank : transfer.peer, sends ? transfer.peer : rank, transfer.lane}];
    Posted mine{transfer.data, {}, transfer.what, std::make_shared<bool>(false)};
    std::deque<Posted>& others = sends ? channel.receives : channel.sends;
    if (!others.empty()) {
      Posted other = std::move(others.front());
      others.pop_front();
      const std::span<const float> from = sends ? mine.data : other.data;
      const std::span<float> to = sends ? other.data : mine.data;
      if (from.size() != to.size() || other.what != mine.what) {
        fail("group " + group.name + ": rank " + std::to_string(group.ranks[static_cast<std::size_t>(rank)]) +
             " calls " + text_of(group, transfer) + ", which meets \"" + other.what + "\" of " +
             std::to_string(other.data.size()) + " floats");
      }
      if (!from.empty()) std::memcpy(to.data(), from.data(), from.size_bytes());
      *other.done = true;
      *mine.done = true;
      return mine.done;
    }
    std::shared_ptr<bool> done = mine.done;
    if (sends && options_.buffered_sends) {
      mine.buffer.assign(mine.data.begin(), mine.data.end());
      mine.data = mine.buffer;
      *mine.done = true;
    }
    (sends ? channel.sends : channel.receives).push_back(std::move(mine));
    return done;
  }

  /// Sleeps until `ready`; fails when `gone` names a rank of the group that has returned, when no rank is left that
  /// could make any wait end, or at the time limit.
  void wait(std::unique_lock<std::mutex>& lock, Group& group, int rank, const std::string& what,
            const std::function<bool()>& ready, const std::function<int()>& gone) {
    if (ready()) return;
    Wait& own = waits_[static_cast<std::size_t>(group.ranks[static_cast<std::size_t>(rank)])];
    own = {what + " in group " + group.name, &ready};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.time_limit_seconds);
    while (!ready()) {
      stop_if_failed(group, rank);
      if (const int missing = gone(); missing >= 0) {
        fail("rank " + std::to_string(group.ranks[static_cast<std::size_t>(missing)]) + " has returned, but " +
             waiting());
      }
      if (is_deadlock()) fail("no rank can go on: " + waiting());
      if (group.changed.wait_until(lock, deadline) == std::cv_status::timeout && !ready() && !failed_) {
        std::ostringstream message;
        message << "no progress for " << options_.time_limit_seconds << " s: " << waiting();
        fail(message.str());
      }
    }
    own = {};
  }

  /// Every rank has returned or waits for what has not happened.
  bool is_deadlock() const {
    for (std::size_t rank = 0; rank < waits_.size(); ++rank) {
      if (!returned_[rank] && (waits_[rank].ready == nullptr || (*waits_[rank].ready)())) return false;
    }
    return true;
  }

  /// "rank 0 waits in ...; rank 3 waits in ..."
  std::string waiting() const {
    std::string text;
    for (std::size_t rank = 0; rank < waits_.size(); ++rank) {
      if (waits_[rank].ready == nullptr) continue;
      text += (text.empty() ? "rank " : "; rank ") + std::to_string(rank) + " waits in " + waits_[rank].what;
    }
    return text;
  }

  /// What a rank waits in and when that ends; nothing while it runs.
  struct Wait {
    std::string what;
    const std::function<bool()>* ready = nullptr;
  };

  const ThreadOptions options_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::vector<int>>, std::unique_ptr<Group>> groups_;
  std::vector<bool> returned_;
  std::vector<Wait> waits_;  ///< by rank of the world
  bool failed_ = false;
  std::exception_ptr first_error_;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(Shared& shared, Group& group, int rank)
      : Communicator(group.name, group.ranks, rank), shared_(shared), group_(group) {}

 private:
  void call(Operation operation, Reduction reduction, int root, std::span<const float> in, std::span<float> out,
            std::string_view what) {
    shared_.collective(group_, rank(), {operation, reduction, root, in, out, std::string(what)});
  }
  void do_all_reduce(std::span<float> data, Reduction reduction, std::string_view what) override {
    call(Operation::all_reduce, reduction, 0, data, data, what);
  }
  void do_all_gather(std::span<const float> part, std::span<float> whole, std::string_view what) override {
    call(Operation::all_gather, Reduction::sum, 0, part, whole, what);
  }
  void do_reduce_scatter(std::span<const float> whole, std::span<float> part, Reduction reduction,
                         std::string_view what) override {
    call(Operation::reduce_scatter, reduction, 0, whole, part, what);
  }
  void do_all_to_all(std::span<const float> from, std::span<float> to, std::string_view what) override {
    call(Operation::all_to_all, Reduction::sum, 0, from, to, what);
  }
  void do_broadcast(std::span<float> data, int root, std::string_view what) override {
    call(Operation::broadcast, Reduction::sum, root, data, data, what);
  }
  void do_exchange(std::span<const Transfer> transfers) override { shared_.exchange(group_, rank(), transfers); }

  Shared& shared_;
  Group& group_;
};

class ThreadWorld final : public World {
 public:
  ThreadWorld(Shared& shared, int rank, int size) : shared_(shared), rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::unique_ptr<Communicator> group(const std::vector<int>& ranks, const std::string& name) override {
    const auto place = std::find(ranks.begin(), ranks.end(), rank_);
    FORETRAIN_CHECK(place != ranks.end());
    return std::make_unique<ThreadCommunicator>(shared_, shared_.group(ranks, name),
                                                static_cast<int>(place - ranks.begin()));
  }

 private:
  Shared& shared_;
  int rank_;
  int size_;
};

}  // namespace

void run_threads(int ranks, const ThreadOptions& options, const std::function<void(World&)>& body) {
  FORETRAIN_CHECK(ranks >= 1);
  Shared shared(ranks, options);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&shared, &body, rank, ranks] {
      std::exception_ptr error;
      try {
        ThreadWorld world(shared, rank, ranks);
        body(world);
      } catch (...) {
        error = std::current_exception();
      }
      shared.leave(rank, error);
    });
  }
  for (std::thread& thread : threads) thread.join();
  shared.rethrow();
}

}  // namespace foretrain::parallel
