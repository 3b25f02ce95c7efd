"""Networks beside the U-Nets: the sliding-window network."""

import unittest

import h5py
import numpy as np

from harness import Case, merged


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
