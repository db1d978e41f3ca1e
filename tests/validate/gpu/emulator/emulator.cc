#include <array>
#include <cstdio>
#include <memory>
#include <vector>

#include <ucontext.h>

#include "base/check.h"
#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#define FORETRAIN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FORETRAIN_ASAN 1
#endif
#endif
#ifdef FORETRAIN_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace foretrain::gpu {
/// The shared memory of the one block that runs.
alignas(256) unsigned char shared_memory[emulator::kSharedBytes];
}  // namespace foretrain::gpu

namespace foretrain::emulator {
namespace {

constexpr std::size_t kStackBytes = 128 * 1024;
constexpr int kWarp = 32;
constexpr unsigned char kUnwritten = 0xff;  // floats of these bytes are NaN

enum class State { ready, at_block_barrier, at_warp_barrier, done };

struct PendingCopy {
  void* to;
  const void* from;
  std::size_t bytes;
  std::size_t group;
};

struct Fibre {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  State state = State::ready;
  dim3 index;
  std::array<std::uint64_t, 2> passed{};  // in shuffles of even and of odd number
  int shuffles = 0;
  std::vector<PendingCopy> copies;  // in the order they were asked for
  std::size_t groups = 0;           // ended
  void* asan_stack = nullptr;
};

struct Block {
  std::vector<std::unique_ptr<Fibre>> fibres;
  std::size_t threads = 0;
  Fibre* running = nullptr;
  ucontext_t scheduler{};
  const std::function<void()>* body = nullptr;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
};

Block block;
/// FORETRAIN_EMULATOR_REVERSED in the environment runs the last thread first.
const bool reversed = std::getenv("FORETRAIN_EMULATOR_REVERSED") != nullptr;

void leave_fibre(State state) {
  Fibre& self = *block.running;
  self.state = state;
#ifdef FORETRAIN_ASAN
  __sanitizer_start_switch_fiber(state == State::done ? nullptr : &self.asan_stack, block.scheduler_stack,
                                 block.scheduler_stack_bytes);
#endif
  swapcontext(&self.context, &block.scheduler);
#ifdef FORETRAIN_ASAN
  __sanitizer_finish_switch_fiber(self.asan_stack, &block.scheduler_stack, &block.scheduler_stack_bytes);
#endif
}

void fibre_main() {
#ifdef FORETRAIN_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
#endif
  (*block.body)();
  leave_fibre(State::done);
}

void enter_fibre(Fibre& fibre) {
  block.running = &fibre;
  threadIdx = fibre.index;
#ifdef FORETRAIN_ASAN
  void* own = nullptr;
  __sanitizer_start_switch_fiber(&own, fibre.stack.get(), kStackBytes);
#endif
  swapcontext(&block.scheduler, &fibre.context);
#ifdef FORETRAIN_ASAN
  __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#endif
}

void start_fibres(const dim3& shape) {
  block.threads = std::size_t{shape.x} * shape.y * shape.z;
  while (block.fibres.size() < block.threads) {
    block.fibres.push_back(std::make_unique<Fibre>());
    block.fibres.back()->stack.reset(new char[kStackBytes]);
  }
  for (std::size_t i = 0; i < block.threads; ++i) {
    Fibre& fibre = *block.fibres[i];
    fibre.state = State::ready;
    const auto number = static_cast<unsigned>(i);
    fibre.index = dim3(number % shape.x, number / shape.x % shape.y, number / shape.x / shape.y);
    fibre.shuffles = 0;
    fibre.copies.clear();
    fibre.groups = 0;
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStackBytes;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, fibre_main, 0);
  }
}

/// Lets the fibres first .. last - 1 go on when each has ended or waits at `barrier`. Says whether any did.
bool release(std::size_t first, std::size_t last, State barrier) {
  bool any = false;
  for (std::size_t i = first; i < last; ++i) {
    if (block.fibres[i]->state != barrier && block.fibres[i]->state != State::done) return false;
    any = any || block.fibres[i]->state == barrier;
  }
  for (std::size_t i = first; i < last; ++i) {
    if (block.fibres[i]->state == barrier) block.fibres[i]->state = State::ready;
  }
  return any;
}

/// Runs a warp until all its threads wait for the block or have ended; says whether any could run.
bool run_warp(std::size_t first, std::size_t last) {
  bool any = false;
  do {
    for (std::size_t i = first; i < last; ++i) {
      Fibre& fibre = *block.fibres[reversed ? last - 1 - (i - first) : i];
      if (fibre.state != State::ready) continue;
      enter_fibre(fibre);
      any = true;
    }
  } while (release(first, last, State::at_warp_barrier));
  return any;
}

/// One warp after another as far as it gets, so that one runs ahead of the others wherever nothing stops it.
bool run_warps() {
  bool any = false;
  const std::size_t warps = (block.threads + kWarp - 1) / kWarp;
  for (std::size_t i = 0; i < warps; ++i) {
    const std::size_t first = (reversed ? warps - 1 - i : i) * kWarp;
    any = run_warp(first, std::min(block.threads, first + kWarp)) || any;
  }
  release(0, block.threads, State::at_block_barrier);
  return any;
}

bool all_done() {
  return std::all_of(block.fibres.begin(), block.fibres.begin() + static_cast<std::ptrdiff_t>(block.threads),
                     [](const auto& fibre) { return fibre->state == State::done; });
}

void run_block(std::size_t shared_bytes) {
  std::memset(gpu::shared_memory, kUnwritten, sizeof gpu::shared_memory);
  start_fibres(blockDim);
  while (run_warps()) {
  }
  FORETRAIN_CHECK(all_done());  // else threads wait for different barriers
  const unsigned char* end = gpu::shared_memory + sizeof gpu::shared_memory;
  const unsigned char* first_free = gpu::shared_memory + shared_bytes;
  FORETRAIN_CHECK(std::all_of(first_free, end, [](unsigned char byte) { return byte == kUnwritten; }));
}

}  // namespace

