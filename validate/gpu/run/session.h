/// A whole run: finds the ranks, lets each do its part, keeps results, and says in one line what went wrong.
#pragma once

#include <functional>
#include <string>

#include "validate/gpu/run/options.h"

namespace foretrain::gpu {

struct SessionEnd {
  int status = 0;     ///< 0, 2 (the input is wrong) or 3 (the machine failed)
  std::string error;  ///< one line when status is not 0
};

/// Progress lines go to `say`. Never throws.
SessionEnd run_session(const Options& options, const std::function<void(const std::string&)>& say);

/// What would run, from the graph alone: works, launches, bytes, predicted time. Throws SpecError.
std::string dry_run_text(const Options& options);

}  // namespace foretrain::gpu
