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


class Scores(FirstHour):
    """What `evaluate` is given is not what the user means."""

    LABELS = "stack.h5:/volumes/labels/cells"

    def predicted(self, name, changes=None):
        yaml = self.config(name, changes)
        self.tessera(["train", yaml])
        self.tessera(["infer", yaml])
        return yaml

    def trained(self, arguments, ranks=0):
        """The warnings about trained sections."""
        return [one for one in self.tessera(["evaluate", *arguments], ranks).warnings() if "the network was trained on" in one]

    def test_sections_that_were_trained_on_are_named(self):
        yaml = self.predicted("trained")
        result = "trained.h5:/volumes/predictions/interior"
        four = ["the network was trained on 4 of the 4 scored sections (0 to 3): their scores say little about other sections. Score "
                "held-out sections alone: set evaluate.sections, or pass --sections."]
        for ranks in self.ranks_tried:
            self.assertEqual(self.trained([yaml, "--set", "evaluate.sections=[0, 4]"], ranks), four)
        self.assertIn(four[0], self.json("runs/trained/evaluation.json")["warnings"])
        self.tessera(["report", yaml])
        self.assertIn("trained on 4 of the 4 scored sections", (self.folder / "runs/trained/report.html").read_text())
        self.assertRegex(self.trained([yaml, "--sections", "3:6"])[0], r"1 of the 3 scored sections \(3\)")
        self.assertEqual(self.trained([yaml]), [])
        self.assertRegex(self.trained(["--prediction", result, "--labels", "./" + self.LABELS])[0], r"4 of the 6 scored sections \(0 to 3\)")
        self.assertEqual(self.trained(["--prediction", result, "--labels", self.LABELS, "--sections", "4:6"]), [])
        # What the network was trained on counts, not what the experiment that uses it says.
        other = self.config("other", {"data": {"train_sections": [4, 6], "validation_sections": [0, 2]},
                                      "infer": {"checkpoint": "runs/trained/checkpoints/best.h5"}})
        self.tessera(["infer", other])
        self.assertEqual(self.trained([other, "--set", "evaluate.sections=[4, 6]"]), [])
        self.assertRegex(self.trained([other])[0], "2 of the 2")
        self.tessera(["infer", yaml, "--set", "infer.write=labels", "--set", "infer.output=classes.h5:/c"])
        self.assertRegex(self.trained(["--prediction", "classes.h5:/c", "--labels", self.LABELS, "--json", "c.json"])[0], "4 of the 6")
        self.assertRegex(self.json("c.json")["warnings"][0], "4 of the 6")

    def test_a_dataset_is_not_scored_against_itself(self):
        with h5py.File(self.folder / "same.h5", "w") as f:
            f["link"] = h5py.ExternalLink("stack.h5", "/volumes/labels/cells")
            layout = h5py.VirtualLayout(self.cells.shape, self.cells.dtype)
            layout[...] = h5py.VirtualSource("stack.h5", "volumes/labels/cells", self.cells.shape)
            f.create_virtual_dataset("shown", layout)
            f["copy"] = self.cells
        for name in (self.LABELS, "same.h5:/link", "same.h5:/shown"):
            for ranks in self.ranks_tried:
                result = run_tessera(["evaluate", "--prediction", name, "--labels", self.LABELS, "--kind", "classes"], ranks, cwd=self.folder)
                self.assert_one_error(result, USAGE, ["are one dataset: .*--prediction"])
        self.tessera(["evaluate", "--prediction", "same.h5:/copy", "--labels", self.LABELS, "--kind", "classes"])

    def test_the_raw_volume_is_no_prediction(self):
        yaml = self.config("raw_scored")
        raw = "stack.h5:/volumes/raw"
        for arguments in ([yaml, "--prediction", raw], [yaml, "--set", f"evaluate.prediction={raw}"],
                          ["--prediction", raw, "--labels", self.LABELS, "--raw", raw]):
            self.rejected(["evaluate", *arguments], f"the prediction {raw} is the raw volume {raw}: name the result of 'tessera infer'")

    def test_a_probability_is_no_labels(self):
        yaml = self.predicted("swapped", {"infer": {"dtype": "uint8"}})
        result = "swapped.h5:/volumes/predictions/interior"
        self.rejected(["evaluate", "--prediction", self.LABELS, "--labels", result], "are prediction and labels swapped\\?")
        for verb in ("check", "train"):
            self.rejected([verb, yaml, "--set", f"data.labels={result}", "--set", "experiment=no"],
                          f"data.labels: {result} says of itself 'probability of class 1, 255 = 1'.*it is a prediction, not labels")


