/// SpecError: what is wrong with an input file, in one line its author can act on.
#pragma once

#include <stdexcept>
#include <string>

namespace foretrain {

/// Input that someone can fix. what() is one line: "file:/json/pointer: expected ...; got ...".
class SpecError : public std::runtime_error {
 public:
  /// `where` is "file:/json/pointer" (or a flag or environment variable).
  SpecError(const std::string& where, const std::string& what_is_wrong)
      : std::runtime_error(where + ": " + what_is_wrong) {}
};

/// The machine failed us (disk full, unreadable library, no device). Exit code 3.
class MachineError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace foretrain
