#include "validate/device/this_machine.h"

#include "validate/calibrate/device_name.h"

namespace foretrain {

bool use_gpu(Problem& problem, const std::string& device_name, const Catalogue& catalogue) {
  const GpuSpec* gpu = gpu_of_device(device_name, catalogue);
  if (gpu == nullptr) return false;
  if (gpu->name == problem.cluster.gpu.name) return true;
  problem.cluster.gpu = *gpu;
  problem.efficiency = catalogue.efficiency(*gpu);
  return true;
}

}  // namespace foretrain
