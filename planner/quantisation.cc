#include "planner/quantisation.h"

#include <string>

#include "base/text.h"

namespace foretrain {
namespace {

/// A scale for every 32 (MX, one byte) or 16 (NVFP4, one byte) elements lies beside them.
constexpr double kMxBytes = 1.0 + 1.0 / 32;
constexpr double kNvfp4Bytes = 0.5 + 1.0 / 16;

/// Transformer Engine, fp8 with the scale of the steps before (DelayedScaling): one kernel casts, transposes and finds
/// the maximum; norms cast by themselves, and what they wrote is transposed in the backward pass.
/// Source: NVIDIA/TransformerEngine transformer_engine/pytorch/module/layernorm_linear.py, linear.py, base.py
/// (grad_output_preprocess), common/recipe (MMParams: use_split_accumulator for dgrad and wgrad).
QuantisationSpec delayed(bool transposes) {
  const double both = transposes ? 2 : 1;  // the layout of the GEMM, and the other one where the GEMM needs it
  QuantisationSpec q;
  q.used = true;
  q.norm_written = 1;
  q.input = {.read = 2, .written = both};
  q.gradient = {.read = 2, .written = both};
  if (transposes) q.saved_norm_input = q.transpose = {.read = 1, .written = 1};
  q.sent = 1;
  q.promotes = true;
  return q;
}

/// Transformer Engine, fp8 with the tensor's own scale (Float8CurrentScaling): its maximum is found first, so every
/// tensor is read twice, and norms write 16 bits.
QuantisationSpec current(bool transposes) {
  QuantisationSpec q = delayed(transposes);
  q.norm_written = 2;
  q.norm_input = {.read = 4, .written = 1};
  q.input.read = q.gradient.read = 4;
  return q;
}

/// Transformer Engine, MXFP8BlockScaling: one kernel writes both directions of blocks.
QuantisationSpec mx() {
  QuantisationSpec q;
  q.used = true;
  q.norm_input = q.input = q.gradient = {.read = 2, .written = 2 * kMxBytes};
  q.sent = kMxBytes;
  return q;
}

/// Transformer Engine, NVFP4BlockScaling: the tensor's maximum, blocks along the rows, and blocks along the columns of
/// its random Hadamard transform. Source: TransformerEngine pytorch/csrc/quantizer.cpp (NVFP4Quantizer),
/// common/hadamard_transform.
QuantisationSpec nvfp4() {
  QuantisationSpec q;
  q.used = true;
  q.norm_input = q.input = q.gradient = {.read = 6, .written = 2 * kNvfp4Bytes};
  q.sent = kNvfp4Bytes;
  return q;
}

/// Transformer Engine's Linear in plain modules: norms in 16 bits, each input and gradient cast and transposed, weights
/// in every micro-batch (nothing says which is the first). Source: mosaicml/llm-foundry
/// llmfoundry/models/layers/fc.py (te), TransformerEngine pytorch/module/linear.py.
QuantisationSpec plain_modules() {
  QuantisationSpec q = delayed(true);
  q.norm_written = 2;
  q.norm_input = q.input;
  q.saved_norm_input = q.transpose = {};
  q.weight = {.read = 2, .written = 2};
  q.sent = 2;
  return q;
}

/// torchao's Float8Linear under torch.compile: maximum and cast apart; inputs are kept in 16 bits and cast again for
/// the weight gradient; gradients in both layouts. Tensor parallel gathers in 8 bits, and so does FSDP.
/// Source: pytorch/ao torchao/float8/float8_linear.py, float8_tensor_parallel.py, config.py (fast accumulation forward
/// only).
QuantisationSpec torchao_tensorwise() {
  QuantisationSpec q;
  q.used = true;
  q.norm_input = q.input = q.saved_norm_input = q.saved_input = {.read = 4, .written = 1};
  q.gradient = {.read = 4, .written = 2};
  q.sent = 1;
  q.promotes = true;
  return q;
}

/// The same with a scale for each row: the operands of the weight gradient are scaled along the tokens, gathers are in
/// 16 bits, and gradient GEMMs run with one scale and are rescaled after.
/// Source: pytorch/ao torchao/float8/float8_ops.py (post_inverse_scale), pull requests 1325 and 1377, issue 2184.
QuantisationSpec torchao_rowwise() {
  QuantisationSpec q = torchao_tensorwise();
  q.saved_norm_input.vectorised = q.saved_input.vectorised = false;
  q.gradient = {.read = 8, .written = 2, .vectorised = false};
  q.result = {.read = 2, .written = 2};
  q.weight = {.read = 8, .written = 2, .vectorised = false};
  q.sent = 2;
  return q;
}

/// MaxText: XLA fuses scaling and casts into the kernels that make the tensors; what is left are transposes.
/// Source: AI-Hypercomputer/maxtext MaxText/layers/quantizations.py (fp8), flax.linen.fp8_ops.
QuantisationSpec xla(bool transposes) {
  QuantisationSpec q = delayed(transposes);
  q.input = {};
  q.saved_input = q.saved_norm_input;
  q.gradient = q.transpose;
  return q;
}

}  // namespace

QuantisationSpec quantisation_spec(const Software& software, Precision precision, const GpuSpec& gpu) {
  if (precision == Precision::mxfp8) return mx();
  if (precision == Precision::nvfp4) return nvfp4();
  if (precision != Precision::fp8) return {};
  // Hopper's and Ada's 8-bit GEMMs take both operands with K along the rows (TN) only; Blackwell's and AMD's take all
  // layouts. Source: NVIDIA cuBLAS documentation, cublasLtMatmul, "FP8 kernels"; TransformerEngine
  // is_non_tn_fp8_gemm_supported.
  const bool transposes = gpu.vendor == "NVIDIA" && gpu.compute_capability < 100;
  const std::string words =
      to_lower(software.version) + "; " + to_lower(software.overlap) + "; " + to_lower(software.notes);
  const auto says = [&](std::string_view word) { return words.find(word) != std::string::npos; };
  switch (software.framework) {
    case FrameworkKind::torchtitan:
      return says("rowwise") ? torchao_rowwise() : torchao_tensorwise();
    case FrameworkKind::fsdp:
    case FrameworkKind::deepspeed:
      return plain_modules();
    case FrameworkKind::maxtext:
      return xla(transposes);
    default:
      // Megatron-Bridge's performance recipes take current scaling (fp8_cs), NeMo's before it delayed scaling.
      return says("current scaling") || says("megatron-bridge") ? current(transposes) : delayed(transposes);
  }
}

}  // namespace foretrain
