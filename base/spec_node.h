/// A reader of JSON specifications in which every error names file, JSON pointer, expected and found.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_error.h"
#include "base/units.h"

namespace foretrain {

struct QuantityUnits;

/// Inclusive bounds for a number read from a file.
struct IntRange {
  std::int64_t least = 1;
  std::int64_t most = 1'000'000'000;
};
struct RealRange {
  double least = 0;
  double most = 1e30;
};

/// A value in a JSON document, together with where it stands. Cheap to copy; keeps its document alive.
/// All readers throw SpecError: wrong type, out of range, unknown unit, misspelt key or name.
class SpecNode {
 public:
  /// Reads a file. SpecError when it is absent, unreadable, over 100 MB, nested over 200 deep, not UTF-8, not JSON
  /// (with line and column), or holds one key twice in an object.
  static SpecNode read_file(const std::string& path);
  /// Parses `text`; errors call it `name`.
  static SpecNode parse(std::string_view text, const std::string& name);

  /// "file:/pointer", for messages.
  [[nodiscard]] std::string where() const;
  /// The file this node came from (or the name given to parse()).
  [[nodiscard]] const std::string& file() const;
  /// "file:/pointer: expected <expected>; got <this value>".
  [[noreturn]] void fail_expected(const std::string& expected) const;
  /// "file:/pointer: <what>".
  [[noreturn]] void fail(const std::string& what) const;

  [[nodiscard]] bool is_object() const;
  [[nodiscard]] bool is_array() const;
  [[nodiscard]] bool is_string() const;
  [[nodiscard]] bool is_number() const;
  [[nodiscard]] bool is_boolean() const;
  [[nodiscard]] bool is_null() const;

  /// Object access. required() fails naming the missing key; optional() gives nullopt for a missing key or null.
  [[nodiscard]] SpecNode required(std::string_view key) const;
  [[nodiscard]] std::optional<SpecNode> optional(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] std::vector<std::string> keys() const;  ///< in file order
  /// Refuses any key outside `known`, naming the nearest known one.
  void allow_only(std::span<const std::string_view> known) const;
  void allow_only(std::initializer_list<std::string_view> known) const;

  /// Array access, in order.
  [[nodiscard]] std::vector<SpecNode> items() const;
  [[nodiscard]] std::size_t size() const;

  [[nodiscard]] std::string as_string() const;
  [[nodiscard]] bool as_bool() const;
  [[nodiscard]] std::int64_t as_int(IntRange range = {}) const;  ///< 8.0 is an integer; 8.5, 1e30, "8" are not
  [[nodiscard]] double as_real(RealRange range = {}) const;
  /// Quantities are text: "80 GiB", "400 Gb/s", "900 GB/s", "5 us", "989 TFLOP/s", "1410 MHz". A bare number is an
  /// error.
  [[nodiscard]] Bytes as_bytes() const;
  [[nodiscard]] BytesPerSecond as_bytes_per_second() const;
  [[nodiscard]] Seconds as_seconds() const;
  [[nodiscard]] FlopsPerSecond as_flops_per_second() const;
  [[nodiscard]] Hertz as_hertz() const;
  /// The index of this string in `names` (case-insensitive); otherwise an error with the nearest name.
  [[nodiscard]] std::size_t as_choice(std::span<const std::string_view> names, std::string_view what) const;

  /// The value as compact JSON text, to keep or echo.
  [[nodiscard]] std::string dump() const;

 private:
  struct Document;
  SpecNode(std::shared_ptr<const Document> document, const void* value, std::string pointer);
  [[nodiscard]] double as_quantity(const QuantityUnits& allowed) const;
  friend SpecNode with_override(const SpecNode& root, std::string_view dotted_path, std::string_view json_text);
  std::shared_ptr<const Document> document_;
  const void* value_;  // nlohmann::ordered_json inside document_
  std::string pointer_;
};

/// A copy of the object `root` with value `json_text` (or a bare string when it is not JSON) put at dotted `path`
/// ("training.global_batch"); makes missing objects. For `--set path.to.key=value`.
SpecNode with_override(const SpecNode& root, std::string_view dotted_path, std::string_view json_text);

}  // namespace foretrain
