#include "planner/trouble.h"

#include <algorithm>

#include "base/check.h"
#include "planner/resource.h"

namespace foretrain {

const std::vector<TroubleKind>& trouble_kinds() {
  static const std::vector<TroubleKind> kinds = {
      {"tensor_across_nodes", "tensor parallelism leaves the NVLink domain", tensor_across_nodes},
      {"context_across_nodes", "context parallelism leaves the NVLink domain", context_across_nodes},
      {"oversubscribed_network", "leaves have fewer up-links than the plan needs", oversubscribed_network},
      {"exposed_data_parallel", "gradient sums and parameter gathers that no compute hides", exposed_data_parallel},
      {"no_tensor_overlap", "tensor-parallel collectives wait for GEMMs and GEMMs for them", no_tensor_overlap},
      {"no_pipeline_overlap", "stages wait for their messages", no_pipeline_overlap},
      {"pipeline_bubble", "too few micro-batches for the pipeline", pipeline_bubble},
      {"unbalanced_stages", "one stage works longer than the others, as with embedding or loss", unbalanced_stages},
      {"batch_too_small", "too few sequences for so many GPUs", batch_too_small},
      {"idle_gpus", "GPUs of the cluster that the plan does not use", idle_gpus},
      {"host_bound_launches", "the GPU waits for the host to launch kernels", host_bound_launches},
      {"recomputation_not_needed", "less recomputation would fit too", recomputation_not_needed},
      {"small_micro_batch", "GEMMs of one micro-batch do not fill the GPU", small_micro_batch},
      {"no_sequence_parallelism", "norms and dropout repeated on every tensor rank", no_sequence_parallelism},
      {"unfused_attention", "attention scores go through memory", unfused_attention},
      {"padded_vocabulary", "the vocabulary is padded for the tensor ranks", padded_vocabulary},
      {"memory_almost_full", "what a run allocates beside the plan may not fit", memory_almost_full},
  };
  return kinds;
}

std::vector<Trouble> troubles(const Problem& problem, const DetailedReport& detailed) {
  FORETRAIN_CHECK(detailed.report.step.base() > 0);
  std::vector<Trouble> found;
  for (const TroubleKind& kind : trouble_kinds())
    if (std::optional<Trouble> trouble = kind.find(problem, detailed)) {
      trouble->name = kind.name;
      found.push_back(std::move(*trouble));
    }
  std::stable_sort(found.begin(), found.end(), [](const Trouble& a, const Trouble& b) { return a.cost > b.cost; });
  return found;
}

void propose(Trouble& trouble, const Problem& problem, const PlanReport& report, const std::vector<Plan>& candidates) {
  Seconds best = report.step;
  for (const Plan& plan : candidates) {
    const Outcome o = outcome(problem, plan);
    if (!o.runs() || o.step >= best) continue;
    best = o.step;
    trouble.instead = plan;
    trouble.instead_step = o.step;
  }
}

Seconds time_of(const PlanReport& report, std::string_view label) {
  Seconds time;
  for (const TimePart& part : report.time)
    if (part.name == label) time += part.time;
  return time;
}

}  // namespace foretrain
