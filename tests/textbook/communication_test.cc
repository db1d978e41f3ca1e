// Textbook numbers of communication: rings, what data-parallel schemes send, tensor parallelism.
#include <cmath>
#include <cstdint>

#include <doctest/doctest.h>

#include "hwmodels/collective_time.h"
#include "planner/lower.h"
#include "planner/report.h"
#include "sim/simulator.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

/// Eight nodes of one GPU each: all that ranks send to each other passes their NICs.
Problem eight_nodes() {
  return job(
      R"({"model": {"layers": 24, "hidden": 2048, "ffn_hidden": 8192, "heads": 16, "vocab": 51200, "gated_mlp": false},
          "cluster": {"gpu": "a100-sxm4-80gb", "gpus": 8, "gpus_per_node": 1},
          "training": {"sequence_length": 1024, "global_batch": 8, "precision": "fp16"},
          "software": {"framework": "deepspeed"}})");
}

/// Bytes that one GPU sends in a simulated step.
double sent_in_a_step(const Problem& problem, std::int32_t zero) {
  Plan plan;
  plan.data = 8;
  plan.zero_stage = zero;
  PeakMoments moments;
  const StepGraph step = lower(problem, plan, costs_of(problem, plan), moments);
  return sim::simulate(step.graph).link_bytes.front().base();
}

}  // namespace

TEST_CASE("a ring all-reduce moves 2(n-1)/n of the buffer per GPU, all-gather and reduce-scatter (n-1)/n") {
  for (const std::int64_t n : {2, 4, 8, 64}) {
    const double ranks = static_cast<double>(n);
    CHECK(bus_factor(CollectiveOp::all_reduce, n) == 2 * (ranks - 1) / ranks);
    CHECK(bus_factor(CollectiveOp::all_gather, n) == (ranks - 1) / ranks);
    CHECK(bus_factor(CollectiveOp::reduce_scatter, n) == (ranks - 1) / ranks);
  }
  // What a ring over eight nodes of one GPU sends through each NIC.
  const ClusterSpec cluster = eight_nodes().cluster;
  const GroupLayout group{.ranks = 8, .ranks_per_node = 1, .groups_sharing_nics = 1};
  const CollectiveChoice ring{NcclAlgorithm::ring, NcclProtocol::simple};
  for (const auto& [op, factor] :
       {std::pair(CollectiveOp::all_reduce, 1.75), std::pair(CollectiveOp::all_gather, 0.875),
        std::pair(CollectiveOp::reduce_scatter, 0.875)}) {
    CHECK(collective_time(op, 1 * GB, group, cluster, ring).network_bytes_per_gpu / GB == doctest::Approx(factor));
  }
}

TEST_CASE("on a ring all-reduce = reduce-scatter + all-gather in time") {
  for (const std::int64_t n : {2, 3, 8, 100}) {
    const auto t = [&](CollectiveOp op) { return wire_time(op, 1 * GB, n, 100 * GB_per_s) / seconds; };
    CHECK(t(CollectiveOp::all_reduce) ==
          doctest::Approx(t(CollectiveOp::reduce_scatter) + t(CollectiveOp::all_gather)).epsilon(1e-12));
  }
}

TEST_CASE("DDP sends 2N, ZeRO-2 N and a gather, FSDP 3N: 1.5x") {
  // In units of the 16-bit model (n-1)/n: an all-reduce 2; a reduce-scatter 1 and an all-gather 1; two all-gathers
  // (forward, backward) and a reduce-scatter 3. One micro-batch a step. Rajbhandari et al. 2020, section 7.
  const Problem problem = eight_nodes();
  Plan plan;
  plan.data = 8;
  const double n = static_cast<double>(costs_of(problem, plan).stages.front().parameters) * 2 * 7 / 8;
  const double ddp = sent_in_a_step(problem, 0), zero2 = sent_in_a_step(problem, 2), fsdp = sent_in_a_step(problem, 3);
  CHECK(ddp == doctest::Approx(2 * n).epsilon(1e-9));
  CHECK(zero2 == doctest::Approx(n + n).epsilon(1e-9));
  CHECK(fsdp == doctest::Approx(3 * n).epsilon(1e-9));
  CHECK(fsdp / ddp == doctest::Approx(1.5).epsilon(1e-9));
}

