#include "validate/csv.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "base/spec_error.h"

namespace foretrain {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw SpecError(path, "cannot read this file");
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw SpecError(path, "cannot read this file");
  return text;
}

/// One record from `pos` on, which moves behind its line end; `line` counts the lines passed.
std::vector<std::string> read_record(const std::string& text, std::size_t& pos, std::int64_t& line,
                                     const std::string& path) {
  std::vector<std::string> fields(1);
  const std::int64_t first = line;
  bool quoted = false;
  for (; pos < text.size(); ++pos) {
    const char c = text[pos];
    if (quoted) {
      if (c == '\n') ++line;
      if (c != '"') {
        fields.back() += c;
      } else if (pos + 1 < text.size() && text[pos + 1] == '"') {
        fields.back() += '"';
        ++pos;
      } else {
        quoted = false;
      }
    } else if (c == '"' && fields.back().empty()) {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '\n') {
      ++pos;
      ++line;
      return fields;
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  if (quoted) throw SpecError(fmt::format("{}:{}", path, first), "a quote opens here and never closes");
  return fields;
}

}  // namespace

int CsvTable::column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  return found == header.end() ? -1 : static_cast<int>(found - header.begin());
}

CsvTable read_csv(const std::string& path) {
  std::string text = read_text(path);
  if (text.rfind("\xEF\xBB\xBF", 0) == 0) text.erase(0, 3);  // a byte order mark, as spreadsheets write it
  CsvTable table{.path = path, .header = {}, .rows = {}};
  std::size_t pos = 0;
  std::int64_t line = 1;
  table.header = read_record(text, pos, line, path);
  if (table.header.size() < 2) throw SpecError(path + ":1", "expected a header of comma-separated columns");
  for (std::size_t i = 0; i < table.header.size(); ++i) {
    if (table.column(table.header[i]) != static_cast<int>(i))
      throw SpecError(path + ":1", fmt::format("column '{}' stands twice in the header", table.header[i]));
  }
  while (pos < text.size()) {
    CsvTable::Row row{.line = line, .fields = {}};
    row.fields = read_record(text, pos, line, path);
    if (row.fields.size() == 1 && row.fields[0].empty()) continue;  // an empty line
    if (row.fields.size() != table.header.size())
      throw SpecError(fmt::format("{}:{}", path, row.line), fmt::format("expected {} fields as in the header; got {}",
                                                                        table.header.size(), row.fields.size()));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string where(const CsvTable& table, const CsvTable::Row& row, std::string_view column) {
  return fmt::format("{}:{}: column {}", table.path, row.line, column);
}

}  // namespace foretrain
