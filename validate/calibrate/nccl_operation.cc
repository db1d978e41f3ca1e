// Which operation a table of nccl-tests timed.
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "validate/calibrate/nccl_log.h"

namespace foretrain {
namespace {

struct Program {
  std::string_view name;
  std::optional<CollectiveOp> op;
};
// Programs of nccl-tests (src/*.cu); those without an operation are not modelled.
constexpr std::array kPrograms = {Program{"all_reduce_perf", CollectiveOp::all_reduce},
                                  Program{"all_gather_perf", CollectiveOp::all_gather},
                                  Program{"reduce_scatter_perf", CollectiveOp::reduce_scatter},
                                  Program{"alltoall_perf", CollectiveOp::all_to_all},
                                  Program{"broadcast_perf", CollectiveOp::broadcast},
                                  Program{"sendrecv_perf", CollectiveOp::send_recv},
                                  Program{"reduce_perf", std::nullopt},
                                  Program{"gather_perf", std::nullopt},
                                  Program{"scatter_perf", std::nullopt},
                                  Program{"hypercube_perf", std::nullopt},
                                  Program{"alltoallv_perf", std::nullopt}};

/// busbw / algbw, from the row where rounding to two decimals matters least; 0 where none is exact enough.
double bus_over_algorithm(const NcclTable& table) {
  double largest = 1, ratio = 0;
  for (const NcclRow& row : table.rows) {
    if (!row.out_of_place || row.out_of_place->alg_gb_per_s <= largest) continue;
    largest = row.out_of_place->alg_gb_per_s;
    ratio = row.out_of_place->bus_gb_per_s / largest;
  }
  return ratio;
}

/// alltoall checks nothing in place, all_gather does: "N/A" beside a number.
bool unchecked_in_place(const NcclTable& table) {
  bool checked = false;
  for (const NcclRow& row : table.rows) {
    if (row.in_place && row.in_place->wrong) return false;
    checked = checked || (row.out_of_place && row.out_of_place->wrong);
  }
  return checked;
}

}  // namespace

std::optional<CollectiveOp> operation_of(const NcclTable& table, std::int64_t ranks, std::string& why) {
  if (!table.program.empty()) {
    for (const Program& p : kPrograms) {
      if (p.name != table.program) continue;
      if (!p.op) why = fmt::format("{} times an operation that is not modelled", table.program);
      return p.op;
    }
  }
  why = "the log does not name its operation; --op does";
  const double ratio = bus_over_algorithm(table);
  if (ranks < 2 || ratio == 0 || table.rows.empty()) return std::nullopt;
  const double n = static_cast<double>(ranks);
  const auto is = [&](double factor) { return std::abs(ratio - factor) < 0.01 * factor; };
  const std::string& redop = table.rows.front().redop;
  const bool reduces = !redop.empty() && redop != "none";
  if (ranks > 2 && is(2 * (n - 1) / n)) return CollectiveOp::all_reduce;
  if (!is((n - 1) / n)) return std::nullopt;
  if (table.has_root_column) {  // since 2022 what does not reduce says "none"
    if (reduces) return CollectiveOp::reduce_scatter;
    if (unchecked_in_place(table)) return CollectiveOp::all_to_all;
    why = "the log does not name its operation (all_gather and alltoall look alike); --op does";
    return std::nullopt;
  }
  if (redop.empty()) return CollectiveOp::all_gather;  // until 2022 only its table had neither redop nor root
  why = "the log does not name its operation (reduce_scatter and alltoall look alike); --op does";
  return std::nullopt;
}

}  // namespace foretrain
