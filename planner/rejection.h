/// Why a plan cannot work: a value, never an exception.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace foretrain {

enum class RejectionReason : std::uint8_t {
  gpus,
  divisibility,
  heads,
  layers,
  batch,
  schedule,
  sequence,
  framework,
  memory,
  precision,
  model,
  time
};
inline constexpr std::array<std::string_view, 12> kRejectionNames = {"gpus",   "divisibility", "heads",    "layers",
                                                                     "batch",  "schedule",     "sequence", "framework",
                                                                     "memory", "precision",    "model",    "time"};

struct Rejection {
  RejectionReason reason = RejectionReason::divisibility;
  std::string_view rule;          ///< static text: "heads must divide by tensor"
  double excess = 0;              ///< how far off: bytes over the limit for memory, else 0
  std::int32_t launch_rule = -1;  ///< the trainer's rule (launch_rules.h) by number; -1: none of a trainer's
};

}  // namespace foretrain
