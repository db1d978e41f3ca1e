#include "validate/calibrate/calibrate.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "hwmodels/calibration_file.h"
#include "hwmodels/sustained_rate.h"
#include "validate/calibrate/calibration_report.h"
#include "validate/calibrate/read_measurements.h"
#include "validate/calibrate/surface_fit.h"

using namespace foretrain;

namespace {

const std::string kPublished = "validate/published/";

const Catalogue& catalogue() {
  static const Catalogue kCatalogue = Catalogue::load();
  return kCatalogue;
}

/// Errors of the rows that are wanted, with the calibration.
template <class Wanted>
Residuals judged(const CalibrationResult& result, const Wanted& wanted, bool after = true) {
  std::vector<double> errors;
  for (const JudgedRow& row : result.rows)
    if (wanted(row)) errors.push_back(after ? row.after : row.before);
  return residuals_of(errors);
}

std::int64_t octave(int i, const char* of, int least, int octaves) {
  const double u = static_cast<double>(hash_of(of + std::to_string(i)) >> 11U) * 0x1p-53;
  return 64 * std::llround(std::exp2(least + octaves * u) / 64);
}

/// GEMMs of an H200 whose every time is `slower` times the model's, and times more for few rows.
Measurements imagined(double slower, MeasuredIn in, int count) {
  const GpuSpec& gpu = catalogue().gpu("h200", "test");
  Measurements m;
  m.source.file = "imagined.json";
  for (int i = 0; i < count; ++i) {
    const Gemm g{.m = octave(i, "m", 9, 6), .n = octave(i, "n", 10, 5), .k = octave(i, "k", 10, 5)};
    const double small = 0.1 * (15 - std::log2(static_cast<double>(g.m)));
    const Seconds time = slower * std::exp(small) * kernel_time(g, gpu, catalogue().efficiency(gpu)).time;
    m.kernels.push_back({gpu.name, {g}, time, in});
  }
  m.source.rows = m.source.used = count;
  return m;
}

std::string temporary(const std::string& name) { return (std::filesystem::temp_directory_path() / name).string(); }

}  // namespace

TEST_CASE("fitted to 70 % of the A100 and of the H100 rows, the others are met") {
  std::vector<Measurements> files;
  for (const char* name : {"gemm_core", "attention_core", "membound_measured"})
    files.push_back(read_measurements(kPublished + "kernels/" + name + ".csv", {}, catalogue()));
  files.push_back(read_measurements(kPublished + "collectives/nccl_runs.json", {}, catalogue()));
  for (const std::int64_t seed : {1, 2, 3}) {  // whichever rows are held out
    CAPTURE(seed);
    const CalibrationResult chosen = calibrate(files, catalogue(), {.share = 0.3, .seed = seed}, "test");
    for (const std::string gpu : {"a100", "h100"}) {
      CAPTURE(gpu);
      const auto held = [&](const JudgedRow& row) { return row.held_out && row.large && row.gpu.starts_with(gpu); };
      const auto gemm = [&](const JudgedRow& row) { return held(row) && row.gemm; };
      const auto collective = [&](const JudgedRow& row) { return held(row) && row.collective; };
      const Residuals gemms = judged(chosen, gemm), collectives = judged(chosen, collective);
      CHECK(gemms.rows > 100);
      CHECK(collectives.rows > 80);
      CHECK(gemms.median <= 0.04);
      CHECK(collectives.median <= 0.08);
      // And it is the calibration that helps, not only the catalogue that was good.
      CHECK(gemms.median <= judged(chosen, gemm, false).median);
      CHECK(collectives.median < judged(chosen, collective, false).median);
    }
  }
  const CalibrationResult result = calibrate(files, catalogue(), {.share = 0.3}, "test");
  // About 30 % were held out, and a shape that was measured twice stays on one side.
  std::int64_t held = 0;
  for (const JudgedRow& row : result.rows) held += row.held_out ? 1 : 0;
  const double share = static_cast<double>(held) / static_cast<double>(result.rows.size());
  CHECK(share > 0.25);
  CHECK(share < 0.35);
  const std::string report = calibration_report(result);
  CHECK(report.find("Left out:") != std::string::npos);
  CHECK(report.find("outside") != std::string::npos);
}

