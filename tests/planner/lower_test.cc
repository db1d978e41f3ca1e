// A plan's graph: its memory is the anatomy's, its time is all labelled, and everything the plan must send is sent.
#include "planner/lower.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "planner/report.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

/// What a lane's tasks move and how long they take when they have the network for themselves.
struct LaneWork {
  double flow = 0;  // bytes
  std::int64_t tasks = 0;
};
LaneWork work_of(const sim::TaskGraph& graph, sim::LaneId lane) {
  LaneWork w;
  for (sim::TaskId t = 0; t < graph.task_count(); ++t) {
    if (graph.lane_of(t) != lane) continue;
    w.flow += graph.task(t).flow.base();
    ++w.tasks;
  }
  return w;
}
LaneWork operator*(double n, const Message& m) { return {n * m.flow.base(), std::llround(n)}; }
LaneWork operator+(LaneWork a, const LaneWork& b) { return {a.flow + b.flow, a.tasks + b.tasks}; }

/// What stage s must send to its data-parallel group in a step, from the plan alone.
LaneWork data_parallel_work(const Plan& plan, const PlanCosts& c, std::size_t s) {
  if (plan.data * plan.context == 1) return {};
  const DataParallelCost& d = c.stages[s].data;
  const double m = c.micro_batches;
  const LaneWork replicas = (d.replica_reduce.total.count > 0 ? 1.0 : 0.0) * d.replica_reduce;
  if (plan.zero_stage == 3) {
    // Every pass gathers each of its layers, every backward pass scatters their gradients; the same for the ends.
    const double layers = static_cast<double>(c.stages[s].layers);
    std::size_t ends = 0;
    for (std::size_t k = s; k < c.placement.layers.size(); k += static_cast<std::size_t>(plan.pipeline)) {
      if (k == 0 || k + 1 == c.placement.layers.size()) ++ends;
    }
    const double end_passes = d.ends_gather.total.count > 0 ? m * static_cast<double>(ends) : 0;
    return (2 * m * layers) * d.layer_gather + (m * layers) * d.layer_reduce + (2 * end_passes) * d.ends_gather +
           end_passes * d.ends_reduce + replicas;
  }
  const bool each_time = plan.zero_stage == 2;  // a shard of the gradients is all that is kept
  const LaneWork gathers = (plan.zero_stage >= 1 ? 1.0 * d.buckets : 0.0) * d.gather;
  return ((each_time ? m : 1.0) * d.buckets) * d.reduce + gathers + replicas;
}

}  // namespace

TEST_CASE("the memory anatomy equals the peak of the simulated timeline, on every stage of every feasible plan") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    CAPTURE(text);
    std::int64_t compared = 0, different = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      if (judge.judge(plan).rejection) return;
      const PlanCosts costs = judge.costs(plan);
      const std::vector<MemoryAnatomy> stages = memory_anatomy(problem, plan, costs, judge.moments());
      const StepGraph step = lower(problem, plan, costs, judge.moments());
      const sim::Timeline timeline = sim::simulate(step.graph);
      for (std::size_t s = 0; s < stages.size(); ++s) {
        const sim::MemoryPeak& peak = timeline.memory_peaks[s];
        const std::int64_t labels =
            std::accumulate(stages[s].by_label.begin(), stages[s].by_label.end(), std::int64_t{0});
        const std::int64_t at_peak = std::accumulate(peak.by_label.begin(), peak.by_label.end(), std::int64_t{0});
        ++compared;
        if (stages[s].total == peak.bytes && labels == stages[s].total && at_peak == peak.bytes) continue;
        if (++different > 3) continue;
        CAPTURE(to_text(plan));
        CAPTURE(s);
        CHECK(stages[s].total == peak.bytes);
        CHECK(labels == stages[s].total);
        CHECK(at_peak == peak.bytes);
      }
    });
    CHECK(compared > 10);
    CHECK(different == 0);
  }
}

