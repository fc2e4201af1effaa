#!/usr/bin/env bash
# A Ray cluster within a Slurm job, and a command on it; continues where an earlier job stopped:
#
#     sbatch --nodes=2 recipes/ray/slurm.sh run recipes/qwen2_5_vl_3b/pipeline.yaml profile=2x8 address=auto
#
# Start it in a directory that all nodes see, with this package's Python on the PATH.
#SBATCH --job-name=lipo
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail

if [[ $# -eq 0 ]]; then
    echo "usage: sbatch recipes/ray/slurm.sh run|train|merge|eval RECIPE [OVERRIDES] address=auto" >&2
    exit 2
fi

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | awk '{print $1}')
# Derived from the job's number: several jobs may share a node.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_USAGE_STATS_ENABLED=0
# Other users of these nodes must not be able to run anything on our Ray; srun hands the token on.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN
cpus=${SLURM_CPUS_PER_TASK:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}

stop() {
    srun --ntasks="${#nodes[@]}" --ntasks-per-node=1 --overlap ray stop --grace-period 20 >/dev/null 2>&1 || true
}
trap stop EXIT

srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$port" --include-dashboard=false \
    --num-cpus="$cpus" --num-gpus="$gpus" --block &

ready() {
    ray status --address="$address:$port" >/dev/null 2>&1
}
for _ in $(seq 60); do
    if ready; then break; fi
    sleep 2
done
ready || { echo "Ray did not start on $head" >&2; exit 1; }

for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" \
        ray start --address="$address:$port" --num-cpus="$cpus" --num-gpus="$gpus" --block &
done

export RAY_ADDRESS="$address:$port"
python - "${#nodes[@]}" <<'WAIT'
import sys
import time

import ray

ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
end = time.monotonic() + 300
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]):
    if time.monotonic() > end:
        sys.exit("not all nodes have joined within 5 minutes")
    time.sleep(2)
WAIT

# In the background, so that Slurm's TERM reaches this shell, and from it the command, which then stops in order.
python -u -m lipo.cli "$@" &
command=$!
trap 'kill -TERM "$command" 2>/dev/null || true' TERM
status=0
wait "$command" || status=$?
if kill -0 "$command" 2>/dev/null; then
    wait "$command" || status=$?
fi
exit "$status"
