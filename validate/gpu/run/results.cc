#include "validate/gpu/run/results.h"

#include <cstdio>
#include <fstream>

#include "base/spec_error.h"
#include "validate/gpu/run/samples.h"

namespace foretrain::gpu {
namespace {

constexpr std::array<std::string_view, 3> kLayoutNames = {"tn", "nn", "nt"};
std::string_view name_of(DType t) { return kDTypeNames[static_cast<std::size_t>(t)]; }

std::string json_of(const Gemm& g) {
  return JsonLine()
      .text("kind", "gemm")
      .whole("batch", g.batch)
      .whole("m", g.m)
      .whole("n", g.n)
      .whole("k", g.k)
      .text("dtype", name_of(g.dtype))
      .text("output", name_of(g.output))
      .flag("accumulate", g.accumulate)
      .text("layout", kLayoutNames[static_cast<std::size_t>(g.layout)])
      .end();
}
std::string json_of(const Attention& a) {
  return JsonLine()
      .text("kind", "attention")
      .whole("batch", a.batch)
      .whole("seq_q", a.seq_q)
      .whole("seq_kv", a.seq_kv)
      .whole("heads_q", a.heads_q)
      .whole("heads_kv", a.heads_kv)
      .whole("d_qk", a.d_qk)
      .whole("d_v", a.d_v)
      .flag("causal", a.causal)
      .flag("backward", a.backward)
      .text("dtype", name_of(a.dtype))
      .end();
}
std::string json_of(const MemoryKernel& k) {
  return JsonLine()
      .text("kind", "memory")
      .text("op", op_name(k.op))
      .flag("backward", k.backward)
      .whole("rows", k.rows)
      .whole("cols", k.cols)
      .text("dtype", name_of(k.dtype))
      .flag("vectorised", k.vectorised)
      .whole("read_bytes", static_cast<std::int64_t>(k.read.base()))
      .whole("written_bytes", static_cast<std::int64_t>(k.written.base()))
      .end();
}
std::string json_of(const Message& m) {
  return JsonLine()
      .text("kind", "message")
      .text("op", kCollectiveNames[static_cast<std::size_t>(m.op)])
      .whole("bytes", m.bytes)
      .end();
}

}  // namespace

JsonLine& add_samples(JsonLine& line, const std::vector<double>& microseconds) {
  const SampleSummary s = summary_of(microseconds);
  return line.numbers("samples_us", microseconds)
      .number("median_us", s.median)
      .number("p10_us", s.p10)
      .number("p90_us", s.p90)
      .number("spread", s.spread);
}

std::string work_json(const StepWork& work) {
  return std::visit([](const auto& w) { return json_of(w); }, work);
}

void Results::fail(std::string_view what, std::string_view why) {
  add(Section::failures, JsonLine().text("what", what).text("why", why).end());
}

void Results::continue_file() {
  std::ifstream file(path_);
  if (!file) return;
  std::string line;
  std::size_t section = entries_.size();
  for (std::int64_t number = 1; std::getline(file, line); ++number) {
    const auto is = [&](const std::string& beginning) { return line.rfind(beginning, 0) == 0; };
    if (number == 1 && line != "{\"schema\": \"foretrain.measurements/1\",") {
      throw SpecError(path_, "expected a measurement file that foretrain-gpu wrote, to append to");
    }
    if (!line.empty() && line.back() == ',') line.pop_back();
    if (is("  ") && section < entries_.size()) {  // one entry a line
      entries_[section].push_back(line.substr(2));
    } else if (is(" \"device\": ")) {
      device_ = line.substr(11);
    } else if (is(" \"")) {
      for (section = 0; section < kSectionNames.size(); ++section) {
        if (is(" " + json_text(kSectionNames[section]) + ": [")) break;
      }
    }
  }
}

std::string Results::text(bool complete) const {
  std::string out = "{\"schema\": \"foretrain.measurements/1\",\n \"complete\": ";
  out += complete ? "true" : "false";
  out += ",\n \"device\": " + device_;
  for (std::size_t s = 0; s < entries_.size(); ++s) {
    if (entries_[s].empty()) continue;
    out += ",\n " + json_text(kSectionNames[s]) + ": [";
    for (std::size_t i = 0; i < entries_[s].size(); ++i) out += (i == 0 ? "\n  " : ",\n  ") + entries_[s][i];
    out += "\n ]";
  }
  return out + "\n}\n";
}

void Results::write(bool complete) const {
  if (path_.empty()) return;
  const std::string beside = path_ + ".part";
  {
    std::ofstream file(beside, std::ios::binary | std::ios::trunc);
    file << text(complete);
    file.flush();
    if (!file) throw MachineError(beside + ": cannot be written");
  }
  if (std::rename(beside.c_str(), path_.c_str()) != 0) throw MachineError(path_ + ": cannot be replaced");
}

}  // namespace foretrain::gpu
