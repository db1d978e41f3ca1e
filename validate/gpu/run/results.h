/// The measurement file of a run (foretrain.measurements/1): written again after every batch, so that a run that is
/// interrupted keeps what it has.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "validate/gpu/run/graph_file.h"
#include "validate/gpu/run/json_line.h"

namespace foretrain::gpu {

enum class Section : std::uint8_t { kernels, collectives, launches, steps, memory, checks, failures };
inline constexpr std::array<std::string_view, 7> kSectionNames = {"kernels", "collectives", "launches", "steps",
                                                                  "memory",  "checks",      "failures"};

/// Adds samples_us, median_us, p10_us, p90_us and spread to `line`.
JsonLine& add_samples(JsonLine& line, const std::vector<double>& microseconds);

/// A kernel as docs/FORMAT.md names it: {"kind": "gemm", ...}. Not for messages.
std::string work_json(const StepWork& work);

class Results {
 public:
  /// No file is written when `path` is empty.
  explicit Results(std::string path) : path_(std::move(path)) {}

  /// Takes over the entries of a file that write() made, where there is one. Throws SpecError for any other file.
  void continue_file();

  void describe_device(std::string json) { device_ = std::move(json); }
  void add(Section section, std::string json) {
    entries_[static_cast<std::size_t>(section)].push_back(std::move(json));
  }
  /// Replaces the newest entry of a section: samples that came in batches.
  void replace_last(Section section, std::string json) {
    entries_[static_cast<std::size_t>(section)].back() = std::move(json);
  }
  void fail(std::string_view what, std::string_view why);
  [[nodiscard]] std::size_t count(Section section) const { return entries_[static_cast<std::size_t>(section)].size(); }

  [[nodiscard]] std::string text(bool complete) const;
  /// To a file beside `path`, then in its place. Throws MachineError.
  void write(bool complete) const;

 private:
  std::string path_, device_ = "{}";
  std::array<std::vector<std::string>, kSectionNames.size()> entries_;
};

}  // namespace foretrain::gpu
