"""On a real Slurm of three nodes: experiments as chains of jobs, time limits, failures, and the output of `status`."""

import collections
import json
import unittest

from harness import SOURCE, run_tessera
from journal import Journal
from slurm_case import FAIL_IO, SlurmCase


class Chain(SlurmCase):

    def test_demo_ends_with_a_report(self):
        """configs/demo.yaml unchanged but shorter, on three nodes with two workers each."""
        (self.folder / "runs/demo").mkdir(parents=True)
        self.tessera(["synth", "runs/demo/stack.h5", "--shape", "20,512,512", "--seed", "1"], timeout=120)
        settings = [f"--set={key}" for key in (
            "train.iterations=6", "train.schedule.warm_up=0", "train.global_batch=6", "train.tile=188", "train.validate_every=6",
            "evaluate.scores=[pixel]", "slurm.nodes=3", "slurm.tasks_per_node=2", "slurm.time=10")]
        jobs = self.submit(str(SOURCE / "configs/demo.yaml"), *settings)
        self.assertEqual(list(jobs), ["train", "infer", "evaluate", "report"])
        again = self.on_cluster(["submit", str(SOURCE / "configs/demo.yaml"), *settings])
        self.assertEqual(again.code, 2, again)
        self.assertIn("still in the queue", again.text)
        self.assertEqual(self.wait_for_end(jobs["report"], 200, "demo"), "COMPLETED", self.story("demo"))

        for stage in ("train", "infer", "evaluate", "report"):
            self.assertEqual(self.starts("demo", stage, jobs[stage]), [(0, "done")], self.story("demo"))
        status = self.status("demo")
        self.assertEqual({one["state"] for one in status.values()}, {"done"}, status)
        self.assertEqual(status["train"]["done"], 6)
        self.assertIn("pixel error", (self.folder / "runs/demo/report.html").read_text())
        self.assertTrue(json.loads((self.folder / "runs/demo/evaluation.json").read_text())["sections"])
        self.assertEqual(self.read("runs/demo/prediction.h5:/volumes/predictions/interior").shape, (20, 512, 512))
        # The coordinator is one more task, on the first node. Every node has two workers.
        for record in ("training.json", "inference.json"):
            workers = json.loads((self.folder / f"runs/demo/{record}").read_text())["workers"]
            self.assertEqual([w["rank"] for w in workers], [1, 2, 3, 4, 5, 6], record)
            self.assertEqual(collections.Counter(w["host"] for w in workers), {"n1": 2, "n2": 2, "n3": 2}, record)
            for worker in workers:
                self.assertRegex(worker["device"], r"^cpu, 1 thread( on \d+)?(;|$)", "two workers share the job's two CPUs")
        result = self.on_cluster(["status", "runs/demo"])
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.stdout, r"evaluate +done +\d+ +1 +pixel error 0\.\d{4}\n")
        self.assertRegex(result.stdout, r"train +done +\d+ +1 +iteration 6 of 6\n")


class Objects(SlurmCase):

    def test_a_chain_with_a_segmentation(self):
        """The segmentation follows the prediction; its objects are scored, and `status` shows them."""
        yaml = self.slurm_config("objects", {"nodes": 2, "memory": "900M"}, {
            "data": {"labels": "stack.h5:/volumes/labels/instances", "label_kind": "instances"},
            "train": {"iterations": 1, "validate_every": 10}, "evaluate": {"scores": ["pixel"]},
            "segment": {"mode": "sections", "threshold": 0.3, "chunk": [2, 32, 32], "block": [2, 96, 96]}})
        jobs = self.submit(yaml)
        self.assertEqual(list(jobs), ["train", "infer", "segment", "evaluate", "report"])
        self.assertEqual(self.wait_for_end(jobs["report"], 120, "objects"), "COMPLETED", self.story("objects"))
        self.assertEqual(self.starts("objects", "segment", jobs["segment"]), [(0, "done")], self.story("objects"))
        record = json.loads((self.folder / "runs/objects/segmentation.json").read_text())
        self.assertEqual(record["first_pass"]["workers"], 2, "one on each node")
        status = self.status("objects")
        self.assertEqual(status["segment"]["work"], f"{record['objects']} objects at threshold 0.3")
        self.assertIn("VOI of the objects", status["evaluate"]["work"])
        self.assertIn('id="objects"', (self.folder / "runs/objects/report.html").read_text())


