#!/bin/sh
# Everything on one line or in strings; options of the old spelling; a second command that must not be taken.
python tools/preprocess_data.py --input x --workers 8
OPTS="--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --seq-length 1024 --max-position-embeddings 1024"
OPTS="$OPTS --micro-batch-size 4 --global-batch-size 64 --fp16 --train-iters 10 --lr 0.0001"
OPTS="$OPTS --vocab-file gpt2-vocab.json --merge-file gpt2-merges.txt --recompute-activations"
N=8
python -m torch.distributed.run --nproc-per-node=$N --master-port 6000 pretrain_gpt.py $OPTS --tensor-model-parallel-size 2
