/// `foretrain calibrate`: fits a calibration to measurements.
#include "validate/calibrate/calibrate.h"

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"
#include "cli/cluster_input.h"
#include "cli/output.h"
#include "cli/subcommands.h"
#include "hwmodels/calibration_file.h"
#include "hwmodels/catalogue.h"
#include "validate/calibrate/calibration_report.h"
#include "validate/calibrate/read_measurements.h"

namespace foretrain::cli {
namespace {

std::optional<CollectiveOp> op_of(const std::string& name) {
  if (name.empty()) return std::nullopt;
  for (std::size_t i = 0; i < kCollectiveNames.size(); ++i)
    if (kCollectiveNames[i] == to_lower(name)) return static_cast<CollectiveOp>(i);
  throw SpecError("--op",
                  fmt::format("unknown collective {}; known: {}", in_quotes(name), fmt::join(kCollectiveNames, ", ")));
}

MeasurementOptions options_of(const CalibrateOptions& o, const Catalogue& catalogue) {
  MeasurementOptions options;
  if (!o.gpu.empty()) options.gpu = catalogue.gpu(o.gpu, "--gpu").name;
  if (!o.cluster.empty()) {
    options.cluster = read_cluster(catalogue, o.cluster, 0);
    if (!options.gpu.empty() && options.gpu != options.cluster->gpu.name)
      throw SpecError("--gpu",
                      fmt::format("{} is not the GPU of --cluster, {}", options.gpu, options.cluster->gpu.name));
    options.gpu = options.cluster->gpu.name;
  }
  options.ranks = o.ranks;
  options.ranks_per_node = o.ranks_per_node;
  options.op = op_of(o.op);
  options.framework = o.framework;
  return options;
}

}  // namespace

int calibrate(const CalibrateOptions& o) {
  const Catalogue catalogue = Catalogue::load();
  const MeasurementOptions options = options_of(o, catalogue);
  std::vector<Measurements> files;
  for (const std::string& path : o.files) files.push_back(read_measurements(path, options, catalogue));
  const CalibrationResult result =
      foretrain::calibrate(files, catalogue, {.share = o.holdout, .seed = o.seed}, FORETRAIN_VERSION);
  for (const Measurements& file : files)
    for (const std::string& warning : file.warnings) fmt::print(stderr, "warning: {}\n", warning);
  const std::string text = calibration_text(result.calibration);
  if (!o.output.empty()) write_file(o.output, text);
  print(o.format == Format::json ? text : calibration_report(result));
  return kDone;
}

}  // namespace foretrain::cli
