/// A command run by a test: its exit status and all that it printed.
#pragma once

#include <cstdio>
#include <string>

#include <doctest/doctest.h>
#include <sys/wait.h>

namespace foretrain::test {

struct RunResult {
  int status = 0;      ///< -1: ended by a signal
  std::string output;  ///< stdout and stderr
};

inline RunResult run_program(const std::string& command) {
  RunResult result;
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  char piece[4096];
  for (std::size_t n = 0; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) result.output.append(piece, n);
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

inline std::string last_line(const std::string& output) {
  const std::size_t end = output.find_last_not_of('\n');
  if (end == std::string::npos) return "";
  const std::size_t begin = output.rfind('\n', end);
  return begin == std::string::npos ? output.substr(0, end + 1) : output.substr(begin + 1, end - begin);
}

}  // namespace foretrain::test
