"""`tessera segment` with segment.linkage, --cut and segment.choose: greedy merges equal the reference's SHA-256 sums for any blocks
and ranks, those by quantiles the oracle's, a cut of the tree equals a run that ends there, and the chosen threshold is the one that `evaluate` finds best."""

import importlib.util
import json
import os
import random
import signal
import unittest

import h5py
import numpy as np

from harness import SOURCE, run_tessera
from journal import Journal
from test_segment import EXPECTED, GOLDEN, OUT, USAGE, SegmentCase, settings_of, sha256

AGGLOMERATED = SOURCE / "tests/golden/agglomeration"
# "agglomerated" of the reference's expected.json (make_expected.py): smoothing 1, fragment_size 20, greedy means down to 0.6.
MADE = {"shape": (40, 48, 56), "spacing": (14, 14, 14), "scale": (1, 1, 1), "seed": 3, "thickness": 4, "damage": 90}
MERGES = "796e4ba46874ac603f94022bbc1ed00e7a6a3238718da540a8aa4879729a2238"
CUTS = {0.9: (695, "3fb98ea1c66805ccd3b811490fc0c052a54791ca8e0acb33e1441a66c03e23c3"),
        0.75: (444, "1056fcf49c68b9aff82a36167a17319765b9627daf38e20cbf327c8a4df5b3a6"),
        0.6: (189, "b5f158cd3341a2f4cd506fc2c5d3eed0fe054dd826d973d943a6ce71cffa9ac9")}


