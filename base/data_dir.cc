#include "base/data_dir.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/spec_error.h"

namespace foretrain {
namespace {

constexpr std::string_view kSourceTree = FORETRAIN_SOURCE_DIR;  // "" in packages

/// The folder that FORETRAIN_DATA names; empty when it is not set.
std::filesystem::path chosen_folder() {
  const char* chosen = std::getenv("FORETRAIN_DATA");
  return chosen == nullptr ? "" : chosen;
}

std::vector<std::filesystem::path> data_folders() {
  if (std::filesystem::path chosen = chosen_folder(); !chosen.empty()) return {std::move(chosen)};
  std::vector<std::filesystem::path> folders;
  std::error_code unreadable;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unreadable);
  if (!unreadable) folders.push_back(program.parent_path().parent_path() / "share" / "foretrain");
  if (!kSourceTree.empty()) folders.emplace_back(kSourceTree);
  return folders;
}

DataText read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) throw MachineError(path + ": cannot be read");
  return {path, content.str()};
}

}  // namespace

DataText data_text(std::string_view relative, std::span<const BuiltInFile> files) {
  if (!chosen_folder().empty()) return read_text(data_file(relative));
  const std::filesystem::path in_source_tree = std::filesystem::path(kSourceTree) / relative;
  std::error_code unreadable;
  if (!kSourceTree.empty() && std::filesystem::is_regular_file(in_source_tree, unreadable))
    return read_text(in_source_tree.string());
  const auto built_in =
      std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.path == relative; });
  FORETRAIN_CHECK(built_in != files.end());
  return {std::string(relative), std::string(built_in->content)};
}

std::string data_file(std::string_view relative) {
  std::string searched;
  for (const std::filesystem::path& folder : data_folders()) {
    const std::filesystem::path candidate = folder / relative;
    std::error_code unreadable;
    if (std::filesystem::exists(candidate, unreadable)) return candidate.string();
    searched += (searched.empty() ? "" : ", ") + folder.string();
  }
  throw MachineError("data file " + std::string(relative) + " is not in " + searched +
                     "; set FORETRAIN_DATA to the folder that holds it");
}

}  // namespace foretrain
