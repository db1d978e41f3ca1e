// Every known trouble: a job that has it, the same job without it, and what it must cost.
#include "planner/trouble.h"

#include <algorithm>
#include <array>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "planner/resource.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::string_view kLlama70b = "\"llama-3.1-70b\"", kLlama8b = "\"llama-3.1-8b\"";

/// Two jobs that differ in what makes the trouble.
struct Pair {
  std::string_view trouble;
  std::string with, without;
};

std::string a_job(std::string_view model, std::string_view cluster, int sequence, int batch, std::string_view plan,
                  std::string_view software = "{}") {
  return fmt::format(R"({{"model": {}, "cluster": {}, "training": {{"sequence_length": {}, "global_batch": {}}},
                         "software": {}, "plan": {}}})",
                     model, cluster, sequence, batch, software, plan);
}

std::string dgx(int nodes) { return fmt::format(R"({{"node": "dgx-h100", "nodes": {}}})", nodes); }

/// Layers of Llama 8B's width, `vocab` rows.
std::string shallow(int layers, int vocab) {
  return fmt::format(R"({{"layers": {}, "hidden": 4096, "ffn_hidden": 14336, "heads": 32, "kv_heads": 8, "vocab": {},
                         "gated_mlp": true}})",
                     layers, vocab);
}

std::vector<Pair> pairs() {
  const std::string sharp = R"({"tensor": 8, "sequence_parallel": true, "zero_stage": 1)";
  const auto many_leaves = [](double oversubscription) {
    return fmt::format(
        R"({{"node": "dgx-h100", "nodes": 8, "network": {{"oversubscription": {}, "nodes_per_leaf": 2}}}})",
        oversubscription);
  };
  const std::string tiny = R"({"layers": 12, "hidden": 256, "ffn_hidden": 1024, "heads": 4, "vocab": 8000,
                               "gated_mlp": false})";
  return {
      {"tensor_across_nodes", a_job(kLlama70b, dgx(2), 4096, 16, R"({"tensor": 16, "sequence_parallel": true})"),
       a_job(kLlama70b, dgx(2), 4096, 16, R"({"tensor": 8, "pipeline": 2, "sequence_parallel": true})")},
      {"context_across_nodes",
       a_job(kLlama8b, dgx(2), 32768, 16, R"({"tensor": 8, "context": 2, "context_kind": "all-gather"})"),
       a_job(kLlama8b, dgx(2), 32768, 16, R"({"tensor": 4, "context": 2, "context_kind": "all-gather"})")},
      {"oversubscribed_network", a_job(kLlama8b, many_leaves(8), 2048, 64, R"({"zero_stage": 3})"),
       a_job(kLlama8b, many_leaves(1), 2048, 64, R"({"zero_stage": 3})")},
      {"exposed_data_parallel", a_job(kLlama8b, dgx(16), 2048, 128, R"({"zero_stage": 1, "overlap": {"data": false}})"),
       a_job(kLlama8b, dgx(1), 8192, 2048, R"({"zero_stage": 1})")},
      {"no_tensor_overlap", a_job(kLlama70b, dgx(4), 8192, 64, sharp + R"(, "pipeline": 4})"),
       a_job(kLlama70b, dgx(4), 8192, 64, sharp + R"(, "pipeline": 4, "overlap": {"tensor": true}})")},
      {"no_pipeline_overlap",
       a_job(kLlama70b, dgx(4), 8192, 64,
             sharp + R"(, "pipeline": 4, "virtual_pipeline": 10, "overlap": {"pipeline": false}})"),
       a_job(kLlama70b, dgx(4), 8192, 64,
             sharp + R"(, "pipeline": 4, "virtual_pipeline": 10, "overlap": {"pipeline": true}})")},
      // 3 of 4 + 3 slots are bubble; of 1024 + 3, three thousandths.
      {"pipeline_bubble", a_job(kLlama70b, dgx(4), 4096, 4, sharp + R"(, "pipeline": 4})"),
       a_job(kLlama70b, dgx(4), 4096, 1024, sharp + R"(, "pipeline": 4})")},
      // The head of 256,000 rows costs as much as four layers of 218 M parameters; that of 1,024 next to nothing.
      {"unbalanced_stages", a_job(shallow(16, 256'000), dgx(1), 4096, 64, R"({"pipeline": 4})"),
       a_job(shallow(16, 1024), dgx(1), 4096, 64, R"({"pipeline": 4})")},
      {"batch_too_small", a_job(kLlama8b, dgx(16), 2048, 128, R"({"zero_stage": 1})"),
       a_job(kLlama8b, dgx(1), 8192, 2048, R"({"zero_stage": 1})")},
      {"idle_gpus", a_job(kLlama8b, dgx(2), 4096, 64, R"({"zero_stage": 1, "data": 8})"),
       a_job(kLlama8b, dgx(2), 4096, 64, R"({"zero_stage": 1, "data": 16})")},
      {"host_bound_launches", a_job(tiny, dgx(1), 256, 64, "{}"),
       a_job(tiny, dgx(1), 256, 64, "{}", R"({"cuda_graphs": true})")},
      {"recomputation_not_needed", a_job(kLlama8b, dgx(1), 4096, 64, R"({"tensor": 4, "recompute": "full"})"),
       a_job(kLlama8b, dgx(1), 4096, 64, R"({"tensor": 4, "recompute": "none"})")},
      {"small_micro_batch", a_job(kLlama8b, dgx(1), 256, 512, R"({"tensor": 4})", R"({"cuda_graphs": true})"),
       a_job(kLlama8b, dgx(1), 8192, 512, R"({"tensor": 4, "micro_batch": 4})", R"({"cuda_graphs": true})")},
      {"no_sequence_parallelism", a_job(kLlama70b, dgx(4), 8192, 64, R"({"tensor": 8, "pipeline": 4})"),
       a_job(kLlama70b, dgx(4), 8192, 64, R"({"tensor": 8, "pipeline": 4, "sequence_parallel": true})")},
      {"unfused_attention", a_job(kLlama8b, dgx(1), 4096, 64, R"({"tensor": 4})", R"({"attention": "unfused"})"),
       a_job(kLlama8b, dgx(1), 4096, 64, R"({"tensor": 4})")},
      // 1,030 rows become 2,048 on eight tensor ranks, beside a layer of 218 M parameters; 2,048 stay as they are.
      {"padded_vocabulary",
       a_job(R"({"layers": 1, "hidden": 2048, "ffn_hidden": 2048, "heads": 16, "vocab": 1030, "gated_mlp": false})",
             dgx(1), 512, 128, R"({"tensor": 8, "micro_batch": 64})", R"({"cuda_graphs": true})"),
       a_job(R"({"layers": 1, "hidden": 2048, "ffn_hidden": 2048, "heads": 16, "vocab": 2048, "gated_mlp": false})",
             dgx(1), 512, 128, R"({"tensor": 8, "micro_batch": 64})", R"({"cuda_graphs": true})")},
  };
}

std::vector<Trouble> troubles_of(const Problem& problem) {
  return troubles(problem, evaluate_in_detail(problem, *problem.plan, {.even_if_too_big = true}));
}

const Trouble* find(const std::vector<Trouble>& found, std::string_view name) {
  const auto it = std::find_if(found.begin(), found.end(), [&](const Trouble& t) { return t.name == name; });
  return it == found.end() ? nullptr : &*it;
}

}  // namespace

