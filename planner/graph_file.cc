#include "planner/graph_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <ostream>
#include <string_view>

#include "base/check.h"
#include "planner/judge.h"

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 3> kLayoutWords = {"tn", "nn", "nt"};
constexpr std::array<std::string_view, 4> kLaneWords = {"host", "compute", "communication", "copy"};

/// Text that is handed to a stream in large pieces.
class Writer {
 public:
  explicit Writer(std::ostream* out = nullptr) : out_(out) { text_.reserve(out == nullptr ? 64 : kPiece + 4096); }

  Writer& word(std::string_view w) {
    separate();
    text_ += w;
    return *this;
  }
  /// A name as one word.
  Writer& name(std::string_view n) {
    separate();
    for (const char c : n) text_ += c == ' ' || c == '\n' || c == '\t' ? '_' : c;
    return *this;
  }
  Writer& number(std::int64_t n) {
    separate();
    std::array<char, 24> digits;
    text_.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), n).ptr);
    return *this;
  }
  void end_line() {
    text_ += '\n';
    at_start_ = true;
    if (out_ != nullptr && text_.size() >= kPiece) flush();
  }
  void flush() {
    out_->write(text_.data(), static_cast<std::streamsize>(text_.size()));
    text_.clear();
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  static constexpr std::size_t kPiece = 1 << 20;
  void separate() {
    if (!at_start_) text_ += ' ';
    at_start_ = false;
  }
  std::ostream* out_;
  std::string text_;
  bool at_start_ = true;
};

std::string_view name_of(DType t) { return kDTypeNames[static_cast<std::size_t>(t)]; }
std::string_view name_of(CollectiveOp op) { return kCollectiveNames[static_cast<std::size_t>(op)]; }
std::int64_t whole(Bytes b) { return std::llround(b.base()); }

void write(Writer& w, const Gemm& g) {
  w.word("gemm").number(g.batch).number(g.m).number(g.n).number(g.k);
  w.word(name_of(g.dtype)).word(name_of(g.output)).number(g.accumulate ? 1 : 0);
  w.word(kLayoutWords[static_cast<std::size_t>(g.layout)]);
}
void write(Writer& w, const Attention& a) {
  w.word("attention").number(a.batch).number(a.seq_q).number(a.seq_kv).number(a.heads_q).number(a.heads_kv);
  w.number(a.d_qk).number(a.d_v).number(a.causal ? 1 : 0).number(a.backward ? 1 : 0).word(name_of(a.dtype));
}
void write(Writer& w, const MemoryKernel& k) {
  w.word("memory").word(op_name(k.op)).number(k.backward ? 1 : 0).number(k.rows).number(k.cols);
  w.number(whole(k.read)).number(whole(k.written)).word(name_of(k.dtype));
}
void write(Writer& w, const Kernel& kernel) {
  std::visit([&w](const auto& k) { write(w, k); }, kernel);
}
void write(Writer& w, const MessageWork& m) {
  w.word("message").word(name_of(m.op)).number(m.bytes);
  w.word(kWorkGroupNames[static_cast<std::size_t>(m.group)]).number(m.sends ? 1 : 0);
}

/// [task of the graph] its place in `tasks`, or kNone.
std::vector<std::int32_t> places_in(const std::vector<sim::TaskId>& tasks, const sim::TaskGraph& graph) {
  std::vector<std::int32_t> places(static_cast<std::size_t>(graph.task_count()), sim::kNone);
  for (std::size_t i = 0; i < tasks.size(); ++i)
    places[static_cast<std::size_t>(tasks[i])] = static_cast<std::int32_t>(i);
  return places;
}

/// Whether a task is the receiving end of a message between stages.
bool receives(const StepGraph& step, sim::TaskId task) {
  const std::int32_t payload = step.graph.task(task).payload;
  if (payload == sim::kNone) return false;
  const auto* m = std::get_if<MessageWork>(&step.work[static_cast<std::size_t>(payload)]);
  return m != nullptr && !m->sends && (m->group == WorkGroup::next || m->group == WorkGroup::previous);
}

