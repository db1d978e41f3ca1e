#include "validate/calibrate/nccl_log.h"

#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>

#include "base/spec_error.h"
#include "validate/calibrate/nccl_samples.h"
#include "validate/calibrate/read_measurements.h"

using namespace foretrain;

namespace {

const std::string kFolder = "tests/data/measurements/";

std::string text_of(const std::string& name) {
  std::ifstream in(kFolder + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
NcclLog read(const std::string& name) { return read_nccl_text(text_of(name), name); }

Measurements samples(const std::string& name, const MeasurementOptions& options = {}) {
  return read_measurements(kFolder + name, options, Catalogue::load());
}

constexpr const char* kTable =
    "#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw "
    "#wrong\n"
    "     1048576        262144     float     sum      -1    60.00   17.48   26.21      0    59.00   17.77   26.66     "
    " 0\n";

}  // namespace

TEST_CASE("nccl-tests since 2022: columns redop, root and #wrong") {
  const NcclLog log = read("nccl_v2.20_all_reduce_gb10.txt");
  REQUIRE(log.tables.size() == 1);
  const NcclTable& table = log.tables[0];
  CHECK(table.program == "all_reduce_perf");
  CHECK(table.version.find("nccl-library=23102") != std::string::npos);
  REQUIRE(table.ranks.size() == 2);
  CHECK(table.ranks[1].host == "spark-dbf4");
  CHECK(table.ranks[1].gpu == "NVIDIA GB10");
  CHECK(rank_count(table) == 2);
  REQUIRE(table.rows.size() == 4);
  CHECK(table.rows[0].bytes == 8192);
  CHECK(table.rows[0].count == 2048);
  CHECK(table.rows[0].root == -1);
  CHECK(table.rows[0].out_of_place->time_us == doctest::Approx(35.15));
  CHECK(table.rows[3].in_place->time_us == doctest::Approx(64.71));
  CHECK(table.rows[3].in_place->wrong == 0);
  CHECK(log.warnings.size() == 1);  // an excerpt: no footer
}

TEST_CASE("nccl-tests until 2022: no redop or root, rows without any header") {
  const NcclLog log = read("nccl_old_2080ti.txt");
  REQUIRE(log.tables.size() == 1);
  REQUIRE(log.tables[0].rows.size() == 4);
  CHECK(log.tables[0].rows[0].out_of_place->time_us == doctest::Approx(13.39));
  CHECK(log.tables[0].rows[3].in_place->time_us == doctest::Approx(3070.3));
  CHECK(log.tables[0].rows[3].out_of_place->bus_gb_per_s == doctest::Approx(20.34));
  CHECK_FALSE(log.tables[0].rows[0].out_of_place->wrong.has_value());  // "error" is a deviation, not a count
  CHECK(log.warnings.empty());
}

TEST_CASE("nccl-tests of 2017 print milliseconds") {
  const NcclLog log = read("nccl_2017_v100.txt");
  REQUIRE(log.tables.size() == 1);
  CHECK(log.tables[0].gpus_per_process == 4);
  CHECK(rank_count(log.tables[0]) == 4);
  REQUIRE(log.tables[0].rows.size() == 2);
  // 8388608 B at 41.94 GB/s take 200 us.
  CHECK(log.tables[0].rows[0].out_of_place->time_us == doctest::Approx(200));
  std::string why;
  CHECK(operation_of(log.tables[0], 4, why) == CollectiveOp::all_reduce);  // 62.91 / 41.94 = 1.5 = 2 (4-1)/4
}

TEST_CASE("a log under mpirun with several operations is read table by table") {
  const NcclLog log = read("nccl_two_operations_mpirun.txt");
  REQUIRE(log.tables.size() == 2);
  CHECK(log.tables[0].rows.size() == 3);
  CHECK(log.tables[1].rows.size() == 2);
  std::string why;
  CHECK(operation_of(log.tables[0], 4, why) == CollectiveOp::all_reduce);
  // busbw / algbw = 3/4 of a table that reduces nothing and checks nothing in place.
  CHECK(operation_of(log.tables[1], 4, why) == CollectiveOp::all_to_all);
  REQUIRE(log.warnings.size() == 1);
  CHECK(log.warnings[0].find("wrong") != std::string::npos);
}

TEST_CASE("-I 1 adds columns that are passed over") {
  const NcclLog log = read("nccl_per_iteration.txt");
  REQUIRE(log.tables.size() == 1);
  CHECK(log.tables[0].program == "reduce_scatter_perf");
  REQUIRE(log.tables[0].rows.size() == 2);
  CHECK(log.tables[0].rows[1].out_of_place->time_us == doctest::Approx(200));
  CHECK(log.tables[0].rows[1].in_place->time_us == doctest::Approx(199));
  CHECK(log.warnings.empty());
}

TEST_CASE("-J writes the same as JSON; each process lists its first GPU") {
  const Measurements m = samples("nccl_all_gather.json");
  CHECK(m.source.kind == "nccl-tests JSON");
  CHECK(m.source.date == "2026-03-14");
  REQUIRE(m.collectives.size() == 3);
  const CollectiveSample& s = m.collectives[2];
  CHECK(s.op == CollectiveOp::all_gather);
  CHECK(s.size.base() == 4194304);
  CHECK(s.time / microseconds == doctest::Approx(34));
  CHECK(s.group.ranks == 4);
  CHECK(s.group.ranks_per_node == 4);
  CHECK(s.cluster->gpu.name == "h100-sxm5-80gb");
}

TEST_CASE("JSON of a run that was killed keeps its whole rows") {
  const std::string text = text_of("nccl_all_gather.json");
  const std::string cut = text.substr(0, text.find("\"size\":4194304") + 60);
  const std::string closed = closed_nccl_json(cut);
  const NcclLog log = read_nccl_json(SpecNode::parse(closed, "cut.json"));
  REQUIRE(log.tables.size() == 1);
  CHECK(log.tables[0].rows.size() == 2);
  CHECK(log.warnings.size() == 1);
  CHECK(closed_nccl_json("{\"schema\": 1}").empty());
}

TEST_CASE("where ranks lie follows from their hosts; wrong results are left out") {
  const Measurements m = samples("nccl_two_operations_mpirun.txt");
  REQUIRE(m.collectives.size() == 4);  // 2 of 3 all_reduce rows, 2 of alltoall
  CHECK(m.collectives[0].cluster->gpu.name == "a100-sxm4-80gb");
  CHECK(m.collectives[0].group.ranks == 4);
  CHECK(m.collectives[0].group.ranks_per_node == 2);
  CHECK(m.collectives[3].op == CollectiveOp::all_to_all);
  REQUIRE(m.left_out.size() == 1);
  CHECK(m.left_out[0].why == "its results were wrong");
  CHECK(m.source.rows == 5);
  CHECK(m.source.used == 4);
}

TEST_CASE("a rack-wide NVLink domain counts as one node, though the log shows one rank of it") {
  const Measurements refused = samples("nccl_all_reduce_gb200_nvl72.txt");
  CHECK(refused.collectives.empty());
  REQUIRE(refused.left_out.size() == 1);
  CHECK(refused.left_out[0].why.find("NVIDIA Graphics Device") != std::string::npos);
  CHECK(refused.left_out[0].rows == 5);
  MeasurementOptions options;
  options.gpu = "gb200";
  const Measurements m = samples("nccl_all_reduce_gb200_nvl72.txt", options);
  REQUIRE(m.collectives.size() == 5);
  CHECK(m.collectives[4].op == CollectiveOp::all_reduce);  // 834.57 / 423.16 = 1.972 = 2 (72-1)/72
  CHECK(m.collectives[4].group.ranks == 72);
  CHECK(m.collectives[4].group.ranks_per_node == 72);
  CHECK(m.collectives[4].time / microseconds == doctest::Approx(20299));
}

TEST_CASE("what a log leaves open is refused with the option that says it") {
  const Measurements m = samples("nccl_old_2080ti.txt");
  REQUIRE(m.left_out.size() == 1);
  CHECK(m.left_out[0].why.find("--gpu") != std::string::npos);
  MeasurementOptions options;
  options.gpu = "v100";
  CHECK(samples("nccl_old_2080ti.txt", options).left_out[0].why.find("--ranks") != std::string::npos);
  options.ranks = 2;
  CHECK(samples("nccl_old_2080ti.txt", options).left_out[0].why.find("--op") != std::string::npos);
  options.op = CollectiveOp::all_reduce;
  CHECK(samples("nccl_old_2080ti.txt", options).collectives.size() == 4);
}

TEST_CASE("several ranks on one GPU measure no links") {
  const std::string log =
      "#  Rank  0 Group  0 Pid  1 on host device  0 [0x07] NVIDIA H200\n"
      "#  Rank  1 Group  0 Pid  2 on host device  0 [0x07] NVIDIA H200\n" +
      std::string(kTable);
  NcclLog parsed = read_nccl_text(log, "x.txt");
  parsed.tables[0].program = "all_reduce_perf";
  Measurements m;
  add_nccl_samples(parsed, {}, Catalogue::load(), m);
  CHECK(m.collectives.empty());
  REQUIRE(m.left_out.size() == 1);
  CHECK(m.left_out[0].why == "several ranks shared one GPU");
}

TEST_CASE("a row that is cut at the end is a warning; one in the middle is an error with its line") {
  const std::string whole = kTable;
  const NcclLog cut =
      read_nccl_text(whole + "     2097152        524288     float     sum      -1    90.00   2", "cut.txt");
  REQUIRE(cut.tables.size() == 1);
  CHECK(cut.tables[0].rows.size() == 1);
  REQUIRE(cut.warnings.size() == 1);
  CHECK(cut.warnings[0].find("cut.txt:3") == 0);
  CHECK_THROWS_WITH_AS(read_nccl_text(whole + "     2097152        524288     float   90.00\n" + kTable, "bad.txt"),
                       doctest::Contains("bad.txt:3: expected a row of 13 columns"), SpecError);
  CHECK_THROWS_WITH_AS(read_nccl_text(whole.substr(0, whole.find('\n') + 1), "none.txt"),
                       doctest::Contains("none.txt:1: expected rows"), SpecError);
  CHECK_THROWS_WITH_AS(read_nccl_text("hello\nworld\n", "foreign.txt"),
                       doctest::Contains("foreign.txt:1: expected nccl-tests output"), SpecError);
}

TEST_CASE("the NCCL that ran, and what its environment forced, are the log's") {
  CHECK(read("nccl_v2.20_all_reduce_gb10.txt").tables[0].nccl == "2.31.2");  // nccl-library=23102
  CHECK(nccl_version_text(2804) == "2.8.4");
  CHECK(nccl_version_text(22809) == "2.28.9");
  const std::string head =
      "mpirun -np 16 -x NCCL_ALGO=\"allreduce:tree,ring\" -x NCCL_PROTO=^LL all_reduce_perf -b 1M\n"
      "node-a:123:123 [0] NCCL INFO NCCL version 2.26.5+cuda12.8\n";
  const NcclTable table = read_nccl_text(head + kTable, "log.txt").tables[0];
  CHECK(table.program == "all_reduce_perf");
  CHECK(table.nccl == "2.26.5");
  CHECK(table.algorithm == "allreduce:tree,ring");
  CHECK(table.protocol == "^LL");
  CHECK(read_nccl_text(std::string("x NCCL INFO NCCL_ALGO set by environment to Ring\n") + kTable, "log.txt")
            .tables[0]
            .algorithm == "Ring");
  MeasurementOptions options;
  options.cluster = Catalogue::load().node("dgx-h100", "test");
  options.gpu = options.cluster->gpu.name;
  options.ranks = 8;
  std::string why;
  const auto placed = place_table(table, options, Catalogue::load(), why);
  REQUIRE(placed);
  CHECK(placed->cluster->nccl.version == NcclVersion{2, 26, 5});
  CHECK(placed->cluster->nccl.environment[0].algorithms == 0b11);  // ring and tree
  NcclTable unknown = table;
  unknown.algorithm = "$MINE";
  CHECK_FALSE(place_table(unknown, options, Catalogue::load(), why));
  CHECK(why.find("unknown NCCL algorithm \"$MINE\"") != std::string::npos);
}

TEST_CASE("every beginning of a log, and every log with a line missing or a byte changed, is read or refused") {
  for (const char* name : {"nccl_2017_v100.txt", "nccl_old_2080ti.txt", "nccl_per_iteration.txt",
                           "nccl_two_operations_mpirun.txt", "nccl_v2.20_all_reduce_gb10.txt"}) {
    const std::string text = text_of(name);
    std::int64_t kept = 0, refused = 0;
    const auto attempt = [&](const std::string& log) {
      try {
        const NcclLog read = read_nccl_text(log, "log.txt");
        for (const NcclTable& table : read.tables) kept += static_cast<std::int64_t>(table.rows.size());
      } catch (const SpecError& error) {
        ++refused;
        CHECK(std::string(error.what()).find("log.txt:") == 0);
        CHECK(std::string(error.what()).find('\n') == std::string::npos);
      }
    };
    for (std::size_t length = 0; length < text.size(); ++length) attempt(text.substr(0, length));
    for (std::size_t at = 0; at < text.size(); ++at) {
      std::string changed = text;
      changed[at] = "#9 x\n:"[at % 6];
      attempt(changed);
    }
    CHECK(kept > 0);
    CHECK(refused > 0);
  }
}

TEST_CASE("a text that is none of the measurement files is refused in one line") {
  CHECK_THROWS_WITH_AS(read_measurements("README.md", {}, Catalogue::load()),
                       doctest::Contains("README.md:1: expected measurements"), SpecError);
  CHECK_THROWS_AS(read_measurements("no/such/file", {}, Catalogue::load()), SpecError);
  CHECK_THROWS_AS(read_measurements("tests", {}, Catalogue::load()), SpecError);
  CHECK_THROWS_WITH_AS(read_measurements("examples/llama3_70b_256_h100/job.json", {}, Catalogue::load()),
                       doctest::Contains("expected measurements"), SpecError);
}
