/// Several NCCL ranks on one GPU: a process for each, made to look like a node of its own.
#pragma once

#include <string>
#include <vector>

#include "validate/gpu/run/options.h"

namespace foretrain::gpu {

/// Whether this process was started by run_ranks().
bool is_started_rank();

/// NCCL counts a rank's host by NCCL_HOSTID; ranks of different hosts may be on one GPU, and then talk through sockets
/// over the loopback interface. Source: NVIDIA/nccl 2.28.9 src/init.cc (duplicate GPU check), src/misc/utils.cc
/// (getHostHash). "NAME=value" for rank `rank` of `ranks`.
std::vector<std::string> rank_environment(int rank, int ranks, const std::string& rendezvous);

/// Runs `program` with the options once for each rank and waits for all; a rank that fails ends the others. Gives the
/// first status that is not 0. To be called before this process uses CUDA.
int run_ranks(const std::string& program, const Options& options);

/// The stand-alone program: this process's own, or the one beside the library that holds this function. Throws
/// MachineError when there is none.
std::string standalone_program();

/// The options as arguments again.
std::vector<std::string> as_arguments(const Options& options);

}  // namespace foretrain::gpu
