#include "sim/schedule.h"

#include <array>

#include "sim/schedules/schedules.h"

namespace foretrain::sim {
namespace {

constexpr std::array kSchedules = {
    Schedule{"gpipe", "all forward passes, then all backward passes", "arXiv 1811.06965", gpipe_order,
             gpipe_why_illegal, gpipe_peak_in_flight},
    Schedule{"1f1b", "one forward, one backward once the pipeline is full", "arXiv 2104.04473, section 2.2.1",
             one_f_one_b_order, one_f_one_b_why_illegal, one_f_one_b_peak_in_flight},
    Schedule{"interleaved", "1f1b over several chunks a stage, in Megatron-LM's order",
             "arXiv 2104.04473, section 2.2.2", interleaved_order, interleaved_why_illegal, interleaved_peak_in_flight},
};

}  // namespace

std::span<const Schedule> schedules() { return kSchedules; }

const Schedule* find_schedule(std::string_view name) {
  for (const Schedule& schedule : kSchedules)
    if (schedule.name == name) return &schedule;
  return nullptr;
}

}  // namespace foretrain::sim
