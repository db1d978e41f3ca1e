/// A rank map that we wrote, as a job: its plan is read off the ranks' coordinates.
#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "base/spec_node.h"
#include "planner/import/readers.h"

namespace foretrain {

ImportedJob read_rank_map(std::string_view text, const std::string& file) {
  const SpecNode root = SpecNode::parse(text, file);
  if (!root.is_object() || !root.has("schema") || root.required("schema").as_string() != "foretrain.ranks/1")
    root.fail_expected("a rank map: an object with schema \"foretrain.ranks/1\"");
  constexpr std::array<std::string_view, 4> kAxes = {"tp", "pp", "dp", "cp"};
  constexpr std::array<std::string_view, 4> kKeys = {"tensor", "pipeline", "data", "context"};
  std::array<std::int64_t, 4> degrees = {1, 1, 1, 1};
  const std::vector<SpecNode> ranks = root.required("ranks").items();
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const SpecNode rank = ranks[i].required("rank");
    if (rank.as_int({0, 1'000'000'000}) != static_cast<std::int64_t>(i))
      rank.fail_expected(fmt::format("{}: ranks stand in order", i));
    for (std::size_t a = 0; a < kAxes.size(); ++a)
      degrees[a] = std::max(degrees[a], 1 + ranks[i].required(kAxes[a]).as_int({0, 1'000'000}));
  }
  const SpecNode plan = root.required("plan");
  double product = 1;
  for (std::size_t a = 0; a < kAxes.size(); ++a) {
    product *= static_cast<double>(degrees[a]);
    const SpecNode degree = plan.required(kKeys[a]);
    if (degree.as_int() != degrees[a])
      degree.fail(fmt::format("is {}, but the ranks have {} values of {}", degree.as_int(), degrees[a], kAxes[a]));
  }
  if (product != static_cast<double>(ranks.size()))
    root.required("ranks").fail(fmt::format("holds {} ranks; tp x pp x dp x cp = {:.0f}", ranks.size(), product));
  ImportedJob imported;
  imported.job_json = with_override(root.required("job"), "plan", plan.dump()).dump();
  imported.gpus = static_cast<std::int64_t>(ranks.size());
  return imported;
}

}  // namespace foretrain
