"""Law 4: a training that was killed, stopped or moved to other ranks equals an uninterrupted one. Also checks the
learning rates, the average and the best checkpoint that a training reports."""

import csv
import math
import os
import random
import shutil
import signal
import time
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera

STOPPED = 75
SEED = int(os.environ.get("TESSERA_KILL_SEED", random.SystemRandom().randrange(1 << 30)))

# All state that a resume must restore: both vectors of AdamW, the schedule, the average, the best and its count.
ALL = {"optimizer": "adamw", "weight_decay": 0.01, "learning_rate": 0.003, "clip_norm": 0.3, "average_decay": 0.99,
       "validation_metric": "iou", "patience": 1000, "schedule": {"kind": "cosine", "warm_up": 10, "floor": 0.1}}
PLAIN = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01, "schedule": {"kind": "step", "step_every": 50}}


class Training(Case):

    def rows(self, name):
        """The complete rows of metrics.csv."""
        try:
            with open(self.folder / f"runs/{name}/metrics.csv", newline="") as file:
                return [r for r in csv.DictReader(file) if r["gradient_norm"]]
        except FileNotFoundError:
            return []

    def timeless_rows(self, name):
        return [{k: v for k, v in r.items() if k not in ("elapsed_s", "waiting_share", "exchange_share")} for r in self.rows(name)]

    def reached(self, name):
        rows = self.rows(name)
        return int(rows[-1]["iteration"]) if rows else 0

    def checkpoints(self, name):
        """The checkpoints of iterations, the newest last."""
        return sorted((self.folder / f"runs/{name}/checkpoints").glob("iteration_*.h5"))

    def state(self, file):
        """The contents of a checkpoint, without the time and the experiment's name."""
        found = {}
        with h5py.File(file, "r") as f:
            f.visititems(lambda path, item: found.update({path: item[()]}) if isinstance(item, h5py.Dataset) else None)
            found.update({k: np.asarray(v) for k, v in f.attrs.items()
                          if k.startswith(("counter_", "number_")) and k != "number_elapsed_s"})
        self.assertGreater(len(found), 20)
        return found

    def assert_same_state(self, a, b):
        a, b = self.state(a), self.state(b)
        self.assertEqual(a.keys(), b.keys())
        for path in a:
            self.assert_same_voxels(a[path], b[path], path)


