"""tessera evaluate --graph: every stage of a merge tree is scored as scikit-image and as `evaluate` score its objects. The graph
files are those of tests/golden/make_agglomeration.py, and some that h5py writes here."""

import json
import os
import re
import shutil
import unittest

import h5py
import numpy as np

from harness import SOURCE, Case, run_tessera

GOLDEN = SOURCE / "tests/golden/agglomeration"
CELLS = "volume.h5:/volumes/labels/cells"


class GraphScores(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("volume.h5", "volume.graph.h5"):
            shutil.copy(GOLDEN / name, cls.folder / name)
        cls.expected = json.loads((GOLDEN / "volume.json").read_text())

    def scores(self, *options, ranks=0, graph="volume.graph.h5"):
        result = self.tessera(["evaluate", "--graph", graph, "--labels", CELLS, "--json", "scores.json", *options], ranks)
        return json.loads((self.folder / "scores.json").read_text()), result.stdout

    def objects_after(self, stage):
        """Ids of the objects after a stage, from the file alone."""
        with h5py.File(self.folder / "volume.graph.h5") as f, h5py.File(self.folder / "volume.h5") as v:
            ids = f["supervoxels/id"][()]
            into = np.arange(ids.size)
            early = f["tree/stage"][()] <= stage
            into[np.searchsorted(ids, f["tree/id"][early])] = np.searchsorted(ids, f["tree/into"][early])
            while not np.array_equal(into, into[into]):
                into = into[into]
            return ids[into][np.searchsorted(ids, v["volumes/labels/supervoxels"][()])]

    def test_every_stage_has_the_scores_of_scikit_image(self):
        scores, text = self.scores()
        self.assertEqual(scores["kind"], "graph")
        self.assertEqual(len(scores["stages"]), 15)
        for stage, expected in zip(scores["stages"], self.expected["stages"]):
            self.assertEqual(stage["threshold"], expected["threshold"])
            self.assertEqual(stage["objects"], expected["objects"])
            for name in ("voi_split", "voi_merge", "adapted_rand_error"):
                self.assertAlmostEqual(stage[name], expected[name], delta=1e-12)
        best = min(scores["stages"], key=lambda stage: stage["voi"])
        self.assertEqual(scores["best_stage"]["voi"], best["stage"])
        self.assertRegex(text, rf"(?m)^mean {best['threshold']} .*best")
        self.assertEqual(text.count("best"), 1 + (scores["best_stage"]["voi"] != scores["best_stage"]["adapted_rand_error"]))
        self.assertRegex(text, r"(?m)^  true \d+, \d+ voxels: \d+ in object \d+")

    def test_a_stage_is_scored_as_evaluate_scores_its_objects(self):
        scores, _ = self.scores()
        for stage in (0, 6, 14):
            with h5py.File(self.folder / "objects.h5", "w") as f:
                f["ids"] = self.objects_after(stage)
            self.tessera(["evaluate", "--prediction", "objects.h5:/ids", "--labels", CELLS, "--json", "objects.json"])
            volume = json.loads((self.folder / "objects.json").read_text())["volume_3d"]
            for name in ("voi_split", "voi_merge", "voi", "adapted_rand_error", "rand_precision", "rand_recall", "seg",
                         "objects_true", "objects_predicted", "object_f1"):
                self.assertEqual(scores["stages"][stage][name], volume[name], f"{name} of stage {stage}")

    def test_splits_and_merges_are_those_of_the_voxels(self):
        scores, _ = self.scores()
        objects = self.objects_after(scores["best_stage"]["voi"])
        with h5py.File(self.folder / "volume.h5") as f:
            cells = f["volumes/labels/cells"][()]
        self.assertTrue(scores["split"] and scores["merged"])
        for listed, mine, other, labelled in ((scores["split"], cells, objects, cells > 0),
                                              (scores["merged"], objects, cells, cells > 0)):
            for one in listed:
                ids, counts = np.unique(other[(mine == one["id"]) & labelled], return_counts=True)
                self.assertEqual({part["id"]: part["voxels"] for part in one["parts"]}, dict(zip(ids.tolist(), counts.tolist())))
                self.assertEqual(one["voxels"], counts.sum())

    def test_any_number_of_ranks_and_any_region(self):
        whole, _ = self.scores()
        part, _ = self.scores("--sections", "3:30", "--region", "5:40,0:50", "--ignore-label", "2")
        self.assertNotEqual(part["stages"], whole["stages"])
        for ranks in (2, 4):
            for options, expected in (([], whole), (["--sections", "3:30", "--region", "5:40,0:50", "--ignore-label", "2"], part)):
                found, _ = self.scores(*options, ranks=ranks)
                self.assertEqual({**found, "run": None}, {**expected, "run": None})

    def test_a_tree_with_sums_is_cut_at_any_threshold(self):
        scores, _ = self.scores("--thresholds", "21")
        self.assertEqual(len(scores["stages"]), 22)
        by_threshold = {stage["threshold"]: stage for stage in scores["stages"]}
        for expected in self.expected["stages"][1:]:
            found = next(stage for t, stage in by_threshold.items() if t is not None and abs(t - expected["threshold"]) < 1e-9)
            self.assertEqual(found["objects"], expected["objects"])
            self.assertAlmostEqual(found["voi_split"], expected["voi_split"], delta=1e-12)

    def test_the_python_of_the_page(self):
        page = (SOURCE / "docs/agglomeration.md").read_text()
        first, second = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        folder = self.folder / "page"
        folder.mkdir()
        for name, copy in (("h5", "supervoxels.h5"), ("graph.h5", "graph.h5")):
            shutil.copy(GOLDEN / f"volume.{name}", folder / f"segmentation.{copy}")
        before, names = os.getcwd(), {}
        os.chdir(folder)
        try:
            exec(compile(first, "agglomeration.md", "exec"), names)
            exec(compile(second, "agglomeration.md", "exec"), names)
        finally:
            os.chdir(before)
        np.testing.assert_array_equal(names["labels"], self.objects_after(8)[0:20, 0:64, 0:64])  # stage 8: 0.6
        self.assertGreater(np.unique(names["labels"]).size, 20)
        self.assertEqual(len(names["neighbours"]), np.count_nonzero(names["a"] == 0))
        self.assertTrue(all(0 < mean < 1 for mean in names["neighbours"].values()))
        self.assertLessEqual(len([line for line in first.splitlines() if line.strip()]), 12)

    def changed(self, change):
        name = f"bad{len(list(self.folder.glob('bad*')))}.graph.h5"
        shutil.copy(GOLDEN / "volume.graph.h5", self.folder / name)
        with h5py.File(self.folder / name, "r+") as f:
            change(f)
        return ["--graph", name, "--labels", CELLS, "--prediction", "volume.h5:/volumes/labels/supervoxels"]

    def test_bad_input(self):
        def replace(path, values):
            def change(f):
                del f[path]
                f[path] = values
            return change

        def swap_stages(f):
            f.attrs["stages"] = '[["mean", 0.9]]'

        def drop_sums(f):
            del f["tree/sum"], f["tree/count"]

        with h5py.File(GOLDEN / "volume.graph.h5") as f:
            ids, into = f["supervoxels/id"][()], f["tree/into"][()]
        wrong = into.copy()
        wrong[5] = 10 ** 12
        cases = [
            (["--graph", "volume.graph.h5"], 2, "--labels is missing"),
            (["--graph", "missing.graph.h5", "--labels", CELLS], 2, "supervoxels of missing.graph.h5 cannot be read"),
            (["--graph", "volume.h5", "--labels", CELLS], 2, "volume.h5 does not end in .graph.h5"),
            (["--graph", "volume.h5", "--labels", CELLS, "--prediction", "volume.h5:/volumes/labels/supervoxels"], 1,
             "volume.h5 has no /supervoxels/id: it is not the graph of a segmentation"),
            (["--graph", "volume.graph.h5", "--labels", CELLS, "--kind", "labels"], 2, "--kind does not go with --graph"),
            (["--graph", "volume.graph.h5", "--labels", CELLS, "--thresholds", "1"], 2, "--thresholds: 1 is not between 2"),
            (["--graph", "volume.graph.h5", "--labels", CELLS, "--prediction", CELLS], 1, "which their graph lacks"),
            (self.changed(replace("tree/into", wrong)), 1, "/tree names 1000000000000, which is no supervoxel"),
            (self.changed(replace("tree/into", into[:-1])), 1, "/tree/into has"),
            (self.changed(replace("tree/stage", into * 0.5)), 1, "no list of whole numbers"),
            (self.changed(replace("supervoxels/id", ids[::-1])), 1, "do not rise"),
            (self.changed(swap_stages), 1, "'stages' names 1"),
            ([*self.changed(drop_sums), "--thresholds", "11"], 2, "can be cut at its own stages only"),
        ]
        for arguments, code, message in cases:
            with self.subTest(message):
                self.assert_one_error(run_tessera(["evaluate", *arguments], cwd=self.folder), code, [re.escape(message)])

    def test_a_mistake_ends_all_ranks(self):
        arguments = ["evaluate", "--graph", "volume.graph.h5", "--labels", CELLS, "--prediction", CELLS]
        self.assert_one_error(run_tessera(arguments, 2, cwd=self.folder), 1, ["which their graph lacks"])


if __name__ == "__main__":
    unittest.main()
