/// Ranks as threads of one process: what runs the parallel checks without a GPU.
#pragma once

#include <functional>

#include "validate/parallel/communicator.h"

namespace foretrain::parallel {

struct ThreadOptions {
  double time_limit_seconds = 30;  ///< for each wait; past it the call says who is missing
  /// A send returns once its floats are copied, as on a stream of its own. Otherwise when they are received, which is
  /// the most that NCCL may ask of a caller.
  bool buffered_sends = false;
};

/// Runs `body` once on each of `ranks` threads, which are joined in order. Sums are taken in the order of the ranks, so
/// a result depends on no timing. When a rank throws, the others are stopped and its exception is thrown here. A peer
/// that does not come, or that has already returned, is a CommunicationError which lists what every waiting rank waits
/// for; so are calls of a group that differ in operation, size or `what`.
void run_threads(int ranks, const ThreadOptions& options, const std::function<void(World&)>& body);

}  // namespace foretrain::parallel