TEST_CASE("each trouble is found where it is, and not where it is not") {
  for (const Pair& pair : pairs()) {
    CAPTURE(pair.trouble);
    const Problem with = job(pair.with), without = job(pair.without);
    const std::vector<Trouble> found = troubles_of(with), clean = troubles_of(without);
    const Trouble* trouble = find(found, pair.trouble);
    CHECK(trouble != nullptr);
    CHECK(find(clean, pair.trouble) == nullptr);
    if (trouble == nullptr) continue;
    const Seconds step = evaluate(with, *with.plan, {.even_if_too_big = true}).step;
    // Sequence parallelism saves memory first (norms and residuals of 80 layers), and may cost a little time.
    if (pair.trouble != "no_sequence_parallelism") CHECK(trouble->cost >= kWorthNaming * step);
    CHECK(trouble->cost < step);
    CHECK(!trouble->what.empty());
    CHECK(!trouble->remedy.empty());
  }
}

TEST_CASE("every known trouble has its pair of jobs") {
  const std::vector<Pair> all = pairs();
  for (const TroubleKind& kind : trouble_kinds()) {
    CAPTURE(kind.name);
    const bool has_pair =
        std::any_of(all.begin(), all.end(), [&](const Pair& pair) { return pair.trouble == kind.name; });
    CHECK((has_pair || kind.name == "memory_almost_full"));  // which has a test of its own
  }
}

