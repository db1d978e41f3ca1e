#include "cli/output.h"

#include <filesystem>
#include <fstream>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>
#include <stdlib.h>

#include "base/spec_error.h"

using namespace foretrain;
using namespace foretrain::cli;

namespace fs = std::filesystem;

namespace {

/// A fresh folder, removed with all that is in it.
struct Folder {
  std::string path = (fs::temp_directory_path() / "foretrain_output.XXXXXX").string();
  Folder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
};

std::string content_of(const std::string& path) {
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("a file is written whole, and an old one is replaced") {
  const Folder folder;
  const std::string path = folder.path + "/plan.json";
  write_file(path, "first");
  CHECK(content_of(path) == "first");
  write_file(path, "second");
  CHECK(content_of(path) == "second");
  CHECK(folder.files() == 1);
}

TEST_CASE("a writer that fails half-way leaves the old file, and nothing beside it") {
  const Folder folder;
  const std::string path = folder.path + "/plan.json";
  write_file(path, "old");
  const auto fail_half_way = [](std::ostream& stream) {
    stream << "half";
    throw std::runtime_error("out of ideas");
  };
  CHECK_THROWS_AS(write_file(path, fail_half_way), std::runtime_error);
  CHECK(content_of(path) == "old");
  CHECK(folder.files() == 1);
}

TEST_CASE("what a symbolic link points to is replaced, not the link") {
  const Folder folder;
  write_file(folder.path + "/real.json", "old");
  fs::create_symlink("real.json", folder.path + "/link.json");
  write_file(folder.path + "/link.json", "new");
  CHECK(fs::is_symlink(folder.path + "/link.json"));
  CHECK(content_of(folder.path + "/real.json") == "new");
}

TEST_CASE("a replaced file keeps its mode") {
  const Folder folder;
  const std::string path = folder.path + "/plan.json";
  write_file(path, "old");
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  write_file(path, "new");
  CHECK(fs::status(path).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("devices are written to, not replaced; full ones and folders are errors of the machine") {
  const Folder folder;
  write_file("/dev/null", "gone");
  CHECK(fs::is_character_file("/dev/null"));
  CHECK_THROWS_AS(write_file(folder.path, "text"), MachineError);
  CHECK_THROWS_AS(write_file(folder.path + "/missing/plan.json", "text"), MachineError);
  if (fs::exists("/dev/full")) CHECK_THROWS_AS(write_file("/dev/full", "text"), MachineError);
}
