/// NCCL by name: its algorithms, protocols and version, and what a cluster's environment forces on it.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace foretrain {

enum class CollectiveOp { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, send_recv };
inline constexpr std::array<std::string_view, 6> kCollectiveNames = {"all_reduce", "all_gather", "reduce_scatter",
                                                                     "all_to_all", "broadcast",  "send_recv"};

enum class NcclAlgorithm { ring, tree, nvls, nvls_tree, collnet_direct, collnet_chain, pat, p2p, none };
enum class NcclProtocol { ll, ll128, simple, none };
inline constexpr std::array<std::string_view, 9> kAlgorithmNames = {
    "ring", "tree", "nvls", "nvls_tree", "collnet_direct", "collnet_chain", "pat", "p2p", "none"};
inline constexpr std::array<std::string_view, 4> kProtocolNames = {"ll", "ll128", "simple", "none"};
/// The tuner chooses among the first of these; the others stand for send and receive, and for nothing sent.
inline constexpr std::size_t kTunedAlgorithms = 7, kTunedProtocols = 3;

/// "2.28.9". RCCL's versions follow NCCL's.
struct NcclVersion {
  int major = 2, minor = 28, patch = 9;
  auto operator<=>(const NcclVersion&) const = default;
};
/// Reads "2.18" or "2.18.3"; what follows is left alone ("2.22.3 (env)"). None when it does not begin with a version.
std::optional<NcclVersion> parse_nccl_version(std::string_view text);

/// One algorithm or protocol asked for by name. What a group cannot do (NVLS on A100) is not forced.
struct CollectiveChoice {
  std::optional<NcclAlgorithm> algorithm;
  std::optional<NcclProtocol> protocol;
};

/// Algorithms and protocols that the environment allows one collective, a bit for each value of the enum; 0: it says
/// nothing. A protocol that is allowed by name is used where NCCL by itself would not (LL128 over PCIe).
struct NcclAllowed {
  std::uint8_t algorithms = 0, protocols = 0;
  bool operator==(const NcclAllowed&) const = default;
};
/// NCCL_ALGO and NCCL_PROTO (nccl_environment.h), by CollectiveOp.
using NcclEnvironment = std::array<NcclAllowed, kCollectiveNames.size()>;

/// NCCL on a cluster: its version decides which algorithm it takes.
struct NcclSettings {
  NcclVersion version;
  NcclEnvironment environment{};
  bool collnet = false;  ///< NCCL_COLLNET_ENABLE with a plugin that reduces in the switches (SHARP)
};

}  // namespace foretrain
