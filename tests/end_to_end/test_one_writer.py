"""Files are replaced as a whole, by one process at a time."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera

FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")
NEEDS_FAIL_IO = unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that makes calls fail (built by CMake)")

FAILED, USAGE = 1, 2

SECTIONS = {"train_sections": [0, 2], "validation_sections": [2, 3]}


class Writers(Case):
    """One trained network, its prediction and a stack of sections."""

    stack_shape = (3, 64, 64)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("small", {"data": {"train_sections": [0, 2], "validation_sections": [2, 3]}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.done(cls.folder, ["infer", cls.yaml])
        cls.done(cls.folder, ["export", "stack.h5:/volumes/raw", "raw.tif"])
        cls.model = "runs/small/checkpoints/best.h5"

    def locks(self):
        return sorted(str(p) for p in self.folder.rglob(".*.lock*"))

    def failing(self, arguments, call, name, code, nth=1, ranks=0):
        environment = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": name,
                       "TESSERA_FAIL_ERRNO": str(code), "TESSERA_FAIL_NTH": str(nth)}
        return run_tessera(arguments, ranks, 60, self.folder, environment=environment)

    def test_a_link_stays_and_its_target_is_written(self):
        (self.folder / "home").mkdir()
        (self.folder / "scratch").mkdir()
        score = ["evaluate", "--prediction", "small.h5:/volumes/predictions/interior", "--labels",
                 "stack.h5:/volumes/labels/cells", "--json"]
        verbs = {"in.h5": ["import", "raw.tif", "home/in.h5:/ids"],
                 "synth.h5": ["synth", "home/synth.h5", "--shape", "2,32,32"],
                 "pred.h5": ["infer", self.yaml, "--set", "infer.output=home/pred.h5:/p"],
                 "packed.h5": ["pack", "small.h5:/volumes/predictions/interior", "home/packed.h5:/p"],
                 "stack.tif": ["export", "stack.h5:/volumes/raw", "home/stack.tif"],
                 "model.pt": ["export-model", self.model, "home/model.pt"],
                 "scores.json": [*score, "home/scores.json"],
                 "page.html": ["report", "runs/small", "--output", "home/page.html"]}
        for name, arguments in verbs.items():
            with self.subTest(name=name):
                (self.folder / "home" / name).symlink_to(pathlib.Path("../scratch") / name)
                self.tessera(arguments)
                self.assertTrue((self.folder / "home" / name).is_symlink())
                self.assertGreater((self.folder / "scratch" / name).stat().st_size, 0)
        self.assertEqual(self.leftovers(), [])
        self.assert_same_voxels(self.read("scratch/in.h5:/ids"), self.read("stack.h5:/volumes/raw"))
        self.assert_same_voxels(self.read("scratch/pred.h5:/p"), self.read("small.h5:/volumes/predictions/interior"))
        self.tessera(["verify", "home/pred.h5:/p"])
        self.tessera(["verify", "scratch/pred.h5:/p"])

    @NEEDS_FAIL_IO
    def test_a_model_that_does_not_fit_leaves_the_old_one(self):
        self.tessera(["export-model", self.model, "m.pt"])
        before = (self.folder / "m.pt").read_bytes()
        for call in ("pwrite", "fsync"):
            result = self.failing(["export-model", self.model, "m.pt", "--overwrite"], call, "m.pt~*.tmp", errno.ENOSPC)
            self.assert_one_error(result, FAILED, [r"m\.pt", "No space left"])
            self.assertEqual((self.folder / "m.pt").read_bytes(), before)
            self.assertEqual(self.leftovers(), [])

    @NEEDS_FAIL_IO
    def test_an_import_while_another_one_writes(self):
        stop = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": "pwrite", "TESSERA_FAIL_NAME": "em.h5~*.tmp", "TESSERA_FAIL_TIMES": "1",
                "TESSERA_FAIL_STOP": "1"}
        first = self.start(["import", "raw.tif", "em.h5:/raw"], environment=stop)
        first.wait_until(lambda: is_stopped(first.process.pid), 30, "it stops")
        for path in ("raw", "cells"):
            result = run_tessera(["import", "raw.tif", f"em.h5:/{path}"], 0, 60, self.folder)
            self.assert_one_error(result, USAGE, [rf"em\.h5 is in use by tessera on \S+ \(process {first.process.pid}, since 20"])
        first.signal(signal.SIGCONT)
        self.assertEqual(first.finish(60).code, 0)
        self.assert_same_voxels(self.read("em.h5:/raw"), self.read("stack.h5:/volumes/raw"))
        self.assertEqual(self.leftovers() + self.locks(), [])

    def test_imports_at_one_instant(self):
        """Those that find another one at work are rejected; the others write whole datasets."""
        for _ in range(5):
            (self.folder / "both.h5").unlink(missing_ok=True)
            started = {path: self.start(["import", "raw.tif", f"both.h5:/{path}"]) for path in ("a", "b", "c")}
            ended = {path: process.finish(60) for path, process in started.items()}
            written = sorted(path for path, result in ended.items() if result.code == 0)
            self.assertNotEqual(written, [])
            with h5py.File(self.folder / "both.h5") as file:
                self.assertEqual(sorted(file), written)
            for path, result in ended.items():
                if result.code == 0:
                    self.assert_same_voxels(self.read(f"both.h5:/{path}"), self.read("stack.h5:/volumes/raw"))
                else:
                    self.assert_one_error(result, USAGE, [r"both\.h5 is in use by tessera on \S+ \(process \d+, since 20"])
            self.assertEqual(self.leftovers() + self.locks(), [])

    @NEEDS_FAIL_IO
    def test_two_predictions_at_one_instant(self):
        slow = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_NAME": "both.h5", "TESSERA_FAIL_DELAY_MS": "20"}
        arguments = ["infer", self.yaml, "--set", "infer.output=both.h5:/p", "--set", "infer.block=[1, 32, 32]", "--set",
                     "infer.chunk=[1, 32, 32]"]
        for ranks in (0, 3):
            (self.folder / "both.h5").unlink(missing_ok=True)
            (self.folder / "both.h5.journal").unlink(missing_ok=True)
            first = self.start([*arguments, "--set", "infer.normalisation=volume"], ranks, environment=slow)
            second = self.start(arguments, ranks, environment=slow)
            ended = [first.finish(60), second.finish(60)]
            self.assertEqual(sorted(result.code for result in ended), [0, USAGE], "\n".join(map(str, ended)))
            loser = next(result for result in ended if result.code != 0)
            self.assert_one_error(loser, USAGE, ["both.h5 (is in use by tessera on|exists already and is the result of another job)"])
            self.tessera(["verify", "both.h5:/p"])
            self.assertEqual(self.leftovers() + self.locks(), [])

    def test_two_trainings_in_one_run_folder(self):
        yaml = self.config("twice", {"data": SECTIONS, "train": {"iterations": 100000, "checkpoint_every": 1, "validate_every": 100000}})
        first = self.start(["train", yaml])
        checkpoints = self.folder / "runs/twice/checkpoints"
        first.wait_until(lambda: any(checkpoints.glob("iteration_*.h5")), 60, "a checkpoint")
        for ranks, more in ((0, "--resume"), (3, "--overwrite")):
            result = run_tessera(["train", yaml, more], ranks, 60, self.folder)
            self.assert_one_error(result, USAGE, [rf"runs/twice is in use by tessera on \S+ \(process {first.process.pid}, since"])
        first.signal(signal.SIGTERM)
        self.assertEqual(first.finish(60).code, 75)
        self.assertEqual(self.locks(), [])
        self.tessera(["train", yaml, "--resume", "--set", "train.iterations=1"])

    def test_a_program_that_has_the_file_open_for_writing(self):
        self.tessera(["import", "raw.tif", "open.h5:/raw"])
        program = subprocess.Popen(
            [sys.executable, "-c", "import h5py, sys; f = h5py.File('open.h5', 'r+'); f['mine'] = 1; print('open', flush=True); "
             "sys.stdin.read(); f.close()"], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"})
        try:
            self.assertEqual(program.stdout.readline(), b"open\n")
            for arguments in (["import", "raw.tif", "open.h5:/again"], ["synth", "open.h5", "--overwrite"],
                              ["infer", self.yaml, "--restart", "--set", "infer.output=open.h5:/p"],
                              ["pack", "small.h5:/volumes/predictions/interior", "open.h5:/p", "--overwrite"]):
                result = run_tessera(arguments, 0, 60, self.folder)
                self.assert_one_error(result, USAGE, [r"open\.h5 is open for writing in another program", "Close it"])
            result = self.tessera(["export", "open.h5:/raw", "of_open.tif"])
            self.assertRegex(" ".join(result.warnings()), r"open\.h5 is open for writing in another program")
        finally:
            program.communicate(timeout=30)
        with h5py.File(self.folder / "open.h5") as file:
            self.assertEqual(sorted(file), ["mine", "raw"])
        self.tessera(["import", "raw.tif", "open.h5:/again"])
        self.assertEqual(self.locks(), [])

    def test_other_datasets_of_a_file_are_not_lost(self):
        self.tessera(["infer", self.yaml, "--set", "infer.output=shared.h5:/p"])
        with h5py.File(self.folder / "shared.h5", "a") as file:
            file["corrections/mine"] = np.arange(6)
        result = run_tessera(["infer", self.yaml, "--restart", "--set", "infer.output=shared.h5:/p"], 0, 60, self.folder)
        self.assert_one_error(result, USAGE, [r"shared\.h5 also holds /corrections/mine", "infer.output"])
        result = run_tessera(["pack", "small.h5:/volumes/predictions/interior", "shared.h5:/p", "--overwrite"], 0, 60, self.folder)
        self.assert_one_error(result, USAGE, [r"shared\.h5 also holds /corrections/mine"])
        for more in ([], ["--overwrite"]):
            result = run_tessera(["import", "raw.tif", "shared.h5:/corrections", *more], 0, 60, self.folder)
            self.assert_one_error(result, USAGE, ["/corrections is a group that holds 1 dataset, not a dataset"])
        self.assertEqual(self.read("shared.h5:/corrections/mine").tolist(), list(range(6)))

    def checkpoints(self, name):
        return {p.name: p.read_bytes() for p in (self.folder / "runs" / name / "checkpoints").iterdir()}

    @NEEDS_FAIL_IO
    def test_a_training_is_replaced_when_the_new_one_has_a_checkpoint(self):
        yaml = self.config("again", {"data": SECTIONS})
        self.tessera(["train", yaml])
        old = self.checkpoints("again")
        overwrite = ["train", yaml, "--overwrite", "--set", "train.seed=5"]
        for ranks in (0, 3):
            result = self.failing(overwrite, "pwrite", "next_training/checkpoints/*.tmp", errno.ENOSPC, ranks=ranks)
            self.assertEqual(result.code, FAILED, result)
            self.assertIn("No space left", result.text)
            self.assertEqual(self.checkpoints("again"), old)
        killed = self.start([*overwrite, "--set", "train.iterations=100000", "--set", "train.checkpoint_every=100000"])
        killed.wait_until(lambda: (self.folder / "runs/again/next_training/metrics.csv").exists(), 60, "it trains")
        killed.kill()
        self.assertEqual(self.checkpoints("again"), old)
        result = run_tessera(["train", yaml], 0, 60, self.folder)
        self.assert_one_error(result, USAGE, ["runs/again holds a training already"])
        self.tessera(overwrite)
        new = self.checkpoints("again")
        self.assertEqual(sorted(new), sorted(old))
        self.assertNotEqual(new["best.h5"], old["best.h5"])
        self.assertIn("seed: 5", (self.folder / "runs/again/config.yaml").read_text())
        self.assertFalse((self.folder / "runs/again/next_training").exists())
        self.tessera(overwrite, ranks=3)
        self.assertEqual(sorted(self.checkpoints("again")), sorted(old))

    def test_every_worker_follows_a_new_training_into_its_place(self):
        """The second worker writes previews of the second volume, also after the first checkpoint."""
        volumes = [{"raw": "stack.h5:/volumes/raw", "labels": "stack.h5:/volumes/labels/cells", **SECTIONS}] * 2
        yaml = self.config("two", {
            "data": {"raw": None, "labels": None, "train_sections": None, "validation_sections": None, "volumes": volumes},
            "train": {"iterations": 4, "checkpoint_every": 1, "validate_every": 1}})
        self.tessera(["train", yaml], ranks=3)
        self.tessera(["train", yaml, "--overwrite", "--set", "train.seed=5"], ranks=3)
        run = self.folder / "runs/two"
        self.assertFalse((run / "next_training").exists())
        previews = sorted(p.name for p in (run / "previews").iterdir())
        self.assertEqual([p for p in previews if "iteration_00000004" in p],
                         [f"iteration_00000004_volume_{v:03d}_section_0002.png" for v in (0, 1)])
        result = self.tessera(["train", yaml, "--resume", "--set", "train.iterations=5"], ranks=3)
        self.assertIn("resumed from", result.text)

    @NEEDS_FAIL_IO
    def test_a_folder_of_sections_is_replaced_as_a_whole(self):
        self.tessera(["export", "stack.h5:/volumes/raw", "sections"])
        folder = self.folder / "sections"
        (folder / "notes.txt").write_text("mine")
        content = lambda: {p.name: p.read_bytes() for p in folder.iterdir()}
        old = content()
        overwrite = ["export", "stack.h5:/volumes/labels/cells", "sections", "--overwrite"]
        result = self.failing(overwrite, "pwrite", "section_*.png", errno.ENOSPC, nth=2)
        self.assert_one_error(result, FAILED, ["No space left"])
        self.assertEqual(content(), old)
        # Stopped before the exchange of names, and after it.
        for call, name, whole in (("pwrite", "section_0001.png", True), ("fsync", self.folder.name, False)):
            process = self.start(overwrite, environment={
                "LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": name, "TESSERA_FAIL_STOP": "1"})
            process.wait_until(lambda: is_stopped(process.process.pid), 30, "it stops")
            process.kill()
            self.assertEqual(content() == old, whole)
            self.assertEqual(sorted(content()), sorted(old))
            self.assertEqual(len(self.leftovers(self.folder)), 1, "what the killed process left")
        self.tessera(overwrite)
        self.assertEqual(self.leftovers() + self.locks(), [])
        self.assertEqual(sorted(content()), sorted(old))


def is_stopped(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


if __name__ == "__main__":
    unittest.main()
