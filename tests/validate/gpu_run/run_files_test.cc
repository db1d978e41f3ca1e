/// Options, samples, results and the meeting of processes: what surrounds a run.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"
#include "hwmodels/kernel_json.h"
#include "validate/gpu/run/launch_world.h"
#include "validate/gpu/run/options.h"
#include "validate/gpu/run/rank_groups.h"
#include "validate/gpu/run/results.h"
#include "validate/gpu/run/samples.h"

using namespace foretrain;
using namespace foretrain::gpu;
using Ranks = std::vector<std::int32_t>;

namespace {
LaunchWorld world_of(const std::map<std::string, std::string>& variables) {
  return launch_world([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}
std::string temporary(const std::string& name) { return (std::filesystem::temp_directory_path() / name).string(); }
}  // namespace

TEST_CASE("Options are read with values behind or joined") {
  const Options o =
      read_options({"step.graph", "--step", "-o", "out.json", "--samples=5", "--time-limit", "12.5", "--stage", "3"});
  CHECK(o.mode == Mode::step);
  CHECK(o.graph == "step.graph");
  CHECK(o.output == "out.json");
  CHECK(o.samples == 5);
  CHECK(o.stage == 3);
  CHECK(o.time_limit_seconds == 12.5);
  CHECK(plan_name(o) == "step");
  CHECK(plan_name(read_options({"a/llama-3.1-8b.tp1.graph", "--step"})) == "llama-3.1-8b.tp1");
  CHECK(plan_name(read_options({"a/b.graph", "--step", "--name", "x"})) == "x");
  CHECK(read_options({"--device"}).samples == 20);
  CHECK(read_options({"--help"}).help);
}

TEST_CASE("Options that are unknown, incomplete or contradict each other are refused in one line") {
  const auto refusal = [](const std::vector<std::string>& words) -> std::string {
    try {
      read_options(words);
    } catch (const SpecError& e) {
      return e.what();
    }
    return "accepted";
  };
  CHECK(refusal({}) == "command line: expected a mode: --kernels, --collectives, --step, --correctness or --device");
  CHECK(refusal({"--kernels"}) == "command line: expected a graph file with --kernels");
  CHECK(refusal({"a", "b", "--step"}) == "b: expected one graph file; there is already a");
  CHECK(refusal({"a", "--step", "--kernels"}) == "--kernels: expected one mode");
  CHECK(refusal({"a", "--step", "--samples", "x"}) == "--samples: expected a number of at least 1; got \"x\"");
  CHECK(refusal({"a", "--step", "--samples", "1.5"}) == "--samples: expected a whole number");
  CHECK(refusal({"a", "--step", "--samples"}) == "--samples: expected a value behind it");
  CHECK(refusal({"a", "--step", "--sampels", "3"}) == "--sampels: expected an option that foretrain-gpu --help lists");
  CHECK(refusal({"a", "--kernels", "--cuda-graphs"}) == "--cuda-graphs: expected together with --step");
  CHECK(refusal({"a", "--step", "--ranks-per-gpu", "2"}).find("--ranks-per-gpu: expected with --collectives") == 0);
}

TEST_CASE("Quantiles interpolate between neighbours") {
  // Sorted 1 2 3 4 5: median 3; p10 at place 0.4: 1.4; p90 at place 3.6: 4.6; spread 3.2 / 3.
  const SampleSummary s = summary_of({5, 3, 1, 4, 2});
  CHECK(s.median == doctest::Approx(3));
  CHECK(s.p10 == doctest::Approx(1.4));
  CHECK(s.p90 == doctest::Approx(4.6));
  CHECK(s.spread == doctest::Approx(3.2 / 3));
  CHECK(quantile({7}, 0.9) == 7);
  CHECK(quantile({1, 2}, 0.5) == doctest::Approx(1.5));
}

TEST_CASE("Results are whole JSON after every batch, and the file that stands is never half written") {
  const std::string path = temporary("foretrain_results_test.json");
  Results results(path);
  results.describe_device(JsonLine().text("gpu", "NVIDIA \"H200\"\t").end());
  JsonLine line;
  const Gemm gemm{.m = 8192, .n = 5120, .k = 4096, .output = DType::fp32, .accumulate = true, .layout = GemmLayout::nt};
  line.raw("work", work_json(gemm));
  results.add(Section::kernels, add_samples(line, {2, 1, 3}).end());
  results.write(false);
  auto read = [&] { return nlohmann::json::parse(std::ifstream(path)); };
  CHECK(read()["complete"] == false);
  CHECK(read()["device"]["gpu"] == "NVIDIA \"H200\"\t");
  CHECK(read()["kernels"][0]["samples_us"] == std::vector<double>{2, 1, 3});
  CHECK(read()["kernels"][0]["median_us"] == 2.0);
  results.fail("step", "out of memory");
  results.replace_last(Section::kernels, "{\"median_us\": 4}");
  results.write(true);
  CHECK(read()["complete"] == true);
  CHECK(read()["kernels"].size() == 1);
  CHECK(read()["kernels"][0]["median_us"] == 4);
  CHECK(read()["failures"][0]["why"] == "out of memory");
  CHECK_FALSE(std::filesystem::exists(path + ".part"));
  std::filesystem::remove(path);
  CHECK_THROWS_AS(Results("/no/such/folder/x.json").write(true), MachineError);
}

TEST_CASE("A run can go on with the file of another one") {
  const std::string path = temporary("foretrain_append_test.json");
  std::filesystem::remove(path);
  const auto read = [&] { return nlohmann::json::parse(std::ifstream(path)); };
  {
    Results first(path);
    first.continue_file();  // none yet
    first.describe_device("{\"gpu\": \"A, B]\"}");
    first.add(Section::kernels, "{\"samples_us\": [1, 2]}");
    first.add(Section::kernels, "{\"samples_us\": [3]}");
    first.add(Section::steps, "{\"name\": \"x\", \"kernels\": [{\"count\": 1}]}");
    first.write(true);
  }
  const nlohmann::json before = read();
  Results second(path);
  second.continue_file();
  CHECK(nlohmann::json::parse(second.text(true)) == before);
  second.add(Section::kernels, "{\"samples_us\": [4]}");
  second.add(Section::memory, "{\"name\": \"x\"}");
  second.write(true);
  CHECK(read()["kernels"].size() == 3);
  CHECK(read()["kernels"][2]["samples_us"][0] == 4);
  CHECK(read()["steps"] == before["steps"]);
  CHECK(read()["device"]["gpu"] == "A, B]");
  CHECK(read()["memory"].size() == 1);
  std::ofstream(path) << "{\"kernels\": []}";
  CHECK_THROWS_AS(Results(path).continue_file(), SpecError);
  std::filesystem::remove(path);
}

TEST_CASE("Kernels in results are those that measurement files are read with") {
  const std::vector<StepWork> works = {Gemm{.batch = 3,
                                            .m = 5,
                                            .n = 7,
                                            .k = 11,
                                            .dtype = DType::fp16,
                                            .output = DType::fp32,
                                            .accumulate = true,
                                            .layout = GemmLayout::nn},
                                       Attention{.batch = 2,
                                                 .seq_q = 64,
                                                 .seq_kv = 128,
                                                 .heads_q = 8,
                                                 .heads_kv = 2,
                                                 .d_qk = 64,
                                                 .d_v = 32,
                                                 .causal = false,
                                                 .backward = true},
                                       memory_kernel(MemoryOp::swiglu, true, 4096, 1792, DType::bf16)};
  for (const StepWork& work : works) {
    const SpecNode node = SpecNode::parse(work_json(work), "line");
    const Kernel back = read_kernel(node);
    if (const auto* g = std::get_if<Gemm>(&work)) CHECK(std::get<Gemm>(back) == *g);
    if (const auto* a = std::get_if<Attention>(&work)) CHECK(std::get<Attention>(back) == *a);
    if (const auto* m = std::get_if<MemoryKernel>(&work)) CHECK(std::get<MemoryKernel>(back) == *m);
  }
}

TEST_CASE("The starter of the processes is recognised by its variables") {
  CHECK(world_of({}).size == 1);
  const LaunchWorld torchrun =
      world_of({{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"SLURM_PROCID", "0"}});
  CHECK(torchrun.rank == 5);
  CHECK(torchrun.size == 8);
  CHECK(torchrun.local_rank == 1);
  const LaunchWorld srun =
      world_of({{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_NTASKS", "16"}, {"SLURM_JOB_ID", "77"}});
  CHECK(srun.rank == 3);
  CHECK(srun.size == 4);
  CHECK(rendezvous_file("", srun) == "foretrain-rendezvous-77");
  const LaunchWorld step =
      world_of({{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_JOB_ID", "77"}, {"SLURM_STEP_ID", "2"}});
  CHECK(rendezvous_file("", step) == "foretrain-rendezvous-77.2");
  CHECK(rendezvous_file("here", srun) == "here");
  CHECK(world_of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "16"}}).size == 1);  // a batch script, not srun
  CHECK(world_of({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}).started_by == "OMPI_COMM_WORLD_RANK");
  CHECK_THROWS_WITH_AS(world_of({{"RANK", "1"}}), "WORLD_SIZE: expected to be set, as RANK is", SpecError);
  CHECK_THROWS_WITH_AS(world_of({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), "RANK: expected less than WORLD_SIZE = 2; got 2",
                       SpecError);
  CHECK_THROWS_AS(world_of({{"RANK", "x"}, {"WORLD_SIZE", "2"}}), SpecError);
  CHECK_THROWS_AS(rendezvous_file("", torchrun), SpecError);
}

TEST_CASE("Processes meet through a file; one that never comes is named after the time limit") {
  const std::string path = temporary("foretrain_rendezvous_test");
  std::filesystem::remove(path);
  const std::string id(128, 'x');
  std::thread first([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    publish(path, id);
  });
  CHECK(await(path, id.size(), std::chrono::seconds(20)) == id);
  first.join();
  std::filesystem::remove(path);
  CHECK_THROWS_WITH_AS(await(path, 128, std::chrono::duration<double>(0.05)),
                       (path + ": the first process did not arrive within 0.05 s").c_str(), MachineError);
}

TEST_CASE("Groups of a plan with every kind of parallelism, by hand") {
  // rank = ((p * 2 + d) * 2 + c) * 2 + t; 3 stages: 24 ranks. Rank 13: t 1, c 0, d 1, p 1.
  const World w{.gpus = 24, .tensor = 2, .context = 2, .data = 2, .pipeline = 3, .shard = 2};
  CHECK(place_of(w, 13) == RankPlace{.tensor = 1, .context = 0, .data = 1, .pipeline = 1});
  CHECK(rank_of(w, place_of(w, 13)) == 13);
  CHECK(group_ranks(w, 13, Group::tensor) == Ranks{12, 13});
  CHECK(group_ranks(w, 13, Group::context) == Ranks{13, 15});
  CHECK(group_ranks(w, 13, Group::data) == Ranks{9, 11, 13, 15});
  CHECK(group_ranks(w, 13, Group::shard) == Ranks{13, 15});
  CHECK(group_ranks(w, 13, Group::replica) == Ranks{9, 13});
  CHECK(group_ranks(w, 13, Group::model) == Ranks{4, 5, 12, 13, 20, 21});
  CHECK(group_ranks(w, 13, Group::embedding).empty());
  CHECK(group_ranks(w, 5, Group::embedding) == Ranks{5, 21});
  CHECK(group_ranks(w, 13, Group::next) == Ranks{13, 21});
  CHECK(group_ranks(w, 13, Group::previous) == Ranks{13, 5});
  CHECK(group_ranks(w, 21, Group::next) == Ranks{21, 5});  // the ring that interleaved stages need
}