/// Writes one file. Holds what its parts share: which tasks there are, and how ids of the graph are numbered.
class GraphWriter {
 public:
  GraphWriter(const Problem& problem, const Plan& plan, const StepGraph& step, std::ostream& out,
              const GraphFileOptions& options)
      : problem_(problem), plan_(plan), step_(step), g_(step.graph), options_(options), w_(&out) {
    if (options.rank) stage_ = stage_of_rank(plan, *options.rank);
    tasks_ = tasks_of_stage(step, plan, stage_);
    number_of_ = places_in(tasks_, g_);
  }

  void write_all() {
    write_facts();
    write_stages();
    write_lanes();
    write_static_memory();
    write_works();
    write_tasks();
    write_memory();
    w_.word("end").number(static_cast<std::int64_t>(tasks_.size())).end_line();
    w_.flush();
  }

 private:
  void key(std::string_view name, std::string_view value) {
    w_.word("key").word(name);
    std::string line(value);
    std::replace(line.begin(), line.end(), '\n', ' ');
    w_.word(line).end_line();
  }

  void write_facts() {
    const auto precision = static_cast<std::size_t>(problem_.training.precision);
    const auto framework = static_cast<std::size_t>(problem_.software.framework);
    w_.word("foretrain.graph/1").end_line();
    key("foretrain", options_.version);
    key("model", problem_.model.name);
    key("gpu", problem_.cluster.gpu.name);
    key("precision", kPrecisionNames[precision]);
    key("sequence_length", std::to_string(problem_.training.sequence_length));
    key("micro_batch", std::to_string(plan_.micro_batch));
    key("micro_batches", std::to_string(micro_batches(problem_, plan_)));
    key("framework", kFrameworkNames[framework]);
    key("cuda_graphs", problem_.software.cuda_graphs ? "1" : "0");
    key("calibration", problem_.calibration == nullptr ? "none" : problem_.calibration->name);
    key("rank", options_.rank ? std::to_string(*options_.rank) : "all");
    if (options_.step) key("step_ps", std::to_string(options_.step->count));
    w_.word("plan").word(to_json(plan_)).end_line();
    w_.word("world").number(gpus_used(plan_)).number(plan_.tensor).number(plan_.context).number(plan_.data);
    w_.number(plan_.pipeline).number(shard_ranks(plan_)).number(problem_.cluster.nvlink_domain).end_line();
  }

  [[nodiscard]] bool holds_stage(std::int32_t stage) const { return !stage_ || *stage_ == stage; }
  /// The lane of all stages has no stage of its own: that of the file, or -1.
  [[nodiscard]] std::int32_t stage_of_lane(sim::LaneId lane) const {
    if (lane == step_.all_stages) return stage_.value_or(-1);
    return g_.lanes()[static_cast<std::size_t>(lane)].device;
  }

  void write_stages() {
    const Placement placement = place_layers(problem_.model, plan_);
    for (std::int32_t s = 0; s < plan_.pipeline; ++s) {
      if (!holds_stage(s)) continue;
      std::int64_t layers = 0;
      for (auto k = static_cast<std::size_t>(s); k < placement.layers.size();
           k += static_cast<std::size_t>(plan_.pipeline))
        layers += placement.layers[k];
      w_.word("stage").number(s).number(layers).end_line();
    }
  }

  void write_lanes() {
    lane_number_.assign(g_.lanes().size(), sim::kNone);
    std::int32_t next = 0;
    for (std::size_t l = 0; l < g_.lanes().size(); ++l) {
      const std::int32_t stage = stage_of_lane(static_cast<sim::LaneId>(l));
      if (stage >= 0 && !holds_stage(stage)) continue;
      const sim::Lane& lane = g_.lanes()[l];
      lane_number_[l] = next++;
      w_.word("lane").number(lane_number_[l]).number(stage).word(kLaneWords[static_cast<std::size_t>(lane.kind)]);
      w_.name(lane.name).end_line();
    }
  }

