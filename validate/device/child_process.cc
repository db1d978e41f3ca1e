#include "validate/device/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spec_error.h"

namespace foretrain {
namespace {

using Clock = std::chrono::steady_clock;

// What a signal handler may touch: it has no other way to know which child there is.
volatile std::sig_atomic_t child_to_end = 0;
volatile std::sig_atomic_t end_was_asked = 0;

extern "C" void pass_on_to_child(int) {
  end_was_asked = 1;
  if (child_to_end > 0) ::kill(-static_cast<pid_t>(child_to_end), SIGTERM);
}

/// SIGINT and SIGTERM go to the child while this lives.
class SignalsToChild {
 public:
  SignalsToChild() {
    end_was_asked = 0;
    struct sigaction action = {};
    action.sa_handler = pass_on_to_child;
    ::sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
      ::sigaction(kSignals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &action, nullptr);
    }
  }
  ~SignalsToChild() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
    child_to_end = 0;
  }
  SignalsToChild(const SignalsToChild&) = delete;
  SignalsToChild& operator=(const SignalsToChild&) = delete;

  /// In the child: as before.
  static void restore() {
    for (const int s : kSignals) {
      struct sigaction now = {};
      ::sigaction(s, nullptr, &now);
      if (now.sa_handler != SIG_IGN) ::signal(s, SIG_DFL);
    }
  }

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM};
  std::array<struct sigaction, kSignals.size()> before_{};
};

/// Reads until the child has closed its end, or until `limit` has passed (false).
bool read_until(int descriptor, Clock::time_point limit, std::string& output) {
  std::array<char, 4096> buffer;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - Clock::now()).count();
    if (left <= 0) return false;
    pollfd wait = {descriptor, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::min<long long>(left, 1'000'000)));
    if (ready < 0 && errno != EINTR) return true;
    if (ready <= 0) continue;
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    output.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

ChildOutcome run_in_child(const std::function<int(int pipe)>& body, Seconds limit) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw MachineError(std::string("cannot make a pipe: ") + std::strerror(errno));
  std::fflush(nullptr);  // or the child would write it once more
  const SignalsToChild signals;
  const pid_t child = ::fork();
  if (child < 0) {
    const int why = errno;
    ::close(ends[0]);
    ::close(ends[1]);
    throw MachineError(std::string("cannot start a process: ") + std::strerror(why));
  }
  if (child == 0) {
    SignalsToChild::restore();
    ::setpgid(0, 0);                     // what it starts ends with it
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // and it ends with us
    ::close(ends[0]);
    ::fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    const int code = body(ends[1]);
    std::fflush(nullptr);
    ::_exit(code);
  }
  ::setpgid(child, child);  // here too: whichever comes first
  ::close(ends[1]);
  child_to_end = static_cast<std::sig_atomic_t>(child);
  if (end_was_asked != 0) ::kill(-child, SIGTERM);

  ChildOutcome outcome;
  const auto after = [](double s) {
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  };
  if (!read_until(ends[0], after(limit.base()), outcome.output)) {
    outcome.timed_out = true;
    ::kill(-child, SIGTERM);
    if (!read_until(ends[0], after(2), outcome.output)) ::kill(-child, SIGKILL);
  }
  ::close(ends[0]);
  const int status = wait_for(child);
  if (outcome.timed_out || end_was_asked != 0) ::kill(-child, SIGKILL);  // what it started and left behind
  outcome.interrupted = end_was_asked != 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  return outcome;
}

}  // namespace foretrain
