#include "validate/scatter_svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

namespace foretrain {
namespace {

// Where the axes stand on the page, in pixels.
constexpr double kLeft = 64, kTop = 44, kSize = 400, kLegend = 484;

// Okabe and Ito's colours, told apart with every kind of colour vision; then grey for whatever follows.
constexpr std::array<std::string_view, 8> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#e69f00", "#56b4e9", "#b8a500", "#888888"};

constexpr std::string_view kStyle = R"(<style>
text{font:12px system-ui,sans-serif;fill:#222}
.title{font-size:14px;font-weight:600}
.back{fill:#fff}.grid{stroke:#ddd}.frame{stroke:#888;fill:none}.same{stroke:#444;stroke-width:1.2}.band{fill:#888;fill-opacity:.18}
.p{fill-opacity:.75}.m{fill:none;stroke-width:3.2;stroke-linecap:round;stroke-opacity:.6}
@media (prefers-color-scheme:dark){
text{fill:#ddd}.back{fill:#16181c}.grid{stroke:#333}.frame{stroke:#777}.same{stroke:#bbb}}
</style>
)";

std::string_view colour(std::size_t series) { return kColours[std::min(series, kColours.size() - 1)]; }

/// `text` as character data.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

/// The powers of ten that both axes span, and where a value lies between them.
struct Axis {
  double low = 0, high = 1;  // log10
  double at(double value) const { return (std::log10(value) - low) / (high - low) * kSize; }
  double x(double value) const { return kLeft + at(value); }
  double y(double value) const { return kTop + kSize - at(value); }
};

/// Wide enough for all points and a tenth of a decade around them.
Axis axis_for(const std::vector<ScatterPoint>& points) {
  double least = 1e300, most = 0;
  for (const ScatterPoint& p : points) {
    least = std::min({least, p.measured, p.predicted});
    most = std::max({most, p.measured, p.predicted});
  }
  if (points.empty()) least = 1, most = 10;
  Axis axis{std::log10(least) - 0.1, std::log10(most) + 0.1};
  if (axis.high - axis.low < 0.4) {
    const double middle = (axis.high + axis.low) / 2;
    axis = {middle - 0.2, middle + 0.2};
  }
  return axis;
}

/// Lines at 1, 2 and 5 of every decade, or at its 1 alone when there are many.
std::string grid(const Axis& axis) {
  const bool sparse = axis.high - axis.low > 3;
  const bool dense = axis.high - axis.low < 0.8;
  std::string out;
  for (int decade = static_cast<int>(std::floor(axis.low)); decade <= static_cast<int>(std::ceil(axis.high));
       ++decade) {
    for (int digit = 1; digit <= 9; ++digit) {
      if (sparse && digit != 1) continue;
      if (!dense && digit != 1 && digit != 2 && digit != 5) continue;
      const double value = digit * std::pow(10.0, decade);
      if (std::log10(value) < axis.low || std::log10(value) > axis.high) continue;
      const double x = axis.x(value), y = axis.y(value);
      out += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}v{:.0f}M{:.1f} {:.1f}h{:.0f}\"/>\n", x, kTop, kSize,
                         kLeft, y, kSize);
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:g}</text>", x, kTop + kSize + 16,
                         value);
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>\n", kLeft - 6, y + 4, value);
    }
  }
  return out;
}

/// From corner to corner, and 10 % to either side; what leaves the frame is clipped.
std::string identity_and_band(const Axis& axis) {
  const double above = std::log10(1.1) / (axis.high - axis.low) * kSize;
  const double below = -std::log10(0.9) / (axis.high - axis.low) * kSize;
  const double right = kLeft + kSize, bottom = kTop + kSize;
  return fmt::format(
             "<g clip-path=\"url(#frame)\"><path class=\"band\" d=\"M{0} {1:.1f}L{2} {3:.1f}V{4:.1f}L{0} "
             "{5:.1f}z\"/>\n",
             kLeft, bottom - above, right, kTop - above, kTop + below, bottom + below) +
         fmt::format("<path class=\"same\" d=\"M{} {}L{} {}\"/></g>\n", kLeft, bottom, right, kTop);
}

std::string points_of(const Scatter& scatter, std::size_t series, const Axis& axis) {
  std::string circles, moves;
  for (const ScatterPoint& p : scatter.points) {
    if (p.series != series) continue;
    if (p.label.empty()) {
      moves += fmt::format("M{:.1f} {:.1f}h0", axis.x(p.measured), axis.y(p.predicted));
    } else {
      circles += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}: measured {:.4g}, predicted {:.4g} "
          "{}</title></circle>\n",
          axis.x(p.measured), axis.y(p.predicted), escaped(p.label), p.measured, p.predicted, escaped(scatter.unit));
    }
  }
  std::string out;
  if (!circles.empty()) out += fmt::format("<g class=\"p\" fill=\"{}\">\n{}</g>\n", colour(series), circles);
  if (!moves.empty()) out += fmt::format("<path class=\"m\" stroke=\"{}\" d=\"{}\"/>\n", colour(series), moves);
  return out;
}

std::string legend(const Scatter& scatter) {
  std::string out;
  for (std::size_t i = 0; i < scatter.series.size(); ++i) {
    const double y = kTop + 10 + 18 * static_cast<double>(i);
    out += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"4\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>\n", kLegend,
                       y, colour(i), kLegend + 10, y + 4, escaped(scatter.series[i]));
  }
  return out;
}

}  // namespace

std::string scatter_svg(const Scatter& scatter) {
  const Axis axis = axis_for(scatter.points);
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 520\" width=\"640\" height=\"520\" role=\"img\">\n";
  out += fmt::format("<title>{}</title>\n{}", escaped(scatter.title), kStyle);
  out += fmt::format("<clipPath id=\"frame\"><rect x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{2}\"/></clipPath>\n",
                     kLeft, kTop, kSize);
  out += "<rect class=\"back\" width=\"640\" height=\"520\"/>\n";
  out += fmt::format("<text class=\"title\" x=\"{}\" y=\"26\">{}</text>\n", kLeft, escaped(scatter.title));
  out += grid(axis) + identity_and_band(axis);
  out += fmt::format("<rect class=\"frame\" x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{2}\"/>\n", kLeft, kTop, kSize);
  for (std::size_t series = scatter.series.size(); series-- > 0;)
    out += points_of(scatter, series, axis);  // first on top
  out += legend(scatter);
  out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">measured, {}</text>\n", kLeft + kSize / 2,
                     kTop + kSize + 38, escaped(scatter.unit));
  out += fmt::format("<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">predicted, {}</text>\n",
                     kTop + kSize / 2, escaped(scatter.unit));
  return out + "</svg>\n";
}

}  // namespace foretrain
