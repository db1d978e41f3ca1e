// A child that ends, fails, crashes, hangs, or is interrupted: the parent goes on and knows which.
#include "validate/device/child_process.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <unistd.h>

using namespace foretrain;

namespace {

void say(int pipe, const std::string& text) {
  const ssize_t written = ::write(pipe, text.data(), text.size());
  if (written < 0) std::_Exit(9);
}
void sleep_long() { std::this_thread::sleep_for(std::chrono::minutes(5)); }

double seconds_of(const std::function<void()>& act) {
  const auto start = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("what a child says and how it ends arrives") {
  const ChildOutcome fine = run_in_child(
      [](int pipe) {
        say(pipe, std::string(100'000, 'x'));  // more than a pipe holds
        say(pipe, "end");
        return 7;
      },
      60 * seconds);
  CHECK(fine.exit_code == 7);
  CHECK(fine.output == std::string(100'000, 'x') + "end");
  CHECK(fine.signal == 0);
  CHECK_FALSE(fine.timed_out);
  CHECK_FALSE(fine.interrupted);
}

TEST_CASE("a crash is the child's alone, and what it said before is kept") {
  const ChildOutcome crashed = run_in_child(
      [](int pipe) {
        say(pipe, "before");
        std::signal(SIGSEGV, SIG_DFL);  // sanitizers would catch it
        std::raise(SIGSEGV);
        return 0;
      },
      60 * seconds);
  CHECK(crashed.signal == SIGSEGV);
  CHECK(crashed.output == "before");
  CHECK_FALSE(crashed.interrupted);
}

TEST_CASE("a child that hangs is stopped soon after its time, also when it does not want to") {
  for (const bool stubborn : {false, true}) {
    ChildOutcome hung;
    const double took = seconds_of([&] {
      hung = run_in_child(
          [stubborn](int pipe) {
            if (stubborn) std::signal(SIGTERM, SIG_IGN);
            say(pipe, "first");
            sleep_long();
            return 0;
          },
          0.3 * seconds);
    });
    CHECK(hung.timed_out);
    CHECK(hung.output == "first");
    CHECK(hung.signal == (stubborn ? SIGKILL : SIGTERM));
    CHECK(took > 0.29);
    CHECK(took < 60);
  }
}

TEST_CASE("Ctrl-C ends the child and not the parent") {
  for (const int signal : {SIGINT, SIGTERM}) {
    ChildOutcome outcome;
    const double took = seconds_of([&] {
      outcome = run_in_child(
          [signal](int pipe) {
            say(pipe, "samples");
            ::kill(::getppid(), signal);
            sleep_long();
            return 0;
          },
          60 * seconds);
    });
    CHECK(outcome.interrupted);
    CHECK(outcome.output == "samples");
    CHECK(took < 50);
  }
  // And afterwards nothing is left of it.
  CHECK_FALSE(run_in_child([](int) { return 0; }, 60 * seconds).interrupted);
}

TEST_CASE("what a stopped child has started ends with it") {
  const double took = seconds_of([&] {
    run_in_child(
        [](int) {
          if (::fork() == 0) sleep_long();
          sleep_long();
          return 0;
        },
        0.2 * seconds);
  });
  CHECK(took < 60);  // the grandchild holds the pipe: it must have ended too
}
