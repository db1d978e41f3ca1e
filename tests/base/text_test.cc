#include "base/text.h"

#include <array>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

template <typename Parse>
std::string error_of(Parse parse, std::string_view text) {
  try {
    static_cast<void>(parse(text, "x.json:/key"));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace

TEST_CASE("Quantities are read in every unit they may be given in") {
  CHECK(parse_bytes("1 B", "") == 1 * bytes);
  CHECK(parse_bytes("3 KB", "") == 3000 * bytes);
  CHECK(parse_bytes("80 GB", "") == 80 * GB);
  CHECK(parse_bytes("2 TB", "") == 2000 * GB);
  CHECK(parse_bytes("1KiB", "") == 1024 * bytes);
  CHECK(parse_bytes("  1.5   MiB ", "") == 1572864 * bytes);  // 1.5 * 2^20
  CHECK(parse_bytes("80 GiB", "") == 80 * GiB);
  CHECK(parse_bytes("1 TiB", "") == 1024 * GiB);

  CHECK(parse_seconds("5 us", "") == 5 * microseconds);
  CHECK(parse_seconds("0 ns", "") == Seconds{});
  CHECK(parse_seconds("500 ps", "") / nanoseconds == doctest::Approx(0.5));
  CHECK(parse_seconds("2 min", "") == 120 * seconds);
  CHECK(parse_seconds("1.5 h", "") == 5400 * seconds);
  CHECK(parse_seconds("1e-3 s", "") == 1 * milliseconds);

  CHECK(parse_bytes_per_second("900 GB/s", "") == 900 * GB_per_s);
  CHECK(parse_bytes_per_second("400 Gb/s", "") == 50 * GB_per_s);  // eight bits a byte
  CHECK(parse_bytes_per_second("3.35 TB/s", "") / GB_per_s == doctest::Approx(3350));
  CHECK(parse_bytes_per_second("1 Tb/s", "") == 125 * GB_per_s);

  CHECK(parse_flops_per_second("989 TFLOP/s", "") == 989 * TFLOP_per_s);
  CHECK(parse_flops_per_second("989 TFLOPS", "") == 989 * TFLOP_per_s);
  CHECK(parse_flops_per_second("2 PFLOP/s", "") == 2000 * TFLOP_per_s);
  CHECK(parse_hertz("1410 MHz", "") == 1410 * MHz);
  CHECK(parse_hertz("1.41 GHz", "") / MHz == doctest::Approx(1410));
}

TEST_CASE("A quantity without a unit, or with one of another kind, is refused with the units that would do") {
  CHECK(error_of(parse_bytes_per_second, "450") ==
        "x.json:/key: expected \"<number> <unit>\" with unit GB/s, Gb/s, TB/s, Tb/s, MB/s, Mb/s, KB/s, B/s; "
        "got \"450\"");
  for (const char* text : {"", " ", "GB", "fast", "80 GiB/s", "80 GB GB", "0x10 GB", "1,5 GB", "+5 GB", "80 G B"}) {
    CAPTURE(text);
    CHECK(error_of(parse_bytes, text).starts_with("x.json:/key: expected \"<number> <unit>\" with unit GiB, GB"));
  }
}

TEST_CASE("A unit in the wrong case is refused, since Gb and GB differ by eight, with the nearest meaning") {
  CHECK(error_of(parse_bytes, "80 gib").ends_with("got \"80 gib\"; did you mean 80 GiB?"));
  CHECK(error_of(parse_flops_per_second, "3.5 tflop/s").ends_with("did you mean 3.5 TFLOP/s?"));
}

TEST_CASE("Negative, endless and absurd quantities are refused") {
  CHECK(error_of(parse_bytes, "-5 GB") == "x.json:/key: expected a quantity of at least 0; got \"-5 GB\"");
  CHECK(error_of(parse_seconds, "nan s").find("expected") != std::string::npos);
  CHECK(error_of(parse_seconds, "inf s").find("at most") != std::string::npos);
  CHECK(error_of(parse_seconds, "1e400 s").find("at most") != std::string::npos);
  CHECK(error_of(parse_bytes, "1e30 GB") == "x.json:/key: expected a quantity of at most 1e+12 GB; got \"1e30 GB\"");
}

TEST_CASE("Quantities are written with three significant digits and the prefix that keeps them below 1000") {
  CHECK(to_text(73.4 * GB) == "73.4 GB");
  CHECK(to_text(80 * GB) == "80.0 GB");
  CHECK(to_text(999.6 * MB) == "1.00 GB");  // three digits of 999.6 are 1000
  CHECK(to_text(999.4 * MB) == "999 MB");
  CHECK(to_text(512 * bytes) == "512 B");
  CHECK(to_text(Bytes{}) == "0 B");
  CHECK(to_text(-2.5 * GB) == "-2.50 GB");
  CHECK(to_text(12.3 * microseconds) == "12.3 us");
  CHECK(to_text(1.5 * seconds) == "1.50 s");
  CHECK(to_text(4000 * seconds) == "4000 s");
  CHECK(to_text(Seconds{}) == "0 s");
  CHECK(to_text(Seconds::from_base(2e-12)) == "2.00 ps");
  CHECK(to_text(450 * GB_per_s) == "450 GB/s");
  CHECK(to_text(989 * TFLOP_per_s) == "989 TFLOP/s");
  CHECK(to_text(3.2 * TFLOP) == "3.20 TFLOP");
  CHECK(to_text(1410 * MHz) == "1.41 GHz");
}

TEST_CASE("The nearest name forgives a slip, a swap and case, and none is named for a stranger") {
  const std::array<std::string_view, 4> names = {"tensor", "pipeline", "context", "expert"};
  CHECK(nearest_name("tesnor", names) == "tensor");  // one swap of neighbours
  CHECK(nearest_name("TENSOR", names) == "tensor");
  CHECK(nearest_name("pipelines", names) == "pipeline");
  CHECK(nearest_name("contxt", names) == "context");
  CHECK(nearest_name("bandwidth", names) == "");
  CHECK(nearest_name("", names) == "");
  const std::vector<std::string> equally_near = {"cat", "car"};
  CHECK(nearest_name("cap", equally_near) == "cat");  // both one edit away: the first
  const std::vector<std::string> short_names = {"tp", "pp"};
  CHECK(nearest_name("xy", short_names) == "");  // every letter would have to change
  // What is not near may still begin alike: four characters and half of the word at least.
  const std::vector<std::string> frameworks = {"megatron-core", "megatron-deepspeed", "torchtitan"};
  CHECK(nearest_name("megatron-lm", frameworks) == "");
  CHECK(likely_name("megatron-lm", frameworks) == "megatron-core");  // nine characters with both: the first
  CHECK(likely_name("Megatron", frameworks) == "megatron-core");
  CHECK(likely_name("torch", frameworks) == "torchtitan");
  CHECK(likely_name("tor", frameworks) == "");            // three characters
  CHECK(likely_name("mega-parallel", frameworks) == "");  // four of thirteen
  CHECK(likely_name("torchtitn", frameworks) == "torchtitan");
}

TEST_CASE("A table pads by characters, aligns numbers right and leaves no blanks at line ends") {
  const TextTable table = {.header = {"plan", "step"},
                           .rows = {{"tp8 \xC3\x97 pp4", "9.1 s"}, {"a", "12.3 s"}, {"b"}},
                           .right = {false, true}};
  CHECK(to_text(table) ==
        "plan         step\n"
        "tp8 \xC3\x97 pp4   9.1 s\n"
        "a          12.3 s\n"
        "b\n");
}

TEST_CASE("Text in quotes stays on one line and is cut between characters") {
  CHECK(in_quotes("a\"b\\c\nd") == "\"a\\\"b\\\\c\\u000ad\"");
  // 59 letters and one two-byte character: cutting after 60 bytes would split it.
  CHECK(in_quotes(std::string(59, 'x') + "\xC3\xA9y") == "\"" + std::string(59, 'x') + "\"...");
}
