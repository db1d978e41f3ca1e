#include "base/check.h"

#include <csignal>
#include <cstdio>
#include <string>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

/// What a child process that runs `act` writes to stderr, and the signal that ended it (0 when it came back).
struct ChildEnd {
  std::string standard_error;
  int signal;
};
ChildEnd end_of_child(void (*act)()) {
  int ends[2] = {};
  REQUIRE(pipe(ends) == 0);
  std::fflush(stdout);  // or the child would write our buffered lines once more
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // doctest's own handler would print and go on
    dup2(ends[1], STDERR_FILENO);
    act();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char chunk[256];
  for (ssize_t count = 0; (count = read(ends[0], chunk, sizeof chunk)) > 0;) {
    text.append(chunk, static_cast<std::size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return {text, WIFSIGNALED(status) ? WTERMSIG(status) : 0};
}

}  // namespace

TEST_CASE("A failed check aborts and names file, line and condition") {
  const ChildEnd end = end_of_child([] { FORETRAIN_CHECK(1 + 1 == 3); });
  CHECK(end.signal == SIGABRT);
  CHECK(end.standard_error.find("check_test.cc:") != std::string::npos);
  CHECK(end.standard_error.find("check failed: 1 + 1 == 3") != std::string::npos);
}

TEST_CASE("A check that holds costs nothing and says nothing") {
  const ChildEnd end = end_of_child([] { FORETRAIN_CHECK(1 + 1 == 2); });
  CHECK(end.signal == 0);
  CHECK(end.standard_error.empty());
}
