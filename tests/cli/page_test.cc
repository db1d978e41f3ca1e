#include "cli/page.h"

#include <sstream>

#include <doctest/doctest.h>

using namespace foretrain;
using namespace foretrain::cli;

namespace {

/// The longest line, in characters; the tests' texts are ASCII but for what they say.
std::size_t longest_line(const std::string& text) {
  std::istringstream stream(text);
  std::size_t most = 0;
  for (std::string line; std::getline(stream, line);) {
    std::size_t columns = 0;
    for (const char c : line)
      if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++columns;
    most = std::max(most, columns);
  }
  return most;
}

}  // namespace

TEST_CASE("a pipe has no colour and no width, unless colour is forced") {
  CHECK(page_style({.terminal = false, .columns_variable = "60"}).width == 0);
  CHECK(!page_style(Surroundings{}).colour);
  CHECK(page_style({.clicolor_force = "1"}).colour);
  CHECK(!page_style({.clicolor_force = "0"}).colour);
  CHECK(!page_style({.no_color = "1", .clicolor_force = "1"}).colour);
}

TEST_CASE("a terminal has colour unless NO_COLOR is set or it is dumb, and the width that is known best") {
  CHECK(page_style({.terminal = true}).colour);
  CHECK(!page_style({.terminal = true, .no_color = "1"}).colour);
  CHECK(!page_style({.terminal = true, .term = "dumb"}).colour);
  CHECK(page_style({.terminal = true, .columns = 120}).width == 120);
  CHECK(page_style({.terminal = true, .columns = 120, .columns_variable = "90"}).width == 90);
  CHECK(page_style({.terminal = true, .columns = 120, .columns_variable = "wide"}).width == 120);
  CHECK(page_style({.terminal = true}).width == 80);
  CHECK(page_style({.terminal = true, .columns = 7}).width == 40);
}

TEST_CASE("long lines break at blanks, and what goes on is indented") {
  CHECK(Page({.width = 12}).line("one two three four").text() == "one two\n  three four\n");
  CHECK(Page({.width = 12}).line("one two four").text() == "one two four\n");
  CHECK(Page({.width = 0}).line("one two three four").text() == "one two three four\n");
  // A word that no line can hold is broken where the line ends.
  CHECK(Page({.width = 8}).line("abcdefghijkl", Ink::plain, 2).text() == "abcdefgh\n  ijkl\n");
  // Characters count, not bytes: five of them in ten bytes.
  CHECK(Page({.width = 5}).line("\u00e4\u00f6\u00fc\u00e4\u00f6").text() == "\u00e4\u00f6\u00fc\u00e4\u00f6\n");
}

TEST_CASE("colour surrounds each line and leaves its columns alone") {
  CHECK(Page({.colour = true, .width = 8}).line("one two three", Ink::good).text() ==
        "\033[32mone two\033[0m\n\033[32m  three\033[0m\n");
  CHECK(Page({.colour = true}).line("plain").text() == "plain\n");
}

TEST_CASE("columns that do not fit follow below with the key column") {
  const TextTable table{
      {"stage", "layers", "total"}, {{"0", "20", "76.93"}, {"1", "20", "74.20"}}, {false, true, true}};
  CHECK(Page({.width = 0}).table(table).text() == to_text(table));
  CHECK(Page({.width = 14}).table(table).text() ==
        "stage  layers\n0          20\n1          20\n\nstage  total\n0      76.93\n1      74.20\n");
}

TEST_CASE("no line of a table is wider than the page") {
  TextTable table{{"#", "plan"}, {}, {true, false}};
  for (int column = 0; column < 12; ++column) table.header.push_back("column " + std::to_string(column));
  for (int row = 0; row < 3; ++row) {
    table.rows.push_back({std::to_string(row), "TP4 PP4 VPP20 DP16 mbs1 interleaved SP ZeRO-1"});
    for (int column = 0; column < 12; ++column) table.rows.back().push_back(std::to_string(1000 * column) + " GiB");
  }
  for (std::size_t width = 40; width < 200; ++width) {
    CHECK(longest_line(Page({.width = width}).table(table).text()) <= width);
    CHECK(longest_line(Page({.width = width}).table(table, 2).text()) <= width);
  }
}

TEST_CASE("the emphasised row and the header stand out") {
  const TextTable table{{"a"}, {{"1"}, {"2"}}, {}};
  CHECK(Page({.colour = true}).table(table, 1, 1).text() == "\033[1ma\033[0m\n1\n\033[32m2\033[0m\n");
}
