"""From a stack to a scored prediction, verb by verb, on one rank and on several."""

import csv
import json
import unittest

import h5py
import numpy as np

from harness import Case, png_shape, read_tiff, resolved_keys


class ImportExport(Case):
    """Exported and re-imported data are unchanged."""

    def round_trip(self, volume, through, ranks=0, export=(), import_=()):
        self.tessera(["export", volume, through, *export], ranks)
        self.tessera(["import", through, f"{through}.back.h5:/volumes/raw", *import_], ranks)
        return self.read(f"{through}.back.h5:/volumes/raw")

    def test_the_same_seed_makes_the_same_stack(self):
        one = ["--shape", "3,64,80", "--seed", "5"]
        self.tessera(["synth", "a.h5", *one])
        self.tessera(["synth", "b.h5", *one], ranks=2)
        self.tessera(["synth", "c.h5", *one[:-1], "6"])
        self.assertEqual((self.folder / "a.h5").read_bytes(), (self.folder / "b.h5").read_bytes())
        a, c = self.read("a.h5:/volumes/raw"), self.read("c.h5:/volumes/raw")
        self.assertEqual(a.shape, (3, 64, 80))
        self.assertFalse(np.array_equal(a, c), "another seed made the same stack")
        cells, instances = self.read("a.h5:/volumes/labels/cells"), self.read("a.h5:/volumes/labels/instances")
        self.assertTrue(0.2 < np.mean(cells > 0) < 0.98, "cells fill most of a section, not all of it")
        self.assertTrue(np.all(instances[cells > 0] > 0), "a cell's interior has an id")
        self.assertGreater(len(np.unique(instances)), 3)

    def test_tiff_stack(self):
        raw = self.read("stack.h5:/volumes/raw")
        for ranks in self.ranks_tried:
            out = f"stack{ranks}.tif"
            back = self.round_trip("stack.h5:/volumes/raw", out, ranks, import_=["--resolution", "50,4,4", "--gzip", "3"])
            self.assert_same_voxels(back, raw, out)
            self.assert_same_voxels(read_tiff(self.folder / out), raw, "read by TIFF's description")

    def test_folder_of_png_sections(self):
        raw = self.read("stack.h5:/volumes/raw")
        self.assert_same_voxels(self.round_trip("stack.h5:/volumes/raw", "sections"), raw)
        files = sorted((self.folder / "sections").glob("*.png"))
        self.assertEqual(len(files), len(raw))
        self.assertEqual({png_shape(f) for f in files}, {raw.shape[1:]})

    def test_some_sections(self):
        raw = self.read("stack.h5:/volumes/raw")
        back = self.round_trip("stack.h5:/volumes/raw", "some.tif", export=["--sections", "1:4"])
        self.assert_same_voxels(back, raw[1:4])

    def test_other_types(self):
        random = np.random.default_rng(1)
        volumes = {"u16": random.integers(0, 65536, (3, 40, 50)).astype(np.uint16),
                   "f32": random.normal(size=(3, 40, 50)).astype(np.float32)}
        self.write_volumes("types.h5", volumes)
        for path, voxels in volumes.items():
            back = self.round_trip(f"types.h5:/{path}", f"{path}.tif", import_=["--chunk", "2,16,16"])
            self.assert_same_voxels(back, voxels, path)
        self.assert_same_voxels(self.round_trip("types.h5:/u16", "u16_sections"), volumes["u16"], "16-bit PNG")


