"""Real volumes: the ISBI-2012 stack is imported exactly, and the prediction of FIB-25 is the same on any number of
ranks.

SKIPPED where TESSERA_DATA has no such files.
"""

import csv
import hashlib
import json
import unittest

import h5py
import numpy as np

from harness import DATA, SOURCE, Case, read_tiff


def require(*names):
    for name in names:
        if not (DATA / name).is_file():
            raise unittest.SkipTest(f"no {DATA / name}: set TESSERA_DATA")


class Isbi2012(Case):

    @classmethod
    def setUpClass(cls):
        require("isbi2012/train-volume-00-19.tif", "isbi2012/train-labels-00-19.tif")
        super().setUpClass()

    def test_import_and_export(self):
        for kind, path in (("volume", "raw"), ("labels", "labels/cells")):
            tiff = DATA / f"isbi2012/train-{kind}-00-19.tif"
            pages = read_tiff(tiff)
            self.assertEqual((pages.shape, pages.dtype), ((20, 512, 512), np.uint8))
            name = f"isbi.h5:/volumes/{path}"
            self.tessera(["import", tiff, name, "--resolution", "50,4,4"])
            self.assert_same_voxels(self.read(name), pages, kind)
            self.tessera(["export", name, f"{kind}.tif"])
            self.assert_same_voxels(read_tiff(self.folder / f"{kind}.tif"), pages, kind)
        with h5py.File(self.folder / "isbi.h5") as f:
            self.assertEqual(list(f["volumes/raw"].attrs["resolution"]), [50, 4, 4])
            self.assertEqual(set(np.unique(f["volumes/labels/cells"][()])), {0, 255})

    def test_tiff_reading_agrees_with_tifffile(self):
        try:
            import tifffile
        except ImportError:
            self.skipTest("no tifffile")
        file = DATA / "isbi2012/train-volume-00-19.tif"
        self.assert_same_voxels(read_tiff(file), tifffile.imread(file))


class Fib25(Case):
    """250^3 voxels in compressed chunks of 64^3, with a network of random weights."""

    def test_ranks_and_chunk_reads(self):
        require("fib25/training_sample2.h5")
        yaml = self.config("fib25", {"model": {"depth": 1}, "train": {"iterations": 1, "tile": "auto"}, "data": {
            "validation_sections": None}, "infer": {"raw": f"{DATA}/fib25/training_sample2.h5:/raw"}})
        self.tessera(["train", yaml])
        results = {}
        for ranks in (1, 2, 4):
            name = f"ranks{ranks}.h5:/p"
            done = self.tessera(["infer", yaml, "--set", f"infer.output={name}"], ranks, timeout=120)
            report = json.loads((self.folder / "runs/fib25/inference.json").read_text())
            self.assertEqual(report["raw_chunks_stored"], 4 ** 3)
            self.assertEqual(report["total"]["voxels"], 250 ** 3)
            per_chunk = report["total"]["chunks_read"] / report["raw_chunks_stored"]
            print(f"fib25, {ranks} ranks: each stored chunk decompressed {per_chunk:.2f} times on average, "
                  f"{report['voxels_per_s'] / 1e6:.2f} Mvoxels/s, {done.seconds:.1f} s")
            self.assertTrue(1 <= per_chunk <= 1.5, f"{per_chunk} reads per chunk")
            results[ranks] = self.read(name)
        self.assertEqual(results[1].shape, (250, 250, 250))
        self.assertGreater(len(np.unique(results[1])), 10)
        for ranks in (2, 4):
            self.assert_same_voxels(results[ranks], results[1], f"{ranks} ranks")


class SnemiMini(Case):
    """Objects of a network's prediction. The numbers are those of the reference's expected.json: "snemi_mini", "agglomerated"."""

    CUTS = {0.7: (116, "902f48af968141a9a2a872df0132f3213ab0df413dace3894286da92d55d37b0", 0.7713, 0.3639, 0.1088),
            0.8: (302, "ebddac790e2c487069af1b06c855c36d7e0dea4a28d009dd7d4b972a2c924538", 1.3309, 0.3206, 0.1354)}

    def test_greedy_objects(self):
        require("snemi_mini/snemi_mini.h5")
        file = DATA / "snemi_mini/snemi_mini.h5"
        yaml = self.config("snemi", {"data": None, "model": None, "train": None, "infer": None, "segment": {
            "prediction": f"{file}:/volumes/predictions/interior", "output": "snemi.h5:/ids", "mode": "volume", "smoothing": 2,
            "fragment_size": 100, "linkage": "mean", "thresholds": [0.8, 0.7], "threshold": 0.7, "block": [16, 64, 96],
            "chunk": [16, 64, 96]}})
        for cut, (objects, digest, split, merge, rand) in self.CUTS.items():
            self.tessera(["segment", yaml, *(["--cut", str(cut)] if cut != 0.7 else [])], 2)
            labels = self.read("snemi.h5:/ids")
            self.assertEqual(np.unique(labels).size, objects)
            self.assertEqual(hashlib.sha256(np.ascontiguousarray(labels).astype("<u8").tobytes()).hexdigest(), digest)
            self.tessera(["evaluate", "--prediction", "snemi.h5:/ids", "--labels", f"{file}:/volumes/labels/neuron_ids",
                          "--json", "snemi.json"])
            scores = json.loads((self.folder / "snemi.json").read_text())["volume_3d"]
            for key, expected in (("voi_split", split), ("voi_merge", merge), ("adapted_rand_error", rand)):
                self.assertAlmostEqual(scores[key], expected, delta=1e-4)


class Nuclei(Case):
    """configs/nuclei.yaml unchanged but shorter: 76 images of four sizes, named by two wildcards."""

    def test_trains(self):
        require("dsb2018/dsb2018_subset.h5")
        (self.folder / "dsb2018_subset.h5").symlink_to((DATA / "dsb2018/dsb2018_subset.h5").resolve())
        yaml = SOURCE / "configs/nuclei.yaml"
        out = self.tessera(["check", yaml]).stdout
        self.assertEqual((out.count(", held out [0, 1)"), out.count("trained on [0, 1)")), (31, 45))
        sets = ["--set", "train.iterations=3", "--set", "train.validate_every=3", "--set", "train.threads=1"]
        self.tessera(["train", yaml, *sets], 3, timeout=200)
        with open(self.folder / "runs/nuclei/metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 3)
        self.assertTrue(0 < float(rows[-1]["validation_pixel_error"]) < 0.5, rows[-1])
        self.assertEqual(len(list((self.folder / "runs/nuclei/previews").glob("iteration_00000003_volume_*.png"))), 4)
        self.assertTrue((self.folder / "runs/nuclei/previews/weight_map.png").is_file())
        self.tessera(["infer", yaml], 3)
        self.assertEqual(self.read("runs/nuclei/prediction.h5:/volumes/predictions/interior").shape[-2:], (520, 696))


if __name__ == "__main__":
    unittest.main()
