// The JSON Schemas in docs/schema hold for what we ship and write, and say the same keys as the readers.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "planner/own_model.h"
#include "planner/plan_file.h"
#include "planner/problem.h"

using namespace foretrain;
using Json = nlohmann::json;
using Adapter = valijson::adapters::NlohmannJsonAdapter;

namespace {

Json read_json(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

/// "job.schema.json", which other schemas refer to, is read from the folder of them all.
const Json* fetch(const std::string& uri) {
  return new Json(read_json("docs/schema/" + uri.substr(uri.rfind('/') + 1)));
}

class JsonSchema {
 public:
  explicit JsonSchema(const std::string& name) {
    const Json json = read_json("docs/schema/" + name + ".schema.json");
    valijson::SchemaParser parser;
    parser.populateSchema(Adapter(json), schema_, fetch, [](const Json* document) { delete document; });
  }
  /// "" when `document` keeps to the schema, otherwise where it first does not and why.
  std::string complaint(const Json& document) const {
    valijson::Validator validator;
    valijson::ValidationResults results;
    if (validator.validate(schema_, Adapter(document), &results)) return "";
    valijson::ValidationResults::Error error;
    std::string text;
    while (results.popError(error)) {
      std::string where;
      for (const std::string& step : error.context) where += step;
      text += where + ": " + error.description + "\n";
    }
    return text.empty() ? "does not keep to the schema" : text;
  }

 private:
  valijson::Schema schema_;
};

std::vector<std::string> sorted_keys(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& member : object.items()) keys.push_back(member.key());
  std::sort(keys.begin(), keys.end());
  return keys;
}
template <class Names>
std::vector<std::string> sorted(const Names& names) {
  std::vector<std::string> list(names.begin(), names.end());
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace

TEST_CASE("every example job keeps to the job schema") {
  const JsonSchema schema("job");
  int jobs = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("examples")) {
    if (entry.path().filename() != "job.json") continue;
    CAPTURE(entry.path().string());
    CHECK(schema.complaint(read_json(entry.path().string())) == "");
    ++jobs;
  }
  CHECK(jobs >= 1);
}

TEST_CASE("every published run keeps to the runs schema") {
  const JsonSchema schema("runs");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("validate/published/runs")) {
    if (entry.path().extension() != ".json") continue;
    CAPTURE(entry.path().string());
    CHECK(schema.complaint(read_json(entry.path().string())) == "");
    ++files;
  }
  CHECK(files >= 16);
}

TEST_CASE("a written plan file keeps to the plan schema") {
  const SpecNode job = SpecNode::read_file("examples/llama3_70b_256_h100/job.json");
  const Problem problem = load_problem(job, Catalogue::load());
  PlanReport report;
  report.plan = *problem.plan;
  report.step = 12.5 * seconds;
  report.peak_memory = 60 * GB;
  report.memory_limit = 80 * GB;
  report.time = {{"compute", 12 * seconds}, {"pipeline_bubble", 0.5 * seconds}};
  MemoryAnatomy stage;
  stage.layers = 20;
  stage[MemoryLabel::parameters] = stage.total = 60'000'000'000;
  report.stages = {stage};
  const JsonSchema schema("plan");
  const std::string fits = plan_file_text(problem.job_json, as_search_result(report), "0.1.0");
  CHECK(schema.complaint(Json::parse(fits)) == "");
  report.rejection = Rejection{RejectionReason::memory, "needs more memory than a GPU has", 1e9};
  const std::string too_big = plan_file_text(problem.job_json, as_search_result(report), "0.1.0");
  CHECK(schema.complaint(Json::parse(too_big)) == "");
}

TEST_CASE("the schemas refuse what the readers refuse by shape alone") {
  const JsonSchema job("job");
  for (const char* name : {"not_an_object",
                           "missing_model",
                           "missing_training",
                           "misspelt_key",
                           "misspelt_training_key",
                           "model_wrong_type",
                           "zero_batch",
                           "negative_sequence",
                           "absurd_sequence",
                           "fractional_batch",
                           "batch_as_text",
                           "unknown_precision",
                           "unknown_framework",
                           "wrong_type_software",
                           "zero_tensor",
                           "misspelt_plan_key",
                           "unknown_schedule",
                           "zero_stage_four",
                           "rank_order",
                           "offload_beyond_all",
                           "search_empty_list",
                           "search_wrong_type",
                           "search_list_of_fixed_key",
                           "search_misspelt_key",
                           "wrong_schema"}) {
    CAPTURE(std::string(name));
    CHECK(job.complaint(read_json("tests/data/bad/job/" + std::string(name) + ".json")) != "");
  }
  const JsonSchema runs("runs");
  for (const char* name : {"missing_plan", "misspelt_model_key", "negative_layers", "absurd_batch", "unknown_framework",
                           "wrong_type_plan", "wrong_unit"}) {
    CAPTURE(std::string(name));
    CHECK(runs.complaint(read_json("tests/data/bad/run/" + std::string(name) + ".json")) != "");
  }
}

TEST_CASE("the job schema names exactly the keys that the readers take") {
  const Json definitions = read_json("docs/schema/job.schema.json")["definitions"];
  CHECK(sorted_keys(definitions["plan"]["properties"]) == sorted(kPlanKeys));
  CHECK(sorted_keys(definitions["search"]["properties"]) == sorted(kPlanKeys));
  CHECK(sorted_keys(definitions["own_model"]["properties"]) == sorted(own_model_keys()));
  const auto sorted_enum = [](const Json& schema) { return sorted(schema["enum"].get<std::vector<std::string>>()); };
  CHECK(sorted_enum(definitions["training"]["properties"]["precision"]) == sorted(kPrecisionNames));
  CHECK(sorted_enum(definitions["software"]["properties"]["framework"]) == sorted(kFrameworkNames));
  CHECK(sorted_enum(definitions["software"]["properties"]["attention"]) == sorted(kAttentionNames));
}

TEST_CASE("docs/FORMAT.md explains every key of the schemas") {
  std::ifstream file("docs/FORMAT.md");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const Json definitions = read_json("docs/schema/job.schema.json")["definitions"];
  for (const char* object : {"own_model", "training", "software", "plan"}) {
    for (const std::string& key : sorted_keys(definitions[object]["properties"])) {
      CAPTURE(key);
      CHECK(text.find("`" + key + "`") != std::string::npos);
    }
  }
  const Json cluster = definitions["cluster"]["anyOf"][1]["properties"];
  for (const Json& object : {cluster, cluster["network"]["properties"]}) {
    for (const std::string& key : sorted_keys(object)) {
      CAPTURE(key);
      CHECK(text.find("`" + key + "`") != std::string::npos);
    }
  }
}
