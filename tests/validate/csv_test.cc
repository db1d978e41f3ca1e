#include "validate/csv.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {
/// A file with `text` that goes away at the end of the test.
class TextFile {
 public:
  explicit TextFile(const std::string& text)
      : path_((std::filesystem::temp_directory_path() / "foretrain_csv_test.csv").string()) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  ~TextFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};
}  // namespace

TEST_CASE("quotes keep commas, line ends and doubled quotes; lines are counted through them") {
  const TextFile file("a,b\r\n1,\"x, \"\"y\"\"\nz\"\n\n2,\n");
  const CsvTable table = read_csv(file.path());
  REQUIRE(table.rows.size() == 2);
  CHECK(table.header == std::vector<std::string>{"a", "b"});
  CHECK(table.rows[0].fields[1] == "x, \"y\"\nz");
  CHECK(table.rows[0].line == 2);
  CHECK(table.rows[1].line == 5);
  CHECK(table.rows[1].fields[1].empty());
  CHECK(table.column("b") == 1);
  CHECK(table.column("c") == -1);
}

TEST_CASE("a last line without its end and a byte order mark are read") {
  const TextFile file("\xEF\xBB\xBFm,n\n3,4");
  const CsvTable table = read_csv(file.path());
  CHECK(table.column("m") == 0);
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0].fields[1] == "4");
}

TEST_CASE("each kind of malformed table is refused with file and line") {
  CHECK_THROWS_WITH_AS(read_csv("no/such/file.csv"), doctest::Contains("no/such/file.csv"), SpecError);
  CHECK_THROWS_WITH_AS(read_csv(TextFile("").path()), doctest::Contains("header"), SpecError);
  CHECK_THROWS_WITH_AS(read_csv(TextFile("a,b,a\n").path()), doctest::Contains("'a' stands twice"), SpecError);
  CHECK_THROWS_WITH_AS(read_csv(TextFile("a,b\n1,2\n1,2,3\n").path()), doctest::Contains(":3: expected 2 fields"),
                       SpecError);
  CHECK_THROWS_WITH_AS(read_csv(TextFile("a,b\n1,\"2\n").path()), doctest::Contains(":2: a quote opens"), SpecError);
}
