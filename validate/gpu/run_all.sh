#!/bin/sh
# Everything that a GPU is needed for, in under 8 minutes on one H200: run_all.sh OUT
#
# Builds for the GPU that is here, runs the tests of kernels and the checks of correctness, measures kernels, collectives
# of ranks that share the GPU, and whole steps of one rank of several plans. OUT then holds measurements.json, summary.txt
# and log.txt. Each phase has its own time limit; one that fails does not stop the next, and what it had measured stays.
# LIMIT (480) is the time of all, in seconds. The graphs are those of validate/gpu/graphs.
set -u
out=${1:?usage: run_all.sh OUT}
mkdir -p "$out"
out=$(cd "$out" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
limit=${LIMIT:-480}
began=$(date +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=$out/measurements.json
rm -f "$results"
: > "$out/log.txt"
: > "$out/summary.txt"
cd "$root" || exit 3

say() { echo "$*" | tee -a "$out/summary.txt"; }
left() { echo $((limit - $(date +%s) + began)); }

# phase NAME SECONDS COMMAND...: with $seconds set to what the command may take.
phase() {
  name=$1
  seconds=$2
  shift 2
  [ "$(left)" -lt "$seconds" ] && seconds=$(left)
  if [ "$seconds" -lt 10 ]; then
    say "left out  $name: no time left"
    return 1
  fi
  start=$(date +%s)
  echo "=== $name" >> "$out/log.txt"
  timeout -k 10 $((seconds + 10)) "$@" >> "$out/log.txt" 2>&1
  status=$?
  took=$(($(date +%s) - start))
  case $status in
    0) say "passed    $name ($took s)" ;;
    77) say "skipped   $name: $(tail -n 1 "$out/log.txt")" ;;
    *) say "FAILED    $name (status $status, $took s): $(tail -n 1 "$out/log.txt")" ;;
  esac
  return $status
}
# measure NAME SECONDS OPTIONS...: foretrain-gpu, whose results are added to those before.
measure() {
  name=$1
  seconds=$2
  shift 2
  phase "$name" "$seconds" "$work/build/foretrain-gpu" "$@" --append -o "$results" --time-limit "$seconds"
}

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.sm,clocks.mem,power.limit --format=csv >> "$out/log.txt" 2>&1

tests=--tests
for place in "${DOCTEST_HOME:-}/include" "${DOCTEST_HOME:-}" /usr/include /usr/local/include; do
  [ -f "$place/doctest/doctest.h" ] && tests=--tests && break
  tests=''
done
native=--native
nvidia-smi > /dev/null 2>&1 || native=''
# shellcheck disable=SC2086 # each is one word or none
phase "build" 150 "$here/build.sh" $native $tests -o "$work/build" || { say "nothing else can run"; exit 3; }

for graph in "$here"/graphs/*.graph.gz; do
  gzip -dc "$graph" > "$work/$(basename "${graph%.gz}")"
done

if [ -n "$tests" ]; then
  phase "tests of kernels and libraries" 90 "$work/build/foretrain-gpu-tests"
else
  say "left out  tests of kernels and libraries: no doctest.h here; the checks below cover the same kernels"
fi
# The steps first: they are what no other measurement replaces.
measure "step: Llama-3.1-8B, TP 1" 45 "$work/llama-3.1-8b_tp1.graph" --step --samples 8
measure "step: GPT 125M, launched one by one" 20 "$work/gpt-125m_tp1.graph" --step --samples 30
measure "step: GPT 125M, the host as slow as predicted" 20 "$work/gpt-125m_tp1.graph" --step --samples 30 --paced \
  --name gpt-125m_tp1_paced
measure "step: GPT 125M, in a CUDA graph" 20 "$work/gpt-125m_tp1.graph" --step --samples 30 --cuda-graphs \
  --name gpt-125m_tp1_cuda_graph
measure "step: one rank of Llama-3.1-70B, TP 8 PP 4" 40 "$work/llama-3.1-70b_tp8_pp4.graph" --step --samples 8
measure "step: one rank of Llama-3.1-405B, TP 8 PP 16" 40 "$work/llama-3.1-405b_tp8_pp16.graph" --step --samples 8
measure "kernels of four models at TP 1 to 8" 150 "$work/kernels.graph" --kernels --samples 20
measure "kernels of the 8B step" 30 "$work/llama-3.1-8b_tp1.graph" --kernels --samples 20
measure "correctness of kernels and libraries" 60 --correctness
measure "correctness of 2 ranks on one GPU" 60 --correctness --ranks-per-gpu 2
measure "correctness of 4 ranks on one GPU" 60 --correctness --ranks-per-gpu 4
measure "collectives of 2 ranks on one GPU" 40 --collectives --ranks-per-gpu 2 --samples 5
say "took $(($(date +%s) - began)) s; results in $results"
! grep -q '^FAILED' "$out/summary.txt"
