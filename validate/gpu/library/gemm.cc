#include "validate/gpu/library/gemm.h"

#include <utility>
#include <vector>

#include <cublasLt.h>

#include "base/spec_error.h"

namespace foretrain::gpu {
namespace {

void check_cublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw MachineError(std::string(call) + ": " + cublasLtGetStatusString(status));
}

/// A cuBLASLt descriptor that destroys itself.
template <class T, cublasStatus_t (*kDestroy)(T)>
struct Owned {
  T handle = nullptr;
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle != nullptr) kDestroy(handle);
  }
};
using MatmulDescriptor = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

bool is_fp8(const Gemm& gemm) { return gemm.dtype == DType::fp8; }

cudaDataType_t data_type(const Gemm& gemm, DType type) {
  switch (type) {
    case DType::fp32:
    case DType::tf32:
      return CUDA_R_32F;
    case DType::fp16:
      return CUDA_R_16F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::fp8:
      return CUDA_R_8F_E4M3;
    case DType::fp4:
      break;
  }
  throw SpecError(text_of(gemm), "is in a format that this runner does not have");
}

template <class T>
void set(const MatmulDescriptor& descriptor, cublasLtMatmulDescAttributes_t name, T value) {
  check_cublas(cublasLtMatmulDescSetAttribute(descriptor.handle, name, &value, sizeof value),
               "cublasLtMatmulDescSetAttribute");
}

