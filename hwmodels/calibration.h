/// A calibration: what measurements on real GPUs say about kernel_time and collective_time, and where they say it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"
#include "base/units.h"
#include "hwmodels/collective_time.h"
#include "hwmodels/correction_surface.h"
#include "hwmodels/kernel_time.h"

namespace foretrain {

/// Under what conditions times were taken. `isolated`: one kernel again and again, short enough for the clock to stay
/// up. `step`: inside a running training step.
enum class MeasuredIn : std::uint8_t { isolated, step };
inline constexpr std::array<std::string_view, 2> kMeasuredInNames = {"isolated", "step"};

/// Kernels that share a correction: one GPU, one kind (and operation and direction), one number format.
struct KernelFamily {
  enum class Kind : std::uint8_t { gemm, attention, memory };
  Kind kind = Kind::gemm;
  DType dtype = DType::bf16;
  bool backward = false;         ///< attention and memory
  MemoryOp op = MemoryOp::copy;  ///< memory
  friend bool operator==(const KernelFamily&, const KernelFamily&) = default;
};
KernelFamily family_of(const Kernel& kernel);
/// "gemm bf16", "attention backward bf16", "rms_norm forward bf16".
std::string to_text(const KernelFamily&);

/// Collectives that share a correction: one GPU, one operation, one kind of fabric inside nodes; between nodes one kind
/// of network.
struct CollectiveFamily {
  CollectiveOp op = CollectiveOp::all_reduce;
  IntraNodeFabric fabric = IntraNodeFabric::nvswitch;
  std::optional<NetworkKind> network;  ///< none: inside one NVLink domain
  friend bool operator==(const CollectiveFamily&, const CollectiveFamily&) = default;
};
CollectiveFamily family_of(CollectiveOp op, const GroupLayout& group, const ClusterSpec& cluster);
/// "all_reduce, nvswitch", "all_reduce, nvswitch, infiniband".
std::string to_text(const CollectiveFamily&);

/// How far predictions lie from what was measured: |predicted - measured| / measured.
struct Residuals {
  std::int64_t rows = 0;
  double median = 0, p90 = 0;
  friend bool operator==(const Residuals&, const Residuals&) = default;
};
struct FitQuality {
  Residuals before, after;                    ///< of the rows that were fitted
  Residuals held_out_before, held_out_after;  ///< of those that were held back
  std::int64_t outliers = 0;                  ///< fitted rows whose pull was cut
};

struct KernelCorrection {
  std::string gpu;  ///< catalogue id
  KernelFamily family;
  MeasuredIn measured_in = MeasuredIn::isolated;
  CorrectionSurface surface;
  FitQuality quality;
};
struct CollectiveCorrection {
  std::string gpu;
  CollectiveFamily family;
  MeasuredIn measured_in = MeasuredIn::isolated;
  CorrectionSurface surface;
  FitQuality quality;
};

/// Rate of a GPU's tensor cores inside a step over their isolated rate, where both were measured.
struct MeasuredSustainedRate {
  std::string gpu;
  double rate = 1;
  std::int64_t kernels = 0;
};
/// Host time for one launch by a framework's code ("foretrain" is the validator itself).
struct MeasuredLaunch {
  std::string framework;
  bool backward = false;
  Seconds time;
  std::int64_t samples = 0;
};
/// A rate or latency as measured, for readers: what no correction needs.
struct MeasuredRate {
  std::string gpu, what;  ///< "memory copy", "all_reduce, 8 ranks, 8 a node"
  BytesPerSecond bandwidth;
  std::optional<Seconds> latency;
  std::int64_t rows = 0;
};

/// A file that was fitted.
struct CalibrationSource {
  std::string file, kind, sha256;
  std::string device, date;  ///< as the file says; "" where it does not
  std::int64_t rows = 0, used = 0;
};
struct LeftOutRows {
  std::string file, why;
  std::int64_t rows = 0;
};

struct Calibration {
  std::string name;       ///< the file's name without folder; "" before it is written
  std::string sha256;     ///< of the file
  std::string foretrain;  ///< version that fitted it
  double held_out = 0;    ///< share of rows held back
  std::int64_t held_out_seed = 0;
  std::vector<CalibrationSource> sources;
  std::vector<LeftOutRows> left_out;
  std::vector<KernelCorrection> kernels;
  std::vector<CollectiveCorrection> collectives;
  std::vector<MeasuredSustainedRate> sustained;
  std::vector<MeasuredLaunch> launches;
  std::vector<MeasuredRate> rates;
};

/// What a calibration had to say about a prediction. `outside`: the shape lies outside of what was measured, and the
/// correction at the border was taken.
enum class CalibrationUse : std::uint8_t { none, inside, outside };
inline constexpr std::array<std::string_view, 3> kCalibrationUseNames = {"not measured", "inside", "outside"};

struct CalibratedKernelTime {
  Seconds time;
  KernelBound bound = KernelBound::tensor_core;
  CalibrationUse use = CalibrationUse::none;
  MeasuredIn measured_in = MeasuredIn::isolated;  ///< the catalogue's numbers are isolated ones
};
struct CalibratedCollectiveTime {
  CollectiveTime time;
  CalibrationUse use = CalibrationUse::none;
};

/// kernel_time times the calibration's correction. Times measured in steps come before isolated ones, unless only the
/// latter hold the shape. Without a calibration (null), or where it has no such kernels: kernel_time.
CalibratedKernelTime kernel_time(const Kernel& kernel, const GpuSpec& gpu, const EfficiencySpec& e,
                                 const Calibration* calibration);

/// collective_time with time and latency times the correction, so that a fluid network sees the same share of latency.
CalibratedCollectiveTime collective_time(CollectiveOp op, Bytes size, const GroupLayout& group,
                                         const ClusterSpec& cluster, const Calibration* calibration,
                                         const CollectiveChoice& choice = {});

/// Whether the calibration has a correction for these kernels on this GPU.
bool is_measured(const Calibration* calibration, const GpuSpec& gpu, const KernelFamily& family);

/// Rate of tensor cores inside a step over their isolated rate: as measured, or sustained_rate of architecture,
/// power and format.
double sustained_rate(const GpuSpec& gpu, const EfficiencySpec& e, DType format, bool at_length,
                      const Calibration* calibration);

/// Host time for a launch by `framework`, where it was measured.
std::optional<Seconds> launch_time(const Calibration* calibration, std::string_view framework, bool backward);

/// Where a kernel or collective lies among others of its family, and what the axes are called.
ShapePoint shape_point(const Kernel& kernel);
ShapePoint shape_point(Bytes size, const GroupLayout& group, const ClusterSpec& cluster, NcclAlgorithm algorithm,
                       NcclProtocol protocol);
std::vector<std::string> axis_names(KernelFamily::Kind kind);
std::vector<std::string> collective_axis_names();

}  // namespace foretrain
