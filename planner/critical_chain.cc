#include "planner/critical_chain.h"

#include <algorithm>
#include <cstddef>

namespace foretrain {
namespace {

void add(std::vector<ChainLabel>& labels, const ChainLabel& more) {
  const auto same =
      std::find_if(labels.begin(), labels.end(), [&](const ChainLabel& l) { return l.label == more.label; });
  if (same == labels.end()) {
    labels.push_back(more);
  } else {
    same->tasks += more.tasks;
    same->time += more.time;
  }
}

/// `link`, and behind it `next`.
void join(ChainLink& link, const ChainLink& next) {
  link.first_device = std::min(link.first_device, next.first_device);
  link.last_device = std::max(link.last_device, next.last_device);
  link.time += next.time;
  for (const ChainLabel& label : next.labels) add(link.labels, label);
}

bool longer(const ChainLabel& a, const ChainLabel& b) { return a.time != b.time ? a.time > b.time : a.label < b.label; }

}  // namespace

CriticalChain critical_chain(const sim::TaskGraph& graph, const sim::Timeline& timeline) {
  CriticalChain chain;
  for (const sim::TaskId task : sim::critical_path(graph, timeline)) {
    const auto i = static_cast<std::size_t>(task);
    const sim::DeviceId device = graph.device_of(task);
    const ChainLabel label{.label = graph.labels()[static_cast<std::size_t>(graph.label_of(task))].name,
                           .tasks = 1,
                           .time = timeline.end[i] - timeline.start[i]};
    if (chain.links.empty() || chain.links.back().last_device != device)
      chain.links.push_back(
          {.first_device = device, .last_device = device, .start = timeline.start[i], .time = {}, .labels = {}});
    chain.links.back().time += label.time;
    add(chain.links.back().labels, label);
    add(chain.labels, label);
  }
  std::sort(chain.labels.begin(), chain.labels.end(), longer);
  return chain;
}

std::vector<ChainLink> joined(const std::vector<ChainLink>& links, std::size_t most) {
  if (links.size() <= most) return links;
  std::vector<std::size_t> by_time(links.size());
  for (std::size_t i = 0; i < by_time.size(); ++i) by_time[i] = i;
  std::stable_sort(by_time.begin(), by_time.end(),
                   [&](std::size_t a, std::size_t b) { return links[a].time > links[b].time; });
  std::vector<char> alone(links.size(), 0);
  for (std::size_t i = 0; i < (most - 1) / 2; ++i) alone[by_time[i]] = 1;
  std::vector<ChainLink> few;
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (few.empty() || alone[i] != 0 || alone[i - 1] != 0) {
      few.push_back(links[i]);
    } else {
      join(few.back(), links[i]);
    }
  }
  return few;
}

}  // namespace foretrain
