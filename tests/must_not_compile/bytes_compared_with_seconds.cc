// error: (no match for 'operator<'|invalid operands to binary expression)
#include "base/units.h"

// A size is neither more nor less than a time.
const bool wrong = foretrain::bytes < foretrain::seconds;