  void write_static_memory() {
    const std::vector<std::vector<std::int64_t>> bytes = g_.static_memory();
    for (std::size_t d = 0; d < bytes.size(); ++d) {
      if (!holds_stage(static_cast<std::int32_t>(d))) continue;
      for (std::size_t l = 0; l < bytes[d].size(); ++l) {
        if (bytes[d][l] == 0) continue;
        w_.word("static").number(static_cast<std::int64_t>(d)).name(g_.memory_labels()[l]).number(bytes[d][l]);
        w_.end_line();
      }
    }
  }

  /// Numbers the works of the tasks by first use; equal ones share a number. A message without bytes (a group of one
  /// rank) is none.
  void write_works() {
    work_number_.assign(step_.work.size(), sim::kNone);
    std::map<std::string, std::int32_t> numbers;
    for (const sim::TaskId t : tasks_) {
      const std::int32_t payload = g_.task(t).payload;
      if (payload == sim::kNone || work_number_[static_cast<std::size_t>(payload)] != sim::kNone) continue;
      const Work& work = step_.work[static_cast<std::size_t>(payload)];
      if (const auto* m = std::get_if<MessageWork>(&work); m != nullptr && m->bytes == 0) continue;
      std::string text = work_text(work);
      const auto [place, is_new] = numbers.emplace(std::move(text), static_cast<std::int32_t>(numbers.size()));
      work_number_[static_cast<std::size_t>(payload)] = place->second;
      if (is_new) w_.word("work").number(place->second).word(place->first).end_line();
    }
  }

  /// Dependencies by the task that waits, in the order in which they were added.
  void sort_dependencies() {
    const std::vector<std::pair<std::int32_t, std::int32_t>> pairs = dependencies_within(step_, tasks_);
    begin_.assign(tasks_.size() + 1, 0);
    for (const auto& p : pairs) ++begin_[static_cast<std::size_t>(p.second) + 1];
    for (std::size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
    before_.resize(pairs.size());
    std::vector<std::int32_t> next(begin_.begin(), begin_.end() - 1);
    for (const auto& p : pairs) before_[static_cast<std::size_t>(next[static_cast<std::size_t>(p.second)]++)] = p.first;
  }

  void write_tasks() {
    sort_dependencies();
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      const sim::TaskSpec task = g_.task(tasks_[i]);
      w_.word("task").number(static_cast<std::int64_t>(i)).number(lane_number_[static_cast<std::size_t>(task.lane)]);
      w_.number(time_alone(g_, tasks_[i]).count).name(g_.labels()[static_cast<std::size_t>(task.label)].name);
      w_.number(task.index).number(task.part);
      w_.number(task.payload == sim::kNone ? sim::kNone : work_number_[static_cast<std::size_t>(task.payload)]);
      for (std::int32_t d = begin_[i]; d < begin_[i + 1]; ++d) w_.number(before_[static_cast<std::size_t>(d)]);
      w_.end_line();
    }
  }

  void write_memory() {
    for (const sim::MemoryEffect& e : g_.memory_effects()) {
      const std::int32_t task = number_of_[static_cast<std::size_t>(e.task)];
      if (task == sim::kNone) continue;
      w_.word("memory").number(task).word(e.at_end ? "end" : "start");
      w_.name(g_.memory_labels()[static_cast<std::size_t>(e.label)]).number(e.bytes).end_line();
    }
  }

