#include "hwmodels/calibration_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/sha256.h"
#include "base/text.h"

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 3> kKindNames = {"gemm", "attention", "memory"};
constexpr RealRange kAnyReal = {-1e18, 1e18};
constexpr IntRange kCount = {0, 1'000'000'000'000};

// ---- writing ----

/// `text` as a JSON string.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <class Items, class ToText>
std::string list(const Items& items, const char* separator, const ToText& to_item) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : separator) + to_item(item);
  return out;
}
template <class Items, class ToText>
std::string lines(const Items& items, const ToText& to_item) {
  return items.empty() ? "[]" : "[\n    " + list(items, ",\n    ", to_item) + "\n  ]";
}
std::string number(double value) { return fmt::format("{}", value); }

std::string residuals_text(const char* name, const Residuals& r) {
  return fmt::format(R"("{}": {{"rows": {}, "median": {:.4g}, "p90": {:.4g}}})", name, r.rows, r.median, r.p90);
}
std::string quality_text(const FitQuality& q) {
  return fmt::format(R"("residuals": {{{}, {}, {}, {}, "outliers": {}}})", residuals_text("before", q.before),
                     residuals_text("after", q.after), residuals_text("held_out_before", q.held_out_before),
                     residuals_text("held_out_after", q.held_out_after), q.outliers);
}

std::string surface_text(const CorrectionSurface& surface) {
  const CorrectionSurface::Parts& p = surface.parts();
  const std::size_t axes = p.axes.size();
  const auto axis = [](const CorrectionSurface::Axis& a) {
    return fmt::format(R"({{"name": {}, "least": {}, "most": {}}})", json_string(a.name), a.least, a.most);
  };
  const auto point = [&](const CorrectionSurface::Point& q) {
    std::string out = "[";
    for (std::size_t j = 0; j < axes; ++j) out += number(q.at[j]) + ", ";
    return out + fmt::format("{}]", q.height);
  };
  std::vector<double> centre(p.centre.begin(), p.centre.begin() + static_cast<std::ptrdiff_t>(axes));
  return fmt::format(
      "\"axes\": [{}],\n     \"centre\": [{}], \"trend\": [{}], \"width\": {},\n     "
      "\"points\": [{}]",
      list(p.axes, ", ", axis), list(centre, ", ", number), list(p.trend, ", ", number), p.width,
      list(p.points, ", ", point));
}

std::string kernel_text(const KernelCorrection& c) {
  const KernelFamily& f = c.family;
  std::string family = fmt::format(R"("kind": "{}", "dtype": "{}")", kKindNames[static_cast<std::size_t>(f.kind)],
                                   kDTypeNames[static_cast<std::size_t>(f.dtype)]);
  if (f.kind == KernelFamily::Kind::memory) family += fmt::format(R"(, "op": "{}")", op_name(f.op));
  if (f.kind != KernelFamily::Kind::gemm) family += fmt::format(R"(, "backward": {})", f.backward);
  return fmt::format("{{\"gpu\": {}, \"family\": {{{}}}, \"measured_in\": \"{}\",\n     {},\n     {}}}",
                     json_string(c.gpu), family, kMeasuredInNames[static_cast<std::size_t>(c.measured_in)],
                     quality_text(c.quality), surface_text(c.surface));
}

std::string collective_text(const CollectiveCorrection& c) {
  const CollectiveFamily& f = c.family;
  std::string family = fmt::format(R"("op": "{}", "fabric": "{}")", kCollectiveNames[static_cast<std::size_t>(f.op)],
                                   kIntraNodeFabricNames[static_cast<std::size_t>(f.fabric)]);
  if (f.network) family += fmt::format(R"(, "network": "{}")", kNetworkKindNames[static_cast<std::size_t>(*f.network)]);
  return fmt::format("{{\"gpu\": {}, \"family\": {{{}}}, \"measured_in\": \"{}\",\n     {},\n     {}}}",
                     json_string(c.gpu), family, kMeasuredInNames[static_cast<std::size_t>(c.measured_in)],
                     quality_text(c.quality), surface_text(c.surface));
}

std::string source_text(const CalibrationSource& s) {
  return fmt::format(R"({{"file": {}, "kind": {}, "sha256": "{}", "device": {}, "date": {}, "rows": {}, "used": {}}})",
                     json_string(s.file), json_string(s.kind), s.sha256, json_string(s.device), json_string(s.date),
                     s.rows, s.used);
}

// ---- reading ----

Residuals read_residuals(const SpecNode& node) {
  return {node.required("rows").as_int(kCount), node.required("median").as_real(), node.required("p90").as_real()};
}
FitQuality read_quality(const SpecNode& correction) {
  const SpecNode node = correction.required("residuals");
  return {.before = read_residuals(node.required("before")),
          .after = read_residuals(node.required("after")),
          .held_out_before = read_residuals(node.required("held_out_before")),
          .held_out_after = read_residuals(node.required("held_out_after")),
          .outliers = node.required("outliers").as_int(kCount)};
}

std::vector<double> reals(const SpecNode& node) {
  std::vector<double> out;
  for (const SpecNode& item : node.items()) out.push_back(item.as_real(kAnyReal));
  return out;
}

