/// foretrain-gpu from its command line to its measurements, on GPUs that compute nothing (fake_gpu/): every mode, whole
/// plans over several ranks, and what must end with one line.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/validate/gpu_run/run_program.h"

namespace {

using Json = nlohmann::json;

using foretrain::test::last_line;
using foretrain::test::run_program;
using foretrain::test::RunResult;

const std::string kProgram = FORETRAIN_GPU_PROGRAM;

/// A folder that goes away at the end of the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "foretrain-faked-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// A graph of validate/gpu/graphs, unpacked.
  [[nodiscard]] std::string graph(const std::string& name) const {
    REQUIRE(run_program("gzip -dc validate/gpu/graphs/" + name + ".graph.gz > " + file(name + ".graph")).status == 0);
    return file(name + ".graph");
  }
  [[nodiscard]] Json results() const { return Json::parse(std::ifstream(file("out.json"))); }
  [[nodiscard]] std::string output() const { return " -o " + file("out.json"); }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("Kernels: one entry for each, with all samples, and what launches cost") {
  const Folder folder;
  const std::string graph = folder.graph("gpt-125m_tp1");
  const RunResult ran = run_program(kProgram + " " + graph + " --kernels --samples 21" + folder.output());
  CHECK(ran.status == 0);
  const Json results = folder.results();
  CHECK(results["complete"] == true);
  CHECK(results["device"]["gpu"] == "Fake GPU");
  // As many as the graph has works that are no messages.
  const int works = std::stoi(run_program("grep ^work " + graph + " | grep -vc ' message '").output);
  CHECK(results["kernels"].size() == static_cast<std::size_t>(works));
  std::int64_t tasks = 0;
  for (const Json& kernel : results["kernels"]) {
    CHECK(kernel["samples_us"].size() == 21);
    CHECK(kernel["predicted_us"] > 0);
    CHECK(kernel["work"].contains("kind"));
    tasks += kernel["count"].get<std::int64_t>();
  }
  const RunResult dry = run_program(kProgram + " " + graph + " --step --dry-run");
  CHECK(dry.output.find(" " + std::to_string(tasks) + " launches") != std::string::npos);
  CHECK(results["launches"].size() == 3);
}

TEST_CASE("Kernels that do not fit are named, the others measured") {
  const Folder folder;
  const RunResult ran = run_program("FAKE_GPU_MEMORY_GIB=2 " + kProgram + " " + folder.graph("llama-3.1-8b_tp1") +
                                    " --kernels" + folder.output());
  CHECK(ran.status == 3);
  CHECK(last_line(ran.output).find("kernels are too large for the GPU's memory; the others were measured") !=
        std::string::npos);
  const Json results = folder.results();
  CHECK(results["complete"] == false);
  std::size_t measured = 0, skipped = 0;
  for (const Json& kernel : results["kernels"]) {
    measured += kernel.contains("samples_us") ? 1 : 0;
    skipped += kernel.contains("skipped") ? 1 : 0;
    if (kernel.contains("skipped")) {
      CHECK(kernel["skipped"].get<std::string>().rfind("out of device memory: ", 0) == 0);
    }
  }
  CHECK(measured > 15);
  CHECK(skipped > 2);  // the loss and its logits
  CHECK(results["failures"].size() == skipped + 1);
}

TEST_CASE("A step of one rank: times, tasks, kernels inside it, and memory") {
  const Folder folder;
  const std::string graph = folder.graph("gpt-125m_tp1");
  CHECK(run_program(kProgram + " " + graph + " --step --samples 5" + folder.output()).status == 0);
  CHECK(run_program(kProgram + " " + graph + " --step --samples 4 --cuda-graphs --name captured --append" +
                    folder.output())
            .status == 0);
  CHECK(run_program(kProgram + " " + graph + " --step --samples 3 --paced --name paced --append" + folder.output())
            .status == 0);
  const Json results = folder.results();
  REQUIRE(results["steps"].size() == 3);
  const Json &own = results["steps"][0], &captured = results["steps"][1], &paced = results["steps"][2];
  CHECK(own["name"] == "gpt-125m_tp1");
  CHECK(own["samples_us"].size() == 5);
  CHECK(captured["cuda_graph"] == true);
  CHECK(captured["predicted_us"] == own["predicted_without_host_us"]);
  CHECK(own["predicted_us"] > own["predicted_without_host_us"]);
  // The host alone takes as long as the graph says: 38.7 ms predicted, most of it launches.
  CHECK(paced["median_us"] >= 0.9 * paced["predicted_us"].get<double>());
  CHECK(own["tasks"]["rows"].size() == own["launches"]);
  std::int64_t kernels = 0;
  for (const Json& k : own["kernels"]) kernels += k["count"].get<std::int64_t>();
  const std::int64_t messages = 6;  // that one rank receives; stand-ins are no kernels of the plan
  CHECK(kernels + messages == own["launches"].get<std::int64_t>());
  const Json& memory = results["memory"][0];
  // What the graph holds without context, NCCL's buffers and allocator (static labels), which a fake GPU has not.
  const auto by_itself = std::stoll(run_program("grep -E '^static 0 (communication|cuda_context|allocator) ' " + graph +
                                                " | awk '{s += $4} END {print s}'")
                                        .output);
  CHECK(memory["peak_bytes"].get<double>() ==
        doctest::Approx(memory["predicted_bytes"].get<double>() - static_cast<double>(by_itself)).epsilon(0.06));
}

TEST_CASE("A step that does not fit ends with one line") {
  const Folder folder;
  const RunResult ran = run_program("FAKE_GPU_MEMORY_GIB=16 " + kProgram + " " + folder.graph("llama-3.1-8b_tp1") +
                                    " --step" + folder.output());
  CHECK(ran.status == 3);
  CHECK(last_line(ran.output).rfind("foretrain-gpu: out of device memory: ", 0) == 0);
  CHECK(folder.results()["failures"][0]["what"] == "step");
}

TEST_CASE("The time limit ends a run with its samples kept") {
  const Folder folder;
  const RunResult ran = run_program(kProgram + " " + folder.graph("gpt-125m_tp1") +
                                    " --step --paced --samples 100000 --time-limit 1" + folder.output());
  CHECK(ran.status == 3);
  CHECK(last_line(ran.output).rfind("foretrain-gpu: the time limit of 1 s ended the run after ", 0) == 0);
  const Json results = folder.results();
  CHECK(results["complete"] == false);
  CHECK(!results["steps"][0]["samples_us"].empty());
}

TEST_CASE("Collectives among four ranks: the sweep, and the messages of a plan") {
  const Folder folder;
  CHECK(run_program("FAKE_NCCL_COMPUTES=4096 FAKE_GPU_DEVICES=4 " + kProgram + " --collectives --samples 2" +
                    folder.output())
            .status == 0);
  const Json sweep = folder.results();
  CHECK(sweep["collectives"].size() == 6 * 9);  // six operations, 4 KiB to 256 MiB by fours
  for (const Json& c : sweep["collectives"]) {
    CHECK(c["ranks"] == 4);
    CHECK(c["gpus"] == 4);
    CHECK(c["ranks_per_node"] == 4);
    CHECK(c["samples_us"].size() == 2);
  }
  const RunResult alone = run_program(kProgram + " --collectives");
  CHECK(alone.status == 2);
  CHECK(alone.output.find("there is one GPU: --ranks-per-gpu 2 lets ranks share it\n") != std::string::npos);
}

TEST_CASE("Correctness: every operation, and parallel execution over NCCL's calls") {
  const Folder folder;
  const RunResult ran =
      run_program("FAKE_GPU_DEVICES=8 " + kProgram + " --correctness --time-limit 300" + folder.output());
  CHECK(ran.status == 0);
  const Json results = folder.results();
  std::size_t over_nccl = 0;
  for (const Json& check : results["checks"]) {
    CAPTURE(check["name"].get<std::string>());
    CHECK(check["passed"] == true);
    over_nccl += check["name"].get<std::string>().rfind("over NCCL: ", 0) == 0 ? 1 : 0;
  }
  CHECK(results["checks"].size() == 6 * 3 + over_nccl);
  CHECK(over_nccl > 20);
}

TEST_CASE("A peer that never arrives ends the run with one line") {
  const Folder folder;
  const std::string meeting = "FORETRAIN_RENDEZVOUS=" + folder.file("id") + " WORLD_SIZE=2 ";
  const RunResult second = run_program("RANK=1 " + meeting + kProgram + " --collectives --time-limit 1");
  CHECK(second.status == 3);
  CHECK(last_line(second.output) ==
        "foretrain-gpu: " + folder.file("id") + ".collectives: the first process did not arrive within 1 s");
  const RunResult first = run_program("RANK=0 " + meeting + kProgram + " --collectives --time-limit 1");
  CHECK(first.status == 3);
  CHECK(last_line(first.output) ==
        "foretrain-gpu: the meeting of 2 NCCL ranks did not end within 1 s; a GPU or a peer hangs, the samples so far "
        "are kept");
  CHECK_FALSE(std::filesystem::exists(folder.file("id.collectives")));  // a later run would take it for its own
}

#ifdef FORETRAIN_PROGRAM
TEST_CASE("Whole plans over several ranks run to their end, every rank with its own stage") {
  const Folder folder;
  struct Plan {
    const char* plan;
    int ranks;
    std::set<std::string> groups;  // that its messages go to
  };
  const std::set<std::string> between = {"embedding", "model", "next", "previous"};
  const auto with = [&](std::set<std::string> more) {
    more.insert(between.begin(), between.end());
    return more;
  };
  const std::vector<Plan> plans = {
      {R"({"tensor": 2, "pipeline": 2, "micro_batch": 1})", 4, with({"tensor"})},
      {R"({"tensor": 1, "pipeline": 4, "micro_batch": 1, "sequence_parallel": false})", 4, between},
      {R"({"tensor": 1, "pipeline": 2, "virtual_pipeline": 3, "schedule": "interleaved", "micro_batch": 1})", 4,
       with({"data"})},
      {R"({"tensor": 2, "pipeline": 2, "data": 2, "zero_stage": 1, "sequence_parallel": true, "micro_batch": 1})", 8,
       with({"tensor", "shard"})},
      {R"({"tensor": 1, "pipeline": 1, "data": 4, "zero_stage": 3, "micro_batch": 1})", 4, {"shard"}},
      {R"({"tensor": 2, "context": 2, "pipeline": 1, "data": 1, "micro_batch": 1})",
       4,
       {"tensor", "context", "data", "model"}}};
  for (const Plan& p : plans) {
    CAPTURE(p.plan);
    std::ofstream(folder.file("job.json"))
        << R"({"schema": "foretrain.job/1", "model": "gpt2", "cluster": {"gpu": "h100-sxm5-80gb", "gpus": )" << p.ranks
        << R"(, "gpus_per_node": 8}, "training": {"sequence_length": 512, "global_batch": 8, "precision": "bf16"}, "plan": )"
        << p.plan << "}";
    const RunResult made = run_program(std::string(FORETRAIN_PROGRAM) + " simulate " + folder.file("job.json") +
                                       " --graph " + folder.file("all.graph") + " --rank all");
    CAPTURE(made.output);
    REQUIRE(made.status == 0);
    for (const std::string& how : {std::string(), std::string(" --cuda-graphs")}) {
      const RunResult ran =
          run_program("FAKE_NCCL_COMPUTES=4096 FAKE_GPU_DEVICES=8 " + kProgram + " " + folder.file("all.graph") +
                      " --step --samples 3 --time-limit 60" + how + folder.output());
      CAPTURE(ran.output);
      CHECK(ran.status == 0);
      const Json step = folder.results()["steps"][0];
      CHECK(step["ranks"] == p.ranks);
      CHECK(step["samples_us"].size() == 3);
    }
    const RunResult collectives =
        run_program("FAKE_NCCL_COMPUTES=4096 FAKE_GPU_DEVICES=" + std::to_string(p.ranks) + " " + kProgram + " " +
                    folder.file("all.graph") + " --collectives --samples 2 --time-limit 60" + folder.output());
    CAPTURE(collectives.output);
    CHECK(collectives.status == 0);
    std::set<std::string> groups;
    const Json results = folder.results();
    for (const Json& c : results["collectives"]) groups.insert(c["group"].get<std::string>());
    CHECK(groups == p.groups);
  }
}
#endif
