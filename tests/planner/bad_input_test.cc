// One file per kind of mistake: tests/data/bad/{job,model,cluster,run}, each with the line that its author reads.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "planner/problem.h"

using namespace foretrain;

namespace {

const std::string kFolder = "tests/data/bad/";

/// Expected message by file, from expected.txt: a line with the file, then an indented one with the message.
std::map<std::string, std::string> expected_messages() {
  std::map<std::string, std::string> messages;
  std::ifstream text(kFolder + "expected.txt");
  std::string line;
  std::string file;
  while (std::getline(text, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == ' ') {
      messages[file] = line.substr(line.find_first_not_of(' '));
    } else {
      file = line;
    }
  }
  return messages;
}

void load(const std::string& kind, const std::string& path, const Catalogue& catalogue) {
  const SpecNode as_name = SpecNode::parse("\"" + path + "\"", "test");
  if (kind == "model") static_cast<void>(load_model(as_name, ""));
  if (kind == "cluster") static_cast<void>(catalogue.cluster(as_name));
  if (kind == "job") static_cast<void>(load_problem(SpecNode::read_file(path), catalogue));
  if (kind == "run") {
    for (const SpecNode& run : SpecNode::read_file(path).required("runs").items()) {
      static_cast<void>(load_run(run, catalogue));
    }
  }
}

/// What the author of `path` reads, without the folder's name.
std::string message_of(const std::string& kind, const std::string& path, const Catalogue& catalogue) {
  try {
    load(kind, path, catalogue);
  } catch (const SpecError& error) {
    std::string message = error.what();
    for (auto at = message.find(kFolder); at != std::string::npos; at = message.find(kFolder)) {
      message.erase(at, kFolder.size());
    }
    return message;
  }
  return "nothing: the file was accepted";
}

}  // namespace

TEST_CASE("every bad file is refused with one line that lets its author fix it") {
  const Catalogue catalogue = Catalogue::load();
  for (const auto& [file, expected] : expected_messages()) {
    const std::string name = file;
    const std::string wanted = expected;
    CAPTURE(name);
    const std::string message = message_of(name.substr(0, name.find('/')), kFolder + name, catalogue);
    CHECK(message.substr(0, wanted.size()) == wanted);
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("every bad file has its expected message, and every kind of file has bad ones") {
  const std::map<std::string, std::string> messages = expected_messages();
  std::map<std::string, int> files_of_kind;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kFolder)) {
    if (entry.path().extension() != ".json") continue;
    const std::string name = entry.path().string().substr(kFolder.size());
    CAPTURE(name);
    CHECK(messages.count(name) == 1);
    ++files_of_kind[name.substr(0, name.find('/'))];
  }
  for (const char* kind : {"job", "model", "cluster", "run"}) CHECK(files_of_kind[kind] >= 10);
}
