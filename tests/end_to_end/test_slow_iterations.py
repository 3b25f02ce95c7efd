"""Signals while an iteration takes long. mpirun sends SIGCONT at once, SIGTERM after 1 s and SIGKILL after another second,
so an iteration is left where it is, and the last whole one is saved.

Environment: TESSERA_STOP_INSTANTS the number of random instants at which trainings are stopped (default 0: none)."""

import csv
import json
import os
import random
import re
import signal
import time
import unittest

import h5py
import numpy as np

from harness import Case

STOPPED = 75
INSTANTS = int(os.environ.get("TESSERA_STOP_INSTANTS", "0"))
needs_idle_machine = unittest.skipUnless(INSTANTS, "takes minutes of an idle machine: set TESSERA_STOP_INSTANTS=20")
# mpirun waits this long twice: before SIGTERM, and between SIGTERM and SIGKILL. Its default is 1 s. It is longer here, because
# the machine of a test may be busy; how fast a training ends is compared with the time of its iterations.
MPIRUN_WAITS_S = 4
PATIENT = {"OMPI_MCA_odls_base_sigkill_timeout": str(MPIRUN_WAITS_S)}
WHOLE = 80  # iterations of the undisturbed training: more than fit between its start and the end of mpirun
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class SlowIterations(Case):

    def slow_config(self, name, **train):
        """Iterations of about half a second on each of two workers."""
        return self.config(name, {
            "data": {"validation_sections": None}, "model": {"base_filters": 6, "depth": 4},
            "train": {"iterations": 1000, "tile": 572, "learning_rate": 1e-4, "checkpoint_every": 1000, **train}})

    def checkpoints(self, name):
        folder = self.folder / f"runs/{name}/checkpoints"
        return {int(re.search(r"\d+", p.name)[0]): p for p in sorted(folder.glob("iteration_*.h5"))}

    def rows(self, name):
        try:
            with open(self.folder / f"runs/{name}/metrics.csv", newline="") as file:
                return [(int(r["iteration"]), r["loss"]) for r in csv.DictReader(file) if r["gradient_norm"]]
        except FileNotFoundError:
            return []

    @staticmethod
    def state(file):
        arrays = {}
        with h5py.File(file, "r") as f:
            f.visititems(lambda path, item: arrays.update({path: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return arrays

    def state_of_training(self, name):
        """"running", "stopped", ... of `tessera status`."""
        text = self.tessera(["status", f"runs/{name}"]).stdout
        return re.search(r"^train +(\S+)", text, re.MULTILINE)[1]

    def started(self, yaml, name, ranks, *more):
        process = self.start(["train", yaml, *more], ranks, environment=PATIENT)
        process.wait_until((self.folder / f"runs/{name}/training.json").exists, 60, "the training begins")
        return process

    def seconds_of_iterations(self, name):
        with open(self.folder / f"runs/{name}/metrics.csv", newline="") as file:
            ends = [float(r["elapsed_s"]) for r in csv.DictReader(file)]
        return max(b - a for a, b in zip(ends, ends[1:]))

    def assert_stopped(self, name, process, rows_before):
        """Asserts what a training leaves behind that SIGINT or SIGTERM ended. Returns the saved iteration."""
        begin = time.monotonic()
        result = process.finish(60)
        seconds = time.monotonic() - begin
        self.assertNotEqual(result.code, 0, result)
        self.assertLess(seconds, MPIRUN_WAITS_S + max(3, 1.5 * self.iteration_s), result)
        self.assertEqual(process.left_behind(), [])
        at = max(self.checkpoints(name), default=0)
        self.assertGreaterEqual(at, rows_before, result)
        self.assertEqual([i for i, _ in self.rows(name)], list(range(1, at + 1)), "metrics.csv ends where the checkpoint is")
        if at > 0:
            self.assertRegex(result.text, rf"stopped by a signal at iteration {at} of 1,000( \([\d.]+ s of unfinished work are lost\))?; "
                                          "the state is saved: start again with --resume to go on")
        else:
            self.assertRegex(result.text, r"stopped by a signal in the first iteration.*; nothing is saved yet: start again with --resume")
        record = json.loads((self.folder / f"runs/{name}/training.json").read_text())
        self.assertEqual(record["end"], "stopped", result)
        self.assertEqual(self.state_of_training(name), "stopped")
        return at

    @needs_idle_machine
    def test_random_instants(self):
        """At most one iteration is lost, and what is saved equals the state of an undisturbed training there."""
        whole = self.slow_config("whole", iterations=WHOLE, checkpoint_every=1, keep_checkpoints=WHOLE, schedule={"kind": "constant"})
        self.tessera(["train", whole], 3, timeout=300)
        expected = {i: self.state(file) for i, file in self.checkpoints("whole").items()}
        self.assertEqual(sorted(expected), list(range(1, WHOLE + 1)))
        self.iteration_s = self.seconds_of_iterations("whole")
        draw = random.Random(5)
        saved = []
        for trial in range(INSTANTS):
            number = SIGNALS[trial % 3]
            name = f"instant{trial}"
            yaml = self.slow_config(name, **({"checkpoint_minutes": 0.001} if number == signal.SIGKILL else {}))
            process = self.started(yaml, name, 3)
            time.sleep(draw.uniform(0, 4) * self.iteration_s)
            rows_before = max((i for i, _ in self.rows(name)), default=0)
            process.signal(number)
            with self.subTest(number=number, trial=trial):
                if number == signal.SIGKILL:
                    process.finish(20)
                    self.assertEqual(process.left_behind(8), [])
                    at = max(self.checkpoints(name), default=0)
                    self.assertGreaterEqual(at, rows_before - 1)
                    # A rank that ends has no memory any more, but holds its lock for a moment.
                    for _ in range(20):
                        if self.state_of_training(name) == "stopped":
                            break
                        time.sleep(0.2)
                    self.assertEqual(self.state_of_training(name), "stopped")
                    self.assertIn("it was killed: start it again with --resume", self.tessera(["status", f"runs/{name}"]).stdout)
                else:
                    at = self.assert_stopped(name, process, rows_before)
                saved.append(at)
                if at in expected:
                    state = self.state(self.checkpoints(name)[at])
                    self.assertEqual(state.keys(), expected[at].keys())
                    for path in state:
                        self.assert_same_voxels(np.asarray(state[path]), np.asarray(expected[at][path]), path)
        self.assertGreater(max(saved), 0, "every training was stopped in its first iteration")
        self.assertLess(min(at for at in saved if at > 0), WHOLE, "no saved state was compared")
        # The last one that was stopped goes on as if nothing had happened.
        name = [f"instant{i}" for i, at in enumerate(saved) if 0 < at < WHOLE and SIGNALS[i % 3] != signal.SIGKILL][-1]
        self.tessera(["train", f"{name}.yaml", "--resume", "--set", f"train.iterations={WHOLE}"], 3, timeout=300)
        self.assertEqual(self.rows(name), self.rows("whole"))
        state = self.state(self.checkpoints(name)[WHOLE])
        for path in state:
            self.assert_same_voxels(np.asarray(state[path]), np.asarray(expected[WHOLE][path]), path)

    @needs_idle_machine
    def test_an_iteration_of_minutes_is_left(self):
        """Alone and on three ranks; and the checkpoint before it stays the newest."""
        for ranks, signalled in ((0, "alone"), (3, "mpirun"), (3, "a worker")):
            name = f"minutes_{ranks}_{signalled[0]}"
            yaml = self.config(name, {"data": {"validation_sections": None}, "model": {"base_filters": 16, "depth": 4},
                                      "train": {"iterations": 1, "tile": 188, "global_batch": 2}})
            self.tessera(["train", yaml], ranks)
            (self.folder / f"runs/{name}/training.json").unlink()
            before = self.checkpoints(name)[1].read_bytes()
            process = self.started(yaml, name, ranks, "--resume", "--set", "train.iterations=9", "--set", "train.tile=1532",
                                   "--set", "train.global_batch=16")
            time.sleep(1.5)
            begin = time.monotonic()
            if signalled == "a worker":
                os.kill(process.rank_pid(2), signal.SIGTERM)
            else:
                process.signal(signal.SIGTERM)
            result = process.finish(100)
            waited_s = MPIRUN_WAITS_S if signalled == "mpirun" else 0
            self.assertLess(time.monotonic() - begin, waited_s + 10, result)  # an iteration takes longer
            if signalled != "mpirun":
                self.assertEqual(result.code, STOPPED, result)
            self.assertRegex(result.text, r"stopped by a signal at iteration 1 of 9 \(\d+\.\d s of unfinished work are lost\); the state is saved")
            self.assertRegex(result.text, "ended: a signal came, at iteration 1 of 9")
            self.assertEqual(list(self.checkpoints(name)), [1])
            self.assertEqual(self.checkpoints(name)[1].read_bytes(), before)
            self.assertEqual(process.left_behind(), [])

    def test_a_training_that_replaces_another_and_saved_nothing(self):
        """The older one stays, and --resume begins the new one again."""
        yaml = self.config("replaces", {"data": {"validation_sections": None}, "train": {"iterations": 1}})
        self.tessera(["train", yaml])
        before = self.checkpoints("replaces")[1].read_bytes()
        process = self.start(["train", yaml, "--overwrite", "--set", "train.global_batch=60000"])
        process.wait_until((self.folder / "runs/replaces/next_training/training.json").exists, 60, "the training begins")
        process.signal(signal.SIGTERM)
        result = process.finish(20)
        self.assertEqual(result.code, STOPPED, result)
        self.assertRegex(result.text, "stopped by a signal in the first iteration.*; nothing is saved yet")
        self.assertEqual(self.checkpoints("replaces")[1].read_bytes(), before)
        result = self.tessera(["train", yaml, "--resume", "--set", "train.iterations=2"])
        self.assertNotIn("resumed from", result.text)
        self.assertEqual(list(self.checkpoints("replaces")), [2])

    def test_checkpoints_by_time(self):
        """Whichever comes first, iterations or minutes; on all ranks alike."""
        for ranks in self.ranks_tried:
            name = f"timed{ranks}"
            yaml = self.config(name, {"data": {"validation_sections": None}, "train": {
                "iterations": 10, "checkpoint_every": 5, "checkpoint_minutes": 1e-6, "keep_checkpoints": 100}})
            self.tessera(["train", yaml], ranks)
            self.assertEqual(list(self.checkpoints(name))[-9:], list(range(2, 11)))  # the first may be too early
            self.tessera(["train", yaml, "--overwrite", "--set", "train.checkpoint_minutes=0"], ranks)
            self.assertEqual(list(self.checkpoints(name)), [5, 10])


if __name__ == "__main__":
    unittest.main()
