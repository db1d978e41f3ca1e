#include "base/json_text.h"

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

/// "name:line:column" of the byte at `offset`; both count from one, columns in bytes.
std::string place_of(std::string_view text, std::size_t offset, const std::string& name) {
  std::size_t line = 1;
  std::size_t line_start = 0;
  for (std::size_t i = 0; i < offset && i < text.size(); ++i) {
    if (text[i] != '\n') continue;
    ++line;
    line_start = i + 1;
  }
  return fmt::format("{}:{}:{}", name, line, offset - line_start + 1);
}

/// Bytes of the well-formed UTF-8 character at `text[i]`, or 0. Source: The Unicode Standard 15.0, table 3-7.
std::size_t utf8_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) {
    return i + k < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[i + k])) : 0U;
  };
  const auto follows = [&](std::size_t k) { return (byte(k) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2) return 0;
  if (first < 0xE0) return follows(1) ? 2 : 0;
  if (first < 0xF0) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) >= 0xA0;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first > 0xF4) return 0;
  const bool overlong = first == 0xF0 && byte(1) < 0x90;
  const bool beyond = first == 0xF4 && byte(1) >= 0x90;
  return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
}

/// Builds the document from the parser's events; keeps what is needed to name a place.
class DocumentBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit DocumentBuilder(std::string name) : name_(std::move(name)) {}

  Json take_root() { return std::move(root_); }
  /// What stopped the parser: byte position (one past the last byte read) and the parser's own words.
  struct Stop {
    std::size_t position;
    std::string message;
  };
  [[nodiscard]] const std::optional<Stop>& stop() const { return stop_; }
  [[nodiscard]] bool too_deep() const { return too_deep_; }

  bool null() override { return place(nullptr); }
  bool boolean(bool value) override { return place(value); }
  bool number_integer(number_integer_t value) override { return place(value); }
  bool number_unsigned(number_unsigned_t value) override { return place(value); }
  bool number_float(number_float_t value, const string_t&) override { return place(value); }
  bool string(string_t& value) override { return place(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // no such thing in text
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    Level& level = open_.back();
    level.key = name;
    if (level.keys.insert(name).second) return true;
    throw SpecError(where(), fmt::format("key {} stands twice in this object", in_quotes(name)));
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& problem) override {
    stop_ = Stop{position, problem.what()};
    return false;
  }

 private:
  struct Level {
    Json value;
    std::string key;             // of the member being read, when an object
    std::set<std::string> keys;  // seen so far
  };

  /// "file:/pointer" of the innermost open object or array.
  [[nodiscard]] std::string where() const {
    std::string pointer;
    for (std::size_t i = 0; i + 1 < open_.size(); ++i) {
      const Level& level = open_[i];
      pointer += "/" + (level.value.is_array() ? std::to_string(level.value.size()) : pointer_token(level.key));
    }
    return pointer.empty() ? name_ : name_ + ":" + pointer;
  }
  bool place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = open_.back();
    if (level.value.is_array()) {
      level.value.get_ref<Json::array_t&>().push_back(std::move(value));
    } else {
      // emplace_back of the underlying vector: key() has seen that the key is new.
      Json::object_t& object = level.value.get_ref<Json::object_t&>();
      object.Json::object_t::Container::emplace_back(level.key, std::move(value));
    }
    return true;
  }
  bool open(Json empty) {
    if (open_.size() == kDeepestJson) {
      too_deep_ = true;
      return false;
    }
    open_.push_back(Level{std::move(empty), {}, {}});
    return true;
  }
  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return place(std::move(value));
  }

  std::string name_;
  Json root_;
  std::vector<Level> open_;
  std::optional<Stop> stop_;
  bool too_deep_ = false;
};

/// The part of nlohmann's message after "[json.exception...] parse error at line 1, column 2: ".
std::string without_preamble(const std::string& message) {
  for (const std::string_view opening : {"syntax error while parsing ", "] "}) {
    const std::size_t at = message.find(opening);
    if (at != std::string::npos) return message.substr(at + opening.size());
  }
  return message;
}

}  // namespace

void require_utf8(std::string_view text, const std::string& name) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    if (length == 0) {
      throw SpecError(place_of(text, i, name),
                      fmt::format("expected UTF-8; got byte 0x{:02x}", static_cast<unsigned char>(text[i])));
    }
    i += length;
  }
}

nlohmann::ordered_json parse_json(std::string_view text, const std::string& name) {
  if (text.size() > kLargestJsonBytes) {
    throw SpecError(name, fmt::format("expected at most {} bytes; got {}", kLargestJsonBytes, text.size()));
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  require_utf8(text, name);
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    throw SpecError(name + ":1:1", "expected JSON; got nothing");
  }
  DocumentBuilder builder(name);
  const bool done = Json::sax_parse(text.begin(), text.end(), &builder);
  if (builder.too_deep()) {
    throw SpecError(name, fmt::format("expected JSON nested at most {} deep; got more", kDeepestJson));
  }
  if (!done) {
    const DocumentBuilder::Stop stop = builder.stop().value_or(DocumentBuilder::Stop{1, "unknown error"});
    const std::size_t offset = stop.position == 0 ? 0 : stop.position - 1;
    throw SpecError(place_of(text, offset, name), "expected JSON: " + shortened(without_preamble(stop.message), 160));
  }
  return builder.take_root();
}

std::string pointer_token(std::string_view key) {
  std::string token;
  for (const char c : key) {
    if (c == '~') {
      token += "~0";
    } else if (c == '/') {
      token += "~1";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      token += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      token += c;
    }
  }
  return token;
}

}  // namespace foretrain
