/// A shell script that starts Megatron-LM's pretrain_gpt.py, as a job.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"
#include "base/text.h"
#include "planner/import/megatron_flags.h"
#include "planner/import/megatron_job.h"
#include "planner/import/megatron_text.h"
#include "planner/import/readers.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;
using Line = MegatronCommandLine;

/// The command that starts the trainer: its launcher's words, and the arguments behind the Python file.
struct Launch {
  std::vector<ShellWord> launcher, arguments;
};

std::optional<Launch> find_launch(const std::vector<std::vector<ShellWord>>& commands) {
  for (const std::string_view beginning : {"pretrain", "train"}) {
    for (const std::vector<ShellWord>& words : commands) {
      if (words.front().text == "echo" || words.front().text == "cat") continue;
      for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string name = words[i].text.substr(words[i].text.rfind('/') + 1);
        if (!name.starts_with(beginning) || !name.ends_with(".py")) continue;
        const auto at = words.begin() + static_cast<std::ptrdiff_t>(i);
        return Launch{{words.begin(), at}, {at + 1, words.end()}};
      }
    }
  }
  return std::nullopt;
}

/// A launch within strings: "bash -c '...'", here-documents, variables that hold a command.
std::optional<Launch> find_in_texts(const ShellRun& run, const std::string& file, std::vector<std::string>& warnings) {
  std::vector<ShellWord> texts;
  for (const auto& words : run.commands) texts.insert(texts.end(), words.begin(), words.end());
  texts.insert(texts.end(), run.documents.begin(), run.documents.end());
  for (const auto& entry : run.variables) texts.push_back(entry.second);
  for (const ShellWord& text : texts) {
    if (text.text.find(".py") == std::string::npos || text.text.find(' ') == std::string::npos) continue;
    ShellRun inner = follow_script(text.text, file, text.line);
    if (auto launch = find_launch(inner.commands)) {
      warnings.insert(warnings.end(), inner.warnings.begin(), inner.warnings.end());
      return launch;
    }
  }
  return std::nullopt;
}

std::optional<std::int64_t> as_count(std::string_view text) {
  std::int64_t value = 0;
  text = text.substr(text.rfind(':') + 1);  // "gpu:8", torchrun's "1:4"
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1 || value > 1'000'000) return std::nullopt;
  return value;
}

/// The value of the first of `names` in the launcher's words ("--nnodes=4", "--nnodes 4") or the #SBATCH lines.
std::optional<std::int64_t> launcher_number(const Launch& launch, const ShellRun& run,
                                            std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    for (std::size_t i = 0; i < launch.launcher.size(); ++i) {
      std::string word = launch.launcher[i].text;
      std::replace(word.begin(), word.end(), '_', '-');
      const std::string option = word.substr(0, word.find('='));
      if (option.size() < 2 || option.find_first_not_of('-') == 0) continue;
      if (option.substr(option.find_first_not_of('-')) != name) continue;
      if (word.size() > option.size()) return as_count(std::string_view(word).substr(option.size() + 1));
      if (i + 1 < launch.launcher.size()) return as_count(launch.launcher[i + 1].text);
    }
    if (const auto found = run.sbatch.find(std::string(name)); found != run.sbatch.end())
      return as_count(found->second.text);
  }
  return std::nullopt;
}

std::optional<std::int64_t> world_size(const Launch& launch, const ShellRun& run) {
  const auto nodes = launcher_number(launch, run, {"nnodes", "nodes", "N"});
  auto of_node = launcher_number(launch, run, {"nproc-per-node", "ntasks-per-node", "gpus-per-node", "gres"});
  const auto tasks = launcher_number(launch, run, {"ntasks", "n"});
  if (!of_node && tasks) return tasks;
  if (!of_node || (!nodes && !run.sbatch.empty())) return std::nullopt;
  return nodes.value_or(1) * *of_node;
}

