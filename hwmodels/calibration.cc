#include "hwmodels/calibration.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "hwmodels/sustained_rate.h"

namespace foretrain {
namespace {

double octaves(std::int64_t count) { return std::log2(static_cast<double>(std::max<std::int64_t>(1, count))); }

// Steps between what differs in kind, in octaves of shape. Layouts and directions of one GEMM differ by a few percent,
// as shapes do that are an octave apart; a group of twice the ranks or nodes is another ring.
constexpr double kOtherLayout = 1, kOtherMask = 2, kGroupOctave = 2, kOtherRegime = 1;
/// Rows and columns of one size in bytes differ little for kernels that stream.
constexpr double kColumnOctave = 0.5;

template <class Correction, class Family>
struct Found {
  const Correction* correction = nullptr;
  CorrectionSurface::Value value;
};

/// Inside beats outside; then a step beats an isolated run.
template <class Correction, class Family>
Found<Correction, Family> find(const std::vector<Correction>& all, const std::string& gpu, const Family& family,
                               const ShapePoint& x) {
  Found<Correction, Family> best;
  for (const Correction& c : all) {
    if (!(c.family == family) || c.gpu != gpu) continue;
    const CorrectionSurface::Value value = c.surface.at(x);
    const bool better = best.correction == nullptr || (best.value.outside && !value.outside) ||
                        (best.value.outside == value.outside && c.measured_in == MeasuredIn::step);
    if (better) best = {&c, value};
  }
  return best;
}

}  // namespace

KernelFamily family_of(const Kernel& kernel) {
  if (const auto* g = std::get_if<Gemm>(&kernel)) return {.kind = KernelFamily::Kind::gemm, .dtype = g->dtype};
  if (const auto* a = std::get_if<Attention>(&kernel))
    return {.kind = KernelFamily::Kind::attention, .dtype = a->dtype, .backward = a->backward};
  const auto& m = std::get<MemoryKernel>(kernel);
  return {.kind = KernelFamily::Kind::memory, .dtype = m.dtype, .backward = m.backward, .op = m.op};
}

std::string to_text(const KernelFamily& f) {
  const std::string_view dtype = kDTypeNames[static_cast<std::size_t>(f.dtype)];
  const std::string_view direction = f.backward ? "backward" : "forward";
  switch (f.kind) {
    case KernelFamily::Kind::gemm:
      return fmt::format("gemm {}", dtype);
    case KernelFamily::Kind::attention:
      return fmt::format("attention {} {}", direction, dtype);
    case KernelFamily::Kind::memory:
      break;
  }
  return fmt::format("{} {} {}", op_name(f.op), direction, dtype);
}

CollectiveFamily family_of(CollectiveOp op, const GroupLayout& group, const ClusterSpec& cluster) {
  CollectiveFamily f{.op = op, .fabric = cluster.node.fabric, .network = {}};
  if (group.ranks > group.ranks_per_node) f.network = cluster.network.kind;
  return f;
}

std::string to_text(const CollectiveFamily& f) {
  std::string text = fmt::format("{}, {}", kCollectiveNames[static_cast<std::size_t>(f.op)],
                                 kIntraNodeFabricNames[static_cast<std::size_t>(f.fabric)]);
  if (f.network) text += fmt::format(", {}", kNetworkKindNames[static_cast<std::size_t>(*f.network)]);
  return text;
}

ShapePoint shape_point(const Kernel& kernel) {
  if (const auto* g = std::get_if<Gemm>(&kernel)) {
    return {octaves(g->m),
            octaves(g->n),
            octaves(g->k),
            octaves(g->batch),
            g->layout == GemmLayout::nt ? kOtherLayout : 0.0,
            g->layout == GemmLayout::nn ? kOtherLayout : 0.0,
            (g->accumulate ? 0.5 * kOtherLayout : 0.0) +
                (g->output == DType::fp32 && bytes_per_element(g->dtype) < 4 ? 0.5 * kOtherLayout : 0.0)};
  }
  if (const auto* a = std::get_if<Attention>(&kernel)) {
    return {octaves(a->batch * a->heads_q),
            octaves(a->seq_q),
            octaves(a->seq_kv),
            octaves(a->heads_q) - octaves(a->heads_kv),
            octaves(a->d_qk + a->d_v),
            a->causal ? kOtherMask : 0.0};
  }
  const auto& m = std::get<MemoryKernel>(kernel);
  const double moved = std::max(1.0, (m.read + m.written).base());
  return {std::log2(moved), kColumnOctave * octaves(m.cols), m.vectorised ? 0.0 : kOtherLayout};
}

std::vector<std::string> axis_names(KernelFamily::Kind kind) {
  switch (kind) {
    case KernelFamily::Kind::gemm:
      return {"log2 m", "log2 n", "log2 k", "log2 batch", "layout nt", "layout nn", "fp32 result, accumulating"};
    case KernelFamily::Kind::attention:
      return {"log2 batch x heads",      "log2 queries",    "log2 keys",
              "log2 queries a key head", "log2 d_qk + d_v", "causal"};
    case KernelFamily::Kind::memory:
      break;
  }
  return {"log2 bytes", "log2 columns / 2", "one element a thread"};
}

ShapePoint shape_point(Bytes size, const GroupLayout& group, const ClusterSpec& cluster, NcclAlgorithm algorithm,
                       NcclProtocol protocol) {
  const std::int64_t nodes = ceil_div(group.ranks, std::max<std::int64_t>(1, group.ranks_per_node));
  const bool nvls = algorithm == NcclAlgorithm::nvls || algorithm == NcclAlgorithm::nvls_tree;
  const double nics = nodes > 1 ? network_bandwidth_per_gpu(cluster) / GB_per_s : 1;
  return {std::log2(std::max(1.0, size.base())),
          kGroupOctave * octaves(group.ranks_per_node),
          kGroupOctave * octaves(nodes),
          kGroupOctave * octaves(nodes > 1 ? group.groups_sharing_nics : 1),
          kGroupOctave * std::log2(std::max(0.01, nics)),
          protocol == NcclProtocol::simple ? 0.0 : kOtherRegime,
          nvls                               ? kOtherRegime
          : algorithm == NcclAlgorithm::tree ? 0.5 * kOtherRegime
                                             : 0.0};
}

std::vector<std::string> collective_axis_names() {
  return {"log2 bytes",  "2 log2 ranks a node",   "2 log2 nodes", "2 log2 groups sharing NICs", "2 log2 NIC GB/s a GPU",
          "LL or LL128", "NVLS (1) or tree (0.5)"};
}

CalibratedKernelTime kernel_time(const Kernel& kernel, const GpuSpec& gpu, const EfficiencySpec& e,
                                 const Calibration* calibration) {
  const KernelTime plain = kernel_time(kernel, gpu, e);
  CalibratedKernelTime t{.time = plain.time, .bound = plain.bound};
  if (calibration == nullptr) return t;
  const auto found = find<KernelCorrection>(calibration->kernels, gpu.name, family_of(kernel), shape_point(kernel));
  if (found.correction == nullptr) return t;
  t.time *= std::exp(found.value.log_ratio);
  t.use = found.value.outside ? CalibrationUse::outside : CalibrationUse::inside;
  t.measured_in = found.correction->measured_in;
  return t;
}

CalibratedCollectiveTime collective_time(CollectiveOp op, Bytes size, const GroupLayout& group,
                                         const ClusterSpec& cluster, const Calibration* calibration,
                                         const CollectiveChoice& choice) {
  CalibratedCollectiveTime t{.time = collective_time(op, size, group, cluster, choice)};
  if (calibration == nullptr || calibration->collectives.empty() || !(t.time.time > Seconds{})) return t;
  const auto found =
      find<CollectiveCorrection>(calibration->collectives, cluster.gpu.name, family_of(op, group, cluster),
                                 shape_point(size, group, cluster, t.time.algorithm, t.time.protocol));
  if (found.correction == nullptr) return t;
  const double ratio = std::exp(found.value.log_ratio);
  t.time.time *= ratio;
  t.time.latency *= ratio;
  t.time.network_time *= ratio;
  t.time.scale_up_time *= ratio;
  t.use = found.value.outside ? CalibrationUse::outside : CalibrationUse::inside;
  return t;
}

bool is_measured(const Calibration* calibration, const GpuSpec& gpu, const KernelFamily& family) {
  if (calibration == nullptr) return false;
  return std::any_of(calibration->kernels.begin(), calibration->kernels.end(),
                     [&](const KernelCorrection& c) { return c.gpu == gpu.name && c.family == family; });
}

double sustained_rate(const GpuSpec& gpu, const EfficiencySpec& e, DType format, bool at_length,
                      const Calibration* calibration) {
  if (calibration != nullptr) {
    for (const MeasuredSustainedRate& s : calibration->sustained)
      if (s.gpu == gpu.name) return s.rate;
  }
  return sustained_rate(gpu, e, format, at_length);
}

std::optional<Seconds> launch_time(const Calibration* calibration, std::string_view framework, bool backward) {
  if (calibration == nullptr) return std::nullopt;
  for (const MeasuredLaunch& launch : calibration->launches)
    if (launch.framework == framework && launch.backward == backward) return launch.time;
  return std::nullopt;
}

}  // namespace foretrain
