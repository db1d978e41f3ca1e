/// A report of plans as one HTML file that needs nothing else: no network, no library, no server.
#pragma once

#include <string>
#include <string_view>

#include "planner/report.h"
#include "planner/trade_off.h"

namespace foretrain {

struct HtmlReportInput {
  const Problem& problem;
  const SearchResult& result;  ///< of plan, or of as_search_result()
  const TradeOff* trade_off;   ///< null: one plan was predicted, none was searched for
  /// The plan file's text of `result` (plan_file_text), or of its first plans: the page shows its numbers.
  std::string_view plan_file;
  std::string_view command;   ///< how to make this report again
  std::string_view subtitle;  ///< model, GPUs and batch in one line
};

/// Plans that a report of `result` holds in full: the first 20, or fewer where they have many stages. Give
/// plan_file_text of that many.
std::size_t plans_in_report(const SearchResult& result);

/// The whole file. Its numbers are those of `plan_file`, which stands in it as it is; beside it stand the trade-off,
/// the timeline of plan 1 (simulated again), the use of links and what error bars are made of. All text of the job
/// reaches the page as text nodes. A content security policy admits the page's own script and style and nothing else.
/// At most 1 MB as long as job and plan file are ordinary: long timelines lose their middle, many plans share points.
std::string html_report(const HtmlReportInput& input);

}  // namespace foretrain
