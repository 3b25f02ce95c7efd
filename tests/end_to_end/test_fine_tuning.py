"""A training that starts from a trained network: `train.initial_weights` and `train.freeze`."""

import json
import unittest

import h5py
import numpy as np

from harness import Case, merged, run_tessera

USAGE, FAILED = 2, 1


class FineTuning(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.done(cls.folder, ["train", cls.config("base", {"train": {"average_decay": 0.9, "iterations": 4}})])

    def weights(self, name, group="weights", best=False):
        """The parameters of a run's newest checkpoint, or of the best one."""
        file = sorted((self.folder / f"runs/{name}/checkpoints").glob("best.h5" if best else "iteration_*.h5"))[-1]
        found = {}
        with h5py.File(file, "r") as checkpoint:
            checkpoint[group].visititems(
                lambda path, item: found.update({path: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None)
        self.assertGreater(len(found), 10)
        return found

    def record(self, name):
        return json.loads((self.folder / f"runs/{name}/training.json").read_text())["initial_weights"]

    def tune(self, name, changes=None, ranks=0, more=()):
        keys = {"train": {"initial_weights": "runs/base", "seed": 5}}
        return self.tessera(["train", self.config(name, merged(keys, changes or {})), *more], ranks)

    def encoder(self, weights):
        """The frozen part of a network of depth 2: six convolutions."""
        return {path: value for path, value in weights.items() if path.startswith("convs.") and int(path.split(".")[1]) < 6}

    def test_frozen_layers_are_those_of_the_trained_network(self):
        base = self.encoder(self.weights("base", "average", best=True))
        self.assertEqual(len(base), 12)
        for ranks in (0, 3):
            said = self.tune(f"frozen{ranks}", {"train": {"freeze": ["encoder"], "weight_decay": 0.1}}, ranks)
            self.assertRegex(said.text, r"weights of runs/base/checkpoints/best\.h5: \d+ layers taken\n")
            tuned = self.weights(f"frozen{ranks}")
            self.assertEqual(self.encoder(tuned), base)
            others = set(tuned.items()) - set(self.encoder(tuned).items())
            self.assertFalse(others & set(self.weights("base", "average", best=True).items()))
            record = self.record(f"frozen{ranks}")
            self.assertEqual((record["file"], record["new"], record["adapted"], record["not_used"]),
                             ("runs/base/checkpoints/best.h5", [], [], []))
            self.assertRegex(record["age"], "iteration [24], written ")

    def test_a_resumed_training_does_not_take_them_again(self):
        self.tune("resumed")
        before = self.record("resumed")
        said = self.tune("resumed", {"train": {"iterations": 4}}, more=["--resume"])
        self.assertNotIn("layers taken", said.text)
        self.assertEqual(self.record("resumed"), before)
        self.tune("straight", {"train": {"iterations": 4}})
        self.assertEqual(self.weights("straight"), self.weights("resumed"))

    def test_other_channels_and_classes(self):
        said = self.tune("sections", {"model": {"in_channels": 3}})
        self.assertRegex(said.text, r"layers taken; adapted to other input channels: convs\.0\n")
        self.assertEqual(self.record("sections")["adapted"], ["convs.0"])
        ids = (self.read("stack.h5:/volumes/labels/cells") > 0).astype(np.uint8)
        ids[:, :40] = 2
        self.write_volumes("three.h5", {"labels": ids})
        said = self.tune("three", {"model": {"classes": 3}, "data": {"labels": "three.h5:/labels"}, "infer": None})
        self.assertRegex(said.text, r"layers taken; new: \S+ \(\S+\.weight has the shape \(2, 2, 1, 1\) there, \(3, 2, 1, 1\) here\)")
        self.assertEqual(len(self.record("three")["new"]), 1)

    def test_a_folder_of_checkpoints_and_an_exact_file(self):
        for number, name in enumerate(("runs/base/checkpoints", "runs/base/checkpoints/best.h5")):
            said = self.tune(f"named{number}", {"train": {"initial_weights": name}})
            self.assertRegex(said.text, r"weights of runs/base/checkpoints/(best|iteration_00000004)\.h5: ")

    def test_bad_input(self):
        self.write_volumes("other.h5", {"weights": self.read("stack.h5:/volumes/raw")})
        (self.folder / "empty").mkdir()
        for keys, code, pattern in (
                ({"initial_weights": "nowhere.h5"}, USAGE, r"train\.initial_weights: there is no nowhere\.h5"),
                ({"initial_weights": "empty"}, USAGE, r"train\.initial_weights: empty holds no checkpoint"),
                ({"initial_weights": "other.h5"}, FAILED, r"other\.h5"),
                ({"initial_weights": "stack.h5:/volumes/raw"}, USAGE, r"train\.initial_weights: there is no stack\.h5:/volumes/raw"),
                ({"freeze": ["convs.77"]}, USAGE, r"freeze: 'convs\.77' is no layer of this network: encoder, or wildcards for convs\.0"),
                ({"freeze": ["*"]}, USAGE, r"freeze: names all layers")):
            for ranks in (0, 3):
                yaml = self.config("bad", {"train": {"initial_weights": "runs/base", **keys}})
                self.assert_one_error(run_tessera(["train", yaml], ranks, cwd=self.folder), code, [pattern])
        yaml = self.config("wide", {"model": {"base_filters": 4}, "train": {"initial_weights": "runs/base"}})
        self.assert_one_error(run_tessera(["train", yaml], 3, cwd=self.folder), USAGE,
                              [r"no layer of runs/base/checkpoints/best\.h5 fits this network .*\(2, 1, 3, 3\) there, \(4, 1, 3, 3\) here"])
        self.assertFalse((self.folder / "runs/wide/checkpoints").exists() and any((self.folder / "runs/wide/checkpoints").iterdir()))


if __name__ == "__main__":
    unittest.main()