cudaError_t run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& body) {
  const std::size_t threads = std::size_t{config.blockDim.x} * config.blockDim.y * config.blockDim.z;
  const std::size_t blocks = std::size_t{config.gridDim.x} * config.gridDim.y * config.gridDim.z;
  if (threads == 0 || threads > 1024 || blocks == 0 || config.dynamicSmemBytes > kSharedBytes) {
    return cudaErrorInvalidValue;
  }
  block.body = &body;
  blockDim = config.blockDim;
  gridDim = config.gridDim;
  for (unsigned z = 0; z < gridDim.z; ++z) {
    for (unsigned y = 0; y < gridDim.y; ++y) {
      for (unsigned x = 0; x < gridDim.x; ++x) {
        blockIdx = dim3(x, y, z);
        run_block(config.dynamicSmemBytes);
      }
    }
  }
  return cudaSuccess;
}

void wait_for_block() { leave_fibre(State::at_block_barrier); }

std::uint64_t exchange(std::uint64_t bits, int mask) {
  Fibre& self = *block.running;
  const int parity = self.shuffles++ % 2;
  self.passed[static_cast<std::size_t>(parity)] = bits;
  leave_fibre(State::at_warp_barrier);
  const std::size_t number = (std::size_t{self.index.z} * blockDim.y + self.index.y) * blockDim.x + self.index.x;
  return block.fibres[number ^ static_cast<std::size_t>(mask)]->passed[static_cast<std::size_t>(parity)];
}

void copy_later(void* to, const void* from, std::size_t bytes) {
  block.running->copies.push_back({to, from, bytes, block.running->groups});
}

void end_group() { ++block.running->groups; }

void wait_for_groups(std::size_t groups_still_allowed) {
  Fibre& self = *block.running;
  auto copy = self.copies.begin();
  for (; copy != self.copies.end() && copy->group + groups_still_allowed < self.groups; ++copy) {
    std::memcpy(copy->to, copy->from, copy->bytes);
  }
  self.copies.erase(self.copies.begin(), copy);
}

}  // namespace foretrain::emulator
