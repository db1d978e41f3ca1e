/// Measured collectives (nccl-tests and its like) from JSON files, and what collective_time predicts for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"
#include "hwmodels/calibration.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/collective_time.h"
#include "validate/comparison.h"

namespace foretrain {

/// One size of a run.
struct CollectiveRow {
  Bytes size;  ///< as nccl-tests counts it
  Seconds time;
};

/// One operation on one group of GPUs over many sizes. A run that we cannot express has a refusal instead of a group.
struct CollectiveRun {
  std::string id;
  std::string refusal;  ///< not empty: why there is no prediction
  CollectiveOp op = CollectiveOp::all_reduce;
  GroupLayout group;
  ClusterSpec cluster;
  CollectiveChoice choice;  ///< what the run forced
  std::vector<CollectiveRow> rows;
};

/// True for a JSON array of runs with "n_ranks" and "rows".
bool is_collective_file(const SpecNode& root);

/// Reads [{"id", "hardware": {"gpu", "gpus_per_node", "nodes", "fabric", "intra"}, "n_ranks", "nccl_version", "op",
/// "dtype", "algo_forced", "proto_forced", "rows": [{"bytes", "time_us"}]}]; further keys inform a reader. Refused,
/// with the reason, are unknown GPUs and operations, ranks that do not fill the nodes, in-place columns of a run that
/// stands there already, and runs whose source has "confidence": "low". SpecError for what is not of this form.
std::vector<CollectiveRun> read_collective_runs(const SpecNode& root, const Catalogue& catalogue);

/// Every row predicted (quantity collective_seconds; groups by GPU, operation, size class and number of nodes) or
/// refused. With a calibration (may be null): corrected by it.
Comparison compare_collectives(const std::vector<CollectiveRun>& runs, const Calibration* calibration = nullptr);

/// What many hosts measured of one operation on one GPU kind, all ranks in one node.
struct HostMedians {
  std::string_view gpu;
  CollectiveOp op = CollectiveOp::all_reduce;
  std::int64_t ranks = 8;
  Bytes from, to;
};
/// For each power of two of the range, the median of all runs that measured that size with nothing forced, beside the
/// median of their predictions (of two middle ones the mean). Ids are sizes: "65536 B".
std::vector<ComparisonRow> medians_of_hosts(const std::vector<CollectiveRun>& runs, const HostMedians& of);

/// All-reduce on 8 H100, 64 KiB to 1 GiB: what simulators are compared by.
inline constexpr HostMedians kEightH100 = {
    .gpu = "h100-sxm5-80gb", .op = CollectiveOp::all_reduce, .ranks = 8, .from = 64 * KiB, .to = 1 * GiB};

}  // namespace foretrain
