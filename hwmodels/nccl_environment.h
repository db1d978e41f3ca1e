/// What NCCL_ALGO and NCCL_PROTO allow each collective.
#pragma once

#include <string>
#include <string_view>

#include "hwmodels/nccl.h"

namespace foretrain {

/// Reads both variables as NCCL does: "ring", "tree,ring", "^nvls" (all but these), and from 2.24 on a list for each
/// collective, "ring;allreduce:tree,nvls;allgather:^pat", of which only the first may lack a name. Names in any case,
/// with or without '_'. "" says nothing. SpecError at `algorithms_at` or `protocols_at` for an unknown name, and for
/// lists by collective where `version` knows none. Source: NVIDIA/nccl, src/graph/tuning.cc, parseList (facts only).
NcclEnvironment parse_nccl_environment(std::string_view algorithms, std::string_view protocols, NcclVersion version,
                                       const std::string& algorithms_at, const std::string& protocols_at);

}  // namespace foretrain
