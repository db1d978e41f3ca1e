#include "validate/gpu/run/operand_memory.h"

#include <algorithm>
#include <array>

#include "validate/gpu/run/device_data.h"

namespace foretrain::gpu {
namespace {

/// Fills the regions that are read, on the default stream.
void fill_region(Region region, void* to, std::int64_t bytes, std::int64_t vocabulary) {
  const auto r = static_cast<std::uint64_t>(region);
  switch (region) {
    case Region::numbers_fp32:
    case Region::numbers_fp16:
    case Region::numbers_bf16:
    case Region::numbers_e4m3: {
      const auto storage = static_cast<Storage>(region);
      FORETRAIN_CUDA_CHECK(fill_random(to, bytes / bytes_of(storage), storage, Filling::normal, 11 + r, nullptr));
      return;
    }
    case Region::state:
      FORETRAIN_CUDA_CHECK(fill_random(to, bytes / 4, Storage::fp32, Filling::normal, 11 + r, nullptr));
      return;
    case Region::squares:
      FORETRAIN_CUDA_CHECK(fill_random(to, bytes / 4, Storage::fp32, Filling::positive, 11 + r, nullptr));
      return;
    case Region::tokens:
      FORETRAIN_CUDA_CHECK(fill_tokens(static_cast<std::int64_t*>(to), bytes / 8, vocabulary, 11 + r, nullptr));
      return;
    case Region::results:
      FORETRAIN_CUDA_CHECK(fill_random(to, bytes / 2, Storage::bf16, Filling::normal, 11 + r, nullptr));
      return;
    case Region::scratch:
      FORETRAIN_CUDA_CHECK(cudaMemsetAsync(to, 0, static_cast<std::size_t>(bytes), nullptr));
  }
}

}  // namespace

OperandMemory::OperandMemory(const Needs& sizes, std::int64_t vocabulary) : sizes_(sizes) {
  std::array<void*, kRegions> base{};
  for (std::size_t r = 0; r < kRegions; ++r) {
    regions_.emplace_back(sizes.bytes[r]);
    base[r] = regions_.back().data();
    if (base[r] != nullptr) fill_region(static_cast<Region>(r), base[r], sizes.bytes[r], vocabulary);
  }
  FORETRAIN_CUDA_CHECK(cudaStreamSynchronize(nullptr));
  operands_ = Operands(base, sizes);
}

bool OperandMemory::is_finite(Region region, Storage storage) const {
  constexpr std::int64_t kSlice = 64 << 10;
  const DeviceMemory& memory = regions_[static_cast<std::size_t>(region)];
  std::vector<std::uint32_t> words(kSlice / 4);
  for (int slice = 0; slice < 8; ++slice) {
    const std::int64_t bytes = std::min(kSlice, memory.bytes());
    const std::int64_t from = (memory.bytes() - bytes) / 8 * slice / 16 * 16;
    FORETRAIN_CUDA_CHECK(cudaMemcpy(words.data(), static_cast<char*>(memory.data()) + from,
                                    static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost));
    for (std::int64_t i = 0; i < bytes / 4; ++i) {
      const std::uint32_t w = words[static_cast<std::size_t>(i)];
      // All bits of the exponent are set in infinities and NaN.
      const bool high = storage == Storage::fp16 ? (w >> 16 & 0x7C00U) == 0x7C00U : (w >> 16 & 0x7F80U) == 0x7F80U;
      const bool low = storage == Storage::fp16   ? (w & 0x7C00U) == 0x7C00U
                       : storage == Storage::bf16 ? (w & 0x7F80U) == 0x7F80U
                                                  : false;
      if (high || low) return false;
    }
  }
  return true;
}

}  // namespace foretrain::gpu
