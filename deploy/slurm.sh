#!/bin/bash
# sbatch slurm.sh JOB.yaml [MORE OPTIONS OF `restore-batch run`]
#
# Starts a Ray cluster on the nodes of this allocation, with a token that nobody else has, runs the
# job, and stops it all. `restore-batch` and `ray` are on the PATH of every node; originals, results
# and weights lie at the same paths. A minute before the time is up the run is asked to end in good
# order; with REQUEUE=1 in the environment the job is then queued again and goes on where it was.
#SBATCH --job-name=restore-batch
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --output=restore-batch-%j.log
set -euo pipefail

job=${1:?usage: sbatch slurm.sh JOB.yaml [OPTIONS]}
shift
interrupted=130

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
on_head=(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head")
head_ip=$("${on_head[@]}" hostname --ip-address | awk '{ print $1; exit }')
# Jobs of others may be on the same nodes.
port=$((20000 + 2 * (SLURM_JOB_ID % 10000)))
address=$head_ip:$port
folder=${TMPDIR:-/tmp}/ray-$SLURM_JOB_ID

export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
node=(--block --disable-usage-stats --dashboard-agent-listen-port=0
  --num-cpus="${SLURM_CPUS_PER_TASK:-1}"
  --num-gpus="${SLURM_GPUS_ON_NODE:-0}")

started=()
driver=
# shellcheck disable=SC2329 # the trap calls it
stop() {
  # What `--block` holds ends with it, on every node.
  for process in ${driver:+"$driver"} "${started[@]}"; do
    kill -TERM "$process" 2> /dev/null || true
  done
  wait
  rm -rf "$folder"
}
trap 'stop' EXIT

"${on_head[@]}" ray start --head --node-ip-address="$head_ip" --port="$port" \
  --ray-client-server-port=$((port + 1)) --include-dashboard=false --temp-dir="$folder" \
  "${node[@]}" &
started+=($!)
until ray health-check --address "$address" > /dev/null 2>&1; do
  kill -0 "${started[0]}" 2> /dev/null || { echo "slurm.sh: no head on $head" >&2; exit 3; }
  sleep 1
done
if ((${#nodes[@]} > 1)); then
  others=$((${#nodes[@]} - 1))
  srun --overlap --nodes="$others" --ntasks="$others" --ntasks-per-node=1 --exclude="$head" \
    ray start --address="$address" "${node[@]}" &
  started+=($!)
fi

restore-batch run "$job" --quiet --set "engine.address=$address" "$@" &
driver=$!
trap 'kill -TERM "$driver" 2> /dev/null || true' TERM INT
# A signal ends the first wait; the run then has its seconds to finish what it is at.
code=0
while true; do
  wait "$driver" && code=0 || code=$?
  kill -0 "$driver" 2> /dev/null || break
done
driver=
if ((code == interrupted)) && [[ -n ${REQUEUE:-} ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
