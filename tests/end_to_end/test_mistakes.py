"""The mistakes of a first hour: data, labels and settings that are not what they should be. Each is told, with what was
found and what to do."""

import json
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera

USAGE = 2


class FirstHour(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.raw, cls.cells, cls.ids = (cls.read(f"stack.h5:/volumes/{name}") for name in ("raw", "labels/cells", "labels/instances"))

    def volumes(self, file, **datasets):
        """Writes datasets; a pair is voxels and the voxel size in nm."""
        with h5py.File(self.folder / file, "w") as out:
            for name, voxels in datasets.items():
                voxels, resolution = voxels if isinstance(voxels, tuple) else (voxels, None)
                out.create_dataset(name, data=voxels)
                if resolution:
                    out[name].attrs["resolution"] = resolution

    def told(self, arguments, *patterns):
        """The warnings of a run to exit code 0, which match."""
        result = self.tessera(arguments)
        for pattern in patterns:
            self.assertRegex("\n".join(result.warnings()), pattern, result)
        return result

    def rejected(self, arguments, *patterns, code=USAGE):
        self.assert_one_error(run_tessera(arguments, cwd=self.folder), code, patterns)

    def json(self, name):
        return json.loads((self.folder / name).read_text())


class Axes(FirstHour):

    def test_an_order_of_axes_is_doubted_and_mended(self):
        """(y, x, z), as NIfTI and many numpy files have it."""
        yxz = np.ascontiguousarray(np.moveaxis(self.raw, 0, 2))
        self.volumes("yxz.h5", raw=(yxz, [4.0, 5.0, 50.0]), labels=np.moveaxis(self.cells, 0, 2))
        yaml = self.config("axes", {"data": {"raw": "yxz.h5:/raw", "labels": "yxz.h5:/labels"}})
        words = r"\(96, 96, 6\): the last axis is by far the shortest.*tessera import yxz.h5:/raw NEW.h5:/volumes/raw --axes yxz"
        self.told(["check", yaml, "--set", "infer.raw=yxz.h5:/raw"], words)
        self.told(["import", "yxz.h5:/raw", "asis.h5:/raw"], words)
        self.assert_same_voxels(self.read("asis.h5:/raw"), yxz)
        self.assertEqual(self.tessera(["import", "yxz.h5:/raw", "zyx.h5:/volumes/raw", "--axes", "yxz"]).warnings(), [])
        self.assert_same_voxels(self.read("zyx.h5:/volumes/raw"), self.raw)
        with h5py.File(self.folder / "zyx.h5") as f:
            self.assertEqual(list(f["volumes/raw"].attrs["resolution"]), [50, 4, 5])
        self.rejected(["import", "yxz.h5:/raw", "no.h5:/raw", "--axes", "yxy"], "axes 'yxy': write the letters z, y and x")

    def test_axes_of_images(self):
        for order, moved in (("xyz", (2, 1, 0)), ("yzx", (1, 0, 2)), ("zyx", (0, 1, 2))):
            self.volumes("o.h5", raw=np.ascontiguousarray(self.raw.transpose(moved)))
            self.tessera(["export", "o.h5:/raw", f"{order}.tif"])
            self.tessera(["import", f"{order}.tif", f"{order}.h5:/raw", "--axes", order])
            self.assert_same_voxels(self.read(f"{order}.h5:/raw"), self.raw, order)

    def test_much_redundancy_is_doubted(self):
        yaml = self.config("small_sections", {"model": {"depth": 4}, "train": {"tile": "auto"}, "infer": {"raw": "stack.h5:/volumes/raw"}})
        self.told(["check", yaml], r"computes \d+\.\d input pixels per output pixel.*--axes")
        self.assertEqual(self.tessera(["check", self.config("usual")]).warnings(), [])


class Inference(FirstHour):

    def test_a_volume_unlike_the_training_is_told_before_the_first_block(self):
        self.volumes("of_sizes.h5", raw=(self.raw, [50.0, 4.0, 4.0]), near=(self.raw, [50.0, 4.3, 3.7]), coarse=(self.raw, [50.0, 8.0, 8.0]),
                     wide=(self.raw.astype(np.uint16) * 200, [50.0, 4.0, 4.0]), unknown=self.raw)
        yaml = self.config("sizes", {"data": {"raw": "of_sizes.h5:/raw"}})
        self.tessera(["train", yaml])
        with h5py.File(self.folder / "runs/sizes/checkpoints/best.h5") as f:
            self.assertEqual(list(f.attrs["number_raw_voxel_sizes_nm"]), [50, 4, 4])
        of_size = (r"coarse: its voxels are 50 x 8 x 8 nm \(z, y, x\), and the network was trained on voxels of 50 x 4 x 4 nm")
        of_type = "wide: its voxels are uint16, and the network was trained on uint8"
        of_grey = "wide: its grey levels .* are far from those"
        for name, patterns in (("raw", []), ("near", []), ("unknown", []), ("coarse", [of_size]), ("wide", [of_type, of_grey])):
            for ranks in self.ranks_tried:
                result = self.tessera(["infer", yaml, "--restart", "--set", f"infer.raw=of_sizes.h5:/{name}"], ranks)
                self.assertEqual(len(result.warnings()), len(patterns), result)
                recorded = self.json("runs/sizes/inference.json")["warnings"]
                self.tessera(["report", "runs/sizes"])
                report = (self.folder / "runs/sizes/report.html").read_text()
                self.assertEqual(len(recorded), len(patterns))
                for pattern in patterns:
                    self.assertRegex("\n".join(result.warnings()), pattern)
                    self.assertRegex("\n".join(recorded), pattern)
                    self.assertRegex(report, pattern)
        # With its own statistics the type does not matter.
        result = self.tessera(["infer", yaml, "--restart", "--set", "infer.raw=of_sizes.h5:/wide", "--set", "infer.normalisation=volume"])
        self.assertEqual(result.warnings(), [])

    def test_a_checkpoint_says_what_it_was_trained_on(self):
        yaml = self.config("older")
        self.tessera(["train", yaml])
        self.tessera(["infer", yaml])
        file = self.folder / "runs/older/checkpoints/best.h5"
        with h5py.File(file) as f:
            self.assertEqual(f.attrs["text_raw_types"], b"uint8")
            self.assertRegex(f.attrs["text_written"].decode(), r"^\d{4}-\d\d-\d\dT")

    def test_another_network_is_named_with_its_age(self):
        yaml = self.config("aged")
        self.tessera(["train", yaml])
        self.tessera(["infer", yaml])
        self.tessera(["train", yaml, "--overwrite", "--set", "train.iterations=3", "--set", "train.seed=5"])
        when = r"written \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
        self.rejected(["infer", yaml], rf"network: \w+ \(iteration 2, {when}\) then, \w+ \(iteration 2, {when}\) now")
        self.rejected(["train", yaml, "--resume", "--set", "model.base_filters=3"],
                      rf"holds another network \(iteration 3, {when}\): base_filters is 3 here, 2 there")


class Resume(FirstHour):

    def test_other_settings_are_told(self):
        yaml = self.config("told", {"data": {"validation_sections": None}})
        self.tessera(["train", yaml])

        def go_on(iterations, *changes):
            more = [word for change in changes for word in ("--set", change)]
            return self.tessera(["train", yaml, "--resume", "--set", f"train.iterations={iterations}", *more])

        self.assertEqual(go_on(3, "train.checkpoint_every=1", "train.threads=2").warnings(), [])
        for change, words in (("data.train_sections=[0, 3]", r"data\.train_sections was \[0, 4\], is \[0, 3\] now"),
                              ("train.seed=7", r"train\.seed was 1, is 7 now"),
                              ("train.global_batch=3", r"train\.global_batch was 2, is 3 now"),
                              ("train.augmentation.elastic=3", r"train\.augmentation\.elastic was 0, is 3 now")):
            result = run_tessera(["train", yaml, "--resume", "--set", "train.iterations=4", "--set", change,
                                  "--set", "run_folder=runs/told"], cwd=self.folder)
            self.assertEqual(result.code, 0, result)
            self.assertRegex("\n".join(result.warnings()), "its training had other settings: " + words, change)
            self.tessera(["train", yaml, "--overwrite"])

    def test_another_optimizer_is_told(self):
        yaml = self.config("optimizer", {"train": {"optimizer": "sgd", "momentum": 0.9}})
        self.tessera(["train", yaml])
        for ranks in self.ranks_tried:
            result = run_tessera(["train", yaml, "--resume", "--set", "train.optimizer=adam", "--set", "train.iterations=4"],
                                 ranks, cwd=self.folder)
            self.assert_one_error(result, USAGE, [r"holds the state of another optimizer \(momentum; here: .*set train.optimizer"])

    def test_a_training_whose_time_is_used_up_does_nothing(self):
        yaml = self.config("used_up", {"train": {"iterations": 100_000, "minutes": 0.01}})
        for ranks in self.ranks_tried:
            result = self.tessera(["train", yaml, "--overwrite"], ranks)
            self.assertRegex(result.text, r"ended: 0\.0 of 0\.0 minutes used, at iteration [\d,]+ of 100,000")
            folder = self.folder / "runs/used_up/checkpoints"
            before = {p.name: p.read_bytes() for p in folder.iterdir()}
            result = self.tessera(["train", yaml, "--resume"], ranks)
            self.assertRegex("\n".join(result.warnings()), r"has used 0\.0 of 0\.0 minutes, at iteration .*: nothing to do; raise train\.minutes")
            self.assertEqual({p.name: p.read_bytes() for p in folder.iterdir()}, before)
            self.tessera(["train", yaml, "--resume", "--set", "train.minutes=0.03"], ranks)
            self.assertNotEqual({p.name for p in folder.iterdir()}, set(before))
        result = self.tessera(["train", self.config("all_done"), "--overwrite"])
        self.assertRegex(result.text, r"ended: all 2 iterations done, in \d+ s")
        result = self.told(["train", "all_done.yaml", "--resume"], "has all 2 iterations: nothing to do; raise train.iterations")
        self.assertEqual(self.json("runs/all_done/training.json")["end"], "done")
        self.assertRegex(self.json("runs/all_done/training.json")["ended"], "all 2 iterations done")


class Labels(FirstHour):

    def with_labels(self, name, changes=None):
        return ["check", self.config("labels", {"data": {"labels": f"labels.h5:/{name}", **(changes or {})}})]

    def test_labels_that_teach_little_are_told(self):
        rare = np.ones_like(self.cells)
        rare[0, 0, :9] = 0
        self.volumes("labels.h5", ids=self.ids, rare=rare, copy=self.raw)
        self.told(self.with_labels("ids"), "more than 16 different values .* set data.label_kind: instances")
        self.assertEqual(self.tessera(self.with_labels("ids", {"label_kind": "instances"})).warnings(), [])
        for verb in ("check", "train"):
            for name, patterns in (("rare", [r"99\.98 % of the 36864 annotated voxels are class 1", "data.allow_one_class: true"]),
                                   ("copy", ["data.labels: labels.h5:/copy holds the voxels of the raw volume stack.h5:/volumes/raw"])):
                result = run_tessera([verb, self.with_labels(name)[1]], cwd=self.folder)
                self.assert_one_error(result, USAGE, patterns)
        self.rejected(self.with_labels("x", {"labels": "stack.h5:/volumes/raw"}), "holds the voxels of the raw volume")

    def test_scores_without_anything_to_find_are_undefined(self):
        ones = np.ones_like(self.cells)
        part = self.cells.copy()
        part[4:] = 1
        self.volumes("nothing.h5", ones=ones, part=part)
        yaml = self.config("none", {"data": {"labels": "nothing.h5:/part"}, "infer": {"raw": "stack.h5:/volumes/raw"},
                                    "evaluate": {"sections": [4, 6]}})
        result = self.tessera(["train", yaml])
        self.assertRegex(result.text, r"validation scores are undefined \(no membrane in the labels\)")
        self.tessera(["infer", yaml])
        result = self.told(["evaluate", yaml], "have no membrane in 18432 pixels: membrane 0 %, interior 100 %")
        self.assertRegex(result.stdout, r"truth +18432 pixels: membrane 0 %, interior 100 %")
        for score in ("least pixel error", "best IoU", "best F", "best Rand fg micro", "average precision"):
            self.assertRegex(result.stdout, rf"{score} +undefined \(no membrane in the labels\)\n")
        scores = self.json("runs/none/evaluation.json")
        self.assertEqual((scores["undefined"], scores["best"]["pixel_error"]["value"]), ("no membrane in the labels", None))
        self.assertRegex(self.tessera(["status", "runs/none"]).stdout, r"pixel error undefined \(no membrane in the labels\)")
        self.tessera(["report", "runs/none"])
        self.assertIn("undefined (no membrane in the labels)", (self.folder / "runs/none/report.html").read_text())

    def test_inverted_labels_are_told_once(self):
        """Held-out labels that say the opposite of those trained on."""
        inverted = self.cells.copy()
        inverted[4:] = np.where(self.cells[4:] > 0, 0, 1)
        self.volumes("opposite.h5", labels=inverted)
        yaml = self.config("inverted", {"data": {"labels": "opposite.h5:/labels"}, "infer": {"raw": "stack.h5:/volumes/raw"},
                                        "model": {"base_filters": 4, "dropout": 0},
                                        "train": {"iterations": 160, "validate_every": 40, "learning_rate": 5e-3}})
        result = self.tessera(["train", yaml])
        self.assertEqual(len(result.warnings()), 1, result)
        self.assertRegex(result.warnings()[0], r"anticorrelates with the labels of the held-out sections .*data\.invert_labels")
        self.tessera(["infer", yaml])
        self.told(["evaluate", yaml, "--set", "evaluate.sections=[4, 6]"], "the prediction anticorrelates with the labels .*data.invert_labels")
        self.assertEqual(self.tessera(["evaluate", yaml, "--set", "evaluate.sections=[0, 4]"]).warnings(), [])

    def test_wrong_types_name_what_was_found_and_the_command_that_mends(self):
        probability = (self.raw / 255).astype(np.float32)
        self.volumes("types.h5", half=probability, minus=np.where(self.cells > 0, -1, 1).astype(np.int64), wide=self.raw.astype(np.int64),
                     int32=self.raw.astype(np.int32), whole=(self.cells > 0).astype(np.float64), flags=self.cells > 0, probability=self.raw)
        yaml = self.config("types")
        check = lambda **data: ["check", yaml, *(word for key, name in data.items() for word in ("--set", f"data.{key}=types.h5:/{name}"))]
        for name in ("whole", "flags"):
            self.assertEqual(self.tessera(check(labels=name)).warnings(), [], name)
        self.rejected(check(labels="half"), "it holds 0.*labels are whole numbers.*tessera import .* --threshold 0.5", code=1)
        self.rejected(check(labels="minus"), r"holds the id .*-1 in signed labels.*set data.ignore_label: -1", code=1)
        for name, stored in (("wide", "int64"), ("int32", "int32")):
            self.rejected(check(raw=name), rf"types.h5:/{name} holds {stored}: raw volumes are .*tessera import types.h5:/{name} "
                                           r"NEW.h5:/volumes/raw --dtype uint16")
            self.tessera(["import", f"types.h5:/{name}", "mended.h5:/volumes/raw", "--dtype", "uint8", "--overwrite"])
            self.assert_same_voxels(self.read("mended.h5:/volumes/raw"), self.raw)
        self.tessera(["import", "types.h5:/half", "mended.h5:/labels", "--threshold", "0.5"])
        self.assert_same_voxels(self.read("mended.h5:/labels"), (probability > 0.5).astype(np.uint8))
        self.volumes("large.h5", raw=self.raw.astype(np.uint16) + 256)
        self.rejected(["import", "large.h5:/raw", "no.h5:/raw", "--dtype", "uint8"], r"holds \d+, which uint8 cannot hold", code=1)

    def test_check_finds_values_that_are_not_finite(self):
        raw = self.raw.astype(np.float32)
        raw[2, 5, 7] = np.nan
        self.volumes("nan.h5", raw=raw)
        yaml = self.config("nan", {"data": {"raw": "nan.h5:/raw"}})
        for verb in ("check", "train"):
            self.rejected([verb, yaml], r"nan.h5:/raw has 1 NaN or infinite value in .* the first at \(2, 5, 7\)", code=1)

    def test_a_probability_of_uint8_is_no_instances(self):
        draw = np.random.default_rng(1)
        noisy = draw.integers(0, 256, self.raw.shape).astype(np.uint8)
        self.volumes("given.h5", noisy=noisy, ids=(self.ids % 256).astype(np.uint8))
        self.rejected(["evaluate", "--prediction", "given.h5:/noisy", "--labels", "stack.h5:/volumes/labels/instances", "--instances"],
                      "uint8 values that change from pixel to pixel, as a probability does")
        self.tessera(["evaluate", "--prediction", "given.h5:/ids", "--labels", "stack.h5:/volumes/labels/instances", "--instances"])

    def test_ids_and_classes_are_not_taken_for_a_probability(self):
        self.volumes("whole_numbers.h5", ids16=self.ids.astype(np.uint16), classes=(self.cells > 0).astype(np.uint8))
        for name in ("ids16", "classes"):
            self.rejected(["evaluate", "--prediction", f"whole_numbers.h5:/{name}", "--labels", "stack.h5:/volumes/labels/cells"],
                          rf"whole_numbers.h5:/{name} holds uint\d+ and does not say what they are.*pass --kind labels")
        self.tessera(["evaluate", "--prediction", "whole_numbers.h5:/classes", "--labels", "stack.h5:/volumes/labels/cells",
                      "--kind", "classes"])

    def test_many_thresholds_do_not_flood_the_terminal(self):
        probability = np.random.default_rng(2).random(self.raw.shape).astype(np.float32)
        self.volumes("random.h5", probability=probability)
        result = self.tessera(["evaluate", "--prediction", "random.h5:/probability", "--labels", "stack.h5:/volumes/labels/cells",
                               "--thresholds", "201", "--json", "all.json"])
        self.assertRegex(result.stdout, r"\(\d+ of 201 thresholds: all are in the JSON file\)")
        self.assertLess(len(result.stdout.splitlines()), 90)
        self.assertEqual(len(self.json("all.json")["volume"]), 201)


if __name__ == "__main__":
    unittest.main()
