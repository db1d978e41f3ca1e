// Every JSON file that ships or is written keeps to its schema in docs/schema; schemas and docs/FORMAT.md name the same
// keys.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "foretrain/foretrain.h"

namespace {

using Json = nlohmann::json;
using Adapter = valijson::adapters::NlohmannJsonAdapter;
namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  REQUIRE_MESSAGE(file.good(), path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Json schema_json(const std::string& name) { return Json::parse(text_of("docs/schema/" + name + ".schema.json")); }

const Json* fetch(const std::string& uri) {
  return new Json(Json::parse(text_of("docs/schema/" + uri.substr(uri.rfind('/') + 1))));
}

/// "" when `document` keeps to the schema called `name`, otherwise where it does not.
std::string complaint(const std::string& name, const Json& document) {
  static std::map<std::string, std::unique_ptr<valijson::Schema>> schemas;
  std::unique_ptr<valijson::Schema>& schema = schemas[name];
  if (!schema) {
    schema = std::make_unique<valijson::Schema>();
    const Json json = schema_json(name);
    valijson::SchemaParser parser;
    parser.populateSchema(Adapter(json), *schema, fetch, [](const Json* fetched) { delete fetched; });
  }
  valijson::Validator validator;
  valijson::ValidationResults results;
  if (validator.validate(*schema, Adapter(document), &results)) return "";
  std::string text = "does not keep to " + name;
  for (valijson::ValidationResults::Error error; results.popError(error);) {
    text += "\n";
    for (const std::string& step : error.context) text += step;
    text += ": " + error.description;
  }
  return text;
}

/// The schema that a document's "schema" key, or else its keys, ask for; "" for a document of somebody else's.
std::string schema_for(const Json& document) {
  if (document.is_array()) return "collectives";
  if (!document.is_object()) return "";
  const std::string name = document.value("schema", "");
  static const std::regex ours(R"(foretrain\.(\w+)/1)");
  std::smatch match;
  if (!std::regex_match(name, match, ours)) return "";
  static const std::set<std::string> catalogues = {"gpus",  "nodes",      "clusters",  "networks",
                                                   "links", "efficiency", "residuals", "models"};
  return catalogues.count(match[1]) ? "catalogue" : match[1].str();
}

/// The keys in the first column of the tables of one section of FORMAT.md whose header begins with `header`.
std::set<std::string> documented_keys(const std::string& section, const std::string& header) {
  static const std::regex quoted("`([^`]+)`");
  std::set<std::string> keys;
  std::istringstream stream(text_of("docs/FORMAT.md"));
  bool inside = false, wanted = false;
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind("#", 0) == 0) inside = line == section;
    if (!inside) continue;
    if (line.rfind("|", 0) != 0) wanted = false;
    if (line.rfind("| " + header + " |", 0) == 0) wanted = true;
    if (!wanted || line.rfind("| `", 0) != 0) continue;
    const std::string cell = line.substr(1, line.find(" |", 1) - 1);
    for (std::sregex_iterator it(cell.begin(), cell.end(), quoted), end; it != end; ++it) keys.insert((*it)[1]);
  }
  return keys;
}

std::set<std::string> keys_of(const Json& properties) {
  std::set<std::string> keys;
  for (const auto& member : properties.items()) keys.insert(member.key());
  return keys;
}

constexpr const char* kJob = R"({
  "model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
  "training": {"sequence_length": 4096, "global_batch": 32},
  "search": {"context": 1, "recompute": "none", "micro_batch": 1},
  "plan": {"tensor": 2, "pipeline": 2, "micro_batch": 1, "zero_stage": 1}
})";

}  // namespace

TEST_CASE("every JSON file of examples, catalogues and published measurements keeps to its schema") {
  std::map<std::string, int> checked;
  for (const char* folder : {"examples", "hwmodels/catalogue", "planner/catalogue", "validate/published"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().extension() != ".json") continue;
      const Json document = Json::parse(text_of(entry.path().string()));
      const std::string schema = schema_for(document);
      CAPTURE(entry.path().string());
      REQUIRE(schema != "");
      CHECK(complaint(schema, document) == "");
      ++checked[schema];
    }
  }
  CHECK(checked["job"] >= 5);
  CHECK(checked["cluster"] >= 3);
  CHECK(checked["catalogue"] == 8);
  CHECK(checked["runs"] >= 16);
  CHECK(checked["collectives"] == 1);
}