def made_volume():
    spec = importlib.util.spec_from_file_location("golden_volumes", GOLDEN / "volumes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.golden(**MADE)


class LinkageCase(SegmentCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        volume, cells = made_volume()
        with h5py.File(cls.folder / "made.h5", "w") as f:
            f["p"], f["cells"] = volume, cells.astype("u4")

    def greedy(self, name, linkage="mean", **keys):
        given = {"mode": "volume", "smoothing": 1, "fragment_size": 20, "thresholds": [0.9, 0.75, 0.6], "threshold": 0.6,
                 "linkage": linkage, "chunk": [8, 16, 56], **keys}
        return self.yaml(name, "made.h5:/p", **given)

    def tree(self, name):
        with h5py.File(self.folder / f"{name}.graph.h5") as f:
            return {path: f[f"tree/{path}"][()] for path in f["tree"]}


class Greedy(LinkageCase):

    def test_merges_and_cuts_are_those_of_the_reference(self):
        for ranks, block in ((0, [40, 48, 56]), (2, [16, 16, 56]), (4, [8, 48, 56])):
            name = f"greedy{ranks}"
            yaml = self.greedy(name, block=block)
            self.tessera(["segment", yaml], ranks)
            tree = self.tree(name)
            rows = np.stack([tree["id"].astype("i8") - 1, tree["into"].astype("i8") - 1, tree["sum"].astype("i8"),
                             tree["count"].astype("i8")], 1)
            self.assertEqual(sha256(rows, "<i8"), MERGES)
            for threshold in (0.6, 0.9, 0.75) if ranks == 2 else (0.6,):
                if threshold != 0.6:
                    result = self.tessera(["segment", yaml, "--cut", str(threshold)], ranks)
                objects, digest = CUTS[threshold]
                self.assertEqual(np.unique(self.segmented(name)).size, objects)
                self.assertEqual(sha256(self.segmented(name), "<u8"), digest, f"{ranks} ranks, {threshold}")
        self.assertIn("first pass: done by an earlier start", result.stdout)
        self.assertIn("graph: cut at 0.75, 1162 fragments, 444 objects", result.stdout)
        with h5py.File(self.folder / "greedy0.graph.h5") as f:
            self.assertEqual(json.loads(f.attrs["stages"]), [["mean", 0.9], ["mean", 0.75], ["mean", 0.6]])

    def test_maxima_are_columns_of_the_tree(self):
        self.tessera(["segment", self.greedy("largest", "maximum", thresholds=[0.97, 0.9], threshold=0.9)], 2)
        tree = self.tree("largest")
        self.assertTrue((tree["count"] == 1).all())
        self.assertTrue(((tree["sum"] >= 0.97 * 65535) == (tree["stage"] == 1)).all())
        self.assertEqual(set(tree["stage"].tolist()), {1, 2})

    def test_stages_are_scored(self):
        self.tessera(["segment", self.greedy("scored", block=[16, 48, 56])])
        expected = {stage["threshold"]: stage for stage in json.loads((AGGLOMERATED / "volume.json").read_text())["stages"]}
        arguments = ["evaluate", "--graph", "scored.graph.h5", "--labels", f"{AGGLOMERATED}/volume.h5:/volumes/labels/cells",
                     "--prediction", f"{AGGLOMERATED}/volume.h5:/volumes/labels/supervoxels", "--json", "scores.json"]
        for options in ([], ["--thresholds", "21"]):
            self.tessera([*arguments, *options])
            stages = json.loads((self.folder / "scores.json").read_text())["stages"]
            compared = [stage for stage in stages if stage["threshold"] in (0.9, 0.75, 0.6)]
            self.assertEqual(len(compared), 3)
            for stage in compared:
                self.assertEqual((stage["kind"], stage["objects"]), ("mean", CUTS[stage["threshold"]][0]))
                self.assertAlmostEqual(stage["voi_split"], expected[stage["threshold"]]["voi_split"], delta=1e-12)


class ManyShapes(LinkageCase):
    """TESSERA_SEGMENT_SHAPES=12 is the long form: so many block shapes for each linkage, on 1, 2, 4 and 8 ranks."""

    SHAPES = int(os.environ.get("TESSERA_SEGMENT_SHAPES", "1"))
    CASES = {"rounds": "volume_small", "sections": "sections", "odd": "odd", "mean": None, "maximum": None}

    def blocks_of(self, shape, rng):
        """A chunk of any sides, and a block of whole chunks; at most about 200 blocks."""
        while True:
            chunk = [rng.randint(1, side) for side in shape]
            block = [side * rng.randint(1, -(-whole // side)) for side, whole in zip(chunk, shape)]
            if np.prod([-(-whole // side) for side, whole in zip(block, shape)]) <= 200:
                return chunk, block

    def result_of(self, name, case, ranks, **keys):
        """The SHA-256 of the objects, and that of the merges of a greedy linkage."""
        golden = self.CASES[case]
        made = self.golden(name, golden, **keys) if golden else self.greedy(name, case, **keys)
        self.tessera(["segment", made], ranks)
        if golden:
            self.assert_golden(name, golden)
            return EXPECTED[golden]["labels_sha256"], ""
        tree = self.tree(name)
        rows = np.stack([tree["id"].astype("i8") - 1, tree["into"].astype("i8") - 1, tree["sum"].astype("i8"),
                         tree["count"].astype("i8")], 1)
        return sha256(self.segmented(name), "<u8"), sha256(rows, "<i8")

    def test_blocks_ranks_and_threads_do_not_show(self):
        rng, tried = random.Random(int(os.environ.get("TESSERA_SEED", "1"))), 0
        expected = {"mean": (CUTS[0.6][1], MERGES)}  # of the oracle; that of maximum is one rank and one block
        for case, golden in self.CASES.items():
            volume = f"{EXPECTED[golden]['volume']}.h5:/volumes/predictions/interior" if golden else "made.h5:/p"
            shape = self.read(volume).shape
            expected.setdefault(case, self.result_of(f"{case}_whole", case, 0, chunk=shape, block=shape))
            for number in range(self.SHAPES):
                chunk, block = self.blocks_of(shape, rng)
                for ranks in (0, 2, 4, 8) if self.SHAPES > 1 else (3,):
                    threads = rng.choice((1, 2, 3))
                    with self.subTest(case=case, chunk=chunk, block=block, ranks=ranks, threads=threads):
                        found = self.result_of(f"{case}{number}_{ranks}", case, ranks, chunk=chunk, block=block, threads=threads)
                        self.assertEqual(found, expected[case])
                        tried += 1
        self.assertEqual(tried, len(self.CASES) * self.SHAPES * (4 if self.SHAPES > 1 else 1))


class Quantiles(LinkageCase):

    EXPECTED = json.loads((GOLDEN / "expected_quantiles.json").read_text())

    def assert_quantiles(self, name, case, linkage):
        expected, tree = self.EXPECTED[case]["linkages"][linkage], self.tree(name)
        rows = np.stack([tree["id"].astype("i8") - 1, tree["into"].astype("i8") - 1, tree["stage"].astype("i8"),
                         tree["sum"].astype("i8"), tree["count"].astype("i8")], 1)
        self.assertEqual(sha256(rows, "<i8"), expected["tree_sha256"], f"{name}: {case}")
        self.assertEqual(sha256(self.segmented(name), "<u8"), expected["labels_sha256"], f"{name}: {case}")

    def test_merges_are_those_of_the_oracle(self):
        for linkage, ranks, block in (("quantile25", 0, [40, 48, 56]), ("quantile50", 2, [16, 16, 56]), ("quantile75", 4, [8, 48, 56]),
                                      ("quantile85", 2, [40, 16, 56])):
            self.tessera(["segment", self.greedy(linkage, linkage, block=block)], ranks)
            self.assert_quantiles(linkage, "smoothed", linkage)
            with h5py.File(self.folder / f"{linkage}.graph.h5") as f:
                self.assertEqual(json.loads(f.attrs["stages"]), [[linkage, 0.9], [linkage, 0.75], [linkage, 0.6]])

    def test_between_sections(self):
        p = self.EXPECTED["sections"]["parameters"]
        keys = {key: p[key] for key in p if key not in ("thresholds",)}
        for linkage, ranks, block in (("quantile75", 4, [5, 48, 96]), ("quantile25", 0, [10, 96, 96])):
            self.tessera(["segment", self.yaml(f"sections_{linkage}", "sections.h5:/volumes/predictions/interior",
                                               mask="sections.h5:/volumes/mask", linkage=linkage, thresholds=p["thresholds"],
                                               threshold=p["thresholds"][-1], chunk=block, block=block, **keys)], ranks)
            self.assert_quantiles(f"sections_{linkage}", "sections", linkage)

    def test_one_first_pass_serves_every_linkage(self):
        def segment(linkage, ranks=0):
            return self.tessera(["segment", self.greedy("again", linkage, block=[16, 48, 56]), "--restart"], ranks)

        again = r"first pass: 3 blocks in"
        kept = r"first pass: done by an earlier start"
        self.assertRegex(segment("mean").stdout, again)
        plain = sum(file.stat().st_size for file in (self.folder / "again.graph").glob("*.block"))
        # Histograms are missing.
        self.assertRegex(segment("quantile75", 2).stdout, again)
        self.assert_quantiles("again", "smoothed", "quantile75")
        full = sum(file.stat().st_size for file in (self.folder / "again.graph").glob("*.block"))
        self.assertGreater(full, plain)
        for linkage, ranks in (("quantile50", 2), ("mean", 0), ("quantile25", 0)):
            self.assertRegex(segment(linkage, ranks).stdout, kept)
            self.assert_quantiles("again", "smoothed", linkage)
        # A file that a start by means has computed again lacks histograms.
        (self.folder / "again.graph/00000001.block").unlink()
        self.assertRegex(segment("mean").stdout, r"first pass: 1 blocks in")
        self.assertRegex(segment("quantile85", 2).stdout, again)
        self.assert_quantiles("again", "smoothed", "quantile85")

    def test_a_cut_and_a_chosen_threshold(self):
        expected = self.EXPECTED["smoothed"]["linkages"]["quantile75"]["labels_sha256"]
        yaml = self.greedy("whole", "quantile75", block=[16, 16, 56])
        self.tessera(["segment", yaml], 2)
        self.tessera(["evaluate", "--graph", "whole.graph.h5", "--labels", "made.h5:/cells", "--prediction",
                      f"{AGGLOMERATED}/volume.h5:/volumes/labels/supervoxels", "--json", "stages.json"])
        stages = json.loads((self.folder / "stages.json").read_text())["stages"][1:]
        self.assertEqual([(one["kind"], one["threshold"]) for one in stages], [("quantile75", t) for t in (0.9, 0.75, 0.6)])
        best = min(stages, key=lambda one: one["voi_split"] + one["voi_merge"])["threshold"]
        result = self.tessera(["segment", self.greedy("chosen", "quantile75", block=[8, 32, 56], choose="voi",
                                                      choose_labels="made.h5:/cells", choose_sections=[0, 40])], 3)
        self.assertIn(f"threshold {best} is chosen by VOI", result.stdout)
        for threshold in (0.75, 0.9, 0.6):
            self.tessera(["segment", yaml, "--cut", str(threshold)])
            if threshold == best:
                self.assert_same_voxels(self.segmented("whole"), self.segmented("chosen"))
        self.assertEqual(sha256(self.segmented("whole"), "<u8"), expected)
        self.assertIn("objects", self.tessera(["status", "runs/whole"]).stdout)
        self.tessera(["report", "runs/whole"])


class Cuts(LinkageCase):

    def compare(self, name, make, cut, thresholds, *, ranks=0):
        """A cut at `cut` of a finished segmentation equals a run whose thresholds end there."""
        yaml = make(name)
        self.tessera(["segment", yaml], ranks)
        whole = self.segmented(name)
        with h5py.File(self.folder / f"{name}.graph.h5") as f:
            tree = f["tree/stage"][()].tobytes()
        blocks = sorted((self.folder / f"{name}.graph").glob("*.block"))
        times = [file.stat().st_mtime_ns for file in blocks]
        self.tessera(["segment", yaml, "--cut", str(cut)], ranks)
        found = self.segmented(name)
        self.assertFalse(np.array_equal(found, whole), "the cut is no other segmentation")
        self.tessera(["segment", make(f"{name}_run"), "--set", f"segment.thresholds={thresholds}", "--set",
                      f"segment.threshold={cut}"])
        self.assert_same_voxels(found, self.segmented(f"{name}_run"))
        self.assertEqual([file.stat().st_mtime_ns for file in blocks], times)
        with h5py.File(self.folder / f"{name}.graph.h5") as f:
            self.assertEqual(f["tree/stage"][()].tobytes(), tree)
        with h5py.File(self.folder / f"{name}.h5") as f:
            self.assertEqual([np.bytes_(f[OUT].attrs[key]) for key in ("threshold", "cut")], 2 * [str(cut).encode()])
        return yaml, whole

    def test_of_rounds(self):
        yaml, whole = self.compare("rounds", lambda name: self.golden(name, "volume", chunk=[16, 16, 16], block=[32, 32, 32]),
                                   0.8, [0.95, 0.9, 0.85, 0.8], ranks=2)
        self.assertIn("nothing to segment", self.tessera(["segment", yaml, "--cut", "0.8"]).stdout)
        lowest = settings_of("volume")["threshold"]
        self.tessera(["segment", yaml, "--cut", str(lowest)])
        self.assert_same_voxels(self.segmented("rounds"), whole)
        self.assert_one_error(run_tessera(["segment", yaml, "--cut", "0.77"], cwd=self.folder), USAGE,
                              [r"--cut 0\.77: rounds can be cut at their own thresholds only: 0\.95, 0\.9, 0\.85, 0\.8"])

    def test_of_rounds_between_sections_with_small_objects(self):
        settings = settings_of("sections_one_sided")
        linked = [t for t in settings["thresholds"] if t < settings["link_below"]]
        self.assertGreater(len(linked), 1, "a case with several thresholds below link_below")
        cut = linked[-2]
        keys = {"small_size": 60, "small_threshold": 0.3, "min_size": 10, "background_below": 0.1, "chunk": [5, 48, 96],
                "block": [5, 48, 96]}
        self.compare("linked", lambda name: self.yaml(name, "sections.h5:/volumes/predictions/interior", **{**settings, **keys}), cut,
                     [t for t in settings["thresholds"] if t >= cut])

    def test_of_greedy_merges_at_any_threshold(self):
        for linkage, cut, thresholds in (("mean", 0.7123, [0.9, 0.7123]), ("quantile50", 0.8123, [0.9, 0.8123]), ("maximum", 0.97, [0.97])):
            self.compare(linkage, lambda name: self.greedy(name, linkage, small_size=60, small_threshold=0.2, ids="compact"), cut,
                         thresholds, ranks=2 if linkage == "mean" else 0)

    def test_of_greedy_merges_between_sections(self):
        settings = {**settings_of("sections_one_sided"), "linkage": "mean", "chunk": [5, 48, 96], "block": [5, 48, 96]}
        cut = round(settings["link_below"] - 0.07, 4)
        self.assertNotIn(cut, settings["thresholds"])
        yaml, _ = self.compare("greedy_linked", lambda name: self.yaml(name, "sections.h5:/volumes/predictions/interior", **settings),
                               cut, [t for t in settings["thresholds"] if t > cut] + [cut])
        self.assertTrue((self.tree("greedy_linked")["count"] == 0).any(), "links have no sum and no count")
        self.assert_one_error(run_tessera(["segment", yaml, "--cut", "0.9"], cwd=self.folder), USAGE,
                              [r"--cut 0\.9: sections are linked below segment\.link_below, which is 0\.\d+: choose a lower"])

    def test_goes_on_after_a_kill(self):
        yaml = self.greedy("killed", chunk=[4, 4, 8], block=[4, 8, 8])
        self.tessera(["segment", yaml])
        journal = self.folder / "killed.h5.journal"
        whole = journal.stat().st_ino
        process = self.start(["segment", yaml, "--cut", "0.9"], 2)
        process.wait_until(lambda: journal.exists() and journal.stat().st_ino != whole and len(Journal(journal).blocks()) > 3, 30,
                           "some blocks of the cut")
        os.kill(process.rank_pid(0), signal.SIGKILL)
        process.kill()
        before = Journal(journal).blocks()
        self.assertLess(len(before), 420, "the process had ended before its kill")
        self.tessera(["segment", yaml, "--cut", "0.9"])
        self.assertEqual(sha256(self.segmented("killed"), "<u8"), CUTS[0.9][1])
        after = Journal(journal).blocks()
        self.assertEqual(sorted(after), sorted(set(after)), "a block was done twice")
        self.assertEqual(after[:len(before)], before)

    def fails(self, arguments, pattern, ranks=0):
        self.assert_one_error(run_tessera(["segment", *arguments], ranks, 60, cwd=self.folder), USAGE, [pattern])

    def test_mistakes(self):
        yaml = self.greedy("wrong", block=[16, 16, 56])
        self.fails([yaml, "--cut", "0.7"], r"--cut: wrong\.graph/pass1\.journal does not exist: run `tessera segment` without --cut", 2)
        self.tessera(["segment", yaml])
        self.fails([yaml, "--cut", "0.5"], r"--cut 0\.5: the merges of wrong\.graph\.h5 end at 0\.6: choose a threshold of at least")
        self.fails([yaml, "--cut", "1.5"], r"--cut 1\.5: a threshold is above 0 and at most 1")
        self.fails([yaml, "--cut", "0.7", "--set", "segment.fragment_size=30"], r"fragment_size: 20 then, 30 now")
        self.fails([yaml, "--cut", "0.7", "--set", "segment.linkage=quantile75"], r"linkage: mean then, quantile75 now", 2)
        self.fails([yaml, "--cut", "0.7", "--set", "segment.method=components"], r"connected components have no tree")
        self.fails([yaml, "--cut", "0.7", "--set", "segment.chunk=[12, 16, 56]", "--set", "segment.block=[12, 16, 56]"],
                   r"segment\.chunk: .* does not divide the blocks")
        (self.folder / "wrong.graph/tables.supervoxels").unlink()
        before = (self.folder / "wrong.h5").read_bytes()
        self.fails([yaml, "--cut", "0.7"], r"tables\.supervoxels is missing or of another job")
        self.assertEqual((self.folder / "wrong.h5").read_bytes(), before, "the result was replaced before the mistake was found")
        (self.folder / "wrong.graph/00000000.block").unlink()
        self.fails([yaml, "--cut", "0.7"], r"lacks graph files of blocks")


class Choices(LinkageCase):

    # The best of these thresholds is neither the first nor the last one.
    THRESHOLDS = [0.9, 0.6, 0.45]
    LISTED = {"thresholds": THRESHOLDS, "threshold": 0.45}
    KEYS = {"choose_labels": "made.h5:/cells", "choose_sections": [10, 30], "min_size": 15, "background_below": 0.1, **LISTED}

    def test_the_best_threshold_is_that_of_evaluate(self):
        plain = self.greedy("plain", min_size=15, background_below=0.1, **self.LISTED)
        expected, cuts = {}, {}
        self.tessera(["segment", plain])
        result = self.tessera(["evaluate", "--graph", "plain.graph.h5", "--labels", "made.h5:/cells", "--prediction",
                               f"{AGGLOMERATED}/volume.h5:/volumes/labels/supervoxels"])
        self.assertIn("The scores are with objects of fewer than 15 voxels (segment.min_size) and voxels below 0.1 "
                      "(segment.background_below), which the run removed from its result.", result.stdout)
        for threshold in self.THRESHOLDS:
            self.tessera(["segment", plain, "--cut", str(threshold)])
            self.tessera(["evaluate", "--prediction", f"plain.h5:/{OUT}", "--labels", "made.h5:/cells", "--sections", "10:30",
                          "--json", "cut.json"])
            scores = json.loads((self.folder / "cut.json").read_text())
            expected[threshold] = {**scores["volume_3d"], "rand_thin_f_macro": scores["volume_2d"]["rand_thin_f_macro"]}
            cuts[threshold] = self.segmented("plain")
        for by, score, ranks in (("voi", "voi", 0), ("rand", "adapted_rand_error", 3), ("vrand_thin", "rand_thin_f_macro", 4)):
            name = f"by_{by}"
            result = self.tessera(["segment", self.greedy(name, choose=by, block=[8, 32, 56], **self.KEYS)], ranks)
            chosen = json.loads((self.folder / f"runs/{name}/segmentation.json").read_text())["chosen_threshold"]
            sign = -1 if by == "vrand_thin" else 1
            best = min(expected, key=lambda threshold: sign * expected[threshold][score])
            self.assertEqual(best, 0.6, "a choice of the first or the last threshold would not be noticed")
            self.assertEqual((chosen["threshold"], chosen["by"], chosen["sections"]), (best, by, [10, 30]))
            self.assertEqual([row["threshold"] for row in chosen["scores"]], self.THRESHOLDS)
            for row in chosen["scores"]:
                for key in ("voi_split", "voi_merge", "voi", "adapted_rand_error", score):
                    self.assertEqual(row[key], expected[row["threshold"]][key], (by, row["threshold"], key))
                self.assertEqual(row["objects"], np.unique(cuts[row["threshold"]]).size - 1)
            self.assert_same_voxels(self.segmented(name), cuts[best])
            self.assertRegex(result.stdout, rf"threshold {best} is chosen by .* on the sections 10:30 of made\.h5:/cells\. Report scores")
        self.assertIn("nothing to segment", self.tessera(["segment", "by_rand.yaml"]).stdout)
        self.tessera(["segment", "by_rand.yaml", "--cut", "0.9"])
        self.assert_same_voxels(self.segmented("by_rand"), cuts[0.9])

    def test_a_region_and_labels_with_an_offset(self):
        """The labels are a part of the volume in a file of their own, and the region begins elsewhere."""
        region, sections = {"begin": [4, 8, 0], "end": [36, 48, 50]}, [12, 28]
        with h5py.File(self.folder / "part.h5", "w") as f:
            f["cells"] = self.read("made.h5:/cells")[10:30, 4:40, 5:45]
            f["cells"].attrs["offset"] = [10.0, 4.0, 5.0]
        keys = {"region": region, "chunk": [8, 8, 10], "min_size": 15, **self.LISTED}
        plain = self.greedy("plain_part", **keys)
        self.tessera(["segment", plain])
        expected = {}
        for threshold in self.THRESHOLDS:  # --sections are those of the labels, which begin at section 10
            self.tessera(["segment", plain, "--cut", str(threshold)])
            self.tessera(["evaluate", "--prediction", f"plain_part.h5:/{OUT}", "--labels", "part.h5:/cells", "--sections", "2:18",
                          "--json", "part.json"])
            scores = json.loads((self.folder / "part.json").read_text())
            expected[threshold] = {**scores["volume_3d"], "rand_thin_f_macro": scores["volume_2d"]["rand_thin_f_macro"]}
        for by, score, block, ranks in (("voi", "voi", [8, 16, 50], 2), ("vrand_thin", "rand_thin_f_macro", [16, 16, 20], 3),
                                        ("vrand_thin", "rand_thin_f_macro", [32, 40, 50], 0)):
            name = f"part_{by}{ranks}"
            self.tessera(["segment", self.greedy(name, choose=by, choose_labels="part.h5:/cells", choose_sections=sections,
                                                 block=block, **keys)], ranks)
            chosen = json.loads((self.folder / f"runs/{name}/segmentation.json").read_text())["chosen_threshold"]
            self.assertEqual([row["threshold"] for row in chosen["scores"]], self.THRESHOLDS)
            for row in chosen["scores"]:
                for key in ("voi_split", "voi_merge", "adapted_rand_error", score):
                    self.assertEqual(row[key], expected[row["threshold"]][key], (by, row["threshold"], key))
            with h5py.File(self.folder / f"{name}.h5") as f:
                self.assertEqual(f[OUT].attrs["offset"].tolist(), [4, 8, 0])
        for labels, outside, message in (("part.h5:/cells", [30, 36], r"nothing can be scored of z \[30, 36\)"),
                                         ("made.h5:/cells", [36, 40], r"choose_sections: 36:40 are not in segment\.region")):
            yaml = self.greedy("outside", choose="voi", choose_labels=labels, choose_sections=outside, **keys)
            self.assert_one_error(run_tessera(["segment", yaml], 2, cwd=self.folder), USAGE, [message])
            self.assertFalse((self.folder / "outside.graph").exists(), "work began before the mistake was found")

    def test_sections_are_linked_at_every_threshold(self):
        settings = {**settings_of("sections_one_sided"), "chunk": [5, 48, 96], "block": [5, 48, 96], "min_size": 20}
        make = lambda name, **keys: self.yaml(name, "sections.h5:/volumes/predictions/interior", **{**settings, **keys})
        self.tessera(["segment", make("chosen", choose="voi", choose_labels="sections.h5:/volumes/labels/cells", choose_sections=[2, 8])],
                     2)
        chosen = json.loads((self.folder / "runs/chosen/segmentation.json").read_text())["chosen_threshold"]
        below = [t for t in settings["thresholds"] if t < settings["link_below"]]
        self.assertEqual([row["threshold"] for row in chosen["scores"]], below)
        best = chosen["threshold"]
        self.tessera(["segment", make("ends", thresholds=[t for t in settings["thresholds"] if t >= best], threshold=best)])
        self.assert_same_voxels(self.segmented("chosen"), self.segmented("ends"))

    def test_mistakes(self):
        def fails(name, pattern, code=USAGE, ranks=0, **keys):
            given = {**self.KEYS, "choose": "voi", **keys}
            yaml = self.greedy(name, **{key: value for key, value in given.items() if value is not None})
            self.assert_one_error(run_tessera(["segment", yaml], ranks, 60, cwd=self.folder), code, [pattern])
        self.write_volumes("none.h5", {"cells": np.zeros((40, 48, 56), "u4")})
        fails("c1", r"choose: needs sections: set segment\.choose_sections", choose_sections=None)
        fails("c2", r"choose: needs labels: set segment\.choose_labels", choose_labels=None)
        fails("c3", r"sections 10:50 are not in made\.h5:/p", choose_sections=[10, 50], ranks=2)
        fails("c4", r"no voxel of none\.h5:/cells has a label in the sections 10:30", choose_labels="none.h5:/cells", ranks=2)
        fails("c5", r"goes with method: watershed", method="components")
        result = self.tessera(["segment", self.greedy("c6", choose="voi", **self.KEYS), "--set", "evaluate.sections=[20, 40]"])
        self.assertRegex(result.text, r"choose_sections: 10:30 share sections with evaluate\.sections, 20:40")


if __name__ == "__main__":
    unittest.main()