/// A batch of column-major matrices: rows consecutive, columns `rows` elements apart.
void make_layout(MatrixLayout& layout, cudaDataType_t type, std::int64_t rows, std::int64_t cols, std::int64_t batch) {
  check_cublas(cublasLtMatrixLayoutCreate(&layout.handle, type, static_cast<std::uint64_t>(rows),
                                          static_cast<std::uint64_t>(cols), rows),
               "cublasLtMatrixLayoutCreate");
  if (batch == 1) return;
  const auto count = static_cast<std::int32_t>(batch);
  const std::int64_t stride = rows * cols;
  check_cublas(
      cublasLtMatrixLayoutSetAttribute(layout.handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
      "cublasLtMatrixLayoutSetAttribute");
  check_cublas(cublasLtMatrixLayoutSetAttribute(layout.handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                                sizeof stride),
               "cublasLtMatrixLayoutSetAttribute");
}

struct Handle {
  cublasLtHandle_t handle = nullptr;
  Handle() { check_cublas(cublasLtCreate(&handle), "cublasLtCreate"); }
  ~Handle() { cublasLtDestroy(handle); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

void refuse_what_no_one_runs(const Gemm& gemm) {
  if (gemm.batch < 1 || gemm.m < 1 || gemm.n < 1 || gemm.k < 1) throw SpecError(text_of(gemm), "is empty");
  const bool wide = gemm.output == DType::fp32 || gemm.output == DType::tf32;
  const bool narrow = gemm.output == DType::bf16 || gemm.output == DType::fp16;
  if (!wide && !(is_fp8(gemm) ? narrow : gemm.output == gemm.dtype)) {
    throw SpecError(text_of(gemm), "has an output that is neither fp32 nor in the inputs' format");
  }
}

}  // namespace

/// cuBLASLt is column-major: it sees each row-major matrix transposed, and so computes C^T = B^T A^T. Its first operand
/// is our B, its M our n.
struct GemmPlan::Parts {
  Parts(const Gemm& g, std::shared_ptr<const Handle> library, std::int64_t most_workspace)
      : gemm(g), handle(std::move(library)) {
    const bool as_tn = gemm.layout == GemmLayout::tn || is_fp8(gemm);
    const bool transpose_first = as_tn, transpose_second = gemm.layout == GemmLayout::nt && !as_tn;
    const cublasComputeType_t compute = gemm.dtype == DType::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    check_cublas(cublasLtMatmulDescCreate(&operation.handle, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, transpose_first ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(operation, CUBLASLT_MATMUL_DESC_TRANSB, transpose_second ? CUBLAS_OP_T : CUBLAS_OP_N);
    // Sums of 8-bit products in the tensor core's own registers: what trainers use forward only.
    if (is_fp8(gemm)) set(operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{gemm.layout == GemmLayout::tn});
    const cudaDataType_t in = data_type(gemm, gemm.dtype), out = data_type(gemm, gemm.output);
    make_layout(first, in, transpose_first ? gemm.k : gemm.n, transpose_first ? gemm.n : gemm.k, gemm.batch);
    make_layout(second, in, transpose_second ? gemm.m : gemm.k, transpose_second ? gemm.k : gemm.m, gemm.batch);
    make_layout(result, out, gemm.n, gemm.m, gemm.batch);
    choose(most_workspace);
  }

  void choose(std::int64_t most_workspace) {
    Preference preference;
    check_cublas(cublasLtMatmulPreferenceCreate(&preference.handle), "cublasLtMatmulPreferenceCreate");
    const auto bytes = static_cast<std::uint64_t>(most_workspace);
    check_cublas(cublasLtMatmulPreferenceSetAttribute(preference.handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                      &bytes, sizeof bytes),
                 "cublasLtMatmulPreferenceSetAttribute");
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle->handle, operation.handle, first.handle, second.handle, result.handle,
                                       result.handle, preference.handle, 1, &algorithm, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0)) {
      throw SpecError(text_of(gemm), "cuBLASLt " + GemmLibrary::version() + " has no algorithm for it on this GPU");
    }
    check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
  }

  Gemm gemm;
  std::shared_ptr<const Handle> handle;
  MatmulDescriptor operation;
  MatrixLayout first, second, result;
  cublasLtMatmulHeuristicResult_t algorithm{};
};

std::int64_t GemmPlan::workspace_bytes() const { return static_cast<std::int64_t>(parts_->algorithm.workspaceSize); }

double GemmPlan::waves() const { return parts_->algorithm.wavesCount; }

void GemmPlan::run(const GemmMemory& memory, void* workspace, cudaStream_t stream) const {
  const Parts& p = *parts_;
  if (is_fp8(p.gemm)) {  // the scales belong to the data, not to the plan
    set(p.operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, memory.scale_b);
    set(p.operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, memory.scale_a);
  }
  const float one = 1, added = p.gemm.accumulate ? 1.0F : 0.0F;
  check_cublas(cublasLtMatmul(p.handle->handle, p.operation.handle, &one, memory.b, p.first.handle, memory.a,
                              p.second.handle, &added, memory.c, p.result.handle, memory.c, p.result.handle,
                              &p.algorithm.algo, workspace, p.algorithm.workspaceSize, stream),
               "cublasLtMatmul");
}

struct GemmLibrary::Plans {
  std::shared_ptr<const Handle> handle = std::make_shared<Handle>();
  std::int64_t most_workspace = 0;
  std::vector<std::pair<Gemm, std::shared_ptr<const GemmPlan::Parts>>> made;
};

GemmLibrary::GemmLibrary(std::int64_t most_workspace) : plans_(std::make_unique<Plans>()) {
  plans_->most_workspace = most_workspace;
}

GemmLibrary::~GemmLibrary() = default;

GemmPlan GemmLibrary::plan(const Gemm& gemm) {
  for (const auto& [known, parts] : plans_->made) {
    if (known == gemm) return GemmPlan(parts);
  }
  refuse_what_no_one_runs(gemm);
  plans_->made.emplace_back(gemm,
                            std::make_shared<const GemmPlan::Parts>(gemm, plans_->handle, plans_->most_workspace));
  return GemmPlan(plans_->made.back().second);
}

std::string GemmLibrary::version() {
  const std::size_t version = cublasLtGetVersion();  // 130100 is 13.1.0
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

std::string text_of(const Gemm& g) {
  const auto name = [](DType type) { return std::string(kDTypeNames[static_cast<std::size_t>(type)]); };
  constexpr const char* kLayouts[] = {"tn", "nn", "nt"};
  return "gemm " + (g.batch == 1 ? std::string() : std::to_string(g.batch) + "x") + std::to_string(g.m) + "x" +
         std::to_string(g.n) + "x" + std::to_string(g.k) + " " + name(g.dtype) +
         (g.output == g.dtype ? "" : " to " + name(g.output)) + " " + kLayouts[static_cast<std::size_t>(g.layout)] +
         (g.accumulate ? " accumulate" : "");
}

}  // namespace foretrain::gpu
