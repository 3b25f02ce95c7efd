"""Counts the files that ranks open at the start. What one rank can read for all is read only by the coordinator."""

import collections
import os
import unittest

from harness import Case, run_tessera

LOG_OPENS = os.environ.get("TESSERA_LOG_OPENS", "")
RANKS = 4


@unittest.skipUnless(LOG_OPENS, "needs TESSERA_LOG_OPENS, the library that writes openings down (built by CMake)")
class Openings(Case):

    def openings(self, arguments):
        """{file name: [number of openings per rank]}."""
        log = self.folder / "opens.log"
        log.unlink(missing_ok=True)
        result = run_tessera(arguments, RANKS, 60, self.folder, environment={
            "LD_PRELOAD": LOG_OPENS, "TESSERA_OPENS_LOG": str(log), "TESSERA_OPENS_UNDER": str(self.folder)})
        self.assertEqual(result.code, 0, result)
        counts = collections.defaultdict(lambda: [0] * RANKS)
        for line in log.read_text().splitlines():
            rank, _, path = line.partition(" ")
            counts[os.path.basename(path)][int(rank)] += 1
        return counts

    def assert_only_root(self, openings, name):
        self.assertEqual(openings[name], [1] + [0] * (RANKS - 1), name)

    def assert_openings(self, openings, name, root, workers):
        """Workers that get no block open nothing."""
        self.assertEqual(openings[name][0], root, name)
        for count, most in zip(openings[name][1:], workers):
            self.assertLessEqual(count, most, f"{name}: {openings[name]}")
        self.assertGreater(sum(openings[name][1:]), 0, name)

    def config(self, name, changes=None):
        return super().config(name, {"data": {"validation_sections": None}, **(changes or {})})

    def test_training(self):
        yaml = self.config("start", {"train": {"global_batch": 4}})
        found = self.openings(["train", yaml])
        self.assert_only_root(found, yaml)
        # Raw voxels and labels are one dataset each. The root reads their metadata, workers read the voxels. The root also
        # looks whether another program writes the file.
        self.assertEqual(found["stack.h5"], [3, 2, 2, 2])
        found = self.openings(["train", yaml, "--resume", "--set", "train.iterations=3"])
        self.assert_only_root(found, yaml)
        self.assert_only_root(found, "iteration_00000002.h5")
        self.assertEqual(found["stack.h5"], [3, 2, 2, 2])

    def test_volumes_that_are_held_out_whole_are_measured_by_one_worker(self):
        for number in range(3):
            self.tessera(["synth", f"v{number}.h5", "--shape", "2,96,96", "--seed", str(number)])
        of = lambda number: {"raw": f"v{number}.h5:/volumes/raw", "labels": f"v{number}.h5:/volumes/labels/cells"}
        found = []
        for scope in ("all", "volume"):
            yaml = self.config(f"held_out_{scope}", {
                "data": {"raw": None, "labels": None, "train_sections": None, "normalisation": scope,
                         "volumes": [{**of(0), "train_sections": [0, 2]}, {**of(1), "validation_sections": [0, 2]},
                                     {**of(2), "validation_sections": [0, 2]}]},
                "train": {"global_batch": 4, "iterations": 1}})
            found.append(self.openings(["train", yaml]))
            self.assertEqual(found[-1]["v0.h5"], [3, 2, 2, 2])
        for name in ("v1.h5", "v2.h5"):
            self.assertEqual(sum(found[1][name]), sum(found[0][name]) + 1, (name, *map(dict, found)))

    def test_prediction_and_evaluation(self):
        yaml = self.config("predict", {"infer": {"block": [1, 64, 64], "chunk": [1, 64, 64]}})
        self.tessera(["train", yaml])
        self.tessera(["export-model", "runs/predict/checkpoints/best.h5", "script.pt"])
        own = {"best.h5": [], "script.pt": ["--set", "model.torchscript=script.pt", "--set", "train.tile=204"]}
        for model, more in own.items():
            found = self.openings(["infer", yaml, "--restart", *more])
            self.assert_only_root(found, yaml)
            self.assert_only_root(found, model)
            # The root reads what the volume is and a sample of its grey levels, and looks for a lock of HDF5.
            # Where a result is replaced, the root looks at what else its file holds, and follows the link to the raw volume.
            self.assert_openings(found, "stack.h5", 3 if model == "best.h5" else 5, [1, 1, 1])
            self.assert_openings(found, "predict.h5", found["predict.h5"][0], [1, 1, 1])
        found = self.openings(["infer", yaml, "--restart", "--set", "infer.normalisation=volume",
                               "--set", "infer.skip.mask=stack.h5:/volumes/labels/cells"])
        # Plus the mask, and two layers of chunks for the statistics: the root's and a worker's.
        self.assert_openings(found, "stack.h5", 6, [3, 2, 2])
        found = self.openings(["evaluate", yaml])
        self.assert_only_root(found, yaml)
        for name in ("predict.h5", "stack.h5"):
            self.assertEqual(found[name][1:], [1, 1, 1], name)


if __name__ == "__main__":
    unittest.main()
