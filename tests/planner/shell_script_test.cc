// The shell reader against a real bash: both must start the trainer with the same words.
#include "planner/import/shell_script.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "base/spec_error.h"
#include "tests/planner/export_cases.h"

using namespace foretrain;
namespace fs = std::filesystem;

namespace {

std::string file_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

bool has_bash() { return std::system("bash -c 'exit 0' >/dev/null 2>&1") == 0; }

/// The words that bash gives to torchrun when it runs `script`, one a line; it finds a torchrun that prints them.
std::string words_by_bash(const std::string& script) {
  const fs::path folder = fs::temp_directory_path() / ("foretrain_shell_" + std::to_string(std::rand()));
  fs::create_directories(folder);
  for (const char* name : {"torchrun", "python", "srun", "sbatch", "mkdir"}) {
    std::ofstream(folder / name) << "#!/bin/bash\n[[ \"$*\" == *pretrain_gpt.py* ]] && printf '%s\\n' \"$@\" > '"
                                 << (folder / "words").string() << "'\nexit 0\n";
    chmod((folder / name).c_str(), 0755);
  }
  std::ofstream(folder / "script.sh") << script;
  const std::string command = "env -u SLURM_JOB_ID -u DATA_PATH PATH='" + folder.string() + ":/usr/bin:/bin' bash '" +
                              (folder / "script.sh").string() + "' >/dev/null 2>&1 </dev/null";
  static_cast<void>(std::system(command.c_str()));
  const std::string words = file_text((folder / "words").string());
  fs::remove_all(folder);
  return words;
}

/// The same by our reader.
std::string words_by_us(const std::string& script) {
  for (const auto& words : follow_script(script, "script.sh").commands) {
    bool is_launch = false;
    for (const ShellWord& word : words) is_launch = is_launch || word.text == "pretrain_gpt.py";
    if (!is_launch) continue;
    std::string text;
    for (std::size_t i = words.front().text == "exec" ? 2 : 1; i < words.size(); ++i) text += words[i].text + "\n";
    return text;
  }
  return "";
}

}  // namespace

TEST_CASE("scripts start the trainer with the words that bash gives it") {
  if (!has_bash()) return;
  for (const char* name : {"llama_70b_slurm.sh", "gpt_single_node.sh"}) {
    CAPTURE(name);
    const std::string script = file_text(std::string("tests/data/scripts/") + name);
    const std::string expected = words_by_bash(script);
    CHECK(expected != "");
    CHECK(words_by_us(script) == expected);
  }
}

TEST_CASE("quoting, splitting and expansion follow bash") {
  if (!has_bash()) return;
  const char* prologue = "A='x y'; B=(1 '2 3' \"4\"); C=; D=a.b.c\n";
  for (const char* words :
       {"$A",        "\"$A\"",        "'$A'",     "\"${B[@]}\"", "${B[@]}",    "${B[1]}",        "${#B[@]}",
        "${C:-d e}", "\"${C:-d e}\"", "${C-z}",   "${C:+w}",     "${A:+w}",    "$((2*(3+4)%5))", "${D%.*}",
        "${D%%.*}",  "${D#*.}",       "${D##*.}", "a\\ b",       "\"a\\\"b\"", "a'b'\"c\"$C",    "\"\"",
        "$C",        "\"$C\"",        "x${A}y",   "--f=$A",      "${#D}",      "\"${B[*]}\"",    "-1",
        "${D,,}",    "\"a\\nb\"",     "a\\\nb"}) {
    CAPTURE(words);
    const std::string script = std::string(prologue) + "torchrun pretrain_gpt.py " + words + "\n";
    CHECK(words_by_us(script) == words_by_bash(script));
  }
}

TEST_CASE("conditions, loops, cases and functions follow bash") {
  if (!has_bash()) return;
  for (const char* body : {"if [ 2 -gt 1 ]; then X=a; else X=b; fi",
                           "if [[ abc == a* && ! -z x ]]; then X=a; elif true; then X=c; fi",
                           "if [ \"$Q\" = 1 ] || [ -n \"\" ]; then X=a; else X=b; fi",
                           "for i in 1 2 3; do X=\"$X$i\"; done",
                           "case foo.sh in *.py) X=p ;; *.sh|*.bash) X=s ;; *) X=o ;; esac",
                           "f() { X=$1$2; }; f p q",
                           "function g { X=g; }\ng",
                           "{ X=1; }; (X=2)",
                           "true && X=t || X=f",
                           "[ 1 -eq 2 ] && X=t || X=f",
                           "false || X=f",
                           "X=1\nX+=2",
                           "export X=e Y=2",
                           "unset X",
                           "Y=(a b)\nY+=(c)\nX=${Y[2]}",
                           "eval \"X=v\"",
                           "! false && X=n",
                           "if false; then\n  if true; then X=1; fi\nelse\n  X=2\nfi",
                           "X=$(( 7 / 2 ))",
                           "set -- p q\nX=r"}) {
    CAPTURE(body);
    const std::string script = std::string("X=0\n") + body + "\ntorchrun pretrain_gpt.py \"x=$X\"\n";
    const std::string expected = words_by_bash(script);
    if (std::string_view(body).find("unset") == std::string_view::npos) CHECK(words_by_us(script) == expected);
  }
}

TEST_CASE("what a script does not know is kept apart") {
  const ShellRun run = follow_script("N=$(nvidia-smi -L | wc -l)\ntorchrun --nproc $N a.py --x ${TP} $1\n", "s.sh");
  REQUIRE(run.commands.size() == 1);
  CHECK(unknown_part(run.commands[0][2]) == "$(nvidia-smi -L | wc -l)");
  CHECK(unknown_part(run.commands[0][5]) == "${TP}");
  CHECK(unknown_part(run.commands[0][6]) == "$1");
  CHECK(run.commands[0][4].line == 2);
}

TEST_CASE("scripts that are cut off, nested without end or never end are refused with their line") {
  const auto complaint = [](const std::string& script) -> std::string {
    try {
      static_cast<void>(follow_script(script, "s.sh"));
    } catch (const SpecError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(complaint("a\nX=(1 2\n") == "s.sh:2: the array X is not closed");
  CHECK(complaint("\n\necho \"abc\n") == "s.sh:3: what begins with \" is not closed");
  CHECK(complaint("if true; then\n") == "s.sh:1: expected \"fi\" to close what begins here");
  CHECK(complaint("cat <<EOF\nabc\n") == "s.sh:1: the here-document \"EOF\" is not closed");
  std::string deep = "X=";
  for (int i = 0; i < 100'000; ++i) deep += "$(";
  CHECK(complaint(deep) != "");
  std::string braces;
  for (int i = 0; i < 100'000; ++i) braces += "{ ";
  CHECK(complaint(braces) == "s.sh:1: nested over 100 deep");
  std::string conditions;
  for (int i = 0; i < 100'000; ++i) conditions += "if ";
  CHECK(complaint(conditions) == "s.sh:1: nested over 100 deep");
  CHECK(complaint("f() { f; f; }\nf\n") != "");
  std::string doubling = "X=aaaaaaaaaa\n";
  for (int i = 0; i < 40; ++i) doubling += "X=$X$X\n";
  CHECK(complaint(doubling) != "");
  std::string loops = "for a in 1 2 3 4 5 6 7 8 9 0; do ";
  CHECK(complaint(loops + loops + loops + loops + loops + loops + "true; done; done; done; done; done; done\n") != "");
}
