/// How results leave the program: stdout, and files that appear whole or not at all.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

namespace foretrain::cli {

/// Writes `text` to stdout. MachineError when it cannot be written (a full disk).
void print(std::string_view text);

/// Puts what `write` writes into the file `path`: into a new file beside it first, which then takes its place, so that
/// a reader sees the old file or the new one and a failure leaves the old one alone. What is no ordinary file (a pipe,
/// /dev/null) is written to directly. MachineError naming path and cause.
void write_file(const std::string& path, const std::function<void(std::ostream&)>& write);
void write_file(const std::string& path, std::string_view content);

}  // namespace foretrain::cli
