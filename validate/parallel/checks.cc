// The table of checks. A fault names a communication by the `what` that its layer gives.
#include <iterator>
#include <utility>

#include "validate/parallel/check_layers.h"
#include "validate/parallel/check_math.h"
#include "validate/parallel/check_training.h"

namespace foretrain::parallel {
namespace {

using Faults = std::vector<Fault>;

Fault skip(std::string what) { return {FaultKind::skip, std::move(what)}; }
Fault repeat(std::string what) { return {FaultKind::repeat, std::move(what)}; }
Fault shift(std::string what) { return {FaultKind::shift, std::move(what)}; }
const Fault kWrongCut = {FaultKind::weights_of_next, ""};
const Fault kSumForMean = {FaultKind::sum_for_mean, "data gradients"};

SmallModel gpt() { return {}; }
SmallModel llama() { return {.family = Family::llama, .kv_heads = 2}; }
SmallModel with_dropout(SmallModel model) {
  model.attention_drop = 0.2F;
  model.hidden_drop = 0.1F;
  return model;
}
SmallModel tied(SmallModel model) {
  model.tied_embeddings = true;
  return model;
}
SmallModel deep(SmallModel model, std::int64_t layers) {
  model.layers = layers;
  return model;
}
SmallModel with_kv_heads(SmallModel model, std::int64_t kv_heads) {
  model.kv_heads = kv_heads;
  return model;
}

void add_layer_checks(std::vector<Check>& all) {
  for (const int t : {2, 4}) {
    const std::string over = " over " + std::to_string(t) + " tensor ranks";
    all.push_back(column_linear_check("column-parallel linear" + over, t,
                                      {skip("column input gradient"), repeat("column input gradient"), kWrongCut}));
    all.push_back(
        row_linear_check("row-parallel linear" + over, t, {skip("row output"), repeat("row output"), kWrongCut}));
  }
  for (const SmallModel& model : {gpt(), llama()}) {
    const std::string family = model.family == Family::gpt ? "GeLU" : "SwiGLU";
    for (const int t : {1, 2, 4}) {
      const std::string over = " over " + std::to_string(t) + " tensor ranks";
      const bool split = t > 1;
      all.push_back(mlp_check(std::string(family).append(" MLP").append(over), model, {.tensor = t, .micro_batch = 2},
                              split ? Faults{skip("mlp output"), skip("mlp input gradient"), repeat("mlp output"),
                                             repeat("mlp input gradient"), kWrongCut}
                                    : Faults()));
      if (!split) continue;
      all.push_back(mlp_check(std::string(family).append(" MLP, sequence-parallel").append(over), model,
                              {.tensor = t, .sequence_parallel = true, .micro_batch = 2},
                              {skip("mlp input"), skip("mlp input again"), skip("mlp input gradient"),
                               skip("mlp output"), skip("mlp output gradient"), repeat("mlp output"),
                               shift("mlp output"), shift("mlp output gradient"), kWrongCut}));
    }
  }
  for (const SmallModel& model : {gpt(), llama()}) {
    all.push_back(norm_check(
        std::string(model.family == Family::gpt ? "LayerNorm" : "RMSNorm") + " on the rows of 4 tensor ranks", model,
        {.tensor = 4, .sequence_parallel = true, .micro_batch = 2},
        {skip("sequence-region gradients"), repeat("sequence-region gradients")}));
  }
}

void add_attention_checks(std::vector<Check>& all) {
  const Faults tensor_faults = {skip("attention output"), repeat("attention output"), skip("attention input gradient"),
                                repeat("attention input gradient"), kWrongCut};
  const Faults sequence_faults = {skip("attention input"),           skip("attention input again"),
                                  skip("attention input gradient"),  skip("attention output"),
                                  skip("attention output gradient"), shift("attention output gradient")};
  all.push_back(attention_check("attention, one rank", llama(), {.micro_batch = 2}, {}));
  for (const int t : {2, 4}) {
    const std::string over = " over " + std::to_string(t) + " tensor ranks";
    all.push_back(
        attention_check("multi-head attention" + over, gpt(), {.tensor = t, .micro_batch = 2}, tensor_faults));
    all.push_back(attention_check("sequence-parallel attention" + over, gpt(),
                                  {.tensor = t, .sequence_parallel = true, .micro_batch = 2}, sequence_faults));
  }
  all.push_back(attention_check("grouped-query attention, 4 and 2 heads over 2 tensor ranks", llama(),
                                {.tensor = 2, .micro_batch = 2}, tensor_faults));
  Faults shared_kv = tensor_faults;
  shared_kv.push_back(skip("key-value gradients"));
  shared_kv.push_back(repeat("key-value gradients"));
  all.push_back(attention_check("grouped-query attention, 4 and 2 heads over 4 tensor ranks", llama(),
                                {.tensor = 4, .micro_batch = 2}, shared_kv));
  all.push_back(attention_check("multi-query attention over 4 tensor ranks", with_kv_heads(llama(), 1),
                                {.tensor = 4, .micro_batch = 2}, shared_kv));

  const Faults ring = {skip("ring keys and values"), skip("ring key gradients")};
  for (const int c : {2, 4}) {
    const std::string over = " over " + std::to_string(c) + " context ranks";
    all.push_back(attention_check("ring attention" + over, gpt(), {.context = c, .micro_batch = 2}, ring));
    all.push_back(attention_check("ring attention, RoPE and grouped heads," + over, llama(),
                                  {.context = c, .micro_batch = 2}, ring));
  }
  all.push_back(attention_check("ring attention over 2 context and 2 sequence-parallel tensor ranks", llama(),
                                {.tensor = 2, .context = 2, .sequence_parallel = true, .micro_batch = 2}, ring));
  const Faults ulysses = {skip("ulysses queries"), shift("ulysses keys"), skip("ulysses output"),
                          shift("ulysses query gradient")};
  all.push_back(attention_check("Ulysses attention over 4 context ranks", gpt(),
                                {.context = 4, .context_kind = ContextKind::ulysses, .micro_batch = 2}, ulysses));
  all.push_back(attention_check("Ulysses attention, RoPE and grouped heads, over 2 context ranks", llama(),
                                {.context = 2, .context_kind = ContextKind::ulysses, .micro_batch = 2}, ulysses));
}

void add_vocabulary_checks(std::vector<Check>& all) {
  for (const int t : {2, 4}) {
    const std::string over = " over " + std::to_string(t) + " tensor ranks";
    const ParallelPlan plan{.tensor = t, .micro_batch = 2};
    const ParallelPlan sequence{.tensor = t, .sequence_parallel = true, .micro_batch = 2};
    all.push_back(embedding_check("embedding" + over, llama(), plan,
                                  {skip("embedding output"), repeat("embedding output"), kWrongCut}));
    all.push_back(
        embedding_check("embedding, sequence-parallel" + over, llama(), sequence,
                        {skip("embedding output"), shift("embedding output"), skip("embedding output gradient")}));
    all.push_back(loss_check("logits and cross-entropy" + over, llama(), plan,
                             {skip("softmax maxima"), skip("softmax sums"), repeat("softmax sums"),
                              skip("head input gradient"), repeat("head input gradient"), kWrongCut}));
    all.push_back(loss_check("logits and cross-entropy, sequence-parallel" + over, llama(), sequence,
                             {skip("softmax maxima"), skip("softmax sums"), skip("head input"),
                              skip("head input again"), skip("head input gradient"), shift("head input gradient")}));
    all.push_back(
        dropout_check("masks of dropout" + over, t, {{FaultKind::shared_seed, ""}, {FaultKind::distinct_seed, ""}}));
  }
}

/// Adam with an epsilon near the gradients' size, so that an update is a smooth function of the gradient: with the
/// usual 1e-8 the first step is the gradient's sign, and rounding of a gradient near zero would turn it round.
constexpr AdamOptions kAdam = {.learning_rate = 1e-2F, .epsilon = 1e-2F, .weight_decay = 0.1F};
constexpr std::int64_t kSteps = 3;

void add(std::vector<Check>& all, const std::string& name, const SmallModel& model, const ParallelPlan& plan,
         Faults faults) {
  all.push_back(training_check("training: " + name, {model, plan, kAdam}, kSteps, std::move(faults)));
}

void add_split_trainings(std::vector<Check>& all) {
  add(all, "GPT, one rank", gpt(), {.micro_batch = 2}, {});
  add(all, "Llama, one rank", llama(), {.micro_batch = 2}, {});
  add(all, "GPT, 4 accumulated micro-batches", gpt(), {.micro_batches = 4}, {});
  for (const bool sequence : {false, true}) {
    const std::string kind = sequence ? "sequence-parallel tensor ranks" : "tensor ranks";
    const Fault partial = sequence ? skip("sequence-region gradients") : skip("mlp output");
    const ParallelPlan two{.tensor = 2, .sequence_parallel = sequence, .micro_batches = 2};
    const ParallelPlan four{.tensor = 4, .sequence_parallel = sequence, .micro_batch = 2};
    add(all, "GPT, 2 " + kind, gpt(), two, {partial, kWrongCut});
    add(all, "Llama, 4 " + kind, llama(), four, {partial, kWrongCut, skip("key-value gradients")});
    // Without sequence parallelism a wrongly own seed shows in replicated regions; with it, nothing is replicated.
    Faults seeds = {{FaultKind::shared_seed, ""}};
    if (!sequence) seeds.push_back({FaultKind::distinct_seed, ""});
    add(all, "GPT with dropout, 2 " + kind, with_dropout(gpt()), two, seeds);
    ParallelPlan again = two;
    again.recompute = true;
    add(all, "GPT with dropout and recomputation, 2 " + kind, with_dropout(gpt()), again,
        {{FaultKind::forgotten_random_state, ""}});
  }
  add(all, "Llama with recomputation", llama(), {.micro_batches = 2, .recompute = true}, {});
  const Fault tokens = {FaultKind::tokens_of_next_context, ""};
  add(all, "GPT with dropout, 4 context ranks in a ring", with_dropout(gpt()), {.context = 4, .micro_batch = 2},
      {tokens, skip("ring keys and values"), skip("ring key gradients"), kSumForMean, skip("data gradients")});
  add(all, "Llama with dropout, 2 context ranks by Ulysses", with_dropout(llama()),
      {.context = 2, .context_kind = ContextKind::ulysses, .micro_batches = 2}, {tokens, shift("ulysses values")});
}

void add_pipeline_trainings(std::vector<Check>& all) {
  const Faults messages = {skip("activations of part 0*"), skip("gradient of part*")};
  for (const char* const schedule : {"gpipe", "1f1b"}) {
    for (const int stages : {2, 4}) {
      const ParallelPlan plan{.pipeline = stages, .schedule = schedule, .micro_batches = 6};
      add(all, std::string(schedule) + ", " + std::to_string(stages) + " stages", deep(with_dropout(gpt()), 4), plan,
          messages);
    }
    add(all, std::string(schedule) + ", 4 stages and fewer micro-batches", deep(llama(), 4),
        {.pipeline = 4, .schedule = schedule, .micro_batches = 2}, messages);
  }
  add(all, "gpipe, 4 stages, one blocking message at a time", deep(llama(), 4),
      {.pipeline = 4, .schedule = "gpipe", .blocking_sends = true, .micro_batches = 6}, messages);
  add(all, "interleaved, 2 stages of 2 chunks", deep(with_dropout(gpt()), 4),
      {.pipeline = 2, .virtual_pipeline = 2, .schedule = "interleaved", .micro_batches = 4}, messages);
  add(all, "interleaved, 2 stages of 4 chunks, as many micro-batches as stages", deep(llama(), 8),
      {.pipeline = 2, .virtual_pipeline = 4, .schedule = "interleaved", .micro_batches = 2}, messages);
  add(all, "interleaved, 4 stages of 2 chunks", deep(llama(), 8),
      {.pipeline = 4, .virtual_pipeline = 2, .schedule = "interleaved", .micro_batches = 8}, messages);
  const Faults ties = {skip("tied embedding gradients"), repeat("tied embedding gradients")};
  add(all, "tied embeddings on one stage", tied(gpt()), {.micro_batches = 2}, {});
  add(all, "tied embeddings on 2 stages", deep(tied(gpt()), 4), {.pipeline = 2, .micro_batches = 4}, ties);
  add(all, "tied embeddings on 4 stages", deep(tied(llama()), 4), {.pipeline = 4, .micro_batches = 4}, ties);
}

void add_data_trainings(std::vector<Check>& all) {
  const Fault tokens = {FaultKind::tokens_of_first_data, ""};
  add(all, "4 data ranks", gpt(), {.data = 4, .micro_batch = 2}, {skip("data gradients"), kSumForMean, tokens});
  add(all, "2 data ranks, 3 accumulated micro-batches", llama(), {.data = 2, .micro_batches = 3},
      {skip("data gradients"), kSumForMean});
  for (const int stage : {1, 2, 3}) {
    const std::string zero = "ZeRO-" + std::to_string(stage);
    const Faults faults = {skip("parameters"),      shift("parameters"),      skip("data gradients"),
                           shift("data gradients"), repeat("data gradients"), kSumForMean};
    add(all, zero + ", 2 data ranks", gpt(), {.data = 2, .zero_stage = stage}, faults);
    // 3 ranks divide none of the units: shards end in padding.
    add(all, zero + ", 3 data ranks, 2 accumulated micro-batches", llama(),
        {.data = 3, .micro_batches = 2, .zero_stage = stage}, faults);
    add(all, zero + " over 2 data and 2 context ranks", llama(), {.context = 2, .data = 2, .zero_stage = stage},
        {skip("parameters"), kSumForMean, tokens});
    add(all, zero + " with tied embeddings on one stage", tied(gpt()),
        {.data = 2, .micro_batches = 2, .zero_stage = stage}, {skip("parameters"), skip("data gradients")});
    add(all, zero + " with tied embeddings on 2 stages", deep(tied(gpt()), 4),
        {.data = 2, .pipeline = 2, .micro_batches = 2, .zero_stage = stage}, {skip("tied embedding gradients")});
    add(all, zero + " with recomputation and dropout", with_dropout(gpt()),
        {.data = 2, .zero_stage = stage, .recompute = true},
        {{FaultKind::forgotten_random_state, ""}, skip("parameters")});
  }
}

void add_combined_trainings(std::vector<Check>& all) {
  const Faults everywhere = {skip("mlp output"), skip("attention input gradient"), skip("activations of part 0*"),
                             kSumForMean, kWrongCut};
  const Faults sequence = {skip("mlp output"), skip("attention input gradient"), skip("gradient of part*"), kSumForMean,
                           kWrongCut,          skip("sequence-region gradients")};
  const SmallModel gpt4 = deep(tied(with_dropout(gpt())), 4);
  const SmallModel llama4 = deep(llama(), 4);
  add(all, "GPT, tensor 2 x data 2 x pipeline 2", gpt4, {.tensor = 2, .data = 2, .pipeline = 2, .micro_batches = 4},
      everywhere);
  add(all, "Llama, tensor 2 x data 2 x pipeline 2", llama4, {.tensor = 2, .data = 2, .pipeline = 2, .micro_batches = 4},
      everywhere);
  for (const int stage : {1, 2, 3}) {
    const std::string zero = ", ZeRO-" + std::to_string(stage);
    add(all, "GPT, tensor 2 x data 2 x pipeline 2, sequence-parallel" + zero + ", recomputation", gpt4,
        {.tensor = 2,
         .data = 2,
         .pipeline = 2,
         .sequence_parallel = true,
         .micro_batches = 4,
         .zero_stage = stage,
         .recompute = true},
        sequence);
    add(all, "Llama, tensor 2 x data 2 x pipeline 2 of 2 chunks, sequence-parallel" + zero, llama4,
        {.tensor = 2,
         .data = 2,
         .pipeline = 2,
         .virtual_pipeline = 2,
         .sequence_parallel = true,
         .schedule = "interleaved",
         .micro_batches = 4,
         .zero_stage = stage},
        sequence);
  }
  add(all, "Llama, tensor 4 x pipeline 2, shared kv heads, sequence-parallel, ZeRO-1", llama4,
      {.tensor = 4, .pipeline = 2, .sequence_parallel = true, .micro_batches = 2, .zero_stage = 1},
      {skip("key-value gradients")});
  add(all, "GPT, tensor 2 x context 2 x data 2 x pipeline 2, sequence-parallel, ZeRO-1", gpt4,
      {.tensor = 2,
       .context = 2,
       .data = 2,
       .pipeline = 2,
       .sequence_parallel = true,
       .micro_batches = 2,
       .zero_stage = 1},
      {skip("ring key gradients"), {FaultKind::tokens_of_next_context, ""}, skip("parameters")});
}

}  // namespace

std::vector<Check> checks() {
  std::vector<Check> all = math_checks();
  add_layer_checks(all);
  add_attention_checks(all);
  add_vocabulary_checks(all);
  add_split_trainings(all);
  add_pipeline_trainings(all);
  add_data_trainings(all);
  add_combined_trainings(all);
  return all;
}

}  // namespace foretrain::parallel
