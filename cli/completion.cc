/// Completion scripts for shells, made of what the commands take.
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/command_help.h"

namespace foretrain::cli {
namespace {

/// Prints the names in a list of the catalogue: its first column, without header and the sources below.
std::string list_command(const std::string& list) {
  if (list == "lists") return "foretrain list 2>/dev/null | sed 's/.*: //; s/,//g'";
  return fmt::format("foretrain list {} 2>/dev/null | awk 'NR > 1 && $1 !~ /:$/ {{print $1}}'", list);
}

std::string names_of(const std::vector<CommandHelp>& commands) {
  std::string names;
  for (const CommandHelp& command : commands) names += (names.empty() ? "" : " ") + command.name;
  return names;
}

std::string bash_words(const Completion& c) {
  if (!c.list.empty()) return fmt::format("-W \"{} $({})\"", fmt::join(c.words, " "), list_command(c.list));
  return fmt::format("-W \"{}\"", fmt::join(c.words, " "));
}

/// "COMPREPLY=(...)" for what a value may be.
std::string bash_reply(const Completion& c) {
  const bool words = !c.words.empty() || !c.list.empty();
  return fmt::format("COMPREPLY=($(compgen {}{}{} -- \"$cur\"))", c.files ? "-f" : "", c.files && words ? " " : "",
                     words ? bash_words(c) : "");
}

bool completes(const Completion& c) { return c.files || !c.words.empty() || !c.list.empty(); }

/// Text in single quotes for a shell that ends them at a quote (bash, zsh), or reads \' in them (fish).
std::string quoted(const std::string& text, const char* quote) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += quote;
    } else {
      out += c;
    }
  }
  return out + "'";
}

/// A description inside of zsh's _arguments: brackets and colons have a meaning there.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out;
}

std::string zsh_action(const std::string& name, const std::string& value) {
  const Completion c = completion_of(name, value);
  const std::string words = fmt::format("{}", fmt::join(c.words, " "));
  if (!c.list.empty() && c.files) return fmt::format("_foretrain_or_files {}", c.list);
  if (!c.list.empty()) return fmt::format("_foretrain_list {}", c.list);
  if (c.files) return "_files";
  return c.words.empty() ? " " : "(" + words + ")";
}

}  // namespace

std::string bash_completion(const std::vector<CommandHelp>& commands) {
  std::string text = fmt::format(
      "# bash completion for foretrain: source <(foretrain completion bash)\n"
      "_foretrain() {{\n"
      "  local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" prev=\"${{COMP_WORDS[COMP_CWORD-1]}}\" "
      "command=\"${{COMP_WORDS[1]}}\"\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"{} --help --version\" -- \"$cur\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"$command $prev\" in\n",
      names_of(commands));
  for (const CommandHelp& command : commands)
    for (const OptionHelp& option : command.options) {
      if (option.value.empty()) continue;
      std::string patterns;
      for (const std::string& flag : option.flags)
        patterns += fmt::format("{}\"{} {}\"", patterns.empty() ? "" : "|", command.name, flag);
      const Completion c = completion_of(option.flags.back(), option.value);
      text += fmt::format("    {}) {}return ;;\n", patterns, completes(c) ? bash_reply(c) + "; " : "");
    }
  text += "  esac\n  case \"$command\" in\n";
  for (const CommandHelp& command : commands) {
    std::string flags;
    for (const OptionHelp& option : command.options)
      for (const std::string& flag : option.flags) flags += flag + " ";
    text += fmt::format(
        "    {})\n"
        "      if [[ \"$cur\" == -* ]]; then COMPREPLY=($(compgen -W \"{}--help\" -- \"$cur\"))",
        command.name, flags);
    if (!command.arguments.empty()) {
      const Completion c = completion_of(command.arguments.front().name, command.arguments.front().name);
      if (completes(c)) text += fmt::format("\n      else {}", bash_reply(c));
    }
    text += "\n      fi ;;\n";
  }
  return text + "  esac\n}\ncomplete -o filenames -F _foretrain foretrain\n";
}

