/// A line on the terminal that shows how far a search is; nothing where stderr is no terminal.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace foretrain::cli {

/// How far something is.
struct Advance {
  std::string_view what, unit;    ///< "searching", "plans"
  std::int64_t done = 0, of = 0;  ///< parts
  std::int64_t count = 0;         ///< units so far
  double seconds = 0;             ///< since the start
};
/// "searching [######------------]  33 %  1.2 M plans/s  2 s left", in at most `width` columns: the bar gets shorter
/// first, then what stands at the end is left out. Time left: as long for the rest as for what is done.
std::string progress_line(const Advance& advance, std::size_t width);

class Progress {
 public:
  /// `count` is read when the line is drawn. Shows nothing unless `wanted` and stderr is a terminal.
  Progress(std::string_view what, std::string_view unit, const std::atomic<std::int64_t>& count, bool wanted);
  ~Progress();  ///< clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Redraws at most ten times a second, and not before half a second has passed. One thread at a time.
  void show(std::int64_t done, std::int64_t of);
  /// Where a line was drawn, leaves `what`, the count and the seconds since the start on the terminal.
  void finish();

 private:
  std::string what_, unit_;
  const std::atomic<std::int64_t>& count_;
  bool shown_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace foretrain::cli
