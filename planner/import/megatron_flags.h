/// The arguments that Megatron-LM knows, and command lines read by them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "planner/import/shell_script.h"

namespace foretrain {

enum class FlagKind : std::uint8_t { flag, value, list };
struct MegatronFlag {
  FlagKind kind = FlagKind::value;
  std::string type;                  ///< "int", "float", "str" or as the file has it
  std::vector<std::string> choices;  ///< legal values; empty = any
  bool is_silent = false;            ///< of logging, checkpoints, data and the like: never changes a step's time
};

/// The 840 flags of planner/catalogue/megatron_lm_flags.tsv, by name and by each alias.
const std::map<std::string, MegatronFlag, std::less<>>& megatron_flags();

/// Why `value` is not what `flag` takes; "" when it is.
std::string why_not_legal(const MegatronFlag& flag, std::string_view value);

/// Arguments of one command line: the last value of each flag counts.
class MegatronCommandLine {
 public:
  /// SpecError at "file:line" for a word that is no flag (with the nearest), a value missing or not legal.
  MegatronCommandLine(std::span<const ShellWord> words, const std::string& file);

  [[nodiscard]] bool has(std::string_view flag) const;
  /// The value's text; nothing when the flag is not there. SpecError when the script does not know it.
  [[nodiscard]] std::optional<std::string> text(std::string_view flag) const;
  [[nodiscard]] std::vector<std::string> texts(std::string_view flag) const;
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view flag) const;
  [[nodiscard]] std::optional<double> real(std::string_view flag) const;
  [[nodiscard]] std::int64_t number_or(std::string_view flag, std::int64_t otherwise) const;
  [[nodiscard]] std::int64_t required(std::string_view flag) const;
  /// Flags given that nobody asked for and that may change a step's time.
  [[nodiscard]] std::vector<std::string> unused() const;
  /// SpecError at the line of `flag`.
  [[noreturn]] void fail(std::string_view flag, const std::string& what) const;

 private:
  struct Given {
    std::vector<ShellWord> values;
    std::int64_t line = 0;
    mutable bool is_used = false;
  };
  [[nodiscard]] const Given* find(std::string_view flag) const;
  std::map<std::string, Given, std::less<>> given_;
  std::string file_;
};

}  // namespace foretrain
