// The JSON Schemas of calibrations and measurements hold for what we write and read.
#include <fstream>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "hwmodels/calibration_file.h"
#include "validate/calibrate/calibrate.h"
#include "validate/calibrate/read_measurements.h"

using namespace foretrain;
using Json = nlohmann::json;
using Adapter = valijson::adapters::NlohmannJsonAdapter;

namespace {

bool keeps_to(const std::string& name, const Json& document) {
  std::ifstream file("docs/schema/" + name + ".schema.json");
  const Json json = Json::parse(file);
  valijson::Schema schema;
  valijson::SchemaParser parser;
  parser.populateSchema(Adapter(json), schema);
  valijson::Validator validator;
  return validator.validate(schema, Adapter(document), nullptr);
}

/// The example in docs/FORMAT.md.
Json documented_measurements() {
  std::ifstream file("docs/FORMAT.md");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t section = text.find("## Measurements");
  const std::size_t begin = text.find("```json\n", section) + 8;
  return Json::parse(text.substr(begin, text.find("```", begin) - begin));
}

}  // namespace

TEST_CASE("a calibration of everything keeps to its schema") {
  const Catalogue catalogue = Catalogue::load();
  MeasurementOptions options;
  options.framework = "torchtitan";
  std::vector<Measurements> files;
  for (const char* name : {"nccl_two_operations_mpirun.txt", "nccl_all_gather.json", "kineto_step.json"})
    files.push_back(read_measurements(std::string("tests/data/measurements/") + name, options, catalogue));
  files[0].launches.push_back({"torchtitan", true, 4 * microseconds, 60});
  const Json written = Json::parse(calibration_text(calibrate(files, catalogue, {.share = 0.2}, "0.1.0").calibration));
  CHECK(keeps_to("calibration", written));
  Json wrong = written;
  wrong["kernels"][0]["measured_in"] = "dream";
  CHECK_FALSE(keeps_to("calibration", wrong));
  wrong = written;
  wrong.erase("sources");
  CHECK_FALSE(keeps_to("calibration", wrong));
  wrong = written;
  wrong["extra"] = 1;
  CHECK_FALSE(keeps_to("calibration", wrong));
}

TEST_CASE("the documented measurements keep to their schema, and are read") {
  Json file = documented_measurements();
  CHECK(keeps_to("measurements", file));
  Measurements m;
  add_measurement_file(SpecNode::parse(file.dump(), "FORMAT.md"), {}, Catalogue::load(), m);
  CHECK(m.kernels.size() == 1);
  CHECK(m.collectives.size() == 1);
  CHECK(m.launches.size() == 1);
  file["kernels"][0]["work"]["kind"] = "gem";
  CHECK_FALSE(keeps_to("measurements", file));
  file = documented_measurements();
  file["kernels"][0].erase("median_us");
  CHECK(keeps_to("measurements", file));  // its samples are enough
  file["kernels"][0].erase("samples_us");
  CHECK_FALSE(keeps_to("measurements", file));
}
