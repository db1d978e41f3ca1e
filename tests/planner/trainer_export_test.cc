// torchtitan, DeepSpeed, nanotron, pipeline schedules: what is written is well formed by another reader, and reads back
// as the same plan.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "planner/import/config_tree.h"
#include "tests/planner/export_cases.h"
#include "tests/planner/schedule_csv.h"

using namespace foretrain;

namespace {

/// A real search for `trainer`: Llama-3.1-8B on 32 H100.
std::string llama(Trainer trainer, const char* search) {
  return std::string(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 4},
      "training": {"sequence_length": 4096, "global_batch": 128}, "software": {"framework": ")") +
         std::string(kFrameworkNames[static_cast<std::size_t>(framework_of(trainer))]) + R"("}, "search": )" + search +
         "}";
}

/// A small model of shapes that no trainer knows by name.
std::string small(Trainer trainer, const char* search) {
  return std::string(
             R"({"model": {"layers": 6, "hidden": 512, "ffn_hidden": 1536, "heads": 8, "kv_heads": 4, "vocab": 5000},
      "cluster": {"node": "dgx-h100", "nodes": 2}, "training": {"sequence_length": 256, "global_batch": 48},
      "software": {"framework": ")") +
         std::string(kFrameworkNames[static_cast<std::size_t>(framework_of(trainer))]) + R"("}, "search": )" + search +
         "}";
}

/// Writes and reads back the winners of the searches `jobs`; gives how many there were.
int check_round_trips(Trainer trainer, const std::vector<std::string>& jobs,
                      const std::function<void(const std::string&)>& check_text = nullptr) {
  const std::string_view name = kTrainerNames[static_cast<std::size_t>(trainer)];
  int plans = 0;
  for (const std::string& text : jobs) {
    for_each_winner(trainer, text, 150, [&](const Problem& problem, const Plan& plan) {
      CAPTURE(to_json(plan));
      const std::string written = exporter_named(name).write(problem, plan);
      if (check_text && plans % 75 == 0) check_text(written);
      const Problem back = read_back(name, written, problem);
      CHECK(canonical(back.model, *back.plan) == canonical(problem.model, plan));
      CHECK(back.training.global_batch == problem.training.global_batch);
      CHECK(back.training.sequence_length == problem.training.sequence_length);
      CHECK(back.training.precision == problem.training.precision);
      CHECK(back.software.framework == problem.software.framework);
      CHECK(count_parameters(back.model).total == count_parameters(problem.model).total);
      ++plans;
    });
  }
  return plans;
}

constexpr const char* kEverything = "{}";
constexpr const char* kContext =
    R"({"context": [1, 2], "context_kind": "all-gather", "recompute": ["none", "selective", "full"],
    "recompute_layers": 0})";

}  // namespace

TEST_CASE("torchtitan's recipes are Python and read back as their plans") {
  const bool has_python = std::system("python3 -c pass >/dev/null 2>&1") == 0;
  const auto compiles = [&](const std::string& text) {
    if (!has_python) return;
    const auto path =
        std::filesystem::temp_directory_path() / ("foretrain_recipe_" + std::to_string(::getpid()) + ".py");
    std::ofstream(path) << text;
    CHECK(std::system(("python3 -c 'import ast,sys; ast.parse(open(sys.argv[1]).read())' " + path.string()).c_str()) ==
          0);
    std::filesystem::remove(path);
  };
  const Trainer t = Trainer::torchtitan;
  CHECK(check_round_trips(t, {llama(t, kEverything), llama(t, kContext), small(t, kEverything)}, compiles) >= 300);
}

TEST_CASE("Megatron-Bridge's recipes read back as their plans") {
  const Trainer t = Trainer::megatron_bridge;
  const char* context = R"({"context": [1, 2], "context_kind": ["ring", "ulysses", "all-gather"]})";
  CHECK(check_round_trips(t, {llama(t, kEverything), small(t, context)}) >= 300);
}

TEST_CASE("torchtitan's TOML reads back as its plans") {
  const Trainer t = Trainer::torchtitan_toml;
  CHECK(check_round_trips(t, {llama(t, kEverything), llama(t, kContext), small(t, kEverything)}) >= 300);
}

TEST_CASE("DeepSpeed's JSON reads back as its plans") {
  const Trainer t = Trainer::deepspeed;
  const auto is_json = [](const std::string& text) { CHECK(nlohmann::json::parse(text).contains("train_batch_size")); };
  const char* ulysses =
      R"({"context": [1, 2], "context_kind": "ulysses", "recompute": ["none", "full"], "recompute_layers": 0})";
  const char* groups = R"({"tensor": 1, "pipeline": 1, "zero_stage": 3, "shard_group": 8})";
  CHECK(check_round_trips(t, {llama(t, kEverything), small(t, ulysses), small(t, groups)}, is_json) >= 150);
}

TEST_CASE("nanotron's YAML reads back as its plans") {
  const Trainer t = Trainer::nanotron;
  CHECK(check_round_trips(t, {llama(t, kEverything), small(t, kContext)}) >= 150);
}

