#include "validate/gpu/run/bound_work.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "validate/reference/philox.h"

namespace foretrain::gpu {
namespace {

using reference::Values;

Storage storage_of(Region region) {
  return region <= Region::numbers_e4m3 ? static_cast<Storage>(region) : Storage::fp32;
}

void put(double value, Storage storage, unsigned char* to) {
  const auto narrow = static_cast<float>(value);
  const auto store = [&](auto bits) { std::memcpy(to, &bits, sizeof bits); };
  switch (storage) {
    case Storage::fp32:
      return store(narrow);
    case Storage::fp16:
      return store(reference::fp16_bits(narrow));
    case Storage::bf16:
      return store(reference::bf16_bits(narrow));
    case Storage::e4m3:
      return store(reference::e4m3_bits(narrow));
  }
}

double number(Storage storage, const unsigned char* from) {
  const auto load = [&](auto bits) {
    std::memcpy(&bits, from, sizeof bits);
    return bits;
  };
  switch (storage) {
    case Storage::fp16:
      return static_cast<double>(reference::from_fp16_bits(load(std::uint16_t{})));
    case Storage::bf16:
      return static_cast<double>(reference::from_bf16_bits(load(std::uint16_t{})));
    case Storage::e4m3:
      return static_cast<double>(reference::from_e4m3_bits(load(std::uint8_t{})));
    case Storage::fp32:
      break;
  }
  return static_cast<double>(load(float{}));
}

void upload(const OperandPlace& place, Storage storage, const Values& values) {
  const auto width = static_cast<std::size_t>(bytes_of(storage));
  FORETRAIN_CHECK(static_cast<std::int64_t>(values.size() * width) <= place.bytes);
  std::vector<unsigned char> bytes(values.size() * width);
  for (std::size_t i = 0; i < values.size(); ++i) put(values[i], storage, bytes.data() + i * width);
  FORETRAIN_CUDA_CHECK(cudaMemcpy(place.at, bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
}

Values download(const OperandPlace& place, Storage storage) {
  const auto width = static_cast<std::size_t>(bytes_of(storage));
  std::vector<unsigned char> bytes(static_cast<std::size_t>(place.bytes));
  FORETRAIN_CUDA_CHECK(cudaMemcpy(bytes.data(), place.at, bytes.size(), cudaMemcpyDeviceToHost));
  Values values(bytes.size() / width);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = number(storage, bytes.data() + i * width);
  return values;
}

}  // namespace

const reference::NumberFormat& format_of(Storage storage) {
  switch (storage) {
    case Storage::fp16:
      return reference::kFp16;
    case Storage::bf16:
      return reference::kBf16;
    case Storage::e4m3:
      return reference::kE4m3;
    case Storage::fp32:
      break;
  }
  return reference::kFp32;
}

Values random_numbers(Storage storage, std::int64_t count, std::uint64_t seed, double size) {
  Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t word = random_quad({seed, 2}, i / 4).word[i % 4];
    values[i] = reference::rounded(size * ((static_cast<double>(word) + 0.5) / 2147483648.0 - 1.0), format_of(storage));
  }
  return values;
}

BoundWork::BoundWork(const StepWork& work, const WorkContext& context, const std::shared_ptr<Libraries>& libraries)
    : name_(work_text(work)) {
  const Bind bind = bind_kernel(work, context, libraries);
  memory_ = OperandMemory(needs_of(bind), context.vocabulary);
  memory_.operands().record(places_);
  launch_ = bind(memory_.operands());
}

const OperandPlace& BoundWork::place(Region region, std::size_t index) const {
  const auto kind = [](Region r) { return r <= Region::numbers_e4m3 ? Region::numbers_fp32 : r; };
  for (const OperandPlace& p : places_) {
    if (kind(p.region) == kind(region) && index-- == 0) return p;
  }
  FORETRAIN_CHECK(false && "a work has fewer operands than its check asks for");
  return places_.front();
}

void BoundWork::set_number(std::size_t index, const Values& values) {
  const OperandPlace& p = place(Region::numbers_fp32, index);
  upload(p, storage_of(p.region), values);
}
void BoundWork::set_state(std::size_t index, const Values& values) {
  upload(place(Region::state, index), Storage::fp32, values);
}
void BoundWork::set_tokens(const std::vector<std::int64_t>& tokens) {
  const OperandPlace& p = place(Region::tokens, 0);
  FORETRAIN_CHECK(static_cast<std::int64_t>(8 * tokens.size()) <= p.bytes);
  FORETRAIN_CUDA_CHECK(cudaMemcpy(p.at, tokens.data(), 8 * tokens.size(), cudaMemcpyHostToDevice));
}

void BoundWork::run() {
  check_cuda(launch_(nullptr), name_.c_str(), __FILE__, __LINE__);
  FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(nullptr));
}

Values BoundWork::result(std::size_t index, Storage storage) const {
  return download(place(Region::results, index), storage);
}
Values BoundWork::state(std::size_t index) const { return download(place(Region::state, index), Storage::fp32); }
Values BoundWork::squares(std::size_t index) const { return download(place(Region::squares, index), Storage::fp32); }
Values BoundWork::scratch(std::size_t index) const { return download(place(Region::scratch, index), Storage::fp32); }

CheckResult compare(std::string name, const Values& got, const Values& want, const Allowance& a) {
  if (got.size() != want.size() || got.empty()) {
    return {std::move(name), false, std::to_string(got.size()) + " numbers instead of " + std::to_string(want.size())};
  }
  const reference::NumberFormat& format = format_of(a.storage);
  const double arithmetic = a.steps * a.size * 0x1p-24;
  const double smallest = std::ldexp(0.5, format.smallest_exponent - format.mantissa_bits);
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double allowed = arithmetic + format.unit_roundoff() * (std::fabs(want[i]) + arithmetic) + smallest;
    const double ratio = std::fabs(got[i] - want[i]) / allowed;
    if (!(ratio <= worst)) worst = ratio;  // NaN too
    if (std::isnan(worst)) break;
  }
  char detail[96];
  std::snprintf(detail, sizeof detail, "largest error %.3g of what rounding allows, %zu numbers", worst, got.size());
  return {std::move(name), worst <= 1, detail};
}

}  // namespace foretrain::gpu
