/// Flash attention forward and backward on the current device, by cuDNN.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <cuda_runtime_api.h>

#include "hwmodels/kernel.h"

namespace foretrain::gpu {

/// Device pointers, aligned to 16 bytes. q, out, dout, dq [batch, seq_q, heads_q, d]; k, v, dk, dv [batch, seq_kv,
/// heads_kv, d], where d is d_v for v, dv, out and dout, else d_qk. Forward reads q, k, v and writes out, statistics;
/// backward reads those and dout, and writes dq, dk, dv.
struct AttentionMemory {
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  void* out = nullptr;
  float* statistics = nullptr;  ///< [batch, heads_q, seq_q]: log-sum-exp of the scaled scores
  const void* dout = nullptr;
  void* dq = nullptr;
  void* dk = nullptr;
  void* dv = nullptr;
};

/// One attention, ready to launch. Scores are scaled by 1 / sqrt(d_qk).
class AttentionPlan {
 public:
  virtual ~AttentionPlan() = default;
  AttentionPlan(const AttentionPlan&) = delete;
  AttentionPlan& operator=(const AttentionPlan&) = delete;

  /// Bytes of device memory that a launch needs, aligned to 256.
  [[nodiscard]] virtual std::int64_t workspace_bytes() const = 0;
  /// Which of cuDNN's engines runs it: its global index.
  [[nodiscard]] virtual std::int64_t engine() const = 0;
  /// Launches on `stream`. May be captured in a CUDA graph. Throws MachineError.
  virtual void run(const AttentionMemory& memory, void* workspace, cudaStream_t stream) const = 0;

 protected:
  AttentionPlan() = default;
};

/// cuDNN's handle on the current device, and the plans made so far. Not for several threads at once.
class AttentionLibrary {
 public:
  /// Throws MachineError where cuDNN cannot start, or this was built without it.
  AttentionLibrary();
  ~AttentionLibrary();
  AttentionLibrary(const AttentionLibrary&) = delete;
  AttentionLibrary& operator=(const AttentionLibrary&) = delete;

  /// Plans once for each attention; making one compiles its kernel, which takes up to seconds. Plans keep the handle
  /// alive. Throws SpecError for what cuDNN cannot run on this device.
  std::shared_ptr<const AttentionPlan> plan(const Attention& attention);

  /// "9.19.0"; "" in a build without cuDNN.
  static std::string version();

 private:
  struct Plans;
  std::unique_ptr<Plans> plans_;
};

}  // namespace foretrain::gpu
