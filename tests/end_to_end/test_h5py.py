"""Every file that Tessera writes opens in h5py, hence in other HDF5 programs."""

import time
import unittest

import h5py
import numpy as np

from harness import Case, resolved_keys


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


class Files(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("files", {"train": {"iterations": 3}, "infer": {"checkpoint": "latest"}})
        cls.done(cls.folder, ["train", cls.yaml])

    def test_synth(self):
        with h5py.File(self.folder / "stack.h5") as f:
            raw, instances = f["volumes/raw"], f["volumes/labels/instances"]
            self.assertEqual((raw.dtype, raw.shape), (np.uint8, self.stack_shape))
            self.assertEqual((instances.dtype, instances.shape), (np.uint64, self.stack_shape))
            self.assertEqual(list(raw.attrs["resolution"]), [50, 4, 4])
            self.assertEqual(list(raw.attrs["offset"]), [0, 0, 0])
            self.assertIn("tessera synth", text(raw.attrs["generator"]))
            self.assertGreater(np.ptp(raw[()]), 50)

    def test_import_plain_and_compressed(self):
        self.tessera(["export", "stack.h5:/volumes/raw", "stack.tif"])
        common = ["--resolution", "30,8,8.5", "--offset", "0,-40,12.5", "--chunk", "2,32,40"]
        self.tessera(["import", "stack.tif", "imported.h5:/volumes/raw", *common])
        self.tessera(["import", "stack.tif", "imported.h5:/a/b/compressed", *common, "--gzip", "6"])
        with h5py.File(self.folder / "imported.h5") as f:
            for path, compression in (("volumes/raw", None), ("a/b/compressed", "gzip")):
                self.assertEqual(f[path].compression, compression)
                self.assertEqual(f[path].chunks, (2, 32, 40))
                self.assertEqual(list(f[path].attrs["resolution"]), [30, 8, 8.5])
                self.assertEqual(list(f[path].attrs["offset"]), [0, -40, 12.5])
                self.assertIn("stack.tif", text(f[path].attrs["source"]))
                self.assert_same_voxels(f[path][()], self.read("stack.h5:/volumes/raw"), path)
            self.assertLess(f["a/b/compressed"].id.get_storage_size(), f["volumes/raw"].id.get_storage_size())

    def test_result(self):
        for dtype, scale in (("uint8", 255), ("float32", 1)):
            name = f"result_{dtype}.h5"
            self.tessera(["infer", self.yaml, "--set", f"infer.output=out/{name}:/volumes/predictions/interior",
                          "--set", f"infer.dtype={dtype}"])
            with h5py.File(self.folder / "out" / name) as f:
                p = f["volumes/predictions/interior"]
                self.assertEqual((p.dtype.name, p.shape), (dtype, self.stack_shape))
                self.assertEqual(list(p.attrs["resolution"]), [50, 4, 4])
                self.assertEqual(list(p.attrs["offset"]), [0, 0, 0])
                self.assertRegex(text(p.attrs["tessera_version"]), r"^\d+\.\d+\.\d+$")
                self.assertEqual(text(p.attrs["experiment"]), "files")
                self.assertEqual(text(p.attrs["checkpoint_iteration"]), "3")
                self.assertIn("iteration_00000003.h5", text(p.attrs["checkpoint"]))
                self.assertIn("probability of class 1", text(p.attrs["meaning"]))
                self.assertEqual(resolved_keys(text(p.attrs["config"]))["infer.dtype"], dtype)
                self.assertTrue(0 <= p[()].min() < p[()].max() <= scale)
                link = f.get("volumes/raw", getlink=True)
                self.assertIsInstance(link, h5py.ExternalLink)
                self.assertEqual((link.filename, link.path), ("../stack.h5", "/volumes/raw"))
                self.assert_same_voxels(f["volumes/raw"][()], self.read("stack.h5:/volumes/raw"), "through the link")

    def test_checkpoint(self):
        for name, iteration in (("iteration_00000003", 3), ("best", None)):
            with h5py.File(self.folder / f"runs/files/checkpoints/{name}.h5") as f:
                self.assertEqual(text(f.attrs["format"]), "tessera checkpoint 1")
                if iteration:
                    self.assertEqual(f.attrs["counter_iteration"], iteration)
                    self.assertEqual(f.attrs["counter_samples_seen"], 2 * iteration)
                self.assertEqual(len(f.attrs["number_normalisation"]), 2)
                self.assertEqual(resolved_keys(text(f.attrs["text_config"]))["model.depth"], "2")
                weights = [f["weights"][k][()] for k in f["weights"]]
                count = sum(w.size for w in weights)
                self.assertIn(f"network: {count} parameters", self.tessera(["check", self.yaml]).stdout)
                self.assertTrue(all(w.dtype == np.float32 and np.all(np.isfinite(w)) for w in weights))
                for kind in ("mean", "variance"):
                    state = f["optimizer"][kind]
                    self.assertEqual({k: state[k].shape for k in state}, {k: f["weights"][k].shape for k in f["weights"]})
                self.assertGreater(np.abs(f["optimizer/mean/convs.0.weight"][()]).max(), 0)
                first = f["weights/convs.0.weight"]
                self.assertEqual(first.shape, (2, 1, 3, 3))

    def test_info_lists_them(self):
        out = self.tessera(["info", "stack.h5"]).stdout
        for words in ("/volumes/raw", "/volumes/labels/cells", "resolution"):
            self.assertIn(words, out)


class ReadWhileWritten(Case):
    """A result can be read while workers write it."""

    stack_shape = (8, 384, 384)

    def test_poll_a_running_inference(self):
        yaml = self.config("poll", {"model": {"base_filters": 16}, "train": {"iterations": 1}, "data": {
            "validation_sections": None}, "infer": {"block": [1, 64, 64], "chunk": [1, 64, 64]}})
        self.tessera(["train", yaml])
        process = self.start(["infer", yaml], ranks=3)
        file, reads, filled = self.folder / "poll.h5", 0, []
        process.wait_until(file.exists, 60, "the result's file is there")
        while process.running():
            with h5py.File(file, "r") as f:
                p = f["volumes/predictions/interior"]
                self.assertEqual(p.shape, self.stack_shape)
                voxels = p[()]
            if process.running():
                reads += 1
                filled.append(np.count_nonzero(voxels))
            time.sleep(0.02)
        result = process.finish(60)
        self.assertEqual(result.code, 0, result)
        self.assertGreater(reads, 2, "the inference was over too soon to be looked at")
        whole = np.count_nonzero(self.read("poll.h5:/volumes/predictions/interior"))
        self.assertGreater(whole, 0)
        self.assertLess(filled[0], whole, "the first look already saw the end")


if __name__ == "__main__":
    unittest.main()