class ManyVolumes(SlurmCase):

    def test_a_job_array(self):
        """One task per volume. A failed task does not stop the others; the next submission runs only that one."""
        for seed, name in enumerate("abc"):
            self.tessera(["synth", f"stacks/{name}.h5", "--shape", "3,96,96", "--seed", seed + 1])
        whole = (self.folder / "stacks/c.h5").read_bytes()
        (self.folder / "stacks/c.h5").write_bytes(b"no volume")
        yaml = self.slurm_config("many", {"nodes": 1, "infer": {"nodes": 1, "tasks_per_node": 1}}, {
            "train": {"iterations": 1, "validate_every": 10},
            "infer": {"raw": "stacks/*.h5:/volumes/raw", "output": "predictions/*.h5:/p"},
            "evaluate": {"labels": "stacks/*.h5:/volumes/labels/cells", "sections": [0, 3], "scores": ["pixel"]}})
        refused = self.on_cluster(["submit", yaml])
        self.assertEqual(refused.code, 1, refused)
        self.assertIn("stacks/c.h5", refused.text)
        jobs = self.submit(yaml, "--unchecked")
        self.assertEqual(list(jobs), ["train", "infer", "evaluate", "report"])
        self.assertEqual(self.wait_for_end(jobs["report"], 90, "many"), "CANCELLED", self.story("many"))
        states = {task: self.cluster.jobs()[f"{jobs['infer']}_{task}"][0] for task in range(3)}
        self.assertEqual(states, {0: "COMPLETED", 1: "COMPLETED", 2: "FAILED"}, self.story("many"))
        status = self.status("many")["infer"]
        self.assertEqual((status["state"], status["done"], status["all"], status["starts"]), ("failed", 2, 3, 3))
        self.assertEqual(status["work"], "2 of 3 volumes, 1 failed")
        self.assertRegex(status["why"], r"^volume c: .*stacks/c\.h5")

        (self.folder / "stacks/c.h5").write_bytes(whole)
        jobs = self.submit(yaml)
        self.assertEqual(self.wait_for_end(jobs["report"], 90, "many"), "COMPLETED", self.story("many"))
        self.assertEqual(self.status("many")["infer"]["work"], "3 of 3 volumes")
        log = (self.folder / f"runs/many/jobs/infer-{jobs['infer']}_0.log").read_text()
        self.assertIn("blocks is done already", log)
        for name in "abc":
            self.assertEqual(self.read(f"predictions/{name}.h5:/p").shape, (3, 96, 96))
            self.assertTrue((self.folder / f"runs/many/volumes/{name}/report.html").exists())


