#include "validate/calibrate/kineto.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/spec_error.h"

namespace foretrain {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
double real_of(const Json& object, const char* key, double otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : otherwise;
}
std::int64_t count_of(const Json& object, const char* key, std::int64_t otherwise) {
  const auto found = object.find(key);
  if (found == object.end()) return otherwise;
  if (found->is_number_integer()) return found->get<std::int64_t>();
  std::int64_t value = otherwise;  // some versions write counts as text
  if (found->is_string()) {
    const std::string& text = found->get_ref<const std::string&>();
    std::from_chars(text.data(), text.data() + text.size(), value);
  }
  return value;
}

std::vector<Dims> dims_of(const Json& args, const char* key) {
  std::vector<Dims> all;
  const auto found = args.find(key);
  if (found == args.end() || !found->is_array()) return all;
  for (const Json& item : *found) {
    Dims dims;
    if (item.is_array())
      for (const Json& size : item) dims.push_back(size.is_number_integer() ? size.get<std::int64_t>() : -1);
    all.push_back(dims);
  }
  return all;
}
std::vector<std::string> texts_of(const Json& args, const char* key) {
  std::vector<std::string> all;
  const auto found = args.find(key);
  if (found == args.end() || !found->is_array()) return all;
  for (const Json& item : *found) all.push_back(item.is_string() ? item.get<std::string>() : std::string());
  return all;
}

/// "[0, 1, 2]", also when it ends in "...".
std::vector<std::int64_t> ranks_of(const Json& args) {
  std::vector<std::int64_t> ranks;
  const std::string text = text_of(args, "Process Group Ranks");
  const char* end = text.data() + text.size();
  for (const char* at = text.data(); at < end;) {
    std::int64_t rank = 0;
    const auto [next, error] = std::from_chars(at, end, rank);
    if (error == std::errc()) ranks.push_back(rank);
    at = error == std::errc() ? next : at + 1;
  }
  return ranks;
}

class Events {
 public:
  explicit Events(KinetoTrace& trace) : trace_(trace) {}

  void add(const Json& event) {
    ++seen_;
    if (text_of(event, "ph") != "X") return;
    const std::string category = text_of(event, "cat");
    const auto found = event.find("args");
    static const Json kNone = Json::object();
    const Json& args = found != event.end() && found->is_object() ? *found : kNone;
    if (category == "kernel" || category == "Kernel") {
      kernel(event, args);
    } else if (category == "cpu_op" || category == "Operator") {
      op(event, args);
    } else if (category == "cuda_runtime" || category == "cuda_driver" || category == "Runtime") {
      launch(event, args);
    }
  }
  [[nodiscard]] std::int64_t seen() const { return seen_; }
  void finish() { trace_.backward_threads.assign(backward_.begin(), backward_.end()); }

 private:
  void kernel(const Json& event, const Json& args) {
    TraceKernel k{.name = text_of(event, "name"),
                  .duration_us = real_of(event, "dur", 0),
                  .external_id = count_of(args, "External id", count_of(args, "external id", -1)),
                  .correlation = count_of(args, "correlation", -1),
                  .collective = {}};
    if (const std::string name = text_of(args, "Collective name"); !name.empty()) {
      k.collective = TraceCollective{.name = name,
                                     .dtype = text_of(args, "dtype"),
                                     .in_elements = count_of(args, "In msg nelems", 0),
                                     .out_elements = count_of(args, "Out msg nelems", 0),
                                     .group_size = count_of(args, "Group size", 0),
                                     .ranks = ranks_of(args)};
    }
    trace_.kernels.push_back(std::move(k));
  }

  void op(const Json& event, const Json& args) {
    const std::string name = text_of(event, "name");
    if (name.starts_with("autograd::engine::evaluate_function")) backward_.insert(count_of(event, "tid", -1));
    const std::int64_t id = count_of(args, "External id", count_of(args, "external id", -1));
    if (id < 0) return;
    TraceOp& op = trace_.ops[id];
    op = {.name = name,
          .dims = dims_of(args, "Input Dims"),
          .strides = dims_of(args, "Input Strides"),
          .types = texts_of(args, "Input type"),
          .concrete = texts_of(args, "Concrete Inputs"),
          .has_dims = args.contains("Input Dims")};
  }

