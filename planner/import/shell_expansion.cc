#include "planner/import/shell_expansion.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fnmatch.h>

#include "base/spec_error.h"
#include "base/text.h"
#include "planner/import/shell_lexer.h"

namespace foretrain {
namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr char kHeldBlank = '\x02';
constexpr int kDeepest = 50;
constexpr std::size_t kLongest = 10'000'000;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view name_at(std::string_view text) {
  std::size_t end = 0;
  if (!text.empty() && (text[0] >= '0' && text[0] <= '9')) return text.substr(0, 1);
  while (end < text.size() && is_letter(text[end])) ++end;
  return text.substr(0, end);
}

/// `text` without the shortest (or longest) match of `pattern` at its end or beginning.
std::string without_match(const std::string& text, const std::string& pattern, bool at_end, bool longest) {
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const std::size_t n = longest ? text.size() - i : i;
    const std::string part = at_end ? text.substr(text.size() - n) : text.substr(0, n);
    if (fnmatch(pattern.c_str(), part.c_str(), 0) == 0)
      return at_end ? text.substr(0, text.size() - n) : text.substr(n);
  }
  return text;
}

/// + - * / % ( ) over whole numbers and names, as $(( )) takes them.
class Arithmetic {
 public:
  Arithmetic(std::string_view text, const std::map<std::string, ShellWord>& names) : text_(text), names_(names) {}
  std::optional<std::int64_t> run() {
    const std::int64_t value = sum(0);
    blanks();
    return failed_ || at_ != text_.size() ? std::nullopt : std::optional(value);
  }

 private:
  void blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  bool takes(char c) {
    blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::int64_t checked(__int128 value) {
    constexpr __int128 kMost = 4'000'000'000'000'000'000;
    failed_ = failed_ || value > kMost || value < -kMost;
    return failed_ ? 0 : static_cast<std::int64_t>(value);
  }
  std::int64_t sum(int depth) {
    std::int64_t value = product(depth);
    while (!failed_) {
      if (takes('+')) {
        value = checked(static_cast<__int128>(value) + product(depth));
      } else if (takes('-')) {
        value = checked(static_cast<__int128>(value) - product(depth));
      } else {
        break;
      }
    }
    return value;
  }
  std::int64_t product(int depth) {
    std::int64_t value = factor(depth);
    while (!failed_) {
      if (takes('*')) {
        value = checked(static_cast<__int128>(value) * factor(depth));
        continue;
      }
      const bool divides = takes('/');
      if (!divides && !takes('%')) break;
      const std::int64_t by = factor(depth);
      failed_ = failed_ || by == 0;
      if (!failed_) value = divides ? value / by : value % by;
    }
    return value;
  }
  std::int64_t factor(int depth) {
    failed_ = failed_ || depth > kDeepest;
    if (failed_) return 0;
    if (takes('-')) return checked(-static_cast<__int128>(factor(depth + 1)));
    if (takes('(')) {
      const std::int64_t value = sum(depth + 1);
      failed_ = failed_ || !takes(')');
      return value;
    }
    blanks();
    std::size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    std::string word(text_.substr(at_, end - at_));
    at_ = end;
    if (const auto found = names_.find(word); found != names_.end()) word = found->second.text;
    std::int64_t value = 0;
    const auto [last, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    failed_ = word.empty() || error != std::errc{} || last != word.data() + word.size();
    return value;
  }

  std::string_view text_;
  const std::map<std::string, ShellWord>& names_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace

std::string unknown(std::string_view source) {
  std::string text(1, kUnknown);
  for (const char c : source) text += is_blank(c) ? kHeldBlank : c;
  return text;
}

std::string unknown_part(const ShellWord& word) {
  const std::size_t at = word.text.find(kUnknown);
  if (at == kNone) return "";
  std::string part = word.text.substr(at + 1);
  std::replace(part.begin(), part.end(), kHeldBlank, ' ');
  std::erase(part, kUnknown);
  return part;
}

/// Collects words while one raw word is expanded.
struct ShellVariables::Builder {
  std::int64_t line = 0;
  bool splits = true;
  std::vector<ShellWord> done;
  ShellWord current;
  bool is_open = false;

  void append(std::string_view text, std::int64_t from_line) {
    if (!is_open) current = {"", from_line};
    is_open = true;
    current.text += text;
    if (current.text.size() > kLongest) throw SpecError("script", "a variable grows over 10 MB");
  }
  void close() {
    if (is_open) done.push_back(std::move(current));
    is_open = false;
  }
  /// A value that is not quoted: blanks end a word.
  void append_split(const ShellWord& value) {
    std::size_t at = 0;
    while (at < value.text.size()) {
      if (is_blank(value.text[at])) {
        close();
        ++at;
        continue;
      }
      std::size_t end = at;
      while (end < value.text.size() && !is_blank(value.text[end])) ++end;
      append(std::string_view(value.text).substr(at, end - at), value.line);
      at = end;
    }
  }
  void append_values(const std::vector<ShellWord>& values, bool quoted) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0 && splits) close();
      if (i > 0 && !splits) append(" ", line);
      if (quoted || !splits) {
        append(values[i].text, values[i].line);
      } else {
        append_split(values[i]);
      }
    }
  }
};

