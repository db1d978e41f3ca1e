/// Ends the process when the GPU or a peer hangs: a call that never returns cannot be left in any other way.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace foretrain::gpu {

/// While a Watched lives, what it watches must end in time; they may lie inside each other. When one does not, the
/// process prints one line on stderr and exits with status 3; results are on disk already. One for each rank.
class Watchdog {
 public:
  /// Called in place of the end of the process, from the watching thread: for tests.
  using Bite = std::function<void(const std::string& line)>;
  explicit Watchdog(Bite bite = {});
  /// What it does otherwise.
  [[noreturn]] static void end_process(const std::string& line);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  friend class Watched;
  struct Watch {
    std::string what;
    double seconds = 0;
    std::chrono::steady_clock::time_point end;
  };
  void run();

  Bite bite_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Watch> watches_;
  bool ends_ = false;
  std::thread thread_;
};

/// `what` must end within `seconds` from now.
class Watched {
 public:
  Watched(Watchdog& dog, std::string what, double seconds);
  ~Watched();
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

 private:
  Watchdog& dog_;
  std::list<Watchdog::Watch>::iterator place_;
};

}  // namespace foretrain::gpu
