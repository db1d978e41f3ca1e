/// Every operation of a Math alone against the reference: where a new Math goes wrong is found here first.
#pragma once

#include "validate/parallel/check.h"

namespace foretrain::parallel {

/// One check an operation or a forward and backward pair, of one rank.
std::vector<Check> math_checks();

}  // namespace foretrain::parallel
