// error: (no match for 'operator\+'|invalid operands to binary expression)
#include "base/time_point.h"

// Two instants have a difference, not a sum.
const auto wrong = foretrain::TimePoint{1} + foretrain::TimePoint{2};
