"""Several volumes as one training set: different shapes, types and polarity, wildcards, regions, held-out volumes."""

import csv
import re
import unittest

import h5py
import numpy as np

from harness import Case, png_shape, resolved_keys, run_tessera
from test_bad_input import FAILED, LABELS, RAW, USAGE, BadInput, sets


class Volumes(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with h5py.File(cls.folder / "stack.h5") as f:
            raw, labels = f["volumes/raw"][()], f["volumes/labels/cells"][()]
        # The same cells with tenfold grey levels, interior 0 and an ignored label; and small images.
        wide = (raw[:3, :80, :70].astype(np.uint16) + 20) * 10
        inverted = np.where(labels[:3, :80, :70] > 0, 0, 7).astype(np.uint8)
        inverted[:, :4] = 9
        cls.write_volumes("wide.h5", {"raw": wide, "labels": inverted})
        images = {}
        for i, name in enumerate(("a1", "a2", "b1")):
            images[f"{name}/raw"] = raw[i, 10 * i:10 * i + 50, :60]
            images[f"{name}/labels"] = labels[i, 10 * i:10 * i + 50, :60]
        cls.write_volumes("images.h5", images)
        cls.volumes = [
            {"raw": RAW, "labels": LABELS, "train_sections": [0, 4], "validation_sections": [4, 5]},
            {"raw": "wide.h5:/raw", "labels": "wide.h5:/labels", "invert_labels": True, "ignore_label": 9,
             "region": {"begin": [2, 3], "end": [78, 66]}},
            {"raw": "images.h5:/a?/raw", "labels": "images.h5:/a?/labels"},
            {"raw": "images.h5:/b*/raw", "labels": "images.h5:/b*/labels", "validation_sections": [0, 1]},
        ]
        cls.data = {"raw": None, "labels": None, "train_sections": None, "validation_sections": None, "volumes": cls.volumes,
                    "normalisation": "volume", "min_foreground": 0.1}
        cls.yaml = cls.config("volumes", {"data": cls.data, "train": {"iterations": 4, "optimizer": "sgd"},
                                          "infer": {"raw": "images.h5:/b1/raw", "dtype": "float32"}})
        cls.done(cls.folder, ["train", cls.yaml], 3)
        cls.run_folder = cls.folder / "runs/volumes"

    def rows(self, name="volumes"):
        with open(self.folder / f"runs/{name}/metrics.csv", newline="") as file:
            return list(csv.DictReader(file))

    def test_check_lists_every_volume(self):
        out = self.tessera(["check", self.yaml]).stdout
        lines = re.findall(r"volume +(\d+): (\S+) \(([\d, ]+)\) (\w+), trained on (-|\[\d+, \d+\)), held out (-|\[\d+, \d+\))(.*)\n", out)
        self.assertEqual([line[:2] for line in lines], [
            ("0", "stack.h5:/volumes/raw"), ("1", "wide.h5:/raw"), ("2", "images.h5:/a1/raw"), ("3", "images.h5:/a2/raw"),
            ("4", "images.h5:/b1/raw")])
        self.assertEqual(lines[1][2:], ("3, 80, 70", "uint16", "[0, 3)", "-", ", region y [2, 78) x [3, 66)"))
        self.assertEqual(lines[4][2:], ("1, 50, 60", "uint8", "-", "[0, 1)", ""))
        self.assertRegex(out, r"training: \w+; tile 76 .* of it for the annotated voxels")

    def test_resolved_file_says_the_same(self):
        again = self.tessera(["check", self.run_folder / "config.yaml", "--config"]).stdout
        self.assertEqual(again, self.tessera(["check", self.yaml, "--config"]).stdout)
        self.assertEqual(resolved_keys(again)["data.volumes.validation_sections"], "[0, 1]")

    def test_any_number_of_ranks(self):
        expected = self.rows()
        for ranks in (1, 2, 5):
            name = f"ranks{ranks}"
            self.tessera(["train", self.yaml, "--set", f"experiment={name}"], ranks)
            rows = self.rows(name)
            self.assertEqual(len(rows), 4)
            for a, b in zip(rows, expected):
                self.assertAlmostEqual(float(a["loss"]), float(b["loss"]), delta=2e-5 * float(b["loss"]))
                if b["validation_pixel_error"]:
                    self.assertAlmostEqual(float(a["validation_pixel_error"]), float(b["validation_pixel_error"]), delta=1e-3)
        self.assertEqual([bool(r["validation_pixel_error"]) for r in expected], [False, True, False, True])

    def test_previews_say_which_volume(self):
        names = sorted(p.name for p in (self.run_folder / "previews").glob("*.png"))
        self.assertEqual(names, [f"iteration_{i:08d}_volume_{v}.png" for i in (2, 4) for v in ("000_section_0004", "004_section_0000")])
        self.assertGreaterEqual(png_shape(self.run_folder / "previews" / names[1])[1], 3 * 60)

    def test_one_volume_is_trained_as_before(self):
        plain = self.config("plain", {"train": {"iterations": 3}})
        listed = self.config("listed", {"train": {"iterations": 3}, "data": {
            "raw": None, "labels": None, "train_sections": None, "validation_sections": None, "volumes": [self.volumes[0] | {"validation_sections": [4, 6]}]}})
        for yaml in (plain, listed):
            self.tessera(["train", yaml])
        keep = [k for k in self.rows("plain")[0] if k not in ("elapsed_s", "waiting_share", "exchange_share")]
        self.assertEqual([[r[k] for k in keep] for r in self.rows("plain")], [[r[k] for k in keep] for r in self.rows("listed")])

    def test_inference_takes_the_volumes_own_mean(self):
        best = self.run_folder / "checkpoints/best.h5"
        with h5py.File(best) as f:
            self.assertEqual(f.attrs["text_normalisation"], b"volume" if isinstance(f.attrs["text_normalisation"], bytes) else "volume")
        def predicted(name, *sets):
            words = [w for s in (f"infer.output={name}.h5:/p", *sets) for w in ("--set", s)]
            self.tessera(["infer", self.yaml, *words], 2)
            return self.read(f"{name}.h5:/p")
        as_trained = predicted("as_trained")
        self.assertGreater(as_trained.std(), 0)
        self.assert_same_voxels(as_trained, predicted("own", "infer.normalisation=volume"))
        pooled = predicted("pooled", "infer.normalisation=fixed", "infer.mean_and_std=[100, 500]")
        self.assertTrue((pooled != as_trained).any())
        self.tessera(["export-model", best, "own.pt"])
        self.assertLess(np.abs(as_trained - predicted("script", "model.torchscript=own.pt")).max(), 1e-4)

    def test_wildcards_of_files(self):
        for i, name in enumerate(("a", "b")):
            self.write_volumes(f"image_{name}.h5", {"raw": self.read(RAW)[i, :50, :60]})
            self.write_volumes(f"cells_{name}.h5", {"cells": self.read(LABELS)[i, :50, :60]})
        self.write_volumes("one[1].h5", {"raw": self.read(RAW)[:1], "cells": self.read(LABELS)[:1]})
        yaml = self.config("files", {"train": {"iterations": 1}, "infer": {"raw": RAW}, "data": self.data | {"volumes": [
            {"raw": "image_?.h5:/raw", "labels": "cells_?.h5:/cells"}, {"raw": "one[1].h5:/raw", "labels": "one[1].h5:/cells"}]}})
        out = self.tessera(["check", yaml]).stdout
        self.assertEqual(re.findall(r"volume +\d+: (\S+) ", out), ["image_a.h5:/raw", "image_b.h5:/raw", "one[1].h5:/raw"])
        self.tessera(["train", yaml])

    def test_resume_with_another_normalisation_is_refused(self):
        result = run_tessera(["train", self.yaml, "--resume", "--set", "data.normalisation=all", "--set", "train.iterations=6"], 3, 60, self.folder)
        self.assert_one_error(result, 2, [r"trained with data\.normalisation: volume"])

    def test_keys_beside_the_list_are_defaults(self):
        regions = self.config("regions", {"train": {"iterations": 1}, "data": {"train_sections": [0, 2], "validation_sections": None, "volumes": [
            {"region": {"begin": [0, 0], "end": [40, 96]}}, {"region": {"begin": [50, 10]}}, {"validation_sections": [4, 6]}]}})
        out = self.tessera(["check", regions]).stdout
        self.assertRegex(out, r"volume   0: stack.h5:/volumes/raw .*trained on \[0, 2\), held out -, region y \[0, 40\) x \[0, 96\)")
        self.assertRegex(out, r"volume   1: .*trained on \[0, 2\), held out -, region y \[50, 96\) x \[10, 96\)")
        self.assertRegex(out, r"volume   2: .*trained on -, held out \[4, 6\)\n")
        self.tessera(["train", regions], 3)


class BadVolumes(BadInput):
    """Mistakes in a list of volumes."""

    ranks_tried = (0,)

    def refuse_volumes(self, code, words, volumes, data=None, sets_too=(), **how):
        none = dict.fromkeys(("raw", "labels", "train_sections", "validation_sections"))
        yaml = self.config("several", {"data": {**none, "volumes": volumes, **(data or {})}, "train": {"iterations": 1}})
        return self.refuse(["train", yaml, *sets_too], code, words, **how)

    def volume(self, **changes):
        made = {"raw": RAW, "labels": LABELS, "train_sections": [0, 4], **changes}
        return {key: value for key, value in made.items() if value is not None}

    def line_of(self, words):
        text = (self.folder / "several.yaml").read_text().splitlines()
        return next(i for i, line in enumerate(text, 1) if words in line)

    def test_keys_of_an_item(self):
        result = self.refuse_volumes(USAGE, [r"data\.volumes\[1\]\.lables: unknown key; did you mean 'labels'\?",
                                             r"data\.volumes\[1\]\.labels: is missing", r"data\.volumes\[2\]\.label_kind: 'cells' is none of"],
                                     [self.volume(), {"raw": RAW, "lables": LABELS}, self.volume(label_kind="cells")], ranks_tried=(0, 3))
        self.assertRegex(result.text, rf"several\.yaml:{self.line_of('lables')}:5: data\.volumes\[1\]\.lables")

    def test_what_is_no_list(self):
        self.refuse_volumes(USAGE, [r"data\.volumes: a section where a list of sections"], {"raw": RAW})
        self.refuse_volumes(USAGE, [r"data\.volumes: lists no volume"], [])

    def test_rules_between_keys(self):
        held_out = self.volume(train_sections=None, validation_sections=[0, 2])
        self.refuse_volumes(USAGE, [r"data\.volumes: all of them are held out"], [held_out])
        self.refuse_volumes(USAGE, [r"data\.volumes\[1\]\.validation_sections: overlaps train_sections"],
                            [self.volume(), self.volume(validation_sections=[3, 5])])
        self.refuse_volumes(USAGE, [r"data\.volumes\[1\]\.sampling_weight: is missing where other volumes have one"],
                            [self.volume(sampling_weight=2), self.volume(), held_out])
        self.refuse_volumes(USAGE, [r"data\.volumes\[1\]\.sampling_weight: no sample comes from here"],
                            [self.volume(sampling_weight=2), {**held_out, "sampling_weight": 1}])
        self.refuse_volumes(USAGE, [r"data\.volumes\[0\]\.invert_labels: goes with label_kind: classes"],
                            [self.volume(invert_labels=True, label_kind="instances")])
        self.refuse_volumes(USAGE, [r"data\.volumes\[0\]\.invert_labels: swaps two classes, but model\.classes is 3"],
                            [self.volume(invert_labels=True)], sets_too=sets(model__classes=3))
        self.refuse_volumes(USAGE, [r"data\.volumes\[0\]\.region: half-open"], [self.volume(region={"begin": [5, 9], "end": [9, 9]})])
        self.refuse_volumes(USAGE, [r"data\.volumes\[0\]\.region\.end: needs a list of 2"], [self.volume(region={"end": [1, 9, 9]})])
        self.refuse_volumes(USAGE, [r"data\.volumes\[0\]\.labels: has 0 wildcards, raw has 1"], [self.volume(raw="stack.h5:/*/raw")])
        self.refuse_train(USAGE, [r"train\.ignore_label: is 3, data\.ignore_label is 4"], sets(train__ignore_label=3, data__ignore_label=4))

    def test_volumes_that_do_not_go_together(self):
        held_out = self.volume(train_sections=None, validation_sections=[3, 5])
        self.refuse_volumes(USAGE, [r"data\.volumes\[1\] holds out sections of stack\.h5:/volumes/raw that data\.volumes\[0\] trains on"],
                            [self.volume(), held_out], ranks_tried=(0, 3))
        raw = self.read(RAW)
        self.write_volumes("two_channels.h5", {"raw": np.stack([raw, raw])})
        self.refuse_volumes(USAGE, [r"data\.volumes\[1\]\.raw: two_channels\.h5:/raw has 2 channels, stack\.h5:/volumes/raw has 1"],
                            [self.volume(), self.volume(raw="two_channels.h5:/raw")])
        self.refuse_volumes(USAGE, [r"data\.volumes\[1\]\.train_sections: \[0, 9\) is not within the 6 sections"],
                            [self.volume(), self.volume(train_sections=[0, 9])])
        self.refuse_volumes(USAGE, [r"data\.volumes\[0\]\.region: y \[0, 97\) x \[0, 96\) is not within the 96 x 96 pixels"],
                            [self.volume(region={"end": [97, 96]})])
        self.refuse_train(USAGE, [r"data\.region: y \[0, 97\)"], sets(data__region__end="[97, 96]"))

    def test_wildcards(self):
        self.write_volumes("images.h5", {"a/raw": np.zeros((40, 40), np.uint8), "a/labels": np.ones((40, 40), np.uint8),
                                         "b/raw": np.zeros((40, 40), np.uint8)})
        images = {"raw": "images.h5:/[a-z]/raw", "labels": "images.h5:/[a-z]/labels"}
        self.refuse_volumes(FAILED, [r"data\.volumes\[0\]\.labels: images\.h5 has no dataset /b/labels",
                                     r"it goes with images\.h5:/b/raw, which images\.h5:/\[a-z\]/raw names"], [images], ranks_tried=(0, 3))
        self.refuse_volumes(FAILED, [r"images\.h5 has no dataset that matches /\[0-9\]/raw", "tessera info images.h5"],
                            [{"raw": "images.h5:/[0-9]/raw", "labels": "images.h5:/[0-9]/labels"}])
        self.write_volumes("other.h5", {"cells": np.ones((40, 40), np.uint8)})
        self.refuse_volumes(USAGE, [r"data\.volumes\[0\]\.labels: has 0 wildcards, raw has 2"],
                            [{"raw": "image?.h5:/*/raw", "labels": "other.h5:/cells"}])
        self.refuse_volumes(FAILED, [r"no file matches q\*\.h5"], [{"raw": "q*.h5:/raw", "labels": "q*.h5:/labels"}])
        self.refuse_infer(USAGE, [r"infer\.raw: is missing"], sets(data__raw=images["raw"], data__labels=images["labels"]))


if __name__ == "__main__":
    unittest.main()
