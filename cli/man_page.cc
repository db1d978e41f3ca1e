/// The man page, made of what the commands take.
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "cli/command_help.h"

namespace foretrain::cli {
namespace {

/// Text for troff: hyphens that can be copied, backslashes as such, no accidental requests.
std::string troff(std::string_view text) {
  std::string out;
  if (!text.empty() && (text[0] == '.' || text[0] == '\'')) out += "\\&";
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string option_entry(const OptionHelp& option) {
  std::string flags;
  for (const std::string& flag : option.flags)
    flags += fmt::format("{}\\fB{}\\fR", flags.empty() ? "" : ", ", troff(flag));
  if (!option.value.empty()) flags += fmt::format(" \\fI{}\\fR", troff(option.value));
  return fmt::format(".TP\n{}\n{}{}\n", flags, troff(option.what), option.required ? " (needed)" : "");
}

std::string command_section(const CommandHelp& command) {
  std::string text = fmt::format(".SS {}\n{}.\n", troff(command.name), troff(command.summary));
  for (const ArgumentHelp& a : command.arguments)
    text += fmt::format(".TP\n\\fI{}\\fR{}\n{}\n", troff(a.name), a.required ? "" : " (optional)", troff(a.what));
  for (const OptionHelp& option : command.options) text += option_entry(option);
  return text + fmt::format(".PP\nExample:\n.PP\n.EX\n{}\n.EE\n", troff(command.example));
}

constexpr std::string_view kRest =
    ".SH EXIT STATUS\n"
    ".TP\n0\nDone.\n"
    ".TP\n1\nNo plan fits, or a comparison is worse than allowed.\n"
    ".TP\n2\nInput that someone can fix; one line on stderr says where.\n"
    ".TP\n3\nThe machine failed: disk, driver, device.\n"
    ".TP\n130\nCtrl\\-C. What was printed is the best so far, and is marked as incomplete.\n"
    ".SH ENVIRONMENT\n"
    ".TP\nNO_COLOR\nNo colour, whatever its value, unless it is empty.\n"
    ".TP\nCLICOLOR_FORCE\nColour in pipes too, unless it is 0.\n"
    ".TP\nCOLUMNS\nWidth of the terminal.\n"
    ".SH SEE ALSO\n"
    "docs/FORMAT.md: every key of every file.\n";

}  // namespace

std::string man_page(const std::vector<CommandHelp>& commands, const std::string& version) {
  std::string text = fmt::format(
      ".TH FORETRAIN 1 \"\" \"foretrain {}\" \"User Commands\"\n"
      ".SH NAME\nforetrain \\- know how your training run will go before it starts\n"
      ".SH SYNOPSIS\n.B foretrain\n\\fICOMMAND\\fR [\\fIOPTION\\fR]...\n"
      ".SH DESCRIPTION\n"
      "Searches the parallel plans of a training job of a large language model on a GPU cluster, simulates them event "
      "by "
      "event, and says how long a step takes, what each GPU holds and why.\n"
      ".SH COMMANDS\n",
      version);
  for (const CommandHelp& command : commands) text += command_section(command);
  return text + std::string(kRest);
}

}  // namespace foretrain::cli
