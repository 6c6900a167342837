#!/usr/bin/env bash
# A SLURM cluster of one node on this machine, as root, without systemd, control groups or accounting.
# usage: slurm.sh start DIR; slurm.sh stop DIR
# It needs Debian's packages slurm-wlm and munge. What it writes lies in DIR, but for the links
# /etc/slurm/{slurm,gres}.conf: jobs start srun without our environment, so only the default place is found.
set -euo pipefail
action=$1 dir=$2
export SLURM_CONF=$dir/slurm.conf

stop() {
    scancel --user="$(id -un)" 2>/dev/null || true
    for daemon in slurmd slurmctld munged; do
        if [ -s "$dir/$daemon.pid" ]; then
            pid=$(cat "$dir/$daemon.pid")
            kill "$pid" 2>/dev/null || true
            for _ in $(seq 50); do if kill -0 "$pid" 2>/dev/null; then sleep 0.1; fi; done
        fi
    done
    for file in slurm.conf gres.conf; do
        if [ "$(readlink "/etc/slurm/$file")" = "$dir/$file" ]; then rm -f "/etc/slurm/$file"; fi
    done
}

if [ "$action" = stop ]; then stop; exit 0; fi

for file in slurm.conf gres.conf; do
    if [ -e "/etc/slurm/$file" ]; then echo "/etc/slurm/$file is there: this machine has a SLURM" >&2; exit 1; fi
done
host=$(hostname -s)
mkdir -p "$dir"/{ctld,slurmd,log,munge} /etc/slurm
chmod 755 "$dir" "$dir/munge"
(umask 077; head -c 1024 /dev/urandom >"$dir/munge/munge.key")
chmod 400 "$dir/munge/munge.key"
munged --force --key-file="$dir/munge/munge.key" --socket="$dir/munge/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/munge/munge.seed" --num-threads=2
for gpu in 0 1; do touch "$dir/gpu$gpu"; done # SLURM only counts them; the files have to be there
cat >"$dir/gres.conf" <<CONF
NodeName=$host Name=gpu File=$dir/gpu[0-1]
CONF
cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/munge.socket,cred_expire=2
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$dir/ctld
SlurmdSpoolDir=$dir/slurmd
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
MailProg=/bin/true
KillWait=5
MinJobAge=600
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=30
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=gpu Nodes=$host Default=YES MaxTime=1-0 State=UP
CONF
for file in slurm.conf gres.conf; do ln -s "$dir/$file" "/etc/slurm/$file"; done
trap stop ERR
slurmctld -c
slurmd -c
for _ in $(seq 60); do
    if sinfo -h -o %T | grep -qx idle; then exit 0; fi
    sleep 0.5
done
sinfo >&2
tail -n 20 "$dir"/log/*.log >&2
exit 1
