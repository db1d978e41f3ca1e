/// Names given on the command line, matched without regard to case, '-' or '_'.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::cli {

/// The index of `word` in `names`. SpecError at `where` ("--layout") that names the nearest one and lists them all.
std::size_t choose(std::string_view word, std::span<const std::string_view> names, const std::string& where,
                   std::string_view what);

/// "1MiB,1GiB" -> {"1MiB", "1GiB"}; blanks around a part are dropped.
std::vector<std::string> split_at_commas(std::string_view text);

}  // namespace foretrain::cli
