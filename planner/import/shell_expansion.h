/// Variables of a shell script and the expansion of its words.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/import/shell_script.h"

namespace foretrain {

class ShellVariables {
 public:
  std::map<std::string, ShellWord> plain;
  std::map<std::string, std::vector<ShellWord>> arrays;
  std::vector<ShellWord> positional;  ///< $1, $2...

  /// The words that `raw` becomes, split at blanks where it is not quoted.
  std::vector<ShellWord> words(std::string_view raw, std::int64_t line);
  /// `raw` as one text, not split: the right side of an assignment.
  ShellWord text(std::string_view raw, std::int64_t line);
  /// The value of an arithmetic expression, or nothing where it is not known.
  std::optional<std::int64_t> arithmetic(std::string_view expression, std::int64_t line);

 private:
  struct Builder;
  void expand(std::string_view raw, Builder& builder, bool quoted, int depth);
  std::size_t expand_dollar(std::string_view raw, std::size_t at, Builder& builder, bool quoted, int depth);
  std::vector<ShellWord> parameter(std::string_view inside, std::int64_t line, bool quoted, int depth);
  [[nodiscard]] std::optional<std::vector<ShellWord>> values(std::string_view name) const;
};

/// "\x01$(...)" with blanks that no splitting touches.
std::string unknown(std::string_view source);

}  // namespace foretrain
