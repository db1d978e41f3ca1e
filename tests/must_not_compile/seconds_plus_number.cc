// error: (no match for 'operator\+'|invalid operands to binary expression)
#include "base/units.h"

// A bare number has no unit.
const auto wrong = 1 * foretrain::seconds + 1.0;
