/// docs/ACCURACY.md and its figures: predicted against measured, for every published measurement that ships with the
/// program.
#pragma once

#include <string>
#include <vector>

#include "validate/comparison.h"

namespace foretrain {

/// One file of measurements and what became of its rows.
struct MeasuredFile {
  std::string name;  ///< for headings: "vTrain, multi-node"
  std::string stem;  ///< for file names: "vtrain-multi-node"
  Comparison comparison;
};

/// Why runs whose id begins with `prefix` are far from their prediction.
struct KnownReason {
  std::string prefix, reason;
};

struct AccuracyInput {
  std::vector<MeasuredFile> runs;  ///< training runs
  std::vector<MeasuredFile> kernels, collectives;
  std::vector<KnownReason> reasons;         ///< the first that fits a run counts
  std::vector<ComparisonRow> host_medians;  ///< all_reduce on 8 H100, by size (validate/collective_rows.h)
};

struct TextFile {
  std::string path;  ///< below the documents' folder: "ACCURACY.md", "accuracy/vtrain-multi-node.svg"
  std::string content;
};

/// The page first, then the figures it shows. The same input gives the same bytes.
std::vector<TextFile> accuracy_report(const AccuracyInput& input);

}  // namespace foretrain
