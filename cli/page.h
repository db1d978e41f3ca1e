/// Text for a terminal or a pipe: lines that fit the terminal's width, colours where they are wanted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/text.h"

namespace foretrain::cli {

/// How results look. In a pipe: no colour, and lines as long as they are.
struct PageStyle {
  bool colour = false;
  std::size_t width = 0;  ///< columns that a line may have; 0 = any number
};

/// What decides it: whether the stream is a terminal, its columns (0: unknown), and the environment ("" where a
/// variable is not set).
struct Surroundings {
  bool terminal = false;
  std::size_t columns = 0;
  std::string_view no_color{}, clicolor_force{}, term{}, columns_variable{};
};
/// Colour on a terminal that is not "dumb", unless NO_COLOR says something; everywhere when CLICOLOR_FORCE is neither
/// empty nor 0 (NO_COLOR still wins). Width on a terminal alone: COLUMNS, or what the terminal says, or 80; at
/// least 40. Sources: no-color.org, bixense.com/clicolors.
PageStyle page_style(const Surroundings& surroundings);
/// The style of stdout.
PageStyle page_style();

enum class Ink { plain, bold, good, warn, faint };

/// Collects lines. Text may be UTF-8; every character counts as one column.
class Page {
 public:
  explicit Page(PageStyle style) : style_(style) {}

  /// A line, broken at blanks where it is too long; what goes on below is indented by `hanging`.
  Page& line(std::string_view text, Ink ink = Ink::plain, std::size_t hanging = 2);
  /// An empty line.
  Page& blank();
  /// A table. Where it is too wide, columns that do not fit follow in further tables, which repeat the first
  /// `key_columns`; a cell that alone is too wide is cut. Row `emphasised` (none when beyond the end) is shown as good.
  Page& table(const TextTable& table, std::size_t key_columns = 1,
              std::size_t emphasised = static_cast<std::size_t>(-1));

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const PageStyle& style() const { return style_; }

 private:
  void append(std::string_view line, Ink ink);

  PageStyle style_;
  std::string text_;
};

}  // namespace foretrain::cli
