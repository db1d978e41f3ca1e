/// Writing JSON by hand: objects on one line, the same bytes for the same values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::gpu {

std::string json_text(std::string_view text);  ///< quoted and escaped
std::string json_number(double value);         ///< six significant digits or more; null for NaN and infinity
std::string json_numbers(const std::vector<double>& values);

/// An object built key by key: JsonLine().text("gpu", name).number("watts", 700).end().
class JsonLine {
 public:
  JsonLine& raw(std::string_view key, std::string_view json);
  JsonLine& text(std::string_view key, std::string_view value) { return raw(key, json_text(value)); }
  JsonLine& number(std::string_view key, double value) { return raw(key, json_number(value)); }
  JsonLine& whole(std::string_view key, std::int64_t value) { return raw(key, std::to_string(value)); }
  JsonLine& flag(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonLine& numbers(std::string_view key, const std::vector<double>& values) { return raw(key, json_numbers(values)); }
  [[nodiscard]] std::string end() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

}  // namespace foretrain::gpu