TEST_CASE("Megatron: one all-reduce for the MLP, one for attention; 134 MB each at b=4 s=2048 d=8192 in bf16") {
  // 4 x 2048 x 8192 x 2 bytes = 134.2 MB; 2 a layer x 40 layers = 10.7 GB forward; over 600 GB/s 17.9 ms, over 50 GB/s
  // 215 ms.
  const Problem problem = job(
      R"({"model": {"layers": 40, "hidden": 8192, "ffn_hidden": 32768, "heads": 64, "vocab": 51200, "gated_mlp": false},
          "cluster": {"node": "dgx-a100-80", "nodes": 1},
          "training": {"sequence_length": 2048, "global_batch": 8}})");
  BlockShape shape;
  shape.tensor = 8;
  shape.micro_batch = 4;
  shape.sequence_length = 2048;
  Bytes forward;
  std::int64_t calls = 0, gemms = 0, gemms_at_first = 0;
  for (const Op& op :
       block_ops(BlockKind::layer_forward, problem.model, shape, problem.software, problem.training.precision,
                 framework_spec(problem.software, problem.training.precision))) {
    const auto* kernel = std::get_if<Kernel>(&op.work);
    if (kernel != nullptr && std::holds_alternative<Gemm>(*kernel)) ++gemms;
    const auto* call = std::get_if<CollectiveCall>(&op.work);
    if (call == nullptr) continue;
    CHECK(call->op == CollectiveOp::all_reduce);
    CHECK(call->size / MB == doctest::Approx(134.2).epsilon(5e-4));
    if (++calls == 1) gemms_at_first = gemms;
    forward += 40 * call->size;
  }
  CHECK(calls == 2);
  CHECK(gemms_at_first == 2);  // QKV and attention's output; then the MLP's two
  CHECK(gemms == 4);
  CHECK(forward / GB == doctest::Approx(10.7).epsilon(5e-3));
  CHECK(wire_time(CollectiveOp::send_recv, forward, 2, 600 * GB_per_s) / milliseconds ==
        doctest::Approx(17.9).epsilon(5e-3));
  CHECK(wire_time(CollectiveOp::send_recv, forward, 2, 50 * GB_per_s) / milliseconds ==
        doctest::Approx(215).epsilon(5e-3));
}

TEST_CASE("440 MB take 0.7 ms over NVLink and 10 ms over InfiniBand, 10 % off at most") {
  // NVLink of the A100: 600 GB/s, both directions together as the texts count: 0.733 ms. NDR InfiniBand: 400 Gb/s less
  // what the catalogue says headers and flow control cost.
  const ClusterSpec a100 = test_catalogue().node("dgx-a100-80", "test"),
                    h100 = test_catalogue().node("dgx-h100", "test");
  const auto ms = [](BytesPerSecond bandwidth) {
    return wire_time(CollectiveOp::send_recv, 440 * MB, 2, bandwidth) / milliseconds;
  };
  CHECK(ms(2 * a100.node.scale_up_bandwidth) == doctest::Approx(0.7).epsilon(0.10));
  CHECK(ms(h100.network.efficiency * h100.node.nic_bandwidth) == doctest::Approx(10).epsilon(0.10));
}

TEST_CASE("naive tensor parallelism across nodes is slower than inside") {
  // GPT-3 6.7B on 16 GPUs: one group of 16 over two nodes, against two replicas of 8 inside one each.
  const Problem problem = job(
      R"({"model": "gpt3-6.7b", "cluster": {"node": "dgx-a100-80", "nodes": 2},
          "training": {"sequence_length": 2048, "global_batch": 16}})");
  const auto step = [&](std::int32_t tensor, std::int32_t data) {
    Plan plan;
    plan.tensor = tensor;
    plan.data = data;
    const PlanReport r = evaluate(problem, plan);
    CHECK_FALSE(r.rejection.has_value());
    return r.step / seconds;
  };
  CHECK(step(16, 1) > step(8, 2));
  // The same eight ranks, four on each of two nodes, against all on one.
  for (const Bytes size : {1 * MiB, 134 * MB}) {
    const auto time = [&](std::int64_t per_node) {
      return collective_time(CollectiveOp::all_reduce, size,
                             {.ranks = 8, .ranks_per_node = per_node, .groups_sharing_nics = 1}, problem.cluster)
          .time;
    };
    CHECK(time(4) > time(8));
  }
}
