#include "cli/output.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <sys/stat.h>
#include <unistd.h>

#include "base/spec_error.h"

namespace foretrain::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const char* act) {
  throw MachineError(path + ": cannot " + act + (errno != 0 ? std::string(": ") + std::strerror(errno) : ""));
}

/// The mode of the file to be replaced, or what a new file gets.
mode_t mode_for(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) == 0) return status.st_mode & 07777;
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

/// An empty file beside its target; removed again unless it has taken the target's place.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target) : name_(target + ".XXXXXX") {
    const int descriptor = ::mkstemp(name_.data());
    if (descriptor < 0) fail(target, "create a file there");
    const bool mode_set = ::fchmod(descriptor, mode_for(target)) == 0;
    ::close(descriptor);
    if (!mode_set) fail(target, "set its mode");
  }
  ~TemporaryFile() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  void replace(const std::string& target) {
    if (std::rename(name_.c_str(), target.c_str()) != 0) fail(target, "replace");
    name_.clear();
  }

 private:
  std::string name_;
};

/// `shown` is what the user calls the file.
void write_into(const std::string& path, const std::string& shown, const std::function<void(std::ostream&)>& write) {
  errno = 0;
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  if (!stream) fail(shown, "open");
  write(stream);
  stream.close();
  if (!stream) fail(shown, "write");
}

}  // namespace

void print(std::string_view text) {
  const bool whole = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!whole || std::fflush(stdout) != 0) fail("stdout", "write");
}

void write_file(const std::string& path, const std::function<void(std::ostream&)>& write) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) throw MachineError(path + ": cannot write: it is a folder");
  if (fs::exists(status) && !fs::is_regular_file(status)) return write_into(path, path, write);
  // Where `path` is a symbolic link, what it points to is replaced, not the link.
  const fs::path resolved = fs::weakly_canonical(path, error);
  const std::string target = error ? path : resolved.string();
  TemporaryFile temporary(target);
  write_into(temporary.name(), path, write);
  temporary.replace(target);
}

void write_file(const std::string& path, std::string_view content) {
  write_file(path, [&](std::ostream& stream) { stream << content; });
}

}  // namespace foretrain::cli
