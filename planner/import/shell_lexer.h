/// Cuts a shell script into words, array assignments, here-documents and operators; nothing is expanded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

struct ShellToken {
  enum class Kind : std::uint8_t { word, array, document, op, newline };
  Kind kind = Kind::word;
  std::string text;  ///< a word with its quotes; an array's name; a document's text; an operator
  std::int64_t line = 0;
  std::vector<ShellToken> items = {};  ///< of an array: its words
  bool appends = false;                ///< array: NAME+=( ... )
  bool is_literal = false;             ///< document: its end mark was quoted
};

/// SpecError at "name:line" for quotes, brackets and documents that are not closed.
std::vector<ShellToken> lex_shell(std::string_view text, const std::string& name, std::int64_t first_line);

/// One past the end of the quoted or bracketed part that begins at `text[at]`: '...', "...", `...`, $(...), ${...}.
/// npos when it is not closed or nested over 100 deep; any other character ends after itself.
std::size_t end_of_part(std::string_view text, std::size_t at);

}  // namespace foretrain