TEST_CASE("a machine that is slower, and slowest where it is small, is found from rows that were not held out") {
  const CalibrationResult result =
      calibrate({imagined(1.2, MeasuredIn::isolated, 300)}, catalogue(), {.share = 0.3}, "test");
  const auto held = [](const JudgedRow& row) { return row.held_out; };
  CHECK(judged(result, held).rows > 60);
  CHECK(judged(result, held, false).median > 0.2);
  CHECK(judged(result, held).median < 0.01);
  REQUIRE(result.calibration.kernels.size() == 1);
  CHECK(result.calibration.kernels[0].quality.held_out_after.median < 0.01);
}

TEST_CASE("corrections are for one GPU, one kind, one format") {
  const Calibration c = calibrate({imagined(1.5, MeasuredIn::isolated, 60)}, catalogue(), {}, "test").calibration;
  const GpuSpec &h200 = catalogue().gpu("h200", "test"), &h100 = catalogue().gpu("h100", "test");
  const Gemm g{.m = 32768, .n = 8192, .k = 8192};
  const auto ratio = [&](const Kernel& kernel, const GpuSpec& gpu) {
    const EfficiencySpec& e = catalogue().efficiency(gpu);
    return kernel_time(kernel, gpu, e, &c).time / kernel_time(kernel, gpu, e).time;
  };
  CHECK(ratio(g, h200) == doctest::Approx(1.5).epsilon(0.03));
  CHECK(ratio(g, h100) == 1);
  CHECK(ratio(memory_kernel(MemoryOp::rms_norm, false, 8192, 8192, DType::bf16), h200) == 1);
  Gemm fp8 = g;
  fp8.dtype = DType::fp8;
  CHECK(ratio(fp8, h200) == 1);
  const EfficiencySpec& e = catalogue().efficiency(h200);
  CHECK(kernel_time(g, h200, e, &c).use == CalibrationUse::inside);
  CHECK(kernel_time(g, h200, e, &c).measured_in == MeasuredIn::isolated);
  CHECK(kernel_time(fp8, h200, e, &c).use == CalibrationUse::none);
  CHECK(kernel_time(g, h200, e, nullptr).use == CalibrationUse::none);
  CHECK(kernel_time(g, h200, e, nullptr).time == kernel_time(g, h200, e).time);
}

TEST_CASE("beyond what was measured the correction at the border holds, and the result says so") {
  const Calibration c = calibrate({imagined(1.2, MeasuredIn::isolated, 300)}, catalogue(), {}, "test").calibration;
  const GpuSpec& gpu = catalogue().gpu("h200", "test");
  const EfficiencySpec& e = catalogue().efficiency(gpu);
  const auto at = [&](std::int64_t m) {
    const Gemm g{.m = m, .n = 8192, .k = 8192};
    const CalibratedKernelTime t = kernel_time(g, gpu, e, &c);
    return std::make_pair(t.time / kernel_time(g, gpu, e).time, t.use);
  };
  CHECK(at(1 << 12).second == CalibrationUse::inside);
  CHECK(at(1 << 20).second == CalibrationUse::outside);
  CHECK(at(1 << 20).first == doctest::Approx(at(1 << 24).first));
  // At the border, m = 2^15, the machine is 1.2 times slower.
  CHECK(at(1 << 20).first == doctest::Approx(1.2).epsilon(0.05));
}

