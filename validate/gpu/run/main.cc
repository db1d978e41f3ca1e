// foretrain-gpu: runs a step's graph on the GPUs of this machine, or of many under mpirun and srun.
#include <cstdio>
#include <string>
#include <vector>

#include "base/spec_error.h"
#include "validate/gpu/run/session.h"

int main(int count, char** words) {
  using namespace foretrain;
  using namespace foretrain::gpu;
  try {
    const Options options = read_options(std::vector<std::string>(words + 1, words + count));
    if (options.help) {
      std::fputs(usage().c_str(), stdout);
      return 0;
    }
    if (options.dry_run) {
      std::fputs(dry_run_text(options).c_str(), stdout);
      return 0;
    }
    const SessionEnd end =
        run_session(options, [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
    if (end.status != 0) std::fprintf(stderr, "foretrain-gpu: %s\n", end.error.c_str());
    return end.status;
  } catch (const SpecError& e) {
    std::fprintf(stderr, "foretrain-gpu: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "foretrain-gpu: %s\n", e.what());
    return 3;
  }
}
