/// Error bars from what predictions of published measurements have missed by.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "hwmodels/residuals.h"
#include "validate/comparison.h"
#include "validate/run_rows.h"

namespace foretrain {

/// Spread by GPU (group "gpu: NAME") of rows of kernels or collectives, taken `together` at a time, in order: what a
/// step runs is a sum of several, whose errors cancel in part. Of each such set the mean of measured / predicted
/// counts; a last set that is not full is left out unless it is the only one.
std::map<std::string, PartResidual> part_residuals(const std::vector<ComparisonRow>& rows, std::size_t together);

/// Fills steps, any_step and ranking of `residuals` from the runs, whose kernels and collectives are filled. For each
/// trainer log_bias is the median of log(measured / predicted), and log_width what, together with what kernels and
/// collectives carry into each row, has 80 % of the rows inside. A source counts as the root of its rows, so that no
/// single machine decides. Rows that cannot be predicted are passed over. Runs of one source, trainer, model, machine
/// and precision whose plans differ give the ranking's spread.
void fit_steps(const std::vector<RunRow>& runs, ResidualSpec& residuals);

/// As read_residuals reads it.
std::string residuals_text(const ResidualSpec& residuals);

}  // namespace foretrain
