/// Runs the commands of a golden file and shows where their output differs from the text below them.
///
///     $ foretrain list schedules        run by sh in the project's root; stdout and stderr together
///     gpipe  <text>                     expected text, line by line
///     ...                               any lines, also none
///     [exit 2]                          exit code, where it is not 0
///     # at the start of a line: a remark
///
/// In expected text, <number> stands for a number, <text> for anything on one line (also nothing), and blanks for one
/// or more blanks. `golden_runner --commands README.md` runs instead every line of a Markdown code block that begins
/// with "foretrain ", and asks for exit code 0, or N where the line ends in "# exit code N". It does so in a folder of
/// its own that shows the project's root, so that what pages write stays out of the sources. Usage: golden_runner
/// [--commands] FILE FOLDER_OF_FORETRAIN. A fresh folder is in $TMP and is removed at the end.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>

namespace {

namespace fs = std::filesystem;

struct Step {
  std::string command;
  std::vector<std::string> expected;
  int exit_code = 0;
  int line = 0;  // of the command, from 1
};

struct Outcome {
  std::vector<std::string> lines;
  int exit_code = 0;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream stream(path);
  if (!stream) {
    std::cerr << path << ": cannot read\n";
    std::exit(2);
  }
  std::stringstream text;
  text << stream.rdbuf();
  return lines_of(text.str());
}

std::vector<Step> read_golden(const std::string& path) {
  std::vector<Step> steps;
  int number = 0;
  for (const std::string& line : read_lines(path)) {
    ++number;
    if (line.substr(0, 1) == "#") continue;
    if (line.substr(0, 2) == "$ ") {
      steps.push_back({line.substr(2), {}, 0, number});
    } else if (steps.empty()) {
      if (!line.empty()) std::cerr << path << ":" << number << ": text before the first command\n", std::exit(2);
    } else if (line.substr(0, 6) == "[exit ") {
      steps.back().exit_code = std::atoi(line.c_str() + 6);
    } else {
      steps.back().expected.push_back(line);
    }
  }
  // Blank lines that part one command from the next are no output.
  for (Step& step : steps)
    while (!step.expected.empty() && step.expected.back().empty()) step.expected.pop_back();
  return steps;
}

std::vector<Step> read_commands(const std::string& path) {
  std::vector<Step> steps;
  bool in_block = false;
  int number = 0;
  for (std::string line : read_lines(path)) {
    ++number;
    if (line.substr(0, 3) == "```") in_block = !in_block;
    const bool indented = line.substr(0, 4) == "    ";
    if (!in_block && !indented) continue;
    line.erase(0, std::min(line.find_first_not_of(' '), line.size()));
    if (line.substr(0, 2) == "$ ") line.erase(0, 2);
    static const std::string remark = "# exit code ";
    const std::size_t at = line.find(remark);
    const int exit_code = at == std::string::npos ? 0 : std::atoi(line.c_str() + at + remark.size());
    if (line.substr(0, 10) == "foretrain ") steps.push_back({line, {"..."}, exit_code, number});
  }
  return steps;
}

Outcome run(const std::string& command) {
  Outcome outcome;
  std::string text;
  std::FILE* pipe = popen(("{ " + command + "\n} 2>&1").c_str(), "r");
  if (pipe == nullptr) std::cerr << "cannot start a shell\n", std::exit(2);
  char buffer[4096];
  for (std::size_t read = 0; (read = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, read);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.lines = lines_of(text);
  while (!outcome.lines.empty() && outcome.lines.back().empty()) outcome.lines.pop_back();
  return outcome;
}

/// `expected` as a regular expression: everything literal but the patterns above.
std::regex pattern_of(const std::string& expected) {
  static const std::regex special(R"(<number>|<text>| +|[.^$|()\[\]{}*+?\\])");
  const std::string trimmed = expected.substr(std::min(expected.find_first_not_of(' '), expected.size()));
  std::string out = " *";
  auto from = trimmed.cbegin();
  for (std::sregex_iterator it(trimmed.begin(), trimmed.end(), special), end; it != end; ++it) {
    out.append(from, (*it)[0].first);
    const std::string found = it->str();
    if (found == "<number>")
      out += R"([-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)";
    else if (found == "<text>")
      out += ".*";
    else if (found[0] == ' ')
      out += " +";
    else
      out += "\\" + found;
    from = (*it)[0].second;
  }
  return std::regex(out.append(from, trimmed.cend()));
}

/// True when lines [i..] of `actual` match patterns [j..] of `expected`, where "..." is any number of lines.
bool matches(const std::vector<std::string>& actual, std::size_t i, const std::vector<std::string>& expected,
             std::size_t j) {
  for (; j < expected.size(); ++i, ++j) {
    if (expected[j] == "...") {
      for (std::size_t skip = i; skip <= actual.size(); ++skip)
        if (matches(actual, skip, expected, j + 1)) return true;
      return false;
    }
    if (i >= actual.size() || !std::regex_match(actual[i], pattern_of(expected[j]))) return false;
  }
  return i == actual.size();
}

/// Expected and actual side by side up to the first line that differs; "..." ends the comparison by line.
void show_difference(const Step& step, const Outcome& outcome) {
  std::cout << "  expected exit code " << step.exit_code << ", got " << outcome.exit_code << "\n";
  std::size_t same = 0;
  while (same < step.expected.size() && same < outcome.lines.size() && step.expected[same] != "..." &&
         std::regex_match(outcome.lines[same], pattern_of(step.expected[same])))
    ++same;
  for (std::size_t i = 0; i < same; ++i) std::cout << "    " << outcome.lines[i] << "\n";
  for (std::size_t i = same; i < step.expected.size(); ++i) std::cout << "  - " << step.expected[i] << "\n";
  for (std::size_t i = same; i < outcome.lines.size(); ++i) std::cout << "  + " << outcome.lines[i] << "\n";
}

std::string temporary_folder() {
  std::string name = (fs::temp_directory_path() / "foretrain_golden.XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) std::cerr << "cannot make a temporary folder\n", std::exit(2);
  return name;
}

/// Goes to a new folder inside `folder` in which the folders of the one before are to be seen.
void enter_copy_of_links(const std::string& folder) {
  const fs::path copy = fs::path(folder) / "pages";
  fs::create_directory(copy);
  for (const fs::directory_entry& entry : fs::directory_iterator("."))
    if (entry.is_directory()) fs::create_symlink(fs::absolute(entry.path()), copy / entry.path().filename());
  fs::current_path(copy);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool commands_only = !arguments.empty() && arguments[0] == "--commands";
  if (commands_only) arguments.erase(arguments.begin());
  if (arguments.size() != 2) {
    std::cerr << "usage: golden_runner [--commands] FILE FOLDER_OF_FORETRAIN\n";
    return 2;
  }
  const std::string folder = temporary_folder();
  setenv("TMP", folder.c_str(), 1);
  setenv("PATH", (arguments[1] + ":" + std::getenv("PATH")).c_str(), 1);
  const std::vector<Step> steps = commands_only ? read_commands(arguments[0]) : read_golden(arguments[0]);
  if (commands_only) enter_copy_of_links(folder);
  int failures = 0;
  for (const Step& step : steps) {
    const Outcome outcome = run(step.command);
    if (outcome.exit_code == step.exit_code && matches(outcome.lines, 0, step.expected, 0)) continue;
    ++failures;
    std::cout << arguments[0] << ":" << step.line << ": $ " << step.command << "\n";
    show_difference(step, outcome);
  }
  fs::remove_all(folder);
  std::cout << steps.size() << " commands, " << failures << " failed\n";
  return failures == 0 && (commands_only || !steps.empty()) ? 0 : 1;
}
