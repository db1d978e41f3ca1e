/// Strict reading of JSON text, with the line and column of whatever is wrong.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace foretrain {

/// Bounds on what a file of ours may hold, so that no input exhausts memory or stack.
inline constexpr std::size_t kLargestJsonBytes = 100'000'000;
inline constexpr std::size_t kDeepestJson = 200;

/// The document in `text`; keys keep their order. A UTF-8 byte order mark in front is skipped.
/// SpecError("name:line:column") when the text is over 100 MB, not UTF-8, not JSON (RFC 8259: no comments, no NaN, no
/// trailing comma), or nested over 200 deep; SpecError("name:/pointer") when an object holds one key twice.
nlohmann::ordered_json parse_json(std::string_view text, const std::string& name);

/// SpecError("name:line:column") at the first byte of `text` that is not UTF-8.
void require_utf8(std::string_view text, const std::string& name);

/// `key` as one step of a JSON pointer (RFC 6901), on one line: "~" is "~0", "/" is "~1", control characters "\u000a".
std::string pointer_token(std::string_view key);

}  // namespace foretrain