TEST_CASE("times from steps come first, and their ratio to isolated ones is the sustained rate") {
  const GpuSpec& gpu = catalogue().gpu("h200", "test");
  const Calibration c = calibrate({imagined(1.0, MeasuredIn::isolated, 200), imagined(1.25, MeasuredIn::step, 40)},
                                  catalogue(), {}, "test")
                            .calibration;
  REQUIRE(c.sustained.size() == 1);
  CHECK(c.sustained[0].rate == doctest::Approx(0.8).epsilon(0.02));
  const EfficiencySpec& e = catalogue().efficiency(gpu);
  CHECK(sustained_rate(gpu, e, DType::bf16, false, &c) == c.sustained[0].rate);
  CHECK(sustained_rate(gpu, e, DType::bf16, false, nullptr) == sustained_rate(gpu, e, DType::bf16, false));
  const Kernel g = imagined(1, MeasuredIn::step, 1).kernels[0].kernels[0];
  const CalibratedKernelTime t = kernel_time(g, gpu, catalogue().efficiency(gpu), &c);
  CHECK(t.measured_in == MeasuredIn::step);
}

TEST_CASE("a collective's latency is corrected with its time") {
  const ClusterSpec cluster = catalogue().node("dgx-h100", "test");
  const GroupLayout group{.ranks = 8, .ranks_per_node = 8, .groups_sharing_nics = 1};
  Measurements m;
  m.source.file = "imagined.txt";
  for (int e = 10; e <= 32; ++e) {
    const Bytes size = Bytes::from_base(std::exp2(e));
    const Seconds time = 1.4 * collective_time(CollectiveOp::all_reduce, size, group, cluster).time;
    m.collectives.push_back({.op = CollectiveOp::all_reduce,
                             .size = size,
                             .time = time,
                             .group = group,
                             .cluster = std::make_shared<const ClusterSpec>(cluster),
                             .choice = {},
                             .measured_in = MeasuredIn::isolated});
  }
  const Calibration c = calibrate({m}, catalogue(), {}, "test").calibration;
  const auto plain = collective_time(CollectiveOp::all_reduce, 100 * MiB, group, cluster);
  const auto corrected = collective_time(CollectiveOp::all_reduce, 100 * MiB, group, cluster, &c);
  CHECK(corrected.use == CalibrationUse::inside);
  CHECK(corrected.time.time / plain.time == doctest::Approx(1.4).epsilon(0.02));
  CHECK(corrected.time.latency / plain.latency == doctest::Approx(corrected.time.time / plain.time));
  CHECK(corrected.time.algorithm == plain.algorithm);
  // Four ranks were not measured: the border's correction, and it says so. Another operation: nothing.
  const GroupLayout four{.ranks = 4, .ranks_per_node = 4, .groups_sharing_nics = 1};
  CHECK(collective_time(CollectiveOp::all_reduce, 100 * MiB, four, cluster, &c).use == CalibrationUse::outside);
  CHECK(collective_time(CollectiveOp::all_gather, 100 * MiB, group, cluster, &c).use == CalibrationUse::none);
  const GroupLayout two_nodes{.ranks = 16, .ranks_per_node = 8, .groups_sharing_nics = 1};
  CHECK(collective_time(CollectiveOp::all_reduce, 100 * MiB, two_nodes, cluster, &c).use == CalibrationUse::none);
}

