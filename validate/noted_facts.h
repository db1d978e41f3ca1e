/// Facts of a published run that its row keeps in words: in its notes, and in the name of the test that it was.
#pragma once

#include "base/spec_node.h"
#include "planner/problem.h"

namespace foretrain {

/// Puts into `problem` what the row's `notes` and `plan_note` and its model's `name` say of the run beyond the row's
/// own keys (docs/FORMAT.md lists the words). Its plan must be set.
void apply_noted_facts(const SpecNode& run, Problem& problem);

}  // namespace foretrain
