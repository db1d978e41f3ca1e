/// Importers: a trainer's own configuration as a job, for predicting what a user already runs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

/// A job as far as the configuration says it. What it does not say (nearly always the cluster) is missing.
struct ImportedJob {
  std::string job_json;               ///< a foretrain.job/1 object, compact
  std::optional<std::int64_t> gpus;   ///< how many the configuration starts on, where it says so
  std::vector<std::string> warnings;  ///< one line each: what was taken otherwise than it stands, or left out
};

struct Importer {
  std::string_view name;     ///< as --from takes it
  std::string_view summary;  ///< what is read
  ImportedJob (*read)(std::string_view text, const std::string& file);
};

/// Every importer, in the order in which they are listed.
std::span<const Importer> importers();

/// Reads `path` with `importer`. A byte order mark and CR before LF are dropped. SpecError at "file:line" (or at the
/// key) for what is no such configuration, contradicts itself, or is cut off; for files over 100 MB and other encodings
/// than UTF-8.
ImportedJob import_config(const Importer& importer, const std::string& path);

}  // namespace foretrain
