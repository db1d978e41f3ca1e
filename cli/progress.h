/// A line on the terminal that shows how far a search is; nothing where stderr is no terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace foretrain::cli {

class Progress {
 public:
  explicit Progress(std::string_view what);
  ~Progress();  ///< clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Redraws at most ten times a second. One thread at a time.
  void show(std::int64_t done, std::int64_t of);
  /// Leaves `what` and the seconds since the start on the terminal.
  void finish();

 private:
  std::string what_;
  bool on_terminal_;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace foretrain::cli
