#include "validate/kernel_rows.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/data_dir.h"
#include "base/spec_error.h"
#include "hwmodels/kernel_time.h"

using namespace foretrain;

namespace {

std::vector<KernelRow> read(const std::string& text) {
  struct TextFile {
    std::string path = (std::filesystem::temp_directory_path() / "foretrain_kernel_rows_test.csv").string();
    ~TextFile() { std::filesystem::remove(path); }
  } const file;
  std::ofstream(file.path, std::ios::binary) << text;
  return read_kernel_rows(file.path);
}

/// The rows of a published file that `wanted` picks, predicted.
template <typename Wanted>
ErrorSummary published(const std::string& file, const std::string& gpu, Wanted wanted) {
  static const Catalogue catalogue = Catalogue::load();
  std::vector<KernelRow> picked;
  for (KernelRow& row : read_kernel_rows(data_file("validate/published/kernels/" + file))) {
    if (row.kernels.empty() || !wanted(row)) continue;
    picked.push_back(std::move(row));
  }
  std::vector<ComparisonRow> rows;
  for (const ComparisonRow& row : compare_kernels(picked, catalogue).rows) {
    if (row.groups[0] == "gpu: " + gpu) rows.push_back(row);
  }
  return summarise(rows);
}

bool large_16_bit(const KernelRow& row) {
  const Gemm& g = std::get<Gemm>(row.kernels.back());
  return (g.dtype == DType::bf16 || g.dtype == DType::fp16) && flops_of(row.kernels.back()) >= 10 * GFLOP;
}

}  // namespace

TEST_CASE("the columns tell the kind of a file, in any order, with further columns") {
  const auto gemm = read("time_us,k,n,m,b,dtype,gpu,remark\n10,3,2,1,4,bf16,H100,x\n");
  REQUIRE(gemm.size() == 1);
  CHECK(gemm[0].kind == KernelFileKind::gemm);
  const Gemm& g = std::get<Gemm>(gemm[0].kernels.at(0));
  CHECK(g == Gemm{.batch = 4, .m = 1, .n = 2, .k = 3});
  CHECK(gemm[0].measured / microseconds == doctest::Approx(10));

  const auto attention = read(
      "gpu,dtype,pass,causal,b,seq_q,seq_kv,heads_q,heads_kv,d_qk,d_v,time_us\nH100,fp16,bwd,0,1,2,3,8,4,192,128,7."
      "5\n");
  const Attention& a = std::get<Attention>(attention.at(0).kernels.at(0));
  CHECK(a == Attention{.batch = 1,
                       .seq_q = 2,
                       .seq_kv = 3,
                       .heads_q = 8,
                       .heads_kv = 4,
                       .d_qk = 192,
                       .d_v = 128,
                       .causal = false,
                       .backward = true,
                       .dtype = DType::fp16});

  const auto memory = read("gpu,dtype,op,pass,rows,cols,time_us\nH100,bf16,rms_norm,fwd,8192,4096,60\n");
  CHECK(std::get<MemoryKernel>(memory.at(0).kernels.at(0)) ==
        memory_kernel(MemoryOp::rms_norm, false, 8192, 4096, DType::bf16));
}

TEST_CASE("a note says what else the measured time holds") {
  const std::string header = "gpu,dtype,b,m,n,k,time_us,note\n";
  const auto wgrad = read(header + "H100,bf16,1,8,8,8,1,layout=NT accumulate=True out=fp32\n");
  const Gemm& g = std::get<Gemm>(wgrad.at(0).kernels.at(0));
  CHECK(g.layout == GemmLayout::nt);
  CHECK(g.accumulate);
  CHECK(g.output == DType::fp32);
  // fp8: largest value, scale, conversion, GEMM; fp4: conversion, GEMM
  CHECK(read(header + "H100,fp8,1,8,8,8,1,incl. dynamic activation quantisation\n").at(0).kernels.size() == 4);
  CHECK(read(header + "B200,nvfp4,1,8,8,8,1,incl. dynamic activation quantisation\n").at(0).kernels.size() == 2);
  CHECK(read(header + "H100,fp8,1,8,8,8,1,cublasLt\n").at(0).kernels.size() == 1);
}

