#include "cli/trace.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/output.h"
#include "hwmodels/nccl.h"
#include "sim/chrome_trace.h"
#include "sim/perfetto_trace.h"

namespace foretrain::cli {
namespace {

constexpr std::int64_t kMostTasks = 2'000'000;  // some 600 MB of JSON, 150 MB of protocol buffers
constexpr std::size_t kFewestStages = 4;
constexpr std::uintmax_t kLargeFile = 100'000'000;  // bytes

/// "all_gather 537 MB ring simple".
std::string name_of(const Message& m) {
  std::string name = fmt::format("{} {}", kCollectiveNames[static_cast<std::size_t>(m.op)], to_text(m.size));
  if (m.algorithm != NcclAlgorithm::none)
    name += fmt::format(" {}", kAlgorithmNames[static_cast<std::size_t>(m.algorithm)]);
  if (m.protocol != NcclProtocol::none)
    name += fmt::format(" {}", kProtocolNames[static_cast<std::size_t>(m.protocol)]);
  return name;
}

/// All devices, or as many as have no more tasks than a trace may hold: evenly chosen, first and last among them.
std::vector<sim::DeviceId> devices_to_show(const sim::TaskGraph& graph) {
  std::vector<std::int64_t> tasks(graph.devices().size(), 0);  // [device]
  for (sim::TaskId id = 0; id < graph.task_count(); ++id) ++tasks[static_cast<std::size_t>(graph.device_of(id))];
  std::vector<sim::DeviceId> shown;
  for (std::size_t stages = tasks.size();;) {
    shown.clear();
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < stages; ++i) {
      shown.push_back(static_cast<sim::DeviceId>(stages == 1 ? 0 : i * (tasks.size() - 1) / (stages - 1)));
      sum += tasks[static_cast<std::size_t>(shown.back())];
    }
    if (sum <= kMostTasks || stages <= kFewestStages) return shown;
    stages = std::max(kFewestStages, stages / 2);
  }
}

void warn_of_size(const std::string& path, bool is_perfetto) {
  std::error_code error;
  const std::uintmax_t size =
      std::filesystem::is_regular_file(path, error) ? std::filesystem::file_size(path, error) : 0;
  if (error || size <= kLargeFile) return;
  fmt::print(stderr, "warning: {} has {}{}\n", path, to_text(static_cast<double>(size) * bytes),
             is_perfetto ? "" : "; a name that ends in .pftrace gives a file of a quarter of that");
}

}  // namespace

void write_trace(const std::string& path, const Problem& problem, const Plan& plan, bool unfold) {
  const DetailedReport detailed =
      evaluate_in_detail(problem, plan, {.even_if_too_big = true, .rates = true, .unfold = unfold});
  sim::TraceOptions options;
  options.metadata = {{"model", problem.model.name}, {"gpu", problem.cluster.gpu.name}, {"plan", to_text(plan)}};
  for (const Message& m : detailed.messages) options.payload_names.push_back(name_of(m));
  options.devices = devices_to_show(detailed.graph);
  if (options.devices.size() < detailed.graph.devices().size())
    fmt::print(stderr, "warning: {} tasks: {} shows {} of {} stages\n", detailed.graph.task_count(), path,
               options.devices.size(), detailed.graph.devices().size());
  const bool is_perfetto = path.ends_with(".pftrace") || path.ends_with(".perfetto-trace");
  write_file(path, [&](std::ostream& stream) {
    (is_perfetto ? sim::write_perfetto_trace : sim::write_chrome_trace)(detailed.graph, detailed.timeline, stream,
                                                                        options);
  });
  warn_of_size(path, is_perfetto);
}

}  // namespace foretrain::cli