TEST_CASE("the parts of the time sum to the step, for every feasible plan") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    CAPTURE(text);
    double worst = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
      if (order % 7 != 0) return;  // evaluate() makes the costs anew each time
      const PlanReport r = evaluate(problem, plan);
      if (r.rejection) return;
      double sum = 0;
      for (const TimePart& part : r.time) {
        CHECK(part.time.base() > 0);
        sum += part.time.base();
      }
      worst = std::max(worst, std::abs(sum - r.step.base()) / r.step.base());
    });
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("every gradient is reduced and every shard gathered as often as the plan says, whatever the schedule") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    CAPTURE(text);
    std::int64_t different = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      if (judge.judge(plan).rejection) return;
      const PlanCosts costs = judge.costs(plan);
      const StepGraph step = lower(problem, plan, costs, judge.moments(), {.memory = false});
      for (std::size_t s = 0; s < step.lanes.size(); ++s) {
        const LaneWork sent = work_of(step.graph, step.lanes[s].data), due = data_parallel_work(plan, costs, s);
        if (sent.tasks == due.tasks && std::abs(sent.flow - due.flow) <= 1e-9 * due.flow) continue;
        if (++different > 3) continue;
        CAPTURE(to_text(plan));
        CAPTURE(s);
        CHECK(sent.tasks == due.tasks);
        CHECK(sent.flow == doctest::Approx(due.flow));
      }
    });
    CHECK(different == 0);
  }
}

TEST_CASE("every micro-batch crosses every boundary between stages once each way") {
  const Problem problem = job(kSmallSpaces[0]);
  Judge judge(problem);
  for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
    if (judge.judge(plan).rejection) return;
    const PlanCosts costs = judge.costs(plan);
    const StepGraph step = lower(problem, plan, costs, judge.moments(), {.memory = false});
    // Of the v p - 1 boundaries of v p virtual stages, those into stage s: v, one less into stage 0 (its first chunk
    // reads the data). Backward the same, one less into the last stage. All on one stage: none.
    for (std::int32_t s = 0; s < plan.pipeline; ++s) {
      const auto boundaries = [&](bool without) {
        return plan.pipeline == 1 ? 0 : std::int64_t{costs.micro_batches} * (plan.virtual_pipeline - (without ? 1 : 0));
      };
      const StageLanes& lanes = step.lanes[static_cast<std::size_t>(s)];
      CHECK(work_of(step.graph, lanes.forward_transfer).tasks == boundaries(s == 0));
      CHECK(work_of(step.graph, lanes.backward_transfer).tasks == boundaries(s == plan.pipeline - 1));
    }
  });
}

TEST_CASE("a pipeline without messages, host or data parallelism takes the schedule's closed form") {
  // 1F1B of M micro-batches over P equal stages: (M + P - 1) (f + b), arXiv 2104.04473 section 2.2.1. Here embedding
  // and head count as no time of their own on inner stages, so take the same f and b everywhere.
  const Problem problem = job(kSmallSpaces[2]);
  Plan plan;
  plan.tensor = 2;
  plan.pipeline = 4;
  plan.sequence_parallel = true;
  plan.overlap = {true, true, true};
  PlanCosts costs = costs_of(problem, plan);
  for (std::size_t k = 0; k < 4; ++k) {
    costs.forward[k] = costs.forward[1];
    costs.backward[k] = costs.backward[1];
    costs.stages[k].gradient_tail = {};
    costs.stages[k].optimizer = {};
  }
  costs.transfer = {};
  costs.norm_reduce = {};
  costs.framework.step_overhead = {};
  PeakMoments moments;
  for (const ScheduleKind kind : {ScheduleKind::one_f_one_b, ScheduleKind::gpipe}) {
    plan.schedule = kind;
    const sim::Timeline t = sim::simulate(lower(problem, plan, costs, moments).graph);
    CHECK(costs.micro_batches == 16);
    CHECK(t.makespan.count == 19 * (costs.forward[1].gpu + costs.backward[1].gpu).count);
  }
}

