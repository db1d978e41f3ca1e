// error: (cannot convert|no viable conversion).*to 'const double'
#include "base/units.h"

// Divide the unit out, or say base().
const double wrong = 1 * foretrain::seconds;
