#include "hwmodels/nccl_release.h"

#include <cctype>
#include <cstddef>

namespace foretrain {
namespace {

/// Each release as what it changed of the one before.
constexpr std::array<NcclRelease, 12> make_releases() {
  std::array<NcclRelease, 12> releases{};
  NcclRelease r{.from = {2, 0, 0},
                .tree_base = {4.4, 4.4, 0},
                .ring_base = {3.6, 3.6, 8.4},
                .tree_nvlink = {0.5, 1.9, 28},
                .ring_nvlink = {0.4, 2.5, 5.7},
                .tree_pcie = {1, 1.9, 28},
                .ring_pcie = {1, 2.5, 5.7},
                .tree_net = {5, 7.5, 50},
                .ring_net = {0.9, 2.5, 6.6},
                .ll_share = 0.25,
                .ll_share_gathers = 0.25,
                .ll128_share_alone = 0.92,
                .ampere_bus_most = 0,
                .hopper_bus_most = 0,
                .extra_net_steps = false,
                .exposed_latency = false,
                .chain_tree = 1,
                .ll_slower_over_nodes = 1,
                .net_overhead = false,
                .newest_ll128 = 70,
                .hopper_ll_most = 87.7,
                .ring_plateau = 1,
                .tree_most_two = 70,
                .tree_most = 70,
                .nvls = NvlsRating::none,
                .nvls_hop = 0,
                .nvls_tree_net = 0,
                .nvls_gathers = false,
                .collnet_gathers = false,
                .pat = false,
                .doubled_hopper = true};
  releases[0] = r;

  r.from = {2, 7, 0};
  r.ring_base = {3.6, 10, 8.4};
  r.tree_nvlink = {0.52, 1.2, 28};
  r.ring_nvlink = {0.47, 1.9, 3.4};
  r.tree_net = {5, 8.5, 50};
  r.ring_net = {2.7, 4, 9.6};
  r.ll_slower_over_nodes = 1.8;
  r.ll_share_gathers = 1.0 / 3;
  r.ll128_share_alone = 0.7;
  r.ampere_bus_most = 235;
  r.newest_ll128 = 80;
  r.ring_plateau = 1.9;
  r.tree_most_two = 110;
  r.tree_most = 80;
  releases[1] = r;

  r.from = {2, 8, 0};
  r.tree_nvlink = {0.52, 1.25, 28};
  r.tree_net = {5, 8.5, 28};
  r.tree_most_two = 0;
  r.tree_most = 0;
  releases[2] = r;

  r.from = {2, 12, 0};
  r.extra_net_steps = true;
  releases[3] = r;

  r.from = {2, 15, 0};
  r.newest_ll128 = 90;
  releases[4] = r;

  r.from = {2, 17, 0};
  r.hopper_bus_most = 370;
  r.nvls = NvlsRating::of_ring;
  r.nvls_hop = 40;
  r.nvls_gathers = true;
  releases[5] = r;

  r.from = {2, 18, 0};  // as 2.18.3 has it, which replaced 2.18.1 within weeks
  r.tree_base = {6.8, 14, 0};
  r.ring_base = {6.6, 14, 8.4};
  r.tree_nvlink = {0.6, 1.25, 4};
  r.ring_nvlink = {0.6, 1.9, 3.4};
  r.tree_pcie = {1, 1.9, 6};
  r.tree_net = {5, 8.5, 14};
  r.ring_net = {2.7, 4, 14};
  r.chain_tree = 0.85;
  r.ampere_bus_most = 0;
  r.hopper_bus_most = 0;
  r.ll_slower_over_nodes = 1;
  r.net_overhead = true;
  r.ring_plateau = 1.4;
  r.nvls = NvlsRating::five_sixths;
  r.nvls_hop = 23;
  r.nvls_tree_net = 19;
  r.nvls_gathers = false;
  releases[6] = r;

  r.from = {2, 19, 0};
  r.tree_nvlink = {0.6, 1.25, 28};
  r.tree_pcie = {1, 1.9, 28};
  r.tree_net = {5, 8.5, 28};
  r.nvls = NvlsRating::slower_side;
  r.nvls_tree_net = 14;
  r.nvls_gathers = true;
  releases[7] = r;

  r.from = {2, 21, 0};
  r.ll_share = 0.5;
  r.ll_share_gathers = 0.5;
  r.hopper_ll_most = 141;
  r.nvls_hop = 25;
  r.collnet_gathers = true;
  releases[8] = r;

  r.from = {2, 23, 0};
  r.tree_base = {6.8, 14, 8.4};
  r.tree_nvlink = {0.6, 1.25, 4};
  r.tree_pcie = {1, 1.9, 4};
  r.tree_net = {5, 8.5, 14};
  r.ll128_share_alone = 0.92;
  r.extra_net_steps = false;
  r.exposed_latency = true;
  r.pat = true;
  releases[9] = r;

  r.from = {2, 25, 0};
  r.newest_ll128 = 120;
  releases[10] = r;

  r.from = {2, 28, 0};
  r.nvls = NvlsRating::by_generation;
  r.nvls_tree_net = 20.9;
  r.doubled_hopper = false;
  releases[11] = r;
  return releases;
}
constexpr auto kReleases = make_releases();

}  // namespace

const NcclRelease& nccl_release(NcclVersion version) {
  const NcclRelease* found = &kReleases.front();
  for (const NcclRelease& release : kReleases)
    if (release.from <= version) found = &release;
  return *found;
}

std::optional<NcclVersion> parse_nccl_version(std::string_view text) {
  std::array<int, 3> parts = {0, 0, 0};
  std::size_t i = 0, count = 0;
  while (count < parts.size()) {
    if (i >= text.size() || std::isdigit(static_cast<unsigned char>(text[i])) == 0) break;
    int number = 0;
    while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0 && number < 10'000)
      number = 10 * number + (text[i++] - '0');
    parts[count++] = number;
    if (i >= text.size() || text[i] != '.') break;
    ++i;
  }
  if (count < 2 || parts[0] < 1 || parts[0] > 9) return std::nullopt;
  return NcclVersion{parts[0], parts[1], parts[2]};
}

}  // namespace foretrain