std::string zsh_completion(const std::vector<CommandHelp>& commands) {
  std::string text =
      "#compdef foretrain\n"
      "# zsh completion for foretrain: foretrain completion zsh > \"${fpath[1]}/_foretrain\"\n"
      "_foretrain_list() {\n"
      "  local -a names\n"
      "  if [ \"$1\" = lists ]; then names=($(foretrain list 2>/dev/null | sed 's/.*: //; s/,//g'))\n"
      "  else names=(${(f)\"$(foretrain list $1 2>/dev/null | awk 'NR > 1 && $1 !~ /:$/ {print $1}')\"}); fi\n"
      "  compadd -a names\n"
      "}\n"
      "_foretrain_or_files() {\n"
      "  _foretrain_list $1\n"
      "  _files\n"
      "}\n"
      "_foretrain() {\n"
      "  local -a commands\n"
      "  commands=(\n";
  for (const CommandHelp& command : commands)
    text += fmt::format("    '{}:{}'\n", command.name, zsh_text(command.summary));
  text +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=$words[2]\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $command in\n";
  for (const CommandHelp& command : commands) {
    text += fmt::format("    {})\n      _arguments", command.name);
    for (const OptionHelp& option : command.options)
      for (const std::string& flag : option.flags)
        text += fmt::format(" \\\n        '*{}[{}]{}'", flag, zsh_text(option.what),
                            option.value.empty()
                                ? ""
                                : ":" + zsh_text(option.value) + ":" + zsh_action(option.flags.back(), option.value));
    for (const ArgumentHelp& a : command.arguments)
      text += fmt::format(" \\\n        '{}:{}:{}'", a.many ? "*" : "", zsh_text(a.what), zsh_action(a.name, a.name));
    text += " \\\n        '(-h --help)'{-h,--help}'[show help]' ;;\n";
  }
  return text +
         "  esac\n}\nif [ \"$funcstack[1]\" = _foretrain ]; then _foretrain \"$@\"; else compdef _foretrain foretrain; "
         "fi\n";
}

std::string fish_completion(const std::vector<CommandHelp>& commands) {
  std::string text = "# fish completion for foretrain: foretrain completion fish | source\ncomplete -c foretrain -f\n";
  const std::string names = names_of(commands);
  for (const CommandHelp& command : commands)
    text += fmt::format("complete -c foretrain -n 'not __fish_seen_subcommand_from {}' -a {} -d {}\n", names,
                        command.name, quoted(command.summary, "\\'"));
  const auto value_of = [](const Completion& c) {
    std::string out;
    if (c.files) out += " -F";
    if (!c.list.empty())
      return out + fmt::format(" -a \"({})\"", [&] {
               std::string command = list_command(c.list);
               for (std::size_t i = 0; (i = command.find('$', i)) != std::string::npos; i += 2) command.insert(i, "\\");
               return command;
             }());
    if (!c.words.empty()) out += fmt::format(" -a '{}'", fmt::join(c.words, " "));
    return out;
  };
  for (const CommandHelp& command : commands) {
    const std::string when = fmt::format("complete -c foretrain -n '__fish_seen_subcommand_from {}'", command.name);
    for (const OptionHelp& option : command.options) {
      text += when;
      for (const std::string& flag : option.flags)
        text += flag.starts_with("--") ? " -l " + flag.substr(2) : " -s " + flag.substr(1);
      if (!option.value.empty()) {
        const Completion c = completion_of(option.flags.back(), option.value);
        text += (c.files ? " -r" : " -x") + value_of(c);
      }
      text += " -d " + quoted(option.what, "\\'") + "\n";
    }
    for (const ArgumentHelp& a : command.arguments)
      if (const Completion c = completion_of(a.name, a.name); completes(c))
        text += when + value_of(c) + " -d " + quoted(a.what, "\\'") + "\n";
  }
  return text;
}

}  // namespace foretrain::cli
