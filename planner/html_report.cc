#include "planner/html_report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/sha256.h"
#include "planner/report_timeline.h"

namespace foretrain {

extern const char kReportScript[];  // planner/html/*.js
extern const char kReportStyle[];   // planner/html/report.css

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostPlans = 20, kMostStages = 200;  // written in full: some 80 kB
constexpr std::size_t kMostSlices = 24'000, kFewestSlices = 4'000;
constexpr std::size_t kBytesPerSlice = 20;     // at most: "12345678,12345678,1,123," is more than most have
constexpr std::size_t kMostBytes = 1'000'000;  // of the page

/// As text of a script element: JSON allows "<" to be escaped, and without it nothing can end the element.
std::string in_script(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
  }
  return out;
}

std::string in_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// The SHA-256 of `text` as a content security policy names it.
std::string policy_hash(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string hex = sha256(text);
  std::uint32_t bits = 0;
  int count = 0;
  std::string out = "sha256-";
  for (const char c : hex) {  // 64 digits are 256 bits: 42 groups of six and four bits more
    bits = (bits << 4 | static_cast<std::uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10)) & 0xfffU;
    count += 4;
    if (count < 6) continue;
    count -= 6;
    out += kDigits[bits >> count & 63U];
  }
  out += kDigits[bits << (6 - count) & 63U];
  return out + "=";
}

Json trade_off_json(const TradeOff& t, Bytes limit) {
  std::map<std::string, std::size_t> known;
  Json words = Json::array(), step = Json::array(), peak = Json::array(), kind = Json::array(), plans = Json::array(),
       words_of = Json::array();
  for (const TradeOffPoint& p : t.points) {
    step.push_back(std::llround(p.step / microseconds));
    peak.push_back(std::llround(p.peak / KiB));
    kind.push_back(!p.fits ? 2 : p.simulated ? 0 : 1);
    plans.push_back(p.plans);
    Json own = Json::array();
    const std::string text = to_text(p.plan);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      const auto [word, is_new] = known.try_emplace(text.substr(at, end - at), known.size());
      if (is_new) words.push_back(word->first);
      own.push_back(word->second);
      at = end + 1;
    }
    words_of.push_back(std::move(own));
  }
  return {{"fitting", t.fitting},
          {"too_big", t.too_big},
          {"binned", t.binned},
          {"front_complete", t.front_complete},
          {"front", t.front},
          {"view",
           {{"step_seconds", {(t.fastest / 1.05).base(), (t.slowest * 1.05).base()}},
            {"bytes", (kMemoryRange * limit).base()}}},
          {"words", std::move(words)},
          {"words_of", std::move(words_of)},
          {"step_us", std::move(step)},
          {"peak_kib", std::move(peak)},
          {"kind", std::move(kind)},
          {"plans", std::move(plans)}};
}

Json timeline_json(const ReportTimeline& t) {
  Json stages = Json::array();
  for (const ReportStage& stage : t.stages) {
    Json lanes = Json::array();
    for (const ReportLane& lane : stage.lanes) {
      Json slices = Json::array();  // gap before, length, name, index
      std::int64_t now = 0;
      for (const ReportSlice& s : lane.slices) {
        slices.push_back(s.start - now);
        slices.push_back(s.end - s.start);
        slices.push_back(s.name);
        slices.push_back(s.index);
        now = s.end;
      }
      lanes.push_back({{"name", lane.name}, {"slices", std::move(slices)}});
    }
    stages.push_back({{"name", stage.name}, {"alike", stage.alike}, {"lanes", std::move(lanes)}});
  }
  return {{"makespan_us", t.makespan}, {"note", t.note}, {"names", t.names}, {"stages", std::move(stages)}};
}

Json links_json(const sim::TaskGraph& graph, const sim::Timeline& timeline) {
  Json links = Json::array();
  const Seconds whole = to_seconds(timeline.makespan);
  for (std::size_t i = 0; i < graph.links().size(); ++i) {
    const sim::Link& link = graph.links()[i];
    const Bytes carried = timeline.link_bytes[i];
    if (carried.base() <= 0) continue;
    links.push_back({{"name", link.name},
                     {"bytes", carried.base()},
                     {"capacity_bytes_per_second", link.capacity.base()},
                     {"use", carried / whole / link.capacity}});
  }
  return links;
}

Json part_json(const std::map<std::string, PartResidual>& parts, const std::string& gpu) {
  const auto own = parts.find(gpu);
  return {{"own", own != parts.end()},
          {"rows", own != parts.end() ? own->second.rows : 0},
          {"log_sd", log_sd_of(parts, gpu)}};
}

