// Slow and dead parts: which groups they slow and by how much, worked out by hand; and laws that hold for every plan.
#include <algorithm>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "planner/fault_report.h"
#include "planner/plan_replicas.h"
#include "planner/report.h"
#include "planner/resource.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

/// `job` with `faults` (the JSON object) in its cluster.
Problem faulty(std::string_view job, const std::string& faults) {
  return load_problem(with_override(SpecNode::parse(job, "job.json"), "cluster.faults", faults), test_catalogue());
}

std::string error_of(std::string_view job, const std::string& faults) {
  try {
    const Problem p = faulty(job, faults);
    if (p.plan) evaluate(p, *p.plan);
  } catch (const SpecError& e) {
    return e.what();
  }
  return "";
}

double step_of(const Problem& problem) {
  return evaluate(problem, *problem.plan, {.even_if_too_big = true}).step.base();
}

/// GPT on 8-GPU nodes: TP 8 in the node, the plan's other degrees over nodes.
constexpr std::string_view kTwoNodes = R"({
  "model": {"layers": 8, "hidden": 4096, "ffn_hidden": 16384, "heads": 32, "vocab": 50000, "gated_mlp": false},
  "cluster": {"node": "dgx-h100", "nodes": 2},
  "training": {"sequence_length": 2048, "global_batch": 32},
  "plan": {"tensor": 8, "data": 2, "overlap": {"tensor": false, "data": false, "pipeline": false}}})";

constexpr std::string_view kSixteenNodes = R"({
  "model": {"layers": 8, "hidden": 4096, "ffn_hidden": 16384, "heads": 32, "vocab": 50000, "gated_mlp": false},
  "cluster": {"node": "dgx-h100", "nodes": 16},
  "training": {"sequence_length": 2048, "global_batch": 64},
  "plan": {"tensor": 8, "pipeline": 2, "data": 8}})";

/// [group] shares of the data-parallel rings of `plan` (TP 8: one a rail and stage).
std::vector<LinkShares> ring_shares(const Problem& p) {
  std::vector<RankGroup> rings;
  const std::int64_t stage = std::int64_t{p.plan->tensor} * p.plan->data;
  for (std::int64_t s = 0; s < p.plan->pipeline; ++s)
    for (std::int64_t t = 0; t < p.plan->tensor; ++t) rings.push_back({s * stage + t, p.plan->tensor, p.plan->data});
  return GroupHealth(p.cluster).shares(rings);
}

}  // namespace

TEST_CASE("a cable at a quarter of its speed slows the one ring that crosses it to a quarter") {
  const Problem p = faulty(kTwoNodes, R"({"node1": {"nic2": 0.25}})");
  const std::vector<LinkShares> shares = ring_shares(p);
  for (std::size_t t = 0; t < 8; ++t) CHECK(shares[t].network == doctest::Approx(t == 2 ? 0.25 : 1));
  // 8 layers x 12 x 4096^2 parameters / 8 = 201 M a rank, and embedding and head of 50,048 x 4096 / 8 each. Gradients
  // in fp32, a ring of two nodes over one rail: every byte leaves each node once, at 94 % of 50 GB/s healthy.
  const Problem healthy = job(kTwoNodes);
  const double rank = 12.0 * 8 * 4096 * 4096 / 8 + 50'176.0 * 4096 / 8;
  const double wire = 4 * rank / 47e9;
  // Not overlapped: what the step takes longer is three times the transfer. Biases, norms and positions are left out.
  CHECK(step_of(p) - step_of(healthy) == doctest::Approx(3 * wire).epsilon(0.05));
}

TEST_CASE("the traffic of a dead NIC moves to its neighbour, and both rings have half of that") {
  // GPU 2 has a PCIe switch of its own; the nearest working NIC of its socket is the first.
  const std::vector<LinkShares> shares = ring_shares(faulty(kTwoNodes, R"({"node1": {"nic2": 0}})"));
  for (std::size_t t = 0; t < 8; ++t) CHECK(shares[t].network == doctest::Approx(t == 0 || t == 2 ? 0.5 : 1));
}

TEST_CASE("a ring over all rails of a node does without a dead one") {
  // TP 1: one ring of 16 ranks, eight channels. With seven left, each carries 8/7.
  const Problem p = faulty(kTwoNodes, R"({"node1": {"nic2": 0}})");
  const GroupHealth groups(p.cluster);
  CHECK(groups.shares({{0, 1, 16}}).front().network == doctest::Approx(7.0 / 8));
  // At a quarter of its speed NCCL still uses it, for an eighth of the data.
  const Problem slow = faulty(kTwoNodes, R"({"node1": {"nic2": 0.25}})");
  CHECK(GroupHealth(slow.cluster).shares({{0, 1, 16}}).front().network == doctest::Approx(0.25));
}

