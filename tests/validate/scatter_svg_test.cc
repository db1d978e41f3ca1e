#include "validate/scatter_svg.h"

#include <string>

#include <doctest/doctest.h>

using namespace foretrain;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("axes are logarithmic: the geometric mean of the corners lies in the middle") {
  // Points at 1 and 100 with a tenth of a decade around them: 10 is half-way. The frame is 400 wide from 64, 44.
  const std::string svg = scatter_svg({"t", "s", {"gpu"}, {{1, 1, 0, "a"}, {100, 100, 0, "b"}, {10, 10, 0, "c"}}});
  CHECK(has(svg, "<circle cx=\"264.0\" cy=\"244.0\" r=\"3\"><title>c: measured 10, predicted 10 s</title>"));
}

TEST_CASE("a point that predicts too much lies above the identity") {
  // 2 decades and a margin of 0.1 at each end on 400: 400 x 0.1 / 2.2 = 18.2 from the left and from the top.
  const std::string svg = scatter_svg({"t", "s", {"gpu"}, {{1, 100, 0, "a"}}});
  CHECK(has(svg, "cx=\"82.2\" cy=\"62.2\""));  // 64 + 18.2 and 44 + 18.2
}

TEST_CASE("what a label holds is escaped, and unlabelled points share one path") {
  const std::string svg =
      scatter_svg({"a < b & \"c\"", "s", {"<gpu>"}, {{1, 1, 0, ""}, {2, 2, 0, ""}, {3, 3, 0, "<x>"}}});
  CHECK(has(svg, "<title>a &lt; b &amp; &quot;c&quot;</title>"));
  CHECK(has(svg, "&lt;gpu&gt;"));
  CHECK(has(svg, "<title>&lt;x&gt;: measured 3"));
  CHECK(has(svg, "h0M"));
}

TEST_CASE("no points give an empty frame, not an error") { CHECK(has(scatter_svg({"t", "s", {}, {}}), "</svg>")); }
