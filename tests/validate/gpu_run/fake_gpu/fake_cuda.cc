#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <sys/mman.h>

#include "tests/validate/gpu_run/fake_gpu/fake_stream.h"

namespace {

using Clock = std::chrono::steady_clock;
using Work = std::function<void()>;

[[noreturn]] void wrong(const char* what) {
  std::fprintf(stderr, "fake GPU: %s\n", what);
  std::abort();
}

/// What is captured: nodes with the nodes that they wait for.
struct Capture {
  struct Node {
    Work work;
    std::vector<std::size_t> after;
  };
  std::vector<Node> nodes;
  bool ended = false;  // for every stream that took part
};

}  // namespace

struct CUevent_st {
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t recorded = 0, happened = 0;  // times it was put on a stream, and passed
  Clock::time_point when;
  std::shared_ptr<Capture> capture;  // it was recorded in a capture, behind these nodes
  std::vector<std::size_t> captured_after;

  void happen() {
    const std::lock_guard lock(mutex);
    when = Clock::now();
    ++happened;
    changed.notify_all();
  }
  void wait_for(std::uint64_t times) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return happened >= times; });
  }
};

struct CUstream_st {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Work> queue;
  bool busy = false, ends = false;
  std::shared_ptr<Capture> capture;
  std::vector<std::size_t> captured_after;
  std::thread thread{[this] { run(); }};

  ~CUstream_st() {
    {
      const std::lock_guard lock(mutex);
      ends = true;
    }
    changed.notify_all();
    thread.join();
  }
  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return ends || !queue.empty(); });
      if (queue.empty()) return;
      const Work work = std::move(queue.front());
      queue.pop_front();
      busy = true;
      lock.unlock();
      work();
      lock.lock();
      busy = false;
      changed.notify_all();
    }
  }
  void put(Work work) {
    {
      const std::lock_guard lock(mutex);
      queue.push_back(std::move(work));
    }
    changed.notify_all();
  }
  void empty() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return queue.empty() && !busy; });
  }
};

struct CUgraph_st {
  std::shared_ptr<Capture> capture;
};
struct CUgraphExec_st {
  std::shared_ptr<Capture> capture;
};

namespace {

std::int64_t number_from(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}
int devices() { return static_cast<int>(number_from("FAKE_GPU_DEVICES", 1)); }
std::int64_t memory_bytes() { return number_from("FAKE_GPU_MEMORY_GIB", 139) << 30; }

thread_local int current_device = 0;

/// The stream that a null handle stands for: one for each thread and device here.
CUstream_st& stream_of(cudaStream_t stream) {
  if (stream != nullptr) {
    if (stream->capture && stream->capture->ended) {
      stream->capture.reset();
      stream->captured_after.clear();
    }
    return *stream;
  }
  thread_local std::map<int, std::unique_ptr<CUstream_st>> defaults;
  auto& mine = defaults[current_device];
  if (!mine) mine = std::make_unique<CUstream_st>();
  return *mine;
}

struct Allocations {
  std::mutex mutex;
  std::map<void*, std::pair<int, std::int64_t>> all;  // device, bytes
  std::map<int, std::int64_t> used;
};
Allocations& allocations() {
  static Allocations a;
  return a;
}

}  // namespace

namespace {

/// One launch of a graph.
class GraphRun {
 public:
  explicit GraphRun(const Capture& capture)
      : nodes_(capture.nodes), waits_(nodes_.size()), followers_(nodes_.size()), left_(nodes_.size()) {
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      waits_[n] = nodes_[n].after.size();
      for (const std::size_t a : nodes_[n].after) followers_[a].push_back(n);
      if (waits_[n] == 0) ready_.insert(n);
    }
  }
  void run() {
    std::vector<std::thread> threads;
    threads.reserve(kBranches);
    for (int t = 0; t < kBranches; ++t) threads.emplace_back([this] { work(); });
    for (std::thread& t : threads) t.join();
  }

 private:
  static constexpr int kBranches = 16;  // more than a step has lanes
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return left_ == 0 || !ready_.empty(); });
      if (ready_.empty()) return;
      const std::size_t n = *ready_.rbegin();
      ready_.erase(n);
      lock.unlock();
      nodes_[n].work();
      lock.lock();
      --left_;
      for (const std::size_t f : followers_[n]) {
        if (--waits_[f] == 0) ready_.insert(f);
      }
      if (left_ == 0 || ready_.size() > 1) changed_.notify_all();  // one that is ready is this thread's next
    }
  }

  const std::vector<Capture::Node>& nodes_;
  std::vector<std::size_t> waits_;
  std::vector<std::vector<std::size_t>> followers_;
  std::set<std::size_t> ready_;
  std::size_t left_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace

namespace foretrain::fake_gpu {

void enqueue(cudaStream_t handle, std::function<void()> work) {
  CUstream_st& stream = stream_of(handle);
  if (!stream.capture) return stream.put(std::move(work));
  stream.capture->nodes.push_back({std::move(work), stream.captured_after});
  stream.captured_after = {stream.capture->nodes.size() - 1};
}

namespace {
std::atomic<std::int64_t> bytes_to_host{0}, bytes_from_host{0};
}
HostCopies host_copies() { return {bytes_to_host, bytes_from_host}; }

}  // namespace foretrain::fake_gpu

using foretrain::fake_gpu::enqueue;