TEST_CASE("each kind of bad field is refused with file, line and column") {
  const std::string header = "gpu,dtype,b,m,n,k,time_us\n";
  for (const char* bad : {"H100,bf16,0,8,8,8,1", "H100,bf16,1,8.5,8,8,1", "H100,bf16,1,-8,8,8,1", "H100,bf16,1,8,,8,1",
                          "H100,bf16,1,8,8,1e30,1", "H100,bf16,1,8,8,8,0", "H100,bf16,1,8,8,8,nan",
                          "H100,bf16,1,8,8,8,", "H100,bf16,1,8,8,8,12us"}) {
    CAPTURE(bad);
    CHECK_THROWS_WITH_AS(read(header + bad + "\n"), doctest::Contains("foretrain_kernel_rows_test.csv:2: column "),
                         SpecError);
  }
  CHECK_THROWS_WITH_AS(read("gpu,dtype,m,n,k,time_us\n"), doctest::Contains("expected the columns of a kernel file"),
                       SpecError);
}

TEST_CASE("rows that cannot be predicted are refused with a reason, never dropped") {
  const Catalogue catalogue = Catalogue::load();
  const auto rows = read(
      "gpu,dtype,op,pass,rows,cols,time_us\n"
      "No-Such-GPU,bf16,add,fwd,8,8,1\nH100,bf16,no_such_op,fwd,8,8,1\nH100,fp64,add,fwd,8,8,1\nH100,bf16,stream,,,,"
      "\nH100,bf16,add,fwd,8,8,1\n");
  const Comparison c = compare_kernels(rows, catalogue);
  CHECK(c.rows.size() == 1);
  REQUIRE(c.refused.size() == 4);
  CHECK(c.refused[0].why.find("No-Such-GPU") != std::string::npos);
  CHECK(c.refused[1].why.find("no_such_op") != std::string::npos);
  CHECK(c.refused[2].why.find("fp64") != std::string::npos);
  CHECK(c.refused[3].why.find("no rows and cols") != std::string::npos);
  const Comparison a100 = compare_kernels(read("gpu,dtype,b,m,n,k,time_us\nA100,fp8,1,8,8,8,1\n"), catalogue);
  REQUIRE(a100.refused.size() == 1);
  CHECK(a100.refused[0].why.find("fp8") != std::string::npos);
}

TEST_CASE("what heats the GPU for long is predicted at the clocks that power leaves") {
  const Catalogue catalogue = Catalogue::load();
  const std::string header = "source,gpu,dtype,b,m,n,k,time_us\n";
  const auto time = [&](const std::string& row) {
    return compare_kernels(read(header + row + "\n"), catalogue).rows.at(0).predicted;
  };
  // A hundred runs of about 700 us are 70 ms, a dozen 8 ms: a B200 falls to 1166 TFLOP/s of its share of 2250.
  const GpuSpec& b200 = catalogue.gpu("b200", "test");
  const double share = catalogue.efficiency(b200).gemm.sustained[static_cast<std::size_t>(DType::bf16)];
  const std::string cube = ",B200-SXM,bf16,1,8192,8192,8192,700";
  CHECK(time("simumax" + cube) / time("aic" + cube) == doctest::Approx(share * 2250 / 1166));
  // A hundred runs of 20 us are not long, and what memory bounds does not slow down.
  const std::string small = ",B200-SXM,bf16,1,2048,2048,2048,20", thin = ",B200-SXM,bf16,1,16,65536,65536,1200";
  CHECK(time("simumax" + small) == time("aic" + small));
  CHECK(time("simumax" + thin) == time("aic" + thin));
}

TEST_CASE("whose attention ran, and how, is part of a prediction") {
  const Catalogue catalogue = Catalogue::load();
  const std::string header = "gpu,dtype,pass,causal,b,seq_q,seq_kv,heads_q,heads_kv,d_qk,d_v,time_us,library,note\n";
  const auto time = [&](const std::string& gpu, const std::string& dtype, const std::string& pass,
                        const std::string& rest) {
    const std::string row = fmt::format("{},{},{},1,1,8192,8192,128,8,128,128,1000,{}\n", gpu, dtype, pass, rest);
    return compare_kernels(read(header + row), catalogue).rows.at(0).predicted;
  };
  // cudnn-frontend's B200 rows at 8192 keys: 5499 us forward and 17288 backward by FlashAttention 2; by cuDNN 1877
  // forward.
  CHECK(time("B200-SXM", "bf16", "fwd", "flash_attention,") / time("B200-SXM", "bf16", "fwd", "pyt_cudnn,") ==
        doctest::Approx(5499.0 / 1877).epsilon(0.05));
  CHECK(time("A100-PCIe-80GB", "bf16", "fwd", "cudnn 92700,") /
            time("A100-PCIe-80GB", "bf16", "fwd", "flash_attention 2,") ==
        doctest::Approx(1.16));
  CHECK(time("GB200", "bf16", "bwd", "cudnn,deterministic bwd") / time("GB200", "bf16", "bwd", "cudnn,") ==
        doctest::Approx(1.18));
  CHECK(time("GB200", "mxfp8", "bwd", "cudnn,") / time("GB200", "fp8", "bwd", "cudnn,") == doctest::Approx(1.27));
  CHECK(time("RTX-PRO-6000-Server", "bf16", "fwd", ",paged KV") >
        1.2 * time("RTX-PRO-6000-Server", "bf16", "fwd", ","));
}

