#!/bin/bash
# The command is a string, started inside sbatch's here-document.
TP=${TP:-2}; EP=${EP:-8}
ARGS=(
    --tensor-model-parallel-size ${TP} --expert-model-parallel-size ${EP} --expert-tensor-parallel-size 1
    --sequence-parallel --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather
    --micro-batch-size 1 --global-batch-size 256 --seq-length 4096 --max-position-embeddings 4096
    --num-layers 16 --hidden-size 2048 --ffn-hidden-size 8192 --num-attention-heads 16
    --position-embedding-type rope --normalization RMSNorm --swiglu --disable-bias-linear
    --untie-embeddings-and-output-weights --attention-dropout 0.0 --hidden-dropout 0.0 --bf16
    --multi-latent-attention --q-lora-rank 512 --kv-lora-rank 256 --qk-head-dim 64 --qk-pos-emb-head-dim 32 --v-head-dim 64
    --num-experts 64 --moe-layer-freq [0]*1+[1]*15 --moe-ffn-hidden-size 1024 --moe-router-topk 6
    --moe-shared-expert-intermediate-size 2048 --mtp-num-layers 1 --vocab-size 32000
)
if [ "${USE_FSDP:-1}" = 1 ]; then
    ARGS=("${ARGS[@]}" --use-megatron-fsdp --data-parallel-sharding-strategy optim_grads_params --ckpt-format fsdp_dtensor)
fi
RUN="
cd /opt/megatron;
python /opt/megatron/pretrain_gpt.py ${ARGS[@]}"
sbatch <<EOT
#!/bin/bash
#SBATCH --nodes=4
srun --mpi=pmix -l bash -c "${RUN}" 2>&1 | tee \${SLURM_JOB_ID}.log
EOT
