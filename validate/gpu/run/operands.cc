#include "validate/gpu/run/operands.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace foretrain::gpu {
namespace {
constexpr std::int64_t kAlignment = 256;  // that of cudaMalloc
}

void Needs::cover(const Needs& other) {
  for (std::size_t r = 0; r < kRegions; ++r) bytes[r] = std::max(bytes[r], other.bytes[r]);
}

std::int64_t Needs::total() const { return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}); }

void Operands::begin(const Needs& work) {
  for (std::size_t r = 0; r < kRegions; ++r) {
    if (place_.bytes[r] + work.bytes[r] > size_.bytes[r]) place_.bytes[r] = 0;
  }
}

const void* Operands::read(Storage storage, std::int64_t count) {
  return take(static_cast<Region>(storage), count * bytes_of(storage));
}

void* Operands::take(Region region, std::int64_t bytes) {
  const auto r = static_cast<std::size_t>(region);
  const std::int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  taken_.bytes[r] += rounded;
  if (base_[r] == nullptr) return nullptr;
  FORETRAIN_CHECK(place_.bytes[r] + rounded <= size_.bytes[r]);
  void* at = static_cast<char*>(base_[r]) + place_.bytes[r];
  place_.bytes[r] += rounded;
  if (places_ != nullptr) places_->push_back({region, at, bytes});
  return at;
}

}  // namespace foretrain::gpu
