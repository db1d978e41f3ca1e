#!/bin/sh
# Builds foretrain-gpu on a machine that has the CUDA toolkit, NCCL and cuDNN, and nothing else of ours.
#
#   build.sh [--native] [--tests] [-o FOLDER] [-j JOBS]
#
# --native compiles for the GPU that is here alone, which is quicker; otherwise sm_80, sm_90, sm_100 and PTX. FOLDER
# (default build/gpu) then holds foretrain-gpu, and with --tests foretrain-gpu-tests (needs doctest's header). NVCC and
# CXX choose the compilers; NCCL_HOME, CUDNN_HOME and DOCTEST_HOME point to folders with include and lib. Python's packages
# nvidia-nccl and nvidia-cudnn are found too. Without cuDNN attention is left out.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/build/gpu
jobs=$(nproc)
native=no
tests=no
while [ $# -gt 0 ]; do
  case $1 in
    --native) native=yes ;;
    --tests) tests=yes ;;
    -o) out=${2:?-o needs a folder}; shift ;;
    -j) jobs=${2:?-j needs a number}; shift ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "build.sh: expected --native, --tests, -o FOLDER or -j JOBS; got $1" >&2; exit 2 ;;
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
# Sets $header and $library to the folder and the file of one in FOLDER, "" where there is none: NAME HEADER FOLDER.
look_in() {
  header='' library=''
  for place in "$3/include" "$3/include/$(uname -m)-linux-gnu"; do
    [ -f "$place/$2" ] && header=$place && break
  done
  for place in "$3/lib" "$3/lib64" "$3/lib/$(uname -m)-linux-gnu"; do
    for library in "$place/lib$1.so" "$place/lib$1.so".[0-9]*; do [ -f "$library" ] && break 2; done
    library=''
  done
}
# Finds a library of NVIDIA's with its own header: NAME HEADER HOME. Gives 1 and why where there is none.
find_library() {
  for folder in $3 $candidates; do
    look_in "$1" "$2" "$folder"
    [ -n "$header" ] && [ -n "$library" ] && break
  done
  if [ -z "$header" ] || [ -z "$library" ]; then
    why="$2 with lib$1.so not found: is it installed? $(echo "$1" | tr '[:lower:]' '[:upper:]')_HOME may say where"
    return 1
  fi
  [ "$header" = "$cuda/include" ] || [ "$header" = /usr/include ] || includes="$includes -isystem $header"
  libraries="$libraries $library"
  search_paths="$search_paths -Wl,-rpath,$(dirname "$library")"
}
find_library cublasLt cublasLt.h "" || fail "$why"
find_library nccl nccl.h "${NCCL_HOME:-}" || fail "$why"
without='attention_without_cudnn\.cc'
if ! find_library cudnn cudnn.h "${CUDNN_HOME:-}"; then
  echo "build.sh: left out: flash attention ($why)" >&2
  without='\(library/attention\|library/attention_graph\|library/cudnn_graph\)\.cc'
fi
# shellcheck disable=SC2012 # paths of the toolkit
runtime=$(ls "$cuda"/lib64/libcudart_static.a "$cuda"/lib/libcudart_static.a "$cuda"/targets/*/lib/libcudart_static.a \
             2> /dev/null | head -n 1 || true)
[ -n "$runtime" ] || find_library cudart cuda_runtime_api.h "" || fail "$why"

if [ $native = yes ]; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -n 1 | tr -d '. ')
  [ -n "$capability" ] || fail "--native: nvidia-smi names no GPU"
  targets="-gencode arch=compute_$capability,code=sm_$capability"
else
  targets="-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90"
  targets="$targets -gencode arch=compute_100,code=[sm_100,compute_100]"
fi

cd "$root"
# shellcheck disable=SC2010 # names of our own
sources=$(ls validate/gpu/kernels/*.cu validate/gpu/library/*.cu validate/gpu/run/*.cu validate/gpu/library/*.cc \
             validate/gpu/run/*.cc validate/reference/*.cc validate/parallel/*.cc sim/schedule.cc sim/schedules/*.cc \
             hwmodels/kernel.cc base/check.cc 2> /dev/null | grep -v "$without\$" | grep -v '/plugin\.cc$')
test_sources=
if [ $tests = yes ]; then
  for place in "${DOCTEST_HOME:-}/include" "${DOCTEST_HOME:-}" /usr/include /usr/local/include; do
    [ -f "$place/doctest/doctest.h" ] && doctest=$place && break
    doctest=''
  done
  [ -n "$doctest" ] || fail "--tests: doctest/doctest.h not found: DOCTEST_HOME may say where"
  [ "$doctest" = /usr/include ] || includes="$includes -isystem $doctest"
  # shellcheck disable=SC2010
  test_sources=$(ls tests/validate/gpu/*_test.cc tests/validate/gpu/gpu_test_main.cc | grep -v attention_graph_test)
fi

object_of() { echo "$out/$(echo "$1" | tr / _).o"; }
# One line for each source, run in parallel; device code, which takes longest, stands first among the sources.
for source in $sources $test_sources; do
  case $source in
    *.cu) echo "$nvcc -std=c++17 -O3 $targets -Xcompiler -O2 -I. -c $source -o $(object_of "$source")" ;;
    *) echo "$cxx -std=c++20 -O2 $includes -I. -c $source -o $(object_of "$source")" ;;
  esac
done > "$out/commands"
rm -f "$out"/*.o
# shellcheck disable=SC2016 # $0 is the inner shell's
tr '\n' '\0' < "$out/commands" |
  xargs -0 -P "$jobs" -n 1 sh -c 'eval "$0" || { echo "build.sh: failed: $0" >&2; exit 255; }'

link() {  # PROGRAM SOURCES
  program=$1
  shift
  objects=
  for source in "$@"; do objects="$objects $(object_of "$source")"; done
  # shellcheck disable=SC2086 # lists of words
  "$cxx" -o "$out/$program" $objects $libraries $runtime $search_paths -ldl -lrt -lpthread
  echo "$out/$program"
}
# shellcheck disable=SC2086 # lists of words
link foretrain-gpu $sources
if [ $tests = yes ]; then
  # shellcheck disable=SC2046,SC2086
  link foretrain-gpu-tests $test_sources $(echo "$sources" | grep -v run/main.cc)
fi