TEST_CASE("a calibration is the same after its file and back, byte for byte") {
  Measurements extra = imagined(1.1, MeasuredIn::isolated, 50);
  extra.source = {
      "say \"hi\".json", "foretrain.measurements/1", std::string(64, 'a'), "NVIDIA H200", "2026-11-21", 50, 50};
  extra.launches.push_back({"megatron-core", false, 5.5 * microseconds, 100});
  extra.leave_out("it was dark", 3);
  extra.left_out.back().file = "say \"hi\".json";
  const Calibration c = calibrate({extra}, catalogue(), {.share = 0.2}, "9.9").calibration;
  const std::string text = calibration_text(c), path = temporary("foretrain_calibration_test.json");
  std::ofstream(path, std::ios::binary) << text;
  const Calibration again = read_calibration(path);
  std::remove(path.c_str());
  CHECK(calibration_text(again) == text);
  CHECK(again.name == "foretrain_calibration_test.json");
  CHECK(again.sha256.size() == 64);
  CHECK(launch_time(&again, "megatron-core", false)->base() == doctest::Approx(5.5e-6));
  CHECK_FALSE(launch_time(&again, "megatron-core", true).has_value());
  CHECK(text.find("\"first\": \"2026-11-21\"") != std::string::npos);
  const GpuSpec& gpu = catalogue().gpu("h200", "test");
  const EfficiencySpec& e = catalogue().efficiency(gpu);
  for (const KernelSample& s : extra.kernels)
    CHECK(kernel_time(s.kernels[0], gpu, e, &again).time == kernel_time(s.kernels[0], gpu, e, &c).time);
}

TEST_CASE("a calibration file that is wrong is refused in one line") {
  const Calibration c = calibrate({imagined(1.1, MeasuredIn::isolated, 30)}, catalogue(), {}, "9.9").calibration;
  const std::string text = calibration_text(c), path = temporary("foretrain_bad_calibration_test.json");
  const auto refusal = [&](const std::string& from, const std::string& to) {
    std::string bad = text;
    bad.replace(bad.find(from), from.size(), to);
    std::ofstream(path, std::ios::binary) << bad;
    try {
      (void)read_calibration(path);
    } catch (const SpecError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK(refusal("calibration/1", "calibration/2").find("/schema") != std::string::npos);
  CHECK(refusal("log2 m\"", "log2 q\"").find("another version") != std::string::npos);
  CHECK(refusal("\"gemm\"", "\"gem\"").find("/family/kind") != std::string::npos);
  CHECK(refusal("\"trend\": [", "\"trend\": [1, 2, ").find("/trend") != std::string::npos);
  CHECK(refusal("\"left_out\"", "\"left_uot\"").find("left_uot") != std::string::npos);
  std::remove(path.c_str());
  CHECK_THROWS_AS(read_calibration("no/such/file.json"), SpecError);
}

TEST_CASE("nothing to fit is an error that says why") {
  Measurements nothing;
  nothing.source.file = "empty.json";
  nothing.leave_out("the GPU slept", 4);
  CHECK_THROWS_WITH_AS(calibrate({nothing}, catalogue(), {}, "x"), doctest::Contains("the GPU slept"), SpecError);
}

TEST_CASE("100,000 rows are fitted; how long that and a corrected time take is printed, not tested") {
  using Clock = std::chrono::steady_clock;
  std::vector<Measurements> files;
  for (const MeasuredIn in : {MeasuredIn::isolated, MeasuredIn::step}) files.push_back(imagined(1.1, in, 50'000));
  const auto begin = Clock::now();
  const Calibration c = calibrate(files, catalogue(), {.share = 0.3}, "test").calibration;
  MESSAGE("100,000 rows: " << std::chrono::duration<double>(Clock::now() - begin).count() << " s");
  const GpuSpec& gpu = catalogue().gpu("h200", "test");
  const EfficiencySpec& e = catalogue().efficiency(gpu);
  constexpr int kCalls = 20'000;
  double plain = 0, corrected = 0;
  for (int pass = 0; pass < 2; ++pass) {
    const auto start = Clock::now();
    Seconds sum;
    for (int i = 0; i < kCalls; ++i) {
      const Gemm g{.m = 1024 + 8 * (i % 1000), .n = 4096, .k = 4096};
      sum += pass == 0 ? kernel_time(g, gpu, e).time : kernel_time(g, gpu, e, &c).time;
    }
    CHECK(sum > Seconds{});
    (pass == 0 ? plain : corrected) = std::chrono::duration<double>(Clock::now() - start).count() / kCalls;
  }
  MESSAGE("a GEMM's time: " << plain * 1e6 << " us; corrected by two surfaces: " << corrected * 1e6 << " us");
}
