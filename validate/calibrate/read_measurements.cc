#include "validate/calibrate/read_measurements.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include "base/sha256.h"
#include "base/spec_error.h"
#include "validate/calibrate/device_name.h"
#include "validate/calibrate/kineto.h"
#include "validate/calibrate/nccl_log.h"
#include "validate/calibrate/nccl_samples.h"
#include "validate/collective_rows.h"
#include "validate/kernel_rows.h"

namespace foretrain {
namespace {

std::string read_text(const std::string& path) {
  std::error_code error;
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path, error)) throw SpecError(path, "cannot read this file");
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw SpecError(path, "cannot read this file");
  return text;
}

bool opens_json(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const std::string_view line = text.substr(0, text.find('\n'));
  if (line.find("]<std") != std::string_view::npos) return false;  // mpirun's "[1,0]<stdout>:"
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
}

/// A trace can be larger than other files may be, and is told by its first keys.
bool opens_trace(std::string_view text) {
  return opens_json(text) && text.find("\"traceEvents\"") != std::string_view::npos;
}

/// The first row's names as a kernel file has them: "gpu" and "time_us" among commas.
bool opens_csv(std::string_view text) {
  const std::string_view header = text.substr(0, text.find('\n'));
  return header.find(',') != std::string_view::npos && header.find("time_us") != std::string_view::npos;
}

/// What -J wrote, closed where the run was killed.
SpecNode parse_json_file(const std::string& text, const std::string& path, bool& was_cut) {
  const std::string closed = closed_nccl_json(text);
  try {
    return SpecNode::parse(text, path);
  } catch (const SpecError&) {
    if (closed.empty()) throw;
    was_cut = true;
    return SpecNode::parse(closed, path);
  }
}

void add_json(const std::string& text, const std::string& path, const MeasurementOptions& options,
              const Catalogue& catalogue, Measurements& out) {
  bool was_cut = false;
  const SpecNode file = parse_json_file(text, path, was_cut);
  if (is_measurement_file(file)) {
    out.source.kind = "foretrain.measurements/1";
    add_measurement_file(file, options, catalogue, out);
  } else if (is_nccl_json(file)) {
    out.source.kind = "nccl-tests JSON";
    add_nccl_samples(read_nccl_json(file), options, catalogue, out);
  } else if (is_collective_file(file)) {
    out.source.kind = "collective runs";
    add_collective_runs(file, options, catalogue, out);
  } else {
    file.fail(
        "expected measurements (\"schema\": \"foretrain.measurements/1\"), nccl-tests -J output, a Kineto trace or a "
        "list of collective runs");
  }
}

struct InModelSource {
  std::string_view source;
};
/// Published profiles whose kernels ran inside a model (hwmodels/sustained_rate.h compares them with isolated ones).
constexpr std::array kInModelSources = {InModelSource{"vidur"}, InModelSource{"simumax"}};

MeasuredIn measured_in(const KernelRow& row) {
  for (const InModelSource& s : kInModelSources)
    if (row.source == s.source) return MeasuredIn::step;
  return MeasuredIn::isolated;
}

}  // namespace

void add_kernel_csv(const std::string& path, const MeasurementOptions& options, const Catalogue& catalogue,
                    Measurements& out) {
  struct Fitted {
    const GpuSpec* gpu = nullptr;
    std::string why;
  };
  std::map<std::string, Fitted> known;  // by the GPU's name in the file
  for (KernelRow& row : read_kernel_rows(path)) {
    ++out.source.rows;
    if (!row.refusal.empty()) {
      out.leave_out(row.refusal);
      continue;
    }
    auto entry = known.find(row.gpu);
    if (entry == known.end()) {
      Fitted fitted;
      fitted.gpu = gpu_to_fit(row.gpu, options.gpu, catalogue, fitted.why);
      entry = known.emplace(row.gpu, fitted).first;
    }
    if (entry->second.gpu == nullptr) {
      out.leave_out(entry->second.why);
      continue;
    }
    out.kernels.push_back({entry->second.gpu->name, std::move(row.kernels), row.measured, measured_in(row)});
  }
}

void add_collective_runs(const SpecNode& file, const MeasurementOptions& options, const Catalogue& catalogue,
                         Measurements& out) {
  const std::string wanted = options.gpu.empty() ? std::string() : catalogue.gpu(options.gpu, "--gpu").name;
  for (const CollectiveRun& run : read_collective_runs(file, catalogue)) {
    const auto rows = static_cast<std::int64_t>(run.rows.size());
    out.source.rows += rows;
    if (!run.refusal.empty()) {
      out.leave_out(run.refusal, rows);
      continue;
    }
    if (!wanted.empty() && run.cluster.gpu.name != wanted) {
      out.leave_out(fmt::format("of {}, not of --gpu", run.cluster.gpu.name), rows);
      continue;
    }
    const auto cluster = std::make_shared<const ClusterSpec>(run.cluster);
    for (const CollectiveRow& row : run.rows) {
      if (!(row.size > Bytes{}) || !(row.time > Seconds{})) {
        out.leave_out("no bytes or no time");
        continue;
      }
      out.collectives.push_back({run.op, row.size, row.time, run.group, cluster, run.choice, MeasuredIn::isolated});
    }
  }
}

Measurements read_measurements(const std::string& path, const MeasurementOptions& options, const Catalogue& catalogue) {
  const std::string text = read_text(path);
  Measurements out;
  out.source.file = std::filesystem::path(path).filename().string();
  out.source.sha256 = sha256(text);
  if (opens_trace(text)) {
    out.source.kind = "Kineto trace";
    add_kineto_samples(read_kineto_trace(text, path), options, catalogue, out);
  } else if (opens_json(text)) {
    add_json(text, path, options, catalogue, out);
  } else if (opens_csv(text)) {
    out.source.kind = "kernels CSV";
    add_kernel_csv(path, options, catalogue, out);
  } else if (looks_like_nccl_text(text)) {
    out.source.kind = "nccl-tests text";
    add_nccl_samples(read_nccl_text(text, path), options, catalogue, out);
  } else {
    throw SpecError(
        path + ":1",
        "expected measurements: JSON of foretrain validate, nccl-tests output, a Kineto trace, or kernels as "
        "CSV with a column time_us");
  }
  out.source.used = static_cast<std::int64_t>(out.kernels.size() + out.collectives.size() + out.launches.size());
  return out;
}

}  // namespace foretrain
