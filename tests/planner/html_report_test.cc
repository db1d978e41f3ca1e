#include "planner/html_report.h"

#include <ctime>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/spec_node.h"
#include "planner/plan_file.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::string_view kJob =
    R"({"schema": "foretrain.job/1", "name": "</script><b>&\"", "model": "llama-3.1-8b",
        "cluster": {"node": "dgx-h100", "nodes": 4}, "training": {"sequence_length": 8192, "global_batch": 256},
        "plan": {"tensor": 4, "pipeline": 4, "virtual_pipeline": 2, "micro_batch": 1, "sequence_parallel": true}})";

/// A step of 4,096 micro-batches on four stages: 65,536 passes.
constexpr std::string_view kLongJob =
    R"({"schema": "foretrain.job/1", "model": "llama-3.1-8b",
        "cluster": {"node": "dgx-h100", "nodes": 4}, "training": {"sequence_length": 8192, "global_batch": 8192},
        "plan": {"tensor": 4, "pipeline": 4, "virtual_pipeline": 2, "micro_batch": 1, "sequence_parallel": true}})";

struct Page {
  std::string_view job_text = kJob;
  Problem problem = job(job_text);
  SearchResult result = as_search_result(evaluate(problem, *problem.plan));
  std::string plan_file = plan_file_text(job_text, result, "0.1.0");

  [[nodiscard]] std::string text(const TradeOff* trade_off = nullptr) const {
    return html_report({.problem = problem,
                        .result = result,
                        .trade_off = trade_off,
                        .plan_file = plan_file,
                        .command = "foretrain simulate 'a b.json'",
                        .subtitle = "<model> & more"});
  }
};

std::size_t count_of(const std::string& text, std::string_view word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

/// The JSON in the element with this id.
SpecNode json_in(const std::string& page, std::string_view id) {
  const std::string begin = fmt::format("<script type=\"application/json\" id=\"{}\">", id);
  const std::size_t from = page.find(begin) + begin.size();
  return SpecNode::parse(std::string_view(page).substr(from, page.find("</script>", from) - from), std::string(id));
}

/// As many plans as given, all different in time and memory.
TradeOff synthetic(std::int32_t plans) {
  TradeOff t;
  t.fitting = plans;
  t.front_complete = true;
  t.fastest = 20 * seconds;
  t.slowest = 200 * seconds;
  for (std::int32_t i = 0; i < plans; ++i) {
    Plan plan;
    plan.tensor = 1 << i % 4;
    plan.pipeline = 1 + i % 16;
    plan.virtual_pipeline = 1 + i % 10;
    plan.data = 1 + i % 128;
    plan.micro_batch = 1 + i % 8;
    plan.sequence_parallel = true;
    plan.zero_stage = 1 + i % 3;
    plan.recompute = Recompute::full;
    plan.recompute_layers = 1 + i % 80;
    plan.context = 2 + i % 3;
    plan.shard_group = 8 << i % 5;
    plan.account_for_loss = true;
    plan.offload.optimizer = 0.5;
    t.points.push_back({.step = (20 + 0.0123457 * i) * seconds, .peak = (8e10 - 7e6 * i) * bytes, .plan = plan});
  }
  return t;
}

}  // namespace

TEST_CASE("the page holds the plan file as it is") {
  const Page page;
  const SpecNode plans = json_in(page.text(), "plans");
  CHECK(plans.dump() == SpecNode::parse(page.plan_file, "plan.json").dump());
  CHECK(json_in(page.text(), "details").required("command").as_string() == "foretrain simulate 'a b.json'");
}

TEST_CASE("no text of a job ends an element or begins one") {
  const Page page;
  const std::string text = page.text();
  CHECK(count_of(text, "</script>") == 3);  // two documents and the script
  CHECK(count_of(text, "<script") == 3);
  CHECK(count_of(text, "<b>") == 0);
  CHECK(text.find("<title>&lt;/script&gt;&lt;b&gt;&amp;&quot; - foretrain</title>") != std::string::npos);
  CHECK(text.find("&lt;model&gt; &amp; more.") != std::string::npos);
  CHECK(json_in(text, "details").required("title").as_string() == "</script><b>&\"");
}

TEST_CASE("the page names no other place") {
  const std::string text = Page().text();
  // The one address is the name of SVG's elements.
  CHECK(count_of(text, "http://") == count_of(text, "http://www.w3.org/2000/svg"));
  CHECK(count_of(text, "https://") == 0);
  CHECK(count_of(text, " src=") == 0);
  CHECK(text.find("default-src 'none'") != std::string::npos);
}

TEST_CASE("the same input gives the same bytes") { CHECK(Page().text() == Page().text()); }

TEST_CASE("the page of 10,000 plans is written within a second and takes at most 1 MB") {
  const Page page{kLongJob};
  const TradeOff many = synthetic(10'000);
  const std::clock_t begin = std::clock();  // of the processor: others may be using it too
  const std::string text = page.text(&many);
  [[maybe_unused]] const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  CHECK(text.size() <= 1'000'000);
  const SpecNode points = json_in(text, "details").required("trade_off").required("step_us");
  REQUIRE(points.items().size() == 10'000);
  CHECK(points.items()[1].as_int({0, 1'000'000'000}) == 20'012'346);  // 20.0123457 s
#ifdef NDEBUG
  CHECK(took < 1);
#endif
}

TEST_CASE("a report holds twenty plans at most, and fewer of many stages") {
  SearchResult result;
  result.plans.resize(30);
  CHECK(plans_in_report(result) == 20);
  for (PlanReport& plan : result.plans) plan.stages.resize(64);
  CHECK(plans_in_report(result) == 3);  // 3 x 64 = 192 stages of 200
  for (PlanReport& plan : result.plans) plan.stages.resize(1000);
  CHECK(plans_in_report(result) == 1);
  CHECK(plans_in_report({}) == 0);
}
