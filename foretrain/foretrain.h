/// Foretrain as a library: a job in, predictions out.
///
///     const foretrain::Job job = foretrain::Job::from_file("job.json");
///     const foretrain::Ranking ranking = foretrain::plan(job, {.top = 3});
///     std::cout << ranking.plans.at(0).text << ": " << ranking.plans.at(0).step_seconds << " s\n";
///
/// Jobs and results are those of the program: what a key means stands in docs/FORMAT.md, and each result also comes as
/// the JSON document that the program writes, byte for byte. Quantities are plain SI, with the unit in the name. The
/// same job gives the same result, whatever the number of threads. Functions may be called from several threads at the
/// same time; nothing is kept between calls, nothing is printed, no network is used. The environment variable
/// FORETRAIN_DATA names a folder with other catalogues.
///
/// Errors: BadInput, MachineFailure. A plan that cannot work is no error: its `fits` is false and it says why.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace foretrain {

class SpecNode;

/// Input that someone can fix. what() is one line: "job.json:/training/precision: expected ...; got ...".
class BadInput : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The machine failed: an unreadable disk, no memory.
class MachineFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The version of the library: "0.1.0".
std::string_view version();

/// What is to be trained, on what, how: a `foretrain.job/1` document. Cheap to copy; a copy with other values is made
/// by with().
class Job {
 public:
  /// Reads a job, or plan number `plan` (from 1) of a plan file together with that file's job.
  static Job from_file(const std::string& path, int plan = 1);
  /// The same from text. Errors call it `name`, and paths in it are relative to the folder of `name`.
  static Job from_text(std::string_view json, const std::string& name = "job", int plan = 1);

  /// This job with another value at a key, as `--set KEY=VALUE` has it: with("cluster.nodes", "16"). `value` is JSON,
  /// or text where it is no JSON.
  [[nodiscard]] Job with(std::string_view key, std::string_view value) const;
  /// As compact JSON.
  [[nodiscard]] std::string json() const;

 private:
  friend struct JobContent;
  explicit Job(std::shared_ptr<const SpecNode> document) : document_(std::move(document)) {}
  std::shared_ptr<const SpecNode> document_;
};

/// Amounts by label, in the order in which the program shows them.
using LabelledSeconds = std::vector<std::pair<std::string, double>>;
using LabelledCounts = std::vector<std::pair<std::string, std::int64_t>>;

/// Memory of a pipeline stage's GPU at its peak.
struct StagePrediction {
  int stage = 0;
  std::int64_t layers = 0;
  std::int64_t peak_memory_bytes = 0;
  LabelledCounts memory_bytes;  ///< sums to peak_memory_bytes
};

/// What is predicted for one plan.
struct Prediction {
  std::string text;  ///< "TP8 PP4 VPP5 DP8 mbs1 interleaved SP ZeRO-1"
  std::string plan;  ///< as JSON with every key; Job::with("plan", ...) takes it
  bool fits = true;
  std::string refused_for;                            ///< where it does not fit: "memory", "layers", ...
  std::string refusal;                                ///< the rule that it breaks
  double step_seconds = 0;                            ///< 0 where it could not be simulated
  double step_seconds_p10 = 0, step_seconds_p90 = 0;  ///< four measured runs in five lie between; 0: no error bar
  bool within_noise_of_best = false;
  double tokens_per_second_per_gpu = 0;
  double model_tflops_per_gpu = 0;
  double mfu = 0;
  std::int64_t gpus_used = 0;
  std::int64_t peak_memory_bytes = 0;      ///< of the fullest stage
  std::int64_t memory_headroom_bytes = 0;  ///< what a GPU can give less the peak
  std::vector<StagePrediction> stages;
  int bounding_stage = 0;        ///< the stage whose time is told
  LabelledSeconds time_seconds;  ///< sums to step_seconds
};

struct SearchSettings {
  int top = 10;                  ///< how many plans are kept
  int threads = 0;               ///< 0 = all cores
  std::string calibration = {};  ///< a file of `foretrain calibrate`; "" = the catalogue alone
  /// Called now and then, from one thread, with how many plans have been looked at and how many there are. False stops
  /// the search, which then gives the best so far.
  std::function<bool(std::int64_t done, std::int64_t of)> progress = {};
};

/// The outcome of a search: every plan of the space is counted in exactly one of `refused`, cut_by_bound, simulated
/// and, when it was stopped, left_out.
struct Ranking {
  std::vector<Prediction> plans;  ///< best first; empty when no plan fits
  std::int64_t considered = 0, cut_by_bound = 0, simulated = 0, left_out = 0;
  LabelledCounts refused;  ///< by reason
  bool stopped_early = false;
  std::optional<Prediction> nearest_miss;  ///< where none fits: the plan that lacked least memory
  std::string json;                        ///< a `foretrain.plan/1` document, as `foretrain plan -o` writes it
};

/// Searches all plans of the job: `foretrain plan`.
Ranking plan(const Job& job, const SearchSettings& settings = {});

struct Simulation {
  Prediction prediction;
  std::string json;  ///< a `foretrain.plan/1` document, as `foretrain simulate -o` writes it
};

/// Predicts the plan that stands in the job: `foretrain simulate`. A plan that is too big is simulated all the same.
Simulation simulate(const Job& job, const std::string& calibration = "");

struct ComparedRow {
  std::string id, quantity;  ///< "step_seconds", "peak_memory_bytes", "gemm_seconds", ...
  double predicted = 0, measured = 0;
  double error = 0;  ///< (predicted - measured) / measured
};

struct ComparedQuantity {
  std::string quantity;
  std::int64_t count = 0;
  double mean_absolute_error = 0, median_absolute_error = 0, worst_absolute_error = 0;  ///< fractions of the measured
  double bias = 0;                                                                      ///< mean signed error
  double rank_correlation = 0;                                                          ///< Spearman's
};

/// Predicted beside measured. Every row of the files is compared or refused with a reason.
struct Accuracy {
  std::vector<ComparedRow> rows;
  std::vector<ComparedQuantity> quantities;
  std::vector<std::pair<std::string, std::string>> refused;  ///< id and reason
  std::string json;                                          ///< as `foretrain compare --format json` writes it
};

/// Compares files of measured runs, kernels or collectives: `foretrain compare`. `threads`: 0 = all cores.
Accuracy compare(const std::vector<std::string>& files, int threads = 0, const std::string& calibration = "");

}  // namespace foretrain
