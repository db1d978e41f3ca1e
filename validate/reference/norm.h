/// RMSNorm and LayerNorm, forward and backward.
#pragma once

#include "validate/reference/values.h"

namespace foretrain::reference {

enum class Norm { rms, layer };

/// x [rows, cols], normalised over each row.
struct NormShape {
  Norm norm = Norm::rms;
  std::int64_t rows = 1, cols = 1;
  double epsilon = 1e-5;
};

struct NormResult {
  Values y;                  ///< [rows, cols]
  Values mean;               ///< [rows]; 0 for RMSNorm
  Values inverse_deviation;  ///< [rows]: 1 / sqrt(mean((x - mean)^2) + epsilon)
};

/// y = (x - mean) inverse_deviation weight + bias. weight [cols]; bias [cols], or empty for none.
NormResult norm(const NormShape& shape, View x, View weight, View bias = {});

struct NormGradient {
  Values dx;              ///< [rows, cols]
  Values dweight, dbias;  ///< [cols]: sums over this call's rows
};

/// With h = (x - mean) inverse_deviation and g = dy weight:
/// dx = inverse_deviation (g - h mean(g h) [- mean(g), LayerNorm only]), dweight = sum dy h, dbias = sum dy.
NormGradient norm_backward(const NormShape& shape, View x, View weight, const NormResult& forward, View dy);

}  // namespace foretrain::reference
