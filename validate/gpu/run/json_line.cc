#include "validate/gpu/run/json_line.h"

#include <array>
#include <charconv>
#include <cmath>

namespace foretrain::gpu {

std::string json_text(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20) {
      out += "\\u00";
      out += kHex[code >> 4];
      out += kHex[code & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  std::array<char, 64> digits;
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::general, 7);
  return {digits.data(), result.ptr};
}

std::string json_numbers(const std::vector<double>& values) {
  std::string out = "[";
  for (const double v : values) out += (out.size() > 1 ? ", " : "") + json_number(v);
  return out + "]";
}

JsonLine& JsonLine::raw(std::string_view key, std::string_view json) {
  if (!text_.empty()) text_ += ", ";
  text_ += json_text(key);
  text_ += ": ";
  text_ += json;
  return *this;
}

}  // namespace foretrain::gpu
