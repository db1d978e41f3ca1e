#include <optional>

#include "validate/parallel/check.h"
#include "validate/parallel/cpu_math.h"
#include "validate/parallel/thread_world.h"

namespace foretrain::parallel {

Difference run_on_threads(const Check& check, const Fault* fault) {
  std::vector<Difference> differences(static_cast<std::size_t>(check.ranks));
  run_threads(check.ranks, {}, [&](World& world) {
    const std::unique_ptr<Math> math = cpu_math();
    std::optional<FaultyWorld> faulty;
    if (fault != nullptr) faulty.emplace(world, *math, *fault);
    World& used = faulty ? static_cast<World&>(*faulty) : world;
    check.run({used, *math, fault, differences[static_cast<std::size_t>(world.rank())]});
  });
  Difference all;
  for (const Difference& difference : differences) all.merge(difference);
  return all;
}

}  // namespace foretrain::parallel
