#!/usr/bin/env bash
# A real Slurm on this machine alone, with accounting, without systemd: for tests.
#   single_node.sh start FOLDER     everything it writes is below FOLDER
#   single_node.sh stop FOLDER
# Then: export SLURM_CONF=FOLDER/slurm.conf PATH=FOLDER/bin:$PATH
# Needs root and the Debian packages slurmctld slurmd slurm-client munge slurmdbd mariadb-server.
set -eu
mode=$1
base=${2:?folder for its state}
mkdir -p "$base"/{state,spool,log,run,bin}
export SLURM_CONF=$base/slurm.conf

wait_for() {
    for _ in $(seq 12000); do # ten minutes: no machine is so slow
        "$@" > /dev/null 2>&1 && return 0
        sleep 0.05
    done
    echo "timed out waiting for: $*" >&2
    return 1
}

stop() {
    for daemon in slurmd slurmctld slurmdbd mysql munged; do
        file=$base/run/$daemon.pid
        [ -s "$file" ] || continue
        process=$(cat "$file")
        kill "$process" 2> /dev/null || true
        # where process 1 does not reap, a daemon that ended stays as a zombie, which has no executable
        for _ in $(seq 12000); do
            [ -e "/proc/$process/exe" ] || break
            sleep 0.05
        done
        rm -f "$file"
    done
}

write_configuration() {
    for gpu in 0 1; do # a character device whose name ends in a number passes for a GPU
        [ -e "$base/gpu$gpu" ] || mknod "$base/gpu$gpu" c 1 3
    done
    echo "NodeName=localhost Name=gpu Count=2 File=$base/gpu[0-1]" > "$base/gres.conf"
    cat > "$base/slurm.conf" << END
ClusterName=toy
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$base/run/munge.sock
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=$base/state
SlurmdSpoolDir=$base/spool
SlurmctldPidFile=$base/run/slurmctld.pid
SlurmdPidFile=$base/run/slurmd.pid
SlurmctldLogFile=$base/log/slurmctld.log
SlurmdLogFile=$base/log/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=200
ReturnToService=2
MinJobAge=3600
KillWait=5
GresTypes=gpu
NodeName=localhost CPUs=2 RealMemory=60000 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
PartitionName=other Nodes=localhost MaxTime=INFINITE State=UP
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=26819
AccountingStoragePass=$base/run/munge.sock
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
END
    cat > "$base/slurmdbd.conf" << END
AuthType=auth/munge
AuthInfo=socket=$base/run/munge.sock
DbdHost=localhost
DbdPort=26819
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
PidFile=$base/run/slurmdbd.pid
LogFile=$base/log/slurmdbd.log
END
    chmod 600 "$base/slurmdbd.conf"
    # the executor's job step removes SLURM_CONF before it calls srun; this puts it back
    printf '#!/bin/sh\nSLURM_CONF=%s exec /usr/bin/srun "$@"\n' "$base/slurm.conf" > "$base/bin/srun"
    chmod +x "$base/bin/srun"
}

start_database() {
    [ -d "$base/mysql/mysql" ] || mariadb-install-db --no-defaults --user=root --datadir="$base/mysql" \
        --auth-root-authentication-method=normal --skip-test-db > "$base/log/mysql_install.log" 2>&1
    setsid mariadbd --no-defaults --user=root --datadir="$base/mysql" --socket="$base/run/mysql.sock" \
        --pid-file="$base/run/mysql.pid" --skip-networking --innodb-buffer-pool-size=64M \
        --innodb-log-file-size=32M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 \
        > "$base/log/mysql.log" 2>&1 < /dev/null &
    wait_for mariadb-admin --no-defaults -S "$base/run/mysql.sock" ping
    mariadb --no-defaults -S "$base/run/mysql.sock" -e "create database if not exists slurm_acct_db;
        create user if not exists slurm@localhost identified by 'slurm';
        grant all on slurm_acct_db.* to slurm@localhost"
}

start() {
    write_configuration
    [ -s "$base/munge.key" ] || (umask 077 && head -c 128 /dev/urandom > "$base/munge.key")
    munged --force --key-file="$base/munge.key" --socket="$base/run/munge.sock" \
        --pid-file="$base/run/munged.pid" --log-file="$base/log/munged.log" --seed-file="$base/run/munge.seed"
    start_database
    MYSQL_UNIX_PORT=$base/run/mysql.sock slurmdbd
    wait_for bash -c ': < /dev/tcp/127.0.0.1/26819'
    sacctmgr -i add cluster toy > /dev/null 2>&1 || true
    sacctmgr -i add account lab Description=lab Organization=lab > /dev/null 2>&1 || true
    sacctmgr -i add user root Account=lab > /dev/null 2>&1 || true
    slurmctld
    slurmd -N localhost
    wait_for bash -c '[ "$(sinfo -h -o %T | head -1)" = idle ]'
}

case $mode in
    start) start ;;
    stop) stop ;;
    *) echo "single_node.sh start|stop FOLDER" >&2 && exit 2 ;;
esac
