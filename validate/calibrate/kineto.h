/// PyTorch's Kineto traces (torch.profiler): kernels and collectives of a real step, as samples.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hwmodels/catalogue.h"
#include "hwmodels/kernel.h"
#include "validate/calibrate/measurement.h"

namespace foretrain {

using Dims = std::vector<std::int64_t>;

/// An operator on the host (`cat` cpu_op) that kernels name by its External id.
struct TraceOp {
  std::string name;                   ///< "aten::mm"
  std::vector<Dims> dims, strides;    ///< of each argument; strides from PyTorch 2.3 on
  std::vector<std::string> types;     ///< "c10::BFloat16"
  std::vector<std::string> concrete;  ///< values of arguments that are no tensors: "True"
  bool has_dims = false;              ///< recorded with record_shapes=True
};

/// What NCCL's kernels carry from PyTorch 2.2 on.
struct TraceCollective {
  std::string name;  ///< "allreduce", "_allgather_base"
  std::string dtype;
  std::int64_t in_elements = 0, out_elements = 0, group_size = 0;
  std::vector<std::int64_t> ranks;  ///< may be shorter than the group: long lists are cut
};

struct TraceKernel {
  std::string name;
  double duration_us = 0;
  std::int64_t external_id = -1, correlation = -1;
  std::optional<TraceCollective> collective;
};

struct TraceLaunch {
  std::int64_t thread = 0;
  double start_us = 0;
};

struct KinetoTrace {
  std::string device;  ///< of the first GPU: "NVIDIA H100 80GB HBM3"
  std::vector<TraceKernel> kernels;
  std::map<std::int64_t, TraceOp> ops;          ///< by External id
  std::map<std::int64_t, std::int64_t> owners;  ///< correlation of a launch -> External id of its operator
  std::vector<TraceLaunch> launches;
  std::vector<std::int64_t> backward_threads;  ///< those of the autograd engine, ascending
  std::vector<std::string> warnings;
};

/// Reads a trace of any size in one pass. A trace that was cut is read up to there, with a warning. SpecError
/// (file:line:column) for what is not JSON before its end; (file) without any event.
KinetoTrace read_kineto_trace(std::string_view text, const std::string& path);

/// The kernel that an operator stands for, where its shapes say it; otherwise nothing, and `why` says what is missing.
std::optional<Kernel> kernel_of(const TraceOp& op, std::string& why);

/// Adds a trace's samples, each distinct kernel and collective once: kernels with the median of their times (all
/// kernels that one operator launched count together), collectives with the lower quartile, since a kernel of NCCL
/// also waits for the slowest rank. All count as measured in a step. Left out, by reason: kernels without an operator
/// or shapes, operators that are not modelled, groups whose ranks are not known.
void add_kineto_samples(const KinetoTrace& trace, const MeasurementOptions& options, const Catalogue& catalogue,
                        Measurements& out);

}  // namespace foretrain
