/// main() of tests that need a GPU: without one they end with 77, which CTest counts as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

int main(int count, char** arguments) {
  int devices = 0;  // the call leaves it alone where there is no driver
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("skipped: no CUDA device (%s)\n", cudaGetErrorString(error));
    return 77;
  }
  doctest::Context context(count, arguments);
  return context.run();
}
