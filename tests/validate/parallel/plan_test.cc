#include "validate/parallel/plan.h"

#include <doctest/doctest.h>

#include "validate/parallel/thread_world.h"

using namespace foretrain::parallel;

TEST_CASE("tensor ranks are neighbours, then context, data and pipeline ranks") {
  const ParallelPlan plan{.tensor = 2, .context = 3, .data = 5, .pipeline = 7};
  // tensor 1, context 2, data 3, pipeline 4: 1 + 2 (2 + 3 (3 + 5 * 4)) = 143
  CHECK(rank_of(plan, {1, 2, 3, 4}) == 143);
  for (int rank = 0; rank < plan.ranks(); ++rank) REQUIRE(rank_of(plan, coordinates_of(plan, rank)) == rank);
}

TEST_CASE("context ranks take one early and one late piece of the sequence") {
  CHECK(positions_of(8, 0, 1) == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(positions_of(8, 0, 2) == std::vector<int>{0, 1, 6, 7});
  CHECK(positions_of(8, 1, 2) == std::vector<int>{2, 3, 4, 5});
  // The same number of query-key pairs, sum of (position + 1), on every rank: 1 + 2 + 7 + 8 = 3 + 4 + 5 + 6.
}

TEST_CASE("a rank's groups hold the ranks that differ in one coordinate") {
  const ParallelPlan plan{.tensor = 4, .context = 2, .data = 1, .pipeline = 3};
  run_threads(24, {}, [&](World& world) {
    const Mesh mesh = mesh_of(plan, 2, world);
    if (world.rank() != 13) return;  // tensor 1, context 1, pipeline 1
    CHECK(mesh.tensor->ranks() == std::vector<int>{12, 13, 14, 15});
    CHECK(mesh.tensor->rank() == 1);
    CHECK(mesh.key_value->ranks() == std::vector<int>{12, 13});  // 4 ranks, 2 kv heads: pairs hold the same
    CHECK(mesh.context->ranks() == std::vector<int>{9, 13});
    CHECK(mesh.data->ranks() == std::vector<int>{9, 13});
    CHECK(mesh.pipeline->ranks() == std::vector<int>{5, 13, 21});
    CHECK(mesh.embedding->size() == 1);
    CHECK(mesh.everyone->size() == 24);
  });
}
