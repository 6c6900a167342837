#!/usr/bin/env bash
# How Snakemake talks to a batch system: PBS, LSF or SGE.
#   cluster.sh pbs submit RULE THREADS MB MINUTES GPUS SCRIPT    prints the job's id
#   cluster.sh pbs status ID                                     prints running, success or failed
# What differs from place to place (queue, project, names of resources) stands in the six functions
# below.  A job's own exit code decides how it ended; the scheduler is asked only whether it lives.
set -euo pipefail
folder=logs/cluster

pbs_submit() { # name threads MB minutes GPUs log script
    qsub -V -N "$1" -j oe -o "$PWD/$6" \
        -l "select=1:ncpus=$2:mem=$3mb:ngpus=$5" -l "walltime=$4:00" "$7"
}
pbs_alive() { qstat "$1"; } # without -x: finished jobs are unknown to it

lsf_submit() {
    local gpus=()
    if [ "$5" != 0 ]; then gpus=(-gpu "num=$5"); fi
    bsub -J "$1" -oo "$6" -n "$2" -R "span[hosts=1] rusage[mem=$3MB]" -W "$4" "${gpus[@]}" "$7" |
        sed -n 's/^Job <\([0-9]*\)>.*/\1/p'
}
lsf_alive() { bjobs -noheader -o stat "$1" | grep -vqE 'DONE|EXIT'; }

sge_submit() { # h_vmem counts for every slot
    local gpus=()
    if [ "$5" != 0 ]; then gpus=(-l "gpu=$5"); fi
    qsub -terse -V -S /bin/bash -N "$1" -j y -o "$PWD/$6" -pe smp "$2" \
        -l "h_vmem=$(($3 / $2 + 1))M" -l "h_rt=$(($4 * 60))" "${gpus[@]}" "$7"
}
sge_alive() { qstat -j "$1"; }

submit() {
    local job id
    mkdir -p "$folder"
    job=$(mktemp "$folder/$1.XXXXXX")
    # Snakemake's own goes when Snakemake ends; the job may start later.  It may hold a bucket's keys.
    install -m 600 "$6" "$job.sh"
    cat >"$job" <<SCRIPT
#!/usr/bin/env bash
cd $(printf %q "$PWD")
bash $job.sh
code=\$?
rm -f $job.sh
echo "\$code" >$job.code && mv $job.code $job.exit
exit "\$code"
SCRIPT
    chmod +x "$job"
    id=$("${scheduler}_submit" "landscape-$1" "$2" "$3" "$4" "$5" "$job.log" "$job")
    ln -s "${job##*/}.exit" "$folder/$id"
    echo "$id"
}

status() {
    if ! ended "$1"; then
        if "${scheduler}_alive" "$1" >/dev/null 2>&1; then
            echo running
            return
        fi
        # It has left the queue: killed there, or another node wrote its exit code a moment ago.
        for _ in $(seq "${LANDSCAPE_LATENCY:-30}"); do
            if ended "$1"; then break; fi
            sleep 1
        done
    fi
    if ended "$1" && [ "$(cat "$folder/$1")" = 0 ]; then echo success; else echo failed; fi
}

ended() { [ -s "$folder/$1" ]; } # a link, to the exit code

scheduler=$1 action=$2
shift 2
"$action" "$@"
