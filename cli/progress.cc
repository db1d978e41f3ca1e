#include "cli/progress.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace foretrain::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kQuietStart{500}, kBetween{100};

void draw(const std::string& line) {
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
}

std::size_t width_of_stderr() {
  winsize size = {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// "950", "12.3 k", "1.2 M".
std::string short_count(double count) {
  if (count >= 1e6) return fmt::format("{:.1f} M", count / 1e6);
  if (count >= 1e4) return fmt::format("{:.1f} k", count / 1e3);
  return fmt::format("{:.0f}", count);
}

/// "12 s", "3 min 20 s".
std::string duration_text(double passed) {
  const auto whole = static_cast<std::int64_t>(passed + 0.5);
  return whole < 60 ? fmt::format("{} s", whole) : fmt::format("{} min {} s", whole / 60, whole % 60);
}

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

std::string progress_line(const Advance& a, std::size_t width) {
  constexpr std::size_t most_bar = 30, least_bar = 5;
  const double share = a.of > 0 ? std::clamp(static_cast<double>(a.done) / static_cast<double>(a.of), 0.0, 1.0) : 0;
  const std::string left = share > 0 ? fmt::format("  {} left", duration_text(a.seconds * (1 - share) / share)) : "";
  std::string rate;
  if (a.seconds > 0 && a.count > 0)
    rate = fmt::format("  {} {}/s", short_count(static_cast<double>(a.count) / a.seconds), a.unit);
  const std::string percent = fmt::format("{:3.0f} %", 100 * share);
  for (const std::string& tail : {percent + rate + left, percent + left, percent}) {
    const std::size_t fixed = a.what.size() + tail.size() + 4;  // blanks and brackets
    if (fixed + least_bar > width) continue;
    const std::size_t bar = std::min(most_bar, width - fixed);
    const auto full = static_cast<std::size_t>(share * static_cast<double>(bar));
    return fmt::format("{} [{}{}] {}", a.what, std::string(full, '#'), std::string(bar - full, '-'), tail);
  }
  return percent.substr(0, width);
}

Progress::Progress(std::string_view what, std::string_view unit, const std::atomic<std::int64_t>& count, bool wanted)
    : what_(what),
      unit_(unit),
      count_(count),
      shown_(wanted && ::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (drawn_) draw("");
}

void Progress::show(std::int64_t done, std::int64_t of) {
  const Clock::time_point now = Clock::now();
  if (!shown_ || now - start_ < kQuietStart || now - last_ < kBetween) return;
  last_ = now;
  drawn_ = true;
  const Advance advance{
      .what = what_, .unit = unit_, .done = done, .of = of, .count = count_, .seconds = since(start_)};
  draw(progress_line(advance, width_of_stderr() - 1));
}

void Progress::finish() {
  if (!drawn_) return;
  draw(fmt::format("{}: {} {} in {:.1f} s\n", what_, count_.load(), unit_, since(start_)));
  drawn_ = false;
}

}  // namespace foretrain::cli
