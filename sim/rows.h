/// Lists of small numbers, one list a row, in two arrays: successors by task, effects by task, uses by link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"

namespace foretrain::sim {

/// Row i is values[begin[i] .. begin[i + 1]).
struct Rows {
  std::vector<std::int32_t> begin, values;

  [[nodiscard]] std::span<const std::int32_t> row(std::int32_t i) const {
    const auto first = static_cast<std::size_t>(begin[static_cast<std::size_t>(i)]);
    const auto last = static_cast<std::size_t>(begin[static_cast<std::size_t>(i) + 1]);
    return {values.data() + first, last - first};
  }
};

/// Sorts the items into `rows` rows, stably and in linear time. `row_of(item)` says which, `value_of(item, number)`
/// what is stored for the item of that number. Needs 0 <= row_of(item) < rows and fewer than 2^31 items.
template <class Items, class RowOf, class ValueOf>
Rows rows_of(std::int32_t rows, const Items& items, RowOf row_of, ValueOf value_of) {
  Rows result;
  result.begin.assign(static_cast<std::size_t>(rows) + 2, 0);
  result.values.resize(items.size());
  // Counted two places up: begin[i + 1] is where row i starts while rows are filled, and where it ends afterwards.
  for (const auto& item : items) {
    FORETRAIN_CHECK(row_of(item) >= 0 && row_of(item) < rows);
    ++result.begin[static_cast<std::size_t>(row_of(item)) + 2];
  }
  for (std::size_t i = 2; i < result.begin.size(); ++i) result.begin[i] += result.begin[i - 1];
  std::int32_t number = 0;
  for (const auto& item : items) {
    const std::int32_t place = result.begin[static_cast<std::size_t>(row_of(item)) + 1]++;
    result.values[static_cast<std::size_t>(place)] = value_of(item, number++);
  }
  result.begin.pop_back();
  return result;
}

}  // namespace foretrain::sim
