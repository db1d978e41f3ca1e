/// Plans for tests of exporters: those of small spaces, and those of real searches.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/export_plan.h"
#include "planner/import_config.h"
#include "planner/launch_rules.h"
#include "planner/placement.h"
#include "planner/search.h"
#include "tests/planner/small_spaces.h"

namespace foretrain {

inline const Exporter& exporter_named(std::string_view name) {
  for (const Exporter& e : exporters())
    if (e.name == name) return e;
  throw std::runtime_error("no exporter " + std::string(name));
}
inline const Importer& importer_named(std::string_view name) {
  for (const Importer& i : importers())
    if (i.name == name) return i;
  throw std::runtime_error("no importer " + std::string(name));
}

/// What reading `text` back gives on the cluster of `problem`; what the trainer's file does not hold is as in
/// `problem`.
inline Problem read_back(std::string_view importer, const std::string& text, const Problem& problem) {
  const ImportedJob imported = importer_named(importer).read(text, "written");
  const SpecNode original = SpecNode::parse(problem.job_json, "job.json");
  SpecNode job = SpecNode::parse(imported.job_json, "written");
  job = with_override(job, "cluster", original.required("cluster").dump());
  if (!job.has("model")) job = with_override(job, "model", original.required("model").dump());
  if (!job.required("training").has("sequence_length"))
    job = with_override(job, "training.sequence_length", std::to_string(problem.training.sequence_length));
  return load_problem(job, test_catalogue());
}

/// The plan as JSON without what means nothing: sends of a pipeline with one stage overlap with nothing; a group of all
/// ranks is no group.
inline std::string canonical(Plan plan) {
  if (plan.pipeline == 1) plan.overlap.pipeline = false;
  if (plan.shard_group == plan.data * plan.context) plan.shard_group = 0;
  if (plan.data * plan.context == 1) plan.overlap.data = true;
  if (plan.context == 1) plan.context_kind = ContextKind::ring;
  return to_json(plan);
}
/// The same with every way to deal layers as the list of layers that it comes to.
inline std::string canonical(const ModelSpec& model, Plan plan) {
  plan.stage_layers = place_layers(model, plan).layers;
  plan.account_for_embedding = plan.account_for_loss = false;
  return canonical(plan);
}

/// Calls `visit` with every `stride`-th plan of the small spaces that run `framework` and that `trainer` launches.
inline void for_each_launchable(Trainer trainer, int stride,
                                const std::function<void(const Problem&, const Plan&)>& visit) {
  for (const std::string_view space : kSmallSpaces) {
    const Problem problem = job(space);
    if (problem.software.framework != framework_of(trainer)) continue;
    int count = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t /*order*/) {
      if (break_of_rule(problem, plan) || break_of_launch_rule(trainer, problem, plan)) return;
      if (count++ % stride == 0) visit(problem, plan);
    });
  }
}

/// The best plans of searching `job_text` for what `trainer` launches.
inline void for_each_winner(Trainer trainer, std::string_view job_text, int top,
                            const std::function<void(const Problem&, const Plan&)>& visit) {
  Problem problem = job(job_text);
  problem.trainer = trainer;
  SearchOptions options;
  options.top = top;
  const SearchResult result = search(problem, options);
  for (const PlanReport& report : result.plans) visit(problem, report.plan);
}

}  // namespace foretrain
