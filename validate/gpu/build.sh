#!/bin/sh
# Builds foretrain-gpu on a machine that has the CUDA toolkit, NCCL and cuDNN, and nothing else of ours.
#
#   build.sh [--native] [-o FOLDER] [-j JOBS]
#
# --native compiles for the GPU that is here alone, which is quicker; otherwise sm_80, sm_90, sm_100 and PTX. FOLDER
# (default build/gpu) then holds foretrain-gpu. NVCC and CXX choose the compilers; NCCL_HOME and CUDNN_HOME point to
# folders with include and lib. Python's packages nvidia-nccl and nvidia-cudnn are found too.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/build/gpu
jobs=$(nproc)
native=no
while [ $# -gt 0 ]; do
  case $1 in
    --native) native=yes ;;
    -o) out=${2:?-o needs a folder}; shift ;;
    -j) jobs=${2:?-j needs a number}; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "build.sh: expected --native, -o FOLDER or -j JOBS; got $1" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out"
out=$(cd "$out" && pwd)

fail() {
  echo "build.sh: $1" >&2
  exit 3
}

nvcc=${NVCC:-}
for place in "${CUDA_HOME:-}/bin/nvcc" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
  [ -n "$nvcc" ] || { [ -x "$place" ] && nvcc=$place; } || true
done
[ -n "$nvcc" ] || fail "nvcc not found: set NVCC or CUDA_HOME"
cuda=$(cd "$(dirname "$(realpath "$nvcc")")/.." && pwd)
cxx=${CXX:-g++}
command -v "$cxx" > /dev/null || fail "$cxx not found: set CXX"

# Folders that may hold a library of NVIDIA's: given, the toolkit's, the system's, those of Python's packages.
python_packages=$(python3 -c 'import nvidia; print(" ".join(nvidia.__path__))' 2> /dev/null || true)
candidates="$cuda $cuda/targets/x86_64-linux $cuda/targets/sbsa-linux /usr /usr/local"
for packages in $python_packages; do
  for package in "$packages"/*; do [ -d "$package" ] && candidates="$candidates $package"; done
done
includes="-isystem $cuda/include"
libraries=
search_paths=
need() {  # NAME HEADER HOME
  for folder in $3 $candidates; do
    for place in "$folder/include" "$folder/include/$(uname -m)-linux-gnu"; do
      [ -f "$place/$2" ] && header=$place && break 2
    done
    header=
  done
  [ -n "$header" ] || fail "$2 not found: is $1 installed? $(echo "$1" | tr a-z A-Z)_HOME may say where"
  for folder in $3 $candidates; do
    for place in "$folder/lib" "$folder/lib64" "$folder/lib/$(uname -m)-linux-gnu"; do
      library=$(ls "$place/lib$1.so" "$place/lib$1.so".[0-9]* 2> /dev/null | head -n 1 || true)
      [ -n "$library" ] && break 2
    done
  done
  [ -n "$library" ] || fail "lib$1.so not found: is $1 installed? $(echo "$1" | tr a-z A-Z)_HOME may say where"
  [ "$header" = "$cuda/include" ] || [ "$header" = /usr/include ] || includes="$includes -isystem $header"
  libraries="$libraries $library"
  search_paths="$search_paths -Wl,-rpath,$(dirname "$library")"
}
need cublasLt cublasLt.h ""
need nccl nccl.h "${NCCL_HOME:-}"
need cudnn cudnn.h "${CUDNN_HOME:-}"
static_runtime=$(ls "$cuda"/lib64/libcudart_static.a "$cuda"/targets/*/lib/libcudart_static.a 2> /dev/null | head -n 1 || true)
[ -n "$static_runtime" ] || fail "libcudart_static.a not found under $cuda"

if [ $native = yes ]; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -n 1 | tr -d '. ')
  [ -n "$capability" ] || fail "--native: nvidia-smi names no GPU"
  targets="-gencode arch=compute_$capability,code=sm_$capability"
else
  targets="-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90"
  targets="$targets -gencode arch=compute_100,code=[sm_100,compute_100]"
fi

cd "$root"
sources=$(ls validate/gpu/kernels/*.cu validate/gpu/library/*.cu validate/gpu/run/*.cu \
             validate/gpu/library/*.cc validate/gpu/run/*.cc validate/reference/*.cc validate/parallel/*.cc \
             sim/schedule.cc sim/schedules/*.cc hwmodels/kernel.cc base/check.cc 2> /dev/null | grep -v '/plugin\.cc$')

# One line for each source, run in parallel; device code first, since it takes longest.
for source in $sources; do
  object=$out/$(echo "$source" | tr / _).o
  case $source in
    *.cu) echo "$nvcc -std=c++17 -O3 $targets -Xcompiler -O2 -I. -c $source -o $object" ;;
    *) echo "$cxx -std=c++20 -O2 $includes -I. -c $source -o $object" ;;
  esac
done > "$out/commands"
sort -t. -k2 -s -r "$out/commands" -o "$out/commands" 2> /dev/null || true
rm -f "$out"/*.o
tr '\n' '\0' < "$out/commands" | xargs -0 -P "$jobs" -n 1 sh -c 'eval "$0" || { echo "build.sh: failed: $0" >&2; exit 255; }'
# shellcheck disable=SC2086
"$cxx" -o "$out/foretrain-gpu" "$out"/*.o $libraries "$static_runtime" $search_paths -ldl -lrt -lpthread
echo "$out/foretrain-gpu"
