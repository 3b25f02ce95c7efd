"""Training, validation, evaluate and report take the same targets from labels: kinds, ignored ids, regions. Compared with
numpy."""

import csv
import json
import shutil
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera
from journal import RECORD_BYTES, Journal

THRESHOLDS = np.cumsum([0.0] + [1 / 20] * 20)
NOTHING = 2**64 - 1  # numpy's uint64(-1), CREMI's mark of voxels without annotation


def with_borders(ids):
    """1 in cells, 0 where the 3 x 3 neighbourhood has another cell, section by section."""
    result = (ids > 0).astype(np.uint8)
    for z, section in enumerate(ids):
        around = np.pad(section, 1)
        height, width = section.shape
        for dy in range(3):
            for dx in range(3):
                other = around[dy:dy + height, dx:dx + width]
                result[z][(section > 0) & (other > 0) & (other != section)] = 0
    return result


def pixel_errors(probability, truth, known):
    probability = probability.astype(np.float64)
    return [np.mean((probability > t)[known] != truth[known]) for t in THRESHOLDS]


class Targets(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        raw = cls.read("stack.h5:/volumes/raw")
        z, y, x = np.indices(raw.shape)
        ids = (1 + y // 12 * 100 + x // 12).astype(np.uint64)  # cells that touch, without background
        marked = ids.copy()
        marked[:, :40] = NOTHING
        negative = np.where(marked == NOTHING, -1, marked.astype(np.int64))
        plain = (cls.read("stack.h5:/volumes/labels/cells") > 0).astype(np.uint8)
        ignored = plain.copy()
        ignored[:, :, 50:] = 255
        ignored[5] = 255
        cls.write_volumes("t.h5", {"raw": raw, "marked": marked, "negative": negative, "plain": plain, "ignored": ignored,
                                   "as_float": plain.astype(np.float32), "nothing": np.full(plain.shape, 255, np.uint8),
                                   "ids_as_float": np.where(y < 40, -1, ids.astype(np.float64))})
        cls.ids, cls.plain, cls.ignored = ids, plain, ignored
        cls.known = ignored != 255
        data = {"raw": "t.h5:/raw", "labels": "t.h5:/ignored", "ignore_label": 255}
        cls.yaml = cls.config("targets", {"data": data, "train": {"iterations": 20, "learning_rate": 0.005, "validate_every": 20},
                                          "infer": {"dtype": "float32", "chunk": [2, 96, 96], "block": [2, 96, 96]},
                                          "evaluate": {"thresholds": 21}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.done(cls.folder, ["infer", cls.yaml])
        cls.probability = cls.read("targets.h5:/volumes/predictions/interior")

    def evaluation(self, *options):
        self.tessera(["evaluate", self.yaml, *options, "--json", "scores.json", "--scores", "rand,objects"])
        return json.loads((self.folder / "scores.json").read_text())

    def assert_pixel_errors(self, scores, probability, truth, known):
        found = [row["pixel_error"] for row in scores["volume"]]
        np.testing.assert_allclose(found, pixel_errors(probability, truth, known), atol=1e-12)
        self.assertGreater(min(found), 0)

    def metrics(self, run):
        with open(self.folder / f"runs/{run}/metrics.csv", newline="") as file:
            return list(csv.DictReader(file))

    def test_ignored_voxels_are_in_no_score(self):
        scores = self.evaluation()
        held_out = slice(4, 6)
        self.assert_pixel_errors(scores, self.probability[held_out], self.plain[held_out], self.known[held_out])
        # Sections 4 and 5 were held out; of section 5 nothing is annotated.
        self.assertIsNone(scores["sections"][1]["best_f"])
        validation = float(self.metrics("targets")[-1]["validation_pixel_error"])
        self.assertAlmostEqual(validation, min(row["pixel_error"] for row in scores["volume"]), delta=2e-3)
        self.tessera(["report", self.yaml])

    def test_instances_and_regions(self):
        scores = self.evaluation("--labels", "t.h5:/marked", "--label-kind", "instances", "--ignore-label", str(NOTHING),
                                 "--region", "8:80,10:61", "--sections", "0:6")
        part = np.s_[:, 8:80, 10:61]
        known = np.indices(self.ids.shape)[1][part] >= 40
        ids = np.where(np.indices(self.ids.shape)[1] < 40, 0, self.ids)[part]
        self.assert_pixel_errors(scores, self.probability[part], with_borders(ids), known)
        # The same labels, stored in other ways.
        for labels in ("negative", "ids_as_float"):
            again = self.evaluation("--labels", f"t.h5:/{labels}", "--label-kind", "instances", "--ignore-label", "-1",
                                    "--region", "8:80,10:61", "--sections", "0:6")
            self.assertEqual(again["volume"], scores["volume"], labels)

    def test_a_part_at_the_origin_is_scored_at_its_place(self):
        output = ["--set", "infer.output=part.h5:/p", "--set", "infer.region.begin=[0, 0, 0]", "--set", "infer.region.end=[3, 64, 72]"]
        self.tessera(["infer", self.yaml, *output])
        with h5py.File(self.folder / "part.h5") as file:
            self.assertEqual(list(file["p"].attrs["offset"]), [0, 0, 0])
        self.tessera(["evaluate", "--prediction", "part.h5:/p", "--labels", "stack.h5:/volumes/labels/cells"])

    def test_labels_of_any_type_train_alike(self):
        losses = {}
        for labels in ("marked", "negative", "ids_as_float"):
            self.tessera(["train", self.yaml, "--set", f"run_folder=runs/{labels}", "--set", f"data.labels=t.h5:/{labels}",
                          "--set", "data.label_kind=instances", "--set", "data.ignore_label=-1", "--set", "train.iterations=2"])
            losses[labels] = [(row["loss"], row["validation_pixel_error"]) for row in self.metrics(labels)]
        self.assertEqual(losses["negative"], losses["marked"])
        self.assertEqual(losses["ids_as_float"], losses["marked"])
        self.assert_one_error(
            run_tessera(["train", self.yaml, "--set", "run_folder=runs/x", "--set", "data.labels=t.h5:/negative",
                         "--set", "data.label_kind=instances", "--set", "data.ignore_label=3"], cwd=self.folder),
            1, [r"holds the id 18446744073709551615 \(-1 in signed labels\) at \(0, 0, 0\)", "data.ignore_label"])

    def test_predicted_classes_are_scored_as_classes(self):
        sets = ["--set", "infer.write=labels", "--set", "infer.dtype=uint8", "--set", "infer.output=classes.h5:/c"]
        self.tessera(["infer", self.yaml, *sets])
        predicted = self.read("classes.h5:/c")
        for options in ([self.yaml, *sets, "--sections", "0:6"],
                        ["--prediction", "classes.h5:/c", "--labels", "t.h5:/ignored", "--ignore-label", "255"]):
            self.tessera(["evaluate", *options, "--json", "classes.json"])
            scores = json.loads((self.folder / "classes.json").read_text())
            self.assertEqual(scores["kind"], "classes")
            expected = [[int(np.count_nonzero(self.known & (self.plain == t) & (predicted == p))) for p in (0, 1)] for t in (0, 1)]
            self.assertEqual(scores["confusion"], expected)
        for kind, options in (("probability", ["classes.h5:/c"]), ("labels", ["targets.h5:/volumes/predictions/interior"])):
            result = run_tessera(["evaluate", "--prediction", *options, "--labels", "t.h5:/plain", "--kind", kind], cwd=self.folder)
            self.assert_one_error(result, 2, [f"attribute 'meaning'.: it cannot be scored as {kind}"])

    def test_labels_of_a_part_are_placed_by_their_offset(self):
        part = np.s_[1:6, 10:80, 12:90]
        with h5py.File(self.folder / "inner.h5", "w") as out:
            raw = out.create_dataset("raw", data=self.read("t.h5:/raw"))
            raw.attrs["resolution"] = [40.0, 4.0, 4.0]
            for name, offset, resolution in (("inner", [40.0, 40.0, 48.0], [40.0, 4.0, 4.0]), ("half", [40.0, 42.0, 48.0], None),
                                             ("coarse", [40.0, 40.0, 48.0], [40.0, 8.0, 8.0]), ("far", [0.0, 4000.0, 0.0], None),
                                             ("shifted", [0.0, 32.0, 32.0], [40.0, 4.0, 4.0])):
                labels = out.create_dataset(name, data=self.plain if name == "shifted" else self.plain[part])
                labels.attrs["offset"] = offset
                if resolution:
                    labels.attrs["resolution"] = resolution
            out.create_dataset("mask", data=np.zeros((6, 20, 96), np.uint8)).attrs["offset"] = [0.0, 80.0, 0.0]
            out["mask"].attrs["resolution"] = [40.0, 4.0, 4.0]
        sets = ["--set", "data.raw=inner.h5:/raw", "--set", "train.iterations=2", "--set", "data.ignore_label=9"]
        region = ["--set", "data.region.begin=[10, 12]", "--set", "data.region.end=[80, 90]"]
        self.tessera(["train", self.yaml, *sets, "--set", "run_folder=runs/inner", "--set", "data.labels=inner.h5:/inner"])
        self.tessera(["train", self.yaml, *sets, *region, "--set", "run_folder=runs/region", "--set", "data.labels=t.h5:/plain",
                      "--set", "data.train_sections=[1, 4]"])
        rows = [[(row["loss"], row["validation_pixel_error"]) for row in self.metrics(name)] for name in ("inner", "region")]
        self.assertEqual(rows[0], rows[1])
        scores = self.evaluation("--set", "data.raw=inner.h5:/raw", "--set", "data.labels=inner.h5:/inner",
                                 "--set", "data.ignore_label=9", "--set", "infer.raw=inner.h5:/raw")
        held_out = np.s_[4:6, 10:80, 12:90]
        self.assert_pixel_errors(scores, self.probability[held_out], self.plain[held_out], np.ones((2, 70, 78), bool))
        for name, words in (("coarse", "the resolution of the labels"), ("half", r"differ by 10\.5 voxels on axis y"),
                            ("far", "no voxel in common")):
            result = run_tessera(["train", self.yaml, *sets, "--set", "run_folder=runs/x", "--set", f"data.labels=inner.h5:/{name}"],
                                 cwd=self.folder)
            self.assert_one_error(result, 2, [words])
        warned = self.tessera(["check", self.yaml, *sets, "--set", "data.labels=inner.h5:/shifted"])
        self.assertRegex("".join(warned.warnings()), "reach beyond the raw volume")
        # Only blocks of the mask's pixels are background: rows 20 to 39.
        self.tessera(["infer", self.yaml, "--set", "infer.raw=inner.h5:/raw", "--set", "infer.output=masked.h5:/p", "--set",
                      "infer.skip.mask=inner.h5:/mask", "--set", "infer.chunk=[6, 20, 96]", "--set", "infer.block=[6, 20, 96]"])
        masked = self.read("masked.h5:/p")
        self.assertEqual(masked[:, 20:40].max(), 0)
        self.assertGreater(min(masked[:, :20].max(), masked[:, 40:60].max()), 0)

    def test_incomplete_results_are_an_error(self):
        for end in ("", ".journal"):
            shutil.copy(self.folder / f"targets.h5{end}", self.folder / f"part.h5{end}")
        blocks = len(Journal(self.folder / "part.h5.journal").blocks())
        journal = self.folder / "part.h5.journal"
        journal.write_bytes(journal.read_bytes()[:-RECORD_BYTES])
        name = "part.h5:/volumes/predictions/interior"
        words = [f"is incomplete: {blocks - 1} of {blocks} blocks", "--allow-incomplete"]
        evaluate = ["evaluate", "--prediction", name, "--labels", "t.h5:/plain", "--json", "part.json", "--scores", "rand"]
        self.assert_one_error(run_tessera(evaluate, cwd=self.folder), 2, words)
        self.assert_one_error(run_tessera(["export", name, "part.tif"], cwd=self.folder), 2, words)
        self.assert_one_error(run_tessera(["import", name, "part_copy.h5:/p"], cwd=self.folder), 2, words)
        self.assertFalse((self.folder / "part.tif").exists() or (self.folder / "part_copy.h5").exists())
        result = self.tessera([*evaluate, "--allow-incomplete"], ranks=2)
        self.assertRegex(result.stdout, rf"incomplete +{blocks - 1} of {blocks} blocks")
        scores = json.loads((self.folder / "part.json").read_text())
        self.assertEqual((scores["complete"], scores["blocks_done"], scores["blocks"]), (False, blocks - 1, blocks))
        self.assert_one_error(run_tessera(["report", "part.json"], cwd=self.folder), 2, words)
        self.tessera(["report", "part.json", "--allow-incomplete"])
        self.assertIn(f"is incomplete: {blocks - 1} of {blocks} blocks", (self.folder / "part.html").read_text())
        self.tessera(["export", name, "part.tif", "--allow-incomplete"])
        self.tessera(["import", name, "part_copy.h5:/p", "--allow-incomplete"])
        self.tessera(["pack", name, "packed.h5:/p", "--allow-incomplete"])
        self.assert_one_error(run_tessera(["export", "packed.h5:/p", "packed.tif"], cwd=self.folder), 2, words)
        journal.unlink()
        self.assert_one_error(run_tessera(evaluate, cwd=self.folder), 2, ["part.h5.journal is missing"])

    def test_labels_of_one_class_are_an_error(self):
        both = np.where(self.plain > 0, 2, 1).astype(np.uint8)
        rare = np.ones_like(self.plain)
        rare[0, 0, :9] = 0
        self.write_volumes("one.h5", {"both": both, "empty": np.zeros_like(both), "rare": rare})
        sets = ["--set", "run_folder=runs/one", "--set", "data.ignore_label=9", "--set", "train.iterations=2"]
        for labels, words in (("both", "are class 1: the labels hold 1, 2, and every id above 0 is class 1"), ("empty", "are class 0")):
            for command, ranks in (("check", 0), ("train", 0), ("train", 3)):
                result = run_tessera([command, self.yaml, *sets, "--set", f"data.labels=one.h5:/{labels}"], ranks, cwd=self.folder)
                self.assert_one_error(result, 2, [words, "data.allow_one_class: true"])
        self.tessera(["train", self.yaml, *sets, "--set", "data.labels=one.h5:/empty", "--set", "data.allow_one_class=true"])
        rare = ["check", self.yaml, *sets, "--set", "data.labels=one.h5:/rare"]
        self.assert_one_error(run_tessera(rare, cwd=self.folder), 2, ["99.98 % of the 36864 annotated voxels are class 1"])
        told = self.tessera([*rare, "--set", "data.allow_one_class=true"])
        self.assertRegex(told.stdout, r"annotated voxels: class 0: 0\.0\d+ %, class 1: 100 %")
        self.assertRegex("".join(told.warnings()), "class 0 has 9 of the 36864 annotated voxels")

    def test_the_stored_type_changes_nothing(self):
        raw = self.read("t.h5:/raw")
        with h5py.File(self.folder / "copies.h5", "w") as out:
            out.create_dataset("uint16", data=raw.astype(np.uint16))
            out.create_dataset("float", data=raw.astype(np.float32), chunks=(1, 32, 32))
            out.create_dataset("filtered", data=raw, chunks=(2, 40, 40), compression="gzip", shuffle=True, fletcher32=True)
            out.create_dataset("wide", data=raw.astype(np.uint16) * 257)
            out.create_dataset("unit", data=(raw / 255).astype(np.float64))
        plain = self.probability
        for name in ("uint16", "float", "filtered", "wide", "unit"):
            sets = ["--set", f"infer.raw=copies.h5:/{name}", "--set", f"infer.output=of_{name}.h5:/p"]
            warnings = "".join(self.tessera(["infer", self.yaml, *sets]).warnings())
            if name in ("uint16", "float", "filtered"):
                self.assertEqual(warnings, "")
                self.assert_same_voxels(self.read(f"of_{name}.h5:/p"), plain, name)
                continue
            self.assertRegex(warnings, "grey levels .* are far from those .* infer.normalisation")
            normalised = [self.tessera(["infer", self.yaml, "--restart", *sets, "--set", "infer.normalisation=volume"])]
            self.assertEqual(normalised[0].warnings(), [])
        np.testing.assert_allclose(self.read("of_wide.h5:/p"), self.read("of_unit.h5:/p"), atol=1e-3)

    def test_a_validation_without_annotation_is_undefined(self):
        self.tessera(["train", self.yaml, "--set", "run_folder=runs/none", "--set", "data.train_sections=[0, 2]",
                      "--set", "data.validation_sections=[5, 6]", "--set", "train.iterations=2"])
        row = self.metrics("none")[-1]
        for name in ("validation_pixel_error", "validation_iou", "validation_rand_f"):
            self.assertEqual(row[name], "")
        self.assertTrue((self.folder / "runs/none/checkpoints/best.h5").is_file(), "the newest is the best")
        scores = self.evaluation("--sections", "5:6")
        self.assertEqual(scores["best"]["pixel_error"], {"value": None, "threshold": None})


if __name__ == "__main__":
    unittest.main()
