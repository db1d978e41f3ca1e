/// The order in which steps run, on GPUs that compute nothing but keep streams, events and graphs as real ones do.
#include "validate/gpu/run/step_runner.h"

#include <chrono>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "tests/validate/gpu_run/fake_gpu/fake_stream.h"

using namespace foretrain;
using namespace foretrain::gpu;

namespace {

/// When each work began and ended, as places in one sequence.
struct Log {
  std::mutex mutex;
  int next = 0;
  std::map<std::int64_t, std::pair<int, int>> times;  // n of the gemm -> begin, end
  int begin() {
    const std::lock_guard lock(mutex);
    return next++;
  }
  void end(std::int64_t n, int began) {
    const std::lock_guard lock(mutex);
    CHECK(times.emplace(n, std::pair{began, next++}).second);  // each task once a step
  }
};

/// Gives each work a launch that takes a little while and is logged under the gemm's n.
BindWork logging(Log& log) {
  return [&log](const StepWork& work, std::int64_t) -> Bind {
    const std::int64_t n = std::get<Gemm>(work).n;
    return [n, &log](Operands& o) -> Launch {
      o.write(64);
      return [n, &log](cudaStream_t stream) {
        fake_gpu::enqueue(stream, [n, &log] {
          const int began = log.begin();
          std::this_thread::sleep_for(std::chrono::microseconds(n * 7919 % 300));
          log.end(n, began);
        });
        return cudaSuccess;
      };
    };
  };
}

struct RandomStep {
  StepFile file;
  std::vector<std::pair<std::int32_t, std::int32_t>> edges;
  std::vector<int> lane;  // [task]
};

/// 60 tasks on a host, two compute and two communication lanes, each waiting for a few earlier ones.
RandomStep random_step(std::uint64_t seed) {
  std::uint64_t state = seed * 77 + 5;
  const auto random = [&](std::uint64_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % n;
  };
  RandomStep step;
  std::string text =
      "foretrain.graph/1\nworld 1 1 1 1 1 1 8\nstage 0 1\nlane 0 0 host host\nlane 1 0 compute a\nlane 2 0 compute b\n"
      "lane 3 0 communication c\nlane 4 0 copy d\nstatic 0 parameters 65536\n";
  for (std::uint64_t t = 0; t < 60; ++t) {
    const auto lane = static_cast<int>(random(5));
    step.lane.push_back(lane);
    const bool joins = lane > 0 && random(6) == 0;  // waits, and runs nothing
    if (lane > 0) text += "work " + std::to_string(t) + " gemm 1 8 " + std::to_string(t + 1) + " 8 bf16 bf16 0 tn\n";
    text += "task " + std::to_string(t) + " " + std::to_string(lane) + " 1000 x -1 -1 " +
            (lane > 0 && !joins ? std::to_string(t) : "-1");
    for (std::uint64_t d = 0; t > 0 && d < random(4); ++d) {
      const std::uint64_t before = random(t);
      text += " " + std::to_string(before);
      step.edges.emplace_back(static_cast<std::int32_t>(before), static_cast<std::int32_t>(t));
    }
    text += "\n";
    if (joins) step.lane.back() = -lane;
  }
  std::istringstream in(text + "end 60\n");
  step.file = read_step(in, "random.graph");
  return step;
}

/// Checks one step's log against every dependency and every lane's order.
void check(const RandomStep& step, const Log& log) {
  const auto ran = [&](std::int32_t t) { return log.times.find(t + 1); };
  for (const auto& [before, after] : step.edges) {
    const auto a = ran(before), b = ran(after);
    if (a != log.times.end() && b != log.times.end()) CHECK(a->second.second < b->second.first);
  }
  std::map<int, int> lane_end;
  for (std::size_t t = 0; t < step.lane.size(); ++t) {
    const auto found = ran(static_cast<std::int32_t>(t));
    CHECK((found != log.times.end()) == (step.lane[t] > 0));
    if (found == log.times.end()) continue;
    const auto last = lane_end.find(step.lane[t]);
    if (last != lane_end.end()) CHECK(last->second < found->second.first);
    lane_end[step.lane[t]] = found->second.second;
  }
}

}  // namespace

TEST_CASE("Steps run in an order that keeps every dependency, launched by the host, paced, traced or as a graph") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    const RandomStep step = random_step(seed);
    for (const StepLaunching& how :
         {StepLaunching{Launching::from_host, false}, StepLaunching{Launching::from_host, true},
          StepLaunching{Launching::captured, false}}) {
      Log log;
      StepRunner runner(step.file, 0, how, logging(log));
      for (int i = 0; i < 3; ++i) {
        log.times.clear();
        const StepTime time = runner.run();
        CHECK(time.us >= time.launch_us);
        check(step, log);
      }
      if (how.launching == Launching::captured) continue;
      log.times.clear();
      const std::vector<TaskTime> traced = runner.run_traced();
      check(step, log);
      CHECK(static_cast<std::int32_t>(traced.size()) == runner.launches());
      for (const TaskTime& t : traced) CHECK(t.us > 0);
    }
  }
}

