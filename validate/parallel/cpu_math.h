/// The tensor operations as plain loops on the CPU.
#pragma once

#include <memory>

#include "validate/parallel/math.h"

namespace foretrain::parallel {

std::unique_ptr<Math> cpu_math();

}  // namespace foretrain::parallel
