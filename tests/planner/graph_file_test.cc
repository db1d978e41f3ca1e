// A graph file says what the graph says: read back by the reader below, written from docs/FORMAT.md alone.
#include "planner/graph_file.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/planner/small_spaces.h"

using namespace foretrain;

namespace {

struct FileTask {
  std::int64_t lane = 0, predicted = 0;
  std::string label;
  std::int64_t micro_batch = 0, part = 0, work = 0;
  std::vector<std::int64_t> before;
};
struct FileLane {
  std::int64_t stage = 0;
  std::string kind, name;
};
struct FileEffect {
  std::int64_t task = 0;
  std::string when, label;
  std::int64_t bytes = 0;
};
struct File {
  std::map<std::string, std::string> keys;
  std::string plan;
  std::vector<std::int64_t> world;
  std::map<std::int64_t, std::int64_t> stage_layers;
  std::vector<FileLane> lanes;
  std::map<std::pair<std::int64_t, std::string>, std::int64_t> static_bytes;
  std::vector<std::string> works;
  std::vector<FileTask> tasks;
  std::vector<FileEffect> effects;
};

/// REQUIRE, at no cost while it holds: it is asked millions of times.
void need(bool holds, const char* what) {
  if (!holds) FAIL(what);
}

File read(const std::string& text) {
  std::istringstream stream(text);
  std::string line;
  REQUIRE(std::getline(stream, line));
  REQUIRE(line == "foretrain.graph/1");
  File f;
  bool ended = false;
  while (std::getline(stream, line)) {
    need(!ended, "a record after the end");
    std::istringstream words(line);
    std::string record;
    words >> record;
    std::int64_t id = 0;
    if (record == "key") {
      std::string name;
      words >> name;
      std::string value;
      std::getline(words >> std::ws, value);
      f.keys[name] = value;
    } else if (record == "plan") {
      f.plan = line.substr(5);
    } else if (record == "world") {
      for (std::int64_t n = 0; words >> n;) f.world.push_back(n);
    } else if (record == "stage") {
      words >> id;
      words >> f.stage_layers[id];
    } else if (record == "lane") {
      FileLane lane;
      words >> id >> lane.stage >> lane.kind >> lane.name;
      need(id == static_cast<std::int64_t>(f.lanes.size()), "ids count from 0");
      f.lanes.push_back(lane);
    } else if (record == "static") {
      std::string label;
      words >> id >> label;
      words >> f.static_bytes[{id, label}];
    } else if (record == "work") {
      words >> id;
      need(id == static_cast<std::int64_t>(f.works.size()), "ids count from 0");
      f.works.push_back(line.substr(line.find(' ', 5) + 1));
    } else if (record == "task") {
      FileTask t;
      words >> id >> t.lane >> t.predicted >> t.label >> t.micro_batch >> t.part >> t.work;
      need(!words.fail(), "a task with too few fields");
      need(id == static_cast<std::int64_t>(f.tasks.size()), "ids count from 0");
      need(t.lane < static_cast<std::int64_t>(f.lanes.size()), "a lane before its record");
      need(t.work < static_cast<std::int64_t>(f.works.size()), "a work before its record");
      for (std::int64_t b = 0; words >> b;) t.before.push_back(b);
      f.tasks.push_back(t);
    } else if (record == "memory") {
      FileEffect e;
      words >> e.task >> e.when >> e.label >> e.bytes;
      f.effects.push_back(e);
    } else if (record == "end") {
      words >> id;
      CHECK(id == static_cast<std::int64_t>(f.tasks.size()));
      ended = true;
    } else {
      FAIL("unknown record: " << line);
    }
  }
  CHECK(ended);
  return f;
}

std::size_t place(std::span<const std::string_view> names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  REQUIRE(found != names.end());
  return static_cast<std::size_t>(found - names.begin());
}

/// The work that a line describes. `vectorised` is not in the file.
Work parse_work(const std::string& text) {
  static constexpr std::array<std::string_view, 3> layouts = {"tn", "nn", "nt"};
  std::istringstream in(text);
  std::string kind;
  in >> kind;
  Work work;
  if (kind == "gemm") {
    Gemm g;
    std::string dtype, output, layout;
    in >> g.batch >> g.m >> g.n >> g.k >> dtype >> output >> g.accumulate >> layout;
    g.dtype = static_cast<DType>(place(kDTypeNames, dtype));
    g.output = static_cast<DType>(place(kDTypeNames, output));
    g.layout = static_cast<GemmLayout>(place(layouts, layout));
    work = Kernel{g};
  } else if (kind == "attention") {
    Attention a;
    std::string dtype;
    in >> a.batch >> a.seq_q >> a.seq_kv >> a.heads_q >> a.heads_kv >> a.d_qk >> a.d_v >> a.causal >> a.backward >>
        dtype;
    a.dtype = static_cast<DType>(place(kDTypeNames, dtype));
    work = Kernel{a};
  } else if (kind == "memory") {
    MemoryKernel k;
    std::string op, dtype;
    std::int64_t read = 0, written = 0;
    in >> op >> k.backward >> k.rows >> k.cols >> read >> written >> dtype;
    k.dtype = static_cast<DType>(place(kDTypeNames, dtype));
    bool known = false;
    for (int i = 0; i <= static_cast<int>(MemoryOp::grad_norm); ++i) {
      if (op != op_name(static_cast<MemoryOp>(i))) continue;
      k.op = static_cast<MemoryOp>(i);
      known = true;
    }
    CHECK(known);
    k.read = static_cast<double>(read) * bytes;
    k.written = static_cast<double>(written) * bytes;
    work = Kernel{k};
  } else {
    REQUIRE(kind == "message");
    MessageWork m;
    std::string op, group;
    in >> op >> m.bytes >> group >> m.sends;
    m.op = static_cast<CollectiveOp>(place(kCollectiveNames, op));
    m.group = static_cast<WorkGroup>(place(kWorkGroupNames, group));
    work = m;
  }
  CHECK(!in.fail());
  std::string rest;
  CHECK(!(in >> rest));
  return work;
}

bool same(const Work& a, const Work& b) {
  if (const auto* m = std::get_if<MessageWork>(&a)) {
    const auto* n = std::get_if<MessageWork>(&b);
    return n != nullptr && m->op == n->op && m->bytes == n->bytes && m->group == n->group && m->sends == n->sends;
  }
  if (!std::holds_alternative<Kernel>(b)) return false;
  const Kernel &k = std::get<Kernel>(a), &l = std::get<Kernel>(b);
  const auto* x = std::get_if<MemoryKernel>(&k);
  const auto* y = std::get_if<MemoryKernel>(&l);
  if (x == nullptr || y == nullptr) return k == l;
  return x->op == y->op && x->backward == y->backward && x->rows == y->rows && x->cols == y->cols &&
         x->dtype == y->dtype && std::abs(x->read.base() - y->read.base()) <= 0.5 &&
         std::abs(x->written.base() - y->written.base()) <= 0.5;
}

std::string underscored(std::string name) {
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

std::string file_text(const Problem& problem, const Plan& plan, const StepGraph& step,
                      std::optional<std::int64_t> rank = {}) {
  std::ostringstream out;
  write_graph(problem, plan, step, out, {.rank = rank, .version = "0.0.1"});
  return out.str();
}

StepGraph kernel_level(const Problem& problem, const Plan& plan) { return kernel_step(problem, plan); }

/// Every `step`-th plan that can run, of every small space.
void for_plans(std::int64_t every, const std::function<void(const Problem&, const Plan&)>& visit) {
  for (const std::string_view text : kSmallSpaces) {
    const Problem problem = job(text);
    Judge judge(problem);
    std::int64_t visited = 0;
    for_each_plan(problem, [&](const Plan& plan, std::int64_t order) {
      if (order % every != 0 || judge.judge(plan).rejection) return;
      CAPTURE(to_text(plan));
      visit(problem, plan);
      ++visited;
    });
    CAPTURE(text);
    CHECK(visited > 0);
  }
}

/// Compares `f` with those tasks of `step` that `tasks` names, in that order.
/// Gives how many sends stand in for receives elsewhere.
std::int64_t check_same(const File& f, const StepGraph& step, const std::vector<sim::TaskId>& tasks) {
  const sim::TaskGraph& g = step.graph;
  REQUIRE(f.tasks.size() == tasks.size());
  std::map<sim::TaskId, std::int64_t> number;
  for (std::size_t i = 0; i < tasks.size(); ++i) number[tasks[i]] = static_cast<std::int64_t>(i);
  std::vector<std::multiset<std::int64_t>> before(tasks.size());
  std::multimap<sim::TaskId, sim::TaskId> waits_for;
  for (const auto& d : g.dependencies()) waits_for.emplace(d.second, d.first);
  std::int64_t stand_ins = 0;
  for (const auto& d : g.dependencies()) {
    if (number.count(d.second) == 0) continue;
    auto& mine = before[static_cast<std::size_t>(number[d.second])];
    if (number.count(d.first) > 0) {
      mine.insert(number[d.first]);
    } else if (g.lanes()[static_cast<std::size_t>(g.lane_of(d.first))].name.starts_with("receive")) {
      // Another stage's receive ends when our send does.
      const auto [first, last] = waits_for.equal_range(d.first);
      for (auto w = first; w != last; ++w) {
        if (number.count(w->second) == 0 || w->second == d.second) continue;
        mine.insert(number[w->second]);
        ++stand_ins;
      }
    }
  }
  std::vector<Work> works;
  for (const std::string& text : f.works) works.push_back(parse_work(text));
  std::int64_t different = 0;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const sim::TaskSpec t = g.task(tasks[i]);
    const FileTask& file = f.tasks[i];
    const sim::Lane& lane = g.lanes()[static_cast<std::size_t>(t.lane)];
    bool equal = f.lanes[static_cast<std::size_t>(file.lane)].name == underscored(lane.name);
    equal = equal && file.label == underscored(g.labels()[static_cast<std::size_t>(t.label)].name);
    equal = equal && file.micro_batch == t.index && file.part == t.part;
    // fixed + flow / rate, in whole picoseconds
    const double flow = t.flow.base() > 0 ? t.flow.base() / t.rate_limit.base() * 1e12 : 0;
    equal = equal && std::abs(static_cast<double>(file.predicted - t.duration.count) - flow) <= 1;
    equal = equal && std::multiset<std::int64_t>(file.before.begin(), file.before.end()) == before[i];
    if (file.work >= 0) {
      equal = equal && t.payload >= 0 &&
              same(works[static_cast<std::size_t>(file.work)], step.work[static_cast<std::size_t>(t.payload)]);
    } else if (t.payload >= 0) {  // only what moves nothing is left out
      equal = equal && std::get<MessageWork>(step.work[static_cast<std::size_t>(t.payload)]).bytes == 0;
    }
    if (!equal && ++different <= 3) {
      CAPTURE(i);
      FAIL_CHECK("a task differs from its line");
    }
  }
  CHECK(different == 0);
  return stand_ins;
}

}  // namespace

