/// Whole training steps of a small model under a plan against the unsharded reference.
#pragma once

#include "validate/parallel/check.h"

namespace foretrain::parallel {

/// `steps` steps: every loss, every reduced gradient and every change of a parameter of every rank against the
/// reference on the whole batch at once; and passes in flight against the schedule's closed form.
Check training_check(std::string name, const TrainSetup& setup, std::int64_t steps, std::vector<Fault> faults);

}  // namespace foretrain::parallel
