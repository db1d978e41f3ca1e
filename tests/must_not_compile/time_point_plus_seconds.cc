// error: (no match for 'operator\+'|invalid operands to binary expression)
#include "base/time_point.h"

// The clock counts picoseconds: to_picoseconds() says where rounding happens.
const auto wrong = foretrain::TimePoint{1} + 1 * foretrain::seconds;
