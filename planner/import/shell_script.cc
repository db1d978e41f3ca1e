#include "planner/import/shell_script.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <fnmatch.h>

#include "base/spec_error.h"
#include "base/text.h"
#include "planner/import/shell_expansion.h"
#include "planner/import/shell_lexer.h"

namespace foretrain {
namespace {

using Kind = ShellToken::Kind;
constexpr std::int64_t kMostCommands = 100'000;
constexpr std::size_t kMostItems = 100'000;  // of an array
constexpr int kDeepest = 100;

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// "NAME=" or "NAME+=" at the beginning of a raw word: where the value starts; 0 when it is no assignment.
std::size_t assignment(std::string_view raw) {
  std::size_t at = 0;
  while (at < raw.size() && (std::isalnum(static_cast<unsigned char>(raw[at])) != 0 || raw[at] == '_')) ++at;
  if (at == 0 || std::isdigit(static_cast<unsigned char>(raw[0])) != 0) return 0;
  if (at < raw.size() && raw[at] == '+') ++at;
  return at < raw.size() && raw[at] == '=' ? at + 1 : 0;
}

/// Where a value is compared, what is not known counts as empty.
std::string known(const ShellWord& word) {
  return word.text.find(kUnknown) == std::string::npos ? word.text : std::string();
}
std::optional<std::int64_t> as_number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

/// Evaluates the inside of [ ... ] or [[ ... ]].
class Condition {
 public:
  explicit Condition(std::span<const ShellWord> words) : words_(words) {}
  bool run() { return any_of(0); }
  /// What was compared without being known.
  [[nodiscard]] const std::string& unknown() const { return unknown_; }

