#include "planner/import/megatron_text.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace foretrain {
namespace {

constexpr std::size_t kMostLayers = 100'000;

/// The whole number at `at`, which then stands behind it; 0 when there is none.
std::size_t number_at(std::string_view text, std::size_t& at) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  at = error == std::errc{} ? static_cast<std::size_t>(end - text.data()) : at;
  return error == std::errc{} ? value : 0;
}

/// Unrolls "(...)*n" and then "x*n", as Megatron-LM's two substitutions do. Nothing when it grows too long.
std::optional<std::string> unrolled(std::string_view layout) {
  std::string text;
  for (const bool brackets : {true, false}) {
    const std::string from = brackets ? std::string(layout) : text;
    text.clear();
    for (std::size_t i = 0; i < from.size();) {
      std::size_t end = i + 1;
      std::string unit = from.substr(i, 1);
      if (brackets && from[i] == '(') {
        const std::size_t close = from.find(')', i);
        if (close == std::string::npos) return std::nullopt;
        unit = from.substr(i + 1, close - i - 1);
        end = close + 1;
      }
      std::size_t times = 1;
      const bool repeats = end < from.size() && from[end] == '*' && (!brackets || from[i] == '(');
      if (repeats) times = number_at(from, ++end);
      if (times > kMostLayers || text.size() + unit.size() * times > kMostLayers) return std::nullopt;
      for (std::size_t n = 0; n < times; ++n) text += unit;
      i = end;
    }
  }
  return text;
}

}  // namespace

std::optional<std::vector<std::int32_t>> read_megatron_layout(std::string_view layout, std::string& why) {
  std::string plain(layout);
  std::erase(plain, ',');
  const auto text = unrolled(plain);
  if (!text) {
    why = "expected stages of E, t, m and L, parted by |, with (...)*n; brackets are not closed or it is too long";
    return std::nullopt;
  }
  std::vector<std::int32_t> stages(1, 0);
  std::string flat;
  for (const char c : *text) {
    if (std::string_view("EtmL|").find(c) == std::string_view::npos) {
      why = fmt::format("invalid layer character: {}; known layer characters: E, L, t, m", c);
      return std::nullopt;
    }
    if (c == '|') {
      stages.push_back(0);
      continue;
    }
    flat += c;
    if (c == 't') ++stages.back();
  }
  if (!flat.starts_with('E') || std::count(flat.begin(), flat.end(), 'E') != 1) {
    why = "the first layer must be embedding (E), exactly once";
  } else if (!flat.ends_with('L') || std::count(flat.begin(), flat.end(), 'L') != 1) {
    why = "the last layer must be loss (L), exactly once";
  } else if (flat.find('m') != std::string::npos && flat.find('t', flat.find('m')) != std::string::npos) {
    why = "decoder layers must be placed before MTP layers";
  } else {
    return stages;
  }
  return std::nullopt;
}

namespace {

/// A Python list expression of 0 and 1: "([0]*3+[1]*58)". Bounded in depth and length.
class ListExpression {
 public:
  explicit ListExpression(std::string_view text) : text_(text) {}
  std::optional<std::string> run() {
    std::string value = sum(0);
    if (failed_ || at_ != text_.size()) return std::nullopt;
    return value;
  }

 private:
  bool takes(char c) {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string sum(int depth) {
    std::string value = product(depth);
    while (!failed_ && takes('+')) {
      value += product(depth);
      failed_ = failed_ || value.size() > kMostLayers;
    }
    return value;
  }
  std::string product(int depth) {
    std::string value = list(depth);
    while (!failed_ && takes('*')) {
      const std::size_t times = number_at(text_, at_);
      failed_ = times == 0 || times > kMostLayers || value.size() * times > kMostLayers;
      std::string repeated;
      for (std::size_t n = 0; n < times && !failed_; ++n) repeated += value;
      value = std::move(repeated);
    }
    return value;
  }
  std::string list(int depth) {
    std::string value;
    failed_ = failed_ || depth > 20;
    if (failed_) return value;
    if (takes('(')) {
      value = sum(depth + 1);
      failed_ = failed_ || !takes(')');
    } else if (takes('[')) {
      do {
        if (takes('0')) {
          value += '0';
        } else if (takes('1')) {
          value += '1';
        }
      } while (takes(','));
      failed_ = !takes(']');
    } else {
      failed_ = true;
    }
    return value;
  }
  std::string_view text_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

/// transformer_block.py, moe_layer_freq n: layers 0, n, 2n... have experts; ours counts the n-th, 2n-th...
std::string every_nth(std::size_t layers, std::size_t n) {
  std::string pattern;
  for (std::size_t i = 0; i < layers; ++i) pattern += i % n == 0 ? '1' : '0';
  return pattern;
}

}  // namespace

std::optional<LayerFrequency> read_layer_frequency(std::string_view text, std::int64_t layers) {
  if (layers > static_cast<std::int64_t>(kMostLayers)) return std::nullopt;
  std::size_t at = 0;
  const std::size_t n = number_at(text, at);
  std::optional<std::string> pattern;
  if (n > 0 && at == text.size() && n <= kMostLayers) {
    pattern = every_nth(static_cast<std::size_t>(layers), n);
  } else {
    pattern = ListExpression(text).run();
  }
  if (!pattern || pattern->size() != static_cast<std::size_t>(layers)) return std::nullopt;
  // The first layer with experts is the `every`-th after the dense ones.
  const auto first = static_cast<std::int64_t>(pattern->find('1'));
  if (pattern->find('1') == std::string::npos) return std::nullopt;
  for (std::int64_t every = 1; every <= first + 1; ++every) {
    const std::int64_t dense = first + 1 - every;
    bool fits = true;
    for (std::int64_t i = dense; i < layers && fits; ++i)
      fits = ((*pattern)[static_cast<std::size_t>(i)] == '1') == ((i - dense + 1) % every == 0);
    if (fits) return LayerFrequency{.dense = dense, .every = every};
  }
  return std::nullopt;
}

std::optional<std::vector<std::int32_t>> uneven_stages(const UnevenStages& s) {
  const std::int64_t middle_stages = s.pipeline - (s.first ? 1 : 0) - (s.last ? 1 : 0);
  const std::int64_t middle = s.layers - s.first.value_or(0) - s.last.value_or(0);
  if (s.chunks > static_cast<std::int64_t>(kMostLayers) / s.pipeline) return std::nullopt;
  if (middle < 0 || middle_stages < 0 || (middle_stages == 0) != (middle == 0)) return std::nullopt;
  if (middle_stages > 0 && middle % middle_stages != 0) return std::nullopt;
  std::vector<std::int32_t> stages;
  for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk) {
    for (std::int64_t stage = 0; stage < s.pipeline; ++stage) {
      std::int64_t layers = middle_stages > 0 ? middle / middle_stages : 0;
      if (stage == 0 && s.first) layers = *s.first;
      if (stage == s.pipeline - 1 && s.last) layers = *s.last;
      if (layers % s.chunks != 0) return std::nullopt;
      stages.push_back(static_cast<std::int32_t>(layers / s.chunks));
    }
  }
  return stages;
}

}  // namespace foretrain
