#include "planner/import_config.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "base/json_text.h"
#include "base/spec_error.h"
#include "planner/import/readers.h"

namespace foretrain {
namespace {

constexpr std::array kImporters = {
    Importer{"megatron-lm", "shell script that starts pretrain_gpt.py", read_megatron_lm},
    Importer{"megatron-bridge", "recipe laid out as foretrain export --to megatron-bridge writes it",
             read_megatron_bridge},
    Importer{"torchtitan", "recipe laid out as foretrain export --to torchtitan writes it", read_torchtitan},
    Importer{"torchtitan-toml", "TOML of v0.1 to v0.2.2", read_torchtitan_toml},
    Importer{"deepspeed", "ds_config.json", read_deepspeed},
    Importer{"nanotron", "YAML", read_nanotron},
    Importer{"json", "rank map, as foretrain export --to json writes it", read_rank_map},
};

std::string read_text(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) throw SpecError(path, "expected a file; this is a folder");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw SpecError(path, fmt::format("cannot be read: {}", std::strerror(errno)));
  std::string text;
  std::array<char, 65536> block{};
  while (stream.read(block.data(), block.size()) || stream.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(stream.gcount()));
    if (text.size() > kLargestJsonBytes) throw SpecError(path, "is over 100 MB");
  }
  return text;
}

/// UTF-8 without byte order mark, lines ended by LF.
std::string plain_text(std::string text, const std::string& path) {
  const auto begins = [&](std::string_view mark) { return std::string_view(text).substr(0, mark.size()) == mark; };
  if (begins("\xFF\xFE") || begins("\xFE\xFF"))
    throw SpecError(path + ":1", "expected text in UTF-8; this file is UTF-16");
  if (begins("\xEF\xBB\xBF")) text.erase(0, 3);
  require_utf8(text, path);
  if (const std::size_t zero = text.find('\0'); zero != std::string::npos) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(zero), '\n');
    throw SpecError(fmt::format("{}:{}", path, line), "expected text; found a zero byte");
  }
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') plain += text[i];
  return plain;
}

}  // namespace

std::span<const Importer> importers() { return kImporters; }

ImportedJob import_config(const Importer& importer, const std::string& path) {
  return importer.read(plain_text(read_text(path), path), path);
}

}  // namespace foretrain
