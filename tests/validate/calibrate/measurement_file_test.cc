#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "base/sha256.h"
#include "base/spec_error.h"
#include "validate/calibrate/device_name.h"
#include "validate/calibrate/read_measurements.h"

using namespace foretrain;

namespace {

constexpr const char* kFile = R"({
  "schema": "foretrain.measurements/1", "foretrain": "0.1.0", "complete": false,
  "device": {"gpu": "NVIDIA H200", "count": 1, "driver": "580.65.06", "date": "2026-11-21"},
  "kernels": [
    {"work": {"kind": "gemm", "m": 8192, "n": 10240, "k": 8192}, "samples_us": [1803, 1799, 1811], "spread": 0.003},
    {"work": {"kind": "memory", "op": "rms_norm", "rows": 8192, "cols": 8192}, "median_us": 70.5},
    {"work": {"kind": "attention", "seq_q": 8192, "heads_q": 8}, "skipped": "out of memory"}],
  "collectives": [
    {"op": "all_reduce", "bytes": 268435456, "ranks": 8, "median_us": 1105},
    {"op": "all_reduce", "bytes": 1024, "ranks": 4, "gpus": 1, "median_us": 60},
    {"op": "broadcast", "bytes": 1024, "ranks": 1, "median_us": 6}],
  "launches": [{"what": "kernel", "samples_us": [2.4, 2.2, 2.9]}, {"what": "graph", "median_us": 9}],
  "steps": [{"name": "8b", "median_us": 812000,
             "kernels": [{"work": {"kind": "gemm", "m": 8192, "n": 10240, "k": 8192}, "median_us": 2003, "count": 64}]}],
  "memory": [{"name": "8b", "peak_bytes": 70123456789}]
})";

Measurements read(const std::string& text, const MeasurementOptions& options = {}) {
  Measurements m;
  m.source.file = "m.json";
  const SpecNode file = SpecNode::parse(text, "m.json");
  REQUIRE(is_measurement_file(file));
  add_measurement_file(file, options, Catalogue::load(), m);
  return m;
}

}  // namespace

TEST_CASE("samples of a measurement file, alone and inside steps") {
  const Measurements m = read(kFile);
  CHECK(m.source.device == "NVIDIA H200");
  CHECK(m.source.date == "2026-11-21");
  REQUIRE(m.kernels.size() == 3);
  CHECK(m.kernels[0].gpu == "h200-sxm5-141gb");
  CHECK(m.kernels[0].time / microseconds == doctest::Approx(1803));  // the median of its samples
  CHECK(m.kernels[0].measured_in == MeasuredIn::isolated);
  CHECK(m.kernels[2].measured_in == MeasuredIn::step);
  CHECK(m.kernels[2].kernels == m.kernels[0].kernels);
  REQUIRE(m.collectives.size() == 1);
  CHECK(m.collectives[0].group.ranks_per_node == 8);
  REQUIRE(m.launches.size() == 1);
  CHECK(m.launches[0].framework == "foretrain");
  CHECK(m.launches[0].time / microseconds == doctest::Approx(2.4));
  CHECK(m.warnings.size() == 1);  // interrupted
  std::int64_t left_out = 0;
  for (const LeftOutRows& l : m.left_out) left_out += l.rows;
  // attention skipped, ranks on one GPU, one rank, a graph's launch, the whole step, its memory
  CHECK(left_out == 6);
  CHECK(m.source.rows == left_out + 5);
}

TEST_CASE("a time that was no number is null, and the others count") {
  std::string text = kFile;
  text.replace(text.find("[1803, 1799, 1811]"), 18, "[null, 1799, 1811]");
  CHECK(read(text).kernels[0].time / microseconds == doctest::Approx(1799));
  text.replace(text.find("[null, 1799, 1811]"), 18, "[null]            ");
  const Measurements m = read(text);
  CHECK(m.kernels.size() == 2);
  CHECK(m.left_out[0].why == "no sample is a number");
}

