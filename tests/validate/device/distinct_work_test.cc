// The distinct works of a step: every task counted once, times and bytes from the shapes.
#include "validate/device/distinct_work.h"

#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include "hwmodels/kernel_time.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

const Problem& llama() {
  static const Problem problem = job(R"({"model": {"layers": 8, "hidden": 1024, "ffn_hidden": 4096, "heads": 8,
      "kv_heads": 2, "head_dim": 128, "vocab": 32768, "gated_mlp": true}, "cluster": {"node": "dgx-h100", "nodes": 4},
      "training": {"sequence_length": 2048, "global_batch": 64},
      "plan": {"tensor": 2, "pipeline": 2, "context": 2, "micro_batch": 2, "zero_stage": 1}})");
  return problem;
}

const DistinctWork& find(const std::vector<DistinctWork>& works, const std::string& text) {
  const auto found = std::find_if(works.begin(), works.end(), [&](const DistinctWork& w) { return w.text == text; });
  REQUIRE_MESSAGE(found != works.end(), text);
  return *found;
}

}  // namespace

TEST_CASE("every task that does something belongs to one work; sends are counted where they arrive") {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
      if (order % 101 != 0 || judge.judge(plan).rejection) return;
      const StepGraph step = kernel_step(problem, plan);
      std::int64_t tasks = 0, counted = 0;
      for (sim::TaskId t = 0; t < step.graph.task_count(); ++t) {
        const std::int32_t payload = step.graph.task(t).payload;
        if (payload == sim::kNone) continue;
        const auto* m = std::get_if<MessageWork>(&step.work[static_cast<std::size_t>(payload)]);
        tasks += m == nullptr || (!m->sends && m->bytes > 0) ? 1 : 0;
      }
      const std::vector<DistinctWork> works = distinct_works(problem, plan, step, std::nullopt);
      std::set<std::string> texts;
      for (const DistinctWork& w : works) {
        counted += w.count;
        texts.insert(w.text);
        CHECK(w.alone.count > 0);
        CHECK(w.needed > 0);
        CHECK(w.ranks >= 1);
        CHECK(is_kernel(w) == (w.text.substr(0, 7) != "message"));
      }
      CAPTURE(to_text(plan));
      CHECK(counted == tasks);
      CHECK(texts.size() == works.size());
    });
  }
}

TEST_CASE("a kernel alone takes its kernel time, and in a step no less") {
  const Problem& problem = llama();
  const std::vector<DistinctWork> works =
      distinct_works(problem, *problem.plan, kernel_step(problem, *problem.plan), 0);
  std::int64_t kernels = 0;
  for (const DistinctWork& w : works) {
    const auto* kernel = std::get_if<Kernel>(&w.work);
    if (kernel == nullptr) continue;
    ++kernels;
    CHECK(w.alone == to_picoseconds(kernel_time(*kernel, problem.cluster.gpu, problem.efficiency).time));
    CHECK(w.in_step >= w.alone);  // tensor cores sustain less in a step
  }
  CHECK(kernels > 10);
}

TEST_CASE("bytes of operands and results, by hand") {
  const Problem& problem = llama();
  const std::vector<DistinctWork> works =
      distinct_works(problem, *problem.plan, kernel_step(problem, *problem.plan), std::nullopt);
  // 2 sequences of 2048 tokens over 2 context ranks: 2048 tokens. FFN up: 2 x 4096 / 2 = 4096 wide.
  // (2048 x 1024 + 1024 x 4096) x 2 B + 2048 x 4096 x 2 B = 12,582,912 + 16,777,216.
  CHECK(find(works, "gemm 1 2048 4096 1024 bf16 bf16 0 tn").needed == 29'360'128);
  // Its weight gradient, added to in fp32: m 4096, n 1024, k 2048: (8,388,608 + 2,097,152) x 2 + 4,194,304 x 4.
  CHECK(find(works, "gemm 1 4096 1024 2048 bf16 fp32 1 nt").needed == 37'748'736);
  // Messages: in and out. Transfer: 2048 tokens x 1024 x 2 B = 4 MiB, twice.
  CHECK(find(works, "message send_recv 4194304 previous 0").needed == 8'388'608);
  for (const DistinctWork& w : works) {
    const auto* m = std::get_if<MessageWork>(&w.work);
    if (m == nullptr || m->op != CollectiveOp::all_gather) continue;
    CHECK(w.needed == m->bytes + m->bytes / w.ranks);
  }
}

TEST_CASE("groups lie where rank numbers put them") {
  Plan plan;  // 4 DGX H100: rank ((p 4 + d) 2 + c) 2 + t, 16 a stage
  plan.tensor = 2;
  plan.context = 2;
  plan.data = 4;
  plan.pipeline = 2;
  plan.zero_stage = 1;
  plan.shard_group = 2;
  const ClusterSpec& cluster = llama().cluster;
  const auto layout = [&](WorkGroup group) { return layout_of(group, plan, cluster); };
  CHECK(layout(WorkGroup::tensor).ranks == 2);
  CHECK(layout(WorkGroup::tensor).ranks_per_node == 2);
  CHECK(layout(WorkGroup::context).ranks == 2);
  CHECK(layout(WorkGroup::context).ranks_per_node == 2);
  CHECK(layout(WorkGroup::data).ranks == 8);           // data x context, every second rank
  CHECK(layout(WorkGroup::data).ranks_per_node == 4);  // of eight in a node
  CHECK(layout(WorkGroup::shard).ranks == 2);
  CHECK(layout(WorkGroup::replica).ranks == 4);  // 8 / 2, every fourth rank
  CHECK(layout(WorkGroup::replica).ranks_per_node == 2);
  CHECK(layout(WorkGroup::model).ranks == 4);
  CHECK(layout(WorkGroup::embedding).ranks == 2);
  CHECK(layout(WorkGroup::embedding).ranks_per_node == 1);  // 16 ranks apart
  CHECK(layout(WorkGroup::next).ranks == 2);
  CHECK(layout(WorkGroup::previous).ranks_per_node == 1);
}

TEST_CASE("measuring takes the runs, and more for more samples") {
  const Problem& problem = llama();
  for (const DistinctWork& w :
       distinct_works(problem, *problem.plan, kernel_step(problem, *problem.plan), std::nullopt)) {
    const Seconds few = measuring_time(w, problem.cluster.gpu, 20), many = measuring_time(w, problem.cluster.gpu, 40);
    CHECK(few > 20.0 * to_seconds(w.alone));
    CHECK(many - few > 19.999 * to_seconds(w.alone));
    CHECK(many - few < 20.0 * to_seconds(w.alone) + 20.0 * (100 * microseconds));  // two L2 caches a run: 30 us
  }
}
