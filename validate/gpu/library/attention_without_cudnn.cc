/// Stands in for attention.cc where cuDNN was not found.
#include "base/spec_error.h"
#include "validate/gpu/library/attention.h"

namespace foretrain::gpu {

struct AttentionLibrary::Plans {};

AttentionLibrary::AttentionLibrary() {
  throw MachineError("attention needs cuDNN, which was not found when this was built");
}

AttentionLibrary::~AttentionLibrary() = default;

std::shared_ptr<const AttentionPlan> AttentionLibrary::plan(const Attention& /*attention*/) { return nullptr; }

std::string AttentionLibrary::version() { return ""; }

}  // namespace foretrain::gpu
