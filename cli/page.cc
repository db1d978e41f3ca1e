#include "cli/page.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

#include <sys/ioctl.h>
#include <unistd.h>

namespace foretrain::cli {
namespace {

constexpr std::size_t kLeastWidth = 40, kUsualWidth = 80;

std::size_t columns_of(std::string_view text) {  // UTF-8: bytes that do not go on with a character
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t number_or_zero(std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

std::string_view code_of(Ink ink) {
  switch (ink) {
    case Ink::plain:
      return "";
    case Ink::bold:
      return "\033[1m";
    case Ink::good:
      return "\033[32m";
    case Ink::warn:
      return "\033[33m";
    case Ink::faint:
      return "\033[2m";
  }
  return "";
}

/// The first `most` columns of `text`.
std::string_view beginning(std::string_view text, std::size_t most) {
  std::size_t i = 0;
  for (std::size_t columns = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80 && ++columns > most) break;
  return text.substr(0, i);
}

std::string cut_to(const std::string& text, std::size_t width) {
  return columns_of(text) <= width ? text : std::string(beginning(text, width - 3)) + "...";
}

/// The columns `picked` of `whole`, in that order.
TextTable columns(const TextTable& whole, const std::vector<std::size_t>& picked) {
  TextTable t;
  for (const std::size_t column : picked) {
    t.header.push_back(whole.header[column]);
    t.right.push_back(column < whole.right.size() && whole.right[column]);
  }
  for (const std::vector<std::string>& row : whole.rows) {
    t.rows.emplace_back();
    for (const std::size_t column : picked) t.rows.back().push_back(column < row.size() ? row[column] : "");
  }
  return t;
}

std::vector<std::size_t> widths_of(const TextTable& t) {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < t.header.size(); ++column) {
    widths.push_back(columns_of(t.header[column]));
    for (const std::vector<std::string>& row : t.rows)
      if (column < row.size()) widths.back() = std::max(widths.back(), columns_of(row[column]));
  }
  return widths;
}

/// `t` with every cell of a column cut to what lets the keys and that column stand in one line.
TextTable with_cut_cells(TextTable t, std::size_t key_columns, std::size_t width) {
  constexpr std::size_t least = 8;
  const auto cut_column = [&](std::size_t column, std::size_t most) {
    t.header[column] = cut_to(t.header[column], most);
    for (std::vector<std::string>& row : t.rows)
      if (column < row.size()) row[column] = cut_to(row[column], most);
  };
  std::size_t keys = 0;
  for (std::size_t column = 0; column < std::min(key_columns, t.header.size()); ++column) {
    const std::size_t left = width / 2 > keys + least ? width / 2 - keys : least;
    cut_column(column, left);
    keys += widths_of(t)[column] + 2;
  }
  for (std::size_t column = key_columns; column < t.header.size(); ++column)
    cut_column(column, width > keys + least ? width - keys : least);
  return t;
}

}  // namespace

PageStyle page_style(const Surroundings& s) {
  const bool forced = !s.clicolor_force.empty() && s.clicolor_force != "0";
  PageStyle style;
  style.colour = s.no_color.empty() && (forced || (s.terminal && s.term != "dumb"));
  if (!s.terminal) return style;
  const std::size_t asked = number_or_zero(s.columns_variable);
  style.width = std::max(kLeastWidth, asked > 0 ? asked : s.columns > 0 ? s.columns : kUsualWidth);
  return style;
}

PageStyle page_style() {
  Surroundings s{.terminal = ::isatty(STDOUT_FILENO) == 1,
                 .columns = 0,
                 .no_color = variable("NO_COLOR"),
                 .clicolor_force = variable("CLICOLOR_FORCE"),
                 .term = variable("TERM"),
                 .columns_variable = variable("COLUMNS")};
  winsize size = {};
  if (s.terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) s.columns = size.ws_col;
  return page_style(s);
}

void Page::append(std::string_view line, Ink ink) {
  const std::string_view code = style_.colour && !line.empty() ? code_of(ink) : "";
  text_ += code;
  text_ += line;
  if (!code.empty()) text_ += "\033[0m";
  text_ += '\n';
}

Page& Page::line(std::string_view text, Ink ink, std::size_t hanging) {
  if (style_.width > 0 && columns_of(text) > style_.width) {
    const std::string_view head = beginning(text, style_.width + 1);
    const std::size_t first = text.find_first_not_of(' ');
    std::size_t cut = head.rfind(' ');
    // A word longer than the line is broken where the line ends.
    if (cut == std::string_view::npos || cut <= first) cut = beginning(text, style_.width).size();
    append(text.substr(0, text.find_last_not_of(' ', cut - 1) + 1), ink);
    text.remove_prefix(std::min(text.find_first_not_of(' ', cut), text.size()));
    if (text.empty()) return *this;
    const std::string rest = std::string(hanging, ' ') + std::string(text);
    return line(rest, ink, hanging);
  }
  append(text, ink);
  return *this;
}

Page& Page::blank() {
  text_ += '\n';
  return *this;
}

Page& Page::table(const TextTable& whole, std::size_t key_columns, std::size_t emphasised) {
  const TextTable t = style_.width > 0 ? with_cut_cells(whole, key_columns, style_.width) : whole;
  const std::vector<std::size_t> widths = widths_of(t);
  std::size_t next = std::min(key_columns, t.header.size());
  do {
    std::vector<std::size_t> picked;
    std::size_t used = 0;
    for (std::size_t key = 0; key < key_columns && key < t.header.size(); ++key) {
      picked.push_back(key);
      used += (used > 0 ? 2 : 0) + widths[key];
    }
    for (bool first = true; next < t.header.size(); ++next, first = false) {
      const std::size_t more = (used > 0 ? 2 : 0) + widths[next];
      if (!first && style_.width > 0 && used + more > style_.width) break;
      picked.push_back(next);
      used += more;
    }
    const std::string block = to_text(columns(t, picked));
    std::size_t row = 0;
    for (std::size_t from = 0; from < block.size(); ++row) {
      const std::size_t end = block.find('\n', from);
      append(block.substr(from, end - from), row == 0 ? Ink::bold : row == emphasised + 1 ? Ink::good : Ink::plain);
      from = end + 1;
    }
    if (next < t.header.size()) blank();
  } while (next < t.header.size());
  return *this;
}

}  // namespace foretrain::cli
