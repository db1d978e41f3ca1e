#include "validate/efficiency_fit.h"

#include <cmath>

#include <doctest/doctest.h>

#include "hwmodels/kernel_time.h"

using namespace foretrain;

namespace {

/// GEMMs whose measured time is what `truth` predicts, every seventh of them five times too slow.
std::vector<KernelRow> synthetic(const GpuSpec& gpu, const EfficiencySpec& truth) {
  std::vector<KernelRow> rows;
  for (std::int64_t m = 1024; m <= 16384; m *= 2) {
    for (std::int64_t n = 1536; n <= 24576; n *= 2) {
      for (std::int64_t k = 1024; k <= 16384; k *= 2) {
        KernelRow row;
        row.id = std::to_string(rows.size());
        row.gpu = gpu.name;
        row.kernels = {Gemm{.m = m, .n = n, .k = k}};
        row.measured = kernel_time(row.kernels[0], gpu, truth).time * (rows.size() % 7 == 0 ? 5.0 : 1.0);
        rows.push_back(row);
      }
    }
  }
  return rows;
}

}  // namespace

TEST_CASE("a fit recovers known efficiencies from times that they predict, though one row in seven is far off") {
  const Catalogue catalogue = Catalogue::load();
  const GpuSpec& gpu = catalogue.gpu("a100", "test");
  EfficiencySpec truth;
  truth.gemm.sustained.fill(0.62);
  truth.gemm.fixed = 9 * microseconds;
  const std::vector<KernelRow> rows = synthetic(gpu, truth);
  const std::vector<FitRow> mine = rows_of(rows, catalogue, gpu, {});
  REQUIRE(mine.size() == rows.size());
  const EfficiencySpec found = fit(KernelFileKind::gemm, mine, gpu, EfficiencySpec{});
  CHECK(found.gemm.sustained[static_cast<std::size_t>(DType::bf16)] == doctest::Approx(0.62).epsilon(0.01));
  CHECK(found.gemm.fixed / microseconds == doctest::Approx(9).epsilon(0.2));
  // The rows that are not five times too slow, on the side that was not fitted.
  CHECK(judge(mine, gpu, found, false, [](const KernelRow&) { return true; }).median_ape < 0.01);
}

TEST_CASE("the split is seven to three, the same each time, and holds all copies of a shape on one side") {
  const Catalogue catalogue = Catalogue::load();
  const GpuSpec& gpu = catalogue.gpu("a100", "test");
  std::vector<KernelRow> rows = synthetic(gpu, EfficiencySpec{});
  const std::size_t once = rows.size();
  const std::vector<KernelRow> copy = rows;
  rows.insert(rows.end(), copy.begin(), copy.end());
  const std::vector<FitRow> split = rows_of(rows, catalogue, gpu, {});
  std::size_t train = 0;
  for (std::size_t i = 0; i < once; ++i) {
    CHECK(split[i].train == split[once + i].train);
    train += split[i].train ? 1 : 0;
  }
  CHECK(std::abs(static_cast<double>(train) / static_cast<double>(once) - 0.7) < 0.1);
}

TEST_CASE("without rows a fit keeps its start") {
  const Catalogue catalogue = Catalogue::load();
  const GpuSpec& gpu = catalogue.gpu("a100", "test");
  const EfficiencySpec found = fit(KernelFileKind::gemm, {}, gpu, EfficiencySpec{});
  CHECK(found.gemm.headroom == doctest::Approx(EfficiencySpec{}.gemm.headroom));
  CHECK(found.gemm.fixed / microseconds == doctest::Approx(EfficiencySpec{}.gemm.fixed / microseconds));
}
