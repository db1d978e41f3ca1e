/// NCCL behind the interface of the parallel layers, so that the checks of parallel execution run over real
/// collectives.
#pragma once

#include <memory>

#include "validate/gpu/run/nccl_world.h"
#include "validate/parallel/communicator.h"

namespace foretrain::gpu {

/// `world` as a world of the parallel layers; this rank is in it. Buffers lie in the host's memory (a Math of the CPU)
/// and pass through the GPU. Every call returns when it is done. Groups that are made stay until `world` ends.
std::unique_ptr<parallel::World> nccl_parallel_world(NcclWorld& world);

}  // namespace foretrain::gpu
