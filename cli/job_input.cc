#include "cli/job_input.h"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "base/text.h"
#include "hwmodels/calibration_file.h"
#include "hwmodels/catalogue.h"
#include "planner/plan_file.h"

namespace foretrain::cli {
namespace {

namespace fs = std::filesystem;

SpecNode with_overrides(SpecNode job, const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw SpecError("--set", "expected path.to.key=value; got " + in_quotes(text));
    job = with_override(job, std::string_view(text).substr(0, equals), std::string_view(text).substr(equals + 1));
  }
  return job;
}

/// The file that `value` names, where it does and there is one; a folder stands for its config.json.
fs::path file_named_by(const SpecNode& value) {
  if (!value.is_string()) return {};
  const std::string text = value.as_string();
  if (text.find('/') == std::string::npos && !text.ends_with(".json")) return {};
  fs::path path = fs::path(value.file()).parent_path() / text;
  std::error_code error;
  if (fs::is_directory(path, error)) path /= "config.json";
  return fs::is_regular_file(path, error) ? path : fs::path();
}

}  // namespace

SpecNode read_job(const JobOptions& options, std::int32_t number) {
  const SpecNode file = SpecNode::read_file(options.file);
  if (is_plan_file(file)) return with_overrides(job_with_plan(file, number), options.overrides);
  if (number != 1) throw SpecError(options.file, "--plan takes a plan file; this is a job, which has one plan");
  return with_overrides(file, options.overrides);
}

std::shared_ptr<const Calibration> read_job_calibration(const JobOptions& options) {
  std::shared_ptr<const Calibration> calibration;
  if (!options.calibration.empty())
    calibration = std::make_shared<const Calibration>(read_calibration(options.calibration));
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

std::string self_contained(const SpecNode& job, const std::string& model_name) {
  SpecNode whole = job;
  for (const char* key : {"model", "cluster"}) {
    if (!whole.has(key)) continue;
    const fs::path path = file_named_by(whole.required(key));
    if (path.empty()) continue;
    const SpecNode content = SpecNode::read_file(path.string());
    // A model made from another file refers to it by a path that holds only where it stands.
    if (content.has("base")) continue;
    whole = with_override(whole, key, content.dump());
    const std::string name_key = content.has("model_type") ? "_name_or_path" : "name";
    if (std::string_view(key) == "model" && !content.has(name_key))
      whole = with_override(whole, "model." + name_key, in_quotes(model_name));
  }
  return whole.dump();
}

}  // namespace foretrain::cli
