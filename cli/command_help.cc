#include "cli/command_help.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/choices.h"

namespace foretrain::cli {
namespace {

constexpr std::size_t kMostExamples = 6;

/// `text` from column `indent` on, broken at blanks; the first line's beginning is already there.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  while (indent + text.size() > width) {
    std::size_t cut = text.substr(0, width - indent + 1).rfind(' ');
    if (cut == std::string_view::npos || cut == 0) cut = std::min(width - indent, text.size());
    out += std::string(text.substr(0, cut)) + "\n" + std::string(indent, ' ');
    text.remove_prefix(std::min(text.find_first_not_of(' ', cut), text.size()));
  }
  return out + std::string(text) + "\n";
}

std::string flags_text(const OptionHelp& option) {
  return fmt::format("{}{}{}", fmt::join(option.flags, ", "), option.value.empty() ? "" : " ", option.value);
}

using Rows = std::vector<std::pair<std::string, std::string>>;

/// Two columns; a left cell that is too long stands alone on its line.
std::string two_columns(const Rows& rows, std::size_t width) {
  constexpr std::size_t most_left = 24;
  std::size_t left = 0;
  for (const auto& row : rows)
    if (row.first.size() <= most_left) left = std::max(left, row.first.size());
  std::string out;
  for (const auto& [name, what] : rows) {
    out += "  " + name;
    const std::size_t indent = left + 4;
    out += name.size() <= left ? std::string(indent - 2 - name.size(), ' ') : "\n" + std::string(indent, ' ');
    out += wrapped(what, indent, width);
  }
  return out;
}

/// Long examples go on after a backslash, as a shell reads them.
std::string example_text(const std::string& example, std::size_t width) {
  if (example.size() + 2 <= width) return "  " + example + "\n";
  const std::size_t cut = example.rfind(" --", width - 4);
  if (cut == std::string::npos) return "  " + example + "\n";
  return "  " + example.substr(0, cut) + " \\\n    " + example.substr(cut + 1) + "\n";
}

std::string usage(const CommandHelp& command) {
  std::string text = "foretrain " + command.name;
  for (const OptionHelp& option : command.options)
    if (option.required) text += " " + option.flags.back() + " " + option.value;
  text += " [OPTION]...";
  for (const ArgumentHelp& a : command.arguments)
    text += fmt::format(" {}{}{}{}", a.required ? "" : "[", a.name, a.required ? "" : "]", a.many ? "..." : "");
  return text;
}

}  // namespace

std::string help_of(const CommandHelp& command, std::size_t width) {
  Rows arguments, options;
  for (const ArgumentHelp& a : command.arguments) arguments.emplace_back(a.name, a.what);
  for (const OptionHelp& option : command.options)
    options.emplace_back(flags_text(option), option.what + (option.required ? " (needed)" : ""));
  options.emplace_back("-h, --help", "show this");
  // One table, so that both kinds stand in the same columns.
  Rows rows = std::move(arguments);
  rows.insert(rows.end(), options.begin(), options.end());
  return wrapped(command.name + ": " + command.summary, 0, width) + wrapped("Usage: " + usage(command), 0, width) +
         "\n" + two_columns(rows, width) + "\nExample:\n" + example_text(command.example, width);
}

std::string overview(const std::vector<CommandHelp>& commands, std::size_t width) {
  Rows rows;
  std::string examples;
  for (const CommandHelp& command : commands) {
    rows.emplace_back(command.name, command.summary);
    if (rows.size() <= kMostExamples) examples += example_text(command.example, width);
  }
  return "Foretrain: know how your training run will go before it starts.\n"
         "Usage: foretrain COMMAND [OPTION]... (foretrain COMMAND --help: its options)\n\n" +
         two_columns(rows, width) + "\nExamples:\n" + examples + "\n" + kExitCodesHelp;
}

Completion completion_of(const std::string& name, const std::string& value) {
  struct Row {
    std::string_view name, list;
  };
  static constexpr std::array kLists = {Row{"--gpu", "gpus"},     Row{"--cluster", "nodes"},  Row{"CONFIG", "models"},
                                        Row{"OP", "collectives"}, Row{"--op", "collectives"}, Row{"KIND", "kernels"},
                                        Row{"--to", "exporters"}, Row{"WHAT", "lists"}};
  Completion c;
  for (const Row& row : kLists)
    if (row.name == name) c.list = row.list;
  if (name == "SHELL") c.words = {"bash", "zsh", "fish"};
  if (value.find('|') != std::string::npos) {
    std::string commas = value;
    std::replace(commas.begin(), commas.end(), '|', ',');
    for (const std::string& word : split_at_commas(commas))
      if (!word.empty() && word[0] >= 'a' && word[0] <= 'z') c.words.push_back(word);  // "RANK|all": all
  }
  c.files = value == "FILE" || name == "JOB" || name == "PLANS" || name == "CONFIG" || name == "--cluster";
  return c;
}

}  // namespace foretrain::cli