TEST_CASE("every task, dependency, work and byte of a graph is in its file") {
  for_plans(61, [&](const Problem& problem, const Plan& plan) {
    const StepGraph step = kernel_level(problem, plan);
    const sim::TaskGraph& g = step.graph;
    const File f = read(file_text(problem, plan, step));
    std::vector<sim::TaskId> all(static_cast<std::size_t>(g.task_count()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<sim::TaskId>(i);
    CHECK(check_same(f, step, all) == 0);
    CHECK(f.lanes.size() == g.lanes().size());
    CHECK(f.effects.size() == g.memory_effects().size());
    for (std::size_t i = 0; i < f.effects.size(); ++i) {
      const sim::MemoryEffect& e = g.memory_effects()[i];
      const bool equal = f.effects[i].task == e.task && f.effects[i].bytes == e.bytes &&
                         f.effects[i].when == (e.at_end ? "end" : "start") &&
                         f.effects[i].label == g.memory_labels()[static_cast<std::size_t>(e.label)];
      need(equal, "a memory effect differs");
    }
    const auto bytes = g.static_memory();
    for (std::size_t d = 0; d < bytes.size(); ++d)
      for (std::size_t l = 0; l < bytes[d].size(); ++l) {
        const auto found = f.static_bytes.find({static_cast<std::int64_t>(d), g.memory_labels()[l]});
        CHECK((found == f.static_bytes.end() ? 0 : found->second) == bytes[d][l]);
      }
    CHECK(SpecNode::parse(f.plan, "plan").dump() == SpecNode::parse(to_json(plan), "plan").dump());
    CHECK(f.world == std::vector<std::int64_t>{gpus_used(plan), plan.tensor, plan.context, plan.data, plan.pipeline,
                                               shard_ranks(plan), problem.cluster.nvlink_domain});
    std::int64_t layers = 0;
    for (const auto& entry : f.stage_layers) layers += entry.second;
    CHECK(layers == problem.model.layers);
    CHECK(f.stage_layers.size() == static_cast<std::size_t>(plan.pipeline));
    CHECK(f.keys.at("model") == problem.model.name);
    CHECK(f.keys.at("gpu") == problem.cluster.gpu.name);
    CHECK(f.keys.at("rank") == "all");
    CHECK(f.keys.at("foretrain") == "0.0.1");
  });
}

TEST_CASE("works are written once, before the tasks that use them, and each is used") {
  for_plans(61, [&](const Problem& problem, const Plan& plan) {
    const File f = read(file_text(problem, plan, kernel_level(problem, plan)));
    CHECK(std::set<std::string>(f.works.begin(), f.works.end()).size() == f.works.size());
    std::set<std::int64_t> used;
    for (const FileTask& t : f.tasks)
      if (t.work >= 0) used.insert(t.work);
    CHECK(used.size() == f.works.size());
    CHECK(f.works.size() < 200);  // a step repeats a few kernels
  });
}

TEST_CASE("the files of the stages hold every task once, and what all stages do together in each") {
  std::int64_t stand_ins = 0;
  for_plans(61, [&](const Problem& problem, const Plan& plan) {
    const StepGraph step = kernel_level(problem, plan);
    std::map<sim::TaskId, int> written;
    const std::int64_t ranks_per_stage = gpus_used(plan) / plan.pipeline;
    for (std::int32_t s = 0; s < plan.pipeline; ++s) {
      const std::vector<sim::TaskId> tasks = tasks_of_stage(step, plan, s);
      // Any rank of the stage: its last.
      const std::int64_t rank = (s + 1) * ranks_per_stage - 1;
      CHECK(stage_of_rank(plan, rank) == s);
      const File f = read(file_text(problem, plan, step, rank));
      stand_ins += check_same(f, step, tasks);
      CHECK(f.keys.at("rank") == std::to_string(rank));
      CHECK(f.stage_layers.size() == 1);
      for (const FileLane& lane : f.lanes) CHECK(lane.stage == s);
      for (const auto& entry : f.static_bytes) CHECK(entry.first.first == s);
      for (const sim::TaskId t : tasks) ++written[t];
    }
    CHECK(written.size() == static_cast<std::size_t>(step.graph.task_count()));
    const bool tied = problem.model.tied_embeddings && plan.pipeline > 1;
    for (const auto& entry : written) {
      const bool together = step.graph.lane_of(entry.first) == step.all_stages;
      if (!together) {
        need(entry.second == 1, "a stage's task in another stage's file");
      } else if (tied && step.graph.task(entry.first).payload >= 0 &&
                 std::get<MessageWork>(step.work[static_cast<std::size_t>(step.graph.task(entry.first).payload)])
                         .group == WorkGroup::embedding) {
        CHECK(entry.second == 2);  // first and last stage sum the gradients of the tied table
      } else {
        CHECK(entry.second == plan.pipeline);
      }
    }
  });
  CHECK(stand_ins > 100);  // some plans let a stage wait until its message has arrived
}

TEST_CASE("ranks are numbered tensor first, pipeline stage last") {
  Plan plan;
  plan.tensor = 4;
  plan.context = 2;
  plan.data = 3;
  plan.pipeline = 5;
  // 24 ranks a stage; rank ((p * 3 + d) * 2 + c) * 4 + t.
  CHECK(stage_of_rank(plan, 0) == 0);
  CHECK(stage_of_rank(plan, 23) == 0);
  CHECK(stage_of_rank(plan, 24) == 1);
  CHECK(stage_of_rank(plan, ((4 * 3 + 2) * 2 + 1) * 4 + 3) == 4);
}

TEST_CASE("works in words") {
  // As docs/FORMAT.md writes them.
  CHECK(work_text(Kernel{Gemm{.batch = 1, .m = 8192, .n = 1280, .k = 4096, .layout = GemmLayout::tn}}) ==
        "gemm 1 8192 1280 4096 bf16 bf16 0 tn");
  CHECK(work_text(Kernel{Gemm{.m = 2,
                              .n = 3,
                              .k = 4,
                              .dtype = DType::fp8,
                              .output = DType::fp32,
                              .accumulate = true,
                              .layout = GemmLayout::nt}}) == "gemm 1 2 3 4 fp8 fp32 1 nt");
  CHECK(work_text(Kernel{
            Attention{.batch = 2, .seq_q = 4096, .seq_kv = 4096, .heads_q = 8, .heads_kv = 1, .backward = true}}) ==
        "attention 2 4096 4096 8 1 128 128 1 1 bf16");
  CHECK(work_text(Kernel{MemoryKernel{
            .op = MemoryOp::rms_norm, .rows = 10, .cols = 20, .read = 400 * bytes, .written = 400 * bytes}}) ==
        "memory rms_norm 0 10 20 400 400 bf16");
  CHECK(work_text(MessageWork{CollectiveOp::reduce_scatter, 1024, WorkGroup::shard, false}) ==
        "message reduce_scatter 1024 shard 0");
  CHECK(work_text(MessageWork{CollectiveOp::send_recv, 7, WorkGroup::next, true}) == "message send_recv 7 next 1");
}

TEST_CASE("the same graph gives the same bytes") {
  const Problem problem = job(kSmallSpaces[0]);
  Plan plan;
  plan.tensor = 2;
  plan.pipeline = 2;
  plan.data = 2;
  CHECK(file_text(problem, plan, kernel_level(problem, plan)) == file_text(problem, plan, kernel_level(problem, plan)));
}
