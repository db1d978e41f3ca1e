#!/bin/bash
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=8
#SBATCH --job-name="llama 70b" # a comment
# In the manner of scripts that people submit: defaults, conditions, arrays that grow, line continuations.
set -e

export NCCL_IB_TIMEOUT=19
export CUDA_DEVICE_MAX_CONNECTIONS=${CUDA_DEVICE_MAX_CONNECTIONS:-1}

TP_SIZE=${TP_SIZE:-8}
PP_SIZE="${PP_SIZE:-4}"
MICRO=1; GLOBAL=$(( MICRO * 512 ))
DTYPE='fp8'
DATA=${1:-"MOCK"}
GPUS_PER_NODE=8
NNODES=16
WORLD_SIZE=$(($GPUS_PER_NODE*$NNODES))

MODEL_ARGS=(
    --num-layers 80 --hidden-size 8192
    --ffn-hidden-size 28672   # three matrices
    --num-attention-heads 64
    --group-query-attention --num-query-groups=8
    --seq-length 8192 --max-position-embeddings 8192
    --position-embedding-type rope --rotary-base 500000
    --normalization RMSNorm --swiglu --disable-bias-linear
    --untie-embeddings-and-output-weights
    --attention-dropout 0.0 --hidden-dropout 0.0
)
TRAINING_ARGS="--micro-batch-size $MICRO --global-batch-size $GLOBAL \
  --lr 1.5e-4 --train-iters 1000 --bf16"

EXTRA=()
if [[ "$DTYPE" == "fp8" ]]; then
    EXTRA+=("--fp8-format hybrid" "--fp8-recipe delayed")
elif [ "$DTYPE" = bf16 ]; then
    EXTRA+=(--no-such-flag)
fi
[[ $PP_SIZE -gt 1 ]] && EXTRA+=(--num-virtual-stages-per-pipeline-rank 5)
for f in overlap-grad-reduce overlap-param-gather use-distributed-optimizer; do EXTRA+=("--$f"); done
case "$DATA" in
  MOCK|mock) EXTRA+=(--mock-data --tokenizer-type NullTokenizer --vocab-size 128256) ;;
  *) EXTRA+=(--data-path "$DATA" --tokenizer-model "a b") ;;
esac
announce() { for word in "$@"; do if [ -z "$word" ]; then continue; fi; LAST=$word; done; }
announce one "" two
if [ ! -d "checkpoints" ] && [ -n "${WANT_EXIT:-}" ]; then exit 1; fi
cat <<EOT > /dev/null
not a command: pretrain_gpt.py --hidden-size 1
EOT
torchrun --nproc_per_node $GPUS_PER_NODE --nnodes=$NNODES --node_rank ${SLURM_NODEID:-0} \
    --master_addr "${MASTER_ADDR:-localhost}" --master_port 6000 \
    pretrain_gpt.py \
    "${MODEL_ARGS[@]}" \
    $TRAINING_ARGS \
    ${EXTRA[@]} \
    --tensor-model-parallel-size $TP_SIZE --pipeline-model-parallel-size ${PP_SIZE} \
    --sequence-parallel --recompute-granularity full --recompute-method block --recompute-num-layers 1 \
    --save "${CHECKPOINTS:-/tmp/a b}/${LAST%o}x" 2>&1
