#include "base/data_dir.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "base/spec_error.h"

namespace foretrain {
namespace {

std::vector<std::filesystem::path> data_folders() {
  if (const char* chosen = std::getenv("FORETRAIN_DATA"); chosen != nullptr && *chosen != '\0') return {chosen};
  std::vector<std::filesystem::path> folders;
  std::error_code unreadable;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unreadable);
  if (!unreadable) folders.push_back(program.parent_path().parent_path() / "share" / "foretrain");
  folders.emplace_back(FORETRAIN_SOURCE_DIR);
  return folders;
}

}  // namespace

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
