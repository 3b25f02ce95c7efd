# The common part of all job scripts: lays out the ranks, forwards warnings, requeues stopped jobs.
# train.sbatch and the other scripts source it; `tessera submit` copies it into the scripts that it writes.
# docs/cluster.md explains how it works. A script calls
#   tessera_job VERB PROGRAM FOLDER SITE_ENV ARGUMENT ...
# FOLDER: folder for the record of the starts (VERB-JOB.starts). SITE_ENV: a file to source first; may be empty.
# Set before the call, or in SITE_ENV:
#   tessera_stop_before=180   seconds before the time limit when Slurm warns (as in --signal=B:USR2@180)
#   tessera_restarts=3        how often a job is restarted after a rank died
#   tessera_requeues=100      how often a job is requeued that stopped with its state saved
#   tessera_mpi=pmix          how srun starts MPI ('srun --mpi=list')
#   tessera_srun=(...)        more options for srun
#   tessera_wrapper=(...)     a command in front of the program: apptainer exec --nv tessera.sif

tessera_stop_before=${tessera_stop_before:-180} tessera_restarts=${tessera_restarts:-3} tessera_mpi=${tessera_mpi:-pmix}
tessera_requeues=${tessera_requeues:-100}
tessera_srun=() tessera_wrapper=()

tessera_say() { printf '%s %s: %s\n' "$(date +%FT%T)" "${SLURM_JOB_NAME:-tessera}" "$*"; }

# Records a start: one tab-separated line at its begin and one at its end, 'begin N TIME NODES' and 'end N TIME CODE WHAT'.
tessera_record() {
  local what=$1 IFS=$'\t'
  shift
  printf '%s\n' "$what"$'\t'"${SLURM_RESTART_COUNT:-0}"$'\t'"$(date +%s)"$'\t'"$*" >>"$tessera_starts"
}

# Prints how often a rank died, according to the record.
tessera_deaths() { awk -F'\t' '$1 == "end" && $5 == "died" {n++} END {print n + 0}' "$tessera_starts"; }

# Prints how often the job stopped with its state saved, according to the record.
tessera_stops() { awk -F'\t' '$1 == "end" && $5 == "stopped" {n++} END {print n + 0}' "$tessera_starts"; }

# Prints how many of the last ends in a row were late, according to the record.
tessera_late() { awk -F'\t' '$1 == "end" {n = $5 == "late" ? n + 1 : 0} END {print n + 0}' "$tessera_starts"; }