extern "C" {

// --- devices and errors ------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  if (devices() == 0) return cudaErrorNoDevice;
  *count = devices();
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices()) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::strcpy(p->name, "Fake GPU");
  p->major = 9;
  p->multiProcessorCount = 132;
  p->l2CacheSize = 50 << 20;
  p->totalGlobalMem = static_cast<std::size_t>(memory_bytes());
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? 132
           : attribute == cudaDevAttrL2CacheSize       ? 50 << 20
                                                       : 227 << 10;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char*, int, int) { return cudaErrorNotSupported; }
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "fake error";
}

// --- memory --------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  Allocations& a = allocations();
  const std::lock_guard lock(a.mutex);
  const auto count = static_cast<std::int64_t>(bytes);
  if (a.used[current_device] + count > memory_bytes()) return cudaErrorMemoryAllocation;
  // Room of its own on pages that nobody touches takes no memory.
  *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*memory == MAP_FAILED) return cudaErrorMemoryAllocation;
  a.all[*memory] = {current_device, count};
  a.used[current_device] += count;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  Allocations& a = allocations();
  const std::lock_guard lock(a.mutex);
  const auto found = a.all.find(memory);
  if (found == a.all.end()) wrong("freed what was not allocated");
  a.used[found->second.first] -= found->second.second;
  munmap(memory, static_cast<std::size_t>(found->second.second));
  a.all.erase(found);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  Allocations& a = allocations();
  const std::lock_guard lock(a.mutex);
  *total = static_cast<std::size_t>(memory_bytes());
  *free = *total - static_cast<std::size_t>(a.used[current_device]);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = std::malloc(bytes);
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  using namespace foretrain::fake_gpu;
  if (kind == cudaMemcpyDeviceToHost) bytes_to_host += static_cast<std::int64_t>(bytes);
  if (kind == cudaMemcpyHostToDevice) bytes_from_host += static_cast<std::int64_t>(bytes);
  // From pageable memory of the host CUDA copies before it returns.
  const bool from_device = [&] {
    Allocations& a = allocations();
    const std::lock_guard lock(a.mutex);
    auto next = a.all.upper_bound(const_cast<void*>(from));
    if (next == a.all.begin()) return false;
    --next;
    return static_cast<const char*>(from) < static_cast<char*>(next->first) + next->second.second;
  }();
  if (from_device) {
    enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  } else {
    const auto* begin = static_cast<const char*>(from);
    enqueue(stream,
            [to, copy = std::vector<char>(begin, begin + bytes)] { std::memcpy(to, copy.data(), copy.size()); });
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes <= (1 << 20)) enqueue(stream, [=] { std::memset(to, value, bytes); });  // larger ones would touch memory
  return cudaSuccess;
}

// --- streams and events ----------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream_of(stream).capture) wrong("waited for a stream that is being captured");
  stream_of(stream).empty();
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  CUstream_st& stream = stream_of(handle);
  event->capture = stream.capture;
  event->captured_after = stream.captured_after;
  if (stream.capture) return cudaSuccess;
  {
    const std::lock_guard lock(event->mutex);
    ++event->recorded;
  }
  stream.put([event] { event->happen(); });
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  CUstream_st& stream = stream_of(handle);
  if (event->capture) {
    if (stream.capture && stream.capture != event->capture) wrong("an event of another capture");
    stream.capture = event->capture;
    for (const std::size_t n : event->captured_after) stream.captured_after.push_back(n);
    return cudaSuccess;
  }
  if (stream.capture) wrong("a captured stream waits for an event outside");
  const std::uint64_t times = event->recorded;
  if (times == 0) wrong("a stream waits for an event that was never recorded: no wait at all on a real GPU");
  stream.put([event, times] { event->wait_for(times); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->capture) wrong("the host waits for a captured event");
  if (event->recorded == 0) wrong("the host waits for an event that was never recorded");
  event->wait_for(event->recorded);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (from->happened < from->recorded || to->happened < to->recorded || from->recorded == 0) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cudaSuccess;
}

// --- graphs ------------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capture = std::make_shared<Capture>();
  stream->captured_after.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::shared_ptr<Capture> capture = stream->capture;
  // All work must have joined the stream that the capture began on.
  std::set<std::size_t> reached;
  std::vector<std::size_t> open = stream->captured_after;
  while (!open.empty()) {
    const std::size_t n = open.back();
    open.pop_back();
    if (!reached.insert(n).second) continue;
    for (const std::size_t a : capture->nodes[n].after) open.push_back(a);
  }
  if (reached.size() != capture->nodes.size()) return cudaErrorStreamCaptureUnjoined;
  capture->ended = true;
  *graph = new CUgraph_st{capture};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->capture};
  return cudaSuccess;
}
/// Nodes run in an order that only their edges bind, the latest that is ready first, and as many at the same time as
/// are ready: branches of a graph do not wait for each other.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  enqueue(stream, [capture = executable->capture] { GraphRun(*capture).run(); });
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

// --- kernels -----------------------------------------------------------------------------------------

void** __cudaRegisterFatBinary(void*) {
  static void* nothing = nullptr;
  return &nothing;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char*, char*, const char*, int, uint3*, uint3*, dim3*, dim3*, int*) {}
unsigned __cudaPushCallConfiguration(dim3, dim3, std::size_t, CUstream_st*) { return 0; }
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void* stream) {
  *static_cast<cudaStream_t*>(stream) = nullptr;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void*) {
  *kernel = nullptr;
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, std::size_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* configuration, const void*, void**) {
  enqueue(configuration->stream, [] {});
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, std::size_t,
                                                                   unsigned) {
  *blocks = 2;
  return cudaSuccess;
}

}  // extern "C"
