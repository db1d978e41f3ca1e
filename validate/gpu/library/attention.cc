#include "validate/gpu/library/attention.h"

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "validate/gpu/library/attention_graph.h"

namespace foretrain::gpu {
namespace {

using Handle = std::shared_ptr<cudnnContext>;

constexpr std::int64_t kAlignment = 256;
std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// What a backward pass keeps in the workspace before cuDNN's own part.
std::int64_t row_sum_bytes(const Attention& a) { return a.backward ? aligned(a.batch * a.heads_q * a.seq_q * 4) : 0; }
std::int64_t dq_bytes(const Attention& a) {
  return a.backward ? aligned(a.batch * a.heads_q * a.seq_q * a.d_qk * 4) : 0;
}

/// Source: NVIDIA/cudnn-frontend 3929da2, scaled_dot_product_flash_attention.h: before 9.6 the caller clears the
/// accumulator of dq.
bool clears_accumulator() { return cudnnGetVersion() >= 90600; }

/// The first configuration that cuDNN can build.
Descriptor execution_plan(const Attention& attention, const Descriptor& graph, cudnnHandle_t handle) {
  std::string why = "cuDNN " + cudnn_version() + " has no engine for it on this GPU";
  for (const Descriptor& configuration : engine_configurations(graph)) {
    try {
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
      plan.set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      plan.finalise();
      return plan;
    } catch (const CudnnError& error) {
      why = error.what();  // the next configuration may do
    }
  }
  throw SpecError(text_of(attention), why);
}

class CudnnPlan final : public AttentionPlan {
 public:
  CudnnPlan(const Attention& attention, Handle handle)
      : attention_(attention),
        handle_(std::move(handle)),
        operations_(attention_graph(attention)),
        graph_(operations_.finalised(handle_.get())),
        plan_(execution_plan(attention, graph_, handle_.get())),
        cudnn_bytes_(plan_.get_int(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)),
        scale_(1.0F / std::sqrt(static_cast<float>(attention.d_qk))) {}

  [[nodiscard]] std::int64_t workspace_bytes() const override {
    return row_sum_bytes(attention_) + dq_bytes(attention_) + aligned(cudnn_bytes_);
  }

  [[nodiscard]] std::int64_t engine() const override {
    Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    Descriptor configuration(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    read(plan_, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
    read(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    return engine.get_int(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  }

  void run(const AttentionMemory& m, void* workspace, cudaStream_t stream) const override {
    check_cudnn(cudnnSetStream(handle_.get(), stream), "cudnnSetStream");
    auto* bytes = static_cast<char*>(workspace);
    void* row_sums = bytes;
    void* dq_accumulator = bytes + row_sum_bytes(attention_);
    void* own = bytes + row_sum_bytes(attention_) + dq_bytes(attention_);

    std::vector<std::int64_t> uids;
    std::vector<void*> pointers;
    const auto give = [&](AttentionTensor tensor, const void* pointer) {
      uids.push_back(static_cast<std::int64_t>(tensor));
      pointers.push_back(const_cast<void*>(pointer));
    };
    give(AttentionTensor::q, m.q);
    give(AttentionTensor::k, m.k);
    give(AttentionTensor::v, m.v);
    give(AttentionTensor::out, m.out);
    give(AttentionTensor::statistics, m.statistics);
    give(AttentionTensor::scale, &scale_);
    if (attention_.causal) give(AttentionTensor::lowest, &lowest_);
    if (attention_.backward) {
      give(AttentionTensor::one, &one_);
      give(AttentionTensor::dout, m.dout);
      give(AttentionTensor::dq, m.dq);
      give(AttentionTensor::dk, m.dk);
      give(AttentionTensor::dv, m.dv);
      give(AttentionTensor::row_sums, row_sums);
      give(AttentionTensor::dq_accumulator, dq_accumulator);
      if (!clears_accumulator()) {
        const cudaError_t error =
            cudaMemsetAsync(dq_accumulator, 0, static_cast<std::size_t>(dq_bytes(attention_)), stream);
        if (error != cudaSuccess) throw MachineError(std::string("cudaMemsetAsync: ") + cudaGetErrorString(error));
      }
    }
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    const auto count = static_cast<std::int64_t>(uids.size());
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &own);
    pack.finalise();
    check_cudnn(cudnnBackendExecute(handle_.get(), plan_.raw(), pack.raw()), "cudnnBackendExecute");
  }

 private:
  static void read(const Descriptor& from, cudnnBackendAttributeName_t name, const Descriptor& into) {
    cudnnBackendDescriptor_t raw = into.raw();
    std::int64_t count = 0;
    check_cudnn(cudnnBackendGetAttribute(from.raw(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw),
                "cudnnBackendGetAttribute");
  }

  Attention attention_;
  Handle handle_;
  CudnnGraph operations_;
  Descriptor graph_, plan_;
  std::int64_t cudnn_bytes_;
  float scale_, lowest_ = std::numeric_limits<float>::lowest(), one_ = 1;
};

}  // namespace

struct AttentionLibrary::Plans {
  Handle handle;
  std::vector<std::pair<Attention, std::shared_ptr<const AttentionPlan>>> made;
};

AttentionLibrary::AttentionLibrary() : plans_(std::make_unique<Plans>()) {
  cudnnHandle_t handle = nullptr;
  check_cudnn(cudnnCreate(&handle), "cudnnCreate");
  plans_->handle = Handle(handle, [](cudnnHandle_t h) { cudnnDestroy(h); });
}

AttentionLibrary::~AttentionLibrary() = default;

std::shared_ptr<const AttentionPlan> AttentionLibrary::plan(const Attention& attention) {
  for (const auto& [known, plan] : plans_->made) {
    if (known == attention) return plan;
  }
  plans_->made.emplace_back(attention, std::make_shared<CudnnPlan>(attention, plans_->handle));
  return plans_->made.back().second;
}

std::string AttentionLibrary::version() { return cudnn_version(); }

}  // namespace foretrain::gpu