class Commands(FirstHour):
    """Command lines, files and names that cannot work."""

    def test_a_folder_of_two_series_is_rejected(self):
        self.tessera(["export", "stack.h5:/volumes/raw", "two"])
        for z in range(6):
            (self.folder / f"two/section_{z:04d}.png").rename(self.folder / f"two/raw_{z}.png")
            (self.folder / f"two/label_{z}.png").write_bytes((self.folder / f"two/raw_{z}.png").read_bytes())
        words = (r"two holds two series of sections: label_0.png to label_5.png \(6 files\) and raw_0.png to raw_5.png \(6 files\)."
                 " A folder is one volume")
        self.rejected(["import", "two", "two.h5:/raw"], words, code=1)
        self.rejected(["check", self.config("two", {"data": {"raw": "two/"}})], words, code=1)
        for z in range(6):
            (self.folder / f"two/label_{z}.png").rename(self.folder / f"two/raw_{z + 6}.png")
        self.tessera(["import", "two", "two.h5:/raw"])

    def test_resume_says_that_there_is_nothing(self):
        yaml = self.config("begins")
        for ranks in self.ranks_tried:
            words = "nothing to resume in runs/begins: a new training"
            self.assertIn(words, self.tessera(["train", yaml, "--resume", "--set", f"experiment=begins{ranks}", "--set", "run_folder=runs/begins"],
                                              ranks).text)
            self.assertNotIn(words, self.tessera(["train", yaml, "--resume", "--set", "run_folder=runs/begins"], ranks).text)
            for file in (self.folder / "runs/begins/checkpoints").iterdir():
                file.unlink()

    def test_check_warns_of_idle_workers(self):
        yaml = self.config("idle")
        result = self.tessera(["check", yaml, "--measure", "0"], 4)
        self.assertEqual(result.warnings(), ["3 workers share a global batch of 2: 1 of them have nothing to do; raise train.global_batch"])
        self.assertEqual(self.tessera(["check", yaml, "--measure", "0"], 3).warnings(), [])

    def test_check_says_each_warning_once(self):
        self.volumes("once.h5", raw=np.ascontiguousarray(np.moveaxis(self.raw, 0, 2)), labels=np.moveaxis(self.cells, 0, 2))
        yaml = self.config("once", {"data": {"raw": "once.h5:/raw", "labels": "once.h5:/labels"}, "infer": {"raw": "once.h5:/raw"}})
        told = self.tessera(["check", yaml, "--measure", "0"]).warnings()
        self.assertEqual(sum("the last axis is by far the shortest" in one for one in told), 1, told)

    def test_a_result_that_does_not_exist_yet(self):
        yaml = self.config("no_result")
        words = r"there is no no_result.h5, the result of no_result.yaml: run 'tessera infer no_result.yaml' first"
        for arguments in (["evaluate", yaml], ["verify", yaml], ["export", yaml, "no.tif"], ["pack", yaml, "no.h5:/p"]):
            self.rejected(arguments, words)
        self.assert_one_error(run_tessera(["verify", yaml], 3, cwd=self.folder), USAGE, [words])
        self.rejected(["report", yaml], "run 'tessera train no_result.yaml' first")

    def test_data_where_an_experiment_belongs(self):
        self.tessera(["export", "stack.h5:/volumes/raw", "alone.tif"])
        for name, kind in (("stack.h5", "an HDF5 file"), ("alone.tif", "a TIFF image"), (".", "a folder")):
            for verb in ("train", "check", "run"):
                self.rejected([verb, name], f"{name} is {kind}: an experiment, a YAML file, is needed. 'tessera init {name}' writes one")

    def test_arguments_and_keys_say_what_is_meant(self):
        yaml = self.config("meant")
        self.rejected(["train", yaml, "--set", "train.iterations", "3"], "--set train.iterations: write KEY=VALUE, as --set train.iterations=3")
        self.rejected(["train", yaml, "more"], "more arguments than expected")
        for setting, meant in (("iterations=3", "train.iterations"), ("train.device=cuda", "device"), ("train.base_filters=2", "model.base_filters")):
            self.rejected(["check", yaml, "--set", setting], f"unknown key; did you mean '{meant}'\\?")
        (self.folder / "sections.yaml").write_text((self.folder / yaml).read_text().replace("train:", "training:", 1))
        self.rejected(["check", "sections.yaml"], "training: unknown key; did you mean 'train'\\?")
        for word, meant in (("predict", "infer"), ("score", "evaluate"), ("convert", "import"), ("trian", "train")):
            self.rejected([word], f"unknown verb '{word}': did you mean '{meant}'\\?")

    def test_other_formats_say_how_to_convert(self):
        (self.folder / "photos").mkdir()
        for name in ("photos/a.jpg", "photo.jpg", "array.npy"):
            (self.folder / name).write_bytes(b"no volume")
        image, array = "a JPEG image: convert it to TIFF or PNG", "a NumPy array: save it as TIFF .* or as an HDF5 dataset"
        self.rejected(["import", "photos", "no.h5:/raw"], f"has no .png, .tif or .tiff file .*a.jpg is {image}", code=1)
        self.rejected(["import", "photo.jpg", "no.h5:/raw"], f"photo.jpg is {image}")
        self.rejected(["import", "array.npy", "no.h5:/raw"], f"array.npy is {array}")
        self.rejected(["init", "array.npy"], f"array.npy is {array}")
        self.rejected(["check", self.config("array", {"data": {"raw": "array.npy"}})], f"'array.npy' is {array}")
        self.rejected(["check", self.config("group", {"data": {"raw": "stack.h5:/volumes"}})],
                      r"stack.h5:/volumes is not a dataset, but a group \('tessera info stack.h5' lists", code=1)
        self.rejected(["check", self.config("tilde", {"data": {"raw": "~/stack.h5:/volumes/raw"}})], "~ is not expanded here", code=1)
        self.rejected(["import", "~/photos.tif", "no.h5:/raw"], "~ is not expanded here", code=1)

    def test_init_names_the_images_and_leaves_no_imports(self):
        self.volumes("narrow.h5", labels=self.cells[:, :64])
        self.tessera(["export", "stack.h5:/volumes/raw", "wide.tif"])
        self.tessera(["export", "narrow.h5:/labels", "narrow.tif"])
        self.rejected(["init", "wide.tif", "--labels", "narrow.tif", "-o", "narrow.yaml"],
                      r"the labels narrow.tif have the shape \(6, 64, 96\), but the raw volume wide.tif has")
        self.assertFalse((self.folder / "runs/narrow").exists())

    def test_memory_that_is_nearly_enough_is_told_with_digits(self):
        yaml = self.config("memory", {"model": {"base_filters": 256, "depth": 6}, "train": {"tile": 828}})
        self.rejected(["check", yaml, "--measure", "0"], r"needs about [\d.]+ [GTP]iB per worker, but this machine has .* \(90 % of its free memory\)")


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
        told = self.tessera(["evaluate", yaml, "--set", "evaluate.sections=[0, 4]"]).warnings()
        self.assertEqual([one for one in told if "trained on 4 of the 4" not in one], [])

    def with_ids(self, *pairs):
        """A label volume: each pair is a mask and the id there; the first one that holds counts."""
        labels = np.zeros(self.cells.shape, np.uint8)
        for mask, number in reversed(pairs):
            labels[mask] = number
        return labels

    def init(self, name, labels, *more):
        result = run_tessera(["init", "stack.h5:/volumes/raw", "--labels", labels, "--minutes", "0.02", "-o", f"{name}.yaml", *more],
                             cwd=self.folder)
        return result, (self.folder / f"{name}.yaml").read_text() if result.code == 0 else ""

    def test_exchanged_volumes_are_told(self):
        words = r"raw volume and labels look exchanged: {} .*large areas of one value.*{} .*changes from pixel to pixel.*Exchange"
        for labels in ("cells", "instances"):
            names = f"stack.h5:/volumes/labels/{labels}", "stack.h5:/volumes/raw"
            self.rejected(["init", names[0], "--labels", names[1], "--minutes", "0.02", "-o", "exchanged.yaml"], words.format(*names))
        names = "stack.h5:/volumes/labels/cells", "stack.h5:/volumes/raw"
        yaml = self.config("exchanged_keys", {"data": {"raw": names[0], "labels": names[1]}})
        for verb in ("check", "train"):
            for ranks in self.ranks_tried:
                self.assert_one_error(run_tessera([verb, yaml], ranks, cwd=self.folder), USAGE, [words.format(*names)])

    def test_a_value_for_voxels_that_are_not_annotated_is_asked_for(self):
        edge = np.roll(self.cells, 2, 2) != self.cells
        self.volumes("labels.h5", three=self.with_ids((edge, 255), (self.cells > 0, 1)), isbi=self.with_ids((edge, 128), (self.cells > 0, 255)))
        self.told(self.with_labels("three"), r"labels.h5:/three hold 3 different values \(0, 1, 255\), and model.classes is 2.*data.ignore_label")
        self.assertEqual(self.tessera(self.with_labels("three", {"ignore_label": 255})).warnings(), [])
        result, text = self.init("three", "labels.h5:/isbi")
        self.assertRegex("\n".join(result.warnings()), r"3 different values \(0, 128, 255\).*such as 128, marks .*data.ignore_label")
        self.assertRegex(text, r"#   ignore_label: 128 +# does this value mark voxels that are not annotated\?")
        self.assertIn("label_kind: classes", text)

    def test_inverted_labels_are_told_before_the_training(self):
        self.volumes("labels.h5", inverted=self.with_ids((self.cells == 0, 255)), right=self.cells)
        words = r"labels.h5:/{} are probably inverted: class 0 is brighter than class 1 \(mean grey value 13\d.* against 9\d.*{}"
        for ranks in self.ranks_tried:
            yaml = self.with_labels("inverted")[1]
            for arguments in (["check", yaml], ["train", yaml, "--overwrite"]):
                result = self.tessera(arguments, ranks)
                self.assertRegex("\n".join(result.warnings()), words.format("inverted", "Set data.invert_labels: true"))
        self.told(self.with_labels("right", {"invert_labels": True}), words.format("right", "Take data.invert_labels out"))
        self.assertEqual(self.tessera(self.with_labels("inverted", {"invert_labels": True})).warnings(), [])
        result, text = self.init("inverted", "labels.h5:/inverted")
        self.assertRegex("\n".join(result.warnings()), "labels seem to be inverted")
        self.assertIn("invert_labels: true", text)

    def test_labels_that_are_shifted_by_a_section_are_told(self):
        self.volumes("labels.h5", late=np.roll(self.cells, 1, 0), early=np.roll(self.cells, -1, 0), right=self.cells)
        for name, words in (("late", "one earlier"), ("early", "one later")):
            result, _ = self.init(f"shift_{name}", f"labels.h5:/{name}")
            self.assertRegex("\n".join(result.warnings()), rf"labels.h5:/{name} fit the raw sections {words} clearly better")
        self.assertNotRegex("\n".join(self.init("shift_right", "labels.h5:/right")[0].warnings()), "clearly better")

    def test_labels_that_are_mirrored_are_told(self):
        self.volumes("mirrored.h5", y=self.cells[:, ::-1], x=self.ids[:, :, ::-1], right=self.cells)
        for name, kind in (("y", "classes"), ("x", "instances")):
            words = rf"the labels mirrored.h5:/{name} fit the raw volume clearly better mirrored along {name}: .* turn the labels"
            result, _ = self.init(f"mirror_{name}", f"mirrored.h5:/{name}")
            self.assertRegex("\n".join(result.warnings()), words)
            yaml = self.config(f"mirrored_{name}", {"data": {"labels": f"mirrored.h5:/{name}", "label_kind": kind}})
            self.told(["check", yaml, "--measure", "0"], words)
            self.told(["train", yaml], words)
        self.assertNotRegex("\n".join(self.init("mirror_right", "mirrored.h5:/right")[0].warnings()), "clearly better|belong")

    def test_a_blank_training_section_is_told(self):
        black = self.raw.copy()
        black[1] = 0
        self.volumes("black.h5", raw=black)
        yaml = self.config("black", {"data": {"raw": "black.h5:/raw"}})
        for verb in ("check", "train"):
            self.told([verb, yaml], r"1 of the training sections of black.h5:/raw is blank, or nearly: 1\. Leave them out of data.train_sections")
        yaml = self.config("black_outside", {"data": {"raw": "black.h5:/raw", "train_sections": [2, 4]}})
        self.assertEqual(self.tessera(["check", yaml]).warnings(), [])

    def test_a_class_that_does_not_exist_names_both_remedies(self):
        self.volumes("labels.h5", four=self.with_ids((self.raw > 200, 3), (self.cells > 0, 1)))
        self.rejected(self.with_labels("four")[:2] + ["--set", "model.classes=3"],
                      r"holds class 3 at .*model.classes is 3. Set model.classes to 4 .*data.ignore_label: 3", code=1)

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
