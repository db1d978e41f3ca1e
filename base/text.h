/// Text for people: quantities with units, tables, nearest names.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace foretrain {

/// Reads a quantity such as "80 GiB" or "1MiB". SpecError("where", ...) when number or unit is missing or unknown, the
/// number is negative, infinite or beyond what can be meant.
Bytes parse_bytes(std::string_view text, const std::string& where);
Seconds parse_seconds(std::string_view text, const std::string& where);
BytesPerSecond parse_bytes_per_second(std::string_view text, const std::string& where);
FlopsPerSecond parse_flops_per_second(std::string_view text, const std::string& where);
Hertz parse_hertz(std::string_view text, const std::string& where);

/// "73.4 GB", "12.3 us", "450 GB/s": three significant digits, SI prefixes. Whole bytes below 1000 are exact: "8 B".
std::string to_text(Bytes);
std::string to_text(Seconds);
std::string to_text(BytesPerSecond);
std::string to_text(Flops);
std::string to_text(FlopsPerSecond);
std::string to_text(Hertz);

/// The candidate with the smallest Damerau-Levenshtein distance to `word` (case-insensitive), or "" when none is near:
/// distance <= max(2, length / 3), and less than the length. Ties: the first.
std::string nearest_name(std::string_view word, std::span<const std::string_view> candidates);
std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

/// What to propose for a name that is unknown: the nearest one; where none is near, the first with the longest
/// beginning in common, at least four characters and half of `word`: "megatron-lm" -> "megatron-core". Or "".
std::string likely_name(std::string_view word, std::span<const std::string_view> candidates);
std::string likely_name(std::string_view word, std::span<const std::string> candidates);

/// A table with a header row; columns are padded with two spaces between; `right` marks right-aligned columns.
/// A row may be shorter than the header, never longer; what `right` leaves out is aligned left.
struct TextTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> right;
};
/// Every line ends with a newline and has no blanks before it.
std::string to_text(const TextTable&);

/// Lower case, ASCII only: no locale.
std::string to_lower(std::string_view);

/// `text` in double quotes on one line: quotes, backslashes and control characters escaped, cut after 60 bytes.
std::string in_quotes(std::string_view text);

/// `text`, or its first `most` bytes (less where that would split a UTF-8 character) and "..." when it is longer.
std::string shortened(std::string_view text, std::size_t most);

}  // namespace foretrain
