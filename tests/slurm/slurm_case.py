"""Shared code of the tests on a real Slurm: a cluster of three nodes, and experiments submitted to it."""

import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest

import h5py
import numpy as np

import cluster
from harness import BINARY, Case, run_tessera

FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")

os.environ.setdefault("OMP_NUM_THREADS", "1")


class SlurmCase(Case):

    nodes = 3

    @classmethod
    def setUpClass(cls):
        why = cluster.missing()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="tsl"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.cluster = cluster.Cluster(folder, cls.nodes)
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.start()

    @classmethod
    def slurm_config(cls, name, slurm, changes=None):
        base = {"slurm": {"nodes": 2, "tasks_per_node": 1, "time": "10", **slurm}}
        for key, value in (changes or {}).items():
            base[key] = {**base.get(key, {}), **value} if isinstance(value, dict) else value
        return cls.config(name, base)

    @classmethod
    def on_cluster(cls, arguments, timeout=60, environment=None):
        return run_tessera(arguments, 0, timeout, cwd=cls.folder,
                           environment={**cls.cluster.environment(), **(environment or {})})

    def submit(self, yaml, *options, **how):
        """{stage: job id}."""
        result = self.on_cluster(["submit", yaml, *options], **how)
        self.assertEqual(result.code, 0, result)
        return {line.split()[0]: line.split()[2].rstrip(",") for line in result.stdout.splitlines() if " job " in line}

    def status(self, name):
        """{stage: its entry}."""
        result = self.on_cluster(["status", f"runs/{name}", "--json"])
        self.assertIn(result.code, (0, 1), result)
        return {one["stage"]: one for one in json.loads(result.stdout)["stages"]}

    def wait(self, condition, timeout, what, name=None):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                self.fail(f"not within {timeout} s: {what}\n{self.story(name)}")
            time.sleep(0.1)

    def wait_for_end(self, job, timeout, name):
        """The job's state in Slurm at its end."""
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
        self.wait(lambda: self.cluster.jobs()[job][0] in over, timeout, f"job {job} ends", name)
        return self.cluster.jobs()[job][0]

    def story(self, name):
        """For messages: the output of Slurm and the logs."""
        text = f"{self.cluster.jobs()}\n"
        for file in sorted((self.folder / f"runs/{name}/jobs").glob("*-*.*")) if name else []:
            text += f"--- {file.name}\n{file.read_text(errors='replace')[-4000:]}\n"
        return text + (self.cluster.folder / "slurmctld.log").read_text()[-2000:]

    def starts(self, name, stage, job):
        """The ends of a job's starts in its record: [(exit code, outcome)]. None for a start without a recorded end."""
        starts = []
        for line in (self.folder / f"runs/{name}/jobs/{stage}-{job}.starts").read_text().splitlines():
            fields = line.split("\t")
            if fields[0] == "begin":
                starts.append(None)
            else:
                starts[-1] = (int(fields[3]), fields[4])
        return starts

    def rank_pid(self, job, rank):
        """The process of a rank of a job, on any node."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(entry / "exe") != os.path.realpath(BINARY):
                    continue
                environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # the process has ended
            if f"SLURM_JOB_ID={job}" in environment and f"SLURM_PROCID={rank}" in environment and \
                    f"SLURM_CONF={self.cluster.conf}" in environment:
                return int(entry.name)
        self.fail(f"rank {rank} of job {job} does not run")

    def nodes_of(self, job):
        names = self.cluster.command(["squeue", "-h", "-j", job, "-o", "%N"]).stdout.strip()
        return self.cluster.command(["scontrol", "show", "hostnames", names]).stdout.split()

    def preempt(self, seconds=1):
        """A job of higher priority takes the whole cluster as soon as Slurm allows it."""
        return self.cluster.command(["sbatch", "--parsable", "-p", "high", f"-N{self.nodes}", "--exclusive", "--output=/dev/null",
                                     f"--wrap=sleep {seconds}"]).stdout.strip()

    def arrays(self, checkpoint):
        """Every array of a checkpoint, and its counters."""
        arrays = {}
        with h5py.File(checkpoint, "r") as f:
            f.visititems(lambda path, item: arrays.update({path: item[()]}) if isinstance(item, h5py.Dataset) else None)
            arrays.update({k: np.asarray(v) for k, v in f.attrs.items() if k.startswith("counter_")})
        return arrays
