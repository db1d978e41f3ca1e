#include "validate/parallel/check.h"

#include "validate/parallel/cpu_math.h"
#include "validate/parallel/thread_world.h"

namespace foretrain::parallel {

Difference run_on_rank(const Check& check, const Fault* fault, World& world, Math& math) {
  FORETRAIN_CHECK(world.size() == check.ranks);
  Difference difference;
  if (fault == nullptr) {
    check.run({world, math, nullptr, difference});
  } else {
    FaultyWorld faulty(world, math, *fault);
    check.run({faulty, math, fault, difference});
  }
  return difference;
}

Difference run_on_threads(const Check& check, const Fault* fault) {
  std::vector<Difference> differences(static_cast<std::size_t>(check.ranks));
  run_threads(check.ranks, {}, [&](World& world) {
    const std::unique_ptr<Math> math = cpu_math();
    differences[static_cast<std::size_t>(world.rank())] = run_on_rank(check, fault, world, *math);
  });
  Difference all;
  for (const Difference& difference : differences) all.merge(difference);
  return all;
}

}  // namespace foretrain::parallel