TEST_CASE("a measurement file that is wrong is refused at the place") {
  const auto broken = [](const std::string& from, const std::string& to) {
    std::string text = kFile;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK_THROWS_WITH_AS(read(broken("\"m\": 8192", "\"m\": -1")), doctest::Contains("m.json:/kernels/0/work/m"),
                       SpecError);
  CHECK_THROWS_WITH_AS(read(broken("[1803, 1799, 1811]", "[]")), doctest::Contains("/kernels/0/samples_us"), SpecError);
  CHECK_THROWS_WITH_AS(read(broken("70.5", "0")), doctest::Contains("/kernels/1/median_us"), SpecError);
  CHECK_THROWS_WITH_AS(read(broken("all_reduce", "all_redcue")), doctest::Contains("/collectives/0/op"), SpecError);
  CHECK_THROWS_WITH_AS(read(broken("\"gpu\"", "\"gpus\"")), doctest::Contains("/device"), SpecError);
}

TEST_CASE("a GPU that the catalogue does not have is left out, unless an option names one") {
  std::string text = kFile;
  text.replace(text.find("NVIDIA H200"), 11, "NVIDIA GB10");
  CHECK(read(text).kernels.empty());
  MeasurementOptions options;
  options.gpu = "h100";
  CHECK(read(text, options).kernels.size() == 3);
  CHECK(read(kFile, options).kernels.empty());  // an H200 is no H100
}

TEST_CASE("--gpu picks one of the GPUs that a table holds") {
  const std::string path = (std::filesystem::temp_directory_path() / "foretrain_two_gpus_test.csv").string();
  std::ofstream(path) << "gpu,dtype,b,m,n,k,time_us\nh100,bf16,1,8192,8192,8192,1500\n"
                         "a100,bf16,1,8192,8192,8192,4200\nmystery,bf16,1,8192,8192,8192,1600\n";
  MeasurementOptions options;
  const auto gpus = [&] {
    std::string names;
    for (const KernelSample& s : read_measurements(path, options, Catalogue::load()).kernels) names += s.gpu + " ";
    return names;
  };
  CHECK(gpus() == "h100-sxm5-80gb a100-sxm4-80gb ");
  options.gpu = "h100";
  CHECK(gpus() == "h100-sxm5-80gb h100-sxm5-80gb ");  // the unknown one is taken to be it, the other is left out
  std::remove(path.c_str());
}

TEST_CASE("GPUs by the names that drivers give them") {
  const Catalogue catalogue = Catalogue::load();
  const auto name = [&](const char* device) {
    const GpuSpec* gpu = gpu_of_device(device, catalogue);
    return gpu == nullptr ? std::string() : gpu->name;
  };
  CHECK(name("NVIDIA H100 80GB HBM3") == "h100-sxm5-80gb");
  CHECK(name("NVIDIA H100 PCIe") == "h100-pcie-80gb");
  CHECK(name("NVIDIA H200") == "h200-sxm5-141gb");
  CHECK(name("NVIDIA A100-SXM4-80GB") == "a100-sxm4-80gb");
  CHECK(name("A100-SXM4-40GB") == "a100-sxm4-40gb");
  CHECK(name("NVIDIA A100 80GB PCIe") == "a100-pcie-80gb");
  CHECK(name("NVIDIA A10G") == "a10-24gb");
  CHECK(name("Tesla V100-SXM2-16GB") == "v100-sxm2-16gb");
  CHECK(name("NVIDIA GB200") == "gb200-186gb");
  CHECK(name("NVIDIA B200") == "b200-sxm-180gb");
  CHECK(name("h100") == "h100-sxm5-80gb");
  CHECK(name("NVIDIA GB10").empty());
  CHECK(name("NVIDIA Graphics Device").empty());
  CHECK(name("NVIDIA H200 NVL").empty());  // another SM clock and power than the SXM board: not the same GPU
}

TEST_CASE("a file's hash is that of its bytes") {
  const Measurements m = read_measurements("tests/data/measurements/nccl_old_2080ti.txt", {}, Catalogue::load());
  std::ifstream in("tests/data/measurements/nccl_old_2080ti.txt", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  CHECK(m.source.sha256 == sha256(text));
  CHECK(m.source.file == "nccl_old_2080ti.txt");
}