TEST_CASE("small spaces of every trainer read back") {
  for (const Trainer t : {Trainer::torchtitan, Trainer::torchtitan_toml, Trainer::deepspeed}) {
    const std::string_view name = kTrainerNames[static_cast<std::size_t>(t)];
    CAPTURE(name);
    int plans = 0;
    for_each_launchable(t, 5, [&](const Problem& problem, const Plan& plan) {
      CAPTURE(to_json(plan));
      const Problem back = read_back(name, exporter_named(name).write(problem, plan), problem);
      CHECK(canonical(back.model, *back.plan) == canonical(problem.model, plan));
      ++plans;
    });
    MESSAGE(name, ": ", plans);
  }
}

TEST_CASE("schedules are written in PyTorch's grammar and read back as what they are") {
  const Problem problem = job(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 1},
      "training": {"sequence_length": 4096, "global_batch": 4}, "plan": {"pipeline": 2, "data": 1}})");
  // Two stages, four micro-batches, 1F1B: stage 0 runs one forward ahead, stage 1 none.
  CHECK(exporter_named("torchtitan-csv").write(problem, *problem.plan) ==
        "0F0,0F1,0B0,0F2,0B1,0F3,0B2,0B3\n1F0,1B0,1F1,1B1,1F2,1B2,1F3,1B3\n");
  int plans = 0;
  for (const std::string_view space : kSmallSpaces) {
    const Problem p = job(space);
    int count = 0;
    for_each_plan(p, [&](const Plan& plan, std::int64_t) {
      if (plan.pipeline == 1 || break_of_rule(p, plan) || count++ % 50 != 0) return;
      CAPTURE(to_json(plan));
      const ScheduleTable table = read_schedule_csv(exporter_named("torchtitan-csv").write(p, plan), "s.csv");
      CHECK(table.shape.stages == plan.pipeline);
      CHECK(table.shape.virtual_stages == plan.virtual_pipeline);
      // With as few micro-batches as one, all orders are the same, and it is called by the first name.
      const auto* schedule = sim::find_schedule(kScheduleNames[static_cast<std::size_t>(plan.schedule)]);
      for (std::int32_t s = 0; s < plan.pipeline; ++s)
        CHECK(table.ranks[static_cast<std::size_t>(s)] == schedule->order(table.shape, s));
      CHECK(table.name != "");
      ++plans;
    });
  }
  CHECK(plans >= 100);
}

TEST_CASE("schedules that are none are refused with their line") {
  const auto complaint = [](const char* text) -> std::string {
    try {
      static_cast<void>(read_schedule_csv(text, "s.csv"));
    } catch (const SpecError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(complaint("0F0,,0B0\n1F0,1B0\n") == "");
  CHECK(complaint("0F0,0B0\n0F0,1B0\n") == "s.csv:2: stage 0 runs on rank 0 of 2; found on rank 1");
  CHECK(complaint("0F0\n") == "s.csv:1: expected 2 passes, forward and backward of 1 stages and 1 microbatches; got 1");
  CHECK(complaint("0F0,0X0\n").find("s.csv:1: expected a pass such as 2F0") == 0);
  CHECK(complaint("0F999999999,0B0\n") != "");
}

TEST_CASE("contradictions in the other trainers' files name file and key") {
  const auto complaint = [](const char* importer, const std::string& text) -> std::string {
    try {
      static_cast<void>(importer_named(importer).read(text, "f"));
    } catch (const SpecError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(
      complaint("deepspeed",
                R"({"train_batch_size": 30, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 2})") ==
      "f:/train_batch_size: 30 is not equal to micro_batch_per_gpu 4 * gradient_acc_step 2 * world_size");
  CHECK(complaint("deepspeed", R"({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": 4})")
            .find("\"auto\": put the number") != std::string::npos);
  CHECK(complaint("torchtitan-toml", "[training]\nseq_len = \n").substr(0, 4) == "f:2:");
  CHECK(complaint("torchtitan-toml",
                  "[training]\nglobal_batch_size = 8\n[parallelism]\npipeline_parallel_degree = 2\n"
                  "pipeline_parallel_schedule = \"Interleaved\"\n")
            .find("did you mean \"Interleaved1F1B\"?") != std::string::npos);
  CHECK(complaint("torchtitan-toml",
                  "[training]\nlocal_batch_size = 3\nglobal_batch_size = 6\n[parallelism]\n"
                  "pipeline_parallel_degree = 2\npipeline_parallel_microbatch_size = 2\n")
            .find("local_batch_size 3 must be divisible by pipeline_parallel_microbatch_size 2") != std::string::npos);
  CHECK(complaint("nanotron", "parallelism:\n  tp: 2\n  pp: [1\ntokens: 1\n").substr(0, 2) == "f:");
  CHECK(complaint("nanotron", "parallelism: {tp: 0, pp: 1, dp: 1}\ntokens: {}\nmodel: {}\n") ==
        "f:/parallelism/tp: expected a whole number from 1 to 1000000; got 0");
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before + "," + before + "," + before + "," +
              before + "," + before + "," + before + "," + before + "]\n";
  }
  CHECK(complaint("nanotron", laughs).find("more than a million values") != std::string::npos);
}
