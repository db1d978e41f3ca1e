// The kernel-level step: it takes as long and holds as much as the step of blocks, does the model's arithmetic, and can
// run on GPUs, where a send waits for its receiver.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "planner/graph_file.h"
#include "planner/lower.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

const MessageWork* message_of(const StepGraph& step, sim::TaskId task) {
  const std::int32_t payload = step.graph.task(task).payload;
  return payload == sim::kNone ? nullptr : std::get_if<MessageWork>(&step.work[static_cast<std::size_t>(payload)]);
}
bool crosses_stages(const MessageWork* m) {
  return m != nullptr && (m->group == WorkGroup::next || m->group == WorkGroup::previous);
}

/// Every `every`-th plan of `text` that can run, with its kernel-level step.
void for_steps(std::string_view text, std::int64_t every,
               const std::function<void(const Problem&, const Plan&, const PlanCosts&, PeakMoments&)>& visit) {
  const Problem problem = job(text);
  Judge judge(problem);
  std::int64_t visited = 0;
  for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
    if (order % every != 0 || judge.judge(plan).rejection) return;
    CAPTURE(to_text(plan));
    visit(problem, plan, judge.costs(plan), judge.moments());
    ++visited;
  });
  CAPTURE(text);
  CHECK(visited > 0);
}

}  // namespace

TEST_CASE("kernel by kernel a step takes as long, to the picosecond where passes are whole, and holds the same bytes") {
  for (const std::string_view text : kSmallSpaces) {
    std::int64_t whole = 0, longer = 0, heavier = 0;
    for_steps(text, 3, [&](const Problem& problem, const Plan& plan, const PlanCosts& costs, PeakMoments& moments) {
      const sim::Timeline blocks = sim::simulate(lower(problem, plan, costs, moments).graph);
      const sim::Timeline kernels =
          sim::simulate(lower(problem, plan, costs, moments, {.memory = true, .kernels = true}).graph);
      for (std::size_t s = 0; s < blocks.memory_peaks.size(); ++s)
        heavier += kernels.memory_peaks[s].bytes == blocks.memory_peaks[s].bytes ? 0 : 1;
      // Gradient buckets and ZeRO-3's layers cut a pass into parts.
      bool cut = plan.zero_stage == 3;
      for (const StageCost& stage : costs.stages) cut = cut || stage.data.buckets > plan.virtual_pipeline;
      if (cut) return;
      ++whole;
      longer += kernels.makespan == blocks.makespan ? 0 : 1;
    });
    CAPTURE(text);
    CHECK(longer == 0);
    CHECK(heavier == 0);
    if (text.find("\"fsdp\"") == std::string_view::npos) CHECK(whole > 0);
  }
}

