#include "base/text_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/spec_error.h"

namespace foretrain {

std::string read_text_file(const std::string& path, std::size_t most_bytes) {
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown)) throw SpecError(path, "expected a file; got a folder");
  const auto close = [](std::FILE* file) { static_cast<void>(std::fclose(file)); };
  const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "rb"), close);
  if (!file) throw SpecError(path, fmt::format("cannot read this file: {}", std::strerror(errno)));
  std::string text;
  std::vector<char> chunk(1 << 16);
  while (text.size() <= most_bytes) {
    const std::size_t count = std::fread(chunk.data(), 1, chunk.size(), file.get());
    text.append(chunk.data(), count);
    if (count < chunk.size()) break;
  }
  if (std::ferror(file.get()) != 0)
    throw SpecError(path, fmt::format("cannot read this file: {}", std::strerror(errno)));
  if (text.size() > most_bytes)
    throw SpecError(path, fmt::format("expected at most {} MB; got more", most_bytes / 1'000'000));
  return text;
}

}  // namespace foretrain
