// error: (nothing is wrong here)
#include "base/time_point.h"

// The right neighbours of the wrong formulas beside this file: all must compile.
const foretrain::Seconds kTransfer = 1 * foretrain::microseconds + foretrain::GB / foretrain::GB_per_s;
const foretrain::Bytes kMoved = foretrain::GB_per_s * foretrain::seconds;
const foretrain::Seconds kComputed = foretrain::TFLOP / foretrain::TFLOP_per_s;
const double kMicroseconds = kTransfer / foretrain::microseconds;
const double kRatio = foretrain::GB / foretrain::MB;
const bool kLess = foretrain::MB < foretrain::GB;
const foretrain::TimePoint kLater = foretrain::TimePoint{1} + foretrain::to_picoseconds(kTransfer);
const foretrain::Picoseconds kBetween = kLater - foretrain::TimePoint{1};