TEST_CASE("kernel by kernel the step of a large model takes within 0.5 % as long, however its passes are cut") {
  // A cut pass counts as equal parts; beside 8 layers and more, embedding, head and recomputed layers hardly matter.
  for (const char* text : {
           R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
               "training": {"sequence_length": 8192, "global_batch": 64}, "software": {"framework": "fsdp"},
               "plan": {"zero_stage": 3, "micro_batch": 1}})",
           R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 8},
               "training": {"sequence_length": 8192, "global_batch": 128}, "software": {"framework": "torchtitan"},
               "plan": {"zero_stage": 3, "micro_batch": 1, "recompute": "full"}})",
           R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
               "training": {"sequence_length": 8192, "global_batch": 128},
               "plan": {"zero_stage": 1, "tensor": 1, "micro_batch": 1}})",
           R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-a100-80", "nodes": 1},
               "training": {"sequence_length": 2048, "global_batch": 64},
               "plan": {"zero_stage": 0, "tensor": 1, "micro_batch": 1, "recompute": "full", "recompute_layers": 10}})",
           R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-a100-80", "nodes": 2},
               "training": {"sequence_length": 4096, "global_batch": 64}, "software": {"framework": "deepspeed"},
               "plan": {"zero_stage": 2, "tensor": 1, "micro_batch": 1, "recompute": "full"}})",
           R"({"model": "llama-3.1-70b", "cluster": {"node": "dgx-h100", "nodes": 32},
               "training": {"sequence_length": 8192, "global_batch": 256},
               "plan": {"zero_stage": 1, "tensor": 8, "pipeline": 4, "sequence_parallel": true, "micro_batch": 1}})",
           R"({"model": "gpt3-175b", "cluster": {"node": "dgx-a100-80", "nodes": 128},
               "training": {"sequence_length": 2048, "global_batch": 384},
               "plan": {"zero_stage": 0, "tensor": 8, "pipeline": 8, "virtual_pipeline": 2, "schedule": "interleaved",
                        "micro_batch": 1, "recompute": "full"}})",
           R"({"model": "llama-3.1-405b", "cluster": {"node": "dgx-h100", "nodes": 128},
               "training": {"sequence_length": 8192, "global_batch": 256},
               "plan": {"zero_stage": 1, "tensor": 8, "pipeline": 16, "sequence_parallel": true, "micro_batch": 1}})",
       }) {
    const Problem problem = job(text);
    const PlanCosts costs = costs_of(problem, *problem.plan);
    PeakMoments moments;
    const sim::Timeline blocks = sim::simulate(lower(problem, *problem.plan, costs, moments).graph);
    const sim::Timeline kernels = sim::simulate(kernel_step(problem, *problem.plan).graph);
    CAPTURE(text);
    CHECK(to_seconds(kernels.makespan) / to_seconds(blocks.makespan) == doctest::Approx(1).epsilon(0.005));
    for (std::size_t s = 0; s < blocks.memory_peaks.size(); ++s)
      CHECK(kernels.memory_peaks[s].bytes == blocks.memory_peaks[s].bytes);
  }
}

TEST_CASE("the kernels of a step do the model's arithmetic, over all ranks") {
  // 6 a weight and token, and attention forward a third of the part of attention: its backward kernel repeats the
  // scores, which model FLOPs leave out. No more tensor ranks than key heads, which would then be there twice.
  for (const char* text : {
           R"({"model": {"layers": 6, "hidden": 512, "ffn_hidden": 1536, "heads": 8, "kv_heads": 2, "vocab": 1024,
                         "gated_mlp": true, "tied_embeddings": true},
               "cluster": {"node": "dgx-h100", "gpus": 16}, "training": {"sequence_length": 256, "global_batch": 48},
               "search": {"recompute": "none", "micro_batch": [1, 2], "tensor": [1, 2], "context": 1}})",
           R"({"model": {"layers": 4, "hidden": 1024, "ffn_hidden": 4096, "heads": 16, "vocab": 4096,
                         "gated_mlp": false},
               "cluster": {"node": "dgx-a100-80", "gpus": 8},
               "training": {"sequence_length": 512, "global_batch": 16}, "software": {"framework": "deepspeed"},
               "search": {"recompute": "none", "context": 1}})",
       }) {
    for_steps(text, 3, [](const Problem& problem, const Plan& plan, const PlanCosts&, PeakMoments&) {
      const StepGraph step = kernel_step(problem, plan);
      double gemm = 0, attention = 0;  // FLOPs of one rank of each stage
      for (sim::TaskId t = 0; t < step.graph.task_count(); ++t) {
        const std::int32_t payload = step.graph.task(t).payload;
        const auto* kernel =
            payload == sim::kNone ? nullptr : std::get_if<Kernel>(&step.work[static_cast<std::size_t>(payload)]);
        if (kernel == nullptr) continue;
        if (std::holds_alternative<Gemm>(*kernel)) gemm += flops_of(*kernel).base();
        const auto* a = std::get_if<Attention>(kernel);
        if (a != nullptr && !a->backward) attention += 3 * flops_of(*kernel).base();
      }
      const double ranks_per_stage = static_cast<double>(gpus_used(plan)) / plan.pipeline;
      const double tokens = static_cast<double>(problem.training.global_batch * problem.training.sequence_length);
      const double whole = model_flops(problem.model, tokens, problem.training.sequence_length).base();
      CHECK((gemm + attention) * ranks_per_stage == doctest::Approx(whole).epsilon(1e-12));
    });
  }
}

