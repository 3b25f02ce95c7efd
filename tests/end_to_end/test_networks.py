"""Networks beside one U-Net: ensembles of several trained networks, and the sliding-window network."""

import unittest

import h5py
import numpy as np

from harness import Case, merged, run_tessera

USAGE, FAILED = 2, 1


class Ensembles(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Other sections, so other normalisations.
        for number, sections in ((1, [0, 3]), (2, [3, 6])):
            cls.done(cls.folder, ["train", cls.config(f"one{number}", {"train": {"iterations": 2, "seed": number}, "data": {
                "train_sections": sections, "validation_sections": None}})])

    def predict(self, name, infer, ranks=0, more=()):
        yaml = self.config(name, {"infer": {"dtype": "float32", "output": f"{name}.h5:/p", **infer}})
        self.tessera(["infer", yaml, *more], ranks)
        return self.read(f"{name}.h5:/p")

    def test_the_result_is_the_mean_of_the_probabilities(self):
        alone = [self.predict(f"alone{n}", {"checkpoint": f"runs/one{n}/checkpoints"}) for n in (1, 2)]
        self.assertGreater(np.abs(alone[0] - alone[1]).max(), 1e-3)
        names = ["runs/one1", "runs/one2/checkpoints"]
        both = self.predict("both", {"ensemble": names})
        self.assertLessEqual(np.abs(both - (alone[0] + alone[1]) / 2).max(), 1e-5)
        for ranks in (2, 3):
            self.assert_same_voxels(self.predict(f"both{ranks}", {"ensemble": names}, ranks), both)
        averaged = self.predict("averaged", {"ensemble": names, "averaging": "symmetries8"})
        parts = [self.predict(f"averaged{n}", {"checkpoint": f"runs/one{n}/checkpoints", "averaging": "symmetries8"}) for n in (1, 2)]
        self.assertLessEqual(np.abs(averaged - (parts[0] + parts[1]) / 2).max(), 1e-5)

    def test_a_result_knows_its_networks(self):
        self.predict("known", {"ensemble": ["runs/one1", "runs/one2"]})
        with h5py.File(self.folder / "known.h5") as f:
            trained = [np.bytes_(f["p"].attrs[name]).decode() for name in ("training_config", "training_config_2")]
        self.assertTrue("one1" in trained[0] and "one2" in trained[1], trained)
        other = run_tessera(["infer", "known.yaml", "--set", "infer.ensemble=[runs/one2, runs/one1]"], 0, 60, self.folder)
        self.assert_one_error(other, USAGE, ["network"])
        scores = self.tessera(["evaluate", "--prediction", "known.h5:/p", "--labels", "stack.h5:/volumes/labels/cells",
                               "--sections", "4:6"])
        self.assertRegex(scores.text, "warning: .*trained on", "the second network was trained on them")
        self.assertIn("nothing to predict", self.tessera(["infer", "known.yaml"]).text)

    def test_networks_that_do_not_fit_together(self):
        self.done(self.folder, ["train", self.config("deep", {"train": {"iterations": 1, "tile": 92}, "model": {"depth": 3}})])
        self.done(self.folder, ["train", self.config("own", {"train": {"iterations": 1}, "data": {"normalisation": "volume"}})])
        tried = (
            (["runs/one1", "runs/deep"], USAGE, ["the networks differ: runs/one1/.* has .*; runs/deep/.* has .*margin"]),
            (["runs/one1", "runs/own"], USAGE, ["normalised by training, runs/own/.* by volume: set infer.normalisation"]),
            (["runs/one1", "runs/none"], USAGE, ["infer.ensemble: there is no runs/none"]),
            (["runs/one1", "latest"], USAGE, ["'latest' is of one run"]),
            ([], USAGE, ["names no network"]))
        for names, code, words in tried:
            for ranks in (0, 3):
                yaml = self.config("unfit", {"infer": {"ensemble": names, "output": "unfit.h5:/p"}})
                self.assert_one_error(run_tessera(["infer", yaml], ranks, 60, self.folder), code, words)
        yaml = self.config("twice", {"infer": {"ensemble": ["runs/one1"], "checkpoint": "best", "output": "twice.h5:/p"}})
        self.assert_one_error(run_tessera(["infer", yaml], 0, 60, self.folder), USAGE, ["replaces infer.checkpoint"])
        # All networks read voxels alike.
        self.predict("alike", {"ensemble": ["runs/one1", "runs/own"], "normalisation": "section"})

    def test_many_volumes(self):
        raw = self.read("stack.h5:/volumes/raw")
        self.write_volumes("many.h5", {"a/raw": raw, "b/raw": raw[:, ::-1]})
        yaml = self.config("many", {"infer": {"raw": "many.h5:/*/raw", "output": None, "ensemble": ["runs/one1", "runs/one2"]}})
        self.tessera(["infer", yaml], 2)
        results = [self.read(f"runs/many/volumes/{name}/prediction.h5:/volumes/predictions/interior") for name in "ab"]
        self.assertGreater(np.abs(results[0].astype(int) - results[1]).max(), 0)


class SlidingWindow(Case):
    """model.preset: ciresan2012."""

    stack_shape = (4, 128, 128)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        model = {"preset": "ciresan2012", "base_filters": 4, "depth": None, "dropout": None}
        cls.keys = {"model": model, "train": {"iterations": 3, "tile": 110}, "data": {"validation_sections": [3, 4],
                                                                                  "train_sections": [0, 3]}}
        cls.yaml = cls.config("window", cls.keys)
        cls.done(cls.folder, ["train", cls.yaml], 3)

    def predict(self, name, ranks=0, **infer):
        yaml = self.config("window", merged(self.keys, {"infer": {"dtype": "float32", "output": f"{name}.h5:/p", **infer}}))
        self.tessera(["infer", yaml], ranks)
        return self.read(f"{name}.h5:/p")

    def test_tiles_and_ranks_do_not_show(self):
        whole = self.predict("whole", tile=222)
        self.assertEqual(whole.shape, (4, 128, 128))
        self.assertGreater(whole.std(), 1e-4)
        small = [self.predict(f"small{ranks}", ranks, tile=103) for ranks in (0, 2, 3)]
        self.assertLessEqual(np.abs(small[0] - whole).max(), 1e-5)
        for one in small[1:]:
            self.assert_same_voxels(one, small[0])

    def test_the_exported_network_predicts_the_same(self):
        own = self.predict("own")
        self.tessera(["export-model", "runs/window/checkpoints/best.h5", "window.pt"])
        yaml = self.config("exported", {"model": {"torchscript": "window.pt"}, "train": None, "data": None, "infer": {
            "raw": "stack.h5:/volumes/raw", "dtype": "float32", "output": "exported.h5:/p"}})
        self.tessera(["infer", yaml])
        self.assertLessEqual(np.abs(self.read("exported.h5:/p") - own).max(), 1e-5)

    def test_a_resumed_training_equals_one_that_never_stopped(self):
        straight = self.config("straight", merged(self.keys, {"train": {"iterations": 4}}))
        self.tessera(["train", straight])
        self.tessera(["train", self.config("resumed", merged(self.keys, {"train": {"iterations": 2}}))])
        self.tessera(["train", self.config("resumed", merged(self.keys, {"train": {"iterations": 4}})), "--resume"])
        found = []
        for name in ("straight", "resumed"):
            with h5py.File(self.folder / f"runs/{name}/checkpoints/iteration_00000004.h5") as f:
                found.append({key: f["weights"][key][()].tobytes() for key in (
                    "stages.0.weight", "stages.3.bias", "hidden.weight", "to_classes.bias")})
        self.assertEqual(found[0], found[1])


if __name__ == "__main__":
    unittest.main()
