// A Kineto trace as samples: each distinct kernel and collective once.
#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "hwmodels/kernel_json.h"
#include "validate/calibrate/device_name.h"
#include "validate/calibrate/kineto.h"

namespace foretrain {
namespace {

/// Gaps between launches that are longer are pauses of the host, not its work.
constexpr double kPauseUs = 1000;
/// Fewer gaps say nothing.
constexpr std::size_t kLeastGaps = 50;
/// Share of a collective's times that the sample lies above: its kernel also waits for the last rank.
constexpr double kUnhindered = 0.25;

struct CollectiveName {
  std::string_view name;
  CollectiveOp op;
  bool counts_output;  ///< nccl-tests counts what is received
};
// Source: PyTorch, torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp (RECORD_PARAM_COMMS_DATA).
constexpr std::array kCollectives = {
    CollectiveName{"allreduce", CollectiveOp::all_reduce, false},
    CollectiveName{"allreduce_coalesced", CollectiveOp::all_reduce, false},
    CollectiveName{"_allgather_base", CollectiveOp::all_gather, true},
    CollectiveName{"allgather", CollectiveOp::all_gather, true},
    CollectiveName{"all_gather", CollectiveOp::all_gather, true},
    CollectiveName{"allgather_into_tensor_coalesced", CollectiveOp::all_gather, true},
    CollectiveName{"_reduce_scatter_base", CollectiveOp::reduce_scatter, false},
    CollectiveName{"reduce_scatter", CollectiveOp::reduce_scatter, false},
    CollectiveName{"reduce_scatter_tensor_coalesced", CollectiveOp::reduce_scatter, false},
    CollectiveName{"all_to_all", CollectiveOp::all_to_all, false},
    CollectiveName{"alltoall_base", CollectiveOp::all_to_all, false},
    CollectiveName{"broadcast", CollectiveOp::broadcast, false},
    CollectiveName{"_broadcast_oop", CollectiveOp::broadcast, false},
    CollectiveName{"send", CollectiveOp::send_recv, false},
    CollectiveName{"recv", CollectiveOp::send_recv, true}};

struct Width {
  std::string_view dtype;
  double bytes;
};
constexpr std::array kWidths = {Width{"Float", 4},         Width{"BFloat16", 2},    Width{"Half", 2},
                                Width{"Double", 8},        Width{"Int", 4},         Width{"Long", 8},
                                Width{"Byte", 1},          Width{"Char", 1},        Width{"Bool", 1},
                                Width{"Float8_e4m3fn", 1}, Width{"Float8_e5m2", 1}, Width{"Short", 2}};

class Samples {
 public:
  Samples(const KinetoTrace& trace, const MeasurementOptions& options, const Catalogue& catalogue, Measurements& out)
      : trace_(trace), options_(options), out_(out) {
    gpu_ = gpu_to_fit(trace.device, options.gpu, catalogue, why_no_gpu_);
    if (gpu_ == nullptr) return;
    ClusterSpec cluster = options.cluster ? *options.cluster : catalogue.node(gpu_->usual_node, gpu_->name);
    cluster.gpu = *gpu_;
    cluster_ = std::make_shared<const ClusterSpec>(std::move(cluster));
  }

  void add() {
    out_.source.rows += static_cast<std::int64_t>(trace_.kernels.size());
    if (gpu_ == nullptr) {
      out_.leave_out(why_no_gpu_, static_cast<std::int64_t>(trace_.kernels.size()));
      return;
    }
    for (const TraceKernel& kernel : trace_.kernels) {
      if (kernel.collective) {
        collective(kernel);
      } else {
        attribute(kernel);
      }
    }
    emit_kernels();
    emit_collectives();
    emit_launches();
  }

 private:
  struct OwnedKernels {
    double total_us = 0;
    std::int64_t kernels = 0;
  };

  /// Adds a kernel's time to its operator.
  void attribute(const TraceKernel& kernel) {
    if (kernel.name.starts_with("nccl"))
      return out_.leave_out("NCCL kernel without arguments (PyTorch before 2.2, or no process group in the trace)");
    auto op = trace_.ops.find(kernel.external_id);
    if (op == trace_.ops.end()) {
      const auto owner = trace_.owners.find(kernel.correlation);
      if (owner != trace_.owners.end()) op = trace_.ops.find(owner->second);
    }
    if (op == trace_.ops.end())
      return out_.leave_out("kernel without an operator in the trace (CUDA graph, compiled code, or a cut trace)");
    OwnedKernels& owned = by_op_[op->first];
    owned.total_us += kernel.duration_us;
    ++owned.kernels;
  }

  void emit_kernels() {
    struct Times {
      Kernel kernel;
      std::vector<double> us;
      std::int64_t kernels = 0;
    };
    std::map<std::string, Times> distinct;
    for (const auto& [id, owned] : by_op_) {
      std::string why;
      const auto kernel = kernel_of(trace_.ops.at(id), why);
      if (!kernel || !(owned.total_us > 0)) {
        out_.leave_out(kernel ? "no time" : why, owned.kernels);
        continue;
      }
      Times& times = distinct.emplace(kernel_json(*kernel), Times{.kernel = *kernel, .us = {}}).first->second;
      times.us.push_back(owned.total_us);
    }
    for (const auto& entry : distinct)
      out_.kernels.push_back(
          {gpu_->name, {entry.second.kernel}, median_of(entry.second.us) * microseconds, MeasuredIn::step});
  }

