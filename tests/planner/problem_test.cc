#include "planner/problem.h"

#include <filesystem>

#include <doctest/doctest.h>

using namespace foretrain;

TEST_CASE("tmp") {
  auto cat = Catalogue::load();
  int n = 0;
  for (auto& e : std::filesystem::directory_iterator("validate/published/runs")) {
    if (e.path().extension() != ".json") continue;
    for (auto& r : SpecNode::read_file(e.path().string()).required("runs").items()) {
      try {
        auto p = load_run(r, cat);
        ++n;
      } catch (const SpecError& x) {
        MESSAGE(std::string(x.what()));
      }
    }
  }
  MESSAGE(n);
}
