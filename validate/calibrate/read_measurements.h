/// Any file with measurements, by what it holds.
#pragma once

#include <string>

#include "hwmodels/catalogue.h"
#include "validate/calibrate/measurement.h"

namespace foretrain {

/// Reads one of
///
///     foretrain.measurements/1    what `foretrain validate` wrote            (measurement_file.h)
///     nccl-tests output           text of every generation, and -J JSON      (nccl_log.h)
///     PyTorch Kineto trace        torch.profiler's JSON                      (kineto.h)
///     kernels as CSV              gemm, attention, memory-bound              (kernel_rows.h)
///     collective runs as JSON     published runs                             (collective_rows.h)
///
/// SpecError when the file is none of these, or is one that is not well formed.
Measurements read_measurements(const std::string& path, const MeasurementOptions& options, const Catalogue& catalogue);

/// Samples of a `foretrain.measurements/1` file. Kernels at the top ran alone, those of steps inside a step.
bool is_measurement_file(const SpecNode& file);
void add_measurement_file(const SpecNode& file, const MeasurementOptions& options, const Catalogue& catalogue,
                          Measurements& out);

/// Samples of a kernel CSV and of a file of collective runs.
void add_kernel_csv(const std::string& path, const MeasurementOptions& options, const Catalogue& catalogue,
                    Measurements& out);
void add_collective_runs(const SpecNode& file, const MeasurementOptions& options, const Catalogue& catalogue,
                         Measurements& out);

}  // namespace foretrain