TEST_CASE("between two stages, messages are received in the order in which they are sent") {
  for (const std::string_view text : kSmallSpaces) {
    std::int64_t out_of_order = 0, unpaired = 0;
    for_steps(text, 7, [&](const Problem& problem, const Plan& plan, const PlanCosts&, PeakMoments&) {
      const StepGraph step = kernel_step(problem, plan);
      std::map<sim::TaskId, sim::TaskId> sender;  // of each receive
      for (const auto& d : step.graph.dependencies()) {
        const MessageWork *from = message_of(step, d.first), *to = message_of(step, d.second);
        if (crosses_stages(from) && from->sends && crosses_stages(to) && !to->sends) {
          unpaired += sender.emplace(d.second, d.first).second && from->bytes == to->bytes ? 0 : 1;
        }
      }
      std::map<sim::LaneId, sim::TaskId> last;  // send received last on each lane
      std::int64_t sends = 0;
      for (sim::TaskId t = 0; t < step.graph.task_count(); ++t) {
        const MessageWork* m = message_of(step, t);
        if (!crosses_stages(m)) continue;
        if (m->sends) {
          ++sends;
          continue;
        }
        const auto found = sender.find(t);
        if (found == sender.end()) {
          ++unpaired;
          continue;
        }
        const auto [place, is_new] = last.emplace(step.graph.lane_of(t), found->second);
        out_of_order += !is_new && place->second >= found->second ? 1 : 0;
        place->second = found->second;
      }
      unpaired += sends == static_cast<std::int64_t>(sender.size()) ? 0 : 1;
    });
    CAPTURE(text);
    CHECK(unpaired == 0);
    CHECK(out_of_order == 0);
  }
}

TEST_CASE("a step ends although every send waits for its receiver, as on GPUs") {
  // Send and receive become one event: it needs what both need, and both lanes up to it. No circle may remain.
  for (const std::string_view text : kSmallSpaces) {
    std::int64_t stuck = 0;
    for_steps(text, 7, [&](const Problem& problem, const Plan& plan, const PlanCosts&, PeakMoments&) {
      const StepGraph step = kernel_step(problem, plan);
      const sim::TaskGraph& g = step.graph;
      const auto count = static_cast<std::size_t>(g.task_count());
      std::vector<std::size_t> event(count);
      for (std::size_t t = 0; t < count; ++t) event[t] = t;
      for (const auto& d : g.dependencies()) {
        const MessageWork *from = message_of(step, d.first), *to = message_of(step, d.second);
        if (crosses_stages(from) && from->sends && crosses_stages(to) && !to->sends)
          event[static_cast<std::size_t>(d.second)] = static_cast<std::size_t>(d.first);
      }
      std::vector<std::vector<std::size_t>> followers(count);
      std::vector<int> open(count, 0);
      const auto order = [&](std::size_t before, std::size_t after) {
        if (event[before] == event[after]) return;
        followers[event[before]].push_back(event[after]);
        ++open[event[after]];
      };
      std::map<sim::LaneId, std::size_t> last;
      for (std::size_t t = 0; t < count; ++t) {
        const auto [place, is_new] = last.emplace(g.lane_of(static_cast<sim::TaskId>(t)), t);
        if (!is_new) order(place->second, t);
        place->second = t;
      }
      for (const auto& d : g.dependencies())
        order(static_cast<std::size_t>(d.first), static_cast<std::size_t>(d.second));
      std::vector<std::size_t> ready;
      std::size_t events = 0, done = 0;
      for (std::size_t t = 0; t < count; ++t) {
        if (event[t] != t) continue;
        ++events;
        if (open[t] == 0) ready.push_back(t);
      }
      while (!ready.empty()) {
        const std::size_t t = ready.back();
        ready.pop_back();
        ++done;
        for (const std::size_t f : followers[t])
          if (--open[f] == 0) ready.push_back(f);
      }
      stuck += done == events ? 0 : 1;
    });
    CAPTURE(text);
    CHECK(stuck == 0);
  }
}
