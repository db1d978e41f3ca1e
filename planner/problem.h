/// A problem: model, cluster, job, limits. Checked once when it is loaded, const afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/spec_node.h"
#include "hwmodels/calibration.h"
#include "hwmodels/catalogue.h"
#include "hwmodels/cluster.h"
#include "hwmodels/efficiency.h"
#include "hwmodels/residuals.h"
#include "planner/job.h"
#include "planner/model.h"
#include "planner/plan.h"
#include "planner/trainer.h"

namespace foretrain {

/// Values a plan key may take in the search, ascending as given. Empty = any ("any", or the key left out).
struct SearchSpec {
  std::vector<std::int32_t> tensor, pipeline, virtual_pipeline, data, context, micro_batch, zero_stage,
      recompute_layers;
  std::vector<ScheduleKind> schedule;
  std::vector<Recompute> recompute;
  std::vector<ContextKind> context_kind;
  std::vector<bool> sequence_parallel, account_for_embedding, account_for_loss;
  /// Every plan of the search starts from this one: it holds what is fixed and not enumerated (expert, expert_tensor,
  /// shard_group, offload, stage_layers, rank_order).
  Plan base;
  std::optional<Overlap> overlap;  ///< as given; otherwise default_overlap() of each plan
};
SearchSpec read_search(const SpecNode& search);

struct Problem {
  ModelSpec model;
  ClusterSpec cluster;
  EfficiencySpec efficiency;  ///< of cluster.gpu
  /// What measurements on real GPUs correct; null: the catalogue alone. Set after loading: no part of a job.
  std::shared_ptr<const Calibration> calibration;
  std::shared_ptr<const ResidualSpec> residuals;  ///< what error bars are made of; null: none are given
  Training training;
  Software software;
  SearchSpec search;
  std::optional<Trainer> trainer;  ///< the search leaves out what this one would not launch; set after loading
  std::optional<Plan> plan;        ///< the one plan that `simulate` and `memory` take; the trainer's defaults filled in
  std::string job_json;            ///< the job as it was read (overrides applied), compact
};

/// True when the GPU's matrix units take the precision's format (fp32 may run as tf32).
bool is_supported(const GpuSpec& gpu, Precision precision);

/// Reads a `foretrain.job/1` object (docs/FORMAT.md). Every contradiction is a SpecError at the key to change.
/// Relative paths in the job (model, cluster) are relative to the job's file.
Problem load_problem(const SpecNode& job, const Catalogue& catalogue);
/// The same for a search: the form of the job's own plan is checked, but the plan is left out, and need not go with
/// the cluster or the model.
Problem load_search_problem(const SpecNode& job, const Catalogue& catalogue);

/// Reads one row of a `foretrain.runs/1` file, whose objects are those of a job; `plan` is then set. What was measured
/// is left to the caller.
Problem load_run(const SpecNode& run, const Catalogue& catalogue);

/// Model by catalogue name, path or object: the `model` value of a job.
ModelSpec load_model(const SpecNode& value, const std::string& base_folder);
/// A Hugging Face config.json (it has `model_type`); multimodal ones give their text_config.
ModelSpec import_hf(const SpecNode& config);

}  // namespace foretrain
