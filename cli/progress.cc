#include "cli/progress.h"

#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

namespace foretrain::cli {
namespace {

using Clock = std::chrono::steady_clock;

void draw(const std::string& line) {
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress(std::string_view what)
    : what_(what), on_terminal_(::isatty(STDERR_FILENO) == 1), start_(Clock::now()), last_(start_) {}

Progress::~Progress() {
  if (on_terminal_) draw("");
}

void Progress::show(std::int64_t done, std::int64_t of) {
  const Clock::time_point now = Clock::now();
  if (!on_terminal_ || now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  draw(fmt::format("{}: {} of {}", what_, done, of));
}

void Progress::finish() {
  if (!on_terminal_) return;
  const double passed = std::chrono::duration<double>(Clock::now() - start_).count();
  draw(fmt::format("{}: {:.1f} s\n", what_, passed));
}

}  // namespace foretrain::cli