/// Axes are what shape_point makes of a shape: a file with others was written by another version.
CorrectionSurface read_surface(const SpecNode& node, const std::vector<std::string>& names) {
  CorrectionSurface::Parts parts;
  const SpecNode axes = node.required("axes");
  for (const SpecNode& axis : axes.items())
    parts.axes.push_back({axis.required("name").as_string(), axis.required("least").as_real(kAnyReal),
                          axis.required("most").as_real(kAnyReal)});
  const auto same = [](const CorrectionSurface::Axis& axis, const std::string& name) { return axis.name == name; };
  if (!std::equal(parts.axes.begin(), parts.axes.end(), names.begin(), names.end(), same))
    axes.fail_expected(fmt::format("the axes {}; this file comes from another version", fmt::join(names, ", ")));
  for (std::size_t j = 0; j < parts.axes.size(); ++j)
    if (parts.axes[j].least > parts.axes[j].most) axes.fail("an axis whose least is above its most");
  const std::size_t count = parts.axes.size();
  const std::vector<double> centre = reals(node.required("centre"));
  if (centre.size() != count) node.required("centre").fail_expected(fmt::format("{} numbers", count));
  std::copy(centre.begin(), centre.end(), parts.centre.begin());
  parts.trend = reals(node.required("trend"));
  const std::size_t terms = parts.trend.size();
  if (terms != 0 && terms != trend_terms(count, 0) && terms != trend_terms(count, 1) && terms != trend_terms(count, 2))
    node.required("trend").fail_expected(
        fmt::format("0, 1, {} or {} numbers", trend_terms(count, 1), trend_terms(count, 2)));
  parts.width = node.required("width").as_real({0, 100});
  for (const SpecNode& item : node.required("points").items()) {
    const std::vector<double> values = reals(item);
    if (values.size() != count + 1) item.fail_expected(fmt::format("{} numbers", count + 1));
    CorrectionSurface::Point point{.at = {}, .height = values[count]};
    std::copy(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count), point.at.begin());
    parts.points.push_back(point);
  }
  return CorrectionSurface(std::move(parts));
}

MeasuredIn read_measured_in(const SpecNode& node) {
  return static_cast<MeasuredIn>(node.required("measured_in").as_choice(kMeasuredInNames, "condition"));
}

KernelCorrection read_kernel_correction(const SpecNode& node) {
  KernelCorrection c;
  c.gpu = node.required("gpu").as_string();
  const SpecNode family = node.required("family");
  c.family.kind = static_cast<KernelFamily::Kind>(family.required("kind").as_choice(kKindNames, "kind of kernel"));
  c.family.dtype = static_cast<DType>(family.required("dtype").as_choice(kDTypeNames, "number format"));
  if (c.family.kind != KernelFamily::Kind::gemm) c.family.backward = family.required("backward").as_bool();
  if (c.family.kind == KernelFamily::Kind::memory) {
    std::vector<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(MemoryOp::grad_norm); ++i) names.push_back(op_name(static_cast<MemoryOp>(i)));
    c.family.op = static_cast<MemoryOp>(family.required("op").as_choice(names, "operation"));
  }
  c.measured_in = read_measured_in(node);
  c.quality = read_quality(node);
  c.surface = read_surface(node, axis_names(c.family.kind));
  return c;
}

CollectiveCorrection read_collective_correction(const SpecNode& node) {
  CollectiveCorrection c;
  c.gpu = node.required("gpu").as_string();
  const SpecNode family = node.required("family");
  c.family.op = static_cast<CollectiveOp>(family.required("op").as_choice(kCollectiveNames, "collective"));
  c.family.fabric = static_cast<IntraNodeFabric>(family.required("fabric").as_choice(kIntraNodeFabricNames, "fabric"));
  if (const auto network = family.optional("network"))
    c.family.network = static_cast<NetworkKind>(network->as_choice(kNetworkKindNames, "network"));
  c.measured_in = read_measured_in(node);
  c.quality = read_quality(node);
  c.surface = read_surface(node, collective_axis_names());
  return c;
}

void read_measured_constants(const SpecNode& file, Calibration& c) {
  for (const SpecNode& s : file.required("sustained").items())
    c.sustained.push_back(
        {s.required("gpu").as_string(), s.required("rate").as_real({0.05, 2}), s.required("kernels").as_int(kCount)});
  for (const SpecNode& l : file.required("launches").items())
    c.launches.push_back({l.required("framework").as_string(), l.required("backward").as_bool(),
                          l.required("seconds").as_real({0, 1}) * seconds, l.required("samples").as_int(kCount)});
  for (const SpecNode& r : file.required("rates").items()) {
    MeasuredRate rate{.gpu = r.required("gpu").as_string(),
                      .what = r.required("what").as_string(),
                      .bandwidth = r.required("bytes_per_second").as_real() * bytes / seconds,
                      .latency = {},
                      .rows = r.required("rows").as_int(kCount)};
    if (const auto latency = r.optional("latency_seconds")) rate.latency = latency->as_real() * seconds;
    c.rates.push_back(rate);
  }
}

