/// What the parts of the library share: a job's document, and errors in the library's own types.
#pragma once

#include <memory>
#include <new>
#include <string>

#include "base/spec_error.h"
#include "base/spec_node.h"
#include "foretrain/foretrain.h"
#include "hwmodels/calibration_file.h"

namespace foretrain {

/// The way from a Job to its document.
struct JobContent {
  static Job job(SpecNode document) { return Job(std::make_shared<const SpecNode>(std::move(document))); }
  static const SpecNode& document(const Job& job) { return *job.document_; }
};

/// Calls `act`; what it throws leaves as BadInput or MachineFailure.
template <typename Act>
auto with_own_errors(const Act& act) {
  try {
    return act();
  } catch (const SpecError& error) {
    throw BadInput(error.what());
  } catch (const MachineError& error) {
    throw MachineFailure(error.what());
  } catch (const std::bad_alloc&) {
    throw MachineFailure("out of memory");
  }
}

/// The calibration in file `path`; null for "".
inline std::shared_ptr<const Calibration> calibration_in(const std::string& path) {
  return path.empty() ? nullptr : std::make_shared<const Calibration>(read_calibration(path));
}

}  // namespace foretrain
