#include "validate/gpu/run/watchdog.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <unistd.h>

namespace foretrain::gpu {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

void Watchdog::end_process(const std::string& line) {
  std::fprintf(stderr, "foretrain-gpu: %s\n", line.c_str());
  std::fflush(nullptr);
  _exit(3);  // no destructors: they would wait for the GPU
}

Watchdog::Watchdog(Bite bite) : bite_(bite ? std::move(bite) : Bite(end_process)), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!ends_) {
    const auto first = std::min_element(watches_.begin(), watches_.end(),
                                        [](const Watch& a, const Watch& b) { return a.end < b.end; });
    if (first == watches_.end()) {
      changed_.wait(lock);
    } else if (Clock::now() < first->end) {
      changed_.wait_until(lock, Clock::time_point(first->end));  // a copy: the watch may end meanwhile
    } else {
      char seconds[32];
      std::snprintf(seconds, sizeof seconds, "%g", first->seconds);
      const std::string line =
          first->what + " did not end within " + seconds + " s; a GPU or a peer hangs, the samples so far are kept";
      first->end = Clock::time_point::max();
      lock.unlock();
      bite_(line);
      lock.lock();
    }
  }
}

Watched::Watched(Watchdog& dog, std::string what, double seconds) : dog_(dog) {
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  {
    const std::lock_guard lock(dog_.mutex_);
    place_ = dog_.watches_.insert(dog_.watches_.end(), {std::move(what), seconds, end});
  }
  dog_.changed_.notify_all();
}

Watched::~Watched() {
  const std::lock_guard lock(dog_.mutex_);
  dog_.watches_.erase(place_);
}

}  // namespace foretrain::gpu
