/// The GPU that is there in place of the one a plan was made for.
#pragma once

#include <string>

#include "hwmodels/catalogue.h"
#include "planner/problem.h"

namespace foretrain {

/// Makes `problem` one on the GPU that its driver calls `device_name`, where the catalogue has it; nodes and network
/// stay. False, and no change, where it has not.
bool use_gpu(Problem& problem, const std::string& device_name, const Catalogue& catalogue);

}  // namespace foretrain