void read_experts(const Line& line, std::int64_t layers, Json& model) {
  if (line.number_or("--num-experts", 0) == 0) return;
  model["experts"] = line.required("--num-experts");
  model["experts_per_token"] = line.number_or("--moe-router-topk", 2);
  model["expert_ffn_hidden"] = line.number("--moe-ffn-hidden-size").value_or(model["ffn_hidden"].get<std::int64_t>());
  if (const auto shared = line.number("--moe-shared-expert-intermediate-size"))
    model["shared_expert_ffn_hidden"] = *shared;
  if (line.has("--moe-shared-expert-gate")) model["shared_expert_gate"] = true;
  if (line.has("--moe-router-enable-expert-bias")) model["router_bias"] = true;
  const auto frequency = read_layer_frequency(line.text("--moe-layer-freq").value_or("1"), layers);
  if (!frequency) line.fail("--moe-layer-freq", "expected n, or dense layers followed by every n-th one");
  if (frequency->dense > 0) model["dense_layers"] = frequency->dense;
  if (frequency->every > 1) model["moe_layer_every"] = frequency->every;
  for (const char* flag : {"--moe-token-dispatcher-type", "--moe-router-score-function",
                           "--moe-router-load-balancing-type", "--moe-aux-loss-coeff"})
    static_cast<void>(line.has(flag));
  static_cast<void>(line.has("--moe-grouped-gemm"));
}

void read_latent_attention(const Line& line, Json& model) {
  if (!line.has("--multi-latent-attention")) return;
  if (const auto rank = line.number("--q-lora-rank")) model["q_lora_rank"] = *rank;
  model["kv_lora_rank"] = line.number_or("--kv-lora-rank", 32);
  model["qk_nope_head_dim"] = line.number_or("--qk-head-dim", 128);
  model["qk_rope_head_dim"] = line.number_or("--qk-pos-emb-head-dim", 64);
  model["v_head_dim"] = line.number_or("--v-head-dim", 128);
}

void read_vocabulary(const Line& line, const std::string& file, Json& model, std::vector<std::string>& warnings) {
  if (const auto vocab = line.number("--vocab-size")) {
    model["vocab"] = *vocab;
  } else if (const auto padded = line.number("--padded-vocab-size")) {
    model["vocab"] = *padded;
  } else if (line.text("--tokenizer-type").value_or("GPT2BPETokenizer") == "GPT2BPETokenizer") {
    model["vocab"] = 50257;  // gpt2-vocab.json
  } else {
    warnings.push_back(file + ": the tokenizer's vocabulary is not said; give it with --set model.vocab=N");
  }
}

void read_style(const Line& line, std::int64_t positions, Json& model) {
  const bool is_rms = line.text("--normalization").value_or("LayerNorm") == "RMSNorm";
  const bool has_bias = !line.has("--disable-bias-linear");
  const std::string position = line.has("--use-rotary-position-embeddings")
                                   ? "rope"
                                   : line.text("--position-embedding-type").value_or("learned_absolute");
  const bool is_rotary = position == "rope" || position == "yarn" || position == "mrope";
  model["positional"] = is_rotary ? "rope" : position == "learned_absolute" ? "learned" : "none";
  if (position == "learned_absolute") model["max_positions"] = positions;
  model["norm"] = is_rms ? "rms" : "layer";
  model["activation"] = model["gated_mlp"].get<bool>() ? "silu" : "gelu";
  if (line.has("--squared-relu")) model["activation"] = "relu";
  model["bias"] = has_bias;
  model["norm_bias"] = !is_rms;
  if (line.has("--add-qkv-bias")) model["qkv_bias"] = true;
  if (line.has("--qk-layernorm")) model["qk_norm"] = true;
  model["tied_embeddings"] = !line.has("--untie-embeddings-and-output-weights");
  model["dropout"] =
      std::max(line.real("--hidden-dropout").value_or(0.1), line.real("--attention-dropout").value_or(0.1));
}

Json read_model(const Line& line, const std::string& file, std::vector<std::string>& warnings) {
  Json model;
  const std::int64_t layers =
      line.number("--num-layers") ? *line.number("--num-layers") : line.number_or("--encoder-num-layers", 0);
  if (layers == 0) static_cast<void>(line.required("--num-layers"));
  const std::int64_t hidden = line.required("--hidden-size"), heads = line.required("--num-attention-heads");
  const bool is_gated = line.has("--swiglu") || line.has("--quick-geglu");
  model["name"] = "model of " + file.substr(file.rfind('/') + 1);
  model["layers"] = layers;
  model["hidden"] = hidden;
  // arguments.py: 4 hidden, or two thirds of it in multiples of 64 when gated.
  model["ffn_hidden"] = line.number_or("--ffn-hidden-size", is_gated ? 4 * hidden * 2 / 3 / 64 * 64 : 4 * hidden);
  model["heads"] = heads;
  const bool groups = line.has("--group-query-attention");
  const std::int64_t query_groups = line.number_or("--num-query-groups", 1);
  model["kv_heads"] = groups ? query_groups : heads;
  if (const auto channels = line.number("--kv-channels")) model["head_dim"] = *channels;
  model["gated_mlp"] = is_gated;
  read_vocabulary(line, file, model, warnings);
  read_style(line, line.number_or("--max-position-embeddings", 0), model);
  read_experts(line, layers, model);
  read_latent_attention(line, model);
  if (const auto mtp = line.number("--mtp-num-layers")) model["mtp_layers"] = *mtp;
  return model;
}