 private:
  [[nodiscard]] std::string_view peek(std::size_t ahead = 0) const {
    return at_ + ahead < words_.size() ? std::string_view(words_[at_ + ahead].text) : std::string_view();
  }
  bool any_of(int depth) {
    bool value = all_of(depth);
    while (peek() == "||" || peek() == "-o") {
      ++at_;
      const bool other = all_of(depth);
      value = value || other;
    }
    return value;
  }
  bool all_of(int depth) {
    bool value = one(depth);
    while (peek() == "&&" || peek() == "-a") {
      ++at_;
      const bool other = one(depth);
      value = value && other;
    }
    return value;
  }
  bool one(int depth) {
    if (depth > kDeepest || at_ >= words_.size()) return false;
    if (peek() == "!") {
      ++at_;
      return !one(depth + 1);
    }
    if (peek() == "(") {
      ++at_;
      const bool value = any_of(depth + 1);
      ++at_;
      return value;
    }
    const bool is_binary =
        is_one_of(peek(1), {"=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "<", ">", "=~"});
    if (!is_binary && peek().size() == 2 && peek()[0] == '-' && at_ + 1 < words_.size()) {
      const char test = peek()[1];
      const std::string value = known(words_[at_ + 1]);
      at_ += 2;
      if (test == 'z') return value.empty();
      if (test == 'n' || test == 'v') return !value.empty();
      return true;  // files are taken to be there
    }
    if (is_binary && at_ + 2 < words_.size()) {
      const std::size_t at = std::exchange(at_, at_ + 3);
      return compare(words_[at], words_[at + 1].text, words_[at + 2]);
    }
    return !known(words_[at_++]).empty();
  }
  bool compare(const ShellWord& left, std::string_view op, const ShellWord& right) {
    for (const ShellWord* side : {&left, &right})
      if (unknown_.empty()) unknown_ = unknown_part(*side);
    if (op == "=" || op == "==") return matches(left, right);
    if (op == "!=") return !matches(left, right);
    const auto a = as_number(known(left)), b = as_number(known(right));
    if (op == "=~" || !a || !b) {
      if (unknown_.empty()) unknown_ = fmt::format("{} {} {}", left.text, op, right.text);
      return false;
    }
    if (op == "-eq") return *a == *b;
    if (op == "-ne") return *a != *b;
    if (op == "-lt" || op == "<") return *a < *b;
    if (op == "-le") return *a <= *b;
    return op == "-ge" ? *a >= *b : *a > *b;
  }
  static bool matches(const ShellWord& left, const ShellWord& right) {
    return known(left) == known(right) || fnmatch(known(right).c_str(), known(left).c_str(), 0) == 0;
  }

  std::span<const ShellWord> words_;
  std::size_t at_ = 0;
  std::string unknown_;
};

struct Function {
  std::vector<ShellToken> body;
};

/// What one script and all that it calls share.
struct ShellState {
  const std::string& name;
  ShellRun run;
  ShellVariables variables;
  std::map<std::string, Function> functions;
  std::int64_t commands = 0;
  int depth = 0;
  bool ended = false;

  [[nodiscard]] std::string at(std::int64_t line) const { return fmt::format("{}:{}", name, line); }
  void warn(std::int64_t line, const std::string& what) {
    if (run.warnings.size() < 20) run.warnings.push_back(at(line) + ": " + what);
  }
};

void follow(std::vector<ShellToken> tokens, ShellState& state);

/// Follows a list of tokens.
class Follower {
 public:
  Follower(std::vector<ShellToken> tokens, ShellState& state) : tokens_(std::move(tokens)), state_(state) {}

  void run() {
    while (at_ < tokens_.size()) {
      const std::size_t before = at_;
      list({});
      if (at_ < tokens_.size() && at_ == before) ++at_;  // a bracket or word that closes nothing
    }
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ >= tokens_.size(); }
  [[nodiscard]] bool is_op(std::string_view op) const {
    return !at_end() && tokens_[at_].kind == Kind::op && tokens_[at_].text == op;
  }
  [[nodiscard]] bool is_word(std::string_view word) const {
    return !at_end() && tokens_[at_].kind == Kind::word && tokens_[at_].text == word;
  }
  [[nodiscard]] bool lives() const { return live_ && !state_.ended; }
  [[nodiscard]] std::int64_t line() const {
    return tokens_.empty() ? 0 : tokens_[std::min(at_, tokens_.size() - 1)].line;
  }
  void expect(std::string_view word, std::int64_t from) {
    if (is_word(word) || is_op(word)) {
      ++at_;
      return;
    }
    throw SpecError(state_.at(from), fmt::format("expected \"{}\" to close what begins here", word));
  }
  void skip_breaks() {
    while (!at_end() && (tokens_[at_].kind == Kind::newline || is_op(";") || is_op("&"))) ++at_;
  }

  /// Commands up to one of `stops`; the last one's success.
  bool list(std::initializer_list<std::string_view> stops) {
    bool status = true;
    while (true) {
      skip_breaks();
      if (at_end() || is_op(")") || is_op(";;")) return status;
      if (tokens_[at_].kind == Kind::word && is_one_of(tokens_[at_].text, stops)) return status;
      const std::size_t before = at_;
      status = chain();
      if (at_ == before) return status;
    }
  }

  /// a && b || c
  bool chain() {
    bool status = pipe();
    while (is_op("&&") || is_op("||")) {
      const bool wants = tokens_[at_].text == "&&";
      ++at_;
      skip_breaks();
      const bool was_live = std::exchange(live_, live_ && status == wants);
      const bool other = pipe();
      if (live_) status = other;
      live_ = was_live;
    }
    return status;
  }
  bool pipe() {
    bool status = command();
    while (is_op("|")) {
      ++at_;
      skip_breaks();
      status = command();
    }
    return status;
  }

  bool command() {
    if (++state_.depth > kDeepest) throw SpecError(state_.at(line()), "nested over 100 deep");
    const bool status = compound();
    --state_.depth;
    return status;
  }
  bool compound() {
    if (at_end()) return true;
    const std::int64_t from = line();
    if (is_word("!")) {
      ++at_;
      return !command();
    }
    if (is_word("if")) return if_command(from);
    if (is_word("for") || is_word("select")) return for_command(from);
    if (is_word("while") || is_word("until")) return while_command(from);
    if (is_word("case")) return case_command(from);
    if (is_word("[[")) return double_brackets(from);
    if (is_word("{")) {
      ++at_;
      const bool status = list({"}"});
      expect("}", from);
      redirections();
      return status;
    }
    if (is_op("(")) return subshell(from);
    if (is_word("function") ||
        (at_ + 2 < tokens_.size() && tokens_[at_].kind == Kind::word && tokens_[at_ + 1].kind == Kind::op &&
         tokens_[at_ + 1].text == "(" && tokens_[at_ + 2].text == ")"))
      return define_function();
    return simple();
  }

  bool if_command(std::int64_t from) {
    bool taken = false;
    const bool was_live = live_;
    ++at_;
    while (true) {
      live_ = was_live && !taken;
      const bool holds = list({"then"});
      expect("then", from);
      live_ = was_live && !taken && holds;
      taken = taken || holds;
      list({"elif", "else", "fi"});
      if (!is_word("elif")) break;
      ++at_;
    }
    if (is_word("else")) {
      ++at_;
      live_ = was_live && !taken;
      list({"fi"});
    }
    live_ = was_live;
    expect("fi", from);
    redirections();
    return true;
  }

  bool for_command(std::int64_t from) {
    ++at_;
    std::string name = at_end() ? "" : tokens_[at_].text;
    const bool is_counted = is_op("(");
    while (!at_end() && is_counted && !is_word("do")) ++at_;
    std::vector<ShellWord> values;
    if (!is_counted) {
      ++at_;
      while (!at_end() && tokens_[at_].kind == Kind::newline) ++at_;
      if (is_word("in")) {
        for (++at_; !at_end() && tokens_[at_].kind == Kind::word; ++at_)
          for (ShellWord& word : state_.variables.words(tokens_[at_].text, tokens_[at_].line))
            values.push_back(std::move(word));
      }
    } else if (lives()) {
      state_.warn(from, "this loop is not followed");
    }
    skip_breaks();
    expect("do", from);
    const std::size_t body = at_;
    const bool was_live = live_;
    for (const ShellWord& value : values) {
      if (!lives()) break;
      state_.variables.plain[name] = value;
      at_ = body;
      list({"done"});
    }
    at_ = body;
    live_ = false;
    list({"done"});
    live_ = was_live;
    expect("done", from);
    redirections();
    return true;
  }

  bool while_command(std::int64_t from) {
    if (lives()) state_.warn(from, "this loop is not followed");
    const bool was_live = std::exchange(live_, false);
    ++at_;
    list({"do"});
    expect("do", from);
    list({"done"});
    expect("done", from);
    live_ = was_live;
    redirections();
    return true;
  }

  bool case_command(std::int64_t from) {
    ++at_;
    const std::string value =
        at_end() ? std::string() : known(state_.variables.text(tokens_[at_].text, tokens_[at_].line));
    ++at_;
    skip_breaks();
    expect("in", from);
    const bool was_live = live_;
    bool taken = false;
    while (true) {
      skip_breaks();
      if (at_end() || is_word("esac")) break;
      bool matches = false;
      if (is_op("(")) ++at_;
      for (; !at_end() && !is_op(")"); ++at_) {
        if (tokens_[at_].kind != Kind::word) continue;
        const std::string pattern = known(state_.variables.text(tokens_[at_].text, tokens_[at_].line));
        matches = matches || fnmatch(pattern.c_str(), value.c_str(), 0) == 0;
      }
      expect(")", from);
      live_ = was_live && matches && !taken;
      taken = taken || matches;
      list({"esac"});
      if (is_op(";;")) ++at_;
    }
    live_ = was_live;
    expect("esac", from);
    return true;
  }

  bool subshell(std::int64_t from) {
    const ShellVariables before = state_.variables;
    ++at_;
    const bool is_arithmetic = is_op("(");
    const bool status = list({});
    expect(")", from);
    if (!is_arithmetic) redirections();
    state_.variables = before;
    return status;
  }

  bool define_function() {
    if (is_word("function")) ++at_;
    const std::string name = at_end() ? "" : tokens_[at_].text;
    ++at_;
    if (is_op("(")) at_ += 2;
    skip_breaks();
    const std::size_t begin = at_;
    const bool was_live = std::exchange(live_, false);
    command();
    live_ = was_live;
    const auto at = [&](std::size_t i) {
      return tokens_.begin() + static_cast<std::ptrdiff_t>(std::min(i, tokens_.size()));
    };
    if (lives()) state_.functions[name] = Function{std::vector<ShellToken>(at(begin), at(at_))};
    return true;
  }

  bool judge(const std::vector<ShellWord>& words, std::int64_t from) {
    Condition condition(words);
    const bool holds = condition.run();
    if (lives() && !condition.unknown().empty())
      state_.warn(from, fmt::format("{} is not known here; the condition is taken {}", in_quotes(condition.unknown()),
                                    holds ? "to hold" : "not to hold"));
    return holds;
  }

  bool double_brackets(std::int64_t from) {
    std::vector<ShellWord> words;
    for (++at_; !at_end() && !is_word("]]"); ++at_) {
      const ShellToken& token = tokens_[at_];
      if (token.kind == Kind::newline) continue;
      words.push_back(token.kind == Kind::op ? ShellWord{token.text, token.line}
                                             : state_.variables.text(token.text, token.line));
    }
    expect("]]", from);
    return judge(words, from);
  }

  /// Skips "> file" and the like; here-documents are kept.
  void redirections() {
    while (!at_end() &&
           ((tokens_[at_].kind == Kind::op && tokens_[at_].text.find_first_of("<>") != std::string::npos) ||
            tokens_[at_].kind == Kind::document)) {
      redirection();
    }
  }
  void redirection() {
    const ShellToken& token = tokens_[at_++];
    if (token.kind == Kind::document) {
      if (!lives()) return;
      std::string text;
      for (const char c : token.text) text += c == '"' && !token.is_literal ? std::string("\\\"") : std::string(1, c);
      state_.run.documents.push_back(token.is_literal ? ShellWord{text, token.line}
                                                      : state_.variables.text('"' + text + '"', token.line));
    } else if (!at_end() && tokens_[at_].kind == Kind::word && !token.text.starts_with("<<-") && token.text != "<<") {
      ++at_;
    }
  }

  void assign(const ShellToken& token) {
    if (++state_.commands > kMostCommands)
      throw SpecError(state_.at(token.line), "the script runs more than 100,000 commands");
    if (token.kind == Kind::array) {
      std::vector<ShellWord> items;
      for (const ShellToken& item : token.items)
        for (ShellWord& word : state_.variables.words(item.text, item.line)) items.push_back(std::move(word));
      if (items.size() > kMostItems)
        throw SpecError(state_.at(token.line), fmt::format("an array holds over {} words", kMostItems));
      std::vector<ShellWord>& array = state_.variables.arrays[token.text];
      if (!token.appends) array.clear();
      array.insert(array.end(), items.begin(), items.end());
      return;
    }
    const std::size_t value_at = assignment(token.text);
    const bool appends = token.text[value_at - 2] == '+';
    const std::string name = token.text.substr(0, value_at - (appends ? 2 : 1));
    ShellWord value = state_.variables.text(std::string_view(token.text).substr(value_at), token.line);
    if (appends) value.text = state_.variables.plain[name].text + value.text;
    if (value.text.size() > 10'000'000) throw SpecError(state_.at(token.line), "a variable grows over 10 MB");
    state_.variables.arrays.erase(name);
    state_.variables.plain[name] = std::move(value);
  }

  bool simple() {
    const std::int64_t from = line();
    std::vector<ShellWord> words;
    bool declares = false;
    while (!at_end()) {
      const ShellToken& token = tokens_[at_];
      if (token.kind == Kind::newline) break;
      if (token.kind == Kind::document ||
          (token.kind == Kind::op && token.text.find_first_of("<>") != std::string::npos)) {
        redirection();
        continue;
      }
      if (token.kind == Kind::op) break;
      ++at_;
      if (!lives()) continue;
      const bool assigns = token.kind == Kind::array || (assignment(token.text) > 0 && (words.empty() || declares));
      if (assigns) {
        assign(token);
        continue;
      }
      for (ShellWord& word : state_.variables.words(token.text, token.line)) words.push_back(std::move(word));
      declares = !words.empty() && is_one_of(words.front().text, {"export", "declare", "local", "readonly", "typeset"});
    }
    return !lives() || words.empty() || execute(std::move(words), from);
  }

  bool execute(std::vector<ShellWord> words, std::int64_t from) {
    if (++state_.commands > kMostCommands)
      throw SpecError(state_.at(from), "the script runs more than 100,000 commands");
    const std::string name = words.front().text;
    if (name == "[" || name == "test") {
      const std::size_t end = words.size() - (words.back().text == "]" ? 1 : 0);
      return judge({words.begin() + 1, words.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(end, 1))},
                   from);
    }
    if (name == "false") return false;
    if (name == "exit") {
      state_.ended = true;
      return true;
    }
    if (name == "shift") {
      if (!state_.variables.positional.empty()) state_.variables.positional.erase(state_.variables.positional.begin());
      return true;
    }
    if (name == "unset") {
      for (const ShellWord& word : words) {
        state_.variables.plain.erase(word.text);
        state_.variables.arrays.erase(word.text);
      }
      return true;
    }
    if (name == "source" || name == ".") {
      state_.warn(from, fmt::format("{} is not read", in_quotes(words.size() > 1 ? words[1].text : name)));
      return true;
    }
    if (name == "eval") {
      std::string text;
      for (std::size_t i = 1; i < words.size(); ++i) text += (i > 1 ? " " : "") + words[i].text;
      follow(lex_shell(text, state_.name, from), state_);
      return true;
    }
    if (const auto function = state_.functions.find(name); function != state_.functions.end()) {
      std::vector<ShellWord> arguments(words.begin() + 1, words.end());
      std::swap(state_.variables.positional, arguments);
      follow(function->second.body, state_);
      std::swap(state_.variables.positional, arguments);
      return true;
    }
    state_.run.commands.push_back(std::move(words));
    return true;
  }

  std::vector<ShellToken> tokens_;
  ShellState& state_;
  std::size_t at_ = 0;
  bool live_ = true;
};

void follow(std::vector<ShellToken> tokens, ShellState& state) {
  if (++state.depth > kDeepest) throw SpecError(state.name, "functions call each other over 100 deep");
  Follower(std::move(tokens), state).run();
  --state.depth;
}

/// "#SBATCH --nodes=4", "#SBATCH -N 4".
void read_sbatch(std::string_view text, std::int64_t line, ShellRun& run) {
  for (; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!row.starts_with("#SBATCH")) continue;
    row.remove_prefix(7);
    row = row.substr(0, row.find('#'));
    std::string option(row), value;
    std::replace(option.begin(), option.end(), '\t', ' ');
    std::erase(option, '\r');
    option.erase(0, option.find_first_not_of(' '));
    if (const std::size_t split = option.find_first_of("= "); split != std::string::npos) {
      value = option.substr(split + 1);
      option.resize(split);
      value.erase(0, value.find_first_not_of(' '));
      value = value.substr(0, value.find(' '));
    }
    option.erase(0, option.find_first_not_of('-'));
    if (!option.empty()) run.sbatch[option] = {value, line};
  }
}

}  // namespace

ShellRun follow_script(std::string_view text, const std::string& name, std::int64_t first_line) {
  ShellState state{.name = name, .run = {}, .variables = {}, .functions = {}};
  read_sbatch(text, first_line, state.run);
  follow(lex_shell(text, name, first_line), state);
  state.run.variables = std::move(state.variables.plain);
  return std::move(state.run);
}

}  // namespace foretrain
