#include "validate/calibrate/nccl_log.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

using Tokens = std::vector<std::string_view>;

Tokens split(std::string_view text) {
  Tokens tokens;
  for (std::size_t i = 0; i < text.size();) {
    while (i < text.size() && (text[i] == ' ' || text[i] == '\t')) ++i;
    const std::size_t first = i;
    while (i < text.size() && text[i] != ' ' && text[i] != '\t') ++i;
    if (i > first) tokens.push_back(text.substr(first, i - first));
  }
  return tokens;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_count(std::string_view token) {
  return !token.empty() && std::all_of(token.begin(), token.end(), [](char c) { return c >= '0' && c <= '9'; });
}
bool is_word(std::string_view token) {
  return !token.empty() && std::isalpha(static_cast<unsigned char>(token.front())) != 0;
}

/// Takes away "[1,0]<stdout>:", "12: " and "host: " where a line of nccl-tests follows, and blanks around.
std::string_view content_of(std::string_view line) {
  const auto trim = [](std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
    return s;
  };
  line = trim(line);
  const std::size_t tag = line.find(">:");
  if (line.starts_with("[") && tag != std::string_view::npos && line.find("]<std") < tag)
    return trim(line.substr(tag + 2));
  const std::size_t colon = line.find(": ");
  if (colon == std::string_view::npos || line.find(' ') < colon || line.starts_with("#")) return line;
  const std::string_view rest = trim(line.substr(colon + 2));
  const bool ours = rest.starts_with("#") || (!rest.empty() && std::isdigit(static_cast<unsigned char>(rest[0])) != 0);
  return ours ? rest : line;
}

/// "all_reduce_perf" in a command line or header, without the folders before it.
std::string program_in(std::string_view line) {
  const std::size_t end = line.find("_perf");
  if (end == std::string_view::npos) return {};
  std::size_t first = end;
  const auto in_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  while (first > 0 && in_name(line[first - 1])) --first;
  return std::string(line.substr(first, end + 5 - first));
}

std::optional<NcclRank> rank_in(const Tokens& t) {
  if (t.size() < 7 || t[1] != "Rank") return std::nullopt;
  NcclRank rank;
  const auto number_of = number<std::int64_t>(t[2]);
  const auto on = std::find(t.begin(), t.end(), "on");
  if (!number_of || t.end() - on < 5 || on[2] != "device") return std::nullopt;
  const auto device = number<std::int64_t>(on[3]);
  if (!device) return std::nullopt;
  rank = {.rank = *number_of, .host = std::string(on[1]), .device = *device, .gpu = {}};
  for (auto word = on + 5; word < t.end(); ++word) rank.gpu += (rank.gpu.empty() ? "" : " ") + std::string(*word);
  return rank;
}

/// What the columns of a table are, in order; a second "time" begins the in-place half.
struct Columns {
  std::vector<std::string> names;
  bool milliseconds = false;  ///< the generation of 2017
};

/// Without a header: bytes, count, type, words (redop, root), then two halves of four.
Columns guessed_columns(const Tokens& t) {
  Columns c;
  c.names = {"size", "count", "type"};
  const std::size_t extra = t.size() > 11 ? t.size() - 11 : 0;
  if (t.size() < 11 || extra > 2) return {};
  if (extra >= 1) c.names.emplace_back(is_word(t[3]) ? "redop" : "root");
  if (extra == 2) c.names.emplace_back("root");
  for (int half = 0; half < 2; ++half)
    for (const char* name : {"time", "algbw", "busbw", "error"}) c.names.emplace_back(name);
  return c;
}

struct Halves {
  NcclTiming timing[2];
  bool seen[2] = {false, false};
};

/// One row, or nothing where a column is not what it should be.
std::optional<NcclRow> row_in(const Tokens& t, const Columns& columns) {
  if (t.size() < columns.names.size()) return std::nullopt;
  NcclRow row;
  Halves halves;
  int half = -1;
  for (std::size_t i = 0; i < columns.names.size(); ++i) {
    const std::string& name = columns.names[i];
    const std::string_view token = t[i];
    if (name == "type") {
      if (!is_word(token)) return std::nullopt;
      row.type = token;
    } else if (name == "redop" || name == "op") {
      row.redop = token;
    } else if (name == "timestamp") {
      continue;
    } else if (name == "#wrong" || name == "error" || name == "res") {
      const auto value = number<double>(token);
      if (!value && token != "N/A") return std::nullopt;
      // "error" and "res" are the largest deviation of a sum, not a count.
      if (value && half >= 0 && name == "#wrong") halves.timing[half].wrong = *value;
    } else {
      const auto value = number<double>(token);
      if (!value || !std::isfinite(*value)) return std::nullopt;
      if (name == "size" || name == "bytes") row.bytes = std::llround(*value);
      if (name == "count" || name == "N") row.count = std::llround(*value);
      if (name == "root") row.root = std::llround(*value);
      if (name == "time" || name == "cputime") {
        if (++half > 1) return std::nullopt;
        halves.timing[half].time_us = *value * (columns.milliseconds ? 1000 : 1);
        halves.seen[half] = true;
      }
      if (name == "algbw" && half >= 0) halves.timing[half].alg_gb_per_s = *value;
      if (name == "busbw" && half >= 0) halves.timing[half].bus_gb_per_s = *value;
    }
  }
  if (row.bytes < 0 || !halves.seen[0]) return std::nullopt;
  row.out_of_place = halves.timing[0];
  if (halves.seen[1]) row.in_place = halves.timing[1];
  return row;
}

class TextReader {
 public:
  TextReader(std::string_view text, const std::string& path) : path_(path), text_(text) {
    last_content_ = text.find_last_not_of(" \t\r\n");
  }

  NcclLog read() {
    for (std::size_t at = 0; at < text_.size();) {
      const std::size_t end = std::min(text_.find('\n', at), text_.size());
      ++line_;
      is_last_ = last_content_ != std::string_view::npos && last_content_ < end + 1 && last_content_ >= at;
      take(content_of(text_.substr(at, end - at)));
      at = end + 1;
    }
    finish_table(true);
    if (log_.tables.empty())
      throw SpecError(fmt::format("{}:{}", path_, first_table_line_ > 0 ? first_table_line_ : 1),
                      first_table_line_ > 0
                          ? "expected rows of sizes and times after the table's header; the log ends"
                          : "expected nccl-tests output: a table with size, count, type, time, algbw and busbw");
    return std::move(log_);
  }

 private:
  void take(std::string_view line) {
    if (line.empty()) return;
    // The first release printed some of its comments without their mark.
    if (line.front() == '#' || line.starts_with("nThread ") || line.starts_with("Out of bounds values"))
      return comment(line);
    const Tokens t = split(line);
    if (is_count(t[0]) && (columns_.names.size() > 3 || (t.size() >= 11 && is_count(t[1]) && is_word(t[2]))))
      return row(t);
    const std::string program = program_in(line);
    const bool environment = line.find("NCCL_ALGO") != std::string_view::npos ||
                             line.find("NCCL_PROTO") != std::string_view::npos ||
                             line.find("NCCL version ") != std::string_view::npos;
    if (!program.empty() && !table_.rows.empty()) finish_table(true);
    if (environment) settings(line);
    if (!program.empty()) table_.program = program;
  }

  void comment(std::string_view line) {
    const Tokens t = split(line.size() > 1 && line[0] == '#' && line[1] != ' ' ? line.substr(1) : line);
    const bool starts_run = line.find("nccl-tests version") != std::string_view::npos ||
                            line.find("Collective test starting") != std::string_view::npos ||
                            line.find("nThread ") != std::string_view::npos ||
                            line.find("Using devices") != std::string_view::npos;
    if (starts_run && !table_.rows.empty()) finish_table(true);
    if (starts_run) run(line, t);
    if (const auto rank = rank_in(t)) {
      if (!table_.rows.empty()) finish_table(true);
      table_.ranks.push_back(*rank);
    }
    const auto algbw = std::find(t.begin(), t.end(), "algbw");
    if (algbw != t.end()) header(t);
    if (line.find("Out of bounds values") != std::string_view::npos) {
      if (line.find("FAILED") != std::string_view::npos)
        log_.warnings.push_back(fmt::format("{}:{}: results were wrong: rows that say so are left out", path_, line_));
      finish_table(false);
    }
  }

  /// A command line or what NCCL_DEBUG prints: "NCCL_ALGO=Ring", "NCCL_ALGO set by environment to Ring", "NCCL version
  /// 2.18.3+cuda12.2".
  void settings(std::string_view line) {
    const auto value_of = [&](std::string_view name) {
      const std::size_t at = line.find(name);
      if (at == std::string_view::npos) return std::string();
      std::string_view rest = line.substr(at + name.size());
      constexpr std::string_view kSaid = " set by environment to ";
      if (rest.starts_with("="))
        rest.remove_prefix(1);
      else if (rest.starts_with(kSaid))
        rest.remove_prefix(kSaid.size());
      else
        return std::string();
      const bool quoted = !rest.empty() && (rest.front() == '"' || rest.front() == '\'');
      const std::size_t end = quoted ? rest.find(rest.front(), 1) : rest.find_first_of(" \t");
      return std::string(quoted ? rest.substr(1, end == std::string_view::npos ? end : end - 1) : rest.substr(0, end));
    };
    if (const std::string value = value_of("NCCL_ALGO"); !value.empty()) table_.algorithm = value;
    if (const std::string value = value_of("NCCL_PROTO"); !value.empty()) table_.protocol = value;
    constexpr std::string_view kVersion = "NCCL version ";
    if (const std::size_t at = line.find(kVersion); at != std::string_view::npos) {
      const std::string_view rest = line.substr(at + kVersion.size());
      table_.nccl = rest.substr(0, rest.find_first_not_of("0123456789."));
    }
  }

  void run(std::string_view line, const Tokens& t) {
    if (line.find("nccl-tests version") != std::string_view::npos) {
      table_.version = line.substr(line.find("nccl-tests"));
      constexpr std::string_view kLibrary = "nccl-library=";  // 23102: 2.31.2
      if (const std::size_t at = line.find(kLibrary); at != std::string_view::npos) {
        const std::string_view rest = line.substr(at + kLibrary.size());
        const auto code = number<std::int64_t>(rest.substr(0, rest.find_first_not_of("0123456789")));
        if (code) table_.nccl = nccl_version_text(*code);
      }
    }
    if (line.find("Collective test starting") != std::string_view::npos) table_.program = program_in(line);
    std::int64_t threads = 0, gpus = 0;
    for (std::size_t i = 0; i + 1 < t.size(); ++i) {
      if (t[i] == "nThread") threads = number<std::int64_t>(t[i + 1]).value_or(0);
      if (t[i] == "nGpus") gpus = number<std::int64_t>(t[i + 1]).value_or(0);
    }
    constexpr std::int64_t kMost = 1024;
    if (threads > 0 && gpus > 0 && threads <= kMost && gpus <= kMost) table_.gpus_per_process = threads * gpus;
  }

  void header(const Tokens& t) {
    if (!table_.rows.empty()) finish_table(true);
    columns_ = {};
    for (const std::string_view token : t)
      if (token != "#") columns_.names.emplace_back(token);
    columns_.milliseconds = columns_.names.front() == "bytes";
    table_.has_root_column = std::find(columns_.names.begin(), columns_.names.end(), "root") != columns_.names.end();
    if (first_table_line_ == 0) first_table_line_ = line_;
  }

  void row(const Tokens& t) {
    const Columns columns = columns_.names.empty() ? guessed_columns(t) : columns_;
    auto row = columns.names.empty() ? std::nullopt : row_in(t, columns);
    if (!row) {
      const std::string where = fmt::format("{}:{}", path_, line_);
      if (!is_last_)
        throw SpecError(where, fmt::format("expected a row of {} columns ({}); got {}", columns.names.size(),
                                           fmt::join(columns.names, " "), in_quotes(joined(t))));
      log_.warnings.push_back(where + ": the log ends in the middle of this row; those before it are kept");
      log_.cut_at = where;
      log_.cut_expected = fmt::format("expected a row of {} columns ({}); the log ends in the middle of it",
                                      columns.names.size(), fmt::join(columns.names, " "));
      cut_ = true;
      return;
    }
    row->line = line_;
    table_.rows.push_back(std::move(*row));
  }

  static std::string joined(const Tokens& t) { return fmt::format("{}", fmt::join(t, " ")); }

  /// `open`: the footer that ends a table was not seen.
  void finish_table(bool open) {
    if (!table_.rows.empty()) {
      if (open && !cut_)
        log_.warnings.push_back(fmt::format("{}:{}: the table ends without its footer; its {} rows are kept", path_,
                                            line_, table_.rows.size()));
      log_.tables.push_back(table_);
      NcclTable next;  // what the environment set holds on
      next.nccl = table_.nccl;
      next.algorithm = table_.algorithm;
      next.protocol = table_.protocol;
      table_ = std::move(next);
      columns_ = {};
    }
    cut_ = false;
  }

  const std::string& path_;
  std::string_view text_;
  std::size_t last_content_ = 0;
  std::int64_t line_ = 0, first_table_line_ = 0;
  bool is_last_ = false, cut_ = false;
  NcclTable table_;
  Columns columns_;
  NcclLog log_;
};

}  // namespace

