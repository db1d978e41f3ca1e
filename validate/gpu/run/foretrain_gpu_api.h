/// The plain C interface of the GPU library: what `foretrain` loads at run time, so that a binary without CUDA stays
/// whole.
///
/// Names of the exported functions: foretrain_gpu_probe, foretrain_gpu_run. A caller checks `api_version` first.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#define FORETRAIN_GPU_API_VERSION 1

/// What the machine has. `message` is one line for a person.
typedef enum ForetrainGpuState {
  FORETRAIN_GPU_READY = 0,
  FORETRAIN_GPU_NO_DRIVER = 1,
  FORETRAIN_GPU_NO_DEVICE = 2
} ForetrainGpuState;

typedef struct ForetrainGpuProbe {
  int api_version; /* of the library; the rest is filled in only when the caller's is the same */
  int state;       /* ForetrainGpuState */
  int device_count;
  int nccl_version;           /* 22809 */
  long long cublaslt_version; /* 130100 */
  long long cudnn_version;    /* 91900 */
  char device_name[128];      /* of the first device */
  char message[512];
} ForetrainGpuProbe;

/// What to run. Set to zero, then set what matters: zero means the default everywhere.
typedef struct ForetrainGpuRequest {
  int api_version;           /* FORETRAIN_GPU_API_VERSION */
  const char* mode;          /* "kernels", "collectives", "step", "correctness" or "device" */
  const char* graph;         /* path of a foretrain.graph/1 file; may be null for collectives, correctness, device */
  const char* output;        /* path of the measurements; null: stdout at the end */
  const char* name;          /* of the plan, in the measurements; null: the graph's file name */
  int samples;               /* 0: 20 */
  int stage;                 /* of the plan, where one rank of several is run */
  int ranks_per_gpu;         /* 0: 1 */
  int cuda_graphs;           /* capture the step */
  int paced;                 /* the host lane takes the time that the graph gives it, not only the launches' own */
  double time_limit_seconds; /* 0: 600 */
  /* One line of progress, without its end; may be null. */
  void (*progress)(const char* line, void* user);
  void* user;
} ForetrainGpuRequest;

/// Fills `probe`; 0 when a GPU is ready. `probe->api_version` is the caller's on entry, the library's on return.
int foretrain_gpu_probe(ForetrainGpuProbe* probe);

/// Runs the request and writes foretrain.measurements/1. Gives 0, or 2 (the input is wrong) or 3 (the machine failed)
/// with one line in `error`; the output then holds the samples so far. A GPU or a peer that hangs beyond the time limit
/// cannot be left in any other way: the process ends with one line on stderr and status 3.
int foretrain_gpu_run(const ForetrainGpuRequest* request, char* error, unsigned long error_size);

#ifdef __cplusplus
}
#endif