TEST_CASE("What lanes do at the same time runs at the same time") {
  // Two lanes of five tasks without dependencies, each 300 us and more: together well under their sum.
  std::string text =
      "foretrain.graph/1\nworld 1 1 1 1 1 1 8\nstage 0 1\nlane 0 0 compute a\nlane 1 0 communication b\n";
  for (int t = 0; t < 10; ++t) {
    text += "work " + std::to_string(t) + " gemm 1 8 " + std::to_string(t + 1) + " 8 bf16 bf16 0 tn\n";
    text += "task " + std::to_string(t) + " " + std::to_string(t % 2) + " 1000 x -1 -1 " + std::to_string(t) + "\n";
  }
  std::istringstream in(text + "end 10\n");
  const StepFile file = read_step(in, "two.graph");
  std::mutex mutex;
  int running = 0, most = 0;
  StepRunner runner(file, 0, {}, [&](const StepWork&, std::int64_t) -> Bind {
    return [&](Operands&) -> Launch {
      return [&](cudaStream_t stream) {
        fake_gpu::enqueue(stream, [&] {
          {
            const std::lock_guard lock(mutex);
            most = std::max(most, ++running);
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
          const std::lock_guard lock(mutex);
          --running;
        });
        return cudaSuccess;
      };
    };
  });
  runner.run();
  CHECK(most == 2);
}

TEST_CASE("The host's pace is the graph's when asked for") {
  // Four host tasks of 20 ms, each launching one kernel: no less than 80 ms paced, far less otherwise.
  std::string text = "foretrain.graph/1\nworld 1 1 1 1 1 1 8\nstage 0 1\nlane 0 0 host host\nlane 1 0 compute a\n";
  for (int t = 0; t < 4; ++t) {
    const std::string host = std::to_string(2 * t), kernel = std::to_string(2 * t + 1);
    text += "work " + kernel + " gemm 1 8 " + std::to_string(t + 1) + " 8 bf16 bf16 0 tn\n";
    text += "task " + host + " 0 20000000000 host -1 -1 -1\ntask " + kernel + " 1 1000 x -1 -1 " + kernel + " " + host +
            "\n";
  }
  std::istringstream in(text + "end 8\n");
  const StepFile file = read_step(in, "paced.graph");
  Log log;
  StepRunner own(file, 0, {Launching::from_host, false}, logging(log));
  CHECK(own.run().us < 60e3);
  log.times.clear();
  StepRunner paced(file, 0, {Launching::from_host, true}, logging(log));
  CHECK(paced.run().us >= 80e3);
}

TEST_CASE("Copies on a copy lane go to the host and come back, in their order") {
  // A kernel; 3 MiB of bf16 to the host; a kernel; the same back from the host.
  std::istringstream in(
      "foretrain.graph/1\nworld 1 1 1 1 1 1 8\nstage 0 1\nlane 0 0 compute a\nlane 1 0 copy c\n"
      "work 0 gemm 1 8 1 8 bf16 bf16 0 tn\nwork 1 memory copy 0 1024 1536 3145728 3145728 bf16\n"
      "work 2 gemm 1 8 2 8 bf16 bf16 0 tn\nwork 3 memory copy 1 1024 1536 3145728 3145728 bf16\n"
      "task 0 0 1000 x -1 -1 0\ntask 1 1 1000 y -1 -1 1 0\ntask 2 0 1000 x -1 -1 2 1\ntask 3 1 1000 y -1 -1 3 2\n"
      "end 4\n");
  const StepFile file = read_step(in, "offload.graph");
  Log log;
  for (const Launching launching : {Launching::from_host, Launching::captured}) {
    log.times.clear();
    StepRunner runner(file, 0, {launching, false}, logging(log));
    CHECK(runner.launches() == 4);
    log.times.clear();
    const fake_gpu::HostCopies before = fake_gpu::host_copies();
    runner.run();
    CHECK(log.times.at(1).second < log.times.at(2).first);
    if (launching == Launching::captured) continue;  // its copies were asked for when it was captured
    CHECK(fake_gpu::host_copies().to_host - before.to_host == 3 << 20);
    CHECK(fake_gpu::host_copies().from_host - before.from_host == 3 << 20);
  }
}

TEST_CASE("A step that does not fit says what it wanted, and memory is what the graph says") {
  const std::string head =
      "foretrain.graph/1\nworld 1 1 1 1 1 1 8\nstage 0 1\nlane 0 0 compute a\nwork 0 gemm 1 8 1 8 bf16 bf16 0 tn\n";
  const std::string task = "task 0 0 1000 x -1 -1 0\n";
  const auto parse = [&](const std::string& records) {
    std::istringstream in(head + records + "end 1\n");
    return read_step(in, "memory.graph");
  };
  Log log;
  // 3 GiB static and 1 GiB while the task runs.
  const StepFile file = parse("static 0 parameters 2147483648\nstatic 0 gradients 1073741824\n" + task +
                              "memory 0 start activations 1073741824\nmemory 0 end activations -1073741824\n");
  {
    StepRunner runner(file, 0, {}, logging(log));
    runner.run();
    CHECK(runner.memory().planned_bytes == 4LL << 30);
    CHECK(runner.memory().operand_bytes == 0);
    CHECK(runner.memory().in_use_bytes == 4LL << 30);
  }
  const StepFile large = parse("static 0 parameters 214748364800\n" + task);
  CHECK_THROWS_WITH_AS(StepRunner(large, 0, {}, logging(log)),
                       "out of device memory: 200.00 GiB wanted, 139.00 GiB of 139.00 GiB free", OutOfDeviceMemory);
}
