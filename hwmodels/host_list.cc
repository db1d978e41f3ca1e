#include "hwmodels/host_list.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <unordered_set>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 12 || error != std::errc() || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

void check_host_name(std::string_view name, const std::string& where) {
  const auto fits = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_' || c == ':';
  };
  if (name.empty() || name.size() > 253 || !std::all_of(name.begin(), name.end(), fits))
    throw SpecError(where, fmt::format("expected the name of a host; got {}", in_quotes(name)));
}

/// A name in two parts: text, and what the bracket behind it stands for ({""} without one).
struct Piece {
  std::string text;
  std::vector<std::string> numbers{""};
};

/// "01-03,07" -> 01 02 03 07.
std::vector<std::string> read_bracket(std::string_view inside, const std::string& where) {
  std::vector<std::string> numbers;
  for (std::size_t start = 0; start <= inside.size();) {
    const std::size_t end = std::min(inside.find(',', start), inside.size());
    const std::string_view part = inside.substr(start, end - start);
    const std::size_t dash = part.find('-');
    const std::string_view first = part.substr(0, dash);
    const std::string_view last = dash == part.npos ? first : part.substr(dash + 1);
    const auto from = whole_number(first), to = whole_number(last);
    if (!from || !to || *to < *from)
      throw SpecError(
          where, fmt::format("expected numbers or ranges, [01-04,07], in a list of hosts; got {}", in_quotes(part)));
    if (static_cast<std::size_t>(*to - *from) + numbers.size() >= kMostHosts)
      throw SpecError(where, fmt::format("expected at most {} hosts; got more", kMostHosts));
    for (std::int64_t i = *from; i <= *to; ++i) numbers.push_back(fmt::format("{:0{}}", i, first.size()));
    start = end + 1;
  }
  return numbers;
}

void add_names(const std::vector<Piece>& pieces, const std::string& where, std::vector<std::string>& hosts) {
  std::size_t count = 1;
  for (const Piece& piece : pieces) {
    count *= piece.numbers.size();
    if (count + hosts.size() > kMostHosts)
      throw SpecError(where, fmt::format("expected at most {} hosts; got more", kMostHosts));
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::string name;
    std::size_t block = count, rest = i;
    for (const Piece& piece : pieces) {
      block /= piece.numbers.size();
      name += piece.text + piece.numbers[rest / block];
      rest %= block;
    }
    check_host_name(name, where);
    hosts.push_back(std::move(name));
  }
}

void check_distinct(const std::vector<std::string>& hosts, const std::string& where) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& host : hosts)
    if (!seen.insert(host).second) throw SpecError(where, fmt::format("host {} stands twice", in_quotes(host)));
}

/// Where the last number of a name begins.
std::size_t number_begins(const std::string& name) {
  std::size_t end = name.size();
  while (end > 0 && is_digit(name[end - 1])) --end;
  return name.size() - end > 12 ? name.size() - 12 : end;
}

}  // namespace

std::vector<std::string> parse_host_list(std::string_view text, const std::string& where) {
  std::vector<std::string> hosts;
  std::vector<Piece> pieces(1);
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    if (c == ',') {
      add_names(pieces, where, hosts);
      pieces.assign(1, {});
    } else if (c == '[') {
      const std::size_t end = text.find(']', i);
      if (end == text.npos) throw SpecError(where, fmt::format("a bracket without its end in {}", in_quotes(text)));
      pieces.back().numbers = read_bracket(text.substr(i + 1, end - i - 1), where);
      pieces.emplace_back();
      i = end;
    } else {
      pieces.back().text += c;
    }
  }
  check_distinct(hosts, where);
  return hosts;
}

std::string host_list(const std::vector<std::string>& hosts) {
  std::string list;
  for (std::size_t i = 0; i < hosts.size();) {
    const std::size_t at = number_begins(hosts[i]);
    const std::string text = hosts[i].substr(0, at);
    const std::size_t width = hosts[i].size() - at;
    std::string ranges;
    std::size_t next = i, count = 0;
    while (next < hosts.size() && width > 0) {
      const auto same_text = [&](std::size_t k) {
        return k < hosts.size() && number_begins(hosts[k]) == at && hosts[k].substr(0, at) == text;
      };
      if (!same_text(next)) break;
      std::size_t last = next;
      // A range counts on as its first number is written: 08-11, 8-11, but not 09-9.
      while (same_text(last + 1) &&
             hosts[last + 1].substr(at) ==
                 fmt::format("{:0{}}",
                             *whole_number(hosts[next].substr(at)) + static_cast<std::int64_t>(last + 1 - next),
                             hosts[next].size() - at))
        ++last;
      const std::string first_number = hosts[next].substr(at);
      ranges += (ranges.empty() ? "" : ",") + first_number;
      if (last > next) ranges += "-" + hosts[last].substr(at);
      count += last - next + 1;
      next = last + 1;
    }
    list += list.empty() ? "" : ",";
    if (count > 1) {
      list += text + "[" + ranges + "]";
      i = next;
    } else {
      list += hosts[i++];
    }
  }
  return list;
}

std::vector<HostSlots> parse_hostfile(std::string_view text, const std::string& file) {
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
  std::vector<HostSlots> hosts;
  std::vector<std::string> names;
  std::size_t number = 0;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = text.substr(start, end - start);
    start = end + 1;
    ++number;
    line = line.substr(0, line.find('#'));
    std::vector<std::string> words;
    for (std::size_t i = 0; i < line.size();) {
      const std::size_t word = line.find_first_not_of(" \t\r", i);
      if (word == line.npos) break;
      i = std::min(line.find_first_of(" \t\r", word), line.size());
      words.emplace_back(line.substr(word, i - word));
    }
    if (words.empty()) continue;
    const std::string where = fmt::format("{}:{}", file, number);
    HostSlots host{words[0], 0};
    std::string slots;
    bool says = false;
    if (const std::size_t colon = words[0].find(':'); colon != words[0].npos) {
      host.host = words[0].substr(0, colon);
      slots = words[0].substr(colon + 1);
      says = true;
    }
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (words[i].compare(0, 6, "slots=") == 0) {
        slots = words[i].substr(6);
        says = true;
      } else if (words[i].compare(0, 10, "max_slots=") != 0 && words[i].compare(0, 10, "max-slots=") != 0) {
        throw SpecError(where, fmt::format("expected \"host slots=8\"; got {} after the host", in_quotes(words[i])));
      }
    }
    const auto count = whole_number(slots);
    if (says && (!count || *count < 1 || *count > 1024))
      throw SpecError(where, fmt::format("expected slots from 1 to 1024; got {}", in_quotes(slots)));
    host.slots = count.value_or(0);
    check_host_name(host.host, where);
    if (hosts.size() >= kMostHosts)
      throw SpecError(where, fmt::format("expected at most {} hosts; got more", kMostHosts));
    names.push_back(host.host);
    hosts.push_back(std::move(host));
  }
  if (hosts.empty()) throw SpecError(file, "expected hosts, one a line; found none");
  check_distinct(names, file);
  return hosts;
}

}  // namespace foretrain
