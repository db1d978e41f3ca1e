#include "planner/import/megatron_flags.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/data_dir.h"
#include "base/json_text.h"
#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

constexpr std::string_view kTable = "planner/catalogue/megatron_lm_flags.tsv";

/// Groups of arguments (the table's third column) that change what is learnt, kept or logged, not how fast.
constexpr std::string_view kSilentGroups[] = {"CheckpointConfig",
                                              "LoggerConfig",
                                              "TokenizerConfig",
                                              "SchedulerConfig",
                                              "ValidationConfig",
                                              "RNGConfig",
                                              "ProfilingConfig",
                                              "StragglerDetectionConfig",
                                              "RerunStateMachineConfig",
                                              "_add_data_args",
                                              "_add_checkpointing_args",
                                              "_add_learning_rate_args",
                                              "_add_logging_args",
                                              "_add_one_logger_args",
                                              "_add_msc_args",
                                              "_add_autoresume_args",
                                              "_add_inprocess_restart_args",
                                              "_add_ft_package_args",
                                              "_add_regularization_args",
                                              "DistributedInitConfig",
                                              "TrainingConfig",
                                              "FaultInjectorConfig"};

/// What stands between quotes in "Literal['a', 'b']" or "['a', 'b']"; numbers of "[0, 1]".
std::vector<std::string> choices_in(std::string_view text) {
  std::vector<std::string> choices;
  const std::size_t open = text.find('['), close = text.rfind(']');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return choices;
  std::string word;
  for (const char c : text.substr(open + 1, close - open)) {
    if (c == ',' || c == ']') {
      if (!word.empty()) choices.push_back(word);
      word.clear();
    } else if (c != '\'' && c != ' ' && c != '[') {
      word += c;
    }
  }
  return choices;
}

MegatronFlag read_flag(const nlohmann::ordered_json& json) {
  const auto text = [&](const char* key) { return json.contains(key) ? json[key].get<std::string>() : std::string(); };
  MegatronFlag flag;
  const std::string action = text("action"), type = text("type"), nargs = text("nargs");
  if (action.starts_with("store_") || action == "argparse.BooleanOptionalAction") flag.kind = FlagKind::flag;
  const std::string lower = to_lower(type);
  if (flag.kind != FlagKind::flag && (!nargs.empty() || lower.find("list[") != std::string::npos))
    flag.kind = FlagKind::list;
  if (lower.find("literal") != std::string::npos) {
    flag.choices = choices_in(std::string_view(type).substr(lower.find("literal")));
  } else if (!text("choices").empty()) {
    flag.choices = choices_in(text("choices"));
  }
  const auto holds = [&](const char* word) { return lower.find(word) != std::string::npos; };
  flag.type = !flag.choices.empty()             ? "choice"
              : holds("int") && !holds("parse") ? "int"
              : holds("float")                  ? "float"
                                                : "str";
  return flag;
}

std::map<std::string, MegatronFlag, std::less<>> read_table() {
  std::map<std::string, MegatronFlag, std::less<>> flags;
  const std::string path = data_file(kTable);
  std::ifstream stream(path);
  for (std::string row; std::getline(stream, row);) {
    if (!row.starts_with("--")) continue;
    const std::size_t first = row.find('\t'), second = row.find('\t', first + 1);
    MegatronFlag flag = read_flag(parse_json(row.substr(first + 1, second - first - 1), path));
    const std::string_view group = std::string_view(row).substr(second + 1);
    for (const std::string_view silent : kSilentGroups) flag.is_silent = flag.is_silent || group.starts_with(silent);
    const bool negates = row.find("BooleanOptionalAction") != std::string::npos;
    std::istringstream names(row.substr(0, first));
    for (std::string name; names >> name;) {
      flags[name] = flag;
      if (negates) flags["--no-" + name.substr(2)] = flag;
    }
  }
  if (flags.empty()) throw MachineError(path + ": holds no flags");
  return flags;
}

bool is_whole(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}
std::optional<double> as_real(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}
bool looks_like_flag(const std::string& text) {
  return text.size() > 2 && text[0] == '-' && text[1] == '-' && !as_real(text);
}

}  // namespace

const std::map<std::string, MegatronFlag, std::less<>>& megatron_flags() {
  static const std::map<std::string, MegatronFlag, std::less<>> flags = read_table();
  return flags;
}

std::string why_not_legal(const MegatronFlag& flag, std::string_view value) {
  const std::string got = "; got " + in_quotes(value);
  if (!flag.choices.empty() && std::find(flag.choices.begin(), flag.choices.end(), value) == flag.choices.end())
    return fmt::format("expected one of {}{}", fmt::join(flag.choices, ", "), got);
  if (flag.type == "int" && !is_whole(value)) return "expected a whole number" + got;
  if (flag.type == "float" && !as_real(value)) return "expected a number" + got;
  return "";
}

