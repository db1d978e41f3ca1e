/// Single layers under a plan against the unsharded reference, forward and backward, and what they send.
#pragma once

#include "validate/parallel/check.h"

namespace foretrain::parallel {

/// y = x W^T + b alone, the weight's rows (columns) cut over `tensor` ranks.
Check column_linear_check(std::string name, int tensor, std::vector<Fault> faults);
Check row_linear_check(std::string name, int tensor, std::vector<Fault> faults);

/// The MLP and the attention of a layer between norm and residual: exactly one all-reduce forward and one backward, or
/// with sequence parallelism one all-gather and one reduce-scatter forward, two and one backward (the second gathers
/// the kept input again for the weight gradients: arXiv 2205.05198, section 4.2.2).
Check mlp_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults);
Check attention_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults);

/// A norm over the rows that a tensor rank holds under sequence parallelism: the ranks' weight gradients add up.
Check norm_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults);

/// Embedding, and logits with cross-entropy, over a vocabulary cut over the tensor ranks.
Check embedding_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults);
Check loss_check(std::string name, const SmallModel& model, const ParallelPlan& plan, std::vector<Fault> faults);

/// Masks themselves: the same on tensor ranks in replicated regions, independent in split ones.
Check dropout_check(std::string name, int tensor, std::vector<Fault> faults);

}  // namespace foretrain::parallel
