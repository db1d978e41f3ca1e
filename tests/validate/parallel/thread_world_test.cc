#include "validate/parallel/thread_world.h"

#include <array>
#include <chrono>
#include <functional>
#include <numeric>
#include <string>
#include <thread>

#include <doctest/doctest.h>

using namespace foretrain::parallel;

namespace {

std::vector<int> all_ranks(int ranks) {
  std::vector<int> all(static_cast<std::size_t>(ranks));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// Runs `body` with the communicator of all ranks.
void run(int ranks, const ThreadOptions& options, const std::function<void(Communicator&)>& body) {
  run_threads(ranks, options, [&](World& world) { body(*world.group(all_ranks(ranks), "all")); });
}

/// The message of the CommunicationError that running ends with, or "no error".
std::string error_of(int ranks, const ThreadOptions& options, const std::function<void(Communicator&)>& body) {
  try {
    run(ranks, options, body);
  } catch (const CommunicationError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

using Floats = std::vector<float>;

constexpr ThreadOptions kShort = {.time_limit_seconds = 0.1};

}  // namespace

TEST_CASE("each collective gives what its definition says") {
  run(3, {}, [](Communicator& group) {
    const auto r = static_cast<float>(group.rank());
    Floats sum = {r, 10 * r};  // 0 + 1 + 2 = 3
    group.all_reduce(sum, Reduction::sum, "sum");
    CHECK(sum == Floats{3, 30});
    Floats mean = {r, 10 * r};
    group.all_reduce(mean, Reduction::mean, "mean");
    CHECK(mean == Floats{1, 10});
    Floats max = {r, -r};
    group.all_reduce(max, Reduction::max, "max");
    CHECK(max == Floats{2, 0});

    Floats whole(6);
    group.all_gather(Floats{r, r + 0.5F}, whole, "gather");
    CHECK(whole == Floats{0, 0.5F, 1, 1.5F, 2, 2.5F});
    Floats own(2);  // rank r's pieces are r, r + 10, r + 20: piece p sums to 3 + 30 p
    group.reduce_scatter(Floats{r, r, r + 10, r + 10, r + 20, r + 20}, own, Reduction::sum, "scatter");
    CHECK(own == Floats{3 + 30 * r, 3 + 30 * r});
    Floats exchanged(3);  // rank f sends 10 f + t to rank t
    group.all_to_all(Floats{10 * r, 10 * r + 1, 10 * r + 2}, exchanged, "all to all");
    CHECK(exchanged == Floats{r, 10 + r, 20 + r});
    Floats told = {r};
    group.broadcast(told, 1, "broadcast");
    CHECK(told == Floats{1});

    // In place, as NCCL allows: the part lies in the whole.
    Floats in_place = {-1, -1, -1};
    in_place[static_cast<std::size_t>(group.rank())] = r;
    group.all_gather(std::span(in_place).subspan(static_cast<std::size_t>(group.rank()), 1), in_place, "in place");
    CHECK(in_place == Floats{0, 1, 2});
  });
}

TEST_CASE("messages of a lane arrive in order, and lanes do not wait for each other") {
  run(2, {.buffered_sends = true}, [](Communicator& group) {
    const int peer = 1 - group.rank();
    if (group.rank() == 0) {
      group.send(Floats{1}, peer, 0, "first");
      group.send(Floats{2}, peer, 0, "second");
      group.send(Floats{3}, peer, 1, "other lane");
    } else {
      Floats a(1), b(1), c(1);
      group.receive(c, peer, 1, "other lane");
      group.receive(a, peer, 0, "first");
      group.receive(b, peer, 0, "second");
      CHECK(a == Floats{1});
      CHECK(b == Floats{2});
      CHECK(c == Floats{3});
    }
  });
}

TEST_CASE("an exchange sends and receives round a ring without blocking") {
  run(4, {}, [](Communicator& group) {
    Floats mine = {static_cast<float>(group.rank())};
    Floats theirs(1);
    const int next = (group.rank() + 1) % 4;
    const int previous = (group.rank() + 3) % 4;
    const std::array<Transfer, 2> both = {Transfer{Operation::send, next, 0, mine, "ring"},
                                          Transfer{Operation::receive, previous, 0, theirs, "ring"}};
    group.exchange(both);
    CHECK(theirs == Floats{static_cast<float>(previous)});
  });
}

TEST_CASE("calls are counted by operation and name, and not in a group of one") {
  run_threads(2, {}, [](World& world) {
    const auto both = world.group({0, 1}, "both");
    Floats x = {1};
    both->all_reduce(x, Reduction::sum, "mlp output");
    both->all_reduce(x, Reduction::sum, "mlp input gradient");
    both->all_reduce(x, Reduction::sum, "attention output");
    CHECK(both->calls(Operation::all_reduce) == 3);
    CHECK(both->calls(Operation::all_reduce, "mlp") == 2);
    CHECK(both->calls(Operation::all_gather) == 0);
    const auto alone = world.group({world.rank()}, "alone");
    Floats copy(1);
    alone->all_reduce(x, Reduction::sum, "alone");
    alone->all_gather(x, copy, "alone");
    CHECK(copy == x);
    CHECK(alone->calls(Operation::all_reduce) == 0);
  });
}

TEST_CASE("a peer that does not come is reported at the time limit") {
  const auto peer_sleeps = [](Communicator& group) {
    Floats x = {1, 2};
    if (group.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(400));
    group.all_reduce(x, Reduction::sum, "mlp output");
  };
  CHECK(error_of(2, kShort, peer_sleeps) ==
        "no progress for 0.1 s: rank 0 waits in all_reduce \"mlp output\" of 2 floats in group all");
  CHECK(error_of(2, {}, peer_sleeps) == "no error");
}

TEST_CASE("ranks that wait for each other are reported at once, with what each waits for") {
  const std::string error = error_of(2, {}, [](Communicator& group) {
    Floats x = {1, 2};
    if (group.rank() == 0) {
      group.all_reduce(x, Reduction::sum, "mlp output");
    } else {
      group.receive(x, 0, 0, "activations");
    }
  });
  CHECK(contains(error, "no rank can go on"));
  CHECK(contains(error, "rank 0 waits in all_reduce \"mlp output\" of 2 floats in group all"));
  CHECK(contains(error, "rank 1 waits in receive \"activations\" of 2 floats from rank 0 in group all"));
}

TEST_CASE("two ranks that send to each other first are a deadlock unless sends are buffered") {
  const auto both_send = [](Communicator& group) {
    Floats mine = {1}, theirs(1);
    group.send(mine, 1 - group.rank(), 0, "message");
    group.receive(theirs, 1 - group.rank(), 0, "message");
  };
  const std::string error = error_of(2, {}, both_send);
  CHECK(contains(error, "rank 0 waits in send \"message\" of 1 floats to rank 1"));
  CHECK(contains(error, "rank 1 waits in send \"message\" of 1 floats to rank 0"));
  CHECK(error_of(2, {.buffered_sends = true}, both_send) == "no error");
}

TEST_CASE("a rank that has returned is reported at once") {
  const auto start = std::chrono::steady_clock::now();
  const std::string error = error_of(3, {.time_limit_seconds = 60}, [](Communicator& group) {
    Floats x = {1};
    if (group.rank() != 2) group.all_reduce(x, Reduction::sum, "data gradients");
  });
  CHECK(contains(error, "rank 2 has returned, but "));
  CHECK(contains(error, "waits in all_reduce \"data gradients\""));
  const std::string message = error_of(2, {.time_limit_seconds = 60}, [](Communicator& group) {
    Floats x = {1};
    if (group.rank() == 0) group.receive(x, 1, 0, "never sent");
  });
  CHECK(contains(message, "rank 1 has returned, but rank 0 waits in receive \"never sent\""));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}

TEST_CASE("calls that do not fit together are refused") {
  const auto sized = [](Communicator& group) {
    Floats x(group.rank() == 0 ? 2 : 3);
    group.all_reduce(x, Reduction::sum, "x");
  };
  CHECK(contains(error_of(2, {}, sized),
                 "rank 0 calls all_reduce \"x\" of 2 floats, rank 1 calls all_reduce \"x\" of 3"));
  const auto different = [](Communicator& group) {
    Floats x(2);
    if (group.rank() == 0) group.all_reduce(x, Reduction::sum, "x");
    if (group.rank() == 1) group.broadcast(x, 0, "x");
  };
  CHECK(contains(error_of(2, {}, different), "rank 1 calls broadcast"));
  const auto mixed = [](Communicator& group) {
    Floats x(1);
    group.all_reduce(x, group.rank() == 0 ? Reduction::sum : Reduction::max, "x");
  };
  CHECK(error_of(2, {}, mixed) != "no error");
  const auto renamed = [](Communicator& group) {
    Floats x(1);
    if (group.rank() == 0) group.send(x, 1, 0, "micro-batch 3");
    if (group.rank() == 1) group.receive(x, 0, 0, "micro-batch 2");
  };
  const std::string error = error_of(2, {}, renamed);
  CHECK(contains(error, "micro-batch 3"));
  CHECK(contains(error, "micro-batch 2"));
}

TEST_CASE("an exception of one rank stops the others and is the one that is thrown") {
  const auto one_throws = [](Communicator& group) {
    Floats x = {1};
    if (group.rank() == 1) throw std::domain_error("rank 1 is unwell");
    group.all_reduce(x, Reduction::sum, "x");
  };
  CHECK_THROWS_WITH_AS(run(4, {.time_limit_seconds = 60}, one_throws), "rank 1 is unwell", std::domain_error);
}