MegatronCommandLine::MegatronCommandLine(std::span<const ShellWord> words, const std::string& file) : file_(file) {
  const auto& flags = megatron_flags();
  for (std::size_t i = 0; i < words.size();) {
    const ShellWord& word = words[i++];
    const std::string where = fmt::format("{}:{}", file, word.line);
    if (word.text.empty() || word.text[0] == kUnknown) continue;  // a variable for more arguments, not set here
    if (!looks_like_flag(word.text))
      throw SpecError(where, fmt::format("expected a flag of Megatron-LM; got {}", in_quotes(word.text)));
    const std::size_t equals = word.text.find('=');
    const std::string name = word.text.substr(0, equals);
    const auto known = flags.find(name);
    if (known == flags.end()) {
      std::vector<std::string> names;
      for (const auto& entry : flags) names.push_back(entry.first);
      const std::string near = likely_name(name, names);
      throw SpecError(where, fmt::format("Megatron-LM has no flag {}{}", in_quotes(name),
                                         near.empty() ? "" : fmt::format("; did you mean {}?", near)));
    }
    Given given{.values = {}, .line = word.line};
    if (equals != std::string::npos) given.values.push_back({word.text.substr(equals + 1), word.line});
    const std::size_t most = known->second.kind == FlagKind::flag    ? 0
                             : known->second.kind == FlagKind::value ? 1
                                                                     : words.size();
    while (given.values.size() < most && i < words.size() && !looks_like_flag(words[i].text))
      given.values.push_back(words[i++]);
    if (most > 0 && given.values.empty()) throw SpecError(where, fmt::format("{} needs a value", name));
    if (most == 0 && !given.values.empty()) throw SpecError(where, fmt::format("{} takes no value", name));
    for (const ShellWord& value : given.values) {
      if (value.text.find(kUnknown) != std::string::npos) continue;
      if (const std::string why = why_not_legal(known->second, value.text); !why.empty())
        throw SpecError(fmt::format("{}:{}", file, value.line), fmt::format("{}: {}", name, why));
    }
    given_[name] = std::move(given);
  }
}

const MegatronCommandLine::Given* MegatronCommandLine::find(std::string_view flag) const {
  const auto found = given_.find(flag);
  if (found == given_.end()) return nullptr;
  found->second.is_used = true;
  return &found->second;
}

bool MegatronCommandLine::has(std::string_view flag) const { return find(flag) != nullptr; }

std::vector<std::string> MegatronCommandLine::texts(std::string_view flag) const {
  std::vector<std::string> texts;
  const Given* given = find(flag);
  if (given == nullptr) return texts;
  for (const ShellWord& value : given->values) {
    if (const std::string part = unknown_part(value); !part.empty())
      fail(flag, fmt::format("{} is not known here; set it in the environment's place: write {}=VALUE into the script",
                             part, part.starts_with('$') ? part.substr(1) : "a variable"));
    texts.push_back(value.text);
  }
  return texts;
}
std::optional<std::string> MegatronCommandLine::text(std::string_view flag) const {
  const std::vector<std::string> all = texts(flag);
  return all.empty() ? std::nullopt : std::optional(all.front());
}
std::optional<std::int64_t> MegatronCommandLine::number(std::string_view flag) const {
  const auto value = text(flag);
  if (!value) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  constexpr std::int64_t kMost = 1'000'000'000;  // so that products of two stay whole numbers
  if (error != std::errc{} || end != value->data() + value->size() || number < 0 || number > kMost)
    fail(flag, fmt::format("expected a whole number from 0 to {}; got {}", kMost, in_quotes(*value)));
  return number;
}
std::optional<double> MegatronCommandLine::real(std::string_view flag) const {
  const auto value = text(flag);
  if (!value) return std::nullopt;
  return as_real(*value);
}
std::int64_t MegatronCommandLine::number_or(std::string_view flag, std::int64_t otherwise) const {
  return number(flag).value_or(otherwise);
}
std::int64_t MegatronCommandLine::required(std::string_view flag) const {
  const auto value = number(flag);
  if (!value) throw SpecError(file_, fmt::format("the arguments of Megatron-LM lack {}", flag));
  return *value;
}
std::vector<std::string> MegatronCommandLine::unused() const {
  std::vector<std::string> names;
  for (const auto& entry : given_)
    if (!entry.second.is_used && !megatron_flags().find(entry.first)->second.is_silent) names.push_back(entry.first);
  return names;
}
void MegatronCommandLine::fail(std::string_view flag, const std::string& what) const {
  const auto found = given_.find(flag);
  const std::string where = found == given_.end() ? file_ : fmt::format("{}:{}", file_, found->second.line);
  throw SpecError(where, fmt::format("{}: {}", flag, what));
}

}  // namespace foretrain
