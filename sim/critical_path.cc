#include <algorithm>
#include <vector>

#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/topological_sort.hpp>

#include "base/check.h"
#include "sim/timeline.h"

namespace foretrain::sim {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

using Graph = boost::compressed_sparse_row_graph<boost::directedS, boost::no_property, boost::no_property,
                                                 boost::no_property, std::int32_t, std::int32_t>;

/// Dependencies and the order of the lanes, as edges.
Graph precedence(const TaskGraph& graph) {
  std::vector<std::pair<TaskId, TaskId>> edges = graph.dependencies();
  std::vector<TaskId> last_on_lane(graph.lanes().size(), kNone);
  for (TaskId task = 0; task < graph.task_count(); ++task) {
    TaskId& last = last_on_lane[at(graph.lane_of(task))];
    if (last != kNone) edges.emplace_back(last, task);
    last = task;
  }
  return Graph(boost::edges_are_unsorted, edges.begin(), edges.end(), graph.task_count());
}

}  // namespace

std::vector<TaskId> critical_path(const TaskGraph& graph, const Timeline& timeline) {
  const Graph precedes = precedence(graph);
  std::vector<TaskId> reversed;
  reversed.reserve(at(graph.task_count()));
  boost::topological_sort(precedes, std::back_inserter(reversed));

  // longest[t]: the greatest sum of durations on a path that ends with task t.
  std::vector<std::int64_t> longest(at(graph.task_count()), 0);
  std::vector<TaskId> before(at(graph.task_count()), kNone);
  TaskId last = kNone;
  for (auto task = reversed.rbegin(); task != reversed.rend(); ++task) {
    longest[at(*task)] += (timeline.end[at(*task)] - timeline.start[at(*task)]).count;
    if (last == kNone || longest[at(*task)] > longest[at(last)]) last = *task;
    const auto [edge, edges_end] = boost::out_edges(*task, precedes);
    for (auto e = edge; e != edges_end; ++e) {
      const TaskId after = boost::target(*e, precedes);
      if (before[at(after)] != kNone && longest[at(*task)] <= longest[at(after)]) continue;
      longest[at(after)] = longest[at(*task)];
      before[at(after)] = *task;
    }
  }
  if (last != kNone) FORETRAIN_CHECK(longest[at(last)] == timeline.makespan.count);
  std::vector<TaskId> path;
  for (TaskId task = last; task != kNone; task = before[at(task)]) path.push_back(task);
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace foretrain::sim
