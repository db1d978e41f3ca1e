#include "base/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include <fmt/format.h>

#include "base/check.h"
#include "base/quantity_text.h"

namespace foretrain {
namespace {

struct Prefix {
  std::string_view name;
  double factor;
};
constexpr std::array kPrefixes = {Prefix{"p", 1e-12}, Prefix{"n", 1e-9}, Prefix{"u", 1e-6}, Prefix{"m", 1e-3},
                                  Prefix{"", 1},      Prefix{"K", 1e3},  Prefix{"M", 1e6},  Prefix{"G", 1e9},
                                  Prefix{"T", 1e12},  Prefix{"P", 1e15}, Prefix{"E", 1e18}};

/// Three significant digits of a value in [0, 1000), no digits behind the point above.
std::string three_digits(double value) {
  const double size = std::abs(value);
  if (size >= 99.95) return fmt::format("{:.0f}", value);
  if (size >= 9.995) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

/// `allowed` are the prefixes this unit is written with, smallest first.
std::string with_prefix(double value, std::string_view unit, std::span<const Prefix> allowed) {
  if (value == 0 || !std::isfinite(value)) return fmt::format("{:g} {}", value == 0 ? 0 : value, unit);
  const Prefix* chosen = &allowed.front();
  for (const Prefix& prefix : allowed) {
    // 999.5 K rounds to 1000 K in three digits, so it is written as 1.00 M.
    if (std::abs(value) >= 0.9995 * prefix.factor) chosen = &prefix;
  }
  return fmt::format("{} {}{}", three_digits(value / chosen->factor), chosen->name, unit);
}

std::span<const Prefix> from_one() { return std::span(kPrefixes).subspan(4); }
std::span<const Prefix> up_to_one() { return std::span(kPrefixes).first(5); }

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  const std::size_t width = b.size() + 1;
  std::vector<std::size_t> cost((a.size() + 1) * width);  // [characters of a, characters of b]
  const auto at = [&](std::size_t i, std::size_t j) -> std::size_t& { return cost[i * width + j]; };
  for (std::size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
  for (std::size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = at(i - 1, j - 1) + (a[i - 1] == b[j - 1] ? 0 : 1);
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  }
  return cost.back();
}

template <typename Text>
std::string nearest_of(std::string_view word, std::span<const Text> candidates) {
  constexpr std::size_t kLongestWord = 200;  // beyond, nobody mistyped a name of ours
  if (word.size() > kLongestWord) return "";
  const std::string sought = to_lower(word);
  std::size_t best = std::max<std::size_t>(2, word.size() / 3) + 1;
  best = std::min(best, word.size());
  std::string nearest;
  for (const Text& candidate : candidates) {
    const std::size_t distance = edit_distance(sought, to_lower(candidate));
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

template <typename Text>
std::string likely_of(std::string_view word, std::span<const Text> candidates) {
  const std::string near = nearest_of(word, candidates);
  if (!near.empty()) return near;
  const std::string sought = to_lower(word);
  std::size_t best = std::max<std::size_t>(3, (word.size() - word.size() / 2) - 1);
  std::string likely;
  for (const Text& candidate : candidates) {
    const std::string name = to_lower(candidate);
    const auto [in_word, in_name] = std::mismatch(sought.begin(), sought.end(), name.begin(), name.end());
    const auto common = static_cast<std::size_t>(in_word - sought.begin());
    if (common <= best) continue;
    best = common;
    likely = candidate;
  }
  return likely;
}

/// Characters on the screen, for text without combining or double-width characters: UTF-8 code points.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void append_row(std::string& out, const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                const std::vector<bool>& right) {
  for (std::size_t column = 0; column < cells.size(); ++column) {
    const std::string padding(widths[column] - width_of(cells[column]), ' ');
    const bool aligned_right = column < right.size() && right[column];
    if (column > 0) out += "  ";
    out += aligned_right ? padding + cells[column] : cells[column] + padding;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  out += '\n';
}

}  // namespace

Bytes parse_bytes(std::string_view text, const std::string& where) {
  return Bytes::from_base(parse_quantity(text, where, kByteUnits));
}
Seconds parse_seconds(std::string_view text, const std::string& where) {
  return Seconds::from_base(parse_quantity(text, where, kSecondUnits));
}
BytesPerSecond parse_bytes_per_second(std::string_view text, const std::string& where) {
  return BytesPerSecond::from_base(parse_quantity(text, where, kBytesPerSecondUnits));
}
FlopsPerSecond parse_flops_per_second(std::string_view text, const std::string& where) {
  return FlopsPerSecond::from_base(parse_quantity(text, where, kFlopsPerSecondUnits));
}
Hertz parse_hertz(std::string_view text, const std::string& where) {
  return Hertz::from_base(parse_quantity(text, where, kHertzUnits));
}

std::string to_text(Bytes size) {
  const double count = size.base();
  if (std::abs(count) < 999.5 && count == std::floor(count)) return fmt::format("{:.0f} B", count);
  return with_prefix(count, "B", from_one());
}
std::string to_text(Seconds time) { return with_prefix(time.base(), "s", up_to_one()); }
std::string to_text(BytesPerSecond rate) { return with_prefix(rate.base(), "B/s", from_one()); }
std::string to_text(Flops work) { return with_prefix(work.base(), "FLOP", from_one()); }
std::string to_text(FlopsPerSecond rate) { return with_prefix(rate.base(), "FLOP/s", from_one()); }
std::string to_text(Hertz rate) { return with_prefix(rate.base(), "Hz", from_one()); }

std::string nearest_name(std::string_view word, std::span<const std::string_view> candidates) {
  return nearest_of(word, candidates);
}
std::string likely_name(std::string_view word, std::span<const std::string_view> candidates) {
  return likely_of(word, candidates);
}
std::string likely_name(std::string_view word, std::span<const std::string> candidates) {
  return likely_of(word, candidates);
}
std::string nearest_name(std::string_view word, std::span<const std::string> candidates) {
  return nearest_of(word, candidates);
}

std::string to_text(const TextTable& table) {
  std::vector<std::size_t> widths(table.header.size());
  for (std::size_t column = 0; column < widths.size(); ++column) widths[column] = width_of(table.header[column]);
  for (const std::vector<std::string>& row : table.rows) {
    FORETRAIN_CHECK(row.size() <= widths.size());
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], width_of(row[column]));
    }
  }
  std::string out;
  append_row(out, table.header, widths, table.right);
  for (const std::vector<std::string>& row : table.rows) append_row(out, row, widths, table.right);
  return out;
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMost = 60;
  const std::string shown = shortened(text, kMost);
  const std::size_t cut_mark = text.size() > kMost ? 3 : 0;
  std::string out = "\"";
  for (const char c : std::string_view(shown).substr(0, shown.size() - cut_mark)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + (cut_mark > 0 ? "\"..." : "\"");
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  while (most > 0 && (text[most] & 0xC0) == 0x80) --most;
  return std::string(text.substr(0, most)) + "...";
}

}  // namespace foretrain