TEST_CASE("interleaving without overlap exchanges messages after every round, and takes the closed form") {
  // p stages of v chunks, m micro-batches, n = m v passes each way, every pass f or b and every message T.
  // Megatron-LM's stages go in step. The last stage starts after p - 1 passes and messages; it has (v-1) p rounds of f,
  // n - (v-1) p of f + b and (v-1) p of b, a message between each two; p - 1 messages and backward passes later stage 0
  // ends:
  //     (n + p - 1) (f + b) + (p-1 + n + (v-1) p - 1 + p-1) T
  // p = 4, v = 2, m = 16: 35 (f + b) + 41 T. With overlap the messages hide: at most those of the fill and the end
  // show.
  const Problem problem = job(
      R"({"model": {"layers": 8, "hidden": 1024, "ffn_hidden": 4096, "heads": 16, "vocab": 32000, "gated_mlp": true},
          "cluster": {"node": "dgx-h100", "gpus": 4}, "training": {"sequence_length": 512, "global_batch": 16},
          "software": {"framework": "megatron-core", "cuda_graphs": true}})");
  Plan plan;
  plan.pipeline = 4;
  plan.virtual_pipeline = 2;
  plan.schedule = ScheduleKind::interleaved;
  PlanCosts costs = costs_of(problem, plan);
  for (std::size_t k = 0; k < 8; ++k) {
    costs.forward[k] = costs.forward[1];
    costs.backward[k] = costs.backward[1];
  }
  for (StageCost& stage : costs.stages) {
    stage.gradient_tail = {};
    stage.optimizer = {};
  }
  const Picoseconds pass = costs.forward[1].gpu + costs.backward[1].gpu;
  const Picoseconds message{pass.count / 10};
  costs.transfer.total = costs.transfer.fixed = message;
  costs.transfer.flow = {};
  costs.norm_reduce = {};
  costs.framework.step_overhead = {};
  PeakMoments moments;
  plan.overlap = {false, true, false};
  const Picoseconds alone = sim::simulate(lower(problem, plan, costs, moments).graph).makespan;
  CHECK(alone.count == 35 * pass.count + 41 * message.count);
  plan.overlap.pipeline = true;
  const Picoseconds overlapped = sim::simulate(lower(problem, plan, costs, moments).graph).makespan;
  CHECK(overlapped.count >= 35 * pass.count);
  CHECK(overlapped.count < 35 * pass.count + 20 * message.count);
}

TEST_CASE("interleaving without overlap ends, and never before it would with overlap, whatever the shape") {
  for (const std::int32_t pipeline : {3, 4, 5, 8}) {
    for (const std::int32_t chunks : {2, 3}) {
      for (const std::int32_t rounds : {1, 2, 3}) {
        const Problem problem = job(fmt::format(
            R"({{"model": {{"layers": {}, "hidden": 512, "ffn_hidden": 2048, "heads": 8, "vocab": 8000}},
                "cluster": {{"node": "dgx-h100", "gpus": {}}},
                "training": {{"sequence_length": 512, "global_batch": {}}},
                "software": {{"framework": "megatron-core", "cuda_graphs": true}}}})",
            pipeline * chunks, pipeline, pipeline * rounds));
        Plan plan;
        plan.pipeline = pipeline;
        plan.virtual_pipeline = chunks;
        plan.schedule = ScheduleKind::interleaved;
        CAPTURE(to_text(plan));
        const PlanCosts costs = costs_of(problem, plan);
        PeakMoments moments;
        for (const bool kernels : {false, true}) {
          const auto takes = [&](bool overlap) {
            plan.overlap.pipeline = overlap;
            const StepGraph step = lower(problem, plan, costs, moments, {.memory = false, .kernels = kernels});
            return sim::simulate(step.graph, {.memory = false, .releases = false}).makespan;
          };
          CHECK(takes(true) < takes(false));
        }
      }
    }
  }
}

TEST_CASE("kernel by kernel the step is the same, with and without CUDA graphs, and its memory to the byte") {
  // Joined blocks are exact where a pass is one task. Cut into parts it counts as equal parts, which layers beside an
  // embedding, a head or recomputed layers are not: gradient buckets then start, and ZeRO-3's gathers wait, elsewhere.
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    CAPTURE(text);
    std::int64_t compared = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
      if (order % 5 != 0 || judge.judge(plan).rejection) return;
      const PlanCosts costs = judge.costs(plan);
      const sim::Timeline blocks = sim::simulate(lower(problem, plan, costs, judge.moments()).graph);
      const sim::Timeline kernels =
          sim::simulate(lower(problem, plan, costs, judge.moments(), {.memory = true, .kernels = true}).graph);
      CAPTURE(to_text(plan));
      const double ratio = to_seconds(kernels.makespan) / to_seconds(blocks.makespan);
      CHECK(std::abs(ratio - 1) < 0.07);
      if (plan.data * plan.context == 1 && plan.pipeline == 1) CHECK(kernels.makespan == blocks.makespan);
      for (std::size_t s = 0; s < blocks.memory_peaks.size(); ++s)
        CHECK(kernels.memory_peaks[s].bytes == blocks.memory_peaks[s].bytes);
      ++compared;
    });
    CHECK(compared > 10);
  }
}