TEST_CASE("16-bit GEMMs of at least 10 GFLOP: median error at most 6.5 %, nine in ten within 15 %, on each GPU") {
  for (const char* gpu : {"a100-sxm4-80gb", "a100-pcie-80gb", "h100-sxm5-80gb", "h200-sxm5-141gb", "gb200-186gb",
                          "b300-sxm-288gb", "gb300-288gb", "l40s-48gb", "rtx-pro-6000-96gb", "mi355x-288gb"}) {
    CAPTURE(gpu);
    const ErrorSummary s = published("gemm_core.csv", gpu, large_16_bit);
    CHECK(s.count > 100);
    CHECK(s.median_ape <= 0.065);
    CHECK(s.p90_ape <= 0.15);
  }
  // Two hosts, of which one measures at clocks that depend on what ran before.
  const ErrorSummary b200 = published("gemm_core.csv", "b200-sxm-180gb", large_16_bit);
  CHECK(b200.median_ape <= 0.065);
  CHECK(b200.p90_ape <= 0.25);
}

TEST_CASE("8-bit GEMMs: median error at most 6 % where a tensor has one scale") {
  for (const char* gpu : {"h100-sxm5-80gb", "h200-sxm5-141gb", "b200-sxm-180gb", "gb200-186gb", "b300-sxm-288gb",
                          "gb300-288gb", "l40s-48gb", "rtx-pro-6000-96gb"}) {
    CAPTURE(gpu);
    const ErrorSummary s =
        published("gemm_core.csv", gpu, [](const KernelRow& r) { return r.operation == "gemm fp8"; });
    CHECK(s.count > 100);
    CHECK(s.median_ape <= 0.06);
  }
}

TEST_CASE("attention: median error at most 8 %, nine in ten within 25 %, on each GPU, forward and backward") {
  for (const char* gpu : {"a100-sxm4-80gb", "h100-sxm5-80gb", "h200-sxm5-141gb", "b200-sxm-180gb", "gb200-186gb",
                          "b300-sxm-288gb", "gb300-288gb", "l40s-48gb", "rtx-pro-6000-96gb"}) {
    CAPTURE(gpu);
    const ErrorSummary s = published("attention_core.csv", gpu, [](const KernelRow&) { return true; });
    CHECK(s.count > 100);
    CHECK(s.median_ape <= 0.08);
    CHECK(s.p90_ape <= 0.25);
  }
  for (const char* gpu : {"gb200-186gb", "gb300-288gb"}) {
    CAPTURE(gpu);
    const ErrorSummary s = published("attention_core.csv", gpu,
                                     [](const KernelRow& r) { return std::get<Attention>(r.kernels.back()).backward; });
    CHECK(s.count > 100);
    CHECK(s.median_ape <= 0.08);
  }
}

TEST_CASE("memory-bound kernels: median error at most 12 % where thousands were measured") {
  for (const char* gpu : {"a100-sxm4-80gb", "h100-sxm5-80gb"}) {
    CAPTURE(gpu);
    const ErrorSummary s = published("membound_measured.csv", gpu, [](const KernelRow&) { return true; });
    CHECK(s.count > 1000);
    CHECK(s.median_ape <= 0.12);
  }
}

TEST_CASE("every published row is predicted or refused") {
  const Catalogue catalogue = Catalogue::load();
  for (const char* file : {"gemm_core.csv", "attention_core.csv", "membound_measured.csv"}) {
    CAPTURE(file);
    const auto rows = read_kernel_rows(data_file("validate/published/kernels/" + std::string(file)));
    const Comparison c = compare_kernels(rows, catalogue);
    CHECK(c.rows.size() + c.refused.size() == rows.size());
    for (const ComparisonRow& row : c.rows) {
      CHECK(row.predicted > 0);
      CHECK(row.predicted < 1e4 * row.measured);
    }
    for (const RefusedRow& row : c.refused) CHECK_FALSE(row.why.empty());
  }
}
