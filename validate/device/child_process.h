/// A function run in a child process: a GPU library that hangs, crashes or exits takes nothing with it.
#pragma once

#include <functional>
#include <string>

#include "base/units.h"

namespace foretrain {

struct ChildOutcome {
  int exit_code = 0;         ///< of the child; meaningless when one of the others says how it ended
  std::string output;        ///< what it wrote to `pipe`
  bool interrupted = false;  ///< the user, or whoever runs us, asked for the end (SIGINT, SIGTERM)
  bool timed_out = false;    ///< it was stopped after `limit`
  int signal = 0;            ///< that ended it, otherwise 0
};

/// Forks and runs `body(pipe)` in the child, whose stdout goes to stderr and whose exit code is what `body` gives.
/// Waits for its end, at most `limit`: then it is asked to end, and killed two seconds later. While it runs, SIGINT and
/// SIGTERM end the child and not this process. To be called while there is one thread only. MachineError when there is
/// no process or pipe to be had.
ChildOutcome run_in_child(const std::function<int(int pipe)>& body, Seconds limit);

}  // namespace foretrain
