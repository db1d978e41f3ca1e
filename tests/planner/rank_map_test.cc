// The rank map: coordinates by hand, groups that part the ranks, and reading back.
#include <set>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/planner/export_cases.h"

using namespace foretrain;
using Json = nlohmann::json;

namespace {

Json map_of(const Problem& problem) { return Json::parse(exporter_named("json").write(problem, *problem.plan)); }

Problem small(const char* plan, const char* model = "\"llama-3.1-8b\"") {
  return job(std::string(R"({"model": )") + model + R"(, "cluster": {"node": "dgx-h100", "nodes": 2},
      "training": {"sequence_length": 4096, "global_batch": 64}, "plan": )" +
             plan + "}");
}

}  // namespace

TEST_CASE("ranks are counted tensor first, pipeline last") {
  const Json map = map_of(small(R"({"tensor": 2, "pipeline": 4, "context": 2, "virtual_pipeline": 2})"));
  REQUIRE(map["ranks"].size() == 16);
  // rank 13 = 1 + 2 (0 + 2 (0 + 1 x 3)): tp 1, cp 0, dp 0, pp 3.
  const Json& rank = map["ranks"][13];
  CHECK(rank["tp"] == 1);
  CHECK(rank["cp"] == 0);
  CHECK(rank["dp"] == 0);
  CHECK(rank["pp"] == 3);
  CHECK(rank["node"] == 1);
  CHECK(rank["local_rank"] == 5);
  // 32 layers in 8 chunks of 4: stage 3 has chunks 3 and 7.
  CHECK(rank["layers"] == Json::parse("[[12,16],[28,32]]"));
  CHECK(map["groups"]["pipeline"][1] == Json::parse("[1,5,9,13]"));
  CHECK(map["groups"]["tensor"][6] == Json::parse("[12,13]"));
  CHECK(map["groups"]["context"][0] == Json::parse("[0,2]"));
}

TEST_CASE("every kind of group parts all ranks into equal groups") {
  const Json map =
      map_of(small(R"({"tensor": 2, "pipeline": 2, "expert": 4, "expert_tensor": 1})", "\"mixtral-8x7b\""));
  const std::map<std::string, std::size_t> sizes = {{"tensor", 2},      {"context", 1},      {"data", 4},
                                                    {"pipeline", 2},    {"data_context", 4}, {"expert", 4},
                                                    {"expert_data", 2}, {"expert_tensor", 1}};
  CHECK(map["groups"].size() == sizes.size());
  for (const auto& [kind, size] : sizes) {
    CAPTURE(kind);
    std::set<int> seen;
    for (const Json& group : map["groups"][kind]) {
      CHECK(group.size() == size);
      for (const Json& rank : group) CHECK(seen.insert(rank.get<int>()).second);
    }
    CHECK(seen.size() == 16);
  }
}

TEST_CASE("a rank map reads back as its plan") {
  int plans = 0;
  for (const std::string_view space : kSmallSpaces) {
    const Problem problem = job(space);
    int count = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t) {
      const bool shards_nothing = plan.zero_stage == 0 && plan.shard_group > 0;  // the space has it, no job may say it
      if (break_of_rule(problem, plan) || shards_nothing || count++ % 20 != 0) return;
      const std::string text = exporter_named("json").write(problem, plan);
      CHECK(to_json(*read_back("json", text, problem).plan) == to_json(plan));
      ++plans;
    });
  }
  CHECK(plans >= 300);
}

TEST_CASE("a rank map whose ranks contradict its plan is refused") {
  const Problem problem = small(R"({"tensor": 2, "pipeline": 2})");
  Json map = map_of(problem);
  map["plan"]["tensor"] = 4;
  CHECK_THROWS_WITH(importer_named("json").read(map.dump(), "map.json"),
                    "map.json:/plan/tensor: is 4, but the ranks have 2 values of tp");
  map = map_of(problem);
  map["ranks"].erase(15);
  CHECK_THROWS_AS(importer_named("json").read(map.dump(), "map.json"), SpecError);
}
