#include "validate/parallel/communicator.h"

#include <utility>

#include "base/check.h"

namespace foretrain::parallel {

std::string_view name_of(Operation operation) {
  constexpr std::array<std::string_view, 7> kNames = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                                      "broadcast",  "send",       "receive"};
  return kNames[static_cast<std::size_t>(operation)];
}

Communicator::Communicator(std::string name, std::vector<int> ranks, int rank)
    : name_(std::move(name)), ranks_(std::move(ranks)), rank_(rank) {
  FORETRAIN_CHECK(rank_ >= 0 && rank_ < size());
}

void Communicator::count(Operation operation, std::string_view what) {
  if (size() > 1) ++calls_[operation][std::string(what)];
}

std::int64_t Communicator::calls(Operation operation, std::string_view prefix) const {
  std::int64_t sum = 0;
  const auto found = calls_.find(operation);
  if (found == calls_.end()) return 0;
  for (const auto& entry : found->second) {
    if (std::string_view(entry.first).starts_with(prefix)) sum += entry.second;
  }
  return sum;
}

void Communicator::all_reduce(std::span<float> data, Reduction reduction, std::string_view what) {
  count(Operation::all_reduce, what);
  if (size() > 1) do_all_reduce(data, reduction, what);
}

void Communicator::all_gather(std::span<const float> part, std::span<float> whole, std::string_view what) {
  FORETRAIN_CHECK(whole.size() == part.size() * ranks_.size());
  count(Operation::all_gather, what);
  do_all_gather(part, whole, what);
}

void Communicator::reduce_scatter(std::span<const float> whole, std::span<float> part, Reduction reduction,
                                  std::string_view what) {
  FORETRAIN_CHECK(whole.size() == part.size() * ranks_.size());
  count(Operation::reduce_scatter, what);
  do_reduce_scatter(whole, part, reduction, what);
}

void Communicator::all_to_all(std::span<const float> from, std::span<float> to, std::string_view what) {
  FORETRAIN_CHECK(from.size() == to.size() && from.size() % ranks_.size() == 0);
  count(Operation::all_to_all, what);
  do_all_to_all(from, to, what);
}

void Communicator::broadcast(std::span<float> data, int root, std::string_view what) {
  FORETRAIN_CHECK(root >= 0 && root < size());
  count(Operation::broadcast, what);
  if (size() > 1) do_broadcast(data, root, what);
}

void Communicator::send(std::span<const float> data, int to, int lane, std::string_view what) {
  // A Transfer of either direction has one pointer; sending only reads it.
  const std::span<float> source(const_cast<float*>(data.data()), data.size());
  const std::array<Transfer, 1> one = {Transfer{Operation::send, to, lane, source, std::string(what)}};
  exchange(one);
}

void Communicator::receive(std::span<float> data, int from, int lane, std::string_view what) {
  const std::array<Transfer, 1> one = {Transfer{Operation::receive, from, lane, data, std::string(what)}};
  exchange(one);
}

void Communicator::exchange(std::span<const Transfer> transfers) {
  for (const Transfer& transfer : transfers) {
    FORETRAIN_CHECK(transfer.operation == Operation::send || transfer.operation == Operation::receive);
    FORETRAIN_CHECK(transfer.peer >= 0 && transfer.peer < size() && transfer.peer != rank_);
    count(transfer.operation, transfer.what);
  }
  if (!transfers.empty()) do_exchange(transfers);
}

}  // namespace foretrain::parallel
