/// What a GPU is: peaks, memory, clocks, links. Data-sheet facts; what kernels achieve is in efficiency.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/units.h"
#include "hwmodels/dtype.h"

namespace foretrain {

/// One GPU as its data sheet states it. Rates are dense (no sparsity); links count one direction.
struct GpuSpec {
  std::string name;                                                    ///< catalogue id, lower case: "h100-sxm5-80gb"
  std::string vendor;                                                  ///< "NVIDIA", "AMD"
  std::string architecture;                                            ///< "Hopper"
  int compute_capability = 0;                                          ///< 70, 80, 90, 100; 0 where there is none (AMD)
  std::array<std::optional<FlopsPerSecond>, kDTypeNames.size()> peak;  ///< by DType; nullopt = unsupported
  Bytes memory;  ///< usable device memory as the driver reports it (GiB-exact), before the CUDA context
  BytesPerSecond memory_bandwidth;
  Bytes l2_cache;
  std::int64_t sm_count = 0;
  Hertz boost_clock;
  double tdp_watts = 0;
  BytesPerSecond scale_up_bandwidth;  ///< NVLink/xGMI, one direction per GPU; 0 without
  BytesPerSecond pcie_bandwidth;      ///< link to the host, raw, one direction: PCIe, or NVLink-C2C
  int pcie_generation = 0;            ///< 0 where the host link is not PCIe (GB200, GB300, GH200)
  std::string usual_node;  ///< the catalogue node that a cluster of this GPU is built of unless it says otherwise
  std::string source;      ///< ids of the sources of these numbers, as in the catalogue's source table
};

/// Peak of `t`, or nullopt when the GPU has no such format. bf16 falls back to nothing: V100 has none.
inline std::optional<FlopsPerSecond> peak(const GpuSpec& gpu, DType t) { return gpu.peak[static_cast<std::size_t>(t)]; }

}  // namespace foretrain
