#include "validate/accuracy_report.h"

#include <string>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

ComparisonRow step(const std::string& id, const std::string& precision, double predicted, double measured) {
  return {id, "step_seconds", {"gpu:h100-sxm5-80gb", "precision:" + precision}, predicted, measured};
}

/// Two files of runs: bf16 10 % too long and fp8 50 % too short; fp16 30 % too short, one refused for memory.
AccuracyInput input() {
  AccuracyInput in;
  in.runs = {{"first", "first-file", {{step("a", "bf16", 1.1, 1), step("b", "fp8", 1, 2)}, {}}},
             {"second", "second-file", {{step("c", "fp16", 0.7, 1)}, {{"d", "memory: 90 GB needed, 80 GB there"}}}}};
  in.kernels = {{"gemm", "gemm", {{{"k", "gemm_seconds", {"gpu:h100-sxm5-80gb"}, 2e-6, 1e-6}}, {}}}};
  return in;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the page sums up each source and all of them") {
  const std::string page = accuracy_report(input()).front().content;
  // Errors +10 %, -50 %: mean 30 %, median 10 % (nearest rank), 90th and worst 50 %, bias -20 %, half within 10 %.
  CHECK(has(page, "| first | 2 | 30.0 % | 10.0 % | 50.0 % | 50.0 % | -20.0 % |"));
  // All three: (10 + 50 + 30) / 3 = 30 %, median 30 %.
  CHECK(has(page, "| **all** | 3 | 30.0 % | 30.0 % | 50.0 % | 50.0 % | -23.3 % |"));
  // bf16 and fp16 alone: (10 + 30) / 2 = 20 %.
  CHECK(has(page, "2 published runs of dense models in bf16 and fp16 are predicted with a mean error of 20.0 %,"));
}

TEST_CASE("the page sets predictions beside the median of hosts") {
  AccuracyInput in = input();
  in.host_medians = {{"65536 B", "collective_seconds", {}, 18e-6, 20e-6},
                     {"131072 B", "collective_seconds", {}, 23e-6, 20e-6}};
  const std::string page = accuracy_report(in).front().content;
  CHECK(has(page, "MAPE 12.5 %, bias +2.5 %."));
  CHECK(has(page, "| 65536 B | 18.0 | 20.0 | -10.0 % |"));
}

TEST_CASE("the page lists what was refused for memory, and the worst rows first") {
  const std::string page = accuracy_report(input()).front().content;
  CHECK(has(page, "| memory | 1 | second (1) |"));
  CHECK(has(page, "- d: memory: 90 GB needed, 80 GB there"));
  CHECK(page.find("| b | 1 | 2 | -50.0 % |") < page.find("| c | 0.7 | 1 | -30.0 % |"));
}

TEST_CASE("a worst row shows the first reason that its id begins with, or that there is none") {
  AccuracyInput in = input();
  in.reasons = {{"b", "measured twice"}, {"b", "later"}};
  const std::string page = accuracy_report(in).front().content;
  CHECK(has(page, "| b | 1 | 2 | -50.0 % | measured twice |"));
  CHECK(has(page, "| c | 0.7 | 1 | -30.0 % | not explained |"));
}

TEST_CASE("each figure that the page shows is among the files, and twice gives the same bytes") {
  const std::vector<TextFile> files = accuracy_report(input()), again = accuracy_report(input());
  REQUIRE(files.size() == 4);  // page, two sources, one kind of kernel
  CHECK(files[0].path == "ACCURACY.md");
  for (std::size_t i = 1; i < files.size(); ++i) CHECK(has(files[0].content, "](" + files[i].path + ")"));
  for (std::size_t i = 0; i < files.size(); ++i) CHECK(files[i].content == again[i].content);
}
