#include "foretrain/job_content.h"
#include "hwmodels/catalogue.h"
#include "validate/comparison_json.h"
#include "validate/published.h"

namespace foretrain {

Accuracy compare(const std::vector<std::string>& files, int threads, const std::string& calibration_file) {
  return with_own_errors([&] {
    const Catalogue catalogue = Catalogue::load();
    const std::shared_ptr<const Calibration> calibration = calibration_in(calibration_file);
    Comparison all;
    for (const std::string& path : files) append(all, compare_file(path, catalogue, threads, calibration));
    Accuracy accuracy;
    for (const ComparisonRow& row : all.rows)
      accuracy.rows.push_back({row.id, row.quantity, row.predicted, row.measured, error_of(row)});
    for (const auto& [quantity, summary] : summarise_by_quantity(all.rows)) {
      const ErrorSummary& s = summary.all;
      accuracy.quantities.push_back({quantity, s.count, s.mape, s.median_ape, s.max_ape, s.bias, s.spearman});
    }
    for (const RefusedRow& row : all.refused) accuracy.refused.emplace_back(row.id, row.why);
    accuracy.json = comparison_json(all, calibration.get());
    return accuracy;
  });
}

}  // namespace foretrain