# 2(x3),1 -> 2 2 2 1
tessera_expand() {
  local part count
  for part in ${1//,/ }; do
    count=1
    [[ $part == *"(x"*")" ]] && count=${part#*"(x"} && count=${count%")"}
    while [ "$count" -gt 0 ]; do
      printf '%s\n' "${part%%"("*}"
      count=$((count - 1))
    done
  done
}

# Prints the default number of workers on each node: one per GPU, else one per NUMA domain if the job has all of the
# node's cores, else one.
tessera_workers() {
  if [ "${SLURM_GPUS_ON_NODE:-0}" -gt 0 ]; then
    echo "$SLURM_GPUS_ON_NODE"
    return
  fi
  local cores domains
  cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  domains=$(lscpu --parse=NODE 2>/dev/null | grep -cv '^#' || true)
  if [ "${SLURM_CPUS_ON_NODE:-0}" = "$cores" ] && [ "$domains" = "$cores" ]; then
    lscpu --parse=NODE | grep -v '^#' | sort -u | wc -l
  else
    echo 1
  fi
}

# Prints the host of each task, in the order of the ranks. The coordinator is on the first node; it needs no GPU and
# sleeps. The workers follow, node by node.
tessera_layout() {
  local hosts workers i
  mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
  if [ -n "${SLURM_NTASKS:-}" ]; then
    mapfile -t workers < <(tessera_expand "$SLURM_TASKS_PER_NODE")
  else
    i=$(tessera_workers)
    mapfile -t workers < <(tessera_expand "$i(x${#hosts[@]})")
  fi
  printf '%s\n' "${hosts[0]}"
  for i in "${!hosts[@]}"; do
    tessera_expand "${hosts[i]}(x${workers[i]})"
  done
}

# Prints when the job's time ends, in seconds since 1970; nothing where Slurm does not know.
tessera_end_time() {
  if [ -n "${SLURM_JOB_END_TIME:-}" ]; then
    echo "$SLURM_JOB_END_TIME"
  else
    local end
    end=$(SLURM_TIME_FORMAT=standard squeue --noheader --jobs="$tessera_id" --format=%e 2>/dev/null) || end=''
    [ -z "$end" ] || date -d "$end" +%s 2>/dev/null || true
  fi
}

# Requeues the job and waits for the end of this start. An exit here instead would end the job for Slurm: FAILED.
# If Slurm is already ending the job (it was cancelled, requeued, or reached its time limit), only records the end.
# Arguments: the exit code and how the start ended.
tessera_requeue() {
  local code=$1 state
  state=$(squeue --noheader --jobs="$tessera_id" --format=%T 2>/dev/null || true)
  if [ -n "$state" ] && [ "$state" != RUNNING ]; then
    tessera_record end "$code" ended
    tessera_say "the job is $state: whether it starts again is Slurm's to say"
    exit "$code"
  fi
  tessera_record end "$code" "$2"
  tessera_say "${2/died/a rank died} (exit code $code); requeued to go on from what is saved"
  local attempt words
  for attempt in $(seq 60); do
    if words=$(scontrol requeue "$tessera_id" 2>&1); then
      trap - USR2 TERM
      sleep 600 &
      wait $!
      break
    fi
    # An unreachable controller comes back; any other error is final.
    [[ $words == *contact* || $attempt -lt 3 ]] || break
    sleep 10
  done
  tessera_say "cannot requeue the job (was it submitted with --no-requeue?): ${words:-}; submit it again to go on"
  exit "$code"
}

# Forwards a warning to the verbs that save and stop. The others use the remaining time.
tessera_pass_on() {
  case $tessera_verb in
    train | infer | segment) [ -z "$tessera_step" ] || kill -USR2 "$tessera_step" 2>/dev/null ;;
  esac
}

tessera_fail() {
  tessera_record end "$1" failed
  tessera_say "$2"
  exit "$1"
}

tessera_job() {
  local verb=$1 program=$2 folder=$3 site=$4
  shift 4
  # shellcheck source=/dev/null
  [ -z "$site" ] || . "$site" || exit
  set -u
  tessera_id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  tessera_id=${tessera_id:-$SLURM_JOB_ID}
  tessera_starts=$folder/$verb-$tessera_id.starts
  tessera_record begin "$SLURM_JOB_NODELIST"
  tessera_say "job $tessera_id, start $((${SLURM_RESTART_COUNT:-0} + 1)), on $SLURM_JOB_NODELIST"

  # Rank 0 writes its exit code to this file when all ranks end together. srun's own exit code is the highest of all ranks,
  # some of which -K1 may have killed.
  export TESSERA_END_FILE=$folder/$verb-$tessera_id.end
  rm -f "$TESSERA_END_FILE"
  local end reserve=$((tessera_stop_before / 3))
  end=$(tessera_end_time)
  if [ -n "$end" ]; then
    [ $((end - $(date +%s))) -gt "$tessera_stop_before" ] || tessera_fail 2 "the time limit leaves nothing before the warning, \
$tessera_stop_before s: a longer time, or a shorter stop_before (--signal), is needed"
    export TESSERA_DEADLINE=$((end - (reserve < 60 ? reserve : 60)))
  fi

  local command=(${tessera_wrapper[@]+"${tessera_wrapper[@]}"} "$program" "$verb" "$@") code=0 in_order='' outcome=
  tessera_verb=$verb tessera_warned='' tessera_interrupted='' tessera_step=''
  trap 'tessera_warned=1 tessera_interrupted=1; tessera_pass_on' USR2 TERM
  if [ "$verb" = report ]; then
    "${command[@]}" &
  else
    local tasks
    tessera_hosts=$(mktemp "${TMPDIR:-/tmp}/tessera-XXXXXXXX")
    trap 'rm -f "$tessera_hosts"' EXIT
    tessera_layout >"$tessera_hosts"
    tasks=$(wc -l <"$tessera_hosts")
    # These variables of the job do not count the coordinator, and would apply to this step.
    unset SLURM_NTASKS SLURM_NPROCS SLURM_NTASKS_PER_NODE SLURM_TASKS_PER_NODE SLURM_CPUS_PER_TASK SLURM_DISTRIBUTION \
      SRUN_CPUS_PER_TASK SLURM_TRES_PER_TASK SLURM_GPUS_PER_TASK SLURM_NTASKS_PER_GPU SLURM_CPUS_PER_GPU \
      SLURM_NTASKS_PER_SOCKET SLURM_NTASKS_PER_CORE SLURM_EXACT
    # By default, Slurm's PMIx plugin lets some ranks leave MPI_Init before all have entered it, once in 70 starts on a
    # loaded machine. Open MPI then crashes at address 0. The ring avoids this (docs/cluster.md).
    export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}
    # -K1: when one rank dies, the others must stop. No binding: the ranks divide the cores among themselves.
    SLURM_HOSTFILE=$tessera_hosts srun --ntasks="$tasks" --distribution=arbitrary --overcommit --whole --kill-on-bad-exit=1 \
      --mpi="$tessera_mpi" --cpu-bind=none --export=ALL ${tessera_srun[@]+"${tessera_srun[@]}"} "${command[@]}" &
  fi
  tessera_step=$!
  [ -z "$tessera_warned" ] || tessera_pass_on
  while :; do # a signal interrupts the wait, not the step
    tessera_interrupted=''
    code=0
    wait "$tessera_step" || code=$?
    [ -n "$tessera_interrupted" ] || break
  done
  rm -f "${tessera_hosts:-}"
  if [ -s "$TESSERA_END_FILE" ]; then
    read -r code <"$TESSERA_END_FILE"
    in_order=1
  fi
  rm -f "$TESSERA_END_FILE"

  case ${in_order:-0}:$code in
    ?:0)
      tessera_record end 0 "done"
      tessera_say "done"
      exit 0
      ;;
    1:75) # its state is saved
      outcome=stopped
      [ "$(tessera_stops)" -lt "$tessera_requeues" ] ||
        tessera_fail 75 "stopped with its state saved, after $tessera_requeues requeues: submit it again to go on, with a longer time or \
more slurm.requeues"
      ;;
    1:1 | 1:2 | 0:2 | 0:126 | 0:127) tessera_fail "$code" "failed with exit code $code: see the error above" ;;
    *) # a rank died, its node did, or srun could not start it
      # Being too slow to save after a warning does not count as a crash, up to a limit.
      if [ -n "$tessera_warned" ] && [ "$(tessera_late)" -lt "$tessera_restarts" ]; then
        outcome=late
      else
        outcome=died
        [ "$(tessera_deaths)" -lt "$tessera_restarts" ] ||
          tessera_fail "$code" "a rank died (exit code $code), as in $tessera_restarts starts before: out of memory? see 'when things fail' in docs/cluster.md"
      fi
      ;;
  esac
  tessera_requeue "$code" "$outcome"
}
