/// The subcommands: what each is told, and the function that does it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretrain::cli {

/// Exit codes of the program.
inline constexpr int kDone = 0;           ///< it worked
inline constexpr int kNothingFits = 1;    ///< no plan fits, or a comparison is worse than --fail-above allows
inline constexpr int kBadInput = 2;       ///< something that the user can fix
inline constexpr int kMachineFailed = 3;  ///< disk, driver, device
inline constexpr int kInterrupted = 130;  ///< Ctrl-C: what was printed is the best so far (128 + SIGINT, as shells say)

enum class Format { text, json };

struct JobOptions {
  std::string file;                    ///< a job, or a plan file where one is taken
  std::vector<std::string> overrides;  ///< "path.to.key=value"
  std::string calibration;             ///< a calibration's file; "" = the catalogue alone
  std::string from;                    ///< the file is a configuration of this trainer; "" = it is a job
  std::string cluster;                 ///< with `from`: the cluster, by name, path or as JSON
};

struct PlanOptions {
  JobOptions job;
  bool quiet = false, verbose = false;
  std::string trainer;  ///< whose launch rules hold; "" = none's
  std::int32_t top = 10;
  std::int32_t threads = 0;           ///< 0 = all cores
  std::string output, trace, report;  ///< files; "" = none
  Format format = Format::text;
};

struct SimulateOptions {
  JobOptions job;
  std::int32_t plan = 1;  ///< which plan of a plan file
  std::string output, trace, report;
  bool unfold = false;              ///< every rank by itself
  std::string graph, rank = "all";  ///< the step kernel by kernel, of one rank or all
  Format format = Format::text;
};

struct MemoryOptions {
  JobOptions job;
  std::int32_t plan = 1;
  Format format = Format::text;
};

struct ExplainOptions {
  JobOptions job;                      ///< its file is a plan file
  std::int32_t plan = 1, against = 0;  ///< against 0: the best other one, where there is one
  std::int32_t threads = 0;            ///< 0 = all cores
  Format format = Format::text;
};

struct ExportOptions {
  JobOptions job;
  std::int32_t plan = 1;
  std::string to, output;  ///< the exporter; the file, "" = stdout
};

struct ModelOptions {
  std::string model;
  std::int64_t sequence_length = 8192;
  Format format = Format::text;
};

struct CollectiveOptions {
  std::string op, cluster, sizes;
  std::vector<std::string> logs;    ///< nccl-tests outputs to set the prediction beside
  std::int64_t ranks = 0;           ///< 0 = all GPUs of the cluster
  std::int64_t ranks_per_node = 0;  ///< 0 = as many as fit
  std::int64_t groups_sharing_nics = 1;
  std::string algorithm, protocol;  ///< "" = as NCCL chooses
  Format format = Format::text;
};

struct KernelOptions {
  std::string kind, gpu;
  std::string dtype = "bf16", layout = "tn";
  std::int64_t m = 0, n = 0, k = 0, batch = 1;
  std::int64_t seq_q = 0, seq_kv = 0, heads_q = 0, heads_kv = 0, head_dim = 128;
  std::int64_t rows = 0, cols = 0;
  bool not_causal = false, backward = false;
  Format format = Format::text;
};

struct CompareOptions {
  std::vector<std::string> files;
  std::string accuracy;     ///< folder in which ACCURACY.md and accuracy/*.svg are written; "" = none
  std::string calibration;  ///< a calibration's file; "" = the catalogue alone
  double fail_above = -1;   ///< largest MAPE allowed, as a fraction; < 0 = any
  std::int32_t threads = 0;
  bool rows = false;
  Format format = Format::text;
};

struct CalibrateOptions {
  std::vector<std::string> files;
  std::string output;            ///< the calibration; "" = none
  std::string gpu, cluster, op;  ///< what the files leave open; "" = as they say
  std::string framework;         ///< whose host code traces show
  std::int64_t ranks = 0, ranks_per_node = 0;
  double holdout = 0;     ///< share of rows that judge and are not fitted
  std::int64_t seed = 0;  ///< which rows these are
  Format format = Format::text;
};

struct ValidateOptions {
  JobOptions job;
  std::int32_t plan = 1;
  bool kernels = false, collectives = false, step = false, correctness = false;  ///< none: the first three
  bool dry_run = false;
  std::string rank = "all";  ///< of the plan, when one is to run by itself
  std::string output;        ///< measurements; "" = none kept
  std::int32_t samples = 20, ranks_per_gpu = 1;
  double time_limit = 600;  ///< seconds
  Format format = Format::text;
};

struct ListOptions {
  std::string what, name;
  std::string cluster;  ///< with `clusters`: the one to show as it is read
  Format format = Format::text;
};

/// Each does one subcommand and gives the exit code. Results go to stdout. Throws SpecError and MachineError.
int plan(const PlanOptions&);
int simulate(const SimulateOptions&);
int memory(const MemoryOptions&);
int explain(const ExplainOptions&);
int export_plan(const ExportOptions&);
int model(const ModelOptions&);
int collective(const CollectiveOptions&);
int kernel(const KernelOptions&);
int compare(const CompareOptions&);
int calibrate(const CalibrateOptions&);
int validate(const ValidateOptions&);
int list(const ListOptions&);

}  // namespace foretrain::cli
