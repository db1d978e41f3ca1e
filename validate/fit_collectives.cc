/// Fits the constants of hwmodels/collective_wall.h to published collective runs and prints them.
///
///     foretrain_fit_collectives [FILE]     (validate/published/collectives/nccl_runs.json)
///
/// Coordinate descent from the constants in force, a factor at a time. The loss of a row is its absolute log error, cut
/// off where a row is broken rather than mispredicted; each run weighs as the root of its rows; a constant pays for
/// leaving its start. Left out of the fit, not of the comparison: tables from 2021-23 and kernel-profiler times, which
/// time another software than nccl-tests of NCCL 2.18 and later does; and CollNet, which is not modelled.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/data_dir.h"
#include "base/spec_error.h"
#include "hwmodels/collective_wall.h"
#include "validate/collective_rows.h"

namespace foretrain {
namespace {

constexpr std::array kOtherSoftware = {std::string_view("vidur"),          std::string_view("superbench"),
                                       std::string_view("aks_nda100_2n"),  std::string_view("azure_ND_A100"),
                                       std::string_view("aws_2"),          std::string_view("_set1"),
                                       std::string_view("cscs_gh200_2x4"), std::string_view("coreweave_a100_4n")};
constexpr double kStay = 2;        // weight of log(constant / start)^2
constexpr double kKnee = 0.5;      // log error from which a row counts less
constexpr double kCutOff = 1.5;    // and from which it counts no more
constexpr double kLargeRow = 1.3;  // weight of rows of 1 MB and more
constexpr int kSweeps = 6;

std::vector<double*> numbers_of(WallConstants& c) {
  std::vector<double*> numbers;
  for (LinkConstants& k : c.links)
    for (double* x : {&k.launch, &k.ll_hop, &k.ll128_hop, &k.simple_hop, &k.simple_setup, &k.ll_share, &k.ll128_share,
                      &k.simple_share, &k.last_step, &k.ring_fill, &k.nvls_setup, &k.nvls_share, &k.nvls_tree_share,
                      &k.nvls_fill, &k.p2p_launch, &k.p2p_simple, &k.p2p_share, &k.p2p_fill})
      numbers.push_back(x);
  NetworkConstants& n = c.network;
  for (double* x : {&n.ll_overhead, &n.simple_overhead, &n.ll_share, &n.ll128_share, &n.deep_tree_share, &n.ll_growth,
                    &n.peer_fill})
    numbers.push_back(x);
  for (TransportConstants& t : c.transports)
    for (double* x : {&t.message, &t.ll_stall, &t.stall, &t.tree_fill, &t.peer, &t.all_to_all_share})
      numbers.push_back(x);
  return numbers;
}

bool fits(const CollectiveRun& run) {
  const auto named = [&](std::string_view part) { return run.id.find(part) != std::string::npos; };
  return run.refusal.empty() && std::none_of(kOtherSoftware.begin(), kOtherSoftware.end(), named);
}

double loss_of(const std::vector<CollectiveRun>& runs, const WallConstants& constants) {
  double loss = 0;
  for (const CollectiveRun& run : runs) {
    if (!fits(run)) continue;
    const double weight = 1 / std::sqrt(static_cast<double>(run.rows.size()));
    for (const CollectiveRow& row : run.rows) {
      if (!(row.size > Bytes{}) || !(row.time > Seconds{})) continue;
      const Seconds t = collective_time_with(constants, run.op, row.size, run.group, run.cluster, run.choice).time;
      const double error = std::abs(std::log(t / row.time));
      loss += weight * (row.size >= 1 * MB ? kLargeRow : 1) * (std::min(error, kKnee) + 0.3 * std::min(error, kCutOff));
    }
  }
  return loss;
}

double penalty_of(const std::vector<double*>& numbers, const std::vector<double>& start) {
  double penalty = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (start[i] > 0) penalty += kStay * std::pow(std::log(*numbers[i] / start[i]), 2);
  return penalty;
}

void fit(const std::vector<CollectiveRun>& runs, WallConstants& constants) {
  const std::vector<double*> numbers = numbers_of(constants);
  std::vector<double> start;
  for (const double* x : numbers) start.push_back(*x);
  const auto total = [&] { return loss_of(runs, constants) + penalty_of(numbers, start); };
  double best = total();
  fmt::print("loss {:.3f}\n", best);
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (double* x : numbers) {
      const double here = *x;
      double kept = here;
      for (const double factor : {0.7, 0.85, 0.93, 0.97, 1.03, 1.07, 1.15, 1.35}) {
        if (here <= 0) break;
        *x = here * factor;
        if (const double loss = total(); loss < best - 1e-3) {
          best = loss;
          kept = *x;
        }
      }
      *x = kept;
    }
    fmt::print("sweep {} loss {:.3f}\n", sweep + 1, best);
  }
}

int run(const std::string& path) {
  const Catalogue catalogue = Catalogue::load();
  const std::vector<CollectiveRun> runs = read_collective_runs(SpecNode::read_file(path), catalogue);
  WallConstants constants = measured_wall_constants();
  fit(runs, constants);
  std::size_t i = 0;
  const std::size_t row = sizeof(LinkConstants) / sizeof(double);
  for (const double* x : numbers_of(constants)) {
    fmt::print("{:.3g}{}", *x, ++i % row == 0 && i <= row * kLinkClasses ? "\n" : " ");
  }
  fmt::print("\n");
  return 0;
}

}  // namespace
}  // namespace foretrain

int main(int argc, char** argv) {
  try {
    return foretrain::run(argc > 1 ? argv[1] : foretrain::data_file("validate/published/collectives/nccl_runs.json"));
  } catch (const foretrain::SpecError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
