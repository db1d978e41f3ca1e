#include "planner/import/shell_lexer.h"

#include <algorithm>
#include <utility>

#include "base/spec_error.h"

namespace foretrain {
namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr int kDeepest = 100;

std::size_t end_of_part(std::string_view text, std::size_t at, int depth);

/// One past `close`, from `at` just behind the opening; `open` inside is counted.
std::size_t end_of_bracket(std::string_view text, std::size_t at, char open, char close, int depth) {
  int level = 1;
  while (at < text.size()) {
    if (text[at] == close && --level == 0) return at + 1;
    if (text[at] == open) ++level;
    if (level > kDeepest) return kNone;
    at = text[at] == open || text[at] == close ? at + 1 : end_of_part(text, at, depth);
    if (at == kNone) return kNone;
  }
  return kNone;
}

std::size_t end_of_double_quotes(std::string_view text, std::size_t at, int depth) {
  while (at < text.size()) {
    if (text[at] == '"') return at + 1;
    // A single quote is nothing special between double ones.
    at = text[at] == '\'' ? at + 1 : end_of_part(text, at, depth);
    if (at == kNone) return kNone;
  }
  return kNone;
}

std::size_t end_of_part(std::string_view text, std::size_t at, int depth) {
  if (++depth > kDeepest) return kNone;
  const char c = text[at];
  const char next = at + 1 < text.size() ? text[at + 1] : '\0';
  if (c == '\\') return std::min(at + 2, text.size());
  if (c == '\'' || c == '`') {
    const std::size_t end = text.find(c, at + 1);
    return end == kNone ? kNone : end + 1;
  }
  if (c == '"') return end_of_double_quotes(text, at + 1, depth);
  if ((c == '$' || c == '<' || c == '>') && next == '(') return end_of_bracket(text, at + 2, '(', ')', depth);
  if (c == '$' && next == '{') return end_of_bracket(text, at + 2, '{', '}', depth);
  return at + 1;
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool is_operator(char c) { return std::string_view(";&|()<>\n").find(c) != kNone; }
bool is_name(std::string_view text) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') && std::all_of(text.begin(), text.end(), is_letter);
}

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& name, std::int64_t line) : text_(text), name_(name), line_(line) {}

  std::vector<ShellToken> run() {
    while (at_ < text_.size()) step(tokens_);
    if (!documents_.empty()) fail("the here-document is not closed", tokens_[documents_.front()].line);
    return std::move(tokens_);
  }

 private:
  using Kind = ShellToken::Kind;
  [[noreturn]] void fail(const std::string& what, std::int64_t line) const {
    throw SpecError(name_ + ":" + std::to_string(line), what);
  }
  [[nodiscard]] bool continues(std::string_view with) const { return text_.substr(at_).substr(0, with.size()) == with; }

  /// Reads one token, or what stands between two.
  void step(std::vector<ShellToken>& into) {
    const char c = text_[at_];
    if (is_blank(c)) {
      ++at_;
    } else if (continues("\\\n") || continues("\\\r\n")) {
      at_ += continues("\\\n") ? 2 : 3;
      ++line_;
    } else if (c == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (c == '\n') {
      into.push_back({.kind = Kind::newline, .text = "\n", .line = line_});
      ++at_;
      ++line_;
      if (&into == &tokens_) read_documents();
    } else if (is_operator(c) && !((c == '<' || c == '>') && at_ + 1 < text_.size() && text_[at_ + 1] == '(')) {
      read_operator(into);
    } else {
      read_word(into);
    }
  }

  void read_operator(std::vector<ShellToken>& into) {
    constexpr std::string_view kOperators[] = {"<<<", "<<-", "&>>", ";;", "&&", "||", "<<", ">>", ">&", "<&",
                                               "&>",  ">|",  ";",   "&",  "|",  "(",  ")",  "<",  ">"};
    for (const std::string_view op : kOperators) {
      if (!continues(op)) continue;
      // "2>": the digit is the stream, no word.
      const bool redirects = op.find_first_of("<>") != kNone;
      if (redirects && at_ > 0 && text_[at_ - 1] >= '0' && text_[at_ - 1] <= '9' && !into.empty() &&
          into.back().kind == Kind::word && into.back().text.size() == 1)
        into.pop_back();
      into.push_back({.kind = Kind::op, .text = std::string(op), .line = line_});
      at_ += op.size();
      if (op == "<<" || op == "<<-") expect_document(into);
      return;
    }
  }

  void read_word(std::vector<ShellToken>& into) {
    const std::size_t start = at_;
    const std::int64_t first_line = line_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const bool substitutes = (c == '<' || c == '>') && at_ + 1 < text_.size() && text_[at_ + 1] == '(';
      if (is_blank(c) || (is_operator(c) && !substitutes)) break;
      const std::size_t end = foretrain::end_of_part(text_, at_);
      if (end == kNone) fail(std::string("what begins with ") + c + " is not closed", line_);
      line_ += std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                          text_.begin() + static_cast<std::ptrdiff_t>(end), '\n');
      at_ = end;
    }
    std::string word(text_.substr(start, at_ - start));
    if (at_ < text_.size() && text_[at_] == '(' && word.ends_with('=')) {
      word.pop_back();
      const bool appends = word.ends_with('+');
      if (appends) word.pop_back();
      if (is_name(word)) return read_array(std::move(word), appends, into);
      word = std::string(text_.substr(start, at_ - start));
    }
    into.push_back({.kind = Kind::word, .text = std::move(word), .line = first_line});
  }

  void read_array(std::string array, bool appends, std::vector<ShellToken>& into) {
    ShellToken token{.kind = Kind::array, .text = std::move(array), .line = line_, .appends = appends};
    ++at_;
    if (++depth_ > kDeepest) fail("arrays are nested over 100 deep", line_);
    std::vector<ShellToken> items;
    while (at_ < text_.size() && text_[at_] != ')') step(items);
    --depth_;
    if (at_ >= text_.size()) fail("the array " + token.text + " is not closed", token.line);
    ++at_;
    for (ShellToken& item : items)
      if (item.kind == Kind::word) token.items.push_back(std::move(item));
    into.push_back(std::move(token));
  }

  /// After "<<": the end mark. The text follows the end of the line.
  void expect_document(std::vector<ShellToken>& into) {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    std::vector<ShellToken> mark;
    if (at_ < text_.size() && text_[at_] != '\n') read_word(mark);
    if (mark.empty() || &into != &tokens_) return;
    ShellToken token{.kind = Kind::document, .text = mark.front().text, .line = line_};
    token.is_literal = token.text.find_first_of("'\"\\") != kNone;
    std::erase_if(token.text, [](char c) { return c == '\'' || c == '"' || c == '\\'; });
    documents_.push_back(into.size());
    into.push_back(std::move(token));
  }

  void read_documents() {
    for (const std::size_t index : documents_) {
      const std::string mark = tokens_[index].text;
      const std::int64_t first_line = line_;
      std::string body;
      while (true) {
        if (at_ >= text_.size()) fail("the here-document \"" + mark + "\" is not closed", tokens_[index].line);
        const std::size_t end = std::min(text_.find('\n', at_), text_.size());
        std::string_view row = text_.substr(at_, end - at_);
        at_ = std::min(end + 1, text_.size());
        ++line_;
        std::string_view bare = row;
        while (!bare.empty() && is_blank(bare.front())) bare.remove_prefix(1);
        while (!bare.empty() && is_blank(bare.back())) bare.remove_suffix(1);
        if (bare == mark) break;
        body.append(row).push_back('\n');
      }
      tokens_[index].text = std::move(body);
      tokens_[index].line = first_line;
    }
    documents_.clear();
  }

  std::string_view text_;
  const std::string& name_;
  std::int64_t line_;
  std::size_t at_ = 0;
  int depth_ = 0;  // of arrays that are open
  std::vector<ShellToken> tokens_;
  std::vector<std::size_t> documents_;  // whose text is still to come
};

}  // namespace

std::size_t end_of_part(std::string_view text, std::size_t at) { return end_of_part(text, at, 0); }

std::vector<ShellToken> lex_shell(std::string_view text, const std::string& name, std::int64_t first_line) {
  return Lexer(text, name, first_line).run();
}

}  // namespace foretrain
