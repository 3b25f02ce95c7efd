"""Signals, kills and damage: nothing is lost, nothing hangs, and a resumed run equals an uninterrupted one."""

import csv
import os
import re
import signal
import time
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera

STOPPED = 75
ITERATIONS = 600


FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")


class Stopping(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.undisturbed = {}

    def long_config(self, name, **train):
        return self.config(name, {"train": {"iterations": ITERATIONS, "validate_every": 200, "checkpoint_every": 200,
                                            "keep_checkpoints": 5, **train}})

    def rows(self, name):
        """The iterations and losses of metrics.csv."""
        try:
            with open(self.folder / f"runs/{name}/metrics.csv", newline="") as file:
                return [(int(r["iteration"]), r["loss"]) for r in csv.DictReader(file) if r["loss"]]
        except FileNotFoundError:
            return []

    def checkpoints(self, name):
        """{iteration: file}"""
        folder = self.folder / f"runs/{name}/checkpoints"
        return {int(re.search(r"\d+", p.name)[0]): p for p in sorted(folder.glob("iteration_*.h5"))}

    def state(self, name):
        """Every array of the newest checkpoint, and its counters."""
        arrays = {}
        with h5py.File(max(self.checkpoints(name).items())[1], "r") as f:
            f.visititems(lambda path, item: arrays.update({path: item[()]}) if isinstance(item, h5py.Dataset) else None)
            arrays.update({k: np.asarray(v) for k, v in f.attrs.items() if k.startswith("counter_")})
        self.assertGreater(len(arrays), 10)
        return arrays

    def assert_as_if_undisturbed(self, name, ranks):
        """Asserts that it is bit-equal to an uninterrupted training on the same number of ranks."""
        if ranks not in self.undisturbed:
            other = f"undisturbed{ranks}"
            self.tessera(["train", self.long_config(other)], ranks, timeout=120)
            self.undisturbed[ranks] = (self.state(other), self.rows(other))
        state, rows = self.undisturbed[ranks]
        mine = self.state(name)
        self.assertEqual(mine.keys(), state.keys())
        for path in state:
            self.assert_same_voxels(mine[path], state[path], path)
        self.assertEqual(self.rows(name), rows, "metrics.csv")
        self.assertEqual([i for i, _ in rows], list(range(1, ITERATIONS + 1)))

    def started(self, yaml, name, ranks, after=20):
        process = self.start(["train", yaml], ranks)
        process.wait_until(lambda: len(self.rows(name)) >= after, 60, "the training runs")
        return process

    def stop_and_go_on(self, name, ranks, number, whole_job=False):
        yaml = self.long_config(name)
        process = self.started(yaml, name, ranks)
        process.signal(number, whole_job)
        result = process.finish(30)
        self.assertEqual(result.code, STOPPED, result)
        self.assertEqual(len(re.findall("the state is saved: start again with --resume", result.text)), 1, result)
        self.assertEqual(process.left_behind(), [])
        at = max(self.checkpoints(name))
        self.assertTrue(20 <= at < ITERATIONS, f"stopped at iteration {at}: too late to show anything")
        self.assertEqual(self.rows(name)[-1][0], at, "metrics.csv ends where the checkpoint is")
        self.assertEqual(self.leftovers(), [])
        result = self.tessera(["train", yaml, "--resume"], ranks, timeout=120)
        self.assertIn(f"resumed from runs/{name}/checkpoints/iteration_{at:08d}.h5", result.text)
        self.assert_as_if_undisturbed(name, ranks)

    def test_term_alone(self):
        self.stop_and_go_on("term", 0, signal.SIGTERM)

    def test_interrupt_alone(self):
        self.stop_and_go_on("int", 0, signal.SIGINT)

    def test_usr2_alone(self):
        self.stop_and_go_on("usr2", 0, signal.SIGUSR2)

    def test_usr2_to_mpirun(self):
        """mpirun forwards the signal to the ranks. Slurm's warning arrives this way."""
        self.stop_and_go_on("usr2_mpirun", 3, signal.SIGUSR2)

    def test_term_to_all_ranks(self):
        self.stop_and_go_on("term_ranks", 3, signal.SIGTERM, whole_job=True)

    def test_term_to_mpirun(self):
        """mpirun ends the ranks itself, a moment after forwarding the signal. That is enough time to save. The exit
        code is mpirun's own."""
        yaml = self.long_config("term_mpirun", iterations=1_000_000, checkpoint_every=1_000_000, validate_every=1_000_000)
        process = self.started(yaml, "term_mpirun", 3)
        process.signal(signal.SIGTERM)
        result = process.finish(30)
        self.assertNotEqual(result.code, 0, result)
        self.assertIn("the state is saved", result.text)
        at = max(self.checkpoints("term_mpirun"), default=0)
        self.assertGreaterEqual(at, 20)
        self.tessera(["train", yaml, "--resume", "--set", f"train.iterations={at + 3}"], 3)
        self.assertEqual([i for i, _ in self.rows("term_mpirun")], list(range(1, at + 4)))

    def test_killed_and_resumed(self):
        """SIGKILL: the next start continues from the last save."""
        yaml = self.long_config("killed", checkpoint_every=10)
        process = self.started(yaml, "killed", 0, after=30)
        process.signal(signal.SIGKILL)
        process.finish(10)
        self.assertEqual(max(self.checkpoints("killed")) % 10, 0)
        self.tessera(["train", yaml, "--resume"], timeout=120)
        self.assert_as_if_undisturbed("killed", 0)

    def test_a_worker_dies(self):
        yaml = self.long_config("dies", iterations=1_000_000)
        process = self.started(yaml, "dies", 3)
        os.kill(process.rank_pid(2), signal.SIGKILL)
        result = process.finish(20)
        self.assertNotEqual(result.code, 0, result)
        self.assertEqual(process.left_behind(), [], "a process was left behind")

    def test_damaged_newest_checkpoint(self):
        self.tessera(["train", self.long_config("damaged")], timeout=120)
        files = self.checkpoints("damaged")
        self.assertEqual(sorted(files), [200, 400, 600])
        content = bytearray(files[600].read_bytes())
        content[len(content) // 2] ^= 0xFF
        files[600].write_bytes(content)
        result = self.tessera(["train", "damaged.yaml", "--resume"], timeout=120)
        self.assertEqual(len(result.warnings()), 1, result)
        self.assertRegex(result.warnings()[0], r"iteration_00000600\.h5 is damaged.*trying the checkpoint before it")
        self.assertIn("resumed from runs/damaged/checkpoints/iteration_00000400.h5", result.text)
        self.assert_as_if_undisturbed("damaged", 0)
        for file in self.checkpoints("damaged").values():
            file.write_bytes(b"damaged")
        for ranks in self.ranks_tried:
            result = run_tessera(["train", "damaged.yaml", "--resume"], ranks, 60, self.folder)
            self.assert_one_error(result, 1, ["every checkpoint in .*damaged", "--overwrite"])

    def test_resume_with_nothing_there_starts_afresh(self):
        result = self.tessera(["train", self.long_config("afresh"), "--resume"], timeout=120)
        self.assertNotIn("resumed from", result.text)
        self.assert_as_if_undisturbed("afresh", 0)

    def test_an_existing_run_is_not_overwritten(self):
        yaml = self.config("existing", {"train": {"iterations": 2}})
        self.tessera(["train", yaml])
        before = {p: p.read_bytes() for p in self.checkpoints("existing").values()}
        for ranks in self.ranks_tried:
            result = run_tessera(["train", yaml], ranks, 60, self.folder)
            self.assert_one_error(result, 2, ["runs/existing holds a training already", "--resume", "--overwrite"])
            self.assertEqual({p: p.read_bytes() for p in self.checkpoints("existing").values()}, before)
        self.tessera(["train", yaml, "--overwrite", "--set", "train.iterations=1"])
        self.assertEqual(sorted(self.checkpoints("existing")), [1])

    def test_resume_with_another_network_is_refused(self):
        yaml = self.config("another", {"train": {"iterations": 1}})
        self.tessera(["train", yaml])
        for ranks in self.ranks_tried:
            result = run_tessera(["train", yaml, "--resume", "--set", "model.base_filters=3"], ranks, 60, self.folder)
            self.assertIn(result.code, (1, 2), result)
            self.assertEqual(len(result.errors()), 1, result)
            self.assertRegex(result.text, "base_filters is .*3", result)


    def test_the_end_of_the_jobs_time(self):
        """TESSERA_DEADLINE, as set by the job scripts: the run stops early enough, alone and on 3 ranks."""
        for ranks in self.ranks_tried:
            name = f"deadline{ranks}"
            yaml = self.long_config(name, iterations=1_000_000)
            result = run_tessera(["train", yaml], ranks, 60, self.folder, environment={"TESSERA_DEADLINE": str(int(time.time()) + 5)})
            self.assertEqual(result.code, STOPPED, result)
            self.assertLess(result.seconds, 7, result)
            told = re.findall("stopped before the job's time limit at iteration [0-9,]+ of 1,000,000; the state is saved", result.text)
            self.assertEqual(len(told), 1, result)
            at = max(self.checkpoints(name))
            self.tessera(["train", yaml, "--resume", "--set", f"train.iterations={at + 3}"], ranks, timeout=120)
            self.assertEqual([i for i, _ in self.rows(name)], list(range(1, at + 4)))

    def test_a_deadline_that_is_over_does_an_iteration(self):
        """Every start makes some progress."""
        yaml = self.long_config("late")
        for at in (1, 2):
            result = run_tessera(["train", yaml, "--resume"], 0, 60, self.folder, environment={"TESSERA_DEADLINE": "1"})
            self.assertEqual(result.code, STOPPED, result)
            self.assertEqual(max(self.checkpoints("late")), at)
        result = run_tessera(["train", yaml, "--resume"], 0, 60, self.folder, environment={"TESSERA_DEADLINE": "soon"})
        self.assert_one_error(result, 2, ["TESSERA_DEADLINE is 'soon'"])


class StoppingInference(Case):

    stack_shape = (8, 384, 384)

    def test_interrupt(self):
        yaml = self.config("slow", {"model": {"base_filters": 32}, "train": {"iterations": 1}, "data": {
            "validation_sections": None}, "infer": {"block": [1, 64, 64], "chunk": [1, 64, 64]}})
        self.tessera(["train", yaml])
        for ranks in self.ranks_tried:
            file = self.folder / f"slow{ranks}.h5"
            process = self.start(["infer", yaml, "--set", f"infer.output={file.name}:/p"], ranks)
            process.wait_until((self.folder / f"slow{ranks}.h5.journal").exists, 60, "the result and its journal are there")
            process.signal(signal.SIGINT, whole_job=ranks > 0)
            result = process.finish(15)
            self.assertEqual(result.code, STOPPED, result)
            self.assertRegex(result.text, "stopped by a signal: .* start again to go on", result)
            self.assertEqual(process.left_behind(), [])

    @unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that makes writes slow (built by CMake)")
    def test_the_end_of_the_jobs_time(self):
        yaml = self.config("timed", {"train": {"iterations": 1}, "data": {
            "validation_sections": None}, "infer": {"block": [1, 64, 64], "chunk": [1, 64, 64]}})
        self.tessera(["train", yaml])
        for ranks in self.ranks_tried:
            output = ["--set", f"infer.output=timed{ranks}.h5:/p"]
            end_file = self.folder / f"end{ranks}"
            result = run_tessera(["infer", yaml, *output], ranks, 60, self.folder, environment={
                "TESSERA_DEADLINE": str(int(time.time()) + 5), "TESSERA_END_FILE": str(end_file),
                "LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_NAME": f"/timed{ranks}.h5", "TESSERA_FAIL_DELAY_MS": "200"})
            self.assertEqual(result.code, STOPPED, result)
            self.assertLess(result.seconds, 7, result)
            self.assertRegex(result.text, r"stopped before the job's time limit: [1-9]\d* of 288 blocks are done; start again to go on", result)
            self.assertEqual(end_file.read_text(), "75\n")
            # Every start makes progress, however late it is.
            before = result.text
            result = run_tessera(["infer", yaml, *output], ranks, 60, self.folder, environment={"TESSERA_DEADLINE": "1"})
            self.assertEqual(result.code, STOPPED, result)
            done = [int(re.search(r"(\d+) of 288 blocks are done; start", text)[1]) for text in (before, result.text)]
            self.assertGreater(done[1], done[0])

    def test_a_job_script_hears_of_other_ends_too(self):
        for arguments, code in ((["infer", "no.yaml"], 2), (["info", "no.h5"], 1)):
            for ranks in self.ranks_tried:
                end_file = self.folder / f"end_of_{code}_{ranks}"
                result = run_tessera(arguments, ranks, 60, self.folder, environment={"TESSERA_END_FILE": str(end_file)})
                self.assertEqual(result.code, code, result)
                self.assertEqual(end_file.read_text(), f"{code}\n")


if __name__ == "__main__":
    unittest.main()
