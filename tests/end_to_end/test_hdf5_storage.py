"""HDF5 files in which the voxels lie elsewhere, or in another form: h5py's, links, virtual datasets."""

import json
import os
import shutil
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera

FAILED, USAGE = 1, 2


def sets(**changes):
    return [word for key, value in changes.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


class Storage(Case):

    stack_shape = (6, 96, 96)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("made", {"train": {"iterations": 1}, "infer": {"dtype": "float32"}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.raw = cls.read("stack.h5:/volumes/raw")

    def infer(self, raw, output, *options):
        return run_tessera(["infer", self.yaml, *sets(infer__raw=raw, infer__output=output), *options], cwd=self.folder)

    def virtual(self, name, missing=()):
        """A virtual dataset with a source for each section."""
        layout = h5py.VirtualLayout(self.raw.shape, self.raw.dtype)
        for z, section in enumerate(self.raw):
            self.write_volumes(f"{name}_{z}.h5", {"d": section})
            layout[z] = h5py.VirtualSource(f"{name}_{z}.h5", "d", shape=section.shape)
        with h5py.File(self.folder / f"{name}.h5", "w", libver="latest") as out:
            out.create_virtual_dataset("raw", layout)
        for z in missing:
            os.remove(self.folder / f"{name}_{z}.h5")
        return f"{name}.h5:/raw"

    def test_absent_source_is_named_by_every_verb(self):
        raw = self.virtual("gone", missing=[2])
        named = [r"gone\.h5:/raw takes voxels from gone_2\.h5:/d", r"gone_2\.h5 does not exist"]
        for verb in (["check", self.yaml, *sets(infer__raw=raw)], ["infer", self.yaml, *sets(infer__raw=raw)],
                     ["train", self.yaml, *sets(data__raw=raw, run_folder="runs/other")], ["export", raw, "x.tif"],
                     ["evaluate", "--prediction", raw, "--labels", "stack.h5:/volumes/labels/cells"]):
            with self.subTest(verb=verb[0]):
                result = run_tessera(verb, cwd=self.folder)
                self.assertNotEqual(result.code, 0, result)
                self.assert_one_error(result, result.code, named)
        self.assertFalse((self.folder / "x.tif").exists())
        self.assertRegex(self.tessera(["info", "gone.h5"]).text, named[0])

    def test_circles_of_virtual_datasets(self):
        """A dataset that takes voxels from itself, from itself through a link, or from one that takes them from it."""
        def virtual(file, name, source_file, source):
            layout = h5py.VirtualLayout((2, 8, 9), "u1")
            layout[:] = h5py.VirtualSource(source_file, source, shape=(2, 8, 9))
            with h5py.File(self.folder / file, "a", libver="latest") as out:
                out.create_virtual_dataset(name, layout)
        virtual("circle.h5", "self", ".", "self")
        virtual("circle.h5", "linked", ".", "link")
        with h5py.File(self.folder / "circle.h5", "a") as out:
            out["link"] = h5py.SoftLink("/linked")
        virtual("circle.h5", "there", "back.h5", "back")
        virtual("back.h5", "back", "circle.h5", "there")
        for name in ("self", "linked", "there"):
            for verb in (["export", f"circle.h5:/{name}", "x.tif"], ["import", f"circle.h5:/{name}", "x.h5:/x"]):
                result = run_tessera(verb, cwd=self.folder)
                self.assert_one_error(result, FAILED, [r"takes voxels from .*: a circle without any voxel"])
        self.assertFalse((self.folder / "x.tif").exists())

    def test_ids_are_not_rounded(self):
        ids = np.arange(2.0 ** 24, 2.0 ** 24 + 2 * 8 * 9).reshape(2, 8, 9)
        self.write_volumes("ids.h5", {"f8": ids, "i8": ids.astype("i8"), "big": (ids + 2.0 ** 60).astype("u8") + 1})
        for source, options, pattern in (("f8", [], "16777217"), ("f8", ["--dtype", "uint64"], "16777217"),
                                         ("i8", ["--dtype", "float32"], "16777217, which float32 cannot hold"),
                                         ("big", ["--dtype", "float32"], r"1152921504623624193, which float32 cannot hold")):
            result = run_tessera(["import", f"ids.h5:/{source}", "made.h5:/ids", *options], cwd=self.folder)
            self.assert_one_error(result, FAILED, [pattern])
            self.assertFalse((self.folder / "made.h5").exists())
        self.assert_one_error(run_tessera(["export", "ids.h5:/f8", "ids.tif"], cwd=self.folder), FAILED, ["16777217"])
        self.tessera(["import", "ids.h5:/i8", "made.h5:/ids"])
        self.assert_same_voxels(self.read("made.h5:/ids"), ids.astype("u8"))
        self.tessera(["import", "ids.h5:/big", "made.h5:/cells", "--threshold", "0.5"])  # needs no digit
        self.assert_same_voxels(self.read("made.h5:/cells"), np.ones(ids.shape, "u1"))
        self.tessera(["import", "ids.h5:/i8", "made.h5:/narrow", "--dtype", "uint32"])
        self.assert_same_voxels(self.read("made.h5:/narrow"), ids.astype("u4"))

    def test_changes_behind_links_are_noticed(self):
        shutil.copy(self.folder / "stack.h5", self.folder / "real.h5")
        with h5py.File(self.folder / "link.h5", "w") as out:
            out["raw"] = h5py.ExternalLink("real.h5", "/volumes/raw")
        raws = {"link.h5:/raw": "real.h5:/volumes/raw", self.virtual("whole"): "whole_1.h5:/d"}
        for i, (raw, held) in enumerate(raws.items()):
            with self.subTest(raw=raw):
                output = f"changed{i}.h5:/p"
                self.assertEqual(self.infer(raw, output).code, 0)
                self.assertIn("nothing to predict", self.infer(raw, output).text)
                file, path = held.split(":")
                with h5py.File(self.folder / file, "a") as f:
                    f[path][...] = 255 - f[path][...]
                self.assert_one_error(self.infer(raw, output), USAGE, [r"another job", file.replace(".", r"\.")])

    def test_source_of_raw_is_no_output(self):
        with h5py.File(self.folder / "to_source.h5", "w") as out:
            out["raw"] = h5py.ExternalLink("source.h5", "/volumes/raw")
        shutil.copy(self.folder / "stack.h5", self.folder / "source.h5")
        before = (self.folder / "source.h5").read_bytes()
        result = self.infer("to_source.h5:/raw", "source.h5:/p", "--restart")
        self.assert_one_error(result, USAGE, ["raw volume's own file"])
        self.assertEqual((self.folder / "source.h5").read_bytes(), before)

    def test_region_of_raw_without_resolution_has_its_offset(self):
        self.write_volumes("bare.h5", {"raw": self.raw})
        for attributes, offset in (({}, [1, 16, 32]), ({"offset": [5.0, 6.0, 7.0]}, [6, 22, 39]),
                                   ({"resolution": [40.0, 4.0, 2.0], "offset": [5.0, 6.0, 7.0]}, [45, 70, 71])):
            with h5py.File(self.folder / "bare.h5", "a") as f:
                f["raw"].attrs.update(attributes)
            done = self.infer("bare.h5:/raw", "part.h5:/p", "--restart",
                              *sets(infer__region__begin="[1, 16, 32]"))
            self.assertEqual(done.code, 0, done)
            with h5py.File(self.folder / "part.h5") as f:
                np.testing.assert_array_equal(f["p"].attrs["offset"], offset)

    def test_bool_mask_and_labels(self):
        labels = self.read("stack.h5:/volumes/labels/cells") > 0
        mask = np.zeros(self.raw.shape, bool)
        self.write_volumes("bool.h5", {"labels": labels, "mask": mask})
        self.tessera(["train", self.yaml, *sets(data__labels="bool.h5:/labels", run_folder="runs/bool")])
        self.tessera(["infer", self.yaml, *sets(infer__skip__mask="bool.h5:/mask", infer__output="masked.h5:/p")])
        self.assertFalse(self.read("masked.h5:/p").any())

    def test_whole_number_float_labels_are_scored_as_integers(self):
        ids = self.read("stack.h5:/volumes/labels/instances")
        labels = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)  # float32 holds ids up to 2^24
        self.write_volumes("float.h5", {"labels": labels.astype("f4"), "half": labels.astype("f4") + 0.5,
                                        "prediction": labels.astype("u4")})
        scores = []
        for name in ("stack.h5:/volumes/labels/instances", "float.h5:/labels"):
            self.tessera(["evaluate", "--prediction", "float.h5:/prediction", "--labels", name, "--json", "s.json"])
            scores.append(json.loads((self.folder / "s.json").read_text())["volume_3d"])
        self.assertEqual(scores[0]["seg"], 1)
        self.assertEqual(scores[0], scores[1])
        result = run_tessera(["evaluate", "--prediction", "float.h5:/prediction", "--labels", "float.h5:/half"], cwd=self.folder)
        self.assert_one_error(result, FAILED, ["labels are whole numbers"])

    def test_nothing_is_imported_beneath_a_dataset(self):
        shutil.copy(self.folder / "stack.h5", self.folder / "beneath.h5")
        self.tessera(["export", "stack.h5:/volumes/raw", "l.tif"])
        result = run_tessera(["import", "l.tif", "beneath.h5:/volumes/raw/x"], cwd=self.folder)
        self.assert_one_error(result, USAGE, ["/volumes/raw is a dataset, nothing can be put beneath it"])


if __name__ == "__main__":
    unittest.main()
