#include "base/quantity_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"

namespace foretrain {
namespace {

constexpr double kKi = 1024.0;

constexpr std::array kByteNames = {UnitOfText{"GiB", kKi* kKi* kKi},
                                   UnitOfText{"GB", 1e9},
                                   UnitOfText{"MiB", kKi* kKi},
                                   UnitOfText{"MB", 1e6},
                                   UnitOfText{"KiB", kKi},
                                   UnitOfText{"KB", 1e3},
                                   UnitOfText{"TiB", kKi* kKi* kKi* kKi},
                                   UnitOfText{"TB", 1e12},
                                   UnitOfText{"B", 1}};
constexpr std::array kSecondNames = {UnitOfText{"us", 1e-6}, UnitOfText{"ms", 1e-3},  UnitOfText{"s", 1},
                                     UnitOfText{"ns", 1e-9}, UnitOfText{"ps", 1e-12}, UnitOfText{"min", 60},
                                     UnitOfText{"h", 3600}};
constexpr std::array kBytesPerSecondNames = {
    UnitOfText{"GB/s", 1e9}, UnitOfText{"Gb/s", 1e9 / 8}, UnitOfText{"TB/s", 1e12}, UnitOfText{"Tb/s", 1e12 / 8},
    UnitOfText{"MB/s", 1e6}, UnitOfText{"Mb/s", 1e6 / 8}, UnitOfText{"KB/s", 1e3},  UnitOfText{"B/s", 1}};
constexpr std::array kFlopsPerSecondNames = {
    UnitOfText{"TFLOP/s", 1e12}, UnitOfText{"GFLOP/s", 1e9}, UnitOfText{"PFLOP/s", 1e15}, UnitOfText{"FLOP/s", 1},
    UnitOfText{"TFLOPS", 1e12},  UnitOfText{"GFLOPS", 1e9},  UnitOfText{"PFLOPS", 1e15}};
constexpr std::array kHertzNames = {UnitOfText{"MHz", 1e6}, UnitOfText{"GHz", 1e9}, UnitOfText{"kHz", 1e3},
                                    UnitOfText{"Hz", 1}};

struct NumberAndUnit {
  double number;
  std::string_view unit;
};

std::string_view without_outer_spaces(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::optional<NumberAndUnit> split_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) number = HUGE_VAL;
  if (error == std::errc::invalid_argument) return std::nullopt;
  return NumberAndUnit{number, without_outer_spaces(text.substr(static_cast<std::size_t>(end - text.data())))};
}

}  // namespace

// Assumed limits: a million times what the largest clusters hold or move today.
const QuantityUnits kByteUnits = {kByteNames, 1e21};
const QuantityUnits kSecondUnits = {kSecondNames, 1e9};
const QuantityUnits kBytesPerSecondUnits = {kBytesPerSecondNames, 1e18};
const QuantityUnits kFlopsPerSecondUnits = {kFlopsPerSecondNames, 1e24};
const QuantityUnits kHertzUnits = {kHertzNames, 1e15};

std::string quantity_expected(const QuantityUnits& allowed, std::string_view got) {
  std::string names;
  for (const UnitOfText& unit : allowed.units) names += (names.empty() ? "" : ", ") + std::string(unit.name);
  return fmt::format("expected \"<number> <unit>\" with unit {}; got {}", names, got);
}

double parse_quantity(std::string_view text, const std::string& where, const QuantityUnits& allowed) {
  const std::string got = in_quotes(text);
  const std::optional<NumberAndUnit> parts = split_number(without_outer_spaces(text));
  if (!parts || std::isnan(parts->number)) throw SpecError(where, quantity_expected(allowed, got));
  if (std::signbit(parts->number) && parts->number != 0) {
    throw SpecError(where, fmt::format("expected a quantity of at least 0; got {}", got));
  }
  std::string_view near;
  for (const UnitOfText& unit : allowed.units) {
    if (unit.name == parts->unit) {
      const double value = parts->number * unit.in_base_units;
      if (value <= allowed.most) return value;
      throw SpecError(where, fmt::format("expected a quantity of at most {:g} {}; got {}",
                                         allowed.most / unit.in_base_units, unit.name, got));
    }
    if (near.empty() && to_lower(unit.name) == to_lower(parts->unit)) near = unit.name;
  }
  std::string problem = quantity_expected(allowed, got);
  if (!near.empty()) problem += fmt::format("; did you mean {:g} {}?", parts->number, near);
  throw SpecError(where, problem);
}

}  // namespace foretrain
