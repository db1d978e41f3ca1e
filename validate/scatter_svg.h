/// A scatter of predicted against measured as an SVG: both axes logarithmic, the identity, the band of 10 % around it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace foretrain {

struct ScatterPoint {
  double measured = 0, predicted = 0;  ///< both > 0, in units of the axes
  std::size_t series = 0;
  std::string label;  ///< shown when the mouse rests on it; "" = none, and a smaller file
};

struct Scatter {
  std::string title;
  std::string unit;                 ///< of both axes: "s", "GiB"
  std::vector<std::string> series;  ///< names for the legend, one colour each
  std::vector<ScatterPoint> points;
};

/// The drawing, 640 x 520, in light and dark by the reader's preference. The same scatter gives the same bytes.
std::string scatter_svg(const Scatter& scatter);

}  // namespace foretrain
