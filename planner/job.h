/// A training job: what is trained, with which batch, formats and software.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/spec_node.h"
#include "hwmodels/dtype.h"

namespace foretrain {

enum class Precision : std::uint8_t { bf16, fp16, fp8, mxfp8, nvfp4, fp32 };
inline constexpr std::array<std::string_view, 6> kPrecisionNames = {"bf16", "fp16", "fp8", "mxfp8", "nvfp4", "fp32"};
enum class Optimizer : std::uint8_t { adam, sgd };
inline constexpr std::array<std::string_view, 2> kOptimizerNames = {"adam", "sgd"};
enum class FrameworkKind : std::uint8_t {
  megatron_core,
  megatron_deepspeed,
  torchtitan,
  fsdp,
  deepspeed,
  maxtext,
  nanotron,
  generic
};
inline constexpr std::array<std::string_view, 8> kFrameworkNames = {
    "megatron-core", "megatron-deepspeed", "torchtitan", "fsdp", "deepspeed", "maxtext", "nanotron", "generic"};
enum class AttentionKind : std::uint8_t { flash, unfused };
inline constexpr std::array<std::string_view, 2> kAttentionNames = {"flash", "unfused"};

struct Training {
  std::int64_t sequence_length = 0;
  std::int64_t global_batch = 0;  ///< sequences
  Precision precision = Precision::bf16;
  Optimizer optimizer = Optimizer::adam;
};

struct Software {
  FrameworkKind framework = FrameworkKind::megatron_core;
  AttentionKind attention = AttentionKind::flash;
  bool cuda_graphs = false;
  bool compile = false;
  std::string version;    ///< free text, kept for the reader
  std::string overlap;    ///< free text; its known phrases set the defaults of Plan::overlap (docs/FORMAT.md)
  std::string optimizer;  ///< free text, kept for the reader
  std::string notes;      ///< of a published run: free text, whose known words say what was run (docs/FORMAT.md)
};

/// The `training` and `software` objects of a job or run. SpecError for unknown keys and numbers out of range.
Training read_training(const SpecNode& training);
Software read_software(const SpecNode& software);

/// The format GEMMs run in, and the format activations are kept in.
constexpr DType gemm_dtype(Precision p) {
  switch (p) {
    case Precision::bf16:
      return DType::bf16;
    case Precision::fp16:
      return DType::fp16;
    case Precision::fp8:
    case Precision::mxfp8:
      return DType::fp8;
    case Precision::nvfp4:
      return DType::fp4;
    case Precision::fp32:
      return DType::tf32;
  }
  return DType::bf16;
}
constexpr DType activation_dtype(Precision p) {
  return p == Precision::fp32 ? DType::fp32 : p == Precision::fp16 ? DType::fp16 : DType::bf16;
}

}  // namespace foretrain
