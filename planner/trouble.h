/// The troubles that engineers know by name, looked for in one plan: what is wrong, what it costs, what to do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/report.h"

namespace foretrain {

/// A trouble that costs less than this share of the step is not worth naming.
inline constexpr double kWorthNaming = 0.01;

struct Trouble {
  std::string_view name;        ///< "tensor_across_nodes"
  std::string what;             ///< a sentence with the plan's own numbers
  Seconds cost;                 ///< part of the step; costs overlap and do not add up. 0: a risk, not a cost
  std::string counted;          ///< how the cost was found: "simulated with CUDA graphs", "label pipeline_bubble"
  std::string remedy;           ///< what to do
  std::optional<Plan> instead;  ///< the plan that does it, where one is known that fits; its step is shorter
  Seconds instead_step;
};

/// What is looked for, in the order of this table; one row each, with the function that finds it.
struct TroubleKind {
  std::string_view name, summary;
  std::optional<Trouble> (*find)(const Problem&, const DetailedReport&);
};
const std::vector<TroubleKind>& trouble_kinds();

/// Those that the plan has, the most expensive first; ties in the order of the table. `detailed` must have been
/// simulated.
std::vector<Trouble> troubles(const Problem& problem, const DetailedReport& detailed);

// The rows' functions: trouble_groups.cc looks at where groups lie and what they send, trouble_schedule.cc at
// micro-batches and stages, trouble_work.cc at what a GPU computes.
std::optional<Trouble> tensor_across_nodes(const Problem&, const DetailedReport&);
std::optional<Trouble> context_across_nodes(const Problem&, const DetailedReport&);
std::optional<Trouble> oversubscribed_network(const Problem&, const DetailedReport&);
std::optional<Trouble> exposed_data_parallel(const Problem&, const DetailedReport&);
std::optional<Trouble> no_tensor_overlap(const Problem&, const DetailedReport&);
std::optional<Trouble> no_pipeline_overlap(const Problem&, const DetailedReport&);
std::optional<Trouble> pipeline_bubble(const Problem&, const DetailedReport&);
std::optional<Trouble> unbalanced_stages(const Problem&, const DetailedReport&);
std::optional<Trouble> batch_too_small(const Problem&, const DetailedReport&);
std::optional<Trouble> idle_gpus(const Problem&, const DetailedReport&);
std::optional<Trouble> host_bound_launches(const Problem&, const DetailedReport&);
std::optional<Trouble> recomputation_not_needed(const Problem&, const DetailedReport&);
std::optional<Trouble> small_micro_batch(const Problem&, const DetailedReport&);
std::optional<Trouble> no_sequence_parallelism(const Problem&, const DetailedReport&);
std::optional<Trouble> unfused_attention(const Problem&, const DetailedReport&);
std::optional<Trouble> padded_vocabulary(const Problem&, const DetailedReport&);
std::optional<Trouble> memory_almost_full(const Problem&, const DetailedReport&);

/// Gives `trouble` the fastest of `candidates` that fits, where its step is shorter than the report's; the first on a
/// tie. Candidates may be illegal.
void propose(Trouble& trouble, const Problem& problem, const PlanReport& report, const std::vector<Plan>& candidates);

/// Time of a label of the report; 0 where it has none.
Seconds time_of(const PlanReport& report, std::string_view label);
/// True when `cost` is worth naming beside the report's step.
inline bool worth_naming(const PlanReport& report, Seconds cost) { return cost >= kWorthNaming * report.step; }

}  // namespace foretrain