  const Problem& problem_;
  const Plan& plan_;
  const StepGraph& step_;
  const sim::TaskGraph& g_;
  const GraphFileOptions& options_;
  Writer w_;
  std::optional<std::int32_t> stage_;
  std::vector<sim::TaskId> tasks_;
  std::vector<std::int32_t> number_of_;    // [task of the graph] its number in the file
  std::vector<std::int32_t> lane_number_;  // [lane of the graph]
  std::vector<std::int32_t> work_number_;  // [payload]
  std::vector<std::int32_t> begin_;        // [number + 1] first of a task's dependencies
  std::vector<std::int32_t> before_;       // numbers
};

}  // namespace

std::int32_t stage_of_rank(const Plan& plan, std::int64_t rank) {
  FORETRAIN_CHECK(rank >= 0 && rank < gpus_used(plan));
  return static_cast<std::int32_t>(rank / (gpus_used(plan) / plan.pipeline));
}

std::string work_text(const Work& work) {
  Writer w;
  std::visit([&w](const auto& each) { write(w, each); }, work);
  return w.take();
}

Picoseconds time_alone(const sim::TaskGraph& graph, sim::TaskId task) {
  const sim::TaskSpec t = graph.task(task);
  if (t.flow.base() <= 0 || t.rate_limit.base() <= 0) return t.duration;
  return t.duration + to_picoseconds(t.flow / t.rate_limit);
}

std::vector<sim::TaskId> tasks_of_stage(const StepGraph& step, const Plan& plan, std::optional<std::int32_t> stage) {
  const auto takes_part = [&](sim::TaskId t) {
    if (!stage) return true;
    if (step.graph.lane_of(t) != step.all_stages) return step.graph.device_of(t) == *stage;
    const std::int32_t payload = step.graph.task(t).payload;
    if (payload == sim::kNone) return true;
    const auto* message = std::get_if<MessageWork>(&step.work[static_cast<std::size_t>(payload)]);
    const bool ends_only = message != nullptr && message->group == WorkGroup::embedding;
    return !ends_only || *stage == 0 || *stage + 1 == plan.pipeline;
  };
  std::vector<sim::TaskId> tasks;
  for (sim::TaskId t = 0; t < step.graph.task_count(); ++t)
    if (takes_part(t)) tasks.push_back(t);
  return tasks;
}

std::vector<std::pair<std::int32_t, std::int32_t>> dependencies_within(const StepGraph& step,
                                                                       const std::vector<sim::TaskId>& tasks) {
  const std::vector<std::int32_t> places = places_in(tasks, step.graph);
  const auto place = [&places](sim::TaskId t) { return places[static_cast<std::size_t>(t)]; };
  std::multimap<sim::TaskId, std::int32_t> sends;  // a receive that is not among `tasks` -> the sends it waits for
  for (const auto& d : step.graph.dependencies()) {
    if (place(d.first) != sim::kNone && place(d.second) == sim::kNone && receives(step, d.second))
      sends.emplace(d.second, place(d.first));
  }
  std::vector<std::pair<std::int32_t, std::int32_t>> pairs;
  pairs.reserve(step.graph.dependencies().size());
  for (const auto& d : step.graph.dependencies()) {
    const std::int32_t after = place(d.second);
    if (after == sim::kNone) continue;
    if (place(d.first) != sim::kNone) {
      pairs.emplace_back(place(d.first), after);
      continue;
    }
    const auto stand_ins = sends.equal_range(d.first);
    for (auto s = stand_ins.first; s != stand_ins.second; ++s)
      if (s->second != after) pairs.emplace_back(s->second, after);
  }
  return pairs;
}

StepGraph kernel_step(const Problem& problem, const Plan& plan) {
  Judge judge(problem);
  const PlanCosts costs = judge.costs(plan);
  return lower(problem, plan, costs, judge.moments(), {.memory = true, .kernels = true});
}

void write_graph(const Problem& problem, const Plan& plan, const StepGraph& step, std::ostream& out,
                 const GraphFileOptions& options) {
  GraphWriter(problem, plan, step, out, options).write_all();
}

}  // namespace foretrain
