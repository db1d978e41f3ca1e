/// The checks of parallel execution against the unsharded reference, as one table that tests and GPU runs walk.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "validate/parallel/difference.h"
#include "validate/parallel/faults.h"

namespace foretrain::parallel {

/// What one rank runs a check with.
struct CheckRun {
  World& world;
  Math& math;
  const Fault* fault = nullptr;  ///< what is broken on purpose
  Difference& difference;        ///< of this rank
};

struct Check {
  std::string name;
  int ranks = 1;
  std::function<void(const CheckRun&)> run;  ///< on every rank
  std::vector<Fault> faults;                 ///< each must make some rank's difference fail
};

/// All of them. What a check needs of the reference is computed once, at its first run.
std::vector<Check> checks();

/// Runs a check on one rank of a world of check.ranks, as every rank must; the difference of this rank. A check has
/// passed when all ranks' have. Throws CommunicationError.
Difference run_on_rank(const Check& check, const Fault* fault, World& world, Math& math);

/// Runs a check on threads and the CPU; the differences of all ranks. Throws CommunicationError.
Difference run_on_threads(const Check& check, const Fault* fault = nullptr);

}  // namespace foretrain::parallel
