#!/usr/bin/env bash
#SBATCH --job-name=training
#SBATCH --gpus=1
#SBATCH --time=72:00:00
#SBATCH --signal=B:TERM@120
# A training with the monitor beside it in one job: sbatch deploy/slurm.sh
#
# `trainguard run` starts the monitor first, hands signals on to the training, and ends with the training's exit code.
# SLURM sends SIGTERM to this script two minutes before the end of the time; the trap passes it on.
set -euo pipefail

export TRAINGUARD_RUNS="${TRAINGUARD_RUNS:-$SLURM_SUBMIT_DIR/runs}"

trainguard run --runs "$TRAINGUARD_RUNS" --rules stability -- python train.py &
training=$!
trap 'kill -TERM "$training"' TERM

while kill -0 "$training" 2>/dev/null; do  # each signal ends a wait
  wait "$training" || true
done
status=0
wait "$training" || status=$?
exit "$status"
