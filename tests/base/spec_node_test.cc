#include "base/spec_node.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

SpecNode node_of(std::string_view text) { return SpecNode::parse(text, "job.json"); }
SpecNode member(std::string_view value) { return node_of("{\"k\": " + std::string(value) + "}").required("k"); }

template <typename Act>
std::string error_of(Act act) {
  try {
    static_cast<void>(act());
  } catch (const SpecError& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace

TEST_CASE("Values of each type are read, and outlive the node they were reached from") {
  const SpecNode node = node_of(R"({"n": 8, "r": 0.5, "t": "text", "b": true, "none": null, "list": [1, 2]})");
  CHECK(node.required("n").as_int() == 8);
  CHECK(node.required("r").as_real() == 0.5);
  CHECK(node.required("t").as_string() == "text");
  CHECK(node.required("b").as_bool());
  CHECK(node.required("none").is_null());
  CHECK(node.has("none"));
  CHECK_FALSE(node.has("absent"));
  CHECK_FALSE(node.optional("none").has_value());
  CHECK_FALSE(node.optional("absent").has_value());
  CHECK(node.optional("n")->as_int() == 8);
  CHECK(node.size() == 6);
  CHECK(node.keys() == std::vector<std::string>{"n", "r", "t", "b", "none", "list"});
  const std::vector<SpecNode> items = node_of("[[5]]").items().front().items();
  CHECK(items.front().as_int() == 5);
  CHECK(items.front().where() == "job.json:/0/0");
  CHECK(node.where() == "job.json");
  CHECK(node.required("list").dump() == "[1,2]");
}

TEST_CASE("A value of the wrong type is refused with place, expectation and finding") {
  CHECK(error_of([] { return member("8").as_string(); }) == "job.json:/k: expected text; got 8");
  CHECK(error_of([] { return member("\"yes\"").as_bool(); }) == "job.json:/k: expected true or false; got \"yes\"");
  CHECK(error_of([] { return member("{}").items(); }) == "job.json:/k: expected a list; got {}");
  CHECK(error_of([] { return member("3").keys(); }) == "job.json:/k: expected an object; got 3");
  CHECK(error_of([] { return member("3").required("x"); }) == "job.json:/k: expected an object with key \"x\"; got 3");
  CHECK(error_of([] { return member("[1]").optional("x"); }) == "job.json:/k: expected an object; got [1]");
}

TEST_CASE("A long value is cut in the message") {
  const std::string error = error_of([] { return member("[\"" + std::string(500, 'x') + "\"]").as_string(); });
  CHECK(error.size() < 120);
  CHECK(error.ends_with("..."));
}

TEST_CASE("Whole numbers: 8 and 8.0 are, 8.5, 1e30, text and what is out of range are not") {
  CHECK(member("8.0").as_int() == 8);
  CHECK(member("1e3").as_int() == 1000);
  CHECK(member("-3").as_int({.least = -5, .most = 5}) == -3);
  CHECK(member("9223372036854775807").as_int({.least = 0, .most = INT64_MAX}) == INT64_MAX);
  for (const char* text :
       {"8.5", "1e30", "-1e30", "\"8\"", "0", "-1", "1000000001", "18446744073709551615", "true", "null", "[8]"}) {
    CAPTURE(text);
    CHECK(error_of([&] {
            return member(text).as_int();
          }).starts_with("job.json:/k: expected a whole number from 1 to 1000000000; got "));
  }
}

TEST_CASE("Real numbers keep to their range; the default one starts at 0") {
  CHECK(member("3").as_real() == 3.0);
  CHECK(error_of([] { return member("-0.5").as_real(); }) ==
        "job.json:/k: expected a number from 0 to 1e+30; got -0.5");
  CHECK(error_of([] { return member("1.5").as_real({.least = 0, .most = 1}); }) ==
        "job.json:/k: expected a number from 0 to 1; got 1.5");
  CHECK(error_of([] { return member("\"0.5\"").as_real(); }).find("got \"0.5\"") != std::string::npos);
}

TEST_CASE("Quantities carry their unit; a bare number names the units that would do") {
  CHECK(member("\"80 GiB\"").as_bytes() == 80 * GiB);
  CHECK(member("\"400 Gb/s\"").as_bytes_per_second() == 50 * GB_per_s);
  CHECK(member("\"5 us\"").as_seconds() == 5 * microseconds);
  CHECK(member("\"989 TFLOP/s\"").as_flops_per_second() == 989 * TFLOP_per_s);
  CHECK(member("\"1410 MHz\"").as_hertz() == 1410 * MHz);
  CHECK(error_of([] { return member("450").as_bytes_per_second(); }) ==
        "job.json:/k: expected \"<number> <unit>\" with unit GB/s, Gb/s, TB/s, Tb/s, MB/s, Mb/s, KB/s, B/s; got 450");
  CHECK(error_of([] { return member("null").as_seconds(); }).find("got null") != std::string::npos);
}

TEST_CASE("A missing key is named, with the misspelt one that may have been meant") {
  CHECK(error_of([] { return node_of(R"({"training": {"x": 1}})").required("training").required("global_batch"); }) ==
        "job.json:/training: key \"global_batch\" is missing");
  CHECK(error_of([] { return node_of(R"({"globalbatch": 1})").required("global_batch"); }) ==
        "job.json: key \"global_batch\" is missing; found \"globalbatch\"");
}

TEST_CASE("An unknown key is refused with the nearest known one, or all of them") {
  const SpecNode node = node_of(R"({"tensor": 8, "pipelin": 4})");
  CHECK(error_of([&] {
          return node.allow_only({"tensor", "pipeline"});
        }) == "job.json: unknown key \"pipelin\"; did you mean \"pipeline\"?");
  CHECK(error_of([&] {
          return node.allow_only({"tensor", "data"});
        }) == "job.json: unknown key \"pipelin\"; known keys: tensor, data");
  CHECK(error_of([&] { return node.allow_only({"tensor", "pipelin", "data"}); }) == "(no error)");
}

TEST_CASE("A choice is found in any case; an unknown one gets the nearest name and the list") {
  constexpr std::array<std::string_view, 3> kNames = {"gpipe", "1f1b", "interleaved"};
  CHECK(member("\"1F1B\"").as_choice(kNames, "schedule") == 1);
  CHECK(error_of([&] { return member("\"1f1f\"").as_choice(kNames, "schedule"); }) ==
        "job.json:/k: unknown schedule \"1f1f\"; did you mean \"1f1b\"?; known: gpipe, 1f1b, interleaved");
  CHECK(error_of([&] { return member("1").as_choice(kNames, "schedule"); }) ==
        "job.json:/k: expected the name of one schedule: gpipe, 1f1b, interleaved; got 1");
}

TEST_CASE("A file is read; one that is absent or a folder is refused by name") {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "foretrain_spec_node_test.json";
  std::ofstream(path) << R"({"a": [10, 20]})";
  const SpecNode node = SpecNode::read_file(path.string());
  CHECK(node.file() == path.string());
  CHECK(node.required("a").items().at(1).where() == path.string() + ":/a/1");
  std::filesystem::remove(path);
  CHECK(error_of([&] { return SpecNode::read_file(path.string()); }) ==
        path.string() + ": cannot read this file: No such file or directory");
  CHECK(error_of([] { return SpecNode::read_file("tests"); }) == "tests: expected a file; got a folder");
}

TEST_CASE("An override replaces or adds a value and leaves the original alone") {
  const SpecNode job = node_of(R"({"training": {"global_batch": 1024, "precision": "bf16"}, "model": "m"})");
  const SpecNode changed = with_override(job, "training.global_batch", "2048");
  CHECK(changed.required("training").required("global_batch").as_int() == 2048);
  CHECK(changed.required("training").required("precision").as_string() == "bf16");
  CHECK(changed.file() == "job.json");
  CHECK(job.required("training").required("global_batch").as_int() == 1024);
  CHECK(with_override(job, "search.tensor", "[1, 2]").dump() ==
        R"({"training":{"global_batch":1024,"precision":"bf16"},"model":"m","search":{"tensor":[1,2]}})");
  CHECK(with_override(job, "model", "llama-3.1-70b").required("model").as_string() == "llama-3.1-70b");
  CHECK(with_override(job, "model", "\"quoted\"").required("model").as_string() == "quoted");
  CHECK(with_override(job, "cluster.network.bandwidth", "400 Gb/s")
            .required("cluster")
            .required("network")
            .required("bandwidth")
            .as_bytes_per_second() == 50 * GB_per_s);
  CHECK(with_override(job, "flag", "true").required("flag").as_bool());
}

TEST_CASE("An override that cannot be put where it says is refused") {
  const SpecNode job = node_of(R"({"training": {"global_batch": 1024}})");
  CHECK(error_of([&] { return with_override(job, "training.global_batch.x", "1"); }) ==
        "--set training.global_batch.x=1: cannot put key \"x\" into 1024, which is not an object");
  for (const char* path : {"", ".", "training.", ".training", "a..b"}) {
    CAPTURE(path);
    CHECK(error_of([&] { return with_override(job, path, "1"); }).find("expected keys with dots between") !=
          std::string::npos);
  }
  // Bytes that are not UTF-8 could not be written out again.
  CHECK(error_of([&] { return with_override(job, "model", "\xFF"); }) == "--set:1:1: expected UTF-8; got byte 0xff");
  CHECK(error_of([&] { return with_override(job, "\xC3", "1"); }) == "--set:1:1: expected UTF-8; got byte 0xc3");
  CHECK(error_of([&] { return with_override(job, "search", "[1, 2"); }).starts_with("--set search=[1, 2:1:"));
  CHECK(error_of([&] { return with_override(job, "plan", "{\"a\": 1, \"a\": 2}"); }).find("stands twice") !=
        std::string::npos);
}