TEST_CASE("blocks split into parts sum to the whole, and in a row take as long") {
  const auto ps = [](std::int64_t n) { return Picoseconds{n}; };
  for (const BlockCost& whole :
       {BlockCost{ps(1001), ps(400), ps(1050), {ps(900), ps(0), ps(101), ps(0)}},
        BlockCost{ps(1001), ps(4000), ps(4100), {ps(1001), ps(0), ps(0), ps(0)}}, BlockCost{ps(0), ps(0), ps(0), {}}}) {
    for (const std::int32_t count : {1, 2, 3, 7}) {
      BlockCost sum;
      for (const BlockCost& part : split(whole, count)) sum = sum + part;
      CHECK(sum.gpu == whole.gpu);
      CHECK(sum.host == whole.host);
      CHECK(sum.by_label == whole.by_label);
      CHECK(sum.alone >= whole.gpu);
      // Rounding to picoseconds in each part.
      CHECK(std::abs((sum.alone - whole.alone).count) <= 2 * count);
    }
  }
}

TEST_CASE("a faster part never makes a step slower") {
  // Lanes run in order, so without shared links every task ends no later when some take less time. (Of a framework that
  // runs no collective beside a layer's kernels: with faster links NCCL takes more channels, and their SMs from
  // kernels.)
  const std::string text =
      R"({"model": {"layers": 8, "hidden": 2048, "ffn_hidden": 8192, "heads": 16, "vocab": 32000, "gated_mlp": false},
          "cluster": {"node": "dgx-a100-80", "nodes": 1},
          "training": {"sequence_length": 1024, "global_batch": 16}, "search": {"micro_batch": [1]},
          "software": {"framework": "megatron-deepspeed"}})";
  const Problem base = job(text);
  Problem quick_math = base, quick_memory = base, quick_links = base;
  for (auto& rate : quick_math.cluster.gpu.peak)
    if (rate) *rate = 2.0 * *rate;
  quick_memory.cluster.gpu.memory_bandwidth = 2.0 * base.cluster.gpu.memory_bandwidth;
  quick_links.cluster.gpu.scale_up_bandwidth = 2.0 * base.cluster.gpu.scale_up_bandwidth;
  quick_links.cluster.node.scale_up_bandwidth = 2.0 * base.cluster.node.scale_up_bandwidth;
  std::int64_t tried = 0;
  for_each_plan(base, [&](const Plan& plan, std::int64_t order) {
    if (order % 11 != 0) return;
    const PlanReport before = evaluate(base, plan);
    if (before.rejection) return;
    ++tried;
    CAPTURE(to_text(plan));
    double parts = 0;
    for (const Problem* quick : {&quick_math, &quick_memory, &quick_links}) {
      const PlanReport after = evaluate(*quick, plan);
      CHECK(after.step <= before.step);
      CHECK(after.step >= before.step / 2);  // nothing is more than twice as fast
      parts += (before.step - after.step).base();
    }
    CHECK(parts <= 0.55 * before.step.base() + 1e-4);  // and no second is saved twice
  });
  CHECK(tried > 20);
}

TEST_CASE("twice the batch takes at most twice as long, and more than once") {
  const Problem once = job(kSmallSpaces[4]);
  Problem twice = once;
  twice.training.global_batch *= 2;
  for_each_plan(once, [&](const Plan& plan, std::int64_t order) {
    if (order % 13 != 0) return;
    const PlanReport a = evaluate(once, plan), b = evaluate(twice, plan);
    if (a.rejection || b.rejection) return;
    CAPTURE(to_text(plan));
    CHECK(b.step <= 2 * a.step);
    CHECK(b.step > a.step);
  });
}
