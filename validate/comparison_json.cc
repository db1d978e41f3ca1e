#include "validate/comparison_json.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

Json summary_json(const ErrorSummary& s) {
  return {{"count", s.count},
          {"mape", s.mape},
          {"median_ape", s.median_ape},
          {"p90_ape", s.p90_ape},
          {"max_ape", s.max_ape},
          {"bias", s.bias},
          {"spearman", s.spearman},
          {"within_10_percent", s.within_10_percent},
          {"inside_interval", s.inside_interval}};
}

}  // namespace

std::string comparison_json(const Comparison& comparison, const Calibration* calibration) {
  Json document = {{"rows", Json::array()}, {"summary", Json::object()}, {"refused", Json::array()}};
  for (const ComparisonRow& row : comparison.rows) {
    Json entry = {
        {"id", row.id},           {"quantity", row.quantity}, {"predicted", row.predicted}, {"measured", row.measured},
        {"error", error_of(row)}, {"groups", row.groups}};
    if (row.high > 0) {
      entry["predicted_p10"] = row.low;
      entry["predicted_p90"] = row.high;
    }
    document["rows"].push_back(std::move(entry));
  }
  for (const auto& [quantity, summary] : summarise_by_quantity(comparison.rows)) {
    Json all = summary_json(summary.all);
    all["groups"] = Json::object();
    for (const auto& [group, part] : summary.groups) all["groups"][group] = summary_json(part);
    document["summary"][quantity] = all;
  }
  for (const RefusedRow& row : comparison.refused) document["refused"].push_back({{"id", row.id}, {"why", row.why}});
  if (calibration != nullptr) document["calibration"] = {{"name", calibration->name}, {"sha256", calibration->sha256}};
  return document.dump(2) + "\n";
}

}  // namespace foretrain