Json accuracy_json(const Problem& problem) {
  if (problem.residuals == nullptr) return nullptr;
  const ResidualSpec& r = *problem.residuals;
  const std::string key = residual_key(problem.software, problem.training.precision);
  const StepResidual& runs = residual_of(r, key);
  return {{"trainer", key},
          {"own_runs", &runs != &r.any_step},
          {"runs", runs.rows},
          {"log_bias", runs.log_bias},
          {"log_width", runs.log_width},
          {"gpu", problem.cluster.gpu.name},
          {"kernels", part_json(r.kernels, problem.cluster.gpu.name)},
          {"collectives", part_json(r.collectives, problem.cluster.gpu.name)},
          {"ranking", {{"rows", r.ranking.rows}, {"log_sd", r.ranking.log_sd}}}};
}

/// What plan 1 does in a step, in what is left of the page after `used` bytes.
void add_step(Json& details, const HtmlReportInput& input, std::size_t used) {
  details["timeline"] = timeline_json({});
  details["links"] = Json::array();
  if (input.result.plans.empty() || input.result.plans.front().step.base() <= 0) return;
  const PlanReport& best = input.result.plans.front();
  const DetailedReport d = evaluate_in_detail(input.problem, best.plan, {.even_if_too_big = true});
  const std::size_t room = used < kMostBytes ? (kMostBytes - used) / kBytesPerSlice : 0;
  ReportTimeline timeline = report_timeline(d.graph, d.timeline, std::clamp(room, kFewestSlices, kMostSlices));
  if (to_picoseconds(best.step) != d.timeline.makespan)
    timeline.note += " This step has fewer micro-batches than the plan's, which repeats the same pattern for longer.";
  details["timeline"] = timeline_json(timeline);
  details["links"] = links_json(d.graph, d.timeline);
}

Json details_of(const HtmlReportInput& input, const Json& plan_file) {
  const Json& job = plan_file.at("job");
  const bool named = job.contains("name") && job.at("name").is_string();
  const std::size_t written = plan_file.at("plans").size();
  Json texts = Json::array();
  for (std::size_t i = 0; i < written; ++i) texts.push_back(to_text(input.result.plans[i].plan));
  Json details = {{"title", named ? job.at("name").get<std::string>() : input.problem.model.name},
                  {"subtitle", input.subtitle},
                  {"command", input.command},
                  {"searched", input.trade_off != nullptr},
                  {"memory_limit_bytes", memory_limit(input.problem.cluster.gpu).base()},
                  {"plan_texts", std::move(texts)},
                  {"plans_left_out", input.result.plans.size() - written},
                  {"accuracy", accuracy_json(input.problem)}};
  if (!input.result.plans.empty()) {
    const PlanReport& best = input.result.plans.front();
    const std::int64_t idle = input.problem.cluster.gpus - gpus_used(best.plan);
    if (idle > 0) details["idle_gpus"] = fmt::format("{} of {} GPUs stay idle.", idle, input.problem.cluster.gpus);
    if (best.rejection) details["rejection"] = fmt::format("It cannot run: {}.", best.rejection->rule);
  }
  if (input.result.nearest_miss) details["nearest_miss_text"] = to_text(input.result.nearest_miss->plan);
  if (input.trade_off != nullptr)
    details["trade_off"] = trade_off_json(*input.trade_off, memory_limit(input.problem.cluster.gpu));
  return details;
}

}  // namespace

std::size_t plans_in_report(const SearchResult& result) {
  std::size_t plans = 0, stages = 0;
  for (const PlanReport& report : result.plans) {
    stages += report.stages.size();
    if (plans == kMostPlans || (plans > 0 && stages > kMostStages)) break;
    ++plans;
  }
  return plans;
}

std::string html_report(const HtmlReportInput& input) {
  const Json plan_file = parse_json(input.plan_file, "plans");
  const std::string plans = in_script(plan_file);
  const std::string script = std::string("\"use strict\";\n(() => {\n") + kReportScript + "})();\n";
  const std::string_view style = kReportStyle;
  Json details = details_of(input, plan_file);
  constexpr std::size_t kFrame = 10'000;  // the elements around these, the links
  add_step(details, input, plans.size() + script.size() + style.size() + in_script(details).size() + kFrame);
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += fmt::format(
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src '{}'; style-src '{}'; "
      "img-src data:; base-uri 'none'; form-action 'none'\">\n",
      policy_hash(script), policy_hash(style));
  page +=
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n";
  page += fmt::format("<title>{}</title>\n<style>", in_html(details.at("title").get<std::string>() + " - foretrain"));
  page += style;
  page +=
      "</style>\n</head>\n<body>\n<main id=\"report\"></main>\n<div id=\"tip\" role=\"status\"></div>\n<noscript><p>";
  page += in_html(input.subtitle) +
          ". The charts need JavaScript; the numbers stand in this file as JSON, in the element with id plans.";
  page += "</p></noscript>\n<script type=\"application/json\" id=\"plans\">" + plans + "</script>\n";
  page += "<script type=\"application/json\" id=\"details\">" + in_script(details) + "</script>\n";
  page += "<script>" + script + "</script>\n</body>\n</html>\n";
  return page;
}

}  // namespace foretrain
