/// Protocol buffers on the wire: as much of the encoding as a trace needs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace foretrain::sim {

/// A message under construction. Fields are written in the order of the calls.
/// Source: protobuf.dev/programming-guides/encoding (varints, 64-bit and length-delimited fields).
class ProtoMessage {
 public:
  /// uint64, int64, bool or an enum. Negative numbers take ten bytes, as int64 does.
  void number(std::uint32_t field, std::int64_t value) {
    varint(std::uint64_t{field} << 3);
    varint(static_cast<std::uint64_t>(value));
  }
  void fixed64(std::uint32_t field, std::uint64_t value) {
    varint(std::uint64_t{field} << 3 | 1);
    for (int i = 0; i < 8; ++i) bytes_ += static_cast<char>((value >> (8 * i)) & 0xff);
  }
  void text(std::uint32_t field, std::string_view value) {
    varint(std::uint64_t{field} << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  void message(std::uint32_t field, const ProtoMessage& value) { text(field, value.bytes_); }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

}  // namespace foretrain::sim