std::string read_precision(const Line& line) {
  if (line.has("--fp4-format")) return static_cast<void>(line.has("--bf16")), "nvfp4";
  static_cast<void>(line.has("--fp16"));
  if (line.has("--fp8-format"))
    return static_cast<void>(line.has("--bf16")),
           line.text("--fp8-recipe").value_or("delayed") == "mxfp8" ? "mxfp8" : "fp8";
  if (line.has("--bf16") && line.has("--fp16")) line.fail("--fp16", "excludes --bf16");
  return line.has("--bf16") ? "bf16" : line.has("--fp16") ? "fp16" : "fp32";
}

Json read_software(const Line& line) {
  std::vector<std::string> words;
  if (line.text("--fp8-recipe").value_or("delayed") == "tensorwise") words.emplace_back("current scaling");
  static_cast<void>(line.text("--fp4-recipe"));
  if (line.has("--cross-entropy-loss-fusion"))
    words.emplace_back(line.text("--cross-entropy-fusion-impl").value_or("native") == "te" ? "fused cross entropy"
                                                                                           : "compiled cross entropy");
  if (line.has("--grad-reduce-in-bf16")) words.emplace_back("grad_sync_dtype bf16");
  if (line.has("--no-gradient-accumulation-fusion")) words.emplace_back("no gradient accumulation fusion");
  if (line.has("--deterministic-mode")) words.emplace_back("deterministic mode");
  const std::string backend = line.text("--attention-backend").value_or("auto");
  const bool is_unfused =
      backend == "unfused" || backend == "AttnBackend.unfused" || backend == "local" ||
      (line.text("--transformer-impl").value_or("transformer_engine") == "local" && !line.has("--use-flash-attn"));
  const bool has_graphs = line.text("--cuda-graph-impl").value_or("none") != "none" ||
                          line.has("--enable-cuda-graph") || line.has("--external-cuda-graph");
  Json software = {{"framework", "megatron-core"}, {"attention", is_unfused ? "unfused" : "flash"}};
  if (is_unfused && backend == "unfused") words.emplace_back("transformer_engine");
  if (has_graphs) software["cuda_graphs"] = true;
  if (!words.empty()) software["version"] = fmt::format("{}", fmt::join(words, "; "));
  return software;
}

void read_recompute(const Line& line, const std::string& file, Json& plan, std::vector<std::string>& warnings) {
  const std::string granularity =
      line.has("--recompute-activations") ? "selective" : line.text("--recompute-granularity").value_or("none");
  const auto method = line.text("--recompute-method");
  const auto layers = line.number("--recompute-num-layers");
  plan["recompute"] = granularity;
  if (granularity == "selective") {
    if (method) line.fail("--recompute-method", "is not yet supported for selective recomputing granularity");
    const std::vector<std::string> modules = line.texts("--recompute-modules");
    if (!modules.empty() && modules != std::vector<std::string>{"core_attn"})
      warnings.push_back(
          fmt::format("{}: --recompute-modules {}: predicted as core_attn alone", file, fmt::join(modules, " ")));
  }
  if (granularity != "full") return;
  if (!method) line.fail("--recompute-granularity", "full needs --recompute-method uniform or block");
  if (!layers || *layers == 0) line.fail("--recompute-granularity", "full needs --recompute-num-layers");
  if (*method == "block") plan["recompute_layers"] = *layers;
  if (*method == "uniform" && *layers > 1)
    warnings.push_back(
        fmt::format("{}: --recompute-num-layers {}: predicted as if every layer kept its input", file, *layers));
}

