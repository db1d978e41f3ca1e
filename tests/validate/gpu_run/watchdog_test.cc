#include "validate/gpu/run/watchdog.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "validate/gpu/run/options.h"
#include "validate/gpu/run/shared_gpu.h"

using namespace foretrain::gpu;

namespace {
bool happens(const std::atomic<int>& bites, int wanted) {
  for (int i = 0; i < 1000 && bites < wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return bites == wanted;
}
}  // namespace

TEST_CASE("What does not end in time is named; what ends in time is not") {
  std::atomic<int> bites = 0;
  std::string line;
  Watchdog dog([&](const std::string& l) {
    line = l;
    ++bites;
  });
  { const Watched quick(dog, "a quick thing", 30); }
  {
    const Watched outer(dog, "the whole", 0.05);
    const Watched inner(dog, "a part", 30);  // the inner one's longer limit does not hide the outer one's
    CHECK(happens(bites, 1));
    CHECK(line == "the whole did not end within 0.05 s; a GPU or a peer hangs, the samples so far are kept");
  }
  {
    const Watched outer(dog, "the whole", 30);
    {
      const Watched inner(dog, "a part", 0.01);
      CHECK(happens(bites, 2));
    }
    CHECK(line.rfind("a part did not end within 0.01 s", 0) == 0);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(bites == 2);
}

TEST_CASE("Ranks that share a GPU are hosts of their own that talk over loopback sockets") {
  const auto first = rank_environment(0, 3, "/tmp/id"), second = rank_environment(1, 3, "/tmp/id");
  const auto has = [](const std::vector<std::string>& all, const std::string& entry) {
    return std::find(all.begin(), all.end(), entry) != all.end();
  };
  CHECK(has(first, "NCCL_HOSTID=foretrain-0"));
  CHECK(has(second, "NCCL_HOSTID=foretrain-1"));
  for (const char* entry : {"WORLD_SIZE=3", "LOCAL_RANK=0", "NCCL_P2P_DISABLE=1", "NCCL_SHM_DISABLE=1",
                            "NCCL_NET=Socket", "NCCL_SOCKET_IFNAME=lo", "NCCL_IB_DISABLE=1", "NCCL_MNNVL_ENABLE=0"}) {
    CHECK(has(first, entry));
    CHECK(has(second, entry));
  }
}

TEST_CASE("Options pass unchanged to the ranks that are started") {
  Options o = read_options({"a.graph", "--collectives", "-o", "out.json", "--name", "n", "--samples", "7", "--stage",
                            "2", "--ranks-per-gpu", "3", "--time-limit", "12.5", "--rendezvous", "r", "--one-rank"});
  const Options back = read_options(as_arguments(o));
  CHECK(back.graph == "a.graph");
  CHECK(back.mode == Mode::collectives);
  CHECK(back.output == "out.json");
  CHECK(back.name == "n");
  CHECK(back.samples == 7);
  CHECK(back.stage == 2);
  CHECK(back.ranks_per_gpu == 3);
  CHECK(back.time_limit_seconds == 12.5);
  CHECK(back.rendezvous == "r");
  CHECK(back.one_rank);
  CHECK(read_options(as_arguments(read_options({"g", "--step", "--cuda-graphs"}))).cuda_graphs);
  CHECK(read_options(as_arguments(read_options({"g", "--step", "--paced"}))).paced);
}

TEST_CASE("A rank that fails ends the others, and its status is the run's") {
  // Stands in for foretrain-gpu: rank 1 fails at once, rank 0 would wait for a minute.
  Options o = read_options({"--collectives", "--ranks-per-gpu", "2", "--time-limit", "50"});
  const auto begin = std::chrono::steady_clock::now();
  CHECK(run_ranks("tests/validate/gpu_run/failing_rank.sh", o) == 2);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
}
