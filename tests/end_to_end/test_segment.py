"""`tessera segment`: the same bytes for every block shape, number of ranks, kill and restart, equal to the oracle's
SHA-256 sums (tests/golden/segmentation); mistakes; connected components, equal to those of scipy."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import tempfile
import time
import unittest

import h5py
import numpy as np

from harness import SOURCE, Case, run_tessera, yaml_text
from journal import Journal

GOLDEN = SOURCE / "tests/golden/segmentation"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())["cases"]
FAILED, USAGE, STOPPED = 1, 2, 75
KILLS = int(os.environ.get("TESSERA_SEGMENT_KILLS", "3"))
OUT = "volumes/labels/neuron_ids"


def sha256(array, kind):
    return hashlib.sha256(np.ascontiguousarray(array).astype(kind).tobytes()).hexdigest()


def settings_of(case):
    """The keys of a golden case."""
    p = EXPECTED[case]["parameters"]
    keys = {"mode": p["mode"], "saturated": p["saturated"], "fragment_size": p["fragment_size"],
            "fragment_floor": p["fragment_floor"], "thresholds": p["thresholds"], "threshold": p["thresholds"][-1],
            "small_size": p["small_size"], "small_threshold": p["small_threshold"], "min_size": p["min_size"],
            "background_below": p["background_below"]}
    if p["mode"] == "sections":
        keys |= {name: p[name] for name in ("link_below", "link_jaccard", "link_mutual")}
    return keys


class SegmentCase(Case):

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera_"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        for name in ("cells", "odd", "sections"):
            shutil.copyfile(GOLDEN / f"{name}.h5", cls.folder / f"{name}.h5")

    def yaml(self, name, prediction, **keys):
        segment = {"prediction": prediction, "output": f"{name}.h5:/{OUT}", "threads": 1, **keys}
        text = yaml_text({"experiment": name, "segment": segment})
        (self.folder / f"{name}.yaml").write_text(text)
        return f"{name}.yaml"

    def golden(self, name, case, **keys):
        """The experiment of a golden case."""
        one = EXPECTED[case]
        file = f"{one['volume']}.h5"
        if one["masked"]:
            keys = {"mask": f"{file}:/volumes/mask", **keys}
        return self.yaml(name, f"{file}:/volumes/predictions/interior", **settings_of(case), **keys)

    def segmented(self, name):
        with h5py.File(self.folder / f"{name}.h5") as f:
            return f[OUT][()]

    def assert_golden(self, name, case):
        one = EXPECTED[case]
        self.assertEqual(sha256(self.segmented(name), "<u8"), one["labels_sha256"], f"{name}: {case}")
        with h5py.File(self.folder / f"{name}.graph.h5") as f:
            tree = np.stack([f["tree/id"][()].astype("i8") - 1, f["tree/into"][()].astype("i8") - 1,
                             f["tree/stage"][()].astype("i8")], 1)
            self.assertEqual(sha256(tree, "<i8"), one["tree_sha256"], f"{name}: {case}")
            self.assertEqual(f["supervoxels/id"].size, one["fragments"])
            self.assertEqual(f["bundles/a"].size, one["fragment_bundles"])
            self.assertEqual(int(f["bundles/sum"][()].sum()), one["weight_sum"])
            self.assertEqual(int(f["bundles/count"][()].sum()), one["faces"])
            self.assertEqual(json.loads(f.attrs["stages"]), one["stages"])
            self.assertEqual(int(f["objects/supervoxels"][()].sum()), one["fragments"])
            return {path: f[path][()].tobytes() for path in ("supervoxels/size", "bundles/a", "bundles/b", "bundles/saddle",
                                                             "objects/id", "objects/size", "objects/supervoxels")}

    def store(self, file, change, **options):
        volume = self.read("cells.h5:/volumes/predictions/interior")
        self.write_volumes(file, {"p": change(volume)}, **options)
        return f"{file}:/p"


class Segmentation(SegmentCase):

    def test_blocks_and_ranks_do_not_show(self):
        tried = [("odd", [17, 31, 23], [17, 31, 23], 0), ("odd", [1, 31, 23], [1, 31, 23], 2), ("odd", [5, 7, 6], [5, 14, 12], 4),
                 ("odd", [9, 16, 12], [9, 16, 24], 0), ("odd", [8, 8, 8], [8, 8, 8], 2),
                 ("sections", [10, 96, 96], [10, 96, 96], 0), ("sections", [3, 40, 96], [3, 80, 96], 4),
                 ("volume_small", [64, 64, 64], [64, 64, 64], 2), ("volume_small", [16, 32, 16], [48, 32, 32], 4),
                 ("volume_ties", [16, 16, 16], [32, 32, 64], 0)]
        graphs = {}
        for number, (case, chunk, block, ranks) in enumerate(tried):
            if EXPECTED[case]["stored"] == "four levels":
                self.store(f"ties{number}.h5", lambda v: v // 64 * 64)
                yaml = self.yaml(f"shape{number}", f"ties{number}.h5:/p", chunk=chunk, block=block, **settings_of(case))
            else:
                yaml = self.golden(f"shape{number}", case, chunk=chunk, block=block)
            self.tessera(["segment", yaml], ranks)
            graph = self.assert_golden(f"shape{number}", case)
            self.assertEqual(graphs.setdefault(case, graph), graph, f"graph of {case} in {block}")
        self.assertEqual(len(graphs), 4)

    def test_how_a_probability_is_stored_does_not_show(self):
        kinds = {"half": ("volume_float16", lambda v: (v.astype("f4") / np.float32(255)).astype("f2"), {}),
                 "wide": ("volume", lambda v: v.astype("u2") * 257, {"chunks": (10, 64, 20), "compression": "gzip"})}
        for name, (case, change, options) in kinds.items():
            self.tessera(["segment", self.yaml(name, self.store(f"{name}_in.h5", change, **options), chunk=[32, 32, 32],
                                               **settings_of("volume"))])
            self.assert_golden(name, case)
        self.assertEqual(EXPECTED["volume_float16"]["labels_sha256"], EXPECTED["volume"]["labels_sha256"])

    def test_an_id_is_a_place_and_compact_ids_keep_the_order(self):
        self.tessera(["segment", self.golden("wide_ids", "odd")])
        self.tessera(["segment", self.golden("compact", "odd", ids="compact")], 2)
        wide, compact = self.segmented("wide_ids").ravel(), self.segmented("compact").ravel()
        self.assertEqual(compact.dtype, np.uint32)
        ids, first = np.unique(wide, return_index=True)
        self.assertTrue(np.array_equal(first[ids > 0], ids[ids > 0].astype("i8") - 1))
        self.assertTrue(np.array_equal(np.searchsorted(ids[ids > 0], wide[wide > 0]) + 1, compact[wide > 0]))
        self.assertEqual(int(compact[wide == 0].max()), 0)

    def test_a_region_is_a_volume_of_its_own(self):
        self.tessera(["segment", self.golden("part", "odd", region={"begin": [3, 4, 5], "end": [15, 30, 20]}, chunk=[4, 8, 8],
                                             block=[4, 8, 8])])
        with h5py.File(self.folder / "odd.h5") as f:
            box = (slice(3, 15), slice(4, 30), slice(5, 20))
            self.write_volumes("cut.h5", {"p": f["volumes/predictions/interior"][box], "m": f["volumes/mask"][box]})
        self.tessera(["segment", self.yaml("cut_out", "cut.h5:/p", mask="cut.h5:/m", **settings_of("odd"))])
        self.assert_same_voxels(self.segmented("part"), self.segmented("cut_out"))
        with h5py.File(self.folder / "part.h5") as f:
            self.assertEqual(f[OUT].attrs["offset"].tolist(), [30, 40, 50])

    def test_another_threshold_keeps_the_first_pass(self):
        keys = {"chunk": [16, 16, 16], "block": [32, 32, 32]}
        yaml = self.golden("again", "volume", **keys)
        self.tessera(["segment", yaml], 2)
        self.assert_golden("again", "volume")
        result = run_tessera(["segment", yaml, "--set", "segment.min_size=5"], cwd=self.folder)
        self.assert_one_error(result, USAGE, [r"segment\.min_size: 0 then, 5 now", "--restart"])
        blocks = sorted((self.folder / "again.graph").glob("*.block"))
        self.assertEqual(len(blocks), 8)
        times = [file.stat().st_mtime_ns for file in blocks]
        thresholds = [0.95, 0.9, 0.85, 0.8]
        change = ["--set", f"segment.thresholds={thresholds}", "--set", "segment.threshold=0.8"]
        result = self.tessera(["segment", yaml, "--restart", *change], 2)
        self.assertIn("first pass: done by an earlier start", result.stdout)
        self.assertEqual([file.stat().st_mtime_ns for file in blocks], times)
        self.tessera(["segment", self.golden("fresh", "volume"), *change])
        self.assert_same_voxels(self.segmented("again"), self.segmented("fresh"))
        self.assertIn("nothing to segment", self.tessera(["segment", yaml, *change]).stdout)
        # A damaged graph file and a missing one are computed again.
        data = bytearray(blocks[3].read_bytes())
        data[len(data) // 2] ^= 1
        blocks[3].write_bytes(data)
        blocks[5].unlink()
        result = self.tessera(["segment", yaml, "--restart"], 2)
        self.assertRegex(result.text, r"graph files of 1 blocks are missing, such as block 5")
        self.assertRegex(result.text, r"graph files of \d blocks are damaged, such as block [0-3]")
        self.assert_golden("again", "volume")

    def test_a_first_pass_that_cannot_be_read_is_kept(self):
        yaml = self.golden("unread", "odd", chunk=[9, 16, 12], block=[9, 16, 24])
        self.tessera(["segment", yaml])
        journal = self.folder / "unread.graph/pass1.journal"
        whole = journal.read_bytes()
        journal.unlink()
        journal.mkdir()  # reading it fails, also for root
        self.assert_one_error(run_tessera(["segment", yaml, "--restart"], cwd=self.folder), FAILED, [r"pass1\.journal"])
        journal.rmdir()
        journal.write_bytes(whole)
        result = self.tessera(["segment", yaml, "--restart"])
        self.assertIn("first pass: done by an earlier start", result.stdout)
        self.assert_golden("unread", "odd")

    def test_other_verbs_work_on_the_result(self):
        yaml = self.golden("verbs", "odd", chunk=[8, 8, 8], block=[8, 16, 24])
        self.tessera(["segment", yaml, "--set", "segment.keep_graph=false"])
        self.assertFalse((self.folder / "verbs.graph").exists())
        name = f"verbs.h5:/{OUT}"
        self.tessera(["verify", name])
        self.assertIn("uint64", self.tessera(["info", "verbs.h5"]).stdout)
        self.tessera(["pack", name, "packed.h5:/ids"], 2)
        self.assert_same_voxels(self.read("packed.h5:/ids"), self.segmented("verbs"))
        self.tessera(["evaluate", "--prediction", name, "--labels", "odd.h5:/volumes/labels/cells", "--kind", "labels"])

    def test_kills_do_not_show(self):
        keys = {"chunk": [16, 16, 16], "block": [16, 16, 16]}
        yaml = self.golden("killed", "volume", **keys)
        begin = time.monotonic()
        self.tessera(["segment", yaml], 3)
        whole_s = time.monotonic() - begin
        rng = random.Random(int(os.environ.get("TESSERA_SEED", "1")))
        killed = 0
        for trial in range(KILLS):
            for file in ("killed.h5", "killed.h5.journal", "killed.graph.h5"):
                (self.folder / file).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "killed.graph", ignore_errors=True)
            process = self.start(["segment", yaml], 3)
            time.sleep(rng.uniform(0.3, 1) * whole_s)
            killed += process.running()
            try:
                os.kill(process.process.pid if trial % 3 == 2 else process.rank_pid(trial % 3), signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.kill()
            before = [self.blocks_of(file) for file in self.journals("killed")]
            self.tessera(["segment", yaml], (0, 2, 3)[trial % 3])
            self.assert_golden("killed", "volume")
            for file, blocks in zip(self.journals("killed"), before):
                after = self.blocks_of(file)
                self.assertEqual(sorted(after), sorted(set(after)), "a block was done twice")
                self.assertEqual(after[:len(blocks)], blocks)
        self.assertGreaterEqual(killed, min(KILLS, 1), "every process had ended before its kill")

    def journals(self, name):
        return [self.folder / f"{name}.graph/pass1.journal", self.folder / f"{name}.h5.journal"]

    def blocks_of(self, file):
        return Journal(file).blocks() if file.exists() else []

    def test_a_signal_stops_in_order(self):
        yaml = self.golden("stopped", "volume", chunk=[8, 8, 8], block=[8, 8, 8])
        process = self.start(["segment", yaml], 3)
        journal = self.journals("stopped")[0]
        process.wait_until(lambda: len(self.blocks_of(journal)) > 3, 30, "some blocks")
        process.signal(signal.SIGTERM, whole_job=True)
        self.assertEqual(process.finish(30).code, STOPPED)
        self.tessera(["segment", yaml])
        self.assert_golden("stopped", "volume")

    def test_volumes_of_one_value(self):
        for name, value, objects in (("full", 255, 1), ("empty", 0, 1), ("masked", 200, 0)):
            self.write_volumes(f"{name}_in.h5", {"p": np.full((9, 10, 11), value, "u1"), "m": np.zeros((9, 10, 11), "u1")})
            keys = {"mask": f"{name}_in.h5:/m"} if name == "masked" else {}
            self.tessera(["segment", self.yaml(name, f"{name}_in.h5:/p", mode="volume", chunk=[4, 4, 4], block=[4, 8, 4], **keys)])
            self.assertEqual(np.unique(self.segmented(name)).tolist(), [objects] if objects else [0])

    @staticmethod
    def neighbourhood(ndimage, neighbours):
        """SciPy's structure of 6, 18 or 26 neighbours, or of 4 or 8 within a section."""
        structure = ndimage.generate_binary_structure(3, {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}[neighbours])
        if neighbours < 6:
            structure[[0, 2]] = False
            structure[1] = ndimage.generate_binary_structure(2, neighbours // 4)
        return structure

    def test_holes_are_filled_as_scipy_fills_them(self):
        try:
            from scipy import ndimage
        except ImportError:
            self.skipTest("no scipy (Debian: python3-scipy)")
        rng = np.random.default_rng(8)
        noise = ndimage.gaussian_filter(rng.standard_normal((7, 61, 53)), (0, 1.5, 1.5))
        volume = np.where(noise > -0.03, 230, 10).astype("u1")
        mask = (rng.random(volume.shape) > 0.002).astype("u1")
        self.write_volumes("holes.h5", {"p": volume, "m": mask})
        for number, (neighbours, masked) in enumerate([(4, False), (8, False), (4, True), (8, True)]):
            name = f"filled{number}"
            keys = {"mask": "holes.h5:/m"} if masked else {}
            self.tessera(["segment", self.yaml(name, "holes.h5:/p", method="components", connectivity=neighbours, fill_holes=True,
                                               threshold=0.5, chunk=[3, 16, 20], **keys)], (0, 3)[number % 2])
            structure = self.neighbourhood(ndimage, neighbours)
            # Background has 8 neighbours where the foreground has 4, and 4 where it has 8. What the mask leaves out is outside.
            background = ndimage.generate_binary_structure(2, 2 if neighbours == 4 else 1)
            expected, place = np.zeros(volume.shape, "u8"), np.arange(volume.size).reshape(volume.shape)
            filled = np.zeros(volume.shape, bool)
            for z in range(len(volume)):
                cells = (volume[z] > 127) & (mask[z] > 0 if masked else True)
                holes, count = ndimage.label(~cells, background)
                outside = {*holes[[0, -1]].ravel(), *holes[:, [0, -1]].ravel()} | ({*holes[mask[z] == 0]} if masked else set())
                filled[z] = cells | np.isin(holes, [h for h in range(1, count + 1) if h not in outside])
                if neighbours == 8 and not masked:
                    self.assert_same_voxels(filled[z], ndimage.binary_fill_holes(cells))
            self.assertGreater(np.count_nonzero(filled) - np.count_nonzero(volume > 127), 100)
            parts, count = ndimage.label(filled, structure)
            firsts = ndimage.minimum(place, parts, range(1, count + 1)).astype("u8")
            expected[filled] = firsts[parts[filled] - 1] + 1
            self.assert_same_voxels(self.segmented(name), expected, f"{neighbours} neighbours, masked: {masked}")

    def test_components_equal_scipy(self):
        try:
            from scipy import ndimage
        except ImportError:
            self.skipTest("no scipy (Debian: python3-scipy)")
        rng = np.random.default_rng(5)
        volume = (rng.random((14, 21, 17)) * 255).astype("u1")
        labels = (rng.random((14, 21, 17)) * 3).astype("i4")
        self.write_volumes("noise.h5", {"p": volume, "l": labels})
        kinds = [(6, "p"), (18, "p"), (26, "p"), (6, "l"), (26, "l"), (4, "p"), (8, "p"), (8, "l")]
        for number, (neighbours, of) in enumerate(kinds):
            name = f"parts{number}"
            block = [int(rng.integers(1, 15)), int(rng.integers(1, 22)), int(rng.integers(1, 18))]
            keys = {"threshold": 0.7} if of == "p" else {"components_of": "labels"}
            self.tessera(["segment", self.yaml(name, f"noise.h5:/{of}", method="components", connectivity=neighbours,
                                               chunk=block, block=block, **keys)], (0, 2, 4)[number % 3])
            structure = self.neighbourhood(ndimage, neighbours)
            expected = np.zeros(volume.shape, "u8")
            sets = [volume.astype("i8") * 257 >= np.floor(65535 * 0.7 + 0.5)] if of == "p" else [labels == 1, labels == 2]
            place = np.arange(volume.size).reshape(volume.shape)
            for one in sets:
                parts, count = ndimage.label(one, structure)
                firsts = ndimage.minimum(place, parts, range(1, count + 1)).astype("u8")
                expected[one] = firsts[parts[one] - 1] + 1
            self.assert_same_voxels(self.segmented(name), expected, f"{neighbours} neighbours of {of} in {block}")


class Mistakes(SegmentCase):
    """Each ends in one message and its exit code, on any number of ranks."""

    def fails(self, yaml, code, *patterns, ranks=0):
        self.assert_one_error(run_tessera(["segment", yaml], ranks, 60, cwd=self.folder), code, patterns)

    def wrong(self, name, *patterns, prediction="odd.h5:/volumes/predictions/interior", code=USAGE, ranks=0, **keys):
        self.fails(self.yaml(name, prediction, **{"mode": "volume", **keys}), code, *patterns, ranks=ranks)

    def test_mistakes_of_the_experiment(self):
        self.wrong("m1", r"thresholds: must fall: 0\.7 follows 0\.6", thresholds=[0.6, 0.7, 0.5])
        self.wrong("m2", r"must fall: 0\.6 follows 0\.6", thresholds=[0.6, 0.6, 0.5])
        self.wrong("m3", r"must end in segment\.threshold, which is 0\.5", thresholds=[0.6, 0.55])
        self.wrong("m4", r"segment\.thresholds\b.*1\.2", thresholds=[1.2, 0.5])
        self.wrong("m5", r"link_below: is used with mode: sections only", link_below=0.5)
        self.wrong("m6", r"segment\.saturated", saturated=0)
        self.wrong("m7", r"segment\.fragment_size", fragment_size=-1)
        self.wrong("m8", r"connectivity: is 7; it must be 6, 18 or 26, or within sections 4 or 8", connectivity=7)
        self.wrong("m9", r"fill_holes: goes with method: components", fill_holes=True)
        self.wrong("m10", r"fill_holes: is done within sections: set connectivity", fill_holes=True, method="components")
        self.wrong("m11", r"segment\.block: \(9, 16, 24\) does not hold whole sections", fill_holes=True, method="components",
                   connectivity=8, chunk=[9, 16, 12], block=[9, 16, 24])

    def test_mistakes_of_the_volumes(self):
        shape = (6, 7, 8)
        bad = np.full(shape, 0.5, "f4")
        bad[1, 2, 3] = np.nan
        high = np.full(shape, 0.5, "f4")
        high[4, 0, 1] = 1.5
        self.write_volumes("bad.h5", {"nan": bad, "high": high, "long": np.zeros(shape, "u4"), "four": np.zeros((3, *shape), "u1"),
                                      "mask": np.ones((6, 7, 9), "u1"), "good": np.zeros(shape, "u1")})
        self.wrong("v1", r"cannot open|missing|no such|does not exist", prediction="none.h5:/p", code=FAILED, ranks=2)
        self.wrong("v2", r"is uint32; a probability is uint8", prediction="bad.h5:/long")
        self.wrong("v3", r"has 3 channels; a probability is \(z, y, x\)\. Set segment\.input: affinities", prediction="bad.h5:/four")
        self.wrong("v4", r"voxel \(1, 2, 3\) is nan", prediction="bad.h5:/nan", code=FAILED)
        self.wrong("v5", r"voxel \(4, 0, 1\) is 1\.5", prediction="bad.h5:/high", code=FAILED, ranks=3)
        self.wrong("v6", r"segment\.mask: .* has shape \(6, 7, 9\)", prediction="bad.h5:/good", mask="bad.h5:/mask", ranks=2)
        self.wrong("v7", r"auto needs the attribute 'resolution'", prediction="bad.h5:/good", mode="auto")
        self.wrong("v8", r"does not consist of whole chunks", chunk=[8, 8, 8], block=[8, 12, 8])
        self.wrong("v9", r"segment\.region: .* is not within", region={"begin": [0, 0, 0], "end": [18, 31, 23]})
        self.wrong("v10", r"segment\.output: .* is the prediction's own file", output="bad.h5:/x", prediction="bad.h5:/good")
        self.wrong("v11", r"holds no earlier result", output=f"cells.h5:/{OUT}")
        self.wrong("v12", r"link_jaccard: is used with mode: sections only.*mode: volume", mode="auto", link_jaccard=0.5)

    def test_an_unfinished_prediction(self):
        name = "unfinished"
        self.tessera(["segment", self.golden(name, "odd", chunk=[8, 8, 8], block=[8, 8, 8])])
        journal = self.folder / f"{name}.h5.journal"
        journal.write_bytes(journal.read_bytes()[:-32 * 5])
        self.wrong("w1", r"is incomplete: \d+ of 36 blocks.*Finish it first", prediction=f"{name}.h5:/{OUT}",
                   method="components", components_of="labels")


if __name__ == "__main__":
    unittest.main()
