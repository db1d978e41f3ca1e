#include "foretrain/job_content.h"
#include "planner/plan_file.h"

namespace foretrain {
namespace {

/// The job that a document holds: of a plan file, its job with plan `number` as the plan.
SpecNode job_in(const SpecNode& document, int number) {
  if (is_plan_file(document)) return job_with_plan(document, number);
  if (number != 1) document.fail("this is a job, which has one plan; a plan file has several");
  return document;
}

}  // namespace

std::string_view version() { return FORETRAIN_VERSION; }

Job Job::from_file(const std::string& path, int plan) {
  return with_own_errors([&] { return JobContent::job(job_in(SpecNode::read_file(path), plan)); });
}

Job Job::from_text(std::string_view json, const std::string& name, int plan) {
  return with_own_errors([&] { return JobContent::job(job_in(SpecNode::parse(json, name), plan)); });
}

Job Job::with(std::string_view key, std::string_view value) const {
  return with_own_errors([&] { return JobContent::job(with_override(*document_, key, value)); });
}

std::string Job::json() const { return document_->dump(); }

}  // namespace foretrain
