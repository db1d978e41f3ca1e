#include "hwmodels/efficiency.h"

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

std::vector<EfficiencySpec> parse(const char* text) {
  return read_efficiencies(SpecNode::parse(text, "efficiency.json"));
}

GpuSpec gpu(const char* name, const char* vendor, const char* architecture, int capability) {
  GpuSpec spec;
  spec.name = name;
  spec.vendor = vendor;
  spec.architecture = architecture;
  spec.compute_capability = capability;
  return spec;
}

}  // namespace

TEST_CASE("an entry that starts from an earlier one changes only what it states") {
  const auto specs = parse(R"({"schema": "foretrain.efficiency/1", "gpus": {
    "a": {"source": "rows", "gemm": {"sustained": {"bf16": 0.8}, "fixed": "7 us"}, "memory": {"bandwidth": 0.9}},
    "b": {"source": "rows", "from": "a", "gemm": {"sustained": {"fp16": 0.7}}}}})");
  REQUIRE(specs.size() == 2);
  CHECK(specs[1].gpu == "b");
  CHECK(specs[1].gemm.sustained[static_cast<std::size_t>(DType::bf16)] == 0.8);
  CHECK(specs[1].gemm.sustained[static_cast<std::size_t>(DType::fp16)] == 0.7);
  CHECK(specs[1].gemm.fixed / microseconds == doctest::Approx(7));
  CHECK(specs[1].memory.bandwidth == 0.9);
}

TEST_CASE("misspelt keys, unknown bases, shares beyond sense and bare numbers for times are refused with their place") {
  CHECK_THROWS_WITH_AS(parse(R"({"schema": "x", "gpus": {"a": {"source": "s", "gem": {}}}})"), doctest::Contains("gem"),
                       SpecError);
  CHECK_THROWS_WITH_AS(parse(R"({"schema": "x", "gpus": {"a": {"source": "s", "from": "b"}}})"),
                       doctest::Contains("/gpus/a/from"), SpecError);
  CHECK_THROWS_AS(parse(R"({"schema": "x", "gpus": {"a": {"source": "s", "memory": {"bandwidth": 12}}}})"), SpecError);
  CHECK_THROWS_AS(parse(R"({"schema": "x", "gpus": {"a": {"source": "s", "gemm": {"fixed": 3}}}})"), SpecError);
  CHECK_THROWS_AS(parse(R"({"schema": "x", "gpus": {"a": {}}})"), SpecError);
  CHECK_THROWS_AS(parse(R"({"schema": "x", "gpus": {}})"), SpecError);
}

TEST_CASE("a GPU without measurements takes the nearest measured architecture, and says so") {
  const std::vector<GpuSpec> gpus = {gpu("ampere", "NVIDIA", "Ampere", 80), gpu("hopper", "NVIDIA", "Hopper", 90),
                                     gpu("cdna", "AMD", "CDNA3", 0)};
  std::vector<EfficiencySpec> known(3);
  known[0].gpu = "ampere";
  known[1].gpu = "hopper";
  known[2].gpu = "cdna";
  known[1].gemm.headroom = 1.23;
  CHECK(efficiency_of(gpus[1], known, gpus).gemm.headroom == 1.23);
  const EfficiencySpec other_hopper = efficiency_of(gpu("h20", "NVIDIA", "Hopper", 90), known, gpus);
  CHECK(other_hopper.gpu == "h20");
  CHECK(other_hopper.source.find("hopper") != std::string::npos);
  CHECK(other_hopper.gemm.headroom == 1.23);
  // Ampere again by name, though Hopper were nearer to 89; then by compute capability; then by vendor.
  CHECK(efficiency_of(gpu("a", "NVIDIA", "Ampere", 86), known, gpus).source.find("ampere") != std::string::npos);
  CHECK(efficiency_of(gpu("b", "NVIDIA", "Rubin", 110), known, gpus).source.find("hopper") != std::string::npos);
  CHECK(efficiency_of(gpu("c", "AMD", "CDNA2", 0), known, gpus).source.find("cdna") != std::string::npos);
}