TEST_CASE("what a search, a simulation and a comparison write keeps to its schema") {
  const foretrain::Job job = foretrain::Job::from_text(kJob);
  CHECK(complaint("job", Json::parse(job.json())) == "");
  CHECK(complaint("plan", Json::parse(foretrain::plan(job, {.top = 3}).json)) == "");
  CHECK(complaint("plan", Json::parse(foretrain::plan(job.with("model", "llama-3.1-405b")).json)) == "");
  CHECK(complaint("plan", Json::parse(foretrain::simulate(job).json)) == "");
  CHECK(complaint("plan", Json::parse(foretrain::simulate(job.with("plan.tensor", "3")).json)) == "");
  const std::vector<std::string> runs = {"validate/published/runs/megatron-lm-2020-scaling-tables.json"};
  CHECK(complaint("comparison", Json::parse(foretrain::compare(runs, 1).json)) == "");
}

TEST_CASE("schemas refuse what is misspelt, bare or missing") {
  CHECK(complaint("cluster", {{"node", "dgx-h100"}, {"nodse", 4}}) != "");
  CHECK(complaint("cluster", "dgx-h100") != "");
  CHECK(complaint("cluster", {{"node", "dgx-h100"}, {"network", {{"nic_bandwidth", 400}}}}) != "");
  CHECK(complaint("model", {{"layers", 4}, {"hidden", 64}, {"heads", 4}, {"vocab", 100}, {"head", 3}}) != "");
  CHECK(complaint("model", {{"layers", 4}, {"hidden", 64}, {"heads", 4}, {"vocab", 100}}) == "");
  CHECK(complaint("collectives", Json::parse(R"([{"id": "a", "op": "all_reduce", "n_ranks": 2}])")) != "");
  CHECK(complaint("comparison", Json::parse(R"({"rows": [], "summary": {"step": {}}, "refused": []})")) != "");
  Json gpus = Json::parse(text_of("hwmodels/catalogue/gpus.json"));
  gpus["gpus"]["h100-sxm5-80gb"]["memory"]["value"] = 80;
  CHECK(complaint("catalogue", gpus) != "");
}

TEST_CASE("tables of docs/FORMAT.md and the schemas name the same keys") {
  const Json definitions = schema_json("job")["definitions"];
  const Json cluster = definitions["cluster"]["anyOf"][1]["properties"];
  const Json run = schema_json("runs")["properties"]["runs"]["items"]["properties"];
  const Json plan = schema_json("plan");
  struct Table {
    const char *section, *header;
    Json properties;
  };
  for (const Table& table :
       {Table{"### Models of our own", "key", definitions["own_model"]["properties"]},
        Table{"## Cluster", "key", cluster}, Table{"## Cluster", "key of `network`", cluster["network"]["properties"]},
        Table{"## Training", "key", definitions["training"]["properties"]},
        Table{"## Software", "key", definitions["software"]["properties"]},
        Table{"## Plan", "key", definitions["plan"]["properties"]},
        Table{"## Runs (`foretrain.runs/1`)", "key of a run", run},
        Table{"## Runs (`foretrain.runs/1`)", "key of `measured`", run["measured"]["properties"]},
        Table{"## Plans (`foretrain.plan/1`)", "key", plan["properties"]}}) {
    CAPTURE(std::string(table.section));
    CAPTURE(std::string(table.header));
    const std::set<std::string> documented = documented_keys(table.section, table.header);
    const std::set<std::string> in_schema = keys_of(table.properties);
    REQUIRE(!documented.empty());
    for (const std::string& key : documented) CHECK_MESSAGE(in_schema.count(key) == 1, key, " is in FORMAT.md alone");
    for (const std::string& key : in_schema) CHECK_MESSAGE(documented.count(key) == 1, key, " is in the schema alone");
  }
  // Of a ranked plan, "rejection" stands in the text of "feasible".
  std::set<std::string> ranked = documented_keys("## Plans (`foretrain.plan/1`)", "key of a plan");
  ranked.insert("rejection");
  const std::set<std::string> in_schema = keys_of(plan["definitions"]["entry"]["properties"]);
  for (const std::string& key : ranked) CHECK_MESSAGE(in_schema.count(key) == 1, key, " is in FORMAT.md alone");
  for (const std::string& key : in_schema) CHECK_MESSAGE(ranked.count(key) == 1, key, " is in the schema alone");
}
