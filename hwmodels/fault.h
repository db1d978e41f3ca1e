/// A fault: parts of a cluster that are slower than they should be, or dead.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

/// `scale_up` is a GPU's NVLink or xGMI; in a node without, its PCIe.
enum class FaultyPart : std::uint8_t { gpu, nic, scale_up, leaf_up, spine };
inline constexpr std::array<std::string_view, 5> kFaultyPartNames = {"gpu", "nic", "nvlink", "leaf up-links", "spine"};

/// One entry of `cluster.faults`: every `unit` of every `host` has `share` of its healthy speed.
struct Fault {
  std::string name;  ///< as it is written: "node3.nic2"
  FaultyPart part = FaultyPart::gpu;
  std::vector<std::int64_t> hosts;  ///< nodes, leaves or spines, ascending
  std::vector<std::int64_t> units;  ///< GPUs or NICs of each node; empty for leaves and spines
  double share = 1;                 ///< 0: dead
};

}  // namespace foretrain
