#include "validate/device/measured.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "hwmodels/kernel_json.h"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

constexpr IntRange kAnyCount = {.least = 0, .most = std::int64_t{1} << 60};
constexpr RealRange kAnyTime = {.least = 0, .most = 1e15};

std::string text_of(const SpecNode& node, std::string_view key) {
  const auto value = node.optional(key);
  return value ? value->as_string() : std::string();
}
std::int64_t count_of(const SpecNode& node, std::string_view key, std::int64_t otherwise) {
  const auto value = node.optional(key);
  return value ? value->as_int(kAnyCount) : otherwise;
}

/// Between neighbours where it lies between two: of {1, 2, 3, 4} the middle is 2.5.
double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

MeasuredTime read_time(const SpecNode& node) {
  MeasuredTime time;
  time.skipped = text_of(node, "skipped");
  std::vector<double> samples;
  if (const auto list = node.optional("samples_us"))
    for (const SpecNode& sample : list->items())
      if (!sample.is_null()) samples.push_back(sample.as_real(kAnyTime));  // null: a time that was no number
  time.samples = static_cast<std::int64_t>(samples.size());
  if (const auto median = node.optional("median_us")) {
    time.median = median->as_real(kAnyTime) * microseconds;
  } else if (!samples.empty()) {
    time.median = quantile(samples, 0.5) * microseconds;
  }
  if (!samples.empty() && time.median->base() > 0)
    time.spread = (quantile(samples, 0.9) - quantile(samples, 0.1)) / (*time.median / microseconds);
  if (!time.median && time.skipped.empty()) {
    if (!node.optional("samples_us")) node.fail("expected median_us, samples_us or skipped");
    time.skipped = "no sample is a number";
  }
  return time;
}

MeasuredKernel read_measured_kernel(const SpecNode& node) {
  return {read_kernel(node.required("work")), read_time(node)};
}

CollectiveOp read_op(const SpecNode& node) {
  return static_cast<CollectiveOp>(node.as_choice(kCollectiveNames, "collective"));
}
bool flag_of(const SpecNode& node, std::string_view key, bool otherwise) {
  const auto value = node.optional(key);
  return value ? value->as_bool() : otherwise;
}

template <typename Read>
void each(const SpecNode& file, std::string_view list, const Read& read) {
  const auto entries = file.optional(list);
  if (!entries) return;
  for (const SpecNode& entry : entries->items()) read(entry);
}

}  // namespace

MeasuredRun read_measured(const SpecNode& file) {
  if (text_of(file, "schema") != "foretrain.measurements/1")
    file.fail("expected measurements (\"schema\": \"foretrain.measurements/1\")");
  MeasuredRun run;
  if (const auto device = file.optional("device")) run.gpu = text_of(*device, "gpu");
  run.complete = flag_of(file, "complete", true);
  each(file, "kernels", [&](const SpecNode& n) {
    run.kernels.push_back({read_kernel(n.required("work")), read_time(n)});
  });
  each(file, "collectives", [&](const SpecNode& n) {
    run.collectives.push_back({read_op(n.required("op")), count_of(n, "bytes", 0), count_of(n, "ranks", 1),
                               count_of(n, "ranks_per_node", 0), count_of(n, "gpus", 0), read_time(n)});
  });
  each(file, "steps", [&](const SpecNode& n) {
    MeasuredStep step = {text_of(n, "name"), count_of(n, "rank", 0), flag_of(n, "cuda_graph", false), read_time(n), {}};
    each(n, "kernels", [&](const SpecNode& k) { step.kernels.push_back(read_measured_kernel(k)); });
    run.steps.push_back(std::move(step));
  });
  each(file, "memory", [&](const SpecNode& n) {
    run.memory.push_back({text_of(n, "name"), count_of(n, "rank", 0), count_of(n, "peak_bytes", 0)});
  });
  each(file, "checks", [&](const SpecNode& n) {
    run.checks.push_back({text_of(n, "name"), flag_of(n, "passed", false), text_of(n, "detail")});
  });
  each(file, "failures",
       [&](const SpecNode& n) { run.failures.push_back(text_of(n, "what") + ": " + text_of(n, "why")); });
  return run;
}

std::string join_measurements(const std::vector<std::string>& texts, std::string_view facts) {
  Json joined = {{"schema", "foretrain.measurements/1"}};
  const Json first = parse_json(facts, "facts");
  for (const auto& entry : first.items()) joined[entry.key()] = entry.value();
  joined["complete"] = true;
  for (const std::string& text : texts) {
    const Json part = parse_json(text, "measurements");
    if (!part.is_object()) throw SpecError("measurements", "expected a JSON object");
    for (const auto& entry : part.items()) {
      const std::string& key = entry.key();
      const Json& value = entry.value();
      if (key == "complete") {
        if (!value.is_boolean() || !value.get<bool>()) joined[key] = false;
      } else if (value.is_array() && joined.contains(key) && joined[key].is_array()) {
        for (const Json& element : value) joined[key].push_back(element);
      } else if (!joined.contains(key)) {
        joined[key] = value;
      }
    }
  }
  return joined.dump(1) + "\n";
}

}  // namespace foretrain
