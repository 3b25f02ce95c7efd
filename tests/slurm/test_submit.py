"""`tessera submit` and `status` without Slurm, or with one that rejects jobs. Stub commands record their calls."""

import json
import os
import re
import unittest

from harness import Case, run_tessera


class Submit(Case):

    def setUp(self):
        self.bin = self.folder / f"bin_{self._testMethodName}"
        self.bin.mkdir()
        self.calls = self.bin / "calls"

    def stand_in(self, name, text):
        (self.bin / name).write_text(f'#!/bin/sh\nprintf "%s|" {name} "$@" >>"{self.calls}"\necho >>"{self.calls}"\n{text}\n')
        (self.bin / name).chmod(0o755)

    def run_here(self, arguments, ranks=0, path=os.environ["PATH"]):
        """Runs with the stubs first in PATH."""
        return run_tessera(arguments, ranks, 60, self.folder, environment={"PATH": f"{self.bin}:{path}"})

    def called(self, name):
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.split("|")[1:-1] for line in lines if line.startswith(name + "|")]

    def test_a_dry_run_shows_all_and_writes_nothing(self):
        yaml = self.config("dry", {"slurm": {"nodes": 2, "gpus_per_node": 4, "time": "04:00:00", "infer": {"nodes": 8}}})
        place = "run_folder=a '$(reboot)' b"
        for ranks in self.ranks_tried:
            result = self.run_here(["submit", yaml, "--dry-run", "--set", place], ranks)
            self.assertEqual(result.code, 0, result)
            self.assertLess(len(result.stdout.splitlines()), 10, result)
            rows = [re.split("  +", line) for line in result.stdout.splitlines()[:5]]
            logs = "a '$(reboot)' b/jobs"
            self.assertEqual(rows, [
                ["name", "nodes", "tasks", "GPUs", "memory", "time", "partition", "waits for", "log"],
                ["tessera-train-dry", "2", "8+1", "8", "default", "04:00:00", "default", "-", f"{logs}/train-%j.log"],
                ["tessera-infer-dry", "8", "32+1", "32", "default", "04:00:00", "default", "train", f"{logs}/infer-%j.log"],
                ["tessera-evaluate-dry", "1", "4+1", "0", "default", "04:00:00", "default", "infer", f"{logs}/evaluate-%j.log"],
                ["tessera-report-dry", "1", "1", "0", "default", "00:30:00", "default", "evaluate", f"{logs}/report-%j.log"]])
            self.assertIn(f"nothing was written or submitted. Scripts, logs and the experiment will be in {logs}", result.stdout)
            self.assertNotIn("#!/bin/bash", result.stdout)
        self.assertFalse(any("reboot" in name for name in os.listdir(self.folder)))

    def test_a_segmentation_is_a_job_of_its_own(self):
        """It waits for infer, asks for no GPU, and for the memory of its plan."""
        yaml = self.config("objects", {"segment": {"mode": "sections", "chunk": [2, 32, 32], "block": [2, 96, 96]},
                                       "slurm": {"nodes": 2, "gpus_per_node": 4, "time": "04:00:00"}})
        result = self.run_here(["submit", yaml, "--dry-run"])
        self.assertEqual(result.code, 0, result)
        rows = [re.split("  +", line) for line in result.stdout.splitlines()[1:6]]
        self.assertEqual([row[0] for row in rows], [f"tessera-{stage}-objects" for stage in
                                                    ("train", "infer", "segment", "evaluate", "report")])
        self.assertEqual(rows[2][1:4] + rows[2][5:8], ["2", "8+1", "0", "04:00:00", "default", "infer"])
        self.assertEqual(rows[2][4], "1028M", "of 4 workers with a block of 2 x 96 x 96 each, and 1 GiB")
        self.assertEqual(rows[3][7], "segment")
        result = self.run_here(["submit", yaml, "--dry-run", "--set", "segment.memory_budget_mib=3000"])
        self.assertIn("  13024M  ", result.stdout)
        result = self.run_here(["submit", yaml, "--dry-run", "--scripts", "--stages", "segment"])
        self.assertIn("tessera_job segment ", result.stdout)
        self.assertEqual(result.stdout.count("#!/bin/bash\n"), 1)

    def test_a_dry_run_shows_the_scripts_on_request(self):
        yaml = self.config("scripts", {"slurm": {"nodes": 2, "gpus_per_node": 4, "time": "04:00:00", "infer": {"nodes": 8}}})
        result = self.run_here(["submit", yaml, "--dry-run", "--scripts", "--set", "run_folder=a '$(reboot)' b"])
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.stdout.count("#!/bin/bash\n"), 4)
        for line in ("#SBATCH --job-name=tessera-train-scripts", "#SBATCH --nodes=8", "#SBATCH --ntasks-per-node=4",
                     "#SBATCH --gpus-per-node=4", "#SBATCH --time=04:00:00"):
            self.assertIn(line + "\n", result.stdout)
        scripts = result.stdout.split("==== submitted by\n")
        self.assertEqual(len(scripts), 5)
        for script in scripts[:-1]:
            self.assertNotIn("reboot", script.split("#!/bin/bash\n")[1], "no user's text in a script")
        self.assertIn("'--output=a '\\''$(reboot)'\\'' b/jobs/train-%j.log'", result.stdout)
        self.assertIn("'--dependency=afterok:<job of evaluate>' --kill-on-invalid-dep=yes", result.stdout)
        result = self.run_here(["submit", yaml, "--scripts"])
        self.assertEqual(result.code, 2, result)
        self.assertRegex(result.errors()[0], "--scripts goes with --dry-run")

    def test_what_cannot_be_submitted(self):
        yaml = self.config("cannot")
        result = self.run_here(["submit", yaml], path="/nowhere")
        self.assertEqual(result.code, 2, result)
        self.assertRegex(result.errors()[0], "there is no sbatch here: .*--dry-run")
        for arguments, code, words in (
                (["submit", yaml, "--stages", "train,pack"], 2, "'pack' is no stage"),
                (["submit", yaml, "--stages", ""], 2, "name some of train"),
                (["submit", yaml, "--set", "slurm.time=a b"], 2, "slurm.time: 'a b' is not valid in Slurm"),
                (["submit", yaml, "--set", "slurm.site_env=no.env", "--dry-run"], 2, "slurm.site_env: no.env does not exist"),
                (["submit"], 2, "an experiment file is needed"),
                (["status", "nowhere"], 2, "nowhere is not a run folder"),
                (["status"], 2, "name a run folder")):
            for ranks in self.ranks_tried if arguments[1:] else (0,):
                result = self.run_here(arguments, ranks)
                self.assertEqual(result.code, code, result)
                self.assertEqual(len(result.errors()), 1, result)
                self.assertRegex(result.errors()[0], words)
        self.assertFalse((self.folder / "runs/cannot").exists())

    def test_a_stage_that_is_not_taken_takes_those_before_with_it(self):
        self.stand_in("sbatch", 'case "$*" in *evaluate.sbatch*) echo "sbatch: error: Invalid qos" >&2; exit 1 ;; esac\n'
                                f'echo $(($(wc -l <"{self.calls}") + 40))";cluster"')
        self.stand_in("scancel", "exit 0")
        yaml = self.config("refused")
        result = self.run_here(["submit", yaml])
        self.assertEqual(result.code, 1, result)
        self.assertIn("sbatch did not take runs/refused/jobs/evaluate.sbatch: sbatch: error: Invalid qos", result.errors()[0])
        self.assertEqual(self.called("scancel"), [["41", "42"]])
        train, infer, _ = self.called("sbatch")
        self.assertFalse([one for one in train if one.startswith("--dependency")])
        self.assertIn("--dependency=afterok:41", infer)
        self.assertIn("--kill-on-invalid-dep=yes", infer)
        self.assertTrue(infer[-1].endswith("runs/refused/jobs/experiment.yaml"))

    def test_slurm_that_gives_no_answer(self):
        """status reports this, and what the files contain. submit does not risk two jobs on one result."""
        self.stand_in("sbatch", f'echo $(($(wc -l <"{self.calls}") + 40))')
        self.stand_in("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1')
        yaml = self.config("silent")
        self.assertEqual(self.run_here(["submit", yaml]).code, 0)
        result = self.run_here(["status", yaml, "--json"])
        self.assertEqual(result.code, 0, result)
        status = json.loads(result.stdout)
        self.assertEqual({one["state"] for one in status["stages"]}, {"waiting"})
        self.assertRegex(status["problems"][0], "squeue gives no answer: .*Unable to contact")
        again = self.run_here(["submit", yaml])
        self.assertEqual(again.code, 1, again)
        self.assertIn("squeue gives no answer", again.errors()[0])

    def test_the_jobs_have_the_experiment_as_it_was(self):
        self.stand_in("sbatch", f'echo $(($(wc -l <"{self.calls}") + 40))')
        yaml = self.config("frozen")
        self.assertEqual(self.run_here(["submit", yaml, "--set", "train.iterations=7"]).code, 0)
        (self.folder / yaml).write_text("experiment: other\n")
        frozen = self.folder / "runs/frozen/jobs/experiment.yaml"
        result = self.tessera(["train", frozen])
        self.assertTrue((self.folder / "runs/frozen/checkpoints/iteration_00000007.h5").exists(), result)
        self.assertEqual((self.folder / "runs/frozen/config.yaml").read_text(), frozen.read_text())


if __name__ == "__main__":
    unittest.main()
