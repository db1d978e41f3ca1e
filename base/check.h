/// FORETRAIN_CHECK: our own bugs end the program at once, with the place and the condition.
#pragma once

namespace foretrain {
/// Prints "file:line: check failed: condition" to stderr and aborts. Never returns.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);
}  // namespace foretrain

/// Always on. For invariants of this program; input errors throw SpecError instead.
#define FORETRAIN_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::foretrain::check_failed(__FILE__, __LINE__, #condition))
