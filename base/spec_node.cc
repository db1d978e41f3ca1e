#include "base/spec_node.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/json_text.h"
#include "base/quantity_text.h"
#include "base/text.h"
#include "base/text_file.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

const Json& json_at(const void* value) { return *static_cast<const Json*>(value); }

std::string on_one_line(const Json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return shortened(value.dump(), 60);
}

std::string joined(std::span<const std::string_view> names) {
  std::string list;
  for (const std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> names) {
  const std::string near = likely_name(word, names);
  return near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near);
}

}  // namespace

struct SpecNode::Document {
  std::string file;
  Json root;
};

SpecNode::SpecNode(std::shared_ptr<const Document> document, const void* value, std::string pointer)
    : document_(std::move(document)), value_(value), pointer_(std::move(pointer)) {}

SpecNode SpecNode::read_file(const std::string& path) { return parse(read_text_file(path, kLargestJsonBytes), path); }

SpecNode SpecNode::parse(std::string_view text, const std::string& name) {
  const auto document = std::make_shared<const Document>(Document{name, parse_json(text, name)});
  return {document, &document->root, ""};
}

std::string SpecNode::where() const { return pointer_.empty() ? file() : file() + ":" + pointer_; }
const std::string& SpecNode::file() const { return document_->file; }
void SpecNode::fail(const std::string& what) const { throw SpecError(where(), what); }
void SpecNode::fail_expected(const std::string& expected) const {
  fail(fmt::format("expected {}; got {}", expected, on_one_line(json_at(value_))));
}

bool SpecNode::is_object() const { return json_at(value_).is_object(); }
bool SpecNode::is_array() const { return json_at(value_).is_array(); }
bool SpecNode::is_string() const { return json_at(value_).is_string(); }
bool SpecNode::is_number() const { return json_at(value_).is_number(); }
bool SpecNode::is_boolean() const { return json_at(value_).is_boolean(); }
bool SpecNode::is_null() const { return json_at(value_).is_null(); }

SpecNode SpecNode::required(std::string_view key) const {
  if (!is_object()) fail_expected(fmt::format("an object with key {}", in_quotes(key)));
  const Json& object = json_at(value_);
  const auto found = object.find(key);
  if (found != object.end()) return {document_, &*found, pointer_ + "/" + pointer_token(key)};
  const std::vector<std::string> present = keys();
  const std::string near = nearest_name(key, present);
  fail(fmt::format("key {} is missing{}", in_quotes(key),
                   near.empty() ? "" : fmt::format("; found {}", in_quotes(near))));
}

std::optional<SpecNode> SpecNode::optional(std::string_view key) const {
  if (!is_object()) fail_expected("an object");
  const Json& object = json_at(value_);
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  return SpecNode(document_, &*found, pointer_ + "/" + pointer_token(key));
}

bool SpecNode::has(std::string_view key) const {
  return is_object() && json_at(value_).find(key) != json_at(value_).end();
}

std::vector<std::string> SpecNode::keys() const {
  if (!is_object()) fail_expected("an object");
  std::vector<std::string> names;
  for (const auto& member : json_at(value_).items()) names.push_back(member.key());
  return names;
}

void SpecNode::allow_only(std::span<const std::string_view> known) const {
  for (const std::string& key : keys()) {
    bool is_known = false;
    for (const std::string_view name : known) is_known = is_known || name == key;
    if (is_known) continue;
    const std::string hint = did_you_mean(key, known);
    fail(fmt::format("unknown key {}{}", in_quotes(key), hint.empty() ? "; known keys: " + joined(known) : hint));
  }
}
void SpecNode::allow_only(std::initializer_list<std::string_view> known) const {
  allow_only(std::span<const std::string_view>(known.begin(), known.size()));
}

std::vector<SpecNode> SpecNode::items() const {
  if (!is_array()) fail_expected("a list");
  std::vector<SpecNode> nodes;
  nodes.reserve(size());
  for (const Json& item : json_at(value_)) {
    nodes.push_back(SpecNode(document_, &item, fmt::format("{}/{}", pointer_, nodes.size())));
  }
  return nodes;
}

std::size_t SpecNode::size() const {
  if (!is_array() && !is_object()) fail_expected("a list or an object");
  return json_at(value_).size();
}

std::string SpecNode::as_string() const {
  if (!is_string()) fail_expected("text");
  return json_at(value_).get<std::string>();
}

