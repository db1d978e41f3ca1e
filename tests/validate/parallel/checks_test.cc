#include <algorithm>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "validate/parallel/check.h"

using namespace foretrain::parallel;

namespace {

/// A fault that moves a result by less than this many tolerances could hide in one.
constexpr double kClear = 100;

}  // namespace

TEST_CASE("every parallel layer and training equals the unsharded reference") {
  for (const Check& check : checks()) {
    const Difference difference = run_on_threads(check);
    INFO(check.name, ": ", difference.where());
    CHECK(difference.compared() > 0);
    CHECK(difference.worst() <= 1);
  }
}

TEST_CASE("every check fails when its split is broken") {
  for (const Check& check : checks()) {
    for (const Fault& fault : check.faults) {
      const Difference difference = run_on_threads(check, &fault);
      INFO(check.name, " with ", text_of(fault));
      CHECK(difference.worst() > kClear);
    }
  }
}

TEST_CASE("each check stands once in the table, each split is broken, and each kind of fault is used") {
  std::set<std::string> names;
  std::set<FaultKind> kinds;
  for (const Check& check : checks()) {
    CHECK(names.insert(check.name).second);
    CHECK((check.ranks == 1 || !check.faults.empty()));
    for (const Fault& fault : check.faults) kinds.insert(fault.kind);
  }
  CHECK(kinds.size() == 10);
}