void read_layout(const Line& line, std::int64_t pipeline, Json& plan, const Json& model) {
  const auto layout = line.text("--pipeline-model-parallel-layout");
  const auto first = line.number("--decoder-first-pipeline-num-layers");
  const auto last = line.number("--decoder-last-pipeline-num-layers");
  const std::int64_t layers = model["layers"].get<std::int64_t>();
  if (layout) {
    std::string why;
    const auto stages = read_megatron_layout(*layout, why);
    if (!stages) line.fail("--pipeline-model-parallel-layout", why);
    if (stages->size() % static_cast<std::size_t>(pipeline) != 0)
      line.fail(
          "--pipeline-model-parallel-layout",
          fmt::format("its {} stages must be divisible by pipeline-model-parallel-size {}", stages->size(), pipeline));
    std::int64_t sum = 0;
    for (const std::int32_t n : *stages) sum += n;
    if (sum != layers)
      line.fail("--pipeline-model-parallel-layout", fmt::format("holds {} layers; --num-layers is {}", sum, layers));
    plan["virtual_pipeline"] = stages->size() / static_cast<std::size_t>(pipeline);
    plan["stage_layers"] = *stages;
    return;
  }
  const bool embedding = line.has("--account-for-embedding-in-pipeline-split");
  const bool loss = line.has("--account-for-loss-in-pipeline-split");
  plan["account_for_embedding"] = embedding;
  plan["account_for_loss"] = loss;
  std::int64_t chunks = line.number_or("--num-virtual-stages-per-pipeline-rank", 1);
  const std::int64_t counted = layers + (embedding ? 1 : 0) + (loss ? 1 : 0);
  if (const auto each = line.number("--num-layers-per-virtual-pipeline-stage")) {
    if (*each == 0 || counted % (pipeline * *each) != 0)
      line.fail("--num-layers-per-virtual-pipeline-stage",
                fmt::format("{} layers do not divide by {} stages of {}", counted, pipeline, *each));
    chunks = counted / (pipeline * *each);
  }
  plan["virtual_pipeline"] = std::max<std::int64_t>(1, chunks);
  if (!first && !last) return;
  const auto stages =
      uneven_stages({.layers = layers, .first = first, .last = last, .pipeline = pipeline, .chunks = chunks});
  if (!stages)
    line.fail(first ? "--decoder-first-pipeline-num-layers" : "--decoder-last-pipeline-num-layers",
              "the layers in the middle do not divide by the stages in the middle");
  plan["stage_layers"] = *stages;
}

int read_zero_stage(const Line& line) {
  if (line.has("--use-torch-fsdp2")) return 3;
  const bool is_sharded = line.has("--use-distributed-optimizer");
  if (!line.has("--use-megatron-fsdp")) return is_sharded ? 1 : 0;
  const std::string strategy = line.text("--data-parallel-sharding-strategy").value_or("optim_grads_params");
  return strategy == "no_shard" ? 0 : strategy == "optim" ? 1 : strategy == "optim_grads" ? 2 : 3;
}

void read_data_parallel(const Line& line, const std::optional<std::int64_t>& gpus, std::int64_t model_size,
                        std::int64_t context, Json& plan) {
  plan["zero_stage"] = read_zero_stage(line);
  const std::int64_t instances = line.number_or("--num-distributed-optimizer-instances", 1);
  if (!gpus) return;
  if (*gpus % model_size != 0)
    line.fail(
        line.has("--tensor-model-parallel-size") ? "--tensor-model-parallel-size" : "--pipeline-model-parallel-size",
        fmt::format("world size {} is not divisible by tensor x pipeline x context = {}", *gpus, model_size));
  const std::int64_t data = *gpus / model_size;
  plan["data"] = data;
  if (instances > 1) {
    if (data * context % instances != 0)
      line.fail("--num-distributed-optimizer-instances",
                fmt::format("data x context = {} does not divide by {}", data * context, instances));
    plan["shard_group"] = data * context / instances;
  }
}