TEST_CASE("a slow NVLink slows the groups inside its node alone") {
  const Problem p = faulty(kTwoNodes, R"({"node0": {"nvlink5": 0.5}})");
  const GroupHealth groups(p.cluster);
  const std::vector<LinkShares> tensor = groups.shares({{0, 1, 8}, {8, 1, 8}});
  CHECK(tensor[0].scale_up == 0.5);
  CHECK(tensor[1].scale_up == 1);
  CHECK(ring_shares(p)[5] == LinkShares{});  // one rank a node: no NVLink in it
}

TEST_CASE("up-links: what crosses them shares what is left; rings inside a leaf do not notice") {
  // 4 nodes a leaf group, rails: leaf 0 has NIC 0 of nodes 0 to 3 and four up-links. A ring of 8 nodes leaves each of
  // its two leaves once, over one NIC's worth of four: at a quarter they just suffice, at an eighth they carry half.
  const std::string network = R"({"kind": "infiniband", "nodes_per_leaf": 4})";
  const auto with = [&](const std::string& faults) {
    SpecNode spec = with_override(SpecNode::parse(kSixteenNodes, "job.json"), "cluster.network", network);
    return load_problem(with_override(spec, "cluster.faults", faults), test_catalogue());
  };
  CHECK(ring_shares(with(R"({"leaf0": {"up": 0.25}})"))[0].network == 1);
  const std::vector<LinkShares> eighth = ring_shares(with(R"({"leaf0": {"up": 0.125}})"));
  CHECK(eighth[0].network == doctest::Approx(0.5));
  CHECK(eighth[1].network == 1);
  CHECK(eighth[8].network == 1);  // the second stage's nodes are elsewhere
  // Every NIC of nodes 4-7 sends to the next leaf at once: four over three spines.
  const std::vector<RankGroup> all = {{32, 32, 2, true}, {40, 32, 2, true}, {48, 32, 2, true}, {56, 32, 2, true}};
  for (const LinkShares& share : GroupHealth(with(R"({"spine1": 0})").cluster).shares(all))
    CHECK(share.network == doctest::Approx(0.75));
}

TEST_CASE("a GPU at half speed on one of two stages: its passes take twice as long, and all wait for them") {
  // One GPU a stage, launches ahead: stage 1 is busy from the first arrival to the last backward pass.
  const std::string_view text = R"({
    "model": {"layers": 8, "hidden": 2048, "ffn_hidden": 8192, "heads": 16, "vocab": 2000, "gated_mlp": false},
    "cluster": {"node": "dgx-h100", "gpus": 2}, "software": {"framework": "megatron-core", "cuda_graphs": true},
    "training": {"sequence_length": 2048, "global_batch": 16}, "plan": {"pipeline": 2, "data": 1}})";
  const Problem healthy = job(text), slow = faulty(text, R"({"node0": {"gpu1": 0.5}})");
  const PlanCosts c = costs_of(healthy, *healthy.plan);
  REQUIRE(c.micro_batches == 16);
  // Healthy and even stages: (16 + 1) slots of F + B. Slow: 16 slots of twice that on stage 1, F before and B after on
  // stage 0. Each slot has messages besides.
  const double slot = to_seconds(c.forward[1].gpu + c.backward[1].gpu).base();
  const double first = to_seconds(c.forward[0].gpu + c.backward[0].gpu).base();
  const double optimizer = to_seconds(c.stages[1].optimizer).base();
  CHECK(step_of(slow) == doctest::Approx(first + 32 * slot + 2 * optimizer).epsilon(0.01));
  CHECK(step_of(healthy) == doctest::Approx(first + 16 * slot + optimizer).epsilon(0.03));
  // On stage 0, too, by symmetry but for the head.
  CHECK(step_of(faulty(text, R"({"node0": {"gpu0": 0.5}})")) == doctest::Approx(slot + 32 * first).epsilon(0.03));
}

TEST_CASE("what a plan does not use costs it nothing, to the picosecond") {
  const double healthy = step_of(job(kSixteenNodes));
  for (const char* faults : {R"({"leaf3": {"up": 0.5}})", R"({"spine0": 0})", R"({"node15": {"nic3": 1}})"})
    CHECK(step_of(faulty(kSixteenNodes, faults)) == healthy);
  // GPUs that stay idle.
  SpecNode spec = with_override(SpecNode::parse(kSixteenNodes, "job.json"), "plan.data", "4");
  const Problem half = load_problem(spec, test_catalogue());
  spec = with_override(spec, "cluster.faults", R"({"node12": {"gpu3": 0.1, "nic3": 0.1, "nvlink3": 0.1}})");
  CHECK(step_of(load_problem(spec, test_catalogue())) == step_of(half));
}