bool SpecNode::as_bool() const {
  if (!is_boolean()) fail_expected("true or false");
  return json_at(value_).get<bool>();
}

std::int64_t SpecNode::as_int(IntRange range) const {
  const std::string expected = fmt::format("a whole number from {} to {}", range.least, range.most);
  const Json& value = json_at(value_);
  if (!is_number()) fail_expected(expected);
  std::int64_t whole = 0;
  if (value.is_number_float()) {
    const double real = value.get<double>();
    constexpr double kExactIntegers = 9007199254740992.0;  // 2^53: every whole number below is a double
    if (real != std::floor(real) || std::abs(real) > kExactIntegers) fail_expected(expected);
    whole = static_cast<std::int64_t>(real);
  } else if (value.is_number_unsigned()) {
    const auto count = value.get<std::uint64_t>();
    if (count > static_cast<std::uint64_t>(INT64_MAX)) fail_expected(expected);
    whole = static_cast<std::int64_t>(count);
  } else {
    whole = value.get<std::int64_t>();
  }
  if (whole < range.least || whole > range.most) fail_expected(expected);
  return whole;
}

double SpecNode::as_real(RealRange range) const {
  const std::string expected = fmt::format("a number from {:g} to {:g}", range.least, range.most);
  if (!is_number()) fail_expected(expected);
  const double real = json_at(value_).get<double>();
  if (!(real >= range.least && real <= range.most)) fail_expected(expected);
  return real;
}

double SpecNode::as_quantity(const QuantityUnits& allowed) const {
  const Json& value = json_at(value_);
  if (!value.is_string()) fail(quantity_expected(allowed, on_one_line(value)));
  return parse_quantity(value.get_ref<const std::string&>(), where(), allowed);
}
Bytes SpecNode::as_bytes() const { return Bytes::from_base(as_quantity(kByteUnits)); }
BytesPerSecond SpecNode::as_bytes_per_second() const {
  return BytesPerSecond::from_base(as_quantity(kBytesPerSecondUnits));
}
Seconds SpecNode::as_seconds() const { return Seconds::from_base(as_quantity(kSecondUnits)); }
FlopsPerSecond SpecNode::as_flops_per_second() const {
  return FlopsPerSecond::from_base(as_quantity(kFlopsPerSecondUnits));
}
Hertz SpecNode::as_hertz() const { return Hertz::from_base(as_quantity(kHertzUnits)); }

std::size_t SpecNode::as_choice(std::span<const std::string_view> names, std::string_view what) const {
  if (!is_string()) fail_expected(fmt::format("the name of one {}: {}", what, joined(names)));
  const std::string chosen = as_string();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (to_lower(names[i]) == to_lower(chosen)) return i;
  }
  fail(fmt::format("unknown {} {}{}; known: {}", what, in_quotes(chosen), did_you_mean(chosen, names), joined(names)));
}

std::string SpecNode::dump() const { return json_at(value_).dump(); }

SpecNode with_override(const SpecNode& root, std::string_view dotted_path, std::string_view json_text) {
  require_utf8(dotted_path, "--set");
  require_utf8(json_text, "--set");
  const std::string where = "--set " + shortened(fmt::format("{}={}", dotted_path, json_text), 80);
  Json copy = json_at(root.value_);
  Json* target = &copy;
  std::size_t depth = 0;
  for (std::size_t start = 0; start <= dotted_path.size();) {
    const std::size_t end = std::min(dotted_path.find('.', start), dotted_path.size());
    const std::string key(dotted_path.substr(start, end - start));
    if (key.empty() || ++depth > kDeepestJson) {
      throw SpecError(where, "expected keys with dots between, as in training.global_batch=1024");
    }
    if (target->is_null()) *target = Json::object();
    if (!target->is_object()) {
      throw SpecError(where, fmt::format("cannot put key {} into {}, which is not an object", in_quotes(key),
                                         on_one_line(*target)));
    }
    target = &(*target)[key];
    start = end + 1;
  }
  // Text that starts like a list or an object must be JSON; a name or a quantity may stand without quotes.
  const bool structured = !json_text.empty() && (json_text.front() == '{' || json_text.front() == '[');
  if (structured || Json::accept(json_text)) {
    *target = parse_json(json_text, where);
  } else {
    *target = json_text;
  }
  const auto document = std::make_shared<const SpecNode::Document>(SpecNode::Document{root.file(), std::move(copy)});
  return {document, &document->root, root.pointer_};
}

}  // namespace foretrain
