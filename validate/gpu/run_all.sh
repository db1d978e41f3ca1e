#!/bin/sh
# Everything that a GPU is needed for, in under 8 minutes on one H200: run_all.sh OUT
#
# Builds for the GPU that is here, measures whole steps of one rank of four plans (a launch-bound one with and without
# CUDA graphs), the kernels of four models, the tests of kernels, the checks of correctness (also of ranks that share the
# GPU) and collectives of such ranks. OUT then holds measurements.json, summary.txt and log.txt. Needs what build.sh needs,
# and nothing that foretrain needs: the graphs were written beforehand (graphs/make.sh) and are part of the tree.
#
# Each part may take the seconds that stand beside it, and up to three times as many where the parts before it left them
# over; then it is ended, keeps what it has, and the next one runs. What is measured is on disk at once: a run that is
# killed keeps it.
#
#   LIMIT=480          seconds for all; the parts' own shrink and grow with it
#   DOCTEST_HOME=...   a folder with doctest/doctest.h, for the tests of kernels; without it they are left out
#   FORETRAIN_GPU=...  a foretrain-gpu that is built already, in place of building one
set -u
out=${1:?usage: run_all.sh OUT}
mkdir -p "$out" || exit 3
out=$(cd "$out" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root" || exit 3
limit=${LIMIT:-480}
began=$(date +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 3' INT TERM
results=$out/measurements.json
rm -f "$results"
: > "$out/log.txt"
: > "$out/summary.txt"

say() { echo "$*" | tee -a "$out/summary.txt"; }
left() { echo $((limit - $(date +%s) + began)); }

# part NAME SECONDS COMMAND...: the command learns its seconds from $seconds. Called once for each part to add up what
# they want (counting=yes), then to run them.
wanted=0
part() {
  name=$1
  share=$(($2 * limit / 480))
  shift 2
  if [ $counting = yes ]; then
    wanted=$((wanted + share))
    return 0
  fi
  wanted=$((wanted - share)) # of those that follow
  seconds=$(($(left) - wanted))
  most=$((3 * share > 10 ? 3 * share : 10))
  [ $seconds -le $most ] || seconds=$most
  if [ $seconds -lt 3 ]; then
    say "left out   $name: no time left"
    return 1
  fi
  start=$(date +%s)
  echo "=== $name (at most $seconds s)" >> "$out/log.txt"
  "$@" >> "$out/log.txt" 2>&1
  status=$?
  took=$(($(date +%s) - start))
  last=$(tail -n 4 "$out/log.txt" | grep 'the time limit of' | tail -n 1)
  [ -n "$last" ] || last=$(tail -n 4 "$out/log.txt" | grep -v 'a rank failed; its line' | tail -n 1)
  case $status:$last in
    0:*) say "passed     $name ($took s)" ;;
    77:*) say "skipped    $name: $last" ;;
    124:* | 137:* | 3:*"the time limit of"*) say "cut short  $name ($took s): $last" ;;
    *) say "FAILED     $name (status $status, $took s): $last" ;;
  esac
  return $status
}
limited() { timeout -k 5 $((seconds + 5)) "$@"; }
measure() { limited "$gpu" "$@" --append -o "$results" --time-limit "$seconds"; }
step() {
  graph=$1
  samples=$2
  shift 2
  measure "$work/$graph.graph" --step --samples "$samples" "$@"
}
unpack() {
  for graph in "$here"/graphs/*.graph.gz; do
    gzip -dc "$graph" > "$work/$(basename "${graph%.gz}")" || return 1
  done
}
build() {
  # shellcheck disable=SC2086 # each is one word or none
  limited "$here/build.sh" $native $tests -o "$work/build"
}

gpu=${FORETRAIN_GPU:-$work/build/foretrain-gpu}
tests=
for place in "${DOCTEST_HOME:-}/include" "${DOCTEST_HOME:-}" /usr/include /usr/local/include; do
  [ -f "$place/doctest/doctest.h" ] && tests=--tests && break
done
native=
nvidia-smi --query-gpu=compute_cap --format=csv,noheader > /dev/null 2>&1 && native=--native

parts() {
  if [ -z "${FORETRAIN_GPU:-}" ]; then
    part "build" 60 build || [ $counting = yes ] || return 1
  fi
  part "graphs" 3 unpack || [ $counting = yes ] || return 1
  # What no other measurement replaces comes first.
  part "step: Llama-3.1-8B, TP 1" 40 step llama-3.1-8b_tp1 8
  part "step: GPT 125M, launched one by one" 10 step gpt-125m_tp1 30
  part "step: GPT 125M, the host as slow as predicted" 10 step gpt-125m_tp1 30 --paced --name gpt-125m_tp1_paced
  part "step: GPT 125M, in a CUDA graph" 10 step gpt-125m_tp1 30 --cuda-graphs \
    --name gpt-125m_tp1_cuda_graph
  part "step: one rank of Llama-3.1-70B, TP 8 PP 4" 25 step llama-3.1-70b_tp8_pp4 8
  part "step: one rank of Llama-3.1-405B, TP 8 PP 16" 25 step llama-3.1-405b_tp8_pp16 8
  part "kernels of four models at TP 1 to 8" 110 measure "$work/kernels.graph" --kernels --samples 20
  part "kernels of the 8B step" 15 measure "$work/llama-3.1-8b_tp1.graph" --kernels --samples 20
  part "correctness of kernels and libraries" 15 measure --correctness
  if [ -z "${FORETRAIN_GPU:-}" ] && [ -n "$tests" ]; then
    part "tests of kernels and libraries" 30 limited "$work/build/foretrain-gpu-tests"
  fi
  part "correctness of 2 ranks on one GPU" 35 measure --correctness --ranks-per-gpu 2
  part "collectives of 2 ranks on one GPU" 20 measure --collectives --ranks-per-gpu 2 --samples 5
  part "correctness of 4 ranks on one GPU" 50 measure --correctness --ranks-per-gpu 4
  return 0
}

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.sm,clocks.mem,power.limit --format=csv \
  >> "$out/log.txt" 2>&1
counting=yes
parts
counting=no
parts || say "nothing else can run"
[ -n "$tests" ] || say "left out   tests of kernels and libraries: no doctest.h here; the correctness checks cover them"

# The steps: what was predicted, what it took. Keys stand in the order in which foretrain-gpu writes them.
number() { echo "$1" | grep -o "\"$2\": [-0-9.e+]*" | head -n 1 | cut -d ' ' -f 2; }
if [ -f "$results" ]; then
  say ""
  say "step, milliseconds                 predicted  without host  measured"
  grep '^  {"name": .*"cuda_graph": ' "$results" | while read -r entry; do
    name=$(echo "$entry" | grep -o '"name": "[^"]*"' | head -n 1 | cut -d '"' -f 4)
    printf '%-34s %s %s %s\n' "$name" "$(number "$entry" predicted_us)" "$(number "$entry" predicted_without_host_us)" \
      "$(number "${entry#*samples_us}" median_us)" |
      awk '{ printf "%-34s %9.3f  %12.3f  %8.3f\n", $1, $2 / 1e3, $3 / 1e3, $4 / 1e3 }'
  done | tee -a "$out/summary.txt"
fi
say "took $(($(date +%s) - began)) s; results in $results"
! grep -q '^FAILED' "$out/summary.txt"
