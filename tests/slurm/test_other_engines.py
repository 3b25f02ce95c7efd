"""The job scripts for PBS and LSF in docs/cluster.md, with a real mpirun. Stubs stand for the batch system."""

import os
import re
import signal
import subprocess
import time
import unittest

from harness import BINARY, Case, MPIRUN, SOURCE


def script_in_docs(name):
    page = (SOURCE / "docs/cluster.md").read_text()
    (text,) = [one for one in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) if f"# {name}:" in one]
    return text


class Scripts(Case):

    def setUp(self):
        self.place = self.folder / self._testMethodName
        (self.place / "bin").mkdir(parents=True)
        self.tessera(["synth", self.place / "em.h5", "--shape", "6,160,160"])
        (self.place / "experiment.yaml").write_text(
            "experiment: e\ndata: {raw: em.h5:/volumes/raw, labels: em.h5:/volumes/labels/cells, train_sections: [0, 4]}\n"
            "model: {base_filters: 2}\ntrain: {tile: 188, iterations: 100000, checkpoint_every: 100000, validate_every: 100000}\n")
        (self.place / "nodes").write_text("localhost slots=8\n")
        # A launcher as on a site: two ranks, perhaps as root.
        self.stub("mpirun", f'exec {MPIRUN} -n 2 --oversubscribe "$@"')
        self.stub("tessera", f'exec {BINARY} "$@"')
        self.stub("qsub", 'printf "%s " "$@" >>qsub.calls')

    def stub(self, name, text):
        (self.place / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (self.place / "bin" / name).chmod(0o755)

    def start_job(self, name, **environment):
        (self.place / name).write_text(script_in_docs(name))
        base = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "PBS_", "LSB_", "TESSERA_"))}
        base.update(PATH=f"{self.place}/bin:{os.environ['PATH']}", PBS_O_WORKDIR=str(self.place), PBS_NODEFILE=str(self.place / "nodes"),
                    PBS_JOBID="7.host", LSB_JOBID="7", OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                    **environment)
        process = subprocess.Popen(["bash", name], cwd=self.place, env=base, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.addCleanup(self.end_job, process)
        return process

    def end_job(self, process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        process.stdout.close()

    def finish(self, process):
        out, _ = process.communicate(timeout=300)
        return process.returncode, out

    def rows(self):
        file = self.place / "runs/e/metrics.csv"
        return file.read_text().count("\n") if file.exists() else 0

    def wait_for_training(self, before=0):
        """Until the training has written more rows than `before`: earlier, a signal would end the program at its start."""
        end = time.monotonic() + 250
        while time.monotonic() < end and self.rows() <= max(1, before):
            time.sleep(0.1)

    def calls(self):
        file = self.place / "qsub.calls"
        return file.read_text() if file.exists() else ""

    def test_syntax(self):
        for name in ("tessera.pbs", "tessera.lsf"):
            done = subprocess.run(["bash", "-n"], input=script_in_docs(name), text=True, capture_output=True, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_pbs_submits_itself_again_after_the_time(self):
        code, out = self.finish(self.start_job("tessera.pbs", stage="train", limit="123"))
        self.assertEqual(code, 0, out)
        self.assertEqual(self.calls(), "-v stage=train,starts=2,limit=123 tessera.pbs ", out)
        self.assertIn("before the job's time limit", out)
        # The next start continues; with its last iterations it is the last one.
        (self.place / "experiment.yaml").write_text((self.place / "experiment.yaml").read_text().replace(
            "iterations: 100000,", "iterations: 2,", 1))
        code, out = self.finish(self.start_job("tessera.pbs", stage="train", starts="2"))
        self.assertEqual(code, 0, out)
        self.assertEqual(self.calls().count("tessera.pbs"), 1, out)

    def test_pbs_has_a_bound(self):
        code, out = self.finish(self.start_job("tessera.pbs", stage="train", limit="123", starts="100"))
        self.assertEqual(code, 75, out)
        self.assertEqual(self.calls(), "")

    def test_qdel_saves_and_is_final(self):
        process = self.start_job("tessera.pbs", stage="train")
        self.wait_for_training()
        os.kill(process.pid, signal.SIGTERM)
        code, out = self.finish(process)
        self.assertEqual(code, 75, out)
        self.assertEqual(self.calls(), "")
        self.assertTrue(list((self.place / "runs/e/checkpoints").glob("*.h5")), out)

    def test_lsf_starts_again_by_exit_code(self):
        code, out = self.finish(self.start_job("tessera.lsf", stage="train", limit="123"))
        self.assertEqual(code, 75, out)
        before = self.rows()
        process = self.start_job("tessera.lsf", stage="train")
        self.wait_for_training(before)
        os.kill(process.pid, signal.SIGTERM)
        code, out = self.finish(process)
        self.assertEqual(code, 1, out)

    def test_an_error_is_final(self):
        for name in ("tessera.pbs", "tessera.lsf"):
            code, out = self.finish(self.start_job(name, stage="trian"))
            self.assertEqual(code, 2, out)
        self.assertEqual(self.calls(), "")


if __name__ == "__main__":
    unittest.main()
