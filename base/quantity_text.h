/// Quantities in text: which units a kind of quantity takes, and how "80 GiB" is read.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace foretrain {

/// A unit by the name that input gives it, in SI base units.
struct UnitOfText {
  std::string_view name;
  double in_base_units;
};

/// The units a kind of quantity may be given in, those that people use most first, and the largest value that can be
/// meant (in base units); what is larger is a slip of the pen.
struct QuantityUnits {
  std::span<const UnitOfText> units;
  double most;
};

extern const QuantityUnits kByteUnits;
extern const QuantityUnits kSecondUnits;
extern const QuantityUnits kBytesPerSecondUnits;
extern const QuantityUnits kFlopsPerSecondUnits;
extern const QuantityUnits kHertzUnits;

/// `expected "<number> <unit>" with unit GB/s, Gb/s, ...; got <got>`
std::string quantity_expected(const QuantityUnits& allowed, std::string_view got);

/// The value of "80 GiB", "80GiB" or "8e1 GiB" in base units. Units are case-sensitive: Gb is bits, GB is bytes.
/// SpecError(where) when the text is not a finite number >= 0 followed by one of these units, or is above `most`.
double parse_quantity(std::string_view text, const std::string& where, const QuantityUnits& allowed);

}  // namespace foretrain
