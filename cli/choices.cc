#include "cli/choices.h"

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain::cli {
namespace {

std::string bare(std::string_view name) {
  std::string letters;
  for (const char c : to_lower(name))
    if (c != '-' && c != '_') letters += c;
  return letters;
}

}  // namespace

std::size_t choose(std::string_view word, std::span<const std::string_view> names, const std::string& where,
                   std::string_view what) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (bare(names[i]) == bare(word)) return i;
  const std::string nearest = likely_name(word, names);
  throw SpecError(where, fmt::format("unknown {} {}{}; known: {}", what, in_quotes(word),
                                     nearest.empty() ? "" : "; did you mean " + nearest + "?", fmt::join(names, ", ")));
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else if (c != ' ' || !parts.back().empty()) {
      parts.back() += c;
    }
  }
  for (std::string& part : parts)
    while (!part.empty() && part.back() == ' ') part.pop_back();
  return parts;
}

}  // namespace foretrain::cli