Json read_plan(const Line& line, const std::string& file, const std::optional<std::int64_t>& gpus, const Json& model,
               std::vector<std::string>& warnings) {
  const std::int64_t tensor = line.number_or("--tensor-model-parallel-size", 1);
  const std::int64_t pipeline = line.number_or("--pipeline-model-parallel-size", 1);
  const std::int64_t context = line.number_or("--context-parallel-size", 1);
  for (const char* flag : {"--tensor-model-parallel-size", "--pipeline-model-parallel-size", "--context-parallel-size"})
    if (const std::int64_t n = line.number_or(flag, 1); n < 1 || n > 1'000'000)
      line.fail(flag, "expected 1 to 1000000");
  Json plan = {{"tensor", tensor}, {"pipeline", pipeline}, {"context", context}};
  read_layout(line, pipeline, plan, model);
  if (model.contains("experts")) {
    plan["expert"] = line.number_or("--expert-model-parallel-size", 1);
    plan["expert_tensor"] = line.number_or("--expert-tensor-parallel-size", tensor);
  } else if (line.number_or("--expert-model-parallel-size", 1) > 1) {
    line.fail("--expert-model-parallel-size", "num_experts must be non None to use expert model parallelism");
  }
  plan["micro_batch"] = line.required("--micro-batch-size");
  plan["sequence_parallel"] = line.has("--sequence-parallel") && tensor > 1;
  const std::string kind = line.text("--cp-comm-type").value_or("p2p");
  plan["context_kind"] = kind == "a2a"                                 ? "ulysses"
                         : kind == "all_gather" || kind == "allgather" ? "all-gather"
                                                                       : "ring";
  if (kind != "a2a" && plan["context_kind"] == "ring" && kind != "p2p")
    warnings.push_back(fmt::format("{}: --cp-comm-type {}: predicted as p2p", file, kind));
  read_data_parallel(line, gpus, tensor * pipeline * context, context, plan);
  read_recompute(line, file, plan, warnings);
  const bool interleaved = plan["virtual_pipeline"].get<std::int64_t>() > 1;
  const bool overlaps_sends = !line.has("--no-overlap-p2p-communication");
  plan["overlap"] = {{"tensor", line.has("--tp-comm-overlap")},
                     {"data", line.has("--overlap-grad-reduce")},
                     {"pipeline", interleaved && overlaps_sends}};
  if (line.has("--overlap-param-gather") && !line.has("--overlap-grad-reduce"))
    line.fail("--overlap-param-gather", "must be used with --overlap-grad-reduce");
  const bool offloads = line.has("--optimizer-cpu-offload");
  const double fraction = line.real("--optimizer-offload-fraction").value_or(1.0);
  const double layers = static_cast<double>(line.number_or("--cpu-offloading-num-layers", 0));
  if (offloads || layers > 0)
    plan["offload"] = {{"optimizer", offloads ? fraction : 0.0},
                       {"activations", layers / model["layers"].get<double>()}};
  if (line.has("--use-tp-pp-dp-mapping")) plan["rank_order"] = "tp-cp-ep-pp-dp";
  return plan;
}

}  // namespace

ImportedJob megatron_job(std::span<const ShellWord> arguments, const std::optional<std::int64_t>& gpus,
                         const std::string& file, std::vector<std::string> warnings) {
  ImportedJob imported;
  imported.warnings = std::move(warnings);
  imported.gpus = gpus;
  const Line line(arguments, file);
  Json job = {{"schema", "foretrain.job/1"}};
  job["model"] = read_model(line, file, imported.warnings);
  Json training = {{"sequence_length", line.number("--seq-length") ? *line.number("--seq-length")
                                                                   : line.required("--encoder-seq-length")}};
  const Json plan = read_plan(line, file, imported.gpus, job["model"], imported.warnings);
  if (const auto batch = line.number("--global-batch-size")) {
    training["global_batch"] = *batch;
  } else if (plan.contains("data")) {  // arguments.py: one micro-batch for each data rank
    training["global_batch"] = line.required("--micro-batch-size") * plan["data"].get<std::int64_t>();
  } else {
    static_cast<void>(line.required("--global-batch-size"));
  }
  training["precision"] = read_precision(line);
  if (line.text("--optimizer").value_or("adam") == "sgd") training["optimizer"] = "sgd";
  job["training"] = training;
  job["software"] = read_software(line);
  job["plan"] = plan;
  imported.job_json = job.dump();
  static_cast<void>(line.has("--use-mcore-models"));
  for (const char* flag : {"--overlap-param-gather", "--use-precision-aware-optimizer", "--ckpt-format"})
    static_cast<void>(line.has(flag));
  if (const std::vector<std::string> unused = line.unused(); !unused.empty())
    imported.warnings.push_back(fmt::format("{}: not part of the prediction: {}", file, fmt::join(unused, " ")));
  return imported;
}

ImportedJob read_megatron_lm(std::string_view text, const std::string& file) {
  constexpr std::size_t kLargestScript = 10'000'000;
  if (text.size() > kLargestScript) throw SpecError(file, "is over 10 MB: no script that starts a trainer");
  ShellRun run = follow_script(text, file);
  std::optional<Launch> launch = find_launch(run.commands);
  if (!launch) launch = find_in_texts(run, file, run.warnings);
  if (!launch) throw SpecError(file, "starts no Megatron-LM trainer: expected a command with pretrain_gpt.py");
  return megatron_job(launch->arguments, world_size(*launch, run), file, run.warnings);
}

}  // namespace foretrain
