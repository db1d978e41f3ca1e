#include "validate/calibrate/measured_rates.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

namespace foretrain {
namespace {

constexpr Bytes kLongCopy = 256 * MiB, kSmallMessage = 4 * KiB;

struct Timed {
  Bytes size;
  Seconds time;
};

void add_copies(const std::vector<Measurements>& files, Calibration& calibration) {
  std::map<std::string, std::vector<double>> copies;  // bytes per second by GPU
  for (const Measurements& file : files) {
    for (const KernelSample& sample : file.kernels) {
      const auto* kernel = std::get_if<MemoryKernel>(&sample.kernels.back());
      if (kernel == nullptr || kernel->op != MemoryOp::copy || sample.kernels.size() > 1) continue;
      const Bytes moved = kernel->read + kernel->written;
      if (moved >= kLongCopy) copies[sample.gpu].push_back((moved / sample.time).base());
    }
  }
  for (const auto& [gpu, rates] : copies)
    calibration.rates.push_back({.gpu = gpu,
                                 .what = "memory copy",
                                 .bandwidth = BytesPerSecond::from_base(median_of(rates)),
                                 .latency = {},
                                 .rows = static_cast<std::int64_t>(rates.size())});
}

MeasuredRate rate_of(const std::string& gpu, const std::string& what, const std::vector<Timed>& rows, double factor) {
  Bytes largest;
  std::vector<double> latencies, bandwidths;
  for (const Timed& row : rows) {
    largest = max(largest, row.size);
    if (row.size <= kSmallMessage) latencies.push_back(row.time.base());
  }
  for (const Timed& row : rows)
    if (2.0 * row.size >= largest) bandwidths.push_back((factor * row.size / row.time).base());
  MeasuredRate rate{.gpu = gpu,
                    .what = what,
                    .bandwidth = BytesPerSecond::from_base(median_of(bandwidths)),
                    .latency = {},
                    .rows = static_cast<std::int64_t>(rows.size())};
  if (!latencies.empty()) rate.latency = Seconds::from_base(median_of(latencies));
  return rate;
}

}  // namespace

void add_launches(const std::vector<Measurements>& files, Calibration& calibration) {
  struct Launches {
    std::vector<double> times;
    std::int64_t samples = 0;
  };
  std::map<std::pair<std::string, bool>, Launches> all;
  for (const Measurements& file : files) {
    for (const LaunchSample& launch : file.launches) {
      Launches& l = all[{launch.framework, launch.backward}];
      l.times.push_back(launch.time.base());
      l.samples += launch.samples;
    }
  }
  for (const auto& [key, l] : all)
    calibration.launches.push_back({key.first, key.second, Seconds::from_base(median_of(l.times)), l.samples});
}

void add_rates(const std::vector<Measurements>& files, Calibration& calibration) {
  add_copies(files, calibration);
  using Key = std::tuple<std::string, int, std::int64_t, std::int64_t, std::string>;
  std::map<Key, std::vector<Timed>> groups;
  for (const Measurements& file : files) {
    for (const CollectiveSample& s : file.collectives) {
      const CollectiveFamily family = family_of(s.op, s.group, *s.cluster);
      groups[{s.cluster->gpu.name, static_cast<int>(s.op), s.group.ranks, s.group.ranks_per_node, to_text(family)}]
          .push_back({s.size, s.time});
    }
  }
  for (const auto& [key, rows] : groups) {
    const auto& [gpu, op, ranks, per_node, family] = key;
    calibration.rates.push_back(rate_of(gpu, fmt::format("{}: {} ranks, {} a node", family, ranks, per_node), rows,
                                        bus_factor(static_cast<CollectiveOp>(op), ranks)));
  }
}

}  // namespace foretrain