NcclLog read_nccl_text(std::string_view text, const std::string& path) { return TextReader(text, path).read(); }

bool looks_like_nccl_text(std::string_view text) {
  const bool table = text.find("algbw") != std::string_view::npos && text.find("busbw") != std::string_view::npos;
  return table || text.find("_perf") != std::string_view::npos ||
         text.find("Out of bounds values") != std::string_view::npos ||
         text.find("Avg bus bandwidth") != std::string_view::npos;
}

std::string nccl_version_text(std::int64_t code) {
  // NCCL_VERSION_CODE (nccl.h): 1000 a major version up to 2.8, 10000 since.
  const std::int64_t major = code < 10000 ? 1000 : 10000;
  return code < 1000 ? std::string() : fmt::format("{}.{}.{}", code / major, code % major / 100, code % 100);
}

NcclLog read_nccl_file(const std::string& path) {
  std::error_code error;
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path, error)) throw SpecError(path, "cannot read this file");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw SpecError(path, "cannot read this file");
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    const SpecNode file = SpecNode::parse(text, path);
    if (!is_nccl_json(file))
      file.fail_expected("what nccl-tests -J writes: an object with version, config and results");
    return read_nccl_json(file);
  }
  NcclLog log = read_nccl_text(text, path);
  if (!log.cut_at.empty()) throw SpecError(log.cut_at, log.cut_expected);
  return log;
}

std::int64_t rank_count(const NcclTable& table) {
  std::int64_t most = -1;
  for (const NcclRank& rank : table.ranks) most = std::max(most, rank.rank);
  return most + 1;
}

}  // namespace foretrain
