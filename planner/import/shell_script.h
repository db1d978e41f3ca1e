/// Follows a launch script as bash would: variables, arrays, quotes, conditions, loops and functions, without running
/// anything.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

/// One word after expansion, with the line that its text stands on. A part that the script does not know (a command's
/// output, a variable of the environment) is kept as kUnknown followed by its source.
struct ShellWord {
  std::string text;
  std::int64_t line = 0;
};
inline constexpr char kUnknown = '\x01';
/// What `word` leaves unknown, as the script writes it: "$TP"; "" when it knows everything.
std::string unknown_part(const ShellWord& word);

struct ShellRun {
  std::vector<std::vector<ShellWord>> commands;  ///< every simple command that would run, in order
  std::map<std::string, ShellWord> variables;    ///< plain ones, as they are at the end
  std::vector<ShellWord> documents;              ///< here-documents, expanded
  std::map<std::string, ShellWord> sbatch;       ///< "#SBATCH --nodes=4" by name without hyphens: "nodes" -> 4
  std::vector<std::string> warnings;             ///< what could not be followed, "file:line: ..."
};

/// Follows `text`, whose first line is `first_line` of the file `name`. Conditions that depend on files hold; those
/// that depend on what is not known do not, with a warning; `while` loops are not followed. Quotes and brackets that
/// are not closed, and scripts that never end, are a SpecError at "name:line".
ShellRun follow_script(std::string_view text, const std::string& name, std::int64_t first_line = 1);

}  // namespace foretrain
