"""The paper's own training on real sections: its first iterations, and the effect of bfloat16 on the loss.

SKIPPED where TESSERA_DATA has no ISBI-2012 stack.
"""

import csv
import json
import os
import pathlib
import shutil
import unittest

import numpy as np

from harness import DATA, SOURCE, Case


class Paper(Case):

    @classmethod
    def setUpClass(cls):
        for kind in ("volume", "labels"):
            if not (DATA / f"isbi2012/train-{kind}-00-19.tif").is_file():
                raise unittest.SkipTest(f"no {DATA / 'isbi2012'}: set TESSERA_DATA")
        super().setUpClass()

    def setUp(self):
        if (self.folder / "isbi.h5").exists():
            return
        for kind, path in (("volume", "raw"), ("labels", "labels/cells")):
            self.tessera(["import", DATA / f"isbi2012/train-{kind}-00-19.tif", f"isbi.h5:/volumes/{path}", "--resolution", "50,4,4"])

    def losses(self, run):
        with open(self.folder / f"runs/{run}/metrics.csv", newline="") as file:
            return np.array([float(row["loss"]) for row in csv.DictReader(file)])

    def train(self, yaml, run, *settings, timeout):
        words = [word for setting in settings for word in ("--set", setting)]
        self.tessera(["train", yaml, "--set", f"run_folder=runs/{run}", *words], timeout=timeout)
        return json.loads((self.folder / f"runs/{run}/training.json").read_text())

    def test_first_iterations(self):
        """configs/isbi2012_paper.yaml as it is: 64 filters, tiles of 572 pixels, SGD with momentum 0.99, the weight
        map, elastic deformation; 20 iterations on all cores."""
        shutil.copy(SOURCE / "configs/isbi2012_paper.yaml", self.folder)
        record = self.train("isbi2012_paper.yaml", "paper", "train.iterations=20", "train.validate_every=1000",
                            "data.validation_sections=[16,17]", f"train.threads={len(os.sched_getaffinity(0))}", timeout=550)
        self.assertEqual((record["parameters"], record["tile"], record["global_batch"]), (31_030_658, 572, 1))
        losses = self.losses("paper")
        self.assertEqual(len(losses), 20)
        self.assertTrue(np.all(np.isfinite(losses)), losses)
        # With He initialisation the loss starts within a few units of the chance level, log 2. Then it falls.
        self.assertLess(losses[0], 20)
        self.assertLess(np.mean(losses[-5:]), np.mean(losses[:5]), losses)

    def test_bfloat16_follows_float32(self):
        """The paper's optimizer over 200 iterations: both precisions see the same samples, and their losses stay
        within 2 % of each other."""
        flags = set(pathlib.Path("/proc/cpuinfo").read_text().split())
        if not {"avx512bw", "avx512dq", "avx512vl"} <= flags:
            self.skipTest("oneDNN has no bfloat16 on this processor")
        yaml = self.config("half", {
            "data": {"raw": "isbi.h5:/volumes/raw", "labels": "isbi.h5:/volumes/labels/cells", "train_sections": [0, 16],
                     "validation_sections": None},
            "model": {"preset": "unet2015", "base_filters": 8, "depth": 4},
            "train": {"iterations": 200, "global_batch": 1, "tile": 252, "optimizer": "sgd", "momentum": 0.99,
                      "learning_rate": 1e-4, "checkpoint_every": 1000, "validate_every": 1000}})
        self.train(yaml, "bfloat16", "train.precision=bfloat16", timeout=200)
        self.train(yaml, "float32", "train.precision=float32", timeout=200)
        half, single = self.losses("bfloat16"), self.losses("float32")
        self.assertEqual((len(half), len(single)), (200, 200))
        self.assertFalse(np.array_equal(half, single), "one precision was used for both")
        apart = np.abs(half / single - 1)
        print(f"bfloat16 against float32: losses at most {100 * apart.max():.2f} % apart, mean {100 * apart.mean():.2f} %; "
              f"float32 from {single[:5].mean():.3f} to {single[-20:].mean():.3f}")
        self.assertLess(apart.max(), 0.02)
        self.assertLess(single[-20:].mean(), 0.6 * single[:5].mean(), "nothing was learnt: the comparison says nothing")


if __name__ == "__main__":
    unittest.main()