  void collective(const TraceKernel& kernel) {
    const TraceCollective& c = *kernel.collective;
    const auto named = std::find_if(kCollectives.begin(), kCollectives.end(),
                                    [&](const CollectiveName& known) { return known.name == c.name; });
    if (named == kCollectives.end()) return out_.leave_out(fmt::format("collective \"{}\" is not modelled", c.name));
    const auto width =
        std::find_if(kWidths.begin(), kWidths.end(), [&](const Width& known) { return known.dtype == c.dtype; });
    const double elements = static_cast<double>(named->counts_output ? c.out_elements : c.in_elements);
    if (width == kWidths.end() || !(elements > 0) || !(kernel.duration_us > 0))
      return out_.leave_out("collective without size, format or time");
    if (c.group_size == 1) return out_.leave_out("one rank has nothing to send");
    const bool pair = named->op == CollectiveOp::send_recv;
    if (pair && c.group_size != 2) return out_.leave_out("message between two ranks that the trace does not name");
    const auto per_node = ranks_in_domain(c);
    if (!per_node) return out_.leave_out("group whose ranks do not lie evenly on nodes, or are not listed");
    times_[{static_cast<int>(named->op), elements * width->bytes, c.group_size, *per_node}].push_back(
        kernel.duration_us);
  }

  /// Ranks of the group in each NVLink domain. A list that is cut goes on as it began.
  [[nodiscard]] std::optional<std::int64_t> ranks_in_domain(const TraceCollective& c) const {
    if (c.ranks.empty() || c.group_size < 1) return std::nullopt;
    std::vector<std::int64_t> ranks = c.ranks;
    const std::int64_t step = ranks.size() > 1 ? ranks[1] - ranks[0] : 1;
    while (static_cast<std::int64_t>(ranks.size()) < c.group_size && ranks.size() > 1)
      ranks.push_back(ranks.back() + step);
    if (static_cast<std::int64_t>(ranks.size()) != c.group_size) return std::nullopt;
    std::map<std::int64_t, std::int64_t> domains;
    for (const std::int64_t rank : ranks) ++domains[rank / cluster_->nvlink_domain];
    for (const auto& domain : domains)
      if (domain.second != domains.begin()->second) return std::nullopt;
    return domains.begin()->second;
  }

  void emit_collectives() {
    for (const auto& [key, us] : times_) {
      const auto& [op, size, ranks, per_node] = key;
      const std::int64_t gpus = cluster_->node.gpus_per_node;
      out_.collectives.push_back(
          {.op = static_cast<CollectiveOp>(op),
           .size = size * bytes,
           .time = quantile_of(us, kUnhindered) * microseconds,
           .group = {.ranks = ranks,
                     .ranks_per_node = per_node,
                     // Groups that leave a GPU of their node out leave it to equal groups, at the same time.
                     .groups_sharing_nics = ranks > per_node ? std::max<std::int64_t>(1, gpus / per_node) : 1},
           .cluster = cluster_,
           .choice = {},
           .measured_in = MeasuredIn::step});
    }
  }

  void emit_launches() {
    if (trace_.launches.size() <= kLeastGaps) return;
    if (options_.framework.empty()) {
      out_.warnings.push_back(out_.source.file + ": launch times are left out; --framework says whose they are");
      return;
    }
    std::vector<TraceLaunch> launches = trace_.launches;
    std::stable_sort(launches.begin(), launches.end(), [](const TraceLaunch& a, const TraceLaunch& b) {
      return std::tie(a.thread, a.start_us) < std::tie(b.thread, b.start_us);
    });
    std::vector<double> gaps[2];  // forward, backward
    for (std::size_t i = 1; i < launches.size(); ++i) {
      const double gap = launches[i].start_us - launches[i - 1].start_us;
      if (launches[i].thread != launches[i - 1].thread || gap > kPauseUs || !(gap > 0)) continue;
      const std::vector<std::int64_t>& threads = trace_.backward_threads;
      gaps[std::binary_search(threads.begin(), threads.end(), launches[i].thread) ? 1 : 0].push_back(gap);
    }
    for (int backward = 0; backward < 2; ++backward) {
      if (gaps[backward].size() < kLeastGaps) continue;
      out_.launches.push_back({.framework = options_.framework,
                               .backward = backward == 1,
                               .time = median_of(gaps[backward]) * microseconds,
                               .samples = static_cast<std::int64_t>(gaps[backward].size())});
    }
  }

  const KinetoTrace& trace_;
  const MeasurementOptions& options_;
  Measurements& out_;
  const GpuSpec* gpu_ = nullptr;
  std::string why_no_gpu_;
  std::shared_ptr<const ClusterSpec> cluster_;
  std::map<std::int64_t, OwnedKernels> by_op_;
  std::map<std::tuple<int, double, std::int64_t, std::int64_t>, std::vector<double>> times_;
};

}  // namespace

void add_kineto_samples(const KinetoTrace& trace, const MeasurementOptions& options, const Catalogue& catalogue,
                        Measurements& out) {
  out.source.device = trace.device;
  out.warnings.insert(out.warnings.end(), trace.warnings.begin(), trace.warnings.end());
  Samples(trace, options, catalogue, out).add();
}

}  // namespace foretrain
