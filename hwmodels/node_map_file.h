/// Reads what users have of a node: an NCCL topology (XML) or the table of `nvidia-smi topo -m`.
#pragma once

#include <cstddef>
#include <string>

#include "hwmodels/node_map.h"

namespace foretrain {

/// Bounds on such a file, so that no input exhausts memory or stack.
inline constexpr std::size_t kLargestNodeMapBytes = 16'000'000;
inline constexpr std::int64_t kMostNodeGpus = 64;

/// The node that `file` describes; which of the two it is shows in its first character. SpecError("file:line") for
/// what no node can be: cut off, unknown elements or devices, links to nowhere or of no width, tables with other
/// columns or with two values for one pair.
NodeMap read_node_map(const std::string& file);
/// The same for `text` that stood in `file`.
NodeMap read_node_map_text(const std::string& text, const std::string& file);

/// `text` as NCCL_TOPO_DUMP_FILE writes it and NCCL_TOPO_FILE reads it. Static ones of cloud images, without <gpu> and
/// <net>, leave NVLinks and NIC rates unknown. Source of the grammar: NVIDIA/nccl 2.28.9 src/graph/xml.cc, topo.cc.
NodeMap read_nccl_topology(const std::string& text, const std::string& file);

/// `text` as `nvidia-smi topo -m` prints it, in any of its generations: NICs by name or by number with a legend, with
/// or without NUMA columns, tabs or blanks. It has no rates: links and NICs are left unknown.
NodeMap read_topology_table(const std::string& text, const std::string& file);

}  // namespace foretrain
