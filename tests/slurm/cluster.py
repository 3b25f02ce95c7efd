#!/usr/bin/env python3
"""A real Slurm of several nodes on this host, without systemd, for the tests and for trying job scripts on a laptop.

Every node is a slurmd in its own namespaces (host name, processes, shared memory). A node can therefore be killed with
everything on it, and Open MPI treats the nodes as separate machines. Needs root, unshare, and Debian's slurmctld,
slurmd and munge.

    tests/slurm/cluster.py FOLDER [NODES]     runs until it is interrupted; meanwhile, in another shell:
    export SLURM_CONF=FOLDER/slurm.conf       then sbatch, squeue, tessera submit ...

Partitions: `low` (the default; preempted jobs are requeued after 15 s of grace) and `high`, which preempts it.
"""

import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "unshare", "mount")
os.environ["PATH"] += ":/usr/sbin:/sbin"


def missing():
    """Why no cluster can run here, as a message; "" if one can."""
    if os.geteuid() != 0:
        return "a Slurm of several nodes needs root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"a Slurm of several nodes needs {', '.join(absent)} (scripts/install-dependencies --tests)"
    namespaces = subprocess.run(["unshare", "-m", "-u", "-p", "-f", "--mount-proc", "true"], stderr=subprocess.PIPE, text=True)
    return f"no namespaces here: {namespaces.stderr.strip()}" if namespaces.returncode else ""


CONFIG = """\
ClusterName=tessera
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# cred_expire is also how long a requeued job waits; below 5 Slurm takes its default, two minutes.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
ReturnToService=2
SlurmdTimeout=6
KillWait=5
UnkillableStepTimeout=30
MinJobAge=600
InactiveLimit=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MailProg=/bin/true
SlurmctldDebug=info
SlurmdDebug=info
GresTypes=gpu
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first_port}-{last_port}] CPUs=2 RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=15
PartitionName=high Nodes=ALL MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""


class Cluster:
    """Nodes n1, n2, ... Call `start()`, and `stop()` in every case. `folder` needs a short path, because it holds
    sockets."""

    def __init__(self, folder, nodes=3):
        self.folder, self.nodes = pathlib.Path(folder).resolve(), nodes
        self.conf = self.folder / "slurm.conf"
        self._nodes = {}  # node name: the process that holds its namespaces
        self._daemons = []

    def environment(self):
        """The environment for commands that use this cluster."""
        return {"SLURM_CONF": str(self.conf), "PATH": os.environ["PATH"]}

    def start(self):
        for name in ("state", "spool", "pmix"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in self.names():
            (self.folder / "spool" / name).mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        port = self._free_ports(self.nodes + 1)
        self.conf.write_text(CONFIG.format(
            host=socket.gethostname().split(".")[0], port=port, user=getpass.getuser(), folder=self.folder, nodes=self.nodes,
            first_port=port + 1, last_port=port + self.nodes))
        (self.folder / "mpi.conf").write_text(f"PMIxCliTmpDirBase={self.folder}/pmix\n")
        (self.folder / "gres.conf").write_text(f"NodeName=n[1-{self.nodes}] Name=gpu File=/dev/tty[0-1]\n")
        self._daemon(["munged", "--foreground", f"--key-file={key}", f"--socket={self.folder}/munge.sock",
                      f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
                      f"--seed-file={self.folder}/munged.seed", "--num-threads=1"], "munged")
        self._wait_for((self.folder / "munge.sock").exists, 20, "munged listens")
        self._daemon(["slurmctld", "-D", "-f", str(self.conf)], "slurmctld")
        for name in self.names():
            self.start_node(name)
        self._wait_for(lambda: self.idle_nodes() == self.nodes, 30, "all nodes are idle")

    def names(self):
        return [f"n{i + 1}" for i in range(self.nodes)]

    def idle_nodes(self):
        return int(self.command(["sinfo", "-h", "-p", "low", "-t", "idle", "-o", "%D"]).stdout.strip() or 0)

    def start_node(self, name):
        inside = 'mount -t tmpfs none "$1/pmix" && mount -t tmpfs none /dev/shm && hostname "$2" && exec slurmd -D -f "$1/slurm.conf" -N "$2"'
        # No task and no script outlives the process that holds the namespaces.
        self._nodes[name] = subprocess.Popen(
            ["unshare", "-m", "-u", "-p", "-f", "--mount-proc", "--kill-child=SIGKILL", "sh", "-c", inside, "sh", str(self.folder), name],
            stdin=subprocess.DEVNULL, stdout=self._log(name), stderr=subprocess.STDOUT, start_new_session=True)

    def kill_node(self, name):
        """Kills slurmd and every task and script on the node at once, by SIGKILL."""
        self._nodes[name].kill()
        self._nodes[name].wait(20)

    def command(self, command, timeout=60, **how):
        """Runs a Slurm command to its end."""
        return subprocess.run(command, env={**os.environ, **self.environment()}, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, **how)

    def jobs(self):
        """{id: (state, reason)} of all jobs that Slurm remembers."""
        lines = self.command(["squeue", "-h", "-t", "all", "-r", "-o", "%i|%T|%r"]).stdout.splitlines()
        return {line.split("|")[0]: tuple(line.split("|")[1:]) for line in lines}

    def stop(self):
        if self.conf.exists() and self._daemons:
            self.command(["scancel", "-u", getpass.getuser(), "--full"])
        for process in [*self._nodes.values(), *reversed(self._daemons)]:
            if process.poll() is None:
                process.kill() if process in self._nodes.values() else process.terminate()
        for process in [*self._nodes.values(), *self._daemons]:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _log(self, name):
        return open(self.folder / f"{name}.out", "ab")

    def _daemon(self, command, name):
        self._daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log(name),
                                              stderr=subprocess.STDOUT, start_new_session=True))

    def _wait_for(self, condition, timeout, what):
        end = time.monotonic() + timeout
        while not condition():
            for process in [*self._daemons, *self._nodes.values()]:
                if process.poll() is not None:
                    raise RuntimeError(f"before {what}: {process.args[0]} ended; see the logs in {self.folder}")
            if time.monotonic() > end:
                raise RuntimeError(f"not within {timeout} s: {what}; see the logs in {self.folder}")
            time.sleep(0.1)

    @staticmethod
    def _free_ports(count):
        """The first of this many consecutive free ports."""
        for first in range(16900 + os.getpid() % 500 * 20, 32000, 20):
            try:
                for port in range(first, first + count):
                    with socket.socket() as one:
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        one.bind(("127.0.0.1", port))
                return first
            except OSError:
                continue
        raise RuntimeError("no free ports")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    if missing():
        sys.exit(missing())
    cluster = Cluster(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        cluster.start()
        print(f"export SLURM_CONF={cluster.conf}", flush=True)
        signal.pause()
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
