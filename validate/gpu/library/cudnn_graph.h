/// cuDNN's backend API as values: descriptors that free themselves, and a graph built operation by operation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <cudnn.h>

#include "base/spec_error.h"

namespace foretrain::gpu {

/// A cuDNN call that failed, with cuDNN's own account of why.
class CudnnError : public MachineError {
 public:
  CudnnError(cudnnStatus_t status, const std::string& what) : MachineError(what), status_(status) {}
  [[nodiscard]] cudnnStatus_t status() const { return status_; }

 private:
  cudnnStatus_t status_;
};

/// Throws CudnnError "cudnnBackendFinalize: status 3000 (...)" unless `status` is success.
void check_cudnn(cudnnStatus_t status, const char* call);

/// "9.19.0".
std::string cudnn_version();

/// One backend descriptor: attributes are set, then it is finalised, then used.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values);
  void set_int(cudnnBackendAttributeName_t name, std::int64_t value) { set(name, CUDNN_TYPE_INT64, 1, &value); }
  void set_ints(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values);
  void set_bool(cudnnBackendAttributeName_t name, bool value) { set(name, CUDNN_TYPE_BOOLEAN, 1, &value); }
  void set_type(cudnnBackendAttributeName_t name, cudnnDataType_t value) { set(name, CUDNN_TYPE_DATA_TYPE, 1, &value); }
  void set_descriptor(cudnnBackendAttributeName_t name, const Descriptor& value);
  void set_text(cudnnBackendAttributeName_t name, const std::string& text);
  void finalise();

  [[nodiscard]] std::int64_t get_int(cudnnBackendAttributeName_t name) const;
  [[nodiscard]] cudnnBackendDescriptor_t raw() const { return descriptor_.get(); }

 private:
  struct Destroy {
    void operator()(void* descriptor) const { static_cast<void>(cudnnBackendDestroyDescriptor(descriptor)); }
  };
  std::unique_ptr<void, Destroy> descriptor_;
};

using Dimensions = std::vector<std::int64_t>;

/// A tensor of a graph by its place in the graph's list.
struct TensorId {
  std::size_t place = 0;
};

/// Operations over tensors, in the order they were added. Arithmetic is fp32.
class CudnnGraph {
 public:
  /// A tensor in memory, known by `uid` when the graph runs. Without strides it is packed.
  TensorId input_or_output(std::int64_t uid, const Dimensions& size, cudnnDataType_t type, Dimensions strides = {});
  /// One fp32 number, passed from the host when the graph runs.
  TensorId scalar(std::int64_t uid);
  /// A tensor between operations, which never reaches memory.
  TensorId between(const Dimensions& size, cudnnDataType_t type = CUDNN_DATA_FLOAT, Dimensions strides = {});

  void multiply_matrices(TensorId a, TensorId b, TensorId product);
  /// y = mode(x), or mode(x, b).
  void pointwise(cudnnPointwiseMode_t mode, TensorId x, TensorId y);
  void pointwise(cudnnPointwiseMode_t mode, TensorId x, TensorId b, TensorId y);
  /// y = each element's index along `axis`.
  void index_along(std::int64_t axis, TensorId x, TensorId y);
  /// y = whether x >= b.
  void at_least(TensorId x, TensorId b, TensorId y);
  /// y = mask ? x : b.
  void select(TensorId mask, TensorId x, TensorId b, TensorId y);
  void reduce(cudnnReduceTensorOp_t how, TensorId x, TensorId y);
  void reshape(TensorId x, TensorId y);

  [[nodiscard]] std::size_t operations() const { return operations_.size(); }
  /// The graph as cuDNN checks and runs it; without a handle it can be checked only.
  [[nodiscard]] Descriptor finalised(cudnnHandle_t handle) const;

 private:
  TensorId add_tensor(std::int64_t uid, const Dimensions& size, cudnnDataType_t type, Dimensions strides,
                      bool is_virtual, bool by_value);
  struct Point {
    cudnnPointwiseMode_t mode;
    TensorId x, y;
    const TensorId* b = nullptr;
    const TensorId* t = nullptr;
    std::int64_t axis = -1;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
  };
  void add_pointwise(const Point& point);

  std::vector<Descriptor> tensors_, rules_, operations_;
  std::int64_t next_between_ = 1000;  // uids of tensors between operations, apart from the others'
};

}  // namespace foretrain::gpu