class Workflow(Case):
    """The everyday workflow with a tiny network: synth, check, train, infer, evaluate."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("flow", {"train": {"iterations": 5},
                                       "infer": {"block": [2, 48, 48], "chunk": [2, 24, 24]}})
        cls.training = cls.done(cls.folder, ["train", cls.yaml], ranks=3)
        cls.run_folder = cls.folder / "runs/flow"
        cls.trained_config = (cls.run_folder / "config.yaml").read_text()
        cls.inference = cls.done(cls.folder, ["infer", cls.yaml])
        cls.prediction = cls.read("flow.h5:/volumes/predictions/interior")
        cls.evaluation = cls.done(cls.folder, ["evaluate", cls.yaml])

    def test_check_says_the_same_on_any_number_of_ranks(self):
        alone, three = (self.tessera(["check", self.yaml, "--config"], ranks=ranks) for ranks in (0, 3))
        self.assertEqual(alone.stdout, three.stdout)
        for words in ("network: ", "training: ", "inference:", "redundancy", "memory per worker"):
            self.assertIn(words, alone.stdout)
        self.assertEqual(resolved_keys(alone.stdout)["train.iterations"], "5")

    def test_resolved_config_resolves_to_itself(self):
        self.assertGreater(len(resolved_keys(self.trained_config)), 40)
        (self.folder / "resolved.yaml").write_text(self.trained_config)
        again = self.tessera(["check", "resolved.yaml", "--config"])
        self.assertEqual(again.stdout, self.tessera(["check", self.yaml, "--config"]).stdout)
        self.assertIn(self.trained_config, again.stdout)

    def test_set_has_the_last_word(self):
        out = self.tessera(["check", self.yaml, "--config", "--set", "train.iterations=77", "--set", "infer.dtype=float32"]).stdout
        self.assertEqual(resolved_keys(out)["train.iterations"], "77")
        self.assertEqual(resolved_keys(out)["infer.dtype"], "float32")

    def test_run_folder(self):
        self.assertRegex((self.run_folder / "version.txt").read_text(), r"^tessera \d+\.\d+\.\d+\n$")
        self.assertRegex((self.run_folder / "log.txt").read_text(), r"trained after 5 iterations")
        with open(self.run_folder / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([int(r["iteration"]) for r in rows], [1, 2, 3, 4, 5])
        self.assertTrue(all(0 < float(r["loss"]) < 10 and 0 <= float(r["pixel_error"]) <= 1 for r in rows))
        validated = [int(r["iteration"]) for r in rows if r["validation_pixel_error"]]
        self.assertEqual(validated, [2, 4, 5])
        checkpoints = sorted(p.name for p in (self.run_folder / "checkpoints").iterdir())
        self.assertEqual(checkpoints, ["best.h5", "iteration_00000002.h5", "iteration_00000004.h5", "iteration_00000005.h5"])
        self.assertTrue(all(0 <= float(r[share]) <= 1 for r in rows for share in ("waiting_share", "exchange_share")))
        previews = sorted((self.run_folder / "previews").glob("*.png"))
        self.assertEqual(len(previews), 3)
        for picture in previews:
            height, width = png_shape(picture)
            self.assertGreaterEqual(width, 3 * 96)
            self.assertGreaterEqual(height, 96)
        self.assertEqual(self.leftovers(), [])

    def test_inference_report(self):
        report = json.loads((self.run_folder / "inference.json").read_text())
        self.assertEqual(report["total"]["voxels"], 6 * 96 * 96)
        self.assertEqual(report["total"]["blocks"], 12)
        self.assertEqual(sum(w["voxels"] for w in report["workers"]), report["total"]["voxels"])

    def test_prediction_is_the_same_for_any_number_of_ranks(self):
        for ranks in (1, 2, 3, 6):
            self.tessera(["infer", self.yaml, "--set", f"infer.output=ranks{ranks}.h5:/p"], ranks)
            self.assert_same_voxels(self.read(f"ranks{ranks}.h5:/p"), self.prediction, f"{ranks} ranks")
        self.assertGreater(len(np.unique(self.prediction)), 3, "a prediction of one value shows nothing")

    def test_more_ranks_than_blocks(self):
        for depth in (6, 3):
            out = f"depth{depth}.h5:/p"
            result = self.tessera(["infer", self.yaml, "--set", f"infer.output={out}", "--set", f"infer.block=[{depth},96,96]",
                                   "--set", f"infer.chunk=[{depth},96,96]"], ranks=6)
            self.assertIn(f"predicted {6 // depth} block", result.stdout)
            self.assertTrue(np.all(np.abs(self.read(out).astype(int) - self.prediction) <= 1), out)

    def test_tiles_and_blocks_leave_no_seam(self):
        def floats(name, *sets):
            arguments = ["infer", self.yaml, "--set", f"infer.output={name}.h5:/p", "--set", "infer.dtype=float32"]
            for one in sets:
                arguments += ["--set", one]
            self.tessera(arguments)
            return self.read(f"{name}.h5:/p")
        whole = floats("whole", "infer.block=[6,96,96]", "infer.chunk=[6,96,96]")
        tiled = floats("tiled", "infer.tile=56")
        self.assertEqual(whole.dtype, np.float32)
        self.assertTrue(np.all((whole >= 0) & (whole <= 1)))
        self.assertLess(np.abs(whole - tiled).max(), 1e-5)
        self.assertLessEqual(np.abs(np.rint(255 * whole) - self.prediction).max(), 1)

    def test_scores_are_the_same_for_any_number_of_ranks(self):
        file = self.run_folder / "evaluation.json"
        alone = json.loads(file.read_text())
        three = self.tessera(["evaluate", self.yaml], ranks=3)
        together = json.loads(file.read_text())
        self.assertEqual((alone.pop("run")["ranks"], together.pop("run")["ranks"]), (1, 3))
        self.assertEqual(together, alone)
        self.assertEqual(three.stdout, self.evaluation.stdout)

    def test_scores_agree_with_numpy(self):
        scores = json.loads((self.run_folder / "evaluation.json").read_text())
        self.assertEqual(scores["section_range"], [4, 6])
        truth = self.read("stack.h5:/volumes/labels/cells")[4:] > 0
        probability = self.prediction[4:] / 255.0
        self.assertEqual(len(scores["volume"]), 11)
        for row in scores["volume"]:
            said = probability > row["threshold"]
            self.assertAlmostEqual(row["pixel_error"], np.mean(said != truth), places=9)
            union = np.count_nonzero(said | truth)
            self.assertAlmostEqual(row["iou"], np.count_nonzero(said & truth) / union if union else 1, places=9)
        least = min(row["pixel_error"] for row in scores["volume"])
        self.assertAlmostEqual(scores["best"]["pixel_error"]["value"], least, places=12)

    def test_overlay_pictures(self):
        pictures = sorted((self.run_folder / "evaluation").glob("section_*.png"))
        self.assertGreaterEqual(len(pictures), 1)
        for picture in pictures:
            self.assertGreaterEqual(png_shape(picture)[1], 3 * 96)

    def test_evaluate_without_an_experiment(self):
        self.tessera(["evaluate", "--prediction", "flow.h5:/volumes/predictions/interior", "--labels",
                      "stack.h5:/volumes/labels/cells", "--sections", "4:6", "--json", "alone.json"])
        alone = json.loads((self.folder / "alone.json").read_text())
        inside = json.loads((self.run_folder / "evaluation.json").read_text())
        self.assertEqual(alone["volume"], inside["volume"])


class Kinds(Case):
    """Other networks and other volumes: trained for two iterations, predicted, checked."""

    def trained(self, name, changes, ranks=3):
        yaml = self.config(name, {"train": {"iterations": 1}, **changes})
        self.tessera(["train", yaml], ranks)
        return yaml

    def predicted(self, yaml, name, *sets):
        results = []
        for ranks in self.ranks_tried:
            out = f"{name}_{ranks}.h5:/p"
            arguments = ["infer", yaml, "--set", f"infer.output={out}"]
            for one in sets:
                arguments += ["--set", one]
            self.tessera(arguments, ranks)
            results.append(self.read(out))
        self.assert_same_voxels(results[0], results[1], name)
        return results[0]

    def test_keras_same(self):
        yaml = self.trained("keras", {"model": {"preset": "keras_same", "dropout": None}, "train": {"tile": "auto"}})
        keys = resolved_keys((self.folder / "runs/keras/config.yaml").read_text())
        self.assertEqual((keys["model.padding"], keys["model.batch_norm"], keys["model.classes"]), ("same", "true", "1"))
        p = self.predicted(yaml, "keras", "infer.dtype=float32")
        self.assertEqual(p.shape, (6, 96, 96))
        self.assertTrue(0 <= p.min() < p.max() <= 1)

    def test_three_sections_of_context(self):
        yaml = self.trained("context", {"model": {"in_channels": 3}})
        before = self.predicted(yaml, "context", "infer.dtype=float32")
        with h5py.File(self.folder / "stack.h5") as f:
            raw = f["volumes/raw"][()]
        raw[3] = 255 - raw[3]
        self.write_volumes("changed.h5", {"volumes/raw": raw}, chunks=(4, 96, 96))
        after = self.predicted(yaml, "context_changed", "infer.raw=changed.h5:/volumes/raw", "infer.dtype=float32")
        changed = [z for z in range(6) if not np.array_equal(before[z], after[z])]
        self.assertEqual(changed, [2, 3, 4], "a section is seen by itself and its two neighbours")

    def test_sixteen_bit_and_float_raw(self):
        raw, cells = self.read("stack.h5:/volumes/raw"), self.read("stack.h5:/volumes/labels/cells")
        self.write_volumes("kinds.h5", {"u16": raw.astype(np.uint16) * 200, "f32": raw.astype(np.float32) / 255,
                                        "labels": cells})
        for kind in ("u16", "f32"):
            yaml = self.trained(kind, {"data": {"raw": f"kinds.h5:/{kind}", "labels": "kinds.h5:/labels"}})
            p = self.predicted(yaml, kind)
            self.assertEqual((p.dtype, p.shape), (np.uint8, (6, 96, 96)))
            self.assertGreater(len(np.unique(p)), 2)

    def test_one_two_dimensional_section(self):
        raw, cells = self.read("stack.h5:/volumes/raw"), self.read("stack.h5:/volumes/labels/cells")
        self.write_volumes("flat.h5", {"raw": raw[0], "labels": cells[0]})
        yaml = self.trained("flat2d", {"data": {"raw": "flat.h5:/raw", "labels": "flat.h5:/labels", "train_sections": [0, 1],
                                                "validation_sections": None}})
        self.assertEqual(self.predicted(yaml, "flat2d").shape, (1, 96, 96))

    def test_two_channels(self):
        raw, cells = self.read("stack.h5:/volumes/raw"), self.read("stack.h5:/volumes/labels/cells")
        self.write_volumes("channels.h5", {"raw": np.stack([raw, 255 - raw]), "labels": cells})
        data = {"raw": "channels.h5:/raw", "labels": "channels.h5:/labels"}
        yaml = self.trained("channels", {"data": data, "model": {"in_channels": 2}})
        self.assertEqual(self.predicted(yaml, "channels").shape, (6, 96, 96))
        yaml = self.trained("channels6", {"data": data, "model": {"in_channels": 6}})
        self.assertEqual(self.predicted(yaml, "channels6").shape, (6, 96, 96))

    def test_three_classes_sum_to_one(self):
        cells = self.read("stack.h5:/volumes/labels/cells")
        raw = self.read("stack.h5:/volumes/raw")
        labels = np.where(cells > 0, 1 + (raw > np.median(raw)), 0).astype(np.uint8)
        self.assertEqual(set(np.unique(labels)), {0, 1, 2})
        self.write_volumes("classes.h5", {"labels": labels})
        yaml = self.trained("classes", {"data": {"labels": "classes.h5:/labels"}, "model": {"classes": 3}})
        parts = [self.predicted(yaml, f"class{c}", f"infer.class={c}", "infer.dtype=float32") for c in range(3)]
        self.assertLess(np.abs(sum(p.astype(np.float64) for p in parts) - 1).max(), 1e-5)
        self.assertFalse(np.array_equal(parts[0], parts[1]))
        # The scores of class c are those of the labels equal to c.
        for c in range(3):
            self.tessera(["evaluate", yaml, "--set", f"infer.class={c}", "--prediction", f"class{c}_{self.ranks_tried[0]}.h5:/p", "--sections",
                          "0:1", "--json", f"class{c}.json"])
            volume = json.loads((self.folder / f"class{c}.json").read_text())["volume"]
            wrong = np.mean((parts[c][0] > 0.5) != (labels[0] == c))
            at_half = [row for row in volume if abs(row["threshold"] - 0.5) < 1e-9]
            self.assertEqual(len(at_half), 1)
            self.assertAlmostEqual(at_half[0]["pixel_error"], wrong, places=9)


if __name__ == "__main__":
    unittest.main()
