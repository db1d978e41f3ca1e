// error: (no match for 'operator\+'|invalid operands to binary expression)
#include "base/units.h"

// A time and a size do not add.
const auto wrong = 1 * foretrain::seconds + 1 * foretrain::bytes;
