// error: (cannot convert|no viable conversion|conversion from)
#include "base/time_point.h"

// An instant is not a duration.
const foretrain::TimePoint wrong = 1 * foretrain::seconds;