class Killed(Training):

    ITERATIONS = 240

    def settings(self, settings):
        return {"train": {"iterations": self.ITERATIONS, "checkpoint_every": 1, "validate_every": 20, **settings}}

    def kill_and_go_on(self, name, ranks, trials, settings):
        """SIGKILL to the whole job at random instants: while it starts, computes, validates, writes checkpoints."""
        rng = random.Random(f"{SEED} {name}")
        print(f"{name}: TESSERA_KILL_SEED={SEED}", flush=True)
        yaml, undisturbed = self.config(name, self.settings(settings)), f"{name}_undisturbed"
        self.tessera(["train", self.config(undisturbed, self.settings(settings))], ranks, timeout=100)
        killed_at = []
        for trial in range(trials):
            begin = self.reached(name)
            process = self.start(["train", yaml, "--resume"], ranks)
            if trial % 5 == 1:
                time.sleep(rng.uniform(0, 0.4))  # it may not have started yet
            else:
                goal = begin + rng.randint(1, self.ITERATIONS // trials - 8)
                process.wait_until(lambda: self.reached(name) >= goal, 60, f"iteration {goal} is done")
                time.sleep(rng.uniform(0, 0.03))
            self.assertTrue(process.running(), f"trial {trial}: it ended by itself before the kill\n{process.text()}")
            process.kill()
            self.assertNotIn("damaged", process.text())
            self.assertEqual(process.left_behind(), [])
            killed_at.append(self.reached(name))
            files = self.checkpoints(name) + list((self.folder / f"runs/{name}/checkpoints").glob("best.h5"))
            for file in files:
                self.state(file)  # readable to the last byte
        self.assertGreater(len({at for at in killed_at}), trials // 2, "the kills fell on the same place")
        result = self.tessera(["train", yaml, "--resume"], ranks, timeout=100)
        self.assertEqual(result.warnings(), [], result)
        last = f"iteration_{self.ITERATIONS:08d}.h5"
        for file in (last, "best.h5"):
            self.assert_same_state(self.folder / f"runs/{name}/checkpoints/{file}",
                                   self.folder / f"runs/{undisturbed}/checkpoints/{file}")
        timeless = [self.timeless_rows(n) for n in (name, undisturbed)]
        self.assertEqual(len(timeless[0]), self.ITERATIONS)
        self.assertEqual(timeless[0], timeless[1])
        self.assertEqual(self.leftovers(), [])

    def test_all_settings_alone(self):
        self.kill_and_go_on("all", 0, 8, ALL)

    def test_sgd_alone(self):
        self.kill_and_go_on("plain", 0, 6, PLAIN)

    def test_all_settings_on_three_ranks(self):
        self.kill_and_go_on("ranks", 3, 6, ALL)

    def test_rows_that_come_together(self):
        """train.report_every changes when rows are written, not their contents. A kill loses no row that a checkpoint
        covers."""
        settings = {"iterations": 60, "checkpoint_every": 10, "validate_every": 25, **ALL}
        self.tessera(["train", self.config("single", {"train": settings})])
        yaml = self.config("together", {"train": {**settings, "report_every": 7}})
        for goal in (7, 28):
            process = self.start(["train", yaml, "--resume"])
            process.wait_until(lambda goal=goal: self.reached("together") >= goal, 60, f"iteration {goal} is told of")
            process.kill()
            self.assertLess(self.reached("together"), 60, "too late to show anything")
        self.tessera(["train", yaml, "--resume"])
        self.assertEqual(len(self.rows("together")), 60)
        self.assertEqual(self.timeless_rows("together"), self.timeless_rows("single"))
        self.assert_same_state(self.checkpoints("together")[-1], self.checkpoints("single")[-1])

    def test_half_written_checkpoints_are_cleared_away(self):
        yaml = self.config("cleared", {"train": {"iterations": 2}})
        self.tessera(["train", yaml])
        stray = self.folder / "runs/cleared/checkpoints/iteration_00000099.h5.tmp"
        stray.write_bytes(b"half a checkpoint")
        self.tessera(["train", yaml, "--resume", "--set", "train.iterations=3"])
        self.assertFalse(stray.exists())

    def test_a_checkpoint_too_many_is_removed(self):
        """A kill between the last checkpoint and the removal of the oldest one leaves it behind."""
        yaml = self.config("many", {"train": {"iterations": 4, "checkpoint_every": 1, "keep_checkpoints": 3}})
        self.tessera(["train", yaml])
        kept = self.checkpoints("many")
        self.assertEqual(len(kept), 3)
        shutil.copy(kept[0], self.folder / "runs/many/checkpoints/iteration_00000001.h5")
        self.tessera(["train", yaml, "--resume"])
        self.assertEqual(self.checkpoints("many"), kept)


class OtherRanks(Training):

    def resumed_on_other_ranks(self, more):
        """The losses, as written, of a training on one process and of two that continued on other ranks."""
        settings = {"train": {"iterations": 30, "global_batch": 4, "checkpoint_every": 5, "validate_every": 100, **ALL, **more}}
        tag = "_".join(map(str, more.values()))
        self.tessera(["train", self.config(f"one_{tag}", settings)])
        expected = [r["loss"] for r in self.rows(f"one_{tag}")]
        found = []
        for kind, before, after in (("fewer", 4, 0), ("more", 0, 3)):
            name = f"{kind}_{tag}"
            yaml = self.config(name, settings)
            process = self.start(["train", yaml], before)
            process.wait_until(lambda name=name: self.checkpoints(name), 60, "a checkpoint is there")
            process.kill()
            self.assertLess(len(self.rows(name)), 30, "too late to show anything")
            result = self.tessera(["train", yaml, "--resume"], after, timeout=60)
            self.assertIn("resumed from", result.text)
            found.append([r["loss"] for r in self.rows(name)])
            self.assertEqual(len(found[-1]), 30)
        return expected, found

    def test_another_number_of_ranks_gives_the_same_losses(self):
        """The reduction order differs, so losses agree to float32 rounding. Rounding steps in bfloat16 are larger."""
        expected, found = self.resumed_on_other_ranks({"precision": "float32"})
        for losses in found:
            np.testing.assert_allclose([float(x) for x in losses], [float(x) for x in expected], rtol=1e-5)

    def test_another_number_of_ranks_gives_the_same_bits_where_asked_for(self):
        """In the automatic precision of this machine."""
        expected, found = self.resumed_on_other_ranks({"reproducible": True})
        for losses in found:
            self.assertEqual(losses, expected)


class Signals(Training):
    """After a signal: finish the current iteration, not the epoch; write; exit 75."""

    stack_shape = (24, 256, 256)  # an epoch of 112 iterations

    def test_saves_within_an_iteration(self):
        for number, ranks in ((signal.SIGTERM, 0), (signal.SIGUSR2, 0), (signal.SIGUSR2, 3)):
            with self.subTest(signal=number, ranks=ranks):
                name = f"signal_{number}_{ranks}"
                yaml = self.config(name, {"data": {"train_sections": [0, 22], "validation_sections": None},
                                          "model": {"base_filters": 16},
                                          "train": {"iterations": 100_000, "global_batch": 32, "tile": 60,
                                                    "checkpoint_every": 100_000, **ALL, "patience": 0}})
                process = self.start(["train", yaml], ranks)
                process.wait_until(lambda: self.reached(name) >= 4, 60, "the training runs")
                seen, begin = self.rows(name), time.monotonic()
                process.signal(number)
                result = process.finish(60)
                seconds = time.monotonic() - begin
                self.assertEqual(result.code, STOPPED, result)
                iteration_s = float(seen[-1]["elapsed_s"]) / len(seen)
                # A row is written when the next iteration is done. The current iteration is finished on all ranks.
                after = self.reached(name) - len(seen)
                self.assertLessEqual(after, 3, f"{after} iterations after the signal")
                self.assertLess(float(seen[-1]["epoch"]), 0.5, "too near its end to tell an iteration from an epoch")
                self.assertLess(seconds, 3 * iteration_s + 2, f"an iteration takes {iteration_s:.2f} s")
                self.assertIn(f"iteration_{self.reached(name):08d}.h5", self.checkpoints(name)[-1].name)


    def test_rows_that_come_together_are_all_there_after_a_stop(self):
        for ranks in self.ranks_tried:
            name = f"together{ranks}"
            yaml = self.config(name, {"train": {"iterations": 1_000_000, "validate_every": 1_000_000, "checkpoint_every": 1_000_000,
                                                "report_every": 1_000_000}})
            process = self.start(["train", yaml], ranks)
            process.wait_until(lambda: "experiment" in process.text(), 60, "the training runs")
            time.sleep(1)
            process.signal(signal.SIGUSR2)
            self.assertEqual(process.finish(60).code, STOPPED)
            rows = self.rows(name)
            self.assertEqual([int(r["iteration"]) for r in rows], list(range(1, len(rows) + 1)))
            self.assertIn(f"iteration_{len(rows):08d}.h5", self.checkpoints(name)[-1].name)


class Rates(Training):

    def test_each_iterations_rate_is_recorded(self):
        yaml = self.config("rates", {"train": {
            "iterations": 12, "validate_every": 100, "learning_rate": 0.001, "scale_learning_rate": True, "global_batch": 2,
            "schedule": {"kind": "polynomial", "warm_up": 4, "power": 2, "floor": 0.25}}})
        self.tessera(["train", yaml])
        expected = [0.002 * (t / 4 if t <= 4 else 0.25 + 0.75 * (1 - (t - 1 - 4) / 8) ** 2) for t in range(1, 13)]
        np.testing.assert_allclose([float(r["learning_rate"]) for r in self.rows("rates")], expected, rtol=1e-5)
        self.tessera(["report", "runs/rates"])
        self.assertIn("Learning rate", (self.folder / "runs/rates/report.html").read_text())

    def test_a_schedule_ends_with_the_time(self):
        for ranks in self.ranks_tried:
            name = f"minutes{ranks}"
            yaml = self.config(name, {"train": {"iterations": 1_000_000, "minutes": 0.04, "learning_rate": 0.01,
                                                "validate_every": 1_000_000, "schedule": {"kind": "cosine"}}})
            self.tessera(["train", yaml], ranks)
            rows = self.rows(name)
            for row in rows:  # the share of time is read before the iteration, the row's time after it
                share = min(1, float(row["elapsed_s"]) / (60 * 0.04))
                self.assertGreaterEqual(float(row["learning_rate"]), 0.01 * (1 + math.cos(math.pi * share)) / 2 - 1e-9)
            self.assertGreater(float(rows[0]["learning_rate"]), 0.009)
            self.assertLess(float(rows[-1]["learning_rate"]), 0.001)


class OnTheDevice(Training):

    def test_samples_made_there_and_together_give_the_same_losses(self):
        """The automatic settings of a GPU, requested on the CPU."""
        settings = {"iterations": 8, "global_batch": 4, "precision": "float32", "weight_map": {"w0": 10},
                    "augmentation": {"elastic": 5, "noise": 0.1}}
        model = {"dropout": 0}
        self.tessera(["train", self.config("host", {"model": model, "train": settings})])
        self.tessera(["train", self.config("device", {"model": model, "train": {**settings, "samples_on": "device",
                                                                                "samples_at_once": 3}})])
        losses = [[float(r["loss"]) for r in self.rows(name)] for name in ("host", "device")]
        self.assertEqual(len(losses[0]), 8)
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
        record = (self.folder / "runs/device/training.json").read_text()
        self.assertIn("up to 3 samples at once, samples made on the device", record)


class Best(Training):

    def test_validation_and_inference_use_the_average(self):
        name = "average"
        settings = {"train": {**ALL, "iterations": 12, "validate_every": 12, "learning_rate": 0.02, "schedule": None},
                    "infer": {"dtype": "float32", "checkpoint": "latest"}}
        yaml = self.config(name, settings)
        self.tessera(["train", yaml])
        self.tessera(["train", self.config("no_average", settings), "--set", "train.average_decay=0"])
        self.tessera(["infer", yaml])
        labels, row = self.read("stack.h5:/volumes/labels/cells")[4:6] > 0, self.rows(name)[-1]

        def error(prediction):
            return np.mean((prediction[4:6] > float(row["validation_threshold"])) != labels)

        self.assertAlmostEqual(error(self.read(f"{name}.h5:/volumes/predictions/interior")),
                               float(row["validation_pixel_error"]), delta=2e-4)
        # The last trained weights, the same in both trainings, give a different prediction.
        self.assertEqual([r["loss"] for r in self.rows(name)], [r["loss"] for r in self.rows("no_average")])
        self.assertGreater(abs(float(self.rows("no_average")[-1]["validation_pixel_error"]) -
                               float(row["validation_pixel_error"])), 1e-3)
        with h5py.File(self.checkpoints(name)[-1], "r") as f:
            self.assertEqual(sorted(f["average"]), [k for k in sorted(f["weights"]) if "running" not in k])
            difference = max(np.abs(f["average"][k][()] - f["weights"][k][()]).max() for k in f["average"])
        self.assertGreater(difference, 1e-3)

    def test_patience_ends_a_training(self):
        settings = {"train": {"iterations": 1000, "validate_every": 3, "learning_rate": 1e-12, "patience": 2,
                              "checkpoint_every": 1000}}
        for ranks in self.ranks_tried:
            name = f"patience{ranks}"
            yaml = self.config(name, settings)
            result = self.tessera(["train", yaml], ranks)
            self.assertIn("ended: none of the last 2 validations was better than the best (train.patience), at iteration 9 of 1,000",
                          result.text)
            self.tessera(["report", f"runs/{name}"])
            self.assertIn("ended: none of the last 2", (self.folder / f"runs/{name}/report.html").read_text())
            self.assertIn("trained after 9 iterations", result.text)
            self.assertEqual([r["iteration"] for r in self.rows(name) if r["best"] == "1"], ["3"])
            self.assertEqual(self.checkpoints(name)[-1].name, "iteration_00000009.h5")
            if ranks == 0:
                result = self.tessera(["train", yaml, "--resume"])
                self.assertIn("ended: none of the last 2", result.text)
                self.assertEqual(self.reached(name), 9, "there was nothing to go on for")
            self.tessera(["train", yaml, "--resume", "--set", "train.patience=4"], ranks)
            self.assertEqual(self.reached(name), 15, "the validations in vain are counted through a resume")

    def test_other_settings_after_a_resume_are_told(self):
        yaml = self.config("told", {"train": {"iterations": 2}})
        self.tessera(["train", yaml])

        def go_on(iterations, *changes):
            more = [word for change in changes for word in ("--set", change)]
            return self.tessera(["train", yaml, "--resume", "--set", f"train.iterations={iterations}", *more])

        self.assertEqual(go_on(4).warnings(), [])
        result = go_on(6, "train.validation_metric=rand")
        self.assertEqual(len(result.warnings()), 1, result)
        self.assertRegex(result.warnings()[0], "is one by pixel_error, and train.validation_metric is rand now")
        self.assertEqual([r["best"] for r in self.rows("told")][-1], "1", "the best starts afresh")
        on = ("train.validation_metric=rand", "train.average_decay=0.5")
        self.assertRegex("".join(go_on(8, *on).warnings()), "holds no averaged weights: .* starts a new average")
        self.assertEqual(go_on(10, *on).warnings(), [])
        self.assertRegex("".join(go_on(12, on[0]).warnings()), "averaged weights, which are dropped")
        result = run_tessera(["train", yaml, "--resume", "--set", "train.optimizer=sgd"], 0, 60, self.folder)
        self.assert_one_error(result, 2, ["holds the state of another optimizer .mean, variance; here: momentum.: set train.optimizer"])

    def test_impossible_settings(self):
        bad = self.config("bad", {"data": {"validation_sections": None}, "train": {
            "optimizer": "adamv", "beta1": 1.5, "clip_norm": -1, "average_decay": 1, "patience": 3,
            "validation_metric": "dice", "schedule": {"kind": "cosin", "warm_up": 2, "floor": 2, "stepevery": 1}}})
        result = run_tessera(["train", bad], 0, 60, self.folder)
        self.assertEqual(result.code, 2, result)
        for words in (r"train\.optimizer: 'adamv' is none of sgd, adam, adamw", r"train\.beta1", r"train\.clip_norm",
                      r"train\.average_decay", r"train\.patience: .*needs validation_sections in data",
                      r"train\.validation_metric: 'dice' is none of pixel_error, iou, rand",
                      r"train\.schedule\.kind: 'cosin' .*did you mean 'cosine'",
                      r"train\.schedule\.warm_up: 2 iterations of warm-up leave nothing of the 2",
                      r"train\.schedule\.floor", r"train\.schedule\.stepevery: unknown key; did you mean 'step_every'"):
            self.assertRegex(result.text, words)
        bad = self.config("bad", {"train": {"reproducible": True, "samples_at_once": 2, "samples_on": "devise", "report_every": 0,
                                            "cuda_aware_mpi": True}})
        result = run_tessera(["train", bad], 0, 60, self.folder)
        self.assertEqual(result.code, 2, result)
        for words in (r"train\.samples_at_once: train\.reproducible sums sample by sample",
                      r"train\.samples_on: 'devise' .*did you mean 'device'", r"train\.report_every", r"train\.cuda_aware_mpi: sums float32"):
            self.assertRegex(result.text, words)


if __name__ == "__main__":
    unittest.main()
