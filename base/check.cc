#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace foretrain {

void check_failed(const char* file, int line, const char* condition) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace foretrain
