#include "base/data_dir.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

/// Sets FORETRAIN_DATA for a scope and puts back what was there.
class DataVariable {
 public:
  explicit DataVariable(const char* value) {
    if (const char* old = std::getenv("FORETRAIN_DATA")) before_ = old;
    if (value != nullptr) {
      setenv("FORETRAIN_DATA", value, 1);
    } else {
      unsetenv("FORETRAIN_DATA");
    }
  }
  DataVariable(const DataVariable&) = delete;
  DataVariable& operator=(const DataVariable&) = delete;
  ~DataVariable() {
    if (before_.empty()) {
      unsetenv("FORETRAIN_DATA");
    } else {
      setenv("FORETRAIN_DATA", before_.c_str(), 1);
    }
  }

 private:
  std::string before_;
};

}  // namespace

TEST_CASE("Without FORETRAIN_DATA a program in a build folder finds data in its source tree") {
  const DataVariable unset(nullptr);
  // Tests run in the root of the source tree.
  CHECK(std::filesystem::equivalent(data_file("base/data_dir.h"), "base/data_dir.h"));
}

TEST_CASE("FORETRAIN_DATA names the only folder to look in") {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "foretrain_data_dir_test";
  std::filesystem::create_directories(folder / "base");
  std::ofstream(folder / "base" / "only_here.json") << "{}";
  const DataVariable chosen(folder.c_str());
  CHECK(data_file("base/only_here.json") == (folder / "base" / "only_here.json").string());
  CHECK_THROWS_AS(static_cast<void>(data_file("base/data_dir.h")), MachineError);
  std::filesystem::remove_all(folder);
}

TEST_CASE("A built-in file is used where neither FORETRAIN_DATA nor a source tree has it") {
  constexpr BuiltInFile built_in[] = {{"base/nowhere_else.json", "{\"a\": 1}"}, {"README.md", "built in"}};
  {
    const DataVariable unset(nullptr);
    CHECK(data_text("base/nowhere_else.json", built_in).content == "{\"a\": 1}");
    CHECK(data_text("base/nowhere_else.json", built_in).name == "base/nowhere_else.json");
    CHECK(data_text("README.md", built_in).content.starts_with("# Foretrain"));  // the source tree goes first
  }
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "foretrain_built_in_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "README.md") << "chosen";
  const DataVariable chosen(folder.c_str());
  CHECK(data_text("README.md", built_in).content == "chosen");
  CHECK_THROWS_AS(static_cast<void>(data_text("base/nowhere_else.json", built_in)), MachineError);
  std::filesystem::remove_all(folder);
}

TEST_CASE("A data file that is nowhere is a machine error that names the file and the way out") {
  const DataVariable unset(nullptr);
  std::string message;
  try {
    static_cast<void>(data_file("no/such/file.json"));
  } catch (const MachineError& error) {
    message = error.what();
  }
  CHECK(message.find("no/such/file.json") != std::string::npos);
  CHECK(message.find("share/foretrain") != std::string::npos);
  CHECK(message.find("FORETRAIN_DATA") != std::string::npos);
}
