/// What the commands take, as data: help texts, completion scripts and the man page are all made of it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace foretrain::cli {

struct OptionHelp {
  std::vector<std::string> flags;  ///< "-o", "--output"
  std::string value;               ///< "FILE", "N", "text|json"; "" where it takes none
  std::string what;
  bool required = false;
};
struct ArgumentHelp {
  std::string name, what;  ///< "JOB"
  bool required = false, many = false;
};
struct CommandHelp {
  std::string name, summary, example;
  std::vector<ArgumentHelp> arguments;
  std::vector<OptionHelp> options;  ///< without --help, which every command has
};

/// Exit codes, for people.
inline constexpr const char* kExitCodesHelp =
    "Exit codes: 0 done; 1 no plan fits; 2 input to fix; 3 the machine failed;\n130 Ctrl-C, after printing the best so "
    "far.\n";

/// `foretrain plan --help`; no line wider than `width`.
std::string help_of(const CommandHelp& command, std::size_t width = 80);
/// `foretrain --help`.
std::string overview(const std::vector<CommandHelp>& commands, std::size_t width = 80);

/// The man page foretrain(1), in man's macros.
std::string man_page(const std::vector<CommandHelp>& commands, const std::string& version);

/// What bash, zsh or fish runs to complete foretrain's command lines. Names of the catalogue are asked of
/// `foretrain list` when they are completed.
std::string bash_completion(const std::vector<CommandHelp>& commands);
std::string zsh_completion(const std::vector<CommandHelp>& commands);
std::string fish_completion(const std::vector<CommandHelp>& commands);

/// What may stand for a value: words, files, or names that `foretrain list` knows.
struct Completion {
  std::vector<std::string> words;
  bool files = false;
  std::string list;  ///< "gpus", or "lists" for the names of all lists; "" = none
};
/// Of an option's or argument's `value` under the name that the command line has for it ("--gpu", "CONFIG").
Completion completion_of(const std::string& name, const std::string& value);

}  // namespace foretrain::cli