TEST_CASE("which of several equal parts is slow makes no difference") {
  const auto step = [](const char* faults) { return step_of(faulty(kSixteenNodes, faults)); };
  const double straggler = step(R"({"node3": {"gpu5": 0.7}})");
  CHECK(straggler > step_of(job(kSixteenNodes)));
  CHECK(step(R"({"node5": {"gpu1": 0.7}})") == straggler);
  CHECK(step(R"({"node3": {"gpu5": 0.7, "gpu6": 0.9}})") == straggler);  // in step with a slower one
  CHECK(step(R"({"node0": {"gpu*": 0.7}, "node3-6": {"gpu5": 0.7}})") == straggler);
  const double cable = step(R"({"node2": {"nic7": 0.3}})");
  CHECK(step(R"({"node6": {"nic0": 0.3}})") == cable);
}

TEST_CASE("replicas that are told apart but equal take what the folded step takes, for every plan of small spaces") {
  std::int64_t plans = 0, flows = 0;
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
      if (order % 3 != 0 || plan.data == 1 || judge.judge(plan).rejection) return;
      const auto costs = std::make_shared<const PlanCosts>(judge.costs(plan));
      const std::vector<SimulatedReplica> replicas(3, {.costs = costs, .name = "replica"});
      const StepGraph folded = lower(problem, plan, *costs, judge.moments(), {.memory = false});
      const StepGraph apart = lower(problem, plan, replicas, judge.moments(), {.memory = false});
      const Picoseconds a = sim::simulate(folded.graph).makespan, b = sim::simulate(apart.graph).makespan;
      ++plans;
      flows += folded.graph.flows().empty() ? 0 : 1;
      if (a == b) return;
      CAPTURE(to_text(plan));
      CHECK(a.count == b.count);
    });
  }
  CHECK(plans > 300);
  CHECK(flows > 100);
}

TEST_CASE("a worse fault is never faster, and the bound holds on faulty clusters") {
  struct Series {
    const char* part;
    std::array<double, 3> shares;  // worse and worse
  };
  const std::array series = {Series{R"({{"node0": {{"gpu1": {}}}}})", {0.9, 0.5, 0.2}},
                             Series{R"({{"node*": {{"gpu0": {}}}}})", {0.9, 0.6, 0.3}},
                             Series{R"({{"node1": {{"nic0": {}}}}})", {0.8, 0.3, 0.05}},
                             Series{R"({{"node0": {{"nvlink2": {}}}}})", {0.8, 0.3, 0.05}}};
  std::int64_t plans = 0, slower = 0;
  for (const std::size_t space : {0U, 2U, 4U, 6U, 8U}) {
    const std::string_view text = kSmallSpaces[space];
    const Problem healthy = job(text);
    for (const Series& s : series) {
      std::vector<Problem> problems;
      for (const double share : s.shares) problems.push_back(faulty(text, fmt::format(fmt::runtime(s.part), share)));
      Judge at_best(healthy);
      std::vector<std::unique_ptr<Judge>> judges;
      for (const Problem& p : problems) judges.push_back(std::make_unique<Judge>(p));
      for_each_plan(healthy, [&](const Plan& plan, std::int64_t order) {
        if (order % 11 != 0 || at_best.judge(plan).rejection) return;
        Picoseconds before = at_best.step_time(plan);
        ++plans;
        for (const auto& judge : judges) {
          const Judgement j = judge->judge(plan);
          REQUIRE(!j.rejection);
          const Picoseconds step = judge->step_time(plan);
          CAPTURE(text);
          CAPTURE(to_text(plan));
          CAPTURE(s.part);
          CHECK(j.bound.count <= step.count);
          CHECK(step.count >= before.count);
          slower += step > before ? 1 : 0;
          before = step;
        }
      });
    }
  }
  CHECK(plans > 100);
  CHECK(slower > plans);
}

TEST_CASE("the report: what each fault costs alone, and the groups that meet it") {
  const Problem p = faulty(kSixteenNodes, R"({"node1": {"nic2": 0.25}, "node9": {"gpu4": 0.8}})");
  const FaultReport report = fault_report(p, *p.plan);
  CHECK(report.healthy_step.base() == step_of(job(kSixteenNodes)));
  REQUIRE(report.faults.size() == 2);
  const FaultCost& cable = report.faults[0];
  CHECK(cable.name == "node1.nic2");
  CHECK(cable.cost.base() > 0);
  REQUIRE(cable.slows.size() == 2);
  CHECK(cable.slows[0].kind == "data-parallel group");  // ranks 2, 10, ... of stage 0
  CHECK(cable.slows[0].groups == std::vector<std::int64_t>{2});
  // Stage 0 is nodes 0-7: rank 10 of node 1 sends to rank 74, whose gradient comes back.
  CHECK(cable.slows[1].groups == std::vector<std::int64_t>{10, 74});
  const FaultCost& straggler = report.faults[1];
  REQUIRE(straggler.slows.size() == 1);
  CHECK(straggler.slows[0].kind == "rank");
  CHECK(straggler.slows[0].groups == std::vector<std::int64_t>{9 * 8 + 4});
}

