/// Ranks as threads of one process: what runs the parallel checks without a GPU.
#pragma once

#include <functional>

#include "validate/parallel/communicator.h"

namespace foretrain::parallel {

struct ThreadOptions {
  double time_limit_seconds = 30;  ///< for each wait; past it the call says who waits
  /// A send returns once its floats are copied, as on a stream of its own. Otherwise when they are received, which is
  /// the most that NCCL may ask of a caller.
  bool buffered_sends = false;
};

/// Runs `body` once on each of `ranks` threads, which are joined in order. Sums are taken in the order of the ranks, so
/// a result depends on no timing. When a rank throws, the others are stopped and its exception is thrown here. A
/// deadlock, a peer that has already returned and one that does not come within the time limit are CommunicationErrors
/// which list what every waiting rank waits for; so are calls of a group that differ in operation, size or `what`. Only
/// a rank that never comes back from its own work cannot be stopped.
void run_threads(int ranks, const ThreadOptions& options, const std::function<void(World&)>& body);

}  // namespace foretrain::parallel
