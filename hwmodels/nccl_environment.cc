#include "hwmodels/nccl_environment.h"

#include <algorithm>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

constexpr NcclVersion kListsByCollective = {2, 24, 0};

std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    std::string_view part = text.substr(at, end - at);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.push_back(part);
    at = end + 1;
  }
  return parts;
}

/// "NVLS_TREE" and "nvls-tree" are NCCL's NVLSTree.
std::string plain(std::string_view name) {
  std::string text = to_lower(name);
  std::erase_if(text, [](char c) { return c == '_' || c == '-'; });
  return text;
}

/// The place of `word` in `names`, or names.size().
std::size_t place_of(std::string_view word, std::span<const std::string_view> names) {
  const auto same = [&](std::string_view name) { return plain(name) == plain(word); };
  return static_cast<std::size_t>(std::find_if(names.begin(), names.end(), same) - names.begin());
}

/// Bits of the names in "tree,ring" or "^tree".
std::uint8_t set_of(std::string_view list, std::span<const std::string_view> names, std::string_view what,
                    const std::string& where) {
  const bool all_but = list.starts_with('^');
  if (all_but) list.remove_prefix(1);
  const auto all = static_cast<std::uint8_t>((1U << names.size()) - 1);
  std::uint8_t named = 0;
  for (const std::string_view word : parts_of(list, ',')) {
    const std::size_t place = place_of(word, names);
    if (place == names.size()) {
      const std::string near = nearest_name(word, names);
      throw SpecError(
          where, fmt::format("unknown NCCL {} {}{}; known: {}", what, in_quotes(word),
                             near.empty() ? "" : fmt::format(" (did you mean {}?)", near), fmt::join(names, ", ")));
    }
    named = static_cast<std::uint8_t>(named | (1U << place));
  }
  if (named == 0) throw SpecError(where, fmt::format("expected names of NCCL {}s: {}", what, fmt::join(names, ", ")));
  const auto allowed = static_cast<std::uint8_t>(all_but ? all & ~named : named);
  if (allowed == 0) throw SpecError(where, fmt::format("all NCCL {}s are excluded: none is left", what));
  return allowed;
}

/// Calls set(op, bits) for each collective that `text` speaks of.
template <class Set>
void read_lists(std::string_view text, std::span<const std::string_view> names, std::string_view what,
                NcclVersion version, const std::string& where, const Set& set) {
  // NCCL's names of what it chooses an algorithm for; reduce is none of our collectives.
  constexpr std::array<std::string_view, 5> kPrefixes = {"broadcast", "reduce", "allgather", "reducescatter",
                                                         "allreduce"};
  bool first = true;
  for (const std::string_view part : parts_of(text, ';')) {
    const std::size_t colon = part.find(':');
    const bool by_collective = colon != std::string_view::npos;
    if ((by_collective || !first) && version < kListsByCollective)
      throw SpecError(where, fmt::format("NCCL {}.{} has one list for all collectives (lists by collective: 2.24 and "
                                         "later); got {}",
                                         version.major, version.minor, in_quotes(text)));
    if (!by_collective && !first)
      throw SpecError(where, fmt::format("only the first list may lack its collective; got {}", in_quotes(text)));
    first = false;
    const std::string_view prefix = by_collective ? part.substr(0, colon) : std::string_view();
    if (by_collective && place_of(prefix, kPrefixes) == kPrefixes.size())
      throw SpecError(where,
                      fmt::format("unknown collective {}; known: {}", in_quotes(prefix), fmt::join(kPrefixes, ", ")));
    const std::uint8_t bits = set_of(by_collective ? part.substr(colon + 1) : part, names, what, where);
    for (std::size_t op = 0; op < kCollectiveNames.size(); ++op)
      if (!by_collective || plain(prefix) == plain(kCollectiveNames[op])) set(op, bits);
  }
}

}  // namespace

NcclEnvironment parse_nccl_environment(std::string_view algorithms, std::string_view protocols, NcclVersion version,
                                       const std::string& algorithms_at, const std::string& protocols_at) {
  // What NCCL chooses by itself among send and receive is not forced: the names behind are left out.
  const std::span<const std::string_view> algorithm_names(kAlgorithmNames.data(), kTunedAlgorithms);
  const std::span<const std::string_view> protocol_names(kProtocolNames.data(), kTunedProtocols);
  NcclEnvironment environment{};
  read_lists(algorithms, algorithm_names, "algorithm", version, algorithms_at,
             [&](std::size_t op, std::uint8_t bits) { environment[op].algorithms = bits; });
  read_lists(protocols, protocol_names, "protocol", version, protocols_at,
             [&](std::size_t op, std::uint8_t bits) { environment[op].protocols = bits; });
  return environment;
}

}  // namespace foretrain
