#include "planner/import/config_tree.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#define TOML_ASSERT(...) static_assert(true)  // it asserts of malformed keys what it then refuses
#include <toml++/toml.h>
#include <yaml-cpp/yaml.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t kLargest = 10'000'000;
constexpr std::size_t kDeepest = 100;

void require_small(std::string_view text, const std::string& file) {
  if (text.size() > kLargest) throw SpecError(file, "is over 10 MB: no trainer's configuration");
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return shortened(text, 200);
}

/// A plain scalar of YAML or Python as JSON.
Json scalar(const std::string& text) {
  const std::string lower = to_lower(text);
  if (lower == "true") return true;
  if (lower == "false") return false;
  if (text == "~" || text.empty() || lower == "null" || lower == "none") return nullptr;
  const char* end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto read = std::from_chars(text.data(), end, whole); read.ec == std::errc{} && read.ptr == end)
    return whole;
  double real = 0;
  if (const auto read = std::from_chars(text.data(), end, real);
      read.ec == std::errc{} && read.ptr == end && std::isfinite(real))
    return real;
  return text;
}

Json from_yaml(const YAML::Node& node, const std::string& file, std::size_t depth, std::size_t& count) {
  const std::string where = fmt::format("{}:{}", file, node.Mark().line + 1);
  if (depth > kDeepest) throw SpecError(where, "nested over 100 deep");
  if (++count > 1'000'000) throw SpecError(where, "holds more than a million values");
  if (node.IsSequence()) {
    Json array = Json::array();
    for (const YAML::Node& item : node) array.push_back(from_yaml(item, file, depth + 1, count));
    return array;
  }
  if (node.IsMap()) {
    Json object = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) throw SpecError(where, "expected a name as key");
      const std::string key = entry.first.Scalar();
      if (object.contains(key)) throw SpecError(where, fmt::format("key {} stands twice", in_quotes(key)));
      object[key] = from_yaml(entry.second, file, depth + 1, count);
    }
    return object;
  }
  if (!node.IsScalar()) return nullptr;
  return node.Tag() == "!" ? Json(node.Scalar()) : scalar(node.Scalar());
}

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

/// A Python literal: text in quotes, a list, a number, True, False, None; other expressions stay text.
Json literal(const std::string& text) {
  const auto depth = static_cast<std::size_t>(std::count(text.begin(), text.end(), '['));
  if (text.size() > 1 && (text[0] == '"' || (text[0] == '[' && depth <= kDeepest))) {
    const Json parsed = Json::parse(text, nullptr, false);
    if (!parsed.is_discarded()) return parsed;
  }
  return scalar(text);
}

/// "name=" at the front of a line of Python; "" when it is none. `line` then starts behind it.
std::string argument_name(std::string& line) {
  std::size_t end = 0;
  while (end < line.size() && (std::isalnum(static_cast<unsigned char>(line[end])) != 0 || line[end] == '_')) ++end;
  if (end == 0 || end >= line.size() || line[end] != '=' || line.substr(end, 2) == "==") return "";
  std::string name = line.substr(0, end);
  line = trimmed(std::string_view(line).substr(end + 1));
  return name;
}

}  // namespace

SpecNode read_toml(std::string_view text, const std::string& file) {
  require_small(text, file);
  try {
    const toml::table table = toml::parse(text, file);
    std::ostringstream stream;
    stream << toml::json_formatter{table};
    return SpecNode::parse(stream.str(), file);
  } catch (const toml::parse_error& error) {
    throw SpecError(fmt::format("{}:{}", file, error.source().begin.line),
                    "expected TOML: " + one_line(std::string(error.description())));
  }
}

SpecNode read_yaml(std::string_view text, const std::string& file) {
  require_small(text, file);
  // yaml-cpp builds nodes by recursion: what opens more brackets than any configuration has is refused before.
  std::int64_t open = 0;
  for (const char c : text) {
    open += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
    if (open > static_cast<std::int64_t>(kDeepest)) throw SpecError(file, "nested over 100 deep");
  }
  try {
    std::size_t count = 0;
    const Json tree = from_yaml(YAML::Load(std::string(text)), file, 0, count);
    return SpecNode::parse(tree.dump(), file);
  } catch (const YAML::Exception& error) {
    throw SpecError(fmt::format("{}:{}", file, error.mark.line + 1), "expected YAML: " + one_line(error.msg));
  } catch (const Json::exception&) {
    throw SpecError(file, "expected text in UTF-8");
  }
}

SpecNode read_recipe(std::string_view text, const std::string& file) {
  require_small(text, file);
  Json root = Json::object();
  std::vector<std::string> path;  // arguments whose calls are open; "" for a call without a name
  std::int64_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line[0] == '#') continue;
    if (line == ")" || line == ")," || line == "):") {
      if (path.empty()) throw SpecError(fmt::format("{}:{}", file, number), "a bracket closes nothing");
      path.pop_back();
      continue;
    }
    const std::string name = argument_name(line);
    const bool opens = line.ends_with('(') && line.find('#') == std::string::npos;
    if (path.size() > kDeepest) throw SpecError(fmt::format("{}:{}", file, number), "nested over 100 deep");
    if (opens) {
      path.push_back(name);
      continue;
    }
    if (name.empty()) continue;
    if (line.ends_with(',')) line.pop_back();
    // The innermost named call holds the argument.
    std::string holder;
    for (const std::string& part : path)
      if (!part.empty()) holder = part;
    Json& object = holder.empty() ? root : root[holder];
    if (!object.is_null() && !object.is_object())
      throw SpecError(fmt::format("{}:{}", file, number), holder + " is a value above and a call here");
    object[name] = literal(line);
  }
  if (!path.empty()) throw SpecError(fmt::format("{}:{}", file, number), "a bracket is not closed");
  return SpecNode::parse(root.dump(-1, ' ', false, Json::error_handler_t::replace), file);
}

}  // namespace foretrain