void read_provenance(const SpecNode& file, Calibration& c) {
  c.foretrain = file.required("foretrain").as_string();
  c.held_out = file.required("held_out").as_real({0, 1});
  if (const auto seed = file.optional("held_out_seed")) c.held_out_seed = seed->as_int(kCount);
  for (const SpecNode& s : file.required("sources").items())
    c.sources.push_back({s.required("file").as_string(), s.required("kind").as_string(),
                         s.required("sha256").as_string(), s.required("device").as_string(),
                         s.required("date").as_string(), s.required("rows").as_int(kCount),
                         s.required("used").as_int(kCount)});
  for (const SpecNode& l : file.required("left_out").items())
    c.left_out.push_back(
        {l.required("file").as_string(), l.required("why").as_string(), l.required("rows").as_int(kCount)});
}

std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw SpecError(path, "cannot read this file");
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw SpecError(path, "cannot read this file");
  return text;
}

constexpr const char* kHow =
    "log(measured / predicted) of the catalogue's models: a robust trend over log-shapes and a kernel "
    "regression of what it leaves, chosen by five-fold cross-validation; the border's correction outside of the "
    "measured range";

}  // namespace

Calibration read_calibration(const std::string& path) {
  const std::string text = read_bytes(path);
  const SpecNode file = SpecNode::parse(text, path);
  if (!file.is_object()) file.fail_expected("an object: a calibration");
  const SpecNode schema = file.required("schema");
  if (schema.as_string() != kCalibrationSchema)
    schema.fail_expected(fmt::format("\"{}\", as foretrain calibrate -o writes", kCalibrationSchema));
  file.allow_only({"schema", "$schema", "notes", "foretrain", "where", "when", "how", "held_out", "held_out_seed",
                   "sources", "left_out", "kernels", "collectives", "sustained", "launches", "rates"});
  Calibration c;
  c.name = std::filesystem::path(path).filename().string();
  c.sha256 = sha256(text);
  read_provenance(file, c);
  for (const SpecNode& node : file.required("kernels").items()) c.kernels.push_back(read_kernel_correction(node));
  for (const SpecNode& node : file.required("collectives").items())
    c.collectives.push_back(read_collective_correction(node));
  read_measured_constants(file, c);
  return c;
}

std::string calibration_text(const Calibration& c) {
  std::set<std::string> devices, dates;
  for (const CalibrationSource& s : c.sources) {
    if (!s.device.empty()) devices.insert(s.device);
    if (!s.date.empty()) dates.insert(s.date);
  }
  const auto name_of = [](const std::string& text) { return json_string(text); };
  std::string out =
      fmt::format("{{\n  \"schema\": \"{}\",\n  \"foretrain\": {},\n", kCalibrationSchema, json_string(c.foretrain));
  out += fmt::format("  \"where\": [{}],\n", list(devices, ", ", name_of));
  out += dates.empty() ? "  \"when\": null,\n"
                       : fmt::format("  \"when\": {{\"first\": {}, \"last\": {}}},\n", json_string(*dates.begin()),
                                     json_string(*dates.rbegin()));
  out += fmt::format("  \"how\": {},\n  \"held_out\": {},\n", json_string(kHow), c.held_out);
  if (c.held_out_seed != 0) out += fmt::format("  \"held_out_seed\": {},\n", c.held_out_seed);
  out += fmt::format("  \"sources\": {},\n", lines(c.sources, source_text));
  out += fmt::format("  \"left_out\": {},\n", lines(c.left_out, [](const LeftOutRows& l) {
                       return fmt::format(R"({{"file": {}, "why": {}, "rows": {}}})", json_string(l.file),
                                          json_string(l.why), l.rows);
                     }));
  out += fmt::format("  \"kernels\": {},\n", lines(c.kernels, kernel_text));
  out += fmt::format("  \"collectives\": {},\n", lines(c.collectives, collective_text));
  out += fmt::format("  \"sustained\": {},\n", lines(c.sustained, [](const MeasuredSustainedRate& s) {
                       return fmt::format(R"({{"gpu": {}, "rate": {}, "kernels": {}}})", json_string(s.gpu), s.rate,
                                          s.kernels);
                     }));
  out += fmt::format("  \"launches\": {},\n", lines(c.launches, [](const MeasuredLaunch& l) {
                       return fmt::format(R"({{"framework": {}, "backward": {}, "seconds": {}, "samples": {}}})",
                                          json_string(l.framework), l.backward, l.time.base(), l.samples);
                     }));
  out += fmt::format("  \"rates\": {}\n}}\n", lines(c.rates, [](const MeasuredRate& r) {
                       const std::string latency =
                           r.latency ? fmt::format(R"(, "latency_seconds": {})", r.latency->base()) : std::string();
                       return fmt::format(R"({{"gpu": {}, "what": {}, "bytes_per_second": {}{}, "rows": {}}})",
                                          json_string(r.gpu), json_string(r.what), r.bandwidth.base(), latency, r.rows);
                     }));
  return out;
}

}  // namespace foretrain
