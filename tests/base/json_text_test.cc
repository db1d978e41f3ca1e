#include "base/json_text.h"

#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

std::string error_of(std::string_view text) {
  try {
    static_cast<void>(parse_json(text, "job.json"));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace

TEST_CASE("JSON of every kind is read, with keys in their order") {
  const nlohmann::ordered_json value =
      parse_json(R"({"z": [1, -2, 2.5, 1e3, true, false, null, "\u00e9"], "a": {}, "m": [[], {}]})", "job.json");
  CHECK(value.dump() == R"({"z":[1,-2,2.5,1000.0,true,false,null,"é"],"a":{},"m":[[],{}]})");
  CHECK(parse_json("7", "job.json") == 7);
  CHECK(parse_json(" \"text\"\n", "job.json") == "text");
}

TEST_CASE("A byte order mark in front is skipped and does not move the columns") {
  CHECK(parse_json("\xEF\xBB\xBF{\"a\": 1}", "job.json")["a"] == 1);
  CHECK(error_of("\xEF\xBB\xBF{\"a\": x}").starts_with("job.json:1:7: expected JSON: "));
}

TEST_CASE("What is not JSON is refused with line and column") {
  CHECK(error_of("") == "job.json:1:1: expected JSON; got nothing");
  CHECK(error_of(" \n ") == "job.json:1:1: expected JSON; got nothing");
  // The third line is `  "b" 2`: the value stands in column 7 where a colon should be.
  const std::string error = error_of("{\n  \"a\": 1,\n  \"b\" 2\n}");
  CHECK(error.starts_with("job.json:3:7: expected JSON: "));
  CHECK(error.find('\n') == std::string::npos);
  CHECK(error_of("{\"a\": 1,}").starts_with("job.json:1:9: expected JSON: "));
  CHECK(error_of("{\"a\": 1} x").starts_with("job.json:1:10: expected JSON: "));
  CHECK(error_of("[" + std::string(500, '1') + "]").size() < 250);  // beyond any double; its digits are cut
  for (const char* text :
       {"{", "[1 2]", "{'a': 1}", "// no\n{}", "NaN", "[Infinity]", "-", "01", "\"\\ud800\"", "1e400"}) {
    CAPTURE(text);
    CHECK(error_of(text).starts_with("job.json:1:"));
  }
}

TEST_CASE("A key that stands twice in one object is refused; in two objects it may") {
  CHECK(error_of(R"({"plan": {"tensor": 8, "data": 1, "tensor": 4}})") ==
        "job.json:/plan: key \"tensor\" stands twice in this object");
  CHECK(error_of(R"([0, {"a/b": [{"x": 1, "x": 1}]}])") == "job.json:/1/a~1b/0: key \"x\" stands twice in this object");
  CHECK(error_of(R"({"a": 1, "a": 2})") == "job.json: key \"a\" stands twice in this object");
  CHECK(error_of(R"([{"a": 1}, {"a": 1, "b": {"a": 1}}])") == "(no error)");
}

TEST_CASE("Nesting is allowed to 200 and refused at 201") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(error_of(nested(200)) == "(no error)");
  CHECK(error_of(nested(201)) == "job.json: expected JSON nested at most 200 deep; got more");
  CHECK(error_of(std::string(1'000'000, '[')) == "job.json: expected JSON nested at most 200 deep; got more");
}

TEST_CASE("Text that is not UTF-8 is refused at its first bad byte") {
  CHECK(error_of("{\n\"a\": \"\xFF\"}") == "job.json:2:7: expected UTF-8; got byte 0xff");
  // From table 3-7 of the Unicode Standard: overlong, surrogate, beyond U+10FFFF, lone and missing continuation bytes.
  for (const char* bytes : {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF0\x80\x80\x80", "\x80",
                            "\xC3", "\xE2\x82", "\xF0\x9F\x98"}) {
    CAPTURE(bytes);
    CHECK(error_of("\"" + std::string(bytes) + "\"").starts_with("job.json:1:2: expected UTF-8; got byte 0x"));
  }
  CHECK(error_of("\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"") == "(no error)");
}

TEST_CASE("Damage to any one byte leaves JSON or gives an error of one line, never anything else") {
  const std::string whole = "\xEF\xBB\xBF{\"a\\u00e9\": [1, -2.5e3, true, null, \"\xC3\xA9\"], \"b\": {\"a\": {}}}";
  REQUIRE(error_of(whole) == "(no error)");
  int refused = 0;
  for (std::size_t place = 0; place < whole.size(); ++place) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string damaged = whole;
      damaged[place] = static_cast<char>(byte);
      const std::string error = error_of(damaged);  // lets any other exception through, which fails the test
      const bool in_order = error == "(no error)" || (error.starts_with("job.json:") && error.find('\n') == error.npos);
      if (!in_order) FAIL_CHECK("byte ", byte, " at ", place, ": ", error);
      refused += error == "(no error)" ? 0 : 1;
    }
    CHECK(error_of(whole.substr(0, place)).starts_with("job.json:1:"));  // cut short anywhere
  }
  CHECK(refused > 0);
}

TEST_CASE("Text over 100 MB is refused before it is read") {
  CHECK(error_of(std::string(100'000'001, ' ')) == "job.json: expected at most 100000000 bytes; got 100000001");
}

TEST_CASE("A pointer step escapes what the pointer's own syntax uses and stays on one line") {
  CHECK(pointer_token("a/b~c\nd") == "a~1b~0c\\u000ad");
}
