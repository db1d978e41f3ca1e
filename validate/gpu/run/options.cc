#include "validate/gpu/run/options.h"

#include <charconv>

#include "base/spec_error.h"

namespace foretrain::gpu {
namespace {

/// Walks the arguments; a value stands behind its option, or joined to it by "=".
class Arguments {
 public:
  explicit Arguments(const std::vector<std::string>& words) : words_(words) {}
  bool next() {
    if (i_ >= words_.size()) return false;
    name_ = words_[i_++];
    const std::size_t equals = name_.find('=');
    joined_ = name_.rfind("--", 0) == 0 && equals != std::string::npos;
    if (joined_) {
      value_ = name_.substr(equals + 1);
      name_.resize(equals);
    }
    return true;
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  std::string value() {
    if (joined_) return value_;
    if (i_ >= words_.size()) throw SpecError(name_, "expected a value behind it");
    return words_[i_++];
  }
  double number(double least) {
    const std::string text = value();
    double v = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (error != std::errc{} || end != text.data() + text.size() || !(v >= least)) {
      throw SpecError(name_, "expected a number of at least " + std::to_string(static_cast<std::int64_t>(least)) +
                                 "; got \"" + text + "\"");
    }
    return v;
  }
  std::int32_t whole(double least) {
    const double v = number(least);
    if (v != static_cast<double>(static_cast<std::int32_t>(v))) throw SpecError(name_, "expected a whole number");
    return static_cast<std::int32_t>(v);
  }

 private:
  const std::vector<std::string>& words_;
  std::size_t i_ = 0;
  std::string name_, value_;
  bool joined_ = false;
};

Mode mode_of(std::string_view name) {
  for (std::size_t m = 1; m < kModeNames.size(); ++m) {
    if (name.size() > 2 && name.substr(2) == kModeNames[m]) return static_cast<Mode>(m);
  }
  return Mode::none;
}

void check(const Options& o) {
  if (o.help) return;
  if (o.mode == Mode::none)
    throw SpecError("command line", "expected a mode: --kernels, --collectives, --step, --correctness or --device");
  const bool needs_graph = o.mode == Mode::kernels || o.mode == Mode::step;
  if (needs_graph && o.graph.empty()) {
    throw SpecError("command line",
                    "expected a graph file with --" + std::string(kModeNames[static_cast<std::size_t>(o.mode)]));
  }
  if (o.append && o.output.empty()) throw SpecError("--append", "expected together with --output");
  if (o.cuda_graphs && o.mode != Mode::step) throw SpecError("--cuda-graphs", "expected together with --step");
  if (o.cuda_graphs && o.paced)
    throw SpecError("--paced", "expected without --cuda-graphs: a captured step has no host lane");
  if (o.ranks_per_gpu > 1 && o.mode != Mode::collectives && o.mode != Mode::correctness) {
    throw SpecError("--ranks-per-gpu",
                    "expected with --collectives or --correctness: ranks that share a GPU share its time");
  }
}

}  // namespace

Options read_options(const std::vector<std::string>& words) {
  Options o;
  Arguments a(words);
  while (a.next()) {
    const std::string& name = a.name();
    if (const Mode mode = mode_of(name); mode != Mode::none) {
      if (o.mode != Mode::none) throw SpecError(name, "expected one mode");
      o.mode = mode;
    } else if (name == "-h" || name == "--help") {
      o.help = true;
    } else if (name == "-o" || name == "--output") {
      o.output = a.value();
    } else if (name == "--name") {
      o.name = a.value();
    } else if (name == "--samples") {
      o.samples = a.whole(1);
    } else if (name == "--stage") {
      o.stage = a.whole(0);
    } else if (name == "--ranks-per-gpu") {
      o.ranks_per_gpu = a.whole(1);
    } else if (name == "--time-limit") {
      o.time_limit_seconds = a.number(1);
    } else if (name == "--rendezvous") {
      o.rendezvous = a.value();
    } else if (name == "--cuda-graphs") {
      o.cuda_graphs = true;
    } else if (name == "--paced") {
      o.paced = true;
    } else if (name == "--one-rank") {
      o.one_rank = true;
    } else if (name == "--append") {
      o.append = true;
    } else if (name == "--dry-run") {
      o.dry_run = true;
    } else if (name.rfind('-', 0) == 0) {
      throw SpecError(name, "expected an option that foretrain-gpu --help lists");
    } else if (!o.graph.empty()) {
      throw SpecError(name, "expected one graph file; there is already " + o.graph);
    } else {
      o.graph = name;
    }
  }
  check(o);
  return o;
}

std::string usage() {
  return "usage: foretrain-gpu [GRAPH] --kernels | --collectives | --step | --correctness | --device [options]\n"
         "\n"
         "Runs a training step's graph, as foretrain simulate --graph writes it, on the GPUs that are there.\n"
         "\n"
         "  --kernels          each distinct kernel alone: cold L2 cache, random data, GPU events\n"
         "  --collectives      each distinct operation, size and group; a sweep of sizes without GRAPH\n"
         "  --step             whole steps: every rank when there are GPUs enough, otherwise one with its neighbours'\n"
         "                     data generated in place\n"
         "  --correctness      kernels, libraries and NCCL against references on the CPU\n"
         "  --device           what the machine has\n"
         "  -o, --output FILE  the measurements (foretrain.measurements/1); written after every batch\n"
         "  --append           keep what the output file holds already\n"
         "  --name NAME        of the plan in the measurements (default: GRAPH's file name)\n"
         "  --samples N        of each kernel, collective and step (default 20)\n"
         "  --time-limit S     stop after S seconds and keep what there is (default 600)\n"
         "  --stage N          the pipeline stage to run, where one rank runs alone (default: the file's first)\n"
         "  --one-rank         one rank alone, although there are GPUs for all\n"
         "  --ranks-per-gpu N  several NCCL ranks share a GPU: for protocol and correctness, not for speed\n"
         "  --cuda-graphs      capture the step in a CUDA graph\n"
         "  --paced            the host lane takes the time that GRAPH gives it, not only that of the launches\n"
         "  --rendezvous FILE  where the processes of a run over several nodes meet (a shared file system)\n"
         "  --dry-run          what would run, without a GPU\n"
         "\n"
         "Exit status: 0 done, 2 wrong input, 3 the machine failed; the measurements so far are kept.\n";
}

std::string plan_name(const Options& o) {
  if (!o.name.empty() || o.graph.empty()) return o.name;
  std::string name = o.graph.substr(o.graph.find_last_of('/') + 1);
  const std::size_t dot = name.rfind('.');
  if (dot != std::string::npos && dot > 0) name.resize(dot);
  return name;
}

}  // namespace foretrain::gpu
