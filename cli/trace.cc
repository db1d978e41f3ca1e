#include "cli/trace.h"

#include <string>

#include "cli/output.h"
#include "sim/chrome_trace.h"

namespace foretrain::cli {

void write_trace(const std::string& path, const Problem& problem, const Plan& plan) {
  const DetailedReport detailed = evaluate_in_detail(problem, plan, {.even_if_too_big = true});
  sim::ChromeTraceOptions options;
  options.metadata = {{"model", problem.model.name}, {"gpu", problem.cluster.gpu.name}, {"plan", to_text(plan)}};
  write_file(
      path, [&](std::ostream& stream) { sim::write_chrome_trace(detailed.graph, detailed.timeline, stream, options); });
}

}  // namespace foretrain::cli
