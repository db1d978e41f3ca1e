#include "cli/job_input.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/choices.h"
#include "hwmodels/calibration_file.h"
#include "hwmodels/catalogue.h"
#include "planner/import_config.h"
#include "planner/plan_file.h"

namespace foretrain::cli {
namespace {

SpecNode with_overrides(SpecNode job, const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw SpecError("--set", "expected path.to.key=value; got " + in_quotes(text));
    job = with_override(job, std::string_view(text).substr(0, equals), std::string_view(text).substr(equals + 1));
  }
  return job;
}

}  // namespace

namespace {

/// `text` of --cluster as a job's cluster: JSON, or a name; a node by name stands for as many as `gpus` fill.
std::string cluster_json(const std::string& text, const std::optional<std::int64_t>& gpus) {
  if (text.find('{') != std::string::npos) return SpecNode::parse(text, "--cluster").dump();
  if (gpus) {
    const Catalogue catalogue = Catalogue::load();
    for (const ClusterSpec& node : catalogue.nodes()) {
      const std::vector<std::string> aliases = catalogue.node_aliases(node);
      const bool is_named = to_lower(node.name) == to_lower(text) ||
                            std::any_of(aliases.begin(), aliases.end(),
                                        [&](const std::string& alias) { return to_lower(alias) == to_lower(text); });
      if (is_named) return fmt::format(R"({{"node": {}, "gpus": {}}})", in_quotes(text), *gpus);
    }
  }
  return in_quotes(text);
}

/// A trainer's configuration as a job.
SpecNode import_job(const JobOptions& options) {
  std::vector<std::string_view> names;
  for (const Importer& importer : importers()) names.push_back(importer.name);
  const Importer& importer = importers()[choose(options.from, names, "--from", "importer")];
  const ImportedJob imported = import_config(importer, options.file);
  for (const std::string& warning : imported.warnings) fmt::print(stderr, "warning: {}\n", warning);
  SpecNode job = SpecNode::parse(imported.job_json, options.file);
  if (!options.cluster.empty()) job = with_override(job, "cluster", cluster_json(options.cluster, imported.gpus));
  job = with_overrides(job, options.overrides);
  if (!job.has("cluster"))
    throw SpecError(options.file, "says nothing of the cluster: add --cluster, such as --cluster dgx-h100");
  return job;
}

}  // namespace

SpecNode read_job(const JobOptions& options, std::int32_t number) {
  if (!options.from.empty()) return import_job(options);
  if (!options.cluster.empty()) throw SpecError("--cluster", "goes with --from; a job names its own cluster");
  const SpecNode file = SpecNode::read_file(options.file);
  if (is_plan_file(file)) return with_overrides(job_with_plan(file, number), options.overrides);
  if (number != 1) throw SpecError(options.file, "--plan takes a plan file; this is a job, which has one plan");
  return with_overrides(file, options.overrides);
}

std::shared_ptr<const Calibration> read_job_calibration(const JobOptions& options) {
  std::shared_ptr<const Calibration> calibration;
  if (!options.calibration.empty())
    calibration = std::make_shared<const Calibration>(read_calibration(options.calibration));
  if (!options.from.empty()) return calibration;
  const SpecNode file = SpecNode::read_file(options.file);
  if (!is_plan_file(file) || !file.optional("calibration")) return calibration;
  const SpecNode used = file.required("calibration");
  if (!used.is_object() || !used.has("sha256")) return calibration;
  const std::string hash = used.required("sha256").as_string();
  if (calibration == nullptr || calibration->sha256 != hash)
    fmt::print(stderr, "warning: {} was predicted with the calibration {} ({}); this is another prediction\n",
               options.file, used.required("name").as_string(), hash.substr(0, 8));
  return calibration;
}

Problem load_with_plan(const SpecNode& job, const JobOptions& options) {
  Problem problem = load_problem(job, Catalogue::load());
  if (!options.file.empty()) problem.calibration = read_job_calibration(options);
  if (!problem.model.not_plannable.empty()) throw SpecError(job.required("model").where(), problem.model.not_plannable);
  if (!problem.plan) job.fail("key \"plan\" is missing: it holds the one plan to predict");
  return problem;
}

std::optional<std::int64_t> parse_rank(const std::string& text, const Plan& plan) {
  if (text == "all") return {};
  std::int64_t rank = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
  if (error != std::errc{} || end != text.data() + text.size() || rank < 0 || rank >= gpus_used(plan))
    throw SpecError("--rank", fmt::format("expected all, or 0 to {}; got {}", gpus_used(plan) - 1, in_quotes(text)));
  return rank;
}

}  // namespace foretrain::cli
