/// What nccl-tests printed: tables of sizes and times, of every generation, as text or JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/spec_node.h"
#include "hwmodels/collective_time.h"

namespace foretrain {

/// One timing of a row.
struct NcclTiming {
  double time_us = 0;
  double alg_gb_per_s = 0, bus_gb_per_s = 0;
  std::optional<double> wrong;  ///< elements that came out wrong; none where nothing was checked
};

struct NcclRow {
  std::int64_t line = 0;   ///< in the file, from 1; 0 in JSON
  std::int64_t bytes = 0;  ///< column "size": the larger of what one rank sends and receives
  std::int64_t count = 0;
  std::string type;   ///< "float"
  std::string redop;  ///< "sum", "none", or "" where the table has no such column
  std::optional<std::int64_t> root;
  std::optional<NcclTiming> out_of_place, in_place;
};

/// "#  Rank  0 Group  0 Pid 14840 on host device  3 [0x01] NVIDIA H100 80GB HBM3"
struct NcclRank {
  std::int64_t rank = 0;
  std::string host;
  std::int64_t device = 0;
  std::string gpu;
};

/// One run of one program.
struct NcclTable {
  std::string program;              ///< "all_reduce_perf", or "" where the log names none
  std::string version;              ///< of nccl-tests and NCCL, as printed
  std::string nccl;                 ///< NCCL alone, "2.28.5"; "" where the log does not say
  std::string algorithm, protocol;  ///< NCCL_ALGO and NCCL_PROTO, where the log shows them set; else ""
  std::vector<NcclRank> ranks;
  std::int64_t gpus_per_process = 0;  ///< threads x GPUs; 0 where it is not said
  bool has_root_column = false;
  std::vector<NcclRow> rows;
};

struct NcclLog {
  std::vector<NcclTable> tables;
  std::vector<std::string> warnings;  ///< "file:line: ...": a cut tail, failed checks
  /// Where the log ends in the middle of a row, and what was expected there; "" where it does not.
  std::string cut_at, cut_expected;
  std::string date;  ///< of the JSON report; "" for text
};

/// Reads text output. Lines may carry the prefixes of `mpirun --tag-output`, `srun -l` and `pdsh`; what is no table
/// (commands, NCCL_DEBUG lines) is passed over. Generations, told apart by their header:
///
///     2017   bytes N type [op] [root] time(ms) algbw busbw res, twice
///     2019   size count type [redop | root] time algbw busbw error, twice
///     2022   size count type redop root time algbw busbw #wrong, twice
///     side work adds a column sidebw, -I 1 adds i_min i_max i_p99 i_cv%, -C 1 says cputime, -T 1 adds timestamp
///
/// Rows without any header are read by their number of columns. A row that is cut at the end of the file, and a table
/// without its footer, are warnings: what came before is kept. SpecError with file:line: no table at all, a row that is
/// none in the middle of a table.
NcclLog read_nccl_text(std::string_view text, const std::string& path);

/// Reads what -J writes (versions 1 to 3).
NcclLog read_nccl_json(const SpecNode& file);
bool is_nccl_json(const SpecNode& file);
/// JSON of a run that was killed, closed after its last whole row; "" when it is no such text.
std::string closed_nccl_json(std::string_view text);

/// Reads a file of either kind as `foretrain collective --log` needs it: SpecError with file and line also where the
/// log ends in the middle of a row, and for what is no output of nccl-tests.
NcclLog read_nccl_file(const std::string& path);

/// Whether text looks like nccl-tests output: a table header or a line of ranks.
bool looks_like_nccl_text(std::string_view text);

/// 22809, NCCL_VERSION_CODE, as "2.28.9"; "" for what is none.
std::string nccl_version_text(std::int64_t code);

/// Number of ranks: the highest that a line names; JSON lists one device of each process.
std::int64_t rank_count(const NcclTable& table);

/// The operation: by the program's name, or else as bus over algorithm bandwidth, columns and counts tell it. Nothing
/// for what we do not model ("reduce", "gather", "hypercube") and where two operations look alike; `why` then says so.
std::optional<CollectiveOp> operation_of(const NcclTable& table, std::int64_t ranks, std::string& why);

}  // namespace foretrain
