#include "validate/gpu/run/program.h"

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

StepFile parse(const std::string& records) {
  std::istringstream in("foretrain.graph/1\nworld 2 1 1 1 2 1 8\nstage 0 1\nstage 1 1\n" + records);
  return read_step(in, "step.graph");
}

/// Whether every dependency inside the program is kept by streams and waits: `before` ends before `after` starts.
bool keeps(const Program& p, std::int32_t before, std::int32_t after) {
  std::vector<std::set<std::int32_t>> ended(p.order.size());  // tasks known to have ended before each issue starts
  std::vector<std::int32_t> last_on(p.stream_lane.size(), -1);
  std::set<std::int32_t> host;  // what the host has waited for, and its own tasks
  for (std::size_t i = 0; i < p.order.size(); ++i) {
    const Issue& issue = p.order[i];
    std::set<std::int32_t>& known = ended[i];
    const auto learn = [&](std::int32_t j) {
      known.insert(ended[static_cast<std::size_t>(j)].begin(), ended[static_cast<std::size_t>(j)].end());
      known.insert(p.order[static_cast<std::size_t>(j)].task);
    };
    known = host;
    if (issue.stream >= 0 && last_on[static_cast<std::size_t>(issue.stream)] >= 0) {
      learn(last_on[static_cast<std::size_t>(issue.stream)]);
    }
    for (const std::int32_t w : issue.waits) learn(w);
    if (issue.stream >= 0) {
      last_on[static_cast<std::size_t>(issue.stream)] = static_cast<std::int32_t>(i);
    } else {
      host = known;
      host.insert(issue.task);
    }
  }
  for (std::size_t i = 0; i < p.order.size(); ++i) {
    if (p.order[i].task == after) return ended[i].count(before) > 0;
  }
  return false;
}

std::vector<std::int32_t> tasks_in_order(const Program& p) {
  std::vector<std::int32_t> tasks;
  for (const Issue& i : p.order) tasks.push_back(i.task);
  return tasks;
}

// Two kernels and a message between them: the host launches 0 -> kernel 1, 2 -> kernel 4; message 3 follows kernel 1,
// kernel 4 waits for it; the host's task 5 waits for kernel 4 and launches 6.
const std::string kLaunched =
    "lane 0 0 host host\nlane 1 0 compute compute\nlane 2 0 communication tensor\n"
    "task 0 0 5 host -1 -1 -1\n"
    "task 1 1 100 compute -1 -1 -1 0\n"
    "task 2 0 5 host -1 -1 -1\n"
    "task 3 2 30 tensor -1 -1 -1 1\n"
    "task 4 1 50 compute -1 -1 -1 2 3\n"
    "task 5 0 5 host -1 -1 -1 4\n"
    "task 6 2 20 tensor -1 -1 -1 5\n"
    "end 7\n";

}  // namespace