std::optional<std::vector<ShellWord>> ShellVariables::values(std::string_view name) const {
  std::string base(name);
  std::string index;
  if (const std::size_t bracket = base.find('['); bracket != std::string::npos) {
    index = base.substr(bracket + 1, base.size() - bracket - 2);
    base.resize(bracket);
  }
  if (base == "@" || base == "*") return positional;
  if (base.size() == 1 && base[0] >= '1' && base[0] <= '9') {
    const auto n = static_cast<std::size_t>(base[0] - '1');
    if (n < positional.size()) return std::vector<ShellWord>{positional[n]};
    return std::nullopt;
  }
  if (const auto array = arrays.find(base); array != arrays.end()) {
    if (index == "@" || index == "*") return array->second;
    std::size_t n = 0;
    if (!index.empty()) std::from_chars(index.data(), index.data() + index.size(), n);
    if (n >= array->second.size()) return std::nullopt;
    return std::vector<ShellWord>{array->second[n]};
  }
  const auto found = plain.find(base);
  if (found == plain.end()) return std::nullopt;
  return std::vector<ShellWord>{found->second};
}

/// The inside of ${...}.
std::vector<ShellWord> ShellVariables::parameter(std::string_view inside, std::int64_t line, bool quoted, int depth) {
  const std::vector<ShellWord> not_known = {{unknown("${" + std::string(inside) + "}"), line}};
  const bool counts = inside.size() > 1 && inside[0] == '#';
  if (counts) inside.remove_prefix(1);
  std::string_view name = name_at(inside);
  if (name.empty() && !inside.empty() && (inside[0] == '@' || inside[0] == '*')) name = inside.substr(0, 1);
  if (name.empty()) return not_known;
  if (name.size() < inside.size() && inside[name.size()] == '[') {
    const std::size_t end = inside.find(']', name.size());
    if (end == kNone) return not_known;
    name = inside.substr(0, end + 1);
  }
  std::string_view rest = inside.substr(name.size());
  const std::optional<std::vector<ShellWord>> found = values(name);
  if (counts) {
    if (!found || !rest.empty()) return not_known;
    const bool counts_words = name.ends_with(']') || name == "@" || name == "*";
    const std::size_t size = counts_words ? found->size() : found->empty() ? 0 : found->front().text.size();
    return {{std::to_string(size), line}};
  }
  if (rest.empty() && quoted && found && (name.ends_with("[*]") || name == "*")) {  // "${LIST[*]}": one word
    std::string joined;
    for (const ShellWord& value : *found) joined += (joined.empty() ? "" : " ") + value.text;
    return {{joined, line}};
  }
  const bool is_list = name.ends_with("[@]") || name.ends_with("[*]") || name == "@" || name == "*";
  if (rest.empty()) return found ? *found : is_list ? std::vector<ShellWord>{} : not_known;
  const bool colon = rest.size() > 1 && rest[0] == ':' && std::string_view("-=+?").find(rest[1]) != kNone;
  if (colon) rest.remove_prefix(1);
  const char op = rest[0];
  const std::string_view word = rest.substr(1);
  bool is_set = found.has_value();
  if (is_set && colon) is_set = !found->empty() && !(found->size() == 1 && found->front().text.empty());
  const auto other = [&] {
    Builder builder{.line = line, .splits = !quoted, .done = {}, .current = {}, .is_open = false};
    expand(word, builder, false, depth + 1);
    builder.close();
    return std::move(builder.done);
  };
  if (op == '-' || op == '=') {
    if (is_set) return *found;
    std::vector<ShellWord> values = other();
    if (op == '=') plain[std::string(name)] = values.empty() ? ShellWord{"", line} : values.front();
    return values;
  }
  if (op == '+') return is_set ? other() : std::vector<ShellWord>{};
  if (op == '?') return is_set ? *found : not_known;
  if (!found) return not_known;
  const bool twice = word.starts_with(op);
  std::vector<ShellWord> changed = *found;
  if (op == '%' || op == '#') {
    const std::string pattern = text(word.substr(twice ? 1 : 0), line).text;
    for (ShellWord& value : changed) value.text = without_match(value.text, pattern, op == '%', twice);
    return changed;
  }
  if (op == ',' && twice) {
    for (ShellWord& value : changed) value.text = to_lower(value.text);
    return changed;
  }
  return not_known;
}

