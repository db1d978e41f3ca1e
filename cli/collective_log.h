/// `foretrain collective --log`: the prediction beside what nccl-tests printed.
#pragma once

#include "cli/subcommands.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/collective_time.h"

namespace foretrain::cli {

/// What --algorithm and --protocol force, in place of the cluster's environment.
void force_choice(CollectiveOp op, const CollectiveOptions& options, ClusterSpec& cluster);

/// Sets every table of options.logs that timed `op` on the ranks asked for beside its prediction, and prints them with
/// the summed errors. Tables of other operations and GPUs are left out and named. SpecError for a log that cannot be
/// read or ends in the middle of a row, and where no table is left.
int collective_beside_logs(CollectiveOp op, const CollectiveOptions& options, const Catalogue& catalogue);

}  // namespace foretrain::cli