TEST_CASE("Streams wait only where the order of a stream does not say it already") {
  const StepFile f = parse(kLaunched);
  const Program p = make_program(f, 0, Launching::from_host);
  CHECK(tasks_in_order(p) == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(p.stream_lane == std::vector<std::int32_t>{1, 2});
  CHECK(p.order[1].waits.empty());                          // launched by the host: later by itself
  CHECK(p.order[3].waits == std::vector<std::int32_t>{1});  // another stream's kernel
  CHECK(p.order[4].waits == std::vector<std::int32_t>{3});
  CHECK(p.order[5].waits == std::vector<std::int32_t>{4});  // the host itself waits
  CHECK(p.order[6].waits.empty());                          // and what it launches then need not
  CHECK(p.order[1].marks_end);
  CHECK_FALSE(p.order[6].marks_end);
}

TEST_CASE("In a captured step, what waited for the host waits for what the host waited for") {
  const StepFile f = parse(kLaunched);
  const Program p = make_program(f, 0, Launching::captured);
  CHECK(p.order[5].waits.empty());                          // no host in a graph
  CHECK(p.order[6].waits == std::vector<std::int32_t>{4});  // through host task 5
  CHECK(p.order[4].waits == std::vector<std::int32_t>{3});
}

TEST_CASE("The predicted step is the longest path, with and without the host's time") {
  const StepFile f = parse(kLaunched);
  // Host 0..5, kernel 5..105, message 105..135, kernel 135..185, host waits and takes 185..190, message 190..210.
  CHECK(predicted_ps(f, make_program(f, 0, Launching::from_host), Launching::from_host) == 210);
  // Without host tasks: 100 + 30 + 50 + 20.
  CHECK(predicted_ps(f, make_program(f, 0, Launching::captured), Launching::captured) == 200);
}

TEST_CASE("A wait that another wait implies is left out, and nothing is lost") {
  // Lanes A, B, C: b1 waits for a0; c2 waits for b1 and a0: the wait for b1 is enough.
  const StepFile f = parse(
      "lane 0 0 compute a\nlane 1 0 communication b\nlane 2 0 communication c\n"
      "task 0 0 1 x -1 -1 -1\ntask 1 1 1 x -1 -1 -1 0\ntask 2 2 1 x -1 -1 -1 0 1\nend 3\n");
  const Program p = make_program(f, 0, Launching::from_host);
  CHECK(p.order[2].waits == std::vector<std::int32_t>{1});
  CHECK(keeps(p, 0, 2));
}

TEST_CASE("Every dependency of random graphs is kept by streams and waits") {
  std::uint64_t state = 12345;
  const auto random = [&](std::uint64_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % n;
  };
  for (int round = 0; round < 60; ++round) {
    std::string text = "lane 0 0 host host\nlane 1 0 compute a\nlane 2 0 communication b\nlane 3 0 copy c\n";
    const std::uint64_t count = 40;
    std::vector<std::pair<std::int32_t, std::int32_t>> edges;
    for (std::uint64_t t = 0; t < count; ++t) {
      text += "task " + std::to_string(t) + " " + std::to_string(random(4)) + " 1 x -1 -1 -1";
      for (std::uint64_t d = 0; t > 0 && d < random(4); ++d) {
        const std::uint64_t before = random(t);
        text += " " + std::to_string(before);
        edges.emplace_back(static_cast<std::int32_t>(before), static_cast<std::int32_t>(t));
      }
      text += "\n";
    }
    const StepFile f = parse(text + "end " + std::to_string(count) + "\n");
    const Program p = make_program(f, 0, Launching::from_host);
    REQUIRE(p.order.size() == count);
    const Program captured = make_program(f, 0, Launching::captured);
    for (const auto& [before, after] : edges) {
      const auto lane_of = [&](std::int32_t t) { return f.tasks[static_cast<std::size_t>(t)].lane; };
      // A host task is issued, and so has ended, before whatever comes later; kernels must be waited for.
      if (lane_of(before) == 0) continue;
      CHECK(keeps(p, before, after));
      if (lane_of(after) != 0) CHECK(keeps(captured, before, after));
    }
  }
}

TEST_CASE("A task that waits for a later one is issued behind it; a circle is refused") {
  const StepFile f = parse(
      "lane 0 0 compute a\nlane 1 0 communication b\n"
      "task 0 0 1 x -1 -1 -1 2\ntask 1 0 1 x -1 -1 -1\ntask 2 1 1 x -1 -1 -1\nend 3\n");
  CHECK(tasks_in_order(make_program(f, 0, Launching::from_host)) == std::vector<std::int32_t>{2, 0, 1});
  // Task 2 waits for 1, which stands behind 0 in its lane, which waits for 2.
  const StepFile circle = parse(
      "lane 0 0 compute a\nlane 1 0 communication b\n"
      "task 0 0 1 x -1 -1 -1 2\ntask 1 0 1 x -1 -1 -1\ntask 2 1 1 x -1 -1 -1 1\nend 3\n");
  CHECK_THROWS_WITH_AS(make_program(circle, 0, Launching::from_host), doctest::Contains("waits for itself"), SpecError);
}

TEST_CASE("A stage runs its own lanes and what all stages do together") {
  // Stage 0 sends (2) what stage 1 receives (3); kernel 4 of stage 0 waits for that receive: locally, for the send.
  const StepFile f = parse(
      "lane 0 0 compute compute\nlane 1 0 communication send_forward\nlane 2 1 communication receive_forward\n"
      "lane 3 1 compute compute\nlane 4 -1 communication all_stages\n"
      "work 0 message all_reduce 4 model 0\nwork 1 message all_reduce 8 embedding 0\n"
      "task 0 0 10 compute -1 -1 -1\n"
      "task 2 1 0 send -1 -1 -1 0\n"
      "task 3 2 7 receive -1 -1 -1 2\n"
      "task 4 0 10 compute -1 -1 -1 3\n"
      "task 5 3 10 compute -1 -1 -1 3\n"
      "task 6 4 2 data_parallel -1 -1 1 4 5\n"
      "task 7 4 2 data_parallel -1 -1 0 6\n"
      "end 7\n");
  const Program first = make_program(f, 0, Launching::from_host);
  CHECK(tasks_in_order(first) == std::vector<std::int32_t>{0, 1, 3, 5, 6});
  CHECK(first.order[2].waits == std::vector<std::int32_t>{1});  // the kernel waits for the send
  const Program second = make_program(f, 1, Launching::from_host);
  CHECK(tasks_in_order(second) == std::vector<std::int32_t>{2, 4, 5, 6});
  CHECK_THROWS_AS(make_program(f, 2, Launching::from_host), SpecError);
}
