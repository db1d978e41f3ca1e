/// Names of hosts as Slurm and MPI write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

/// No list names more hosts.
inline constexpr std::size_t kMostHosts = 1'000'000;

/// The hosts of a Slurm list in order: "dgx[01-03,07],gpu-[1-2]n[0-1]" is dgx01 dgx02 dgx03 dgx07 gpu-1n0 gpu-1n1
/// gpu-2n0 gpu-2n1. Zeros in front are kept; of several brackets in a name the last runs fastest. SpecError at `where`
/// for brackets that do not close, ranges that fall, names that stand twice, and more than kMostHosts.
std::vector<std::string> parse_host_list(std::string_view text, const std::string& where);

/// The shortest such list that parse_host_list gives back as `hosts`: neighbours that differ in their last number only
/// are joined.
std::string host_list(const std::vector<std::string>& hosts);

struct HostSlots {
  std::string host;
  std::int64_t slots = 0;  ///< 0: the line does not say
};
/// A hostfile: one host a line, "node1 slots=8" (DeepSpeed, Open MPI), "node1:8" (MPICH) or the name alone; "#" begins
/// a remark. SpecError("file:line") for anything else.
std::vector<HostSlots> parse_hostfile(std::string_view text, const std::string& file);

}  // namespace foretrain
