/// Matrix products in every layout of a linear layer on the current device, by cuBLASLt.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <cuda_runtime_api.h>

#include "hwmodels/kernel.h"

namespace foretrain::gpu {

/// Device pointers, aligned to 256 bytes (what algorithms are chosen for); row-major, batch by batch.
///     tn: A [m, k], B [n, k]   nn: A [m, k], B [k, n]   nt: A [k, m], B [k, n]   C [m, n] in the output's format
/// In fp8 (e4m3) A and B always lie as for tn: tensor cores before Blackwell take no other, so that trainers transpose
/// while they cast.
struct GemmMemory {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  const float* scale_a = nullptr;  ///< fp8: what A was divided by, or none for 1
  const float* scale_b = nullptr;
};

/// One product, ready to launch.
class GemmPlan {
 public:
  /// Bytes of device memory that a launch needs, aligned to 256; at most what the plan was made with.
  [[nodiscard]] std::int64_t workspace_bytes() const;
  /// cuBLASLt's own estimate of how much of the GPU the product fills, in waves of thread blocks.
  [[nodiscard]] double waves() const;
  /// Launches on `stream`. May be captured in a CUDA graph. Throws MachineError.
  void run(const GemmMemory& memory, void* workspace, cudaStream_t stream) const;

  struct Parts;
  explicit GemmPlan(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

 private:
  std::shared_ptr<const Parts> parts_;
};

/// cuBLASLt's handle on the current device, and the plans made so far. Not for several threads at once.
class GemmLibrary {
 public:
  /// Algorithms may use this much workspace. Source: cuBLAS documentation, "cublasSetWorkspace": 32 MiB for Hopper.
  static constexpr std::int64_t kDefaultWorkspace = 32LL << 20;

  /// Throws MachineError where cuBLASLt cannot start.
  explicit GemmLibrary(std::int64_t most_workspace = kDefaultWorkspace);
  ~GemmLibrary();
  GemmLibrary(const GemmLibrary&) = delete;
  GemmLibrary& operator=(const GemmLibrary&) = delete;

  /// Plans once for each product: the algorithm that cuBLASLt's heuristics put first. bf16, fp16, fp32, tf32 and fp8,
  /// summed in fp32; output in the inputs' format or fp32 (fp8: bf16, fp16 or fp32). Throws SpecError for what cuBLASLt
  /// cannot run on this device.
  GemmPlan plan(const Gemm& gemm);

  /// "13.1.0".
  static std::string version();

 private:
  struct Plans;
  std::unique_ptr<Plans> plans_;
};

/// "gemm 2x8192x10240x8192 bf16 to fp32 nt accumulate".
std::string text_of(const Gemm& gemm);

}  // namespace foretrain::gpu
