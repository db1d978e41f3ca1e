// Measurement files: what is read, what is refused, and several as one.
#include "validate/device/measured.h"

#include <string>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

MeasuredRun read(const std::string& text) { return read_measured(SpecNode::parse(text, "m.json")); }

}  // namespace

TEST_CASE("samples give the median between the middle two and the spread of the middle four fifths") {
  const MeasuredRun run = read(R"({"schema": "foretrain.measurements/1", "device": {"gpu": "NVIDIA H200"},
    "kernels": [{"work": {"kind": "gemm", "m": 2, "n": 3, "k": 4}, "samples_us": [4, 1, 3, 2]},
                {"work": {"kind": "gemm", "m": 2, "n": 3, "k": 5}, "median_us": 7},
                {"work": {"kind": "gemm", "m": 2, "n": 3, "k": 6}, "skipped": "fp4: no such kernel"}]})");
  CHECK(run.gpu == "NVIDIA H200");
  CHECK(run.complete);
  REQUIRE(run.kernels.size() == 3);
  // {1, 2, 3, 4}: middle 2.5; tenths at place 0.3 and 2.7: 1.3 and 3.7.
  CHECK(*run.kernels[0].time.median / microseconds == doctest::Approx(2.5));
  CHECK(run.kernels[0].time.spread == doctest::Approx((3.7 - 1.3) / 2.5));
  CHECK(run.kernels[0].time.samples == 4);
  CHECK(std::get<Gemm>(run.kernels[0].kernel).k == 4);
  CHECK(*run.kernels[1].time.median / microseconds == doctest::Approx(7));
  CHECK_FALSE(run.kernels[2].time.median);
  CHECK(run.kernels[2].time.skipped == "fp4: no such kernel");
}

TEST_CASE("collectives, steps, memory, checks and failures") {
  const MeasuredRun run = read(R"({"schema": "foretrain.measurements/1", "complete": false, "device": {"gpu": "x"},
    "collectives": [{"op": "all_gather", "bytes": 1024, "ranks": 8, "ranks_per_node": 4, "gpus": 2, "median_us": 5}],
    "steps": [{"name": "a", "rank": 3, "cuda_graph": true, "median_us": 2000000,
               "kernels": [{"work": {"kind": "gemm", "m": 2, "n": 3, "k": 4}, "median_us": 9, "count": 5}]}],
    "memory": [{"name": "a", "rank": 3, "peak_bytes": 70000000000}],
    "checks": [{"name": "one", "passed": true}, {"name": "two", "passed": false, "detail": "why"}],
    "failures": [{"what": "gemm", "why": "out of memory"}], "unknown": [1, 2]})");
  CHECK_FALSE(run.complete);
  REQUIRE(run.collectives.size() == 1);
  CHECK(run.collectives[0].op == CollectiveOp::all_gather);
  CHECK(run.collectives[0].bytes == 1024);
  CHECK(run.collectives[0].ranks == 8);
  CHECK(run.collectives[0].ranks_per_node == 4);
  CHECK(run.collectives[0].gpus == 2);
  REQUIRE(run.steps.size() == 1);
  CHECK(run.steps[0].rank == 3);
  CHECK(run.steps[0].cuda_graph);
  REQUIRE(run.steps[0].kernels.size() == 1);
  CHECK(*run.steps[0].kernels[0].time.median / microseconds == doctest::Approx(9));
  CHECK(*run.steps[0].time.median / seconds == doctest::Approx(2));
  REQUIRE(run.memory.size() == 1);
  CHECK(run.memory[0].peak_bytes == 70'000'000'000);
  REQUIRE(run.checks.size() == 2);
  CHECK(run.checks[0].passed);
  CHECK_FALSE(run.checks[1].passed);
  CHECK(run.checks[1].detail == "why");
  CHECK(run.failures == std::vector<std::string>{"gemm: out of memory"});
}

TEST_CASE("a time that was no number is no time") {
  const MeasuredRun run = read(R"({"schema": "foretrain.measurements/1", "device": {"gpu": "x"},
    "kernels": [{"work": {"kind": "gemm", "m": 2, "n": 3, "k": 4}, "samples_us": [null, null], "median_us": null},
                {"work": {"kind": "gemm", "m": 2, "n": 3, "k": 4}, "samples_us": [null, 3]}]})");
  CHECK_FALSE(run.kernels[0].time.median);
  CHECK(run.kernels[0].time.skipped == "no sample is a number");
  CHECK(*run.kernels[1].time.median / microseconds == doctest::Approx(3));
}

TEST_CASE("what is no measurement is refused where it stands") {
  const auto refused = [](const std::string& text, const char* where) {
    try {
      read(text);
      FAIL_CHECK("accepted: " << text);
    } catch (const SpecError& error) {
      CHECK_MESSAGE(std::string(error.what()).find(where) != std::string::npos, error.what());
    }
  };
  refused(R"({"schema": "foretrain.plan/1"})", "expected measurements");
  refused("[]", "m.json");
  refused(R"({"schema": "foretrain.measurements/1", "kernels": [{"work": {"kind": "gemm", "m": 1, "n": 1, "k": 1}}]})",
          "/kernels/0");
  refused(R"({"schema": "foretrain.measurements/1", "kernels": [{"work": {"kind": "dance"}, "median_us": 1}]})",
          "/kernels/0/work");
  refused(
      R"({"schema": "foretrain.measurements/1", "kernels": [{"work": {"kind": "gemm", "m": 1, "n": 1, "k": 1}, "median_us": -1}]})",
      "/kernels/0/median_us");
  refused(
      R"({"schema": "foretrain.measurements/1", "collectives": [{"op": "all_redcue", "bytes": 1, "ranks": 2, "median_us": 1}]})",
      "all_reduce");
}

TEST_CASE("files are joined: lists one after the other, complete when all are") {
  const std::string first = R"({"schema": "foretrain.measurements/1", "complete": true, "device": {"gpu": "A"},
    "kernels": [{"work": {"kind": "gemm", "m": 1, "n": 1, "k": 1}, "median_us": 1}], "notes": "n"})";
  const std::string second = R"({"schema": "foretrain.measurements/1", "complete": false, "device": {"gpu": "B"},
    "kernels": [{"work": {"kind": "gemm", "m": 2, "n": 1, "k": 1}, "median_us": 2}],
    "steps": [{"name": "s", "median_us": 3}]})";
  const std::string text = join_measurements({first, second}, R"({"foretrain": "9.9", "plan": {"tensor": 1}})");
  const SpecNode joined = SpecNode::parse(text, "joined");
  CHECK(joined.required("foretrain").as_string() == "9.9");
  CHECK(joined.required("device").required("gpu").as_string() == "A");
  CHECK(joined.required("notes").as_string() == "n");
  const MeasuredRun run = read_measured(joined);
  CHECK_FALSE(run.complete);
  REQUIRE(run.kernels.size() == 2);
  CHECK(std::get<Gemm>(run.kernels[1].kernel).m == 2);
  CHECK(run.steps.size() == 1);
  CHECK(read_measured(SpecNode::parse(join_measurements({first}, "{}"), "one")).complete);
  CHECK_THROWS_AS(join_measurements({"[1]"}, "{}"), SpecError);
  CHECK_THROWS_AS(join_measurements({"{\"cut"}, "{}"), SpecError);
}
