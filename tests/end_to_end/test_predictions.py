"""Prediction options and networks from other programs, compared with PyTorch in Python."""

import unittest

import h5py
import numpy as np

from harness import Case, run_tessera

try:
    import torch
except ImportError:
    torch = None


class Predictions(Case):
    """One trained network: the whole stack in float32, and the results of other settings."""

    stack_shape = (6, 96, 128)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("small", {"train": {"iterations": 30, "checkpoint_every": 30, "learning_rate": 0.01}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.plain = cls.predict("plain", "infer.dtype=float32")
        if np.ptp(cls.plain) < 0.05:
            raise AssertionError("the prediction is flat and shows nothing")

    @classmethod
    def predict(cls, name, *sets, ranks=0):
        arguments = ["infer", cls.yaml, "--restart", "--set", f"infer.output={name}.h5:/v"]
        for one in sets:
            arguments += ["--set", one]
        cls.done(cls.folder, arguments, ranks)
        return cls.read(f"{name}.h5:/v")

    def refused(self, code, words, *sets):
        arguments = ["infer", self.yaml, "--restart", "--set", "infer.output=refused.h5:/v"]
        for one in sets:
            arguments += ["--set", one]
        for ranks in self.ranks_tried:
            self.assert_one_error(run_tessera(arguments, ranks, 60, cwd=self.folder), code, words)
        self.assertFalse((self.folder / "refused.h5").exists())

    def test_a_region_is_cut_out_of_the_whole(self):
        part = self.predict("region", "infer.dtype=float32", "infer.region.begin=[1,9,17]", "infer.region.end=[5,80,111]", ranks=3)
        self.assertEqual(part.shape, (4, 71, 94))
        self.assertLessEqual(np.abs(part - self.plain[1:5, 9:80, 17:111]).max(), 1e-5)
        with h5py.File(self.folder / "region.h5") as f, h5py.File(self.folder / "stack.h5") as s:
            resolution = s["volumes/raw"].attrs["resolution"]
            np.testing.assert_allclose(f["v"].attrs["offset"], resolution * np.array([1, 9, 17]))
        self.refused(2, ["infer.region", "inside the raw volume"], "infer.region.end=[7,96,128]")

    def test_classes_types_and_labels(self):
        both = self.predict("both", "infer.classes=[0,1]", "infer.dtype=float16", ranks=3)
        self.assertEqual((both.shape, both.dtype), ((2, 6, 96, 128), np.float16))
        self.assertLessEqual(np.abs(both.astype(np.float64).sum(0) - 1).max(), 1e-3)
        self.assertLessEqual(np.abs(both[1].astype(np.float64) - self.plain).max(), 1e-3)
        labels = self.predict("labels", "infer.write=labels")
        self.assertEqual(labels.dtype, np.uint8)
        clear = np.abs(self.plain - 0.5) > 1e-4
        self.assertTrue(np.array_equal(labels[clear], (self.plain > 0.5).astype(np.uint8)[clear]))
        self.refused(2, ["class 2 was requested"], "infer.classes=[2]")

    def test_averaging_and_blending(self):
        for how in ("symmetries8", "rotations7"):
            averaged = self.predict(how, "infer.dtype=float32", f"infer.averaging={how}", ranks=3)
            self.assertGreater(np.abs(averaged - self.plain).max(), 1e-4, "averaging changed nothing")
            self.assertGreater(np.corrcoef(averaged.ravel(), self.plain.ravel())[0, 1], 0.8)
            again = self.predict(how, "infer.dtype=float32", f"infer.averaging={how}")
            self.assert_same_voxels(averaged, again, how)
        for how in ("linear", "gaussian"):
            blended = self.predict(how, "infer.dtype=float32", f"infer.blend={how}", "infer.blend_overlap=16", "infer.tile=108")
            self.assertLessEqual(np.abs(blended - self.plain).max(), 1e-5, "equal tiles, blended, stay equal")

    def test_background_is_skipped(self):
        raw = self.read("stack.h5:/volumes/raw").copy()
        raw[2:4] = 1
        mask = np.ones((6, 48, 64), np.uint8)
        mask[4:] = 0
        self.write_volumes("holes.h5", {"raw": raw, "mask": mask, "wrong": mask[:, :41]})
        sets = ["infer.raw=holes.h5:/raw", "infer.chunk=[2,96,128]", "infer.block=[2,96,128]"]
        whole = self.predict("whole", *sets, ranks=3)
        by_value = self.predict("by_value", *sets, "infer.skip.background=[0,2]", ranks=3)
        self.assertTrue((by_value[2:4] == 0).all())
        self.assertTrue(np.array_equal(by_value[[0, 1, 4, 5]], whole[[0, 1, 4, 5]]))
        self.assertGreater(np.count_nonzero(whole[2:4]), 0)
        by_mask = self.predict("by_mask", *sets, "infer.skip.mask=holes.h5:/mask", ranks=3)
        self.assertTrue((by_mask[4:] == 0).all())
        self.assertTrue(np.array_equal(by_mask[:4], whole[:4]))
        self.refused(2, ["infer.skip.mask", "coarser by a whole factor"], *sets, "infer.skip.mask=holes.h5:/wrong")

    def test_normalisation(self):
        raw = self.read("stack.h5:/volumes/raw").astype(np.float32)
        dim = np.stack([section * (1 - 0.1 * z) + 20 * z for z, section in enumerate(raw)])
        self.write_volumes("dim.h5", {"raw": dim})
        sets = ["infer.dtype=float32", "infer.normalisation=section"]
        bright, dimmed = self.predict("bright", *sets, ranks=3), self.predict("dimmed", *sets, "infer.raw=dim.h5:/raw", ranks=3)
        self.assertLessEqual(np.abs(bright - dimmed).max(), 1e-3, "each section is brought to the same contrast")
        by_volume = self.predict("by_volume", "infer.dtype=float32", "infer.normalisation=volume")
        by_hand = self.predict("by_hand", "infer.dtype=float32", "infer.normalisation=fixed",
                               f"infer.mean_and_std=[{raw.astype(np.float64).mean()},{raw.astype(np.float64).std()}]")
        self.assertLessEqual(np.abs(by_volume - by_hand).max(), 1e-4)

    def test_the_self_check_of_bfloat16(self):
        result = self.done(self.folder, ["infer", self.yaml, "--restart", "--set", "infer.output=half.h5:/v", "--set",
                                         "infer.precision=bfloat16", "--set", "infer.dtype=float32"], 3)
        self.assertRegex(result.stdout, r"self-check of the first tiles: on average 0\.00\d+ from float32")
        self.assertLessEqual(np.abs(self.read("half.h5:/v") - self.plain).mean(), 0.01)

    def export(self, name):
        self.tessera(["export-model", "runs/small/checkpoints/best.h5", name, "--overwrite"])

    @unittest.skipIf(torch is None, "no python3-torch")
    def test_exported_networks_say_the_same_in_pytorch(self):
        self.export("exported.pt")
        network = torch.jit.load(str(self.folder / "exported.pt"))
        raw = self.read("stack.h5:/volumes/raw")
        with h5py.File(self.folder / "runs/small/checkpoints/best.h5") as f:
            mean, std = f.attrs["number_normalisation"]
        margin = 20  # two convolutions per level, two poolings
        padded = np.pad((raw[2] - mean) / std, margin, mode="reflect").astype(np.float32)
        with torch.inference_mode():
            said = network(torch.from_numpy(padded)[None, None])[0, 1].numpy()
        self.assertEqual(said.shape, raw[2].shape)
        self.assertLessEqual(np.abs(said - self.plain[2]).max(), 1e-5)

    def test_exported_networks_come_back(self):
        self.export("back.pt")
        again = self.predict("back", "infer.dtype=float32", "model.torchscript=back.pt", ranks=3)
        self.assertLessEqual(np.abs(again - self.plain).max(), 1e-5)
        result = run_tessera(["export-model", "runs/small/checkpoints/best.h5", "back.pt"], 0, 60, cwd=self.folder)
        self.assert_one_error(result, 2, ["exists already", "--overwrite"])
        result = run_tessera(["export-model", "stack.h5", "no.pt"], 0, 60, cwd=self.folder)
        self.assertEqual(result.code, 1, result)

    @unittest.skipIf(torch is None, "no python3-torch")
    def test_a_network_from_elsewhere(self):
        class Gradient(torch.nn.Module):  # of two channels: brighter and darker than the pixel 3 to the left
            def forward(self, x):
                d = x[:, :, 3:-3, 6:] - x[:, :, 3:-3, :-6]
                return torch.cat([d, -d], 1)

        torch.jit.script(Gradient()).save(str(self.folder / "gradient.pt"))
        own = ["model.torchscript=gradient.pt", "model.margin=3", "model.alignment=1", "infer.normalisation=fixed",
               "infer.mean_and_std=[10,5]", "infer.dtype=float32", "infer.classes=[0]"]
        said = self.predict("gradient", *own, "infer.tile=50", ranks=3)
        x = np.pad((self.read("stack.h5:/volumes/raw").astype(np.float32) - 10) / 5, ((0, 0), (3, 3), (3, 3)), mode="reflect")
        d = x[:, 3:-3, 6:] - x[:, 3:-3, :-6]
        np.testing.assert_allclose(said, 1 / (1 + np.exp(-2 * d.astype(np.float64))), atol=1e-5)
        self.refused(2, ["does not say how raw values were normalised"], "model.torchscript=gradient.pt", "model.margin=3",
                     "model.alignment=1")
        self.refused(2, ["set model.margin"], "model.torchscript=gradient.pt")
        self.refused(2, ["no input of", "correct model.margin"], *own, "model.margin=4")
        self.refused(2, ["has 2 output classes"], *own, "model.classes=3")
        self.refused(1, ["nothing.pt does not exist"], "model.torchscript=nothing.pt")
        (self.folder / "text.pt").write_text("no network")
        self.refused(1, ["is no TorchScript file, or a damaged one"], "model.torchscript=text.pt")

    @unittest.skipIf(torch is None, "no python3-torch")
    def test_a_network_that_normalises_its_tile_needs_blending(self):
        class TileNorm(torch.nn.Module):
            def forward(self, x):
                y = (x - x.mean()) / (x.std() + 1e-3)
                return torch.cat([y, -y], 1)

        torch.jit.script(TileNorm()).save(str(self.folder / "norm.pt"))
        own = ["model.torchscript=norm.pt", "model.margin=8", "model.alignment=4", "model.padding=same",
               "infer.normalisation=volume", "infer.tile=64"]
        self.refused(2, ["answers differently", "infer.blend: linear"], *own)
        blended = self.predict("norm", *own, "infer.blend=linear", "infer.blend_overlap=16", "infer.dtype=float32", ranks=3)
        self.assertTrue(0 <= blended.min() < blended.max() <= 1)


if __name__ == "__main__":
    unittest.main()