class Failures(SlurmCase):

    def test_a_failing_stage_stops_the_chain(self):
        yaml = self.slurm_config("failing", {}, {"data": {"labels": "stack.h5:/nothing/here"}})
        refused = self.on_cluster(["submit", yaml])
        self.assertEqual(refused.code, 1, refused)
        self.assertIn("/nothing/here", refused.errors()[0])
        self.assertEqual(self.cluster.jobs(), {}, "nothing was submitted")
        jobs = self.submit(yaml, "--unchecked")
        for stage in ("infer", "evaluate", "report"):
            self.assertEqual(self.wait_for_end(jobs[stage], 60, "failing"), "CANCELLED", stage)
        self.assertEqual(self.cluster.jobs()[jobs["train"]][0], "FAILED")
        result = self.on_cluster(["status", yaml])
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.stdout, r"train +failed +\d+ +1\n +.*stack\.h5.*/nothing/here.*\n +log: runs/failing/jobs/train-\d+\.log\n")
        self.assertRegex(result.stdout, r"infer +cancelled +\d+ +0\n +before it began: the stage before it failed")
        self.assertEqual({stage: one["state"] for stage, one in self.status("failing").items()},
                         {"train": "failed", "infer": "cancelled", "evaluate": "cancelled", "report": "cancelled"})
        # After the fix, the same experiment succeeds.
        jobs = self.submit(yaml, "--set", "data.labels=stack.h5:/volumes/labels/cells", "--set", "train.iterations=2")
        self.assertEqual(self.wait_for_end(jobs["report"], 100, "failing"), "COMPLETED", self.story("failing"))

    def test_a_rank_that_always_dies(self):
        """The site's environment is sourced before the program starts. A job whose ranks die is not restarted forever."""
        (self.folder / "site.env").write_text("tessera_wrapper=(sh -c 'kill -9 $$')\n")
        yaml = self.slurm_config("dying", {"nodes": 1, "site_env": "site.env", "restarts": 1})
        job = self.submit(yaml, "--stages", "train")["train"]
        self.assertEqual(self.wait_for_end(job, 60, "dying"), "FAILED", self.story("dying"))
        self.assertEqual(self.starts("dying", "train", job), [(137, "died"), (137, "failed")])
        self.assertEqual((self.status("dying")["train"]["state"], self.status("dying")["train"]["starts"]), ("failed", 2))

    def test_cancelled_is_not_started_again(self):
        yaml = self.slurm_config("cancelled", {}, {"train": {"iterations": 1_000_000, "checkpoint_every": 1_000_000}})
        jobs = self.submit(yaml, "--stages", "train,report")
        metrics = self.folder / "runs/cancelled/metrics.csv"
        self.wait(lambda: metrics.exists() and metrics.stat().st_size > 1000, 60, "the training runs", "cancelled")
        self.cluster.command(["scancel", jobs["train"]], check=True)
        self.assertEqual(self.wait_for_end(jobs["report"], 30, "cancelled"), "CANCELLED")
        self.assertEqual(self.wait_for_end(jobs["train"], 30, "cancelled"), "CANCELLED")
        self.assertEqual(self.status("cancelled")["train"]["state"], "cancelled")
        self.assertEqual(len(list((self.folder / "runs/cancelled/checkpoints").glob("iteration_*.h5"))), 1, "what was done is saved")


@unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that makes writes slow (built by CMake)")
class TimeLimit(SlurmCase):

    stack_shape = (8, 96, 96)

    def test_shorter_than_the_work(self):
        """A minute is Slurm's shortest limit. stop_before leaves a part of it, half a minute by Slurm's count here."""
        yaml = self.slurm_config("short", {"nodes": 1, "time": "1", "stop_before": 50}, {
            "train": {"iterations": 1, "validate_every": 10}, "infer": {"block": [1, 32, 32], "chunk": [1, 32, 32]}})
        self.tessera(["train", yaml])
        job = self.submit(yaml, "--stages", "infer,report", environment={
            "LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_NAME": "/short.h5", "TESSERA_FAIL_DELAY_MS": "1000"})
        self.assertEqual(self.wait_for_end(job["report"], 240, "short"), "COMPLETED", self.story("short"))
        starts = self.starts("short", "infer", job["infer"])
        self.assertGreaterEqual(len(starts), 3)
        self.assertEqual(starts, [(75, "stopped")] * (len(starts) - 1) + [(0, "done")])
        self.assertEqual(self.status("short")["infer"]["starts"], len(starts))
        self.assertEqual(sorted(Journal(self.folder / "short.h5.journal").blocks()), list(range(72)))
        result = run_tessera(["infer", yaml, "--set", "infer.output=other.h5:/p"], cwd=self.folder)
        self.assertEqual(result.code, 0, result)
        self.assert_same_voxels(self.read("short.h5:/volumes/predictions/interior"), self.read("other.h5:/p"))


if __name__ == "__main__":
    unittest.main()
