#include "validate/gpu/library/cudnn_graph.h"

#include <array>
#include <utility>

namespace foretrain::gpu {

void check_cudnn(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> message{};
  cudnnGetLastErrorString(message.data(), message.size());
  throw CudnnError(status, std::string(call) + ": " + cudnnGetErrorString(status) + " " + message.data());
}

std::string cudnn_version() {
  const std::size_t version = cudnnGetVersion();
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  check_cudnn(cudnnBackendCreateDescriptor(type, &descriptor), "cudnnBackendCreateDescriptor");
  descriptor_.reset(descriptor);
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                     const void* values) {
  check_cudnn(cudnnBackendSetAttribute(raw(), name, type, count, values), "cudnnBackendSetAttribute");
}

void Descriptor::set_ints(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
  set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
}

void Descriptor::set_descriptor(cudnnBackendAttributeName_t name, const Descriptor& value) {
  const cudnnBackendDescriptor_t descriptor = value.raw();
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
}

void Descriptor::set_text(cudnnBackendAttributeName_t name, const std::string& text) {
  set(name, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(text.size()) + 1, text.c_str());
}

void Descriptor::finalise() { check_cudnn(cudnnBackendFinalize(raw()), "cudnnBackendFinalize"); }

std::int64_t Descriptor::get_int(cudnnBackendAttributeName_t name) const {
  std::int64_t value = 0, count = 0;
  check_cudnn(cudnnBackendGetAttribute(raw(), name, CUDNN_TYPE_INT64, 1, &count, &value), "cudnnBackendGetAttribute");
  return value;
}

TensorId CudnnGraph::add_tensor(std::int64_t uid, const Dimensions& size, cudnnDataType_t type, Dimensions strides,
                                bool is_virtual, bool by_value) {
  if (strides.empty()) {
    strides.assign(size.size(), 1);
    for (std::size_t i = size.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * size[i];
  }
  constexpr std::int64_t kAlignment = 16;  // bytes: what vector accesses need and every allocation has
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set_type(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  tensor.set_ints(CUDNN_ATTR_TENSOR_DIMENSIONS, size);
  tensor.set_ints(CUDNN_ATTR_TENSOR_STRIDES, strides);
  tensor.set_int(CUDNN_ATTR_TENSOR_UNIQUE_ID, uid);
  tensor.set_int(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  tensor.set_bool(CUDNN_ATTR_TENSOR_IS_VIRTUAL, is_virtual);
  if (by_value) tensor.set_bool(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  tensor.finalise();
  tensors_.push_back(std::move(tensor));
  return {tensors_.size() - 1};
}

TensorId CudnnGraph::input_or_output(std::int64_t uid, const Dimensions& size, cudnnDataType_t type,
                                     Dimensions strides) {
  return add_tensor(uid, size, type, std::move(strides), false, false);
}

TensorId CudnnGraph::scalar(std::int64_t uid) {
  return add_tensor(uid, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, {}, false, true);
}

TensorId CudnnGraph::between(const Dimensions& size, cudnnDataType_t type, Dimensions strides) {
  return add_tensor(next_between_++, size, type, std::move(strides), true, false);
}

void CudnnGraph::multiply_matrices(TensorId a, TensorId b, TensorId product) {
  Descriptor rule(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  rule.set_type(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
  rule.finalise();
  Descriptor operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_ADESC, tensors_[a.place]);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_BDESC, tensors_[b.place]);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_CDESC, tensors_[product.place]);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_DESC, rule);
  operation.finalise();
  rules_.push_back(std::move(rule));
  operations_.push_back(std::move(operation));
}

void CudnnGraph::add_pointwise(const Point& point) {
  Descriptor rule(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  rule.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &point.mode);
  rule.set_type(CUDNN_ATTR_POINTWISE_MATH_PREC, point.type);
  if (point.axis >= 0) rule.set_int(CUDNN_ATTR_POINTWISE_AXIS, point.axis);
  rule.finalise();
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, rule);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tensors_[point.x.place]);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_[point.y.place]);
  if (point.b != nullptr) operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensors_[point.b->place]);
  if (point.t != nullptr) operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, tensors_[point.t->place]);
  operation.finalise();
  rules_.push_back(std::move(rule));
  operations_.push_back(std::move(operation));
}

void CudnnGraph::pointwise(cudnnPointwiseMode_t mode, TensorId x, TensorId y) {
  add_pointwise({.mode = mode, .x = x, .y = y});
}

void CudnnGraph::pointwise(cudnnPointwiseMode_t mode, TensorId x, TensorId b, TensorId y) {
  add_pointwise({.mode = mode, .x = x, .y = y, .b = &b});
}

void CudnnGraph::index_along(std::int64_t axis, TensorId x, TensorId y) {
  add_pointwise({.mode = CUDNN_POINTWISE_GEN_INDEX, .x = x, .y = y, .axis = axis});
}

void CudnnGraph::at_least(TensorId x, TensorId b, TensorId y) {
  add_pointwise({.mode = CUDNN_POINTWISE_CMP_GE, .x = x, .y = y, .b = &b, .type = CUDNN_DATA_BOOLEAN});
}

void CudnnGraph::select(TensorId mask, TensorId x, TensorId b, TensorId y) {
  add_pointwise({.mode = CUDNN_POINTWISE_BINARY_SELECT, .x = x, .y = y, .b = &b, .t = &mask});
}

void CudnnGraph::reduce(cudnnReduceTensorOp_t how, TensorId x, TensorId y) {
  Descriptor rule(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  rule.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &how);
  rule.set_type(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  rule.finalise();
  Descriptor operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, tensors_[x.place]);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, tensors_[y.place]);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_DESC, rule);
  operation.finalise();
  rules_.push_back(std::move(rule));
  operations_.push_back(std::move(operation));
}

void CudnnGraph::reshape(TensorId x, TensorId y) {
  Descriptor operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, tensors_[x.place]);
  operation.set_descriptor(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, tensors_[y.place]);
  operation.finalise();
  operations_.push_back(std::move(operation));
}

Descriptor CudnnGraph::finalised(cudnnHandle_t handle) const {
  std::vector<cudnnBackendDescriptor_t> operations;
  for (const Descriptor& operation : operations_) operations.push_back(operation.raw());
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(operations.size()),
            operations.data());
  if (handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
  graph.finalise();
  return graph;
}

}  // namespace foretrain::gpu