TEST_CASE("memory is almost full when less than 1 % is left") {
  Problem problem = job(a_job(kLlama8b, dgx(1), 4096, 64, R"({"tensor": 4})"));
  const Bytes peak = evaluate(problem, *problem.plan).peak_memory;
  problem.cluster.gpu.memory = 1.02 * peak;
  CHECK(find(troubles_of(problem), "memory_almost_full") == nullptr);
  problem.cluster.gpu.memory = 1.005 * peak;
  const std::vector<Trouble> found = troubles_of(problem);
  const Trouble* trouble = find(found, "memory_almost_full");
  REQUIRE(trouble != nullptr);
  CHECK(trouble->cost == Seconds{});
}

TEST_CASE("the plan that a trouble proposes fits and takes what it says") {
  int proposed = 0;
  for (const Pair& pair : pairs()) {
    const Problem problem = job(pair.with);
    const Seconds step = evaluate(problem, *problem.plan, {.even_if_too_big = true}).step;
    for (const Trouble& trouble : troubles_of(problem)) {
      if (!trouble.instead) continue;
      CAPTURE(trouble.name);
      const PlanReport instead = evaluate(problem, *trouble.instead);
      CHECK(!instead.rejection);
      CHECK(instead.step == trouble.instead_step);
      CHECK(instead.step < step);
      ++proposed;
    }
  }
  CHECK(proposed >= 6);
}

TEST_CASE("recomputation that is not needed costs the recompute label's time") {
  // One GPU: no collectives to repeat, no stages to wait for. A forward pass more is all that is added.
  const Problem problem = job(a_job("\"llama-3.2-1b\"", R"({"node": "dgx-h100", "gpus": 1})", 4096, 16,
                                    R"({"recompute": "full"})", R"({"cuda_graphs": true})"));
  const DetailedReport detailed = evaluate_in_detail(problem, *problem.plan);
  const std::vector<Trouble> found = troubles(problem, detailed);
  const Trouble* trouble = find(found, "recomputation_not_needed");
  REQUIRE(trouble != nullptr);
  CHECK(trouble->cost.base() == doctest::Approx(time_of(detailed.report, "recompute").base()).epsilon(1e-6));
}

TEST_CASE("a bubble is answered with virtual stages, which divide it by their number") {
  // 16 micro-batches over 8 stages: 7 of 23 slots idle. 10 chunks of one layer each: 0.7 of 16.7.
  const Problem problem = job(a_job(kLlama70b, dgx(8), 4096, 16, R"({"tensor": 8, "pipeline": 8,
                                                                     "sequence_parallel": true})"));
  const PlanReport report = evaluate(problem, *problem.plan);
  REQUIRE(!report.rejection);
  CHECK(time_of(report, "pipeline_bubble") / report.step == doctest::Approx(7.0 / 23).epsilon(0.15));
  const std::vector<Trouble> found = troubles_of(problem);
  const Trouble* trouble = find(found, "pipeline_bubble");
  REQUIRE(trouble != nullptr);
  REQUIRE(trouble->instead);
  CHECK(trouble->instead->virtual_pipeline > 1);
  CHECK(trouble->instead->schedule == ScheduleKind::interleaved);
  CHECK(trouble->instead_step < 0.85 * report.step);
}

TEST_CASE("tensor parallelism across nodes is answered with less of it") {
  const Problem problem = job(a_job(kLlama70b, dgx(2), 4096, 16, R"({"tensor": 16, "sequence_parallel": true,
                                                                     "recompute": "full"})"));
  const std::vector<Trouble> found = troubles_of(problem);
  const Trouble* trouble = find(found, "tensor_across_nodes");
  REQUIRE(trouble != nullptr);
  REQUIRE(trouble->instead);
  CHECK(trouble->instead->tensor <= 8);
  CHECK(gpus_used(*trouble->instead) == 16);
}

TEST_CASE("idle GPUs cost their share") {
  const Problem problem = job(a_job(kLlama8b, dgx(2), 4096, 64, R"({"zero_stage": 1, "data": 8})"));
  const std::vector<Trouble> found = troubles_of(problem);
  const Trouble* trouble = find(found, "idle_gpus");
  REQUIRE(trouble != nullptr);
  CHECK(trouble->cost == 0.5 * evaluate(problem, *problem.plan, {.even_if_too_big = true}).step);  // 8 of 16
}
