// The memory anatomy: every label worked out by hand for one plan, and what must hold for all.
#include "planner/memory.h"

#include <algorithm>
#include <array>

#include <doctest/doctest.h>

#include "planner/pass_memory.h"
#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

constexpr std::string_view kGpt =
    R"({"model": {"layers": 4, "hidden": 1024, "ffn_hidden": 4096, "heads": 16, "vocab": 50304, "gated_mlp": false},
        "cluster": {"node": "dgx-h100", "nodes": 2},
        "training": {"sequence_length": 1024, "global_batch": 32}})";

Plan plan_of(std::int32_t tensor, std::int32_t pipeline, std::int32_t data, std::int32_t zero) {
  Plan plan;
  plan.tensor = tensor;
  plan.pipeline = pipeline;
  plan.data = data;
  plan.zero_stage = zero;
  return plan;
}
std::vector<MemoryAnatomy> anatomy(const Problem& problem, const Plan& plan) {
  PeakMoments moments;
  return memory_anatomy(problem, plan, costs_of(problem, plan), moments);
}

}  // namespace

TEST_CASE("a GPT on 2 x 2 x 4 GPUs, label by label") {
  const Problem problem = job(kGpt);
  const std::vector<MemoryAnatomy> stages = anatomy(problem, plan_of(2, 2, 4, 1));
  REQUIRE(stages.size() == 2);
  // Parameters of one tensor rank. Layer: weights 1024 x 1536 + 512 x 1024 + 1024 x 2048 + 2048 x 1024 = 6,291,456;
  // biases 1536 + 1024 + 2048 + 1024 = 5,632; two LayerNorms 4 x 1024. Together 6,301,184.
  // Vocabulary 50,304 is padded to 197 x 256 = 50,432, 25,216 a rank: x 1024 = 25,821,184. Positions 1024 x 1024.
  const std::int64_t layer = 6'301'184, table = 25'821'184;
  const std::array<std::int64_t, 2> parameters = {2 * layer + table + 1024 * 1024, 2 * layer + table + 2 * 1024};
  for (std::size_t s = 0; s < 2; ++s) {
    CAPTURE(s);
    CHECK(stages[s].layers == 2);
    CHECK(stages[s][MemoryLabel::parameters] == 2 * parameters[s]);      // bf16
    CHECK(stages[s][MemoryLabel::gradients] == 4 * parameters[s]);       // fp32 main gradients
    CHECK(stages[s][MemoryLabel::optimizer] == 12 * parameters[s] / 4);  // master, two moments; over 4 data ranks
    // NCCL, in connections of 0.5 MiB + 4,915,200 B + 4 MiB. Inside a node a communicator has 24 channels, between
    // nodes 16; tensor and data ranks lie inside, the two stages apart. Ring and tree, three connections a channel:
    // tensor and data 2 x 3 x 24, tensor x pipeline and all ranks 2 x 3 x 16; to the neighbouring stages 2 x 16.
    CHECK(stages[s][MemoryLabel::communication] == (144LL + 96 + 32) * (524'288 + 4'915'200 + 4'194'304));
    // PyTorch's two GEMM workspaces of 32 MiB, Transformer Engine's of 32 MiB and 1 KiB, and a 16-bit stand-in for the
    // gradient of each of the layer's four weights.
    CHECK(stages[s][MemoryLabel::workspace] ==
          3 * 32 * 1024 * 1024 + 1024 + 2 * (1024 * 1536 + 512 * 1024 + 1024 * 2048 + 2048 * 1024));
    CHECK(stages[s][MemoryLabel::cuda_context] == 614 * 1024 * 1024);
  }
  // Activations of a layer, 1,024 tokens, flash attention, no dropout: norm inputs and outputs 4 x 2 x 1024; q, k, v
  // 3 x 2 x 512; log-sum 4 x 8; attention output 2 x 512; first layer of the MLP 2 x 2048, its activation 2 x 2048.
  const std::int64_t kept = 1024 * (8192 + 3072 + 32 + 1024 + 4096 + 4096);
  // Stage 0 holds two micro-batches (1F1B), each with 8-byte token ids; at its peak a backward pass runs. It needs the
  // gradients of the layer's output, 2 x 1024 a token, and of the second linear layer's input, 2 x 2048.
  CHECK(stages[0][MemoryLabel::activations] == 2 * (2 * kept + 8 * 1024));
  CHECK(stages[0][MemoryLabel::temporary] == 1024 * 6'144);
  CHECK(stages[0][MemoryLabel::logits] == 0);
  // Stage 1 holds one, with the final norm's input and output. Its peak is the loss: 25,216 columns of fp32
  // exponentials, and the 16-bit logits or their gradient. The layers run before or after.
  CHECK(stages[1][MemoryLabel::activations] == 2 * kept + 2 * 2 * 1024 * 1024);
  CHECK(stages[1][MemoryLabel::temporary] == 0);
  CHECK(stages[1][MemoryLabel::logits] == 1024 * 25'216 * (4 + 2));
  for (const MemoryAnatomy& m : stages) {
    const std::int64_t dynamic = m[MemoryLabel::activations] + m[MemoryLabel::temporary] + m[MemoryLabel::logits];
    CHECK(m[MemoryLabel::allocator] == (3 * dynamic + 99) / 100);                   // 3 %, rounded up
    CHECK(m[MemoryLabel::allocator] + m.pool_growth == (15 * dynamic + 99) / 100);  // 15 %: there is room
    std::int64_t sum = 0;
    for (const std::int64_t b : m.by_label) sum += b;
    CHECK(sum == m.total);
  }
}

TEST_CASE("ZeRO shards optimizer, gradients, parameters in turn") {
  // N = 1e9, K = 16, 2 + 4 + 12 bytes.
  const auto state = [](int zero) { return state_bytes(1'000'000'000, zero, 16, 2, 4, 12); };
  const auto is = [](const StateBytes& s, double parameters, double gradients, double optimizer) {
    CHECK(static_cast<double>(s.parameters) == parameters);
    CHECK(static_cast<double>(s.gradients) == gradients);
    CHECK(static_cast<double>(s.optimizer) == optimizer);
  };
  is(state(0), 2e9, 4e9, 12e9);
  is(state(1), 2e9, 4e9, 0.75e9);
  is(state(2), 2e9, 0.25e9, 0.75e9);
  is(state(3), 0.125e9, 0.25e9, 0.75e9);
  CHECK(state_bytes(10, 3, 3, 2, 4, 12).parameters == 7);  // 20 / 3, rounded up: whole bytes
}

TEST_CASE("a later ZeRO stage never needs more state, and ZeRO-3 gathers what it computes with") {
  const Problem problem = job(kGpt);
  std::int64_t before = 0;
  for (std::int32_t zero = 0; zero <= 3; ++zero) {
    const MemoryAnatomy m = anatomy(problem, plan_of(1, 1, 16, zero)).front();
    const std::int64_t state = m[MemoryLabel::parameters] + m[MemoryLabel::gradients] + m[MemoryLabel::optimizer];
    if (zero > 0) CHECK(state < before);
    before = state;
    if (zero < 3) continue;
    // Two layers of 12,596,224 parameters in 16 bits, embedding and head whole (50,304 and 1,024 rows, 50,304 rows and
    // the final norm), and one layer's fp32 gradients before they are scattered.
    const std::int64_t layer = 4 * 1024 * 1024 + 8 * 1024 * 1024 + 13 * 1024;
    const std::int64_t ends = (50'304 + 1'024) * 1024 + 50'304 * 1024 + 2 * 1024;
    CHECK(m[MemoryLabel::gathered] == 2 * (2 * layer + ends) + 4 * layer);
  }
}

TEST_CASE("the allocator's pool grows into the room there is, and takes no part in what must fit") {
  Problem problem = job(kGpt);
  const Plan plan = plan_of(2, 2, 4, 1);
  const MemoryAnatomy roomy = anatomy(problem, plan)[0];
  const auto growth = [&](std::int64_t memory) {
    problem.cluster.gpu.memory = static_cast<double>(memory) * bytes;
    const MemoryAnatomy m = anatomy(problem, plan)[0];
    CHECK(m.total == roomy.total);
    return m.pool_growth;
  };
  CHECK(growth(roomy.total + 1000) == 1000);
  CHECK(growth(roomy.total) == 0);
  CHECK(growth(roomy.total - 1000) == 0);
  CHECK(growth(2 * roomy.total) == roomy.pool_growth);
}

TEST_CASE(
    "torchtitan's pipeline stages keep their parameters gathered, and whole gradients until the last micro-batch") {
  Problem problem = job(kGpt);
  problem.software.framework = FrameworkKind::torchtitan;
  const MemoryAnatomy first = anatomy(problem, plan_of(1, 2, 8, 3)).front();
  // Two of four layers (12,596,224 parameters each) and both tables: 2 + 4 bytes each.
  const std::int64_t parameters = 2 * 12'596'224 + (50'304 + 1'024) * 1024;
  CHECK(first[MemoryLabel::gathered] == 6 * parameters);
  problem.training.global_batch = 8;  // one micro-batch: gradients are scattered as they come
  CHECK(anatomy(problem, plan_of(1, 2, 8, 3)).front()[MemoryLabel::gathered] == 2 * parameters);
}

TEST_CASE(
    "DeepSpeed's BF16_Optimizer keeps 16-bit gradients beside the fp32 ones, and its step needs room of its own") {
  Problem problem = job(kGpt);
  problem.software.framework = FrameworkKind::megatron_deepspeed;
  const MemoryAnatomy m = anatomy(problem, plan_of(1, 1, 16, 1)).front();
  const std::int64_t layer = 12'596'224, table = 50'304 * 1024;
  const std::int64_t ends = 2 * table + 1'024 * 1024 + 2 * 1024;
  CHECK(m[MemoryLabel::gradients] == (4 + 2) * (4 * layer + ends));
  const std::int64_t dynamic = m[MemoryLabel::activations] + m[MemoryLabel::temporary] + m[MemoryLabel::logits];
  // A bucket of 5e8 fp32 gradients, and the ends' gradients cast to fp32.
  CHECK(m[MemoryLabel::allocator] + m.pool_growth == (15 * dynamic + 99) / 100 + 2'000'000'000 + 4 * ends);
}

TEST_CASE("offloading a share of the optimizer states takes that share off the GPU; SGD has one moment less") {
  Problem problem = job(kGpt);
  Plan plan = plan_of(1, 1, 8, 0);
  const std::int64_t adam = anatomy(problem, plan).front()[MemoryLabel::optimizer];
  plan.offload.optimizer = 0.75;
  CHECK(anatomy(problem, plan).front()[MemoryLabel::optimizer] == adam / 4);
  plan.offload.optimizer = 0;
  problem.training.optimizer = Optimizer::sgd;
  CHECK(anatomy(problem, plan).front()[MemoryLabel::optimizer] == adam / 12 * 8);
}

TEST_CASE("tied embeddings are stored once on one stage, and twice where head and embedding are apart") {
  Problem problem = job(kGpt);
  const auto parameters = [&](std::int32_t pipeline) {
    std::int64_t sum = 0;
    for (const MemoryAnatomy& m : anatomy(problem, plan_of(1, pipeline, 1, 0))) sum += m[MemoryLabel::parameters];
    return sum / 2;
  };
  const std::int64_t untied = parameters(1);
  CHECK(untied == count_parameters(problem.model).total);  // nothing is padded: 50,304 = 393 x 128
  CHECK(parameters(4) == untied);
  problem.model.tied_embeddings = true;
  CHECK(parameters(1) == untied - 50'304 * 1024);
  CHECK(parameters(4) == untied);
}

TEST_CASE("moments of peak memory do not need every micro-batch of a long step") {
  const auto same = [](const PeakMoment& a, const PeakMoment& b) {
    return a.held == b.held && a.kind == b.kind && a.chunk == b.chunk;
  };
  for (const ScheduleKind kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved}) {
    for (const std::int32_t stages : {1, 2, 3, 5, 8}) {
      for (const std::int32_t chunks : {1, 2, 3, 7}) {
        for (const std::int32_t rounds : {1, 2, 3, 4, 5, 6, 17}) {
          const sim::PipelineShape shape{stages, chunks, stages * rounds};
          if (schedule_of(kind).why_illegal(shape) != nullptr) continue;
          for (std::int32_t stage = 0; stage < stages; ++stage) {
            const std::vector<PeakMoment> all = peak_moments(schedule_of(kind), shape, stage);
            const std::vector<PeakMoment> few = peak_moments(kind, shape, stage);
            CHECK(std::is_permutation(all.begin(), all.end(), few.begin(), few.end(), same));
          }
        }
      }
    }
  }
}

TEST_CASE("the moments kept for the peak are those that brute force finds, whatever the chunks weigh") {
  for (const ScheduleKind kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved}) {
    for (const std::int32_t chunks : {1, 2, 3}) {
      const sim::Schedule& schedule = schedule_of(kind);
      const sim::PipelineShape shape{4, chunks, 8};
      if (schedule.why_illegal(shape) != nullptr) continue;
      for (std::int32_t stage = 0; stage < 4; ++stage) {
        const std::vector<PeakMoment> moments = peak_moments(schedule, shape, stage);
        for (std::int64_t seed = 1; seed <= 40; ++seed) {
          // Weights of chunks and passes, deterministic and unequal.
          const auto weight = [&](std::int64_t i) { return (seed * 7919 + i * 104729) % 101; };
          const auto working = [&](sim::PassKind pass, std::int32_t chunk) {
            return 3 * weight(10 + 2 * chunk + (pass == sim::PassKind::forward ? 0 : 1));
          };
          std::int64_t by_moments = 0;
          for (const PeakMoment& m : moments) {
            std::int64_t level = working(m.kind, m.chunk);
            for (std::int32_t c = 0; c < chunks; ++c) level += m.held[static_cast<std::size_t>(c)] * weight(c);
            by_moments = std::max(by_moments, level);
          }
          std::int64_t held = 0, highest = 0;
          for (const sim::Pass& pass : schedule.order(shape, stage)) {
            if (pass.kind == sim::PassKind::forward) held += weight(pass.chunk);
            highest = std::max(highest, held + working(pass.kind, pass.chunk));
            if (pass.kind == sim::PassKind::backward) held -= weight(pass.chunk);
          }
          CHECK(by_moments == highest);
        }
      }
    }
  }
}
