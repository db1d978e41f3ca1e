// The library gives what the program's own parts give, in its own types.
#include <fstream>
#include <numeric>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "foretrain/foretrain.h"

using Json = nlohmann::json;

namespace {

constexpr const char* kJob = R"({
  "model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
  "training": {"sequence_length": 4096, "global_batch": 32},
  "search": {"context": 1, "recompute": ["none", "full"], "micro_batch": 1, "zero_stage": 1},
  "plan": {"tensor": 2, "pipeline": 2, "micro_batch": 1, "zero_stage": 1}
})";

template <class Pairs>
double sum_of(const Pairs& pairs) {
  double sum = 0;
  for (const auto& entry : pairs) sum += static_cast<double>(entry.second);
  return sum;
}

std::string message_of(void (*act)()) {
  try {
    act();
  } catch (const foretrain::BadInput& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a search counts every plan once, ranks by time, and its document says the same") {
  const foretrain::Ranking ranking = foretrain::plan(foretrain::Job::from_text(kJob), {.top = 4});
  REQUIRE(ranking.plans.size() >= 2);
  CHECK(ranking.considered == ranking.cut_by_bound + ranking.simulated + ranking.left_out +
                                  static_cast<std::int64_t>(sum_of(ranking.refused)));
  CHECK(!ranking.stopped_early);
  const Json document = Json::parse(ranking.json);
  CHECK(document["schema"] == "foretrain.plan/1");
  CHECK(document["foretrain"] == std::string(foretrain::version()));
  CHECK(document["search"]["considered"] == ranking.considered);
  REQUIRE(document["plans"].size() == ranking.plans.size());
  double before = 0;
  for (std::size_t i = 0; i < ranking.plans.size(); ++i) {
    const foretrain::Prediction& p = ranking.plans[i];
    const Json& entry = document["plans"][i];
    CHECK(p.step_seconds >= before);
    before = p.step_seconds;
    CHECK(p.fits);
    CHECK(sum_of(p.time_seconds) == doctest::Approx(p.step_seconds).epsilon(1e-9));
    CHECK(entry["step_seconds"] == p.step_seconds);
    CHECK(entry["plan"] == Json::parse(p.plan));
    CHECK(entry["peak_memory_bytes"] == p.peak_memory_bytes);
    CHECK(p.step_seconds_p10 < p.step_seconds_p90);
    CHECK(p.gpus_used == 8);
    std::int64_t fullest = 0;
    for (const foretrain::StagePrediction& stage : p.stages) {
      CHECK(sum_of(stage.memory_bytes) == static_cast<double>(stage.peak_memory_bytes));
      fullest = std::max(fullest, stage.peak_memory_bytes);
    }
    CHECK(fullest == p.peak_memory_bytes);
  }
}

TEST_CASE("simulating a found plan gives its time again, from the job and from the ranking's document") {
  const foretrain::Job job = foretrain::Job::from_text(kJob);
  const foretrain::Ranking ranking = foretrain::plan(job, {.top = 2});
  REQUIRE(ranking.plans.size() == 2);
  const foretrain::Prediction& second = ranking.plans[1];
  CHECK(foretrain::simulate(job.with("plan", second.plan)).prediction.step_seconds == second.step_seconds);
  const foretrain::Job stored = foretrain::Job::from_text(ranking.json, "plans.json", 2);
  CHECK(foretrain::simulate(stored).prediction.text == second.text);
  CHECK(foretrain::simulate(stored).prediction.peak_memory_bytes == second.peak_memory_bytes);
}

TEST_CASE("a plan that is too big is simulated, and says why it does not fit") {
  const foretrain::Job job = foretrain::Job::from_text(kJob).with("plan", R"({"tensor": 1, "micro_batch": 1})");
  const foretrain::Simulation simulation = foretrain::simulate(job);
  // 8.03e9 parameters: 2 bytes of weights, 4 of gradients, 12 of optimizer state are 145 GB; the GPU has 80.
  CHECK(!simulation.prediction.fits);
  CHECK(simulation.prediction.refused_for == "memory");
  CHECK(simulation.prediction.peak_memory_bytes > 144'000'000'000);
  CHECK(simulation.prediction.memory_headroom_bytes < 0);
  CHECK(simulation.prediction.step_seconds > 0);
  CHECK(Json::parse(simulation.json)["plans"][0]["feasible"] == false);
}

TEST_CASE("no plan fits: the ranking is empty and names the nearest miss") {
  const foretrain::Job job = foretrain::Job::from_text(kJob).with("model", "llama-3.1-405b");
  const foretrain::Ranking ranking = foretrain::plan(job);
  CHECK(ranking.plans.empty());
  REQUIRE(ranking.nearest_miss);
  CHECK(ranking.nearest_miss->refused_for == "memory");
}

TEST_CASE("a search that progress() stops says so") {
  foretrain::SearchSettings settings;
  settings.threads = 1;
  settings.progress = [](std::int64_t, std::int64_t) { return false; };
  const foretrain::Ranking ranking =
      foretrain::plan(foretrain::Job::from_file("examples/llama3_70b_256_h100/job.json"), settings);
  CHECK(ranking.stopped_early);
}

TEST_CASE("bad input is one line with file, place and what was expected") {
  CHECK(message_of([] { foretrain::Job::from_file("no/such/job.json"); }).find("no/such/job.json") == 0);
  CHECK(message_of([] { foretrain::Job::from_text("{", "mine.json"); }).find("mine.json") == 0);
  CHECK(message_of([] { foretrain::Job::from_text(kJob, "mine.json", 2); }).find("mine.json") == 0);
  CHECK(message_of([] {
          foretrain::plan(foretrain::Job::from_text(kJob).with("training.precison", "bf16"));
        }).find("precision") != std::string::npos);
  CHECK(message_of([] {
          foretrain::simulate(foretrain::Job::from_text(kJob).with("plan.tensor", "0"));
        }).find("job:/plan/tensor") == 0);
  CHECK(message_of([] { foretrain::plan(foretrain::Job::from_text(kJob), {.top = 0}); }).find("top") !=
        std::string::npos);
  CHECK(message_of([] { foretrain::compare({"README.md"}); }).find("README.md") == 0);
}

TEST_CASE("a comparison sums up to what its rows say") {
  const foretrain::Accuracy accuracy =
      foretrain::compare({"validate/published/runs/megatron-lm-2020-scaling-tables.json"}, 1);
  REQUIRE(!accuracy.rows.empty());
  double sum = 0;
  for (const foretrain::ComparedRow& row : accuracy.rows) {
    CHECK(row.error == doctest::Approx(row.predicted / row.measured - 1));
    if (row.quantity == "step_seconds") sum += std::abs(row.error);
  }
  const Json document = Json::parse(accuracy.json);
  CHECK(document["rows"].size() == accuracy.rows.size());
  CHECK(document["refused"].size() == accuracy.refused.size());
  bool found = false;
  for (const foretrain::ComparedQuantity& quantity : accuracy.quantities) {
    if (quantity.quantity != "step_seconds") continue;
    found = true;
    CHECK(quantity.mean_absolute_error == doctest::Approx(sum / static_cast<double>(quantity.count)));
  }
  CHECK(found);
}
