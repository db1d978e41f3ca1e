// Speed of the simulator: event queue, engine, schedules in it, fair sharing, cluster graph, trace.
//
//   foretrain_bench --benchmark_filter=sim
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "sim/chrome_trace.h"
#include "sim/event_queue.h"
#include "sim/fluid_network.h"
#include "sim/simulator.h"
#include "sim/topology.h"
#include "tests/sim/pipeline_graph.h"

using namespace foretrain;
using namespace foretrain::sim;

namespace {

/// Uniform 64-bit numbers (xorshift, Marsaglia 2003): the same on every machine.
class Random {
 public:
  std::uint64_t operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

 private:
  std::uint64_t state_ = 88172645463325252u;
};

/// The hold model (Jones, CACM 29(4), 1986): with N events pending, take the first and push one an exponentially
/// distributed time (mean 1 us) behind it. An item is one pop and one push.
void sim_event_queue_hold(benchmark::State& state) {
  Random random;
  std::vector<std::int64_t> ahead(1 << 16);
  for (std::int64_t& a : ahead)
    a = 1 + std::llround(-1e6 * std::log((static_cast<double>(random() >> 11) + 1) * 0x1p-53));
  EventQueue queue;
  std::size_t next = 0;
  for (std::int64_t i = 0; i < state.range(0); ++i) queue.push({ahead[next++ & 0xffff]}, static_cast<std::int32_t>(i));
  for (auto _ : state) {
    const Event event = queue.pop();
    queue.push(event.time + Picoseconds{ahead[next++ & 0xffff]}, event.payload);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sim_event_queue_hold)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

/// simulate() on a pipeline: stages, chunks, micro-batches, and whether memory and releases are recorded. An item is a
/// task.
void sim_engine_tasks(benchmark::State& state) {
  const PipelineShape shape{static_cast<std::int32_t>(state.range(0)), static_cast<std::int32_t>(state.range(1)),
                            static_cast<std::int32_t>(state.range(2))};
  const bool record = state.range(3) != 0;
  const TaskGraph graph = pipeline_graph(*find_schedule(shape.virtual_stages > 1 ? "interleaved" : "1f1b"), shape,
                                         {{1'000'003}, {2'000'007}});
  for (auto _ : state) benchmark::DoNotOptimize(simulate(graph, {.memory = record, .releases = record}));
  state.SetItemsProcessed(state.iterations() * graph.task_count());
  state.counters["tasks"] = graph.task_count();
}
BENCHMARK(sim_engine_tasks)
    ->Args({4, 1, 32, 0})
    ->Args({4, 1, 32, 1})
    ->Args({16, 1, 64, 1})
    ->Args({16, 8, 128, 0})
    ->Args({16, 8, 128, 1})
    ->Args({64, 8, 1024, 1})
    ->Unit(benchmark::kMicrosecond);

/// All-to-all over two-tier leaf/spine: n hosts, 16 a leaf, 8 spines, not oversubscribed; every pair hashes to a spine.
struct AllToAll {
  std::vector<BytesPerSecond> capacities;
  std::vector<std::vector<LinkUse>> routes;

  explicit AllToAll(std::int32_t hosts) {
    constexpr std::int32_t kHostsPerLeaf = 16, kSpines = 8;
    const std::int32_t leaves = hosts / kHostsPerLeaf;
    // Links: host up, host down, leaf up [leaf][spine], leaf down [leaf][spine].
    capacities.assign(2 * static_cast<std::size_t>(hosts), 50 * GB_per_s);
    capacities.resize(capacities.size() + 2 * static_cast<std::size_t>(leaves) * kSpines, 100 * GB_per_s);
    Random random;
    for (std::int32_t a = 0; a < hosts; ++a)
      for (std::int32_t b = 0; b < hosts; ++b) {
        if (a == b) continue;
        std::vector<LinkUse> uses{{a, 1}, {hosts + b, 1}};
        const std::int32_t from = a / kHostsPerLeaf, to = b / kHostsPerLeaf;
        const auto spine = static_cast<std::int32_t>(random() % kSpines);
        if (from != to) {
          uses.push_back({2 * hosts + from * kSpines + spine, 1});
          uses.push_back({2 * hosts + (leaves + to) * kSpines + spine, 1});
        }
        routes.push_back(std::move(uses));
      }
  }
};

/// All flows begin at once and are given their rates, once. An item is a flow.
void sim_fluid_share(benchmark::State& state) {
  const AllToAll traffic(static_cast<std::int32_t>(state.range(0)));
  for (auto _ : state) {
    FluidNetwork network(traffic.capacities);
    for (std::size_t i = 0; i < traffic.routes.size(); ++i)
      network.start(static_cast<std::int32_t>(i), 1 * MiB, {}, traffic.routes[i]);
    network.share({0});
    benchmark::DoNotOptimize(network.next_completion());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(traffic.routes.size()));
  state.counters["flows"] = static_cast<double>(traffic.routes.size());
}
BENCHMARK(sim_fluid_share)->Arg(64)->Arg(256)->Unit(benchmark::kMillisecond);

/// The same run to its end: rates are shared anew whenever flows complete. An item is a flow.
void sim_fluid_run(benchmark::State& state) {
  const AllToAll traffic(static_cast<std::int32_t>(state.range(0)));
  for (auto _ : state) {
    FluidNetwork network(traffic.capacities);
    for (std::size_t i = 0; i < traffic.routes.size(); ++i)
      network.start(static_cast<std::int32_t>(i), 1 * MiB, {}, traffic.routes[i]);
    network.share({0});
    while (network.next_completion() != kNever) {
      const TimePoint now = network.next_completion();
      while (network.next_completion() == now) network.pop_completion();
      network.share(now);
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(traffic.routes.size()));
}
BENCHMARK(sim_fluid_run)->Arg(64)->Arg(256)->Unit(benchmark::kMillisecond);

ClusterSpec h100_cluster(std::int64_t gpus) {
  ClusterSpec cluster;
  cluster.gpu.pcie_bandwidth = 63 * GB_per_s;
  cluster.gpu.pcie_generation = 5;
  cluster.node.scale_up_bandwidth = 450 * GB_per_s;
  cluster.node.nic_bandwidth = 400 * Gbit_per_s;
  cluster.gpus = gpus;
  return cluster;
}

void sim_topology_build(benchmark::State& state) {
  const ClusterSpec cluster = h100_cluster(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(Topology(cluster));
}
BENCHMARK(sim_topology_build)->Arg(256)->Arg(16384)->Unit(benchmark::kMillisecond);

void sim_topology_route(benchmark::State& state) {
  const Topology topology(h100_cluster(16384));
  Random random;
  for (auto _ : state)
    benchmark::DoNotOptimize(
        topology.route(static_cast<std::int64_t>(random() % 16384), static_cast<std::int64_t>(random() % 16384)));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sim_topology_route);

void sim_critical_path(benchmark::State& state) {
  const TaskGraph graph = pipeline_graph(*find_schedule("interleaved"), {16, 8, 128}, {{1'000'003}, {2'000'007}});
  const Timeline timeline = simulate(graph);
  for (auto _ : state) benchmark::DoNotOptimize(critical_path(graph, timeline));
  state.SetItemsProcessed(state.iterations() * graph.task_count());
}
BENCHMARK(sim_critical_path)->Unit(benchmark::kMillisecond);

void sim_chrome_trace(benchmark::State& state) {
  const TaskGraph graph = pipeline_graph(*find_schedule("interleaved"), {16, 8, 128}, {{1'000'003}, {2'000'007}});
  const Timeline timeline = simulate(graph);
  std::int64_t bytes = 0;
  for (auto _ : state) {
    std::ostringstream out;
    write_chrome_trace(graph, timeline, out);
    bytes += static_cast<std::int64_t>(out.tellp());
  }
  state.SetItemsProcessed(state.iterations() * graph.task_count());
  state.SetBytesProcessed(bytes);
}
BENCHMARK(sim_chrome_trace)->Unit(benchmark::kMillisecond);

}  // namespace
