"""The Cell Tracking Challenge: its folders are read (`import-ctc`) and written (`export --ctc`), and SEG is its own."""

import json
import pathlib
import shutil
import unittest

import h5py
import numpy as np

from harness import DATA, SOURCE, Case, run_tessera

try:
    import tifffile
    from PIL import Image
except ImportError as error:
    raise unittest.SkipTest(f"{error} (Debian: python3-tifffile python3-pil)")

USAGE = 2
SHAPE = (40, 50)
NONE = 65535  # not annotated


def challenge_seg(masks, results):
    """SEG of the challenge's evaluation software: the mean Jaccard index over all reference cells; a result matches a
    cell when it covers more than half of it, else the index is 0."""
    found = []
    for mask, result in zip(masks, results):
        for cell in np.unique(mask[mask > 0]):
            reference = mask == cell
            ids, counts = np.unique(result[reference], return_counts=True)
            best = [i for i, n in zip(ids, counts) if i > 0 and 2 * n > reference.sum()]
            if not best:
                found.append(0.0)
                continue
            match = result == best[0]
            found.append(np.sum(reference & match) / np.sum(reference | match))
    return float(np.mean(found))


class Tracking(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = np.random.default_rng(3)
        cls.frames = rng.integers(0, 255, (4, *SHAPE), np.uint8)
        cls.masks = np.zeros((4, *SHAPE), np.uint16)
        for z in range(4):
            cls.masks[z, 5 + z:15, 5:18] = 7
            cls.masks[z, 20:30, 22 + z:33] = 300
        cls.markers = np.where(cls.masks == 7, 1, 0).astype(np.uint16)
        cls.markers[:, 25, 28] = 2
        cls.markers[2, 35, 45] = 3  # a cell without a mask
        cls.make("whole", range(4))

    @classmethod
    def make(cls, name, numbers, masks=None, kind="GT", sequence="01"):
        """A folder of the challenge; frame i has number numbers[i]. masks: which frames have one."""
        root = cls.folder / name
        for part, images, pattern, chosen in (
                (sequence, cls.frames, "t{:03}.tif", range(len(numbers))),
                (f"{sequence}_{kind}/SEG", cls.masks, "man_seg{:03}.tif", range(len(numbers)) if masks is None else masks),
                (f"{sequence}_{kind}/TRA", cls.markers, "man_track{:03}.tif", range(len(numbers)))):
            (root / part).mkdir(parents=True, exist_ok=True)
            for at in chosen:
                tifffile.imwrite(root / part / pattern.format(list(numbers)[at]), images[at])
        return root

    def bring(self, name, file, *more):
        return self.tessera(["import-ctc", name, file, *more])

    def fails(self, name, patterns, *more, code=USAGE):
        result = run_tessera(["import-ctc", name, "bad.h5", *more], cwd=self.folder)
        self.assert_one_error(result, code, patterns)
        self.assertFalse((self.folder / "bad.h5").exists())

    def test_frames_masks_and_labels(self):
        said = self.bring("whole", "whole.h5")
        self.assertRegex(said.stdout, r"whole\.h5:/01/raw: \(4, 40, 50\) uint8, frames 0 to 3\n"
                                      r"whole\.h5:/01/labels: 4 of 4 frames annotated, 1 of them in part, 2 ids; 65535: not annotated")
        self.assert_same_voxels(self.read("whole.h5:/01/raw"), self.frames)
        self.assert_same_voxels(self.read("whole.h5:/01/masks"), self.masks)
        labels = self.masks.copy()
        labels[2][labels[2] == 0] = NONE
        self.assert_same_voxels(self.read("whole.h5:/01/labels"), labels)
        with h5py.File(self.folder / "whole.h5") as file:
            self.assertEqual(file["01/raw"].attrs["frames"].decode(), "0 1 2 3")
        again = run_tessera(["import-ctc", "whole", "whole.h5"], cwd=self.folder)
        self.assert_one_error(again, USAGE, [r"/01/raw.*exists"])
        self.bring("whole", "whole.h5", "--overwrite", "--partial")
        self.assert_same_voxels(self.read("whole.h5:/01/labels"), np.where(self.masks == 0, NONE, self.masks).astype(np.uint16))

    def test_frames_without_masks_and_gaps(self):
        self.make("gaps", (3, 4, 8, 12), masks=(1, 3))
        self.fails("gaps", [r"5, 6, 7|5 to 7"])
        self.bring("gaps", "gaps.h5", "--missing", "skip")
        with h5py.File(self.folder / "gaps.h5") as file:
            self.assertEqual(file["01/labels"].attrs["frames"].decode(), "3 4 8 12")
        expected = self.masks.copy()
        expected[[0, 2]] = NONE
        self.assert_same_voxels(self.read("gaps.h5:/01/masks"), expected)

    def test_annotated_frames_alone(self):
        self.make("some", (3, 4, 8, 12), masks=(1, 3))
        said = self.bring("some", "some.h5", "--missing", "skip", "--annotated")
        self.assertRegex(said.stdout, r"some\.h5:/01/raw: \(2, 40, 50\) uint8, frames 4 to 12\n.*2 of 2 frames annotated")
        with h5py.File(self.folder / "some.h5") as file:
            self.assertEqual(file["01/raw"].attrs["frames"].decode(), "4 12")
        self.assert_same_voxels(self.read("some.h5:/01/raw"), self.frames[[1, 3]])
        self.assert_same_voxels(self.read("some.h5:/01/masks"), self.masks[[1, 3]])

    def test_silver_truth_and_several_sequences(self):
        self.make("two", range(4), kind="ST")
        self.make("two", range(4), sequence="02")
        self.bring("two", "two.h5")
        with h5py.File(self.folder / "two.h5") as file:
            self.assertEqual(sorted(file), ["02"])
        self.bring("two", "two.h5", "--silver", "--sequence", "01")
        self.assert_same_voxels(self.read("two.h5:/01/labels"), self.masks)  # markers are of the gold truth
        self.bring("two", "two.h5", "--sequence", "02", "--overwrite")

    def test_bad_input(self):
        self.fails("nowhere", [r"nowhere is no folder"])
        (self.folder / "empty").mkdir()
        self.fails("empty", [r"empty has no sequence with masks", r"01_GT/SEG/man_seg000\.tif"])
        self.fails("whole", [r"there is no folder whole/07"], "--sequence", "07")
        self.fails("whole", [r"--missing black: write skip"], "--missing", "black")

        def changed(name, change):
            root = self.folder / name
            shutil.copytree(self.folder / "whole", root)
            change(root / "01", root / "01_GT/SEG")
            return name
        write = tifffile.imwrite
        cases = {
            "lonely": (lambda f, m: write(m / "man_seg009.tif", self.masks[0]), r"man_seg009\.tif belongs to frame 9"),
            "small": (lambda f, m: write(m / "man_seg001.tif", self.masks[0][:30]), r"man_seg001\.tif has the shape \(1, 30, 50\), the frames have \(1, 40, 50\)"),
            "deep": (lambda f, m: write(m / "man_seg_001_002.tif", self.masks[0]), r"man_seg_001_002\.tif is a slice of a 3-D frame"),
            "real": (lambda f, m: write(m / "man_seg001.tif", self.masks[0].astype(np.float32)), r"man_seg001\.tif is float32: ids of cells are uint16"),
            "full": (lambda f, m: write(m / "man_seg001.tif", np.full(SHAPE, NONE, np.uint16)), r"have the id 65535"),
            "uneven": (lambda f, m: write(f / "t002.tif", self.frames[0][:30]), r"t002\.tif"),
            "stranger": (lambda f, m: write(f / "overview.tif", self.frames[0]), r"overview\.tif is no frame of a sequence"),
            "same": (lambda f, m: write(m / "man_seg01.tif", self.masks[0]), r"are of the same frame"),
        }
        for name, (change, pattern) in cases.items():
            with self.subTest(name):
                self.fails(changed(name, change), [pattern], code=1 if name == "uneven" else USAGE)
        narrow = changed("narrow", lambda f, m: write(m / "man_seg001.tif", np.minimum(self.masks[1], 255).astype(np.uint8)))
        said = self.bring(narrow, "narrow.h5")
        self.assertRegex(said.text, r"man_seg001\.tif has 8 bits a pixel: ids above 255 cannot be in it")
        self.assert_same_voxels(self.read("narrow.h5:/01/masks")[1], np.minimum(self.masks[1], 255))

    def test_results_in_the_challenges_layout(self):
        """Labels count by frame and first pixel; an id that was away, or across a gap of the numbers, is a new one."""
        self.make("gaps2", (3, 4, 8, 9))
        self.bring("gaps2", "gaps2.h5", "--missing", "skip")
        ids = np.zeros((4, *SHAPE), np.uint64)
        ids[:, 10:20, 10:20] = 2 ** 50
        ids[(0, 1, 3), 2:6, 30:40] = 9  # not in frame 8
        ids[1, 30:33, 1:4] = 5
        self.write_volumes("ids.h5", {"ids": ids}, chunks=(2, 20, 25))
        said = self.tessera(["export", "ids.h5:/ids", "01_RES", "--ctc", "--frames", "gaps2.h5:/01/raw"])
        self.assertRegex(said.stdout, r"01_RES: 4 masks, 5 labels")
        folder = self.folder / "01_RES"
        self.assertEqual(sorted(p.name for p in folder.iterdir()), [*(f"mask{n:03}.tif" for n in (3, 4, 8, 9)), "res_track.txt"])
        expected = np.zeros((4, *SHAPE), np.uint16)
        expected[:2, 2:6, 30:40] = 1
        expected[:2, 10:20, 10:20] = 2
        expected[1, 30:33, 1:4] = 3
        expected[2:, 10:20, 10:20] = 4
        expected[3, 2:6, 30:40] = 5
        masks = np.stack([tifffile.imread(folder / f"mask{n:03}.tif") for n in (3, 4, 8, 9)])
        self.assert_same_voxels(masks, expected)
        self.assertEqual((folder / "res_track.txt").read_text(), "1 3 4 0\n2 3 4 0\n3 4 4 0\n4 8 9 0\n5 9 9 0\n")
        self.tessera(["export", "ids.h5:/ids", "plain_RES", "--ctc", "--sections", "1:3"])
        self.assertEqual(sorted(p.name for p in (self.folder / "plain_RES").iterdir()), ["mask001.tif", "mask002.tif", "res_track.txt"])

        def refused(arguments, pattern):
            self.assert_one_error(run_tessera(["export", *arguments], cwd=self.folder), USAGE, [pattern])
        refused(["ids.h5:/ids", "01_RES", "--ctc"], "01_RES exists already")
        self.tessera(["export", "ids.h5:/ids", "01_RES", "--ctc", "--overwrite"])
        self.assertTrue((folder / "mask000.tif").exists() and not (folder / "mask009.tif").exists())
        refused(["ids.h5:/ids", "r", "--frames", "gaps2.h5:/01/raw"], "--frames goes with --ctc")
        refused(["ids.h5:/ids", "r", "--ctc", "--frames", "ids.h5:/ids"], "has no attribute 'frames'")
        refused(["ids.h5:/ids", "r.tif", "--ctc"], "leave .tif out")
        self.write_volumes("p.h5", {"p": np.zeros((4, *SHAPE), np.float32), "many": np.arange(70000, dtype=np.uint32).reshape(1, 250, 280)})
        refused(["p.h5:/p", "r", "--ctc"], "ids of objects")
        refused(["p.h5:/many", "r", "--ctc"], "more than 65,535 objects")
        self.assertEqual([p.name for p in self.folder.glob("*r.*tmp*")], [])
        self.assertFalse((self.folder / "r").exists())

    def test_seg_is_the_challenges(self):
        """On real-like and degenerate results: nothing, everything, halves, a cell exactly half covered."""
        rng = np.random.default_rng(1)
        nothing, everything = np.zeros_like(self.masks), np.ones_like(self.masks)
        moved = np.roll(self.masks, 2, axis=2)
        halves = self.masks.copy()
        halves[:, :, 28:][halves[:, :, 28:] == 300] = 301
        half = self.masks.copy()
        half[0][(half[0] == 7) & (np.arange(SHAPE[0])[:, None] < 10)] = 0  # 5 of 10 rows: not more than half
        noise = np.where(rng.random(self.masks.shape) < 0.3, 0, self.masks)
        self.bring("whole", "seg.h5")
        for name, result in (("nothing", nothing), ("everything", everything), ("moved", moved), ("halves", halves), ("half", half), ("noise", noise)):
            self.write_volumes(f"{name}.h5", {"ids": result.astype(np.uint32)})
            self.tessera(["evaluate", "--prediction", f"{name}.h5:/ids", "--labels", "seg.h5:/01/masks", "--json", f"{name}.json"])
            found = json.loads((self.folder / f"{name}.json").read_text())["volume_2d"]["seg"]
            self.assertAlmostEqual(found, challenge_seg(self.masks, result), 9, name)


class DicCells(Case):
    """From synthetic cells in the challenge's layout to masks in it: the stages of configs/dic_hela.yaml."""

    def test_from_frames_to_masks(self):
        self.tessera(["synth", "dic.h5", "--kind", "dic", "--shape", "5,160,176", "--cell-size", "50", "--seed", "4"])
        with h5py.File(self.folder / "dic.h5") as file:
            self.assertEqual(list(file["volumes/raw"].attrs["resolution"]), [1, 190, 190])
            frames, ids = file["volumes/raw"][()], file["volumes/labels/instances"][()]
        names = np.unique(ids)
        masks = np.searchsorted(names, ids).astype(np.uint16)  # 0 stays 0
        root = self.folder / "DIC-C2DH-HeLa"
        for part, images, pattern, chosen in (("01", frames, "t{:03}.tif", range(5)), ("01_GT/SEG", masks, "man_seg{:03}.tif", (0, 1, 3, 4))):
            (root / part).mkdir(parents=True)
            for at in chosen:
                tifffile.imwrite(root / part / pattern.format(at), images[at])
        self.tessera(["import-ctc", root.name, "hela.h5", "--sequence", "01", "--annotated"])
        sets = ["data.train_sections=[0,2]", "data.validation_sections=[2,4]", "model.base_filters=2", "model.depth=2", "train.tile=76",
                "train.iterations=30", "train.validate_every=30", "train.checkpoint_every=30", "train.threads=1", "train.minutes=5", "train.schedule.warm_up=0",
                "infer.threads=1", "infer.averaging=none", "segment.threads=1", "segment.min_size=20", "segment.chunk=[1,64,64]",
                "evaluate.sections=[2,4]"]
        arguments = [word for one in sets for word in ("--set", one)]
        config = SOURCE / "configs/dic_hela.yaml"
        for verb in ("check", "train", "infer", "segment", "evaluate"):
            self.tessera([verb, config, *arguments])
        result = "runs/dic_hela/segmentation.h5:/volumes/labels/cells"
        self.tessera(["export", result, "01_RES", "--ctc", "--frames", "hela.h5:/01/raw"])
        found = np.stack([tifffile.imread(self.folder / f"01_RES/mask{n:03}.tif") for n in (0, 1, 3, 4)])
        self.assertEqual(np.count_nonzero(found), np.count_nonzero(self.read(result)))
        scores = json.loads((self.folder / "runs/dic_hela/evaluation_objects.json").read_text())
        self.assertAlmostEqual(scores["volume_2d"]["seg"], challenge_seg(masks[[3, 4]], found[2:]), 9)
        self.assertNotIn("volume_3d", scores)  # an id is in one frame only
        self.fails_usage(["synth", "x.h5", "--kind", "xray"], r"--kind xray: it must be em or dic")

    def fails_usage(self, arguments, pattern):
        self.assert_one_error(run_tessera(arguments, cwd=self.folder), USAGE, [pattern])


class RealFrames(Case):

    def test_u373(self):
        root = DATA / "phc_u373"
        if not (root / "02/t010.tif").is_file():
            raise unittest.SkipTest(f"no {root}: set TESSERA_DATA")
        said = self.tessera(["import-ctc", root, "u373.h5", "--missing", "skip"])
        self.assertRegex(said.stdout, r"11 of 11 frames annotated")
        numbers = [int(p.stem[1:]) for p in sorted((root / "02").glob("t*.tif"))]
        for name, pattern in (("raw", "02/t{:03}.tif"), ("masks", "02_GT/SEG/man_seg{:03}.tif")):
            expected = np.stack([np.asarray(Image.open(pathlib.Path(root, pattern.format(n)))) for n in numbers])
            self.assertEqual(self.read(f"u373.h5:/02/{name}").astype(int).tolist(), expected.astype(int).tolist())
        self.tessera(["export", "u373.h5:/02/masks", "02_RES", "--ctc", "--frames", "u373.h5:/02/raw"])
        masks = np.stack([tifffile.imread(self.folder / f"02_RES/mask{n:03}.tif") for n in numbers])
        truth = self.read("u373.h5:/02/masks")
        self.assertEqual(challenge_seg(truth, masks), 1.0)


if __name__ == "__main__":
    unittest.main()
