// Samples of a `foretrain.measurements/1` file (docs/FORMAT.md).
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "hwmodels/kernel_json.h"
#include "validate/calibrate/device_name.h"
#include "validate/calibrate/read_measurements.h"

namespace foretrain {
namespace {

constexpr std::string_view kSchema = "foretrain.measurements/1";
constexpr RealRange kMicroseconds = {0, 1e12};
constexpr IntRange kRanks = {1, 100'000'000};

std::string text_or_empty(const SpecNode& node, std::string_view key) {
  const auto value = node.optional(key);
  return value && value->is_string() ? value->as_string() : std::string();
}

/// The median of a sample; nothing where it was skipped, and `why`. A null among samples is a time that was no number.
std::optional<Seconds> median_time(const SpecNode& sample, std::string& why) {
  if (sample.has("skipped")) {
    why = "skipped: " + text_or_empty(sample, "skipped");
    return std::nullopt;
  }
  if (const auto median = sample.optional("median_us")) {
    const double us = median->as_real(kMicroseconds);
    if (!(us > 0)) median->fail_expected("microseconds above 0");
    return us * microseconds;
  }
  std::vector<double> times;
  const SpecNode samples = sample.required("samples_us");
  for (const SpecNode& time : samples.items())
    if (!time.is_null()) times.push_back(time.as_real(kMicroseconds));
  if (times.empty() && samples.size() > 0) {
    why = "no sample is a number";
    return std::nullopt;
  }
  if (times.empty() || !(median_of(times) > 0)) samples.fail_expected("times above 0");
  return median_of(times) * microseconds;
}

std::vector<SpecNode> items_of(const SpecNode& file, std::string_view key) {
  const auto list = file.optional(key);
  return list ? list->items() : std::vector<SpecNode>();
}

class Reader {
 public:
  Reader(const SpecNode& file, const MeasurementOptions& options, const Catalogue& catalogue, Measurements& out)
      : file_(file), out_(out) {
    const SpecNode device = file.required("device");
    out.source.device = device.required("gpu").as_string();
    out.source.date = text_or_empty(device, "date");
    gpu_ = gpu_to_fit(out.source.device, options.gpu, catalogue, why_no_gpu_);
    if (gpu_ != nullptr) {
      ClusterSpec cluster = options.cluster ? *options.cluster : catalogue.node(gpu_->usual_node, gpu_->name);
      cluster.gpu = *gpu_;
      cluster_ = std::make_shared<const ClusterSpec>(std::move(cluster));
    }
  }

  void read() {
    for (const SpecNode& sample : items_of(file_, "kernels")) kernel(sample, MeasuredIn::isolated);
    for (const SpecNode& sample : items_of(file_, "collectives")) collective(sample);
    for (const SpecNode& sample : items_of(file_, "launches")) launch(sample);
    for (const SpecNode& step : items_of(file_, "steps")) {
      ++out_.source.rows;
      out_.leave_out("whole steps are compared, not fitted");
      for (const SpecNode& sample : items_of(step, "kernels")) kernel(sample, MeasuredIn::step);
    }
    const auto peaks = static_cast<std::int64_t>(items_of(file_, "memory").size());
    out_.source.rows += peaks;
    out_.leave_out("memory is compared, not fitted", peaks);
    const auto complete = file_.optional("complete");
    if (complete && !complete->as_bool())
      out_.warnings.push_back(file_.file() + ": the run was interrupted; the samples that it has are kept");
  }

 private:
  bool known_gpu() {
    if (gpu_ == nullptr) out_.leave_out(why_no_gpu_);
    return gpu_ != nullptr;
  }

  std::optional<Seconds> time_of(const SpecNode& sample) {
    ++out_.source.rows;
    std::string why;
    const auto time = median_time(sample, why);
    if (!time) out_.leave_out(why);
    return time;
  }

  void kernel(const SpecNode& sample, MeasuredIn measured_in) {
    const auto time = time_of(sample);
    if (!time || !known_gpu()) return;
    out_.kernels.push_back({gpu_->name, {read_kernel(sample.required("work"))}, *time, measured_in});
  }

  void collective(const SpecNode& sample) {
    const auto time = time_of(sample);
    const auto op = static_cast<CollectiveOp>(sample.required("op").as_choice(kCollectiveNames, "collective"));
    const double size = sample.required("bytes").as_real({1, 1e16});
    const std::int64_t ranks = sample.required("ranks").as_int(kRanks);
    if (!time || !known_gpu()) return;
    const auto number = [&](std::string_view key, std::int64_t otherwise) {
      const auto value = sample.optional(key);
      return value ? value->as_int(kRanks) : otherwise;
    };
    GroupLayout group{.ranks = ranks,
                      .ranks_per_node = number("ranks_per_node", std::min(ranks, cluster_->nvlink_domain)),
                      .groups_sharing_nics = number("groups_sharing_nics", 1)};
    if (ranks == 1) return out_.leave_out("one rank has nothing to send");
    if (number("gpus", ranks) < ranks) return out_.leave_out("several ranks shared one GPU");
    if (ranks % group.ranks_per_node != 0)
      sample.required("ranks_per_node").fail_expected(fmt::format("a divisor of the {} ranks", ranks));
    out_.collectives.push_back({.op = op,
                                .size = size * bytes,
                                .time = *time,
                                .group = group,
                                .cluster = cluster_,
                                .choice = forced(sample),
                                .measured_in = MeasuredIn::isolated});
  }

  static CollectiveChoice forced(const SpecNode& sample) {
    CollectiveChoice choice;
    if (const auto a = sample.optional("algorithm"))
      choice.algorithm = static_cast<NcclAlgorithm>(a->as_choice(kAlgorithmNames, "algorithm"));
    if (const auto p = sample.optional("protocol"))
      choice.protocol = static_cast<NcclProtocol>(p->as_choice(kProtocolNames, "protocol"));
    return choice;
  }

  void launch(const SpecNode& sample) {
    const auto time = time_of(sample);
    if (!time) return;
    if (sample.required("what").as_string() != "kernel")
      return out_.leave_out("launches of graphs and collectives are compared, not fitted");
    const auto samples = sample.optional("samples_us");
    const auto backward = sample.optional("backward");
    const std::string framework = text_or_empty(sample, "framework");
    out_.launches.push_back({.framework = framework.empty() ? "foretrain" : framework,
                             .backward = backward && backward->as_bool(),
                             .time = *time,
                             .samples = samples ? static_cast<std::int64_t>(samples->size()) : 1});
  }

  const SpecNode& file_;
  Measurements& out_;
  const GpuSpec* gpu_ = nullptr;
  std::string why_no_gpu_;
  std::shared_ptr<const ClusterSpec> cluster_;
};

}  // namespace

bool is_measurement_file(const SpecNode& file) {
  if (!file.is_object() || !file.has("schema")) return false;
  const SpecNode schema = file.required("schema");
  return schema.is_string() && schema.as_string() == kSchema;
}

void add_measurement_file(const SpecNode& file, const MeasurementOptions& options, const Catalogue& catalogue,
                          Measurements& out) {
  Reader(file, options, catalogue, out).read();
}

}  // namespace foretrain
