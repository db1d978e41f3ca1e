/// What the ranks of a group say to each other: the interface that threads, and on GPUs NCCL, stand behind.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::parallel {

/// A peer that never came, calls that do not fit together, or a rank that stopped before. One line, names who and what.
struct CommunicationError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Operation : std::uint8_t { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, send, receive };
std::string_view name_of(Operation operation);

enum class Reduction : std::uint8_t { sum, mean, max };

/// One message of an exchange. Between two ranks, the messages of a lane arrive in the order they were sent; lanes do
/// not wait for each other. On NCCL a lane is a communicator of its own.
struct Transfer {
  Operation operation = Operation::send;  ///< send or receive
  int peer = 0;                           ///< its rank in the group
  int lane = 0;
  std::span<float> data;
  std::string what;
};

/// One group as one of its ranks sees it. Every rank of the group makes the same collective calls in the same order,
/// with buffers in the memory of its Math. `what` says in a word or two what is sent: for error messages, counts and
/// faults put in on purpose. A group of one copies where input and output differ, and counts nothing. Throws
/// CommunicationError.
class Communicator {
 public:
  Communicator(std::string name, std::vector<int> ranks, int rank);
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  const std::string& name() const { return name_; }
  int rank() const { return rank_; }  ///< this rank's place in the group
  int size() const { return static_cast<int>(ranks_.size()); }
  const std::vector<int>& ranks() const { return ranks_; }  ///< of the world, by place in the group

  /// Every rank then holds the sum (mean, maximum) over the ranks of `data`.
  void all_reduce(std::span<float> data, Reduction reduction, std::string_view what);
  /// `whole` [size, part]: every rank's `part`, by rank.
  void all_gather(std::span<const float> part, std::span<float> whole, std::string_view what);
  /// `part`: this rank's piece of the sum over the ranks of `whole` [size, part].
  void reduce_scatter(std::span<const float> whole, std::span<float> part, Reduction reduction, std::string_view what);
  /// Piece r of `to` [size, piece] is piece `rank()` of rank r's `from`.
  void all_to_all(std::span<const float> from, std::span<float> to, std::string_view what);
  /// Every rank then holds `root`'s `data`.
  void broadcast(std::span<float> data, int root, std::string_view what);
  /// Return when the other side has called the counterpart (a send may return earlier: see ThreadOptions).
  void send(std::span<const float> data, int to, int lane, std::string_view what);
  void receive(std::span<float> data, int from, int lane, std::string_view what);
  /// All of them as one call that returns when each is done: no order among them can block another.
  void exchange(std::span<const Transfer> transfers);

  /// Calls so far whose `what` begins with `prefix`; each transfer of an exchange counts.
  std::int64_t calls(Operation operation, std::string_view prefix = {}) const;

 protected:
  virtual void do_all_reduce(std::span<float> data, Reduction reduction, std::string_view what) = 0;
  virtual void do_all_gather(std::span<const float> part, std::span<float> whole, std::string_view what) = 0;
  virtual void do_reduce_scatter(std::span<const float> whole, std::span<float> part, Reduction reduction,
                                 std::string_view what) = 0;
  virtual void do_all_to_all(std::span<const float> from, std::span<float> to, std::string_view what) = 0;
  virtual void do_broadcast(std::span<float> data, int root, std::string_view what) = 0;
  virtual void do_exchange(std::span<const Transfer> transfers) = 0;

 private:
  void count(Operation operation, std::string_view what);

  std::string name_;
  std::vector<int> ranks_;
  int rank_;
  std::map<Operation, std::map<std::string, std::int64_t, std::less<>>> calls_;
};

/// All ranks as one of them sees them.
class World {
 public:
  virtual ~World() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// The communicator of `ranks`, in this order. All ranks of the world make the same number of calls in the same
  /// order, each with a group that holds itself; a group's ranks give the same list and name.
  virtual std::unique_ptr<Communicator> group(const std::vector<int>& ranks, const std::string& name) = 0;
};

}  // namespace foretrain::parallel
