/// Tables of nccl-tests as samples: which GPUs, how they lie in nodes, which rows are sound.
#pragma once

#include "hwmodels/catalogue.h"
#include "validate/calibrate/measurement.h"
#include "validate/calibrate/nccl_log.h"
#include "validate/comparison.h"

namespace foretrain {

/// What a table timed and where its ranks lay.
struct PlacedTable {
  CollectiveOp op = CollectiveOp::all_reduce;
  GroupLayout group;
  std::shared_ptr<const ClusterSpec> cluster;  ///< with the NCCL that the log names, and what its environment forces
};

/// Nothing, with the reason in `why`, for a table without a known GPU, number of ranks or operation, and for several
/// ranks on one GPU. SpecError when `options` contradict it.
std::optional<PlacedTable> place_table(const NcclTable& table, const MeasurementOptions& options,
                                       const Catalogue& catalogue, std::string& why);

/// True for a file that opens as output of nccl-tests, text or JSON.
bool is_nccl_file(const std::string& path);

/// Every row of the file that can be predicted, as compare_collectives has them; the others refused. The cluster is the
/// usual one of the GPU that the log names. SpecError for what is no whole log.
Comparison compare_nccl_file(const std::string& path, const Catalogue& catalogue, const Calibration* calibration);

/// Adds what `log` measured. Out-of-place times; in-place ones where a row has no others. Left out, with the reason:
/// tables without a known GPU, number of ranks or operation, and of several ranks on one GPU; rows with wrong results.
/// A GPU not in the catalogue is left out; SpecError when `options` contradict the file.
void add_nccl_samples(const NcclLog& log, const MeasurementOptions& options, const Catalogue& catalogue,
                      Measurements& out);

}  // namespace foretrain
