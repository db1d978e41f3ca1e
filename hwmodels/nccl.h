/// NCCL by name: its algorithms, protocols and version, and what a cluster's environment forces on it.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string_view>

namespace foretrain {

enum class NcclAlgorithm { ring, tree, nvls, nvls_tree, p2p, none };
enum class NcclProtocol { ll, ll128, simple, none };
inline constexpr std::array<std::string_view, 6> kAlgorithmNames = {"ring", "tree", "nvls", "nvls_tree", "p2p", "none"};
inline constexpr std::array<std::string_view, 4> kProtocolNames = {"ll", "ll128", "simple", "none"};

/// "2.28.9". RCCL's versions follow NCCL's.
struct NcclVersion {
  int major = 2, minor = 28, patch = 9;
  auto operator<=>(const NcclVersion&) const = default;
};
/// Reads "2.18" or "2.18.3"; what follows is left alone ("2.22.3 (env)"). None when it does not begin with a version.
std::optional<NcclVersion> parse_nccl_version(std::string_view text);

/// What NCCL_ALGO / NCCL_PROTO force. What a group cannot do (NVLS on A100) is not forced.
struct CollectiveChoice {
  std::optional<NcclAlgorithm> algorithm;
  std::optional<NcclProtocol> protocol;
};

/// NCCL on a cluster: its version decides which algorithm it takes.
struct NcclSettings {
  NcclVersion version;
  CollectiveChoice forced;
};

}  // namespace foretrain
