/// A CSV table (RFC 4180: quoted fields, doubled quotes) whose errors name file, line and column.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

struct CsvTable {
  std::string path;
  std::vector<std::string> header;
  struct Row {
    std::int64_t line = 0;            ///< 1-based line in the file
    std::vector<std::string> fields;  ///< as many as the header has
  };
  std::vector<Row> rows;

  /// The column's index, or -1.
  [[nodiscard]] int column(std::string_view name) const;
};

/// SpecError: absent or unreadable file, no header, a column named twice, a row with another number of fields, an open
/// quote.
CsvTable read_csv(const std::string& path);

/// A field's place, for messages: "file.csv:12: column m".
std::string where(const CsvTable& table, const CsvTable::Row& row, std::string_view column);

}  // namespace foretrain