TEST_CASE("bad faults say what exists") {
  const auto error = [](const char* faults) { return error_of(kTwoNodes, faults); };
  CHECK(error(R"({"nod3": {"gpu5": 0.8}})") ==
        "job.json:/cluster/faults: unknown part \"nod3\"; expected nodeN, leafN or spineN");
  CHECK(error(R"({"node2": {"gpu5": 0.8}})") ==
        "job.json:/cluster/faults/node2: there is no node 2: they are numbered 0 to 1");
  CHECK(error(R"({"node1": {"gpu8": 0.8}})") ==
        "job.json:/cluster/faults/node1/gpu8: there is no gpu 8: they are numbered 0 to 7");
  CHECK(error(R"({"node1": {"cpu0": 0.8}})") ==
        "job.json:/cluster/faults/node1/cpu0: unknown part \"cpu0\" of a node; expected gpuN, nicN or nvlinkN");
  CHECK(error(R"({"node1": {"gpu5": 1.5}})").find("from 0 to 1") != std::string::npos);
  CHECK(error(R"({"node1": {"gpu5": 0}})").find("leave its node out") != std::string::npos);
  CHECK(error(R"({"node1": {"gpu-1": 0.5}})").find("expected gpuN, gpuN-M") != std::string::npos);
  CHECK(error(R"({"node1": 0.5})").find("expected an object") != std::string::npos);
  CHECK(error(R"({"node1": {"nic*": 0}})") ==
        "job.json:/cluster/faults: node 1 cannot reach the other nodes: each of its 8 NICs is dead");
  CHECK(error(R"({"leaf8": {"up": 0.5}})").find("there is no leaf 8") != std::string::npos);
  CHECK(error(R"({"leaf0": {"down": 0.5}})").find("unknown key \"down\"") != std::string::npos);
}

TEST_CASE("a leaf without up-links cuts off what lies beyond, by name") {
  const SpecNode spec = with_override(SpecNode::parse(kSixteenNodes, "job.json"), "cluster.network",
                                      R"({"kind": "roce", "nodes_per_leaf": 4})");
  const Problem p = load_problem(with_override(spec, "cluster.faults", R"({"leaf0": {"up": 0}})"), test_catalogue());
  CHECK_THROWS_WITH(evaluate(p, *p.plan),
                    "cluster.faults: GPU 0 of node 3 cannot reach GPU 0 of node 4: the up-links of leaf 0 are dead");
}

TEST_CASE("what changes of a faulty cluster are compared with is its own step") {
  const Problem slow = faulty(kSixteenNodes, R"({"node3": {"gpu5": 0.5}})");
  const Seconds step = outcome(slow, *slow.plan).step;
  CHECK(step.base() == step_of(slow));
  CHECK(step.base() > step_of(faulty(kSixteenNodes, "{}")));
  CHECK(outcome(scaled(slow, Resource::nic_bandwidth, 1.0), *slow.plan).step == step);
}

TEST_CASE("faster NICs are faster on a node from a topology file, too") {
  // One data-parallel ring over two nodes, nothing overlapped: all of its time behind the NICs.
  const Problem p = load_problem(SpecNode::parse(R"({
      "model": {"layers": 8, "hidden": 4096, "ffn_hidden": 16384, "heads": 32, "vocab": 50000, "gated_mlp": false},
      "cluster": {"topology": "tests/data/topology/azure-ndv4-topo.xml", "gpu": "a100-sxm4-40gb", "nodes": 2},
      "training": {"sequence_length": 2048, "global_batch": 16},
      "plan": {"tensor": 8, "data": 2, "overlap": {"tensor": false, "data": false, "pipeline": false}}})",
                                                 "job.json"),
                                 test_catalogue());
  REQUIRE(p.cluster.node.map != nullptr);
  const Seconds step = outcome(p, *p.plan).step, twice = outcome(scaled(p, Resource::nic_bandwidth, 2), *p.plan).step;
  CHECK(outcome(scaled(p, Resource::nic_bandwidth, 1), *p.plan).step == step);
  CHECK(twice < step);
}