  void launch(const Json& event, const Json& args) {
    const std::string name = text_of(event, "name");
    const bool launches = name.find("LaunchKernel") != std::string::npos;
    if (!launches) return;
    trace_.launches.push_back({count_of(event, "tid", 0), real_of(event, "ts", 0)});
    const std::int64_t correlation = count_of(args, "correlation", -1);
    const std::int64_t id = count_of(args, "External id", count_of(args, "external id", -1));
    if (correlation >= 0 && id >= 0) trace_.owners[correlation] = id;
  }

  KinetoTrace& trace_;
  std::int64_t seen_ = 0;
  std::set<std::int64_t> backward_;
};

/// Builds one event, or one value beside them, at a time: a trace may be far larger than what it is reduced to.
class Reader : public nlohmann::json_sax<Json> {
 public:
  Reader(KinetoTrace& trace, Events& events) : trace_(trace), events_(events) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return value(v); }
  bool number_unsigned(number_unsigned_t v) override { return value(v); }
  bool number_float(number_float_t v, const string_t&) override { return value(v); }
  bool string(string_t& v) override { return value(std::move(v)); }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (stack_.empty()) {
      top_key_ = name;
    } else {
      keys_.back() = name;
    }
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    error_at_ = position;
    return false;
  }
  [[nodiscard]] std::size_t error_at() const { return error_at_; }

 private:
  bool open(Json container) {
    ++depth_;
    const bool events = depth_ == 2 && top_key_ == "traceEvents" && container.is_array();
    if (events) in_events_ = true;
    if (depth_ == 1 || events) return true;
    stack_.push_back(std::move(container));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    --depth_;
    if (stack_.empty()) {
      in_events_ = false;
      return true;
    }
    Json done = std::move(stack_.back());
    stack_.pop_back();
    keys_.pop_back();
    return value(std::move(done));
  }
  bool value(Json v) {
    if (!stack_.empty()) {
      Json& parent = stack_.back();
      if (parent.is_array()) {
        parent.push_back(std::move(v));
      } else {
        parent[keys_.back()] = std::move(v);
      }
    } else if (in_events_) {
      if (v.is_object()) events_.add(v);
    } else if (top_key_ == "deviceProperties" && v.is_array() && !v.empty() && v[0].is_object()) {
      trace_.device = text_of(v[0], "name");
    }
    return true;
  }

  KinetoTrace& trace_;
  Events& events_;
  std::vector<Json> stack_;        // what is being built inside an event or a value of the top level
  std::vector<std::string> keys_;  // the key that waits for its value, by container of stack_
  std::string top_key_;
  int depth_ = 0;
  bool in_events_ = false;
  std::size_t error_at_ = 0;
};

}  // namespace

KinetoTrace read_kineto_trace(std::string_view text, const std::string& path) {
  KinetoTrace trace;
  Events events(trace);
  Reader reader(trace, events);
  const bool whole = Json::sax_parse(text.begin(), text.end(), &reader);
  events.finish();
  if (!whole) {
    const std::size_t at = std::min(reader.error_at(), text.size());
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    const bool at_end = text.find_last_not_of(" \t\r\n\0", at + 1) == std::string_view::npos ||
                        at + 1 >= text.find_last_not_of(" \t\r\n");
    const std::string where = fmt::format("{}:{}", path, line);
    if (!at_end || events.seen() == 0) throw SpecError(where, "expected a Kineto trace (JSON with \"traceEvents\")");
    trace.warnings.push_back(
        fmt::format("{}: the trace ends here; the {} events before are kept", where, events.seen()));
  }
  if (events.seen() == 0) throw SpecError(path, "expected a Kineto trace with events in \"traceEvents\"; it has none");
  return trace;
}

}  // namespace foretrain
