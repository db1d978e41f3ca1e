#!/bin/sh
# Makes the graph files of this folder again from its jobs: make.sh FORETRAIN (the program). The files are committed so
# that a machine with nothing but CUDA can run them; make them again when the planner changes what a step consists of.
set -eu
foretrain=$(realpath "${1:?usage: make.sh FORETRAIN}")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Whole steps of one rank.
step() {  # JOB RANK
  "$foretrain" simulate "$1.json" --graph "$work/$1.graph" --rank "$2" > "$work/$1.txt"
  gzip -9 -n -c "$work/$1.graph" > "$1.graph.gz"
}
step llama-3.1-8b_tp1 0
step llama-3.1-70b_tp8_pp4 0
step llama-3.1-405b_tp8_pp16 8
step gpt-125m_tp1 0

# The distinct kernels of four models at TP 1, 2, 4 and 8, as one graph in which nothing waits for anything. What does
# not depend on shapes of layers (the optimizer of a whole model on one GPU) is left to the steps above.
for model in llama-3.1-8b llama-3.1-70b llama-3.1-405b gpt3-175b; do
  sequence=8192
  [ "$model" = gpt3-175b ] && sequence=2048
  for tensor in 1 2 4 8; do
    "$foretrain" simulate llama-3.1-8b_tp1.json --set model=$model --set plan.tensor=$tensor --set plan.zero_stage=0 \
      --set training.sequence_length=$sequence --set training.global_batch=8 --graph "$work/$model.$tensor.sweep" \
      --rank 0 > /dev/null || [ $? -eq 1 ]  # 1: it would not fit, which does not matter here
  done
done
cat "$work"/*.sweep | awk '
  FNR == 1 && NR == 1 { print; print "key model four models at TP 1 to 8"; print "world 1 1 1 1 1 1 8"; print "stage 0 1"
                        print "lane 0 0 compute compute" }
  /^foretrain.graph/ { delete text }
  $1 == "work" { id = $2; sub(/^work [0-9]+ /, ""); text[id] = $0 }
  $1 == "task" && $8 >= 0 && ($8 in text) {
    t = text[$8]
    split(t, f, " ")
    whole_model = f[2] == "adam" || f[2] == "grad_norm" || f[2] == "zero" || f[2] == "cast" || f[2] == "copy"
    if ((t in seen) || f[1] == "message" || whole_model) next
    seen[t] = 1
    print "work " count + 0 " " t
    print "task " count + 0 " 0 " $4 " " $5 " -1 -1 " count + 0
    ++count
  }
  END { print "end " count }' > "$work/kernels.graph"
gzip -9 -n -c "$work/kernels.graph" > kernels.graph.gz
ls -l ./*.graph.gz
