/// Fits a calibration to measurements, and judges it row by row.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hwmodels/calibration.h"
#include "hwmodels/catalogue.h"
#include "validate/calibrate/measurement.h"

namespace foretrain {

/// One row: predicted without and with the calibration, as (predicted - measured) / measured.
struct JudgedRow {
  std::string gpu, family;
  MeasuredIn measured_in = MeasuredIn::isolated;
  bool collective = false;
  bool gemm = false;
  /// GEMMs of 10 GFLOP and more, attention of 10 GFLOP, 16 MiB moved, collectives of 1 MiB: what a step is made of.
  bool large = false;
  bool held_out = false, outside = false;
  double before = 0, after = 0;
};

struct CalibrationResult {
  Calibration calibration;
  std::vector<JudgedRow> rows;
};

/// The rows that only judge: a share of them, chosen by a hash of GPU and shape, so that a shape measured twice stays
/// on one side. Another seed chooses others.
struct HeldOut {
  double share = 0;  ///< [0, 1)
  std::int64_t seed = 0;
};

/// Corrections of every family that `files` measured, fitted to all rows but those held out. What a row's time holds
/// beside its last kernel is taken off as predicted; a row that is mostly that is left out.
///
/// Beside them: the rate that tensor cores sustain in steps, where isolated and step times of the same kernels are
/// there; host time of launches; latencies and bandwidths for readers.
/// SpecError when no row is left.
CalibrationResult calibrate(const std::vector<Measurements>& files, const Catalogue& catalogue, const HeldOut& held_out,
                            const std::string& version);

/// |error| of the rows that are wanted, without and with the calibration.
Residuals residuals_of(const std::vector<double>& errors);

}  // namespace foretrain