std::size_t ShellVariables::expand_dollar(std::string_view raw, std::size_t at, Builder& builder, bool quoted,
                                          int depth) {
  const std::string_view rest = raw.substr(at + 1);
  if (rest.starts_with("((")) {
    const std::size_t end = std::min(end_of_part(raw, at), raw.size());
    const std::string_view inside = raw.substr(at + 3, end >= at + 5 ? end - at - 5 : 0);
    const auto value = arithmetic(inside, builder.line);
    builder.append(value ? std::to_string(*value) : unknown(raw.substr(at, end - at)), builder.line);
    return end;
  }
  if (rest.starts_with("(")) {
    const std::size_t end = std::min(end_of_part(raw, at), raw.size());
    builder.append(unknown(raw.substr(at, end - at)), builder.line);
    return end;
  }
  if (rest.starts_with("{")) {
    const std::size_t end = std::min(end_of_part(raw, at), raw.size());
    const std::vector<ShellWord> found =
        parameter(raw.substr(at + 2, end >= at + 3 ? end - at - 3 : 0), builder.line, quoted, depth);
    builder.append_values(found, quoted);
    return end;
  }
  std::string_view name = name_at(rest);
  if (name.empty() && !rest.empty() && std::string_view("@*#?!$-").find(rest[0]) != kNone) name = rest.substr(0, 1);
  if (name.empty()) {
    builder.append("$", builder.line);
    return at + 1;
  }
  const std::size_t end = at + 1 + name.size();
  if (name == "#") {
    builder.append(std::to_string(positional.size()), builder.line);
  } else if (const auto found = values(name)) {
    builder.append_values(*found, quoted);
  } else {
    builder.append(unknown("$" + std::string(name)), builder.line);
  }
  return end;
}

void ShellVariables::expand(std::string_view raw, Builder& builder, bool quoted, int depth) {
  if (depth > kDeepest) throw SpecError("script", "variables refer to each other over 50 deep");
  std::size_t at = 0;
  while (at < raw.size()) {
    const char c = raw[at];
    if (c == '\\') {
      const std::string_view next = raw.substr(at + 1, 1);
      if (quoted && next != "$" && next != "`" && next != "\"" && next != "\\" && next != "\n")
        builder.append("\\", builder.line);
      if (next != "\n") builder.append(next, builder.line);
      at += 2;
    } else if (c == '\'' && !quoted) {
      const std::size_t end = std::min(end_of_part(raw, at), raw.size());
      builder.append(raw.substr(at + 1, end - at - 2), builder.line);
      at = end;
    } else if (c == '"' && !quoted) {
      const std::size_t end = std::min(end_of_part(raw, at), raw.size());
      const std::string_view inside = raw.substr(at + 1, end - at - 2);
      // "${LIST[@]}" of an empty list is no word at all; "" is an empty one.
      if (inside.find("[@]") == kNone && inside != "$@") builder.append("", builder.line);
      expand(inside, builder, true, depth + 1);
      at = end;
    } else if (c == '`' || ((c == '<' || c == '>') && raw.substr(at + 1, 1) == "(")) {
      const std::size_t end = std::min(end_of_part(raw, at), raw.size());
      builder.append(unknown(raw.substr(at, end - at)), builder.line);
      at = end;
    } else if (c == '$') {
      at = expand_dollar(raw, at, builder, quoted, depth + 1);
    } else {
      builder.append(raw.substr(at, 1), builder.line);
      ++at;
    }
  }
}

std::vector<ShellWord> ShellVariables::words(std::string_view raw, std::int64_t line) {
  Builder builder{.line = line, .splits = true, .done = {}, .current = {}, .is_open = false};
  expand(raw, builder, false, 0);
  builder.close();
  return std::move(builder.done);
}

ShellWord ShellVariables::text(std::string_view raw, std::int64_t line) {
  Builder builder{.line = line, .splits = false, .done = {}, .current = {}, .is_open = false};
  expand(raw, builder, false, 0);
  builder.close();
  return builder.done.empty() ? ShellWord{"", line} : ShellWord{builder.done.front().text, line};
}

std::optional<std::int64_t> ShellVariables::arithmetic(std::string_view expression, std::int64_t line) {
  Builder builder{.line = line, .splits = false, .done = {}, .current = {}, .is_open = false};
  expand(expression, builder, true, 0);
  builder.close();
  if (builder.done.empty() || builder.done.front().text.find(kUnknown) != std::string::npos) return std::nullopt;
  return Arithmetic(builder.done.front().text, plain).run();
}

}  // namespace foretrain
