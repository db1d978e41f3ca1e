#include "validate/gpu/run/graph_file.h"

#include <charconv>
#include <fstream>
#include <istream>
#include <optional>
#include <unordered_map>

#include "base/spec_error.h"
#include "hwmodels/dtype.h"

namespace foretrain::gpu {
namespace {

constexpr std::string_view kFirstLine = "foretrain.graph/1";
constexpr std::array<std::string_view, 3> kLayoutNames = {"tn", "nn", "nt"};

/// Reads the fields of one line, in order.
class Fields {
 public:
  Fields(const std::string& name, std::int64_t line, std::string_view text) : name_(name), line_(line), rest_(text) {}

  [[noreturn]] void fail(const std::string& what) const { throw SpecError(name_ + ":" + std::to_string(line_), what); }
  [[noreturn]] void expected(std::string_view what, std::string_view got) const {
    fail("expected " + std::string(what) + "; got \"" + std::string(got.substr(0, 60)) + "\"");
  }

  [[nodiscard]] bool more() const { return !rest_.empty(); }
  [[nodiscard]] std::string_view rest() {
    const std::string_view all = rest_;
    rest_ = {};
    return all;
  }
  std::string_view word(std::string_view what) {
    if (rest_.empty()) fail("expected " + std::string(what) + "; the line ends before it");
    const std::size_t space = rest_.find(' ');
    const std::string_view found = rest_.substr(0, space);
    rest_ = space == std::string_view::npos ? std::string_view{} : rest_.substr(space + 1);
    if (found.empty()) fail("expected " + std::string(what) + "; got two spaces in a row");
    return found;
  }
  std::int64_t number(std::string_view what, std::int64_t least = 0) {
    const std::string_view text = word(what);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least) {
      expected(std::string(what) + ", a whole number of at least " + std::to_string(least), text);
    }
    return value;
  }
  std::int32_t small(std::string_view what, std::int64_t least = 0) {
    const std::int64_t value = number(what, least);
    if (value > 2'000'000'000) expected(std::string(what) + " of at most 2000000000", std::to_string(value));
    return static_cast<std::int32_t>(value);
  }
  bool flag(std::string_view what) {
    const std::string_view text = word(what);
    if (text != "0" && text != "1") expected(std::string(what) + ", 0 or 1", text);
    return text == "1";
  }
  /// The place of a name in a table.
  template <std::size_t n>
  std::size_t one_of(const std::array<std::string_view, n>& names, std::string_view what) {
    const std::string_view text = word(what);
    for (std::size_t i = 0; i < n; ++i) {
      if (names[i] == text) return i;
    }
    std::string list;
    for (const std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
    expected(std::string(what) + ", one of " + list, text);
  }
  void finish() const {
    if (!rest_.empty()) expected("the end of the line", rest_);
  }

 private:
  const std::string& name_;
  std::int64_t line_;
  std::string_view rest_;
};

MemoryOp memory_op(Fields& f) {
  const std::string_view text = f.word("a memory operation");
  for (int i = 0; i <= static_cast<int>(MemoryOp::grad_norm); ++i) {
    if (op_name(static_cast<MemoryOp>(i)) == text) return static_cast<MemoryOp>(i);
  }
  f.expected("a memory operation such as rms_norm or adam", text);
}

DType dtype(Fields& f) { return static_cast<DType>(f.one_of(kDTypeNames, "a number format")); }

Gemm gemm(Fields& f) {
  Gemm g;
  g.batch = f.number("batch", 1);
  g.m = f.number("m", 1);
  g.n = f.number("n", 1);
  g.k = f.number("k", 1);
  g.dtype = dtype(f);
  g.output = dtype(f);
  g.accumulate = f.flag("accumulate");
  g.layout = static_cast<GemmLayout>(f.one_of(kLayoutNames, "a layout"));
  return g;
}

Attention attention(Fields& f) {
  Attention a;
  a.batch = f.number("batch", 1);
  a.seq_q = f.number("seq_q", 1);
  a.seq_kv = f.number("seq_kv", 1);
  a.heads_q = f.number("heads_q", 1);
  a.heads_kv = f.number("heads_kv", 1);
  a.d_qk = f.number("d_qk", 1);
  a.d_v = f.number("d_v", 1);
  a.causal = f.flag("causal");
  a.backward = f.flag("backward");
  a.dtype = dtype(f);
  if (a.heads_q % a.heads_kv != 0) f.fail("expected heads_q to be a multiple of heads_kv");
  return a;
}

MemoryKernel memory_work(Fields& f) {
  MemoryKernel k;
  k.op = memory_op(f);
  k.backward = f.flag("backward");
  k.rows = f.number("rows");
  k.cols = f.number("cols");
  k.read = static_cast<double>(f.number("bytes read")) * bytes;
  k.written = static_cast<double>(f.number("bytes written")) * bytes;
  k.dtype = dtype(f);
  return k;
}

Message message(Fields& f) {
  Message m;
  m.op = static_cast<CollectiveOp>(f.one_of(kCollectiveNames, "a collective"));
  m.bytes = f.number("bytes");
  m.group = static_cast<Group>(f.one_of(kGroupNames, "a group"));
  m.sends = f.flag("sends");
  return m;
}

class Reader {
 public:
  Reader(std::istream& in, std::string name) : in_(in), name_(std::move(name)) {}

  StepFile read() {
    std::string line;
    if (!next(line) || line != kFirstLine) {
      Fields(name_, 1, line).expected("\"" + std::string(kFirstLine) + "\" on the first line", line);
    }
    while (next(line)) {
      Fields f(name_, line_, line);
      if (ended_) f.expected("nothing after the end record", line);
      record(f);
    }
    Fields last(name_, line_, line);
    if (!ended_) last.fail("expected a last line \"end <task count>\"; the file is truncated");
    if (!world_) last.fail("expected a world record; there is none");
    resolve();
    return std::move(file_);
  }

 private:
  bool next(std::string& line) {
    if (!std::getline(in_, line)) return false;
    ++line_;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return true;
  }

  void record(Fields& f) {
    const std::string_view kind = f.word("a record");
    if (kind == "task") return task(f);
    if (kind == "memory") return memory(f);
    if (kind == "work") return work(f);
    if (kind == "lane") return lane(f);
    if (kind == "static") {
      const std::int32_t stage = f.small("a stage");
      const std::string label(f.word("a memory label"));
      file_.static_memory.push_back({stage, label, f.number("bytes")});
    } else if (kind == "stage") {
      const std::int32_t index = f.small("a stage");
      file_.stages.push_back({index, f.small("layers")});
    } else if (kind == "world") {
      World& w = file_.world;
      for (std::int32_t* field : {&w.gpus, &w.tensor, &w.context, &w.data, &w.pipeline, &w.shard, &w.nvlink_domain}) {
        *field = f.small("a degree", 1);
      }
      const std::int64_t product = std::int64_t{w.tensor} * w.context * w.data * w.pipeline;
      if (product != w.gpus) {
        f.expected("tensor x context x data x pipeline = gpus = " + std::to_string(w.gpus), std::to_string(product));
      }
      world_ = true;
    } else if (kind == "plan") {
      file_.plan = f.rest();
    } else if (kind == "key") {
      const std::string name(f.word("a name"));
      file_.keys.emplace_back(name, std::string(f.rest()));
    } else if (kind == "end") {
      const std::int64_t count = f.number("the number of tasks");
      if (count != static_cast<std::int64_t>(file_.tasks.size())) {
        f.expected(std::to_string(file_.tasks.size()) + " tasks, as many as there are", std::to_string(count));
      }
      ended_ = true;
    } else {
      f.expected("key, plan, world, stage, lane, static, work, task, memory or end", kind);
    }
    f.finish();
  }

  void lane(Fields& f) {
    insert(lane_ids_, f, "a lane", file_.lanes.size());
    StepLane lane;
    lane.stage = f.small("a stage or -1", -1);
    lane.kind = static_cast<StepLaneKind>(f.one_of(kStepLaneNames, "a kind of lane"));
    lane.name = f.word("a name");
    f.finish();
    file_.lanes.push_back(std::move(lane));
  }

  void work(Fields& f) {
    insert(work_ids_, f, "a work", file_.works.size());
    switch (f.one_of(std::array<std::string_view, 4>{"gemm", "attention", "memory", "message"}, "a kind of work")) {
      case 0:
        file_.works.emplace_back(gemm(f));
        break;
      case 1:
        file_.works.emplace_back(attention(f));
        break;
      case 2:
        file_.works.emplace_back(memory_work(f));
        break;
      default:
        file_.works.emplace_back(message(f));
    }
    f.finish();
  }

  void task(Fields& f) {
    insert(task_ids_, f, "a task", file_.tasks.size());
    StepTask t;
    t.lane = find(lane_ids_, f, "the id of a lane above");
    t.predicted_ps = f.number("picoseconds");
    t.label = label(f.word("a label"));
    t.micro_batch = f.small("a micro-batch or -1", -1);
    t.part = f.small("a part or -1", -1);
    if (f.more()) {
      const std::int32_t work = f.small("a work or -1", -1);
      if (work >= 0) {
        const auto found = work_ids_.find(work);
        if (found == work_ids_.end()) f.expected("the id of a work above", std::to_string(work));
        t.work = found->second;
      }
    } else {
      f.fail("expected a work or -1; the line ends before it");
    }
    t.first_dependency = static_cast<std::int32_t>(file_.dependencies.size());
    while (f.more()) {
      file_.dependencies.push_back(f.small("the id of a task"));
      dependency_lines_.push_back(line_);
    }
    t.last = static_cast<std::int32_t>(file_.dependencies.size());
    file_.tasks.push_back(t);
  }

  void memory(Fields& f) {
    StepMemory m;
    m.task = f.small("the id of a task");
    memory_lines_.push_back(line_);
    m.at_end = f.one_of(std::array<std::string_view, 2>{"start", "end"}, "start or end") == 1;
    m.label = label(f.word("a memory label"));
    m.bytes = f.number("bytes", INT64_MIN);
    f.finish();
    file_.memory.push_back(m);
  }

  /// Ids of tasks become places, now that all are known.
  void resolve() {
    const auto place = [&](std::int32_t id, std::int64_t line) {
      const auto found = task_ids_.find(id);
      if (found == task_ids_.end())
        Fields(name_, line, "").expected("the id of a task of this file", std::to_string(id));
      return found->second;
    };
    for (std::size_t i = 0; i < file_.dependencies.size(); ++i) {
      file_.dependencies[i] = place(file_.dependencies[i], dependency_lines_[i]);
    }
    for (std::size_t i = 0; i < file_.memory.size(); ++i) {
      file_.memory[i].task = place(file_.memory[i].task, memory_lines_[i]);
    }
  }

  using Ids = std::unordered_map<std::int32_t, std::int32_t>;
  static void insert(Ids& ids, Fields& f, std::string_view what, std::size_t place) {
    const std::int32_t id = f.small(std::string(what) + "'s id");
    if (!ids.emplace(id, static_cast<std::int32_t>(place)).second) {
      f.expected(std::string(what) + "'s id that is not taken", std::to_string(id));
    }
  }
  static std::int32_t find(const Ids& ids, Fields& f, std::string_view what) {
    const std::int32_t id = f.small(what);
    const auto found = ids.find(id);
    if (found == ids.end()) f.expected(what, std::to_string(id));
    return found->second;
  }
  std::int32_t label(std::string_view text) {
    const auto [found, is_new] = labels_.emplace(std::string(text), static_cast<std::int32_t>(file_.labels.size()));
    if (is_new) file_.labels.emplace_back(text);
    return found->second;
  }

  std::istream& in_;
  std::string name_;
  std::int64_t line_ = 0;
  bool ended_ = false, world_ = false;
  StepFile file_;
  Ids lane_ids_, work_ids_, task_ids_;
  std::unordered_map<std::string, std::int32_t> labels_;
  std::vector<std::int64_t> dependency_lines_, memory_lines_;
};

std::string name_of(DType t) { return std::string(kDTypeNames[static_cast<std::size_t>(t)]); }

std::string text_of(const Gemm& g) {
  return "gemm " + (g.batch > 1 ? std::to_string(g.batch) + "x" : std::string()) + std::to_string(g.m) + "x" +
         std::to_string(g.n) + "x" + std::to_string(g.k) + " " + name_of(g.dtype) +
         (g.output != g.dtype ? ">" + name_of(g.output) : "") + " " +
         std::string(kLayoutNames[static_cast<std::size_t>(g.layout)]) + (g.accumulate ? " accumulate" : "");
}
std::string text_of(const Attention& a) {
  return "attention " + std::to_string(a.batch) + "x" + std::to_string(a.seq_q) +
         (a.seq_kv != a.seq_q ? "/" + std::to_string(a.seq_kv) : "") + " heads " + std::to_string(a.heads_q) + "/" +
         std::to_string(a.heads_kv) + " d" + std::to_string(a.d_qk) + (a.causal ? " causal" : "") +
         (a.backward ? " backward " : " forward ") + name_of(a.dtype);
}
std::string text_of(const MemoryKernel& k) {
  return std::string(op_name(k.op)) + (k.backward ? " backward " : " ") + std::to_string(k.rows) + "x" +
         std::to_string(k.cols) + " " + name_of(k.dtype);
}
std::string text_of(const Message& m) {
  return std::string(kCollectiveNames[static_cast<std::size_t>(m.op)]) + " " + std::to_string(m.bytes) + " bytes " +
         std::string(kGroupNames[static_cast<std::size_t>(m.group)]);
}

}  // namespace

std::string_view StepFile::key(std::string_view name) const {
  for (const auto& [key, value] : keys) {
    if (key == name) return value;
  }
  return {};
}

StepFile read_step(std::istream& in, const std::string& name) { return Reader(in, name).read(); }

StepFile read_step_file(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw SpecError(path, "expected a graph file; it cannot be opened");
  return read_step(in, path);
}

std::string work_text(const StepWork& work) {
  return std::visit([](const auto& w) { return text_of(w); }, work);
}

}  // namespace foretrain::gpu
