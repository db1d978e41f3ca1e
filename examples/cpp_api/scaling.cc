/// How a job scales: the best plan on 1, 2, 4 ... nodes. Usage: scaling JOB MOST_NODES
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <foretrain/foretrain.h>

namespace {

int show(const foretrain::Job& job, int most_nodes) {
  std::printf("%5s  %-44s %9s  %14s  %9s\n", "nodes", "best plan", "step", "tokens/s/GPU", "peak");
  for (int nodes = 1; nodes <= most_nodes; nodes *= 2) {
    const foretrain::Ranking ranking = foretrain::plan(job.with("cluster.nodes", std::to_string(nodes)), {.top = 1});
    if (ranking.plans.empty()) {
      std::printf("%5d  none of %lld plans fits\n", nodes, static_cast<long long>(ranking.considered));
      continue;
    }
    const foretrain::Prediction& best = ranking.plans.front();
    std::printf("%5d  %-44s %7.3f s  %14.0f  %5.1f GiB\n", nodes, best.text.c_str(), best.step_seconds,
                best.tokens_per_second_per_gpu, static_cast<double>(best.peak_memory_bytes) / (1024.0 * 1024 * 1024));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: scaling JOB MOST_NODES\n");
    return 2;
  }
  try {
    return show(foretrain::Job::from_file(argv[1]), std::max(1, std::atoi(argv[2])));
  } catch (const foretrain::BadInput& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  } catch (const foretrain::MachineFailure& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}
