"""`segment.supervoxels`: the fragments as a volume of their own, equal to the oracle's SHA-256 sums for every block shape, number of
ranks and kill; `evaluate --graph` and the Python of docs/agglomeration.md find them beside the graph."""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import unittest

import h5py
import numpy as np

from harness import SOURCE, run_tessera
from journal import Journal
from test_linkage import LinkageCase
from test_segment import EXPECTED, FAILED, OUT, USAGE, sha256

FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")
SUPERVOXELS = "volumes/labels/supervoxels"


class Supervoxels(LinkageCase):

    def supervoxels(self, name):
        return self.read(f"{name}.supervoxels.h5:/{SUPERVOXELS}")

    def state(self, name):
        """What a file is, but for its readers."""
        found = (self.folder / name).stat()
        return found.st_ino, found.st_mtime_ns

    def blocks_of(self, name):
        journal = self.folder / f"{name}.supervoxels.h5.journal"
        return Journal(journal).blocks() if journal.exists() else []

    def assert_fragments(self, name, case):
        self.assertEqual(sha256(self.supervoxels(name), "<u8"), EXPECTED[case]["fragments_sha256"], f"{name}: {case}")

    def test_they_are_those_of_the_oracle(self):
        for number, (case, chunk, block, ranks) in enumerate(
                [("odd", [5, 7, 6], [5, 14, 12], 4), ("odd", [17, 31, 23], [17, 31, 23], 0),
                 ("sections", [3, 40, 96], [3, 80, 96], 2), ("volume_small", [16, 32, 16], [48, 32, 32], 3)]):
            name = f"fragments{number}"
            result = self.tessera(["segment", self.golden(name, case, chunk=chunk, block=block, supervoxels=True,
                                                          keep_graph=number % 2 == 0)], ranks)
            self.assert_fragments(name, case)
            self.assert_golden(name, case)
            self.assertIn(f"supervoxels: {name}.supervoxels.h5:/{SUPERVOXELS}\n", result.stdout)
            with h5py.File(self.folder / f"{name}.supervoxels.h5") as f, h5py.File(self.folder / f"{name}.h5") as objects:
                of, object_of = f[SUPERVOXELS].attrs, objects[OUT].attrs
                self.assertEqual(np.bytes_(of["supervoxels"]), str(EXPECTED[case]["fragments"]).encode())
                self.assertEqual(np.bytes_(of["meaning"]), b"ids of supervoxels; 0: none")
                self.assertEqual(of["resolution"].tolist(), object_of["resolution"].tolist())
                self.assertEqual(f[SUPERVOXELS].chunks, tuple(chunk))
        self.tessera(["verify", f"fragments0.supervoxels.h5:/{SUPERVOXELS}"], 2)

    def test_a_finished_segmentation_gets_them_later(self):
        keys = {"chunk": [16, 16, 16], "block": [32, 32, 32]}
        yaml = self.golden("later", "volume", **keys)
        self.tessera(["segment", yaml])
        files = ["later.h5", "later.graph.h5", "later.graph/00000003.block"]
        before = [self.state(file) for file in files]
        wanted = ["--set", "segment.supervoxels=true"]
        result = self.tessera(["segment", yaml, *wanted], 2)
        self.assertRegex(result.stdout, r"first pass: done by an earlier start\ngraph: done by an earlier start, 88 objects\n"
                                        r"second pass: done by an earlier start\nsupervoxels: 8 blocks in ")
        self.assertEqual([self.state(file) for file in files], before)
        self.assert_fragments("later", "volume")
        self.assertIn("nothing to segment", self.tessera(["segment", yaml, *wanted]).stdout)
        # A cut and another threshold leave them as they are; --restart writes them again.
        whole = self.state("later.supervoxels.h5")
        self.tessera(["segment", yaml, *wanted, "--cut", "0.8"])
        self.tessera(["segment", yaml, *wanted, "--update", "--set", "segment.min_size=5"], 2)
        self.assertEqual(self.state("later.supervoxels.h5"), whole)
        other = [*wanted, "--set", "segment.fragment_size=80"]
        refused = run_tessera(["segment", yaml, *other], 2, cwd=self.folder)
        self.assert_one_error(refused, USAGE, [r"segment\.fragment_size: 50 then, 80 now", "--restart"])
        changed = self.tessera(["segment", yaml, *other, "--update"])
        self.assertRegex(changed.text, r"later\.supervoxels\.h5:/\S+ is replaced: it was made otherwise\n +segment\.fragment_size: 50 then")
        self.assertNotEqual(self.state("later.supervoxels.h5"), whole)
        self.tessera(["segment", yaml, *wanted, "--restart"], 2)
        self.assert_fragments("later", "volume")
        # Without the blocks' graph files the first pass is done again, and the objects stay.
        (self.folder / "later.supervoxels.h5").unlink()
        shutil.rmtree(self.folder / "later.graph")
        objects = self.state("later.h5")
        self.tessera(["segment", yaml, *wanted, "--set", "segment.keep_graph=false"])
        self.assert_fragments("later", "volume")
        self.assertEqual(self.state("later.h5"), objects)
        self.assertFalse((self.folder / "later.graph").exists())

    def test_they_go_on_after_a_kill(self):
        keys = {"supervoxels": True, "chunk": [8, 8, 8], "block": [8, 8, 8]}
        yaml = self.golden("killed", "volume", **keys)
        process = self.start(["segment", yaml], 3)
        process.wait_until(lambda: len(self.blocks_of("killed")) > 3, 60, "some blocks of supervoxels")
        status = json.loads(self.tessera(["status", "runs/killed", "--json"]).stdout)
        os.kill(process.rank_pid(0), signal.SIGKILL)
        process.kill()
        before = self.blocks_of("killed")
        self.assertLess(len(before), 512, "the process had ended before its kill")
        stage = next(one for one in status["stages"] if one["stage"] == "segment")
        self.assertRegex(stage["work"], r"^pass 3 of 3, \d+ of 512 blocks")
        objects = self.state("killed.h5")
        self.tessera(["segment", yaml], 2)
        self.assert_fragments("killed", "volume")
        self.assert_golden("killed", "volume")
        self.assertEqual(self.state("killed.h5"), objects)
        after = self.blocks_of("killed")
        self.assertEqual(sorted(after), sorted(set(after)), "a block was done twice")
        self.assertEqual(after[:len(before)], before)

    def test_evaluate_finds_them(self):
        """The scores of a stage are those of the objects of a cut, also of a region with labels in another frame."""
        region = {"begin": [4, 8, 0], "end": [36, 48, 50]}
        yaml = self.greedy("found", supervoxels=True, region=region, chunk=[8, 8, 50], block=[8, 16, 50])
        self.tessera(["segment", yaml], 2)
        cells = self.read("made.h5:/cells")
        with h5py.File(self.folder / "part.h5", "w") as f:
            f["cells"] = cells[10:30, 10:40, 5:45]
            f["cells"].attrs["offset"] = [10.0, 10.0, 5.0]
        labels = ["--labels", "part.h5:/cells", "--json", "scores.json"]
        for ranks in (0, 3):
            self.tessera(["evaluate", "--graph", "found.graph.h5", *labels], ranks)
        stages = json.loads((self.folder / "scores.json").read_text())
        self.assertEqual(stages["prediction"], f"found.supervoxels.h5:/{SUPERVOXELS}")
        for stage in stages["stages"][1:]:
            self.tessera(["segment", yaml, "--cut", str(stage["threshold"])])
            self.tessera(["evaluate", "--prediction", f"found.h5:/{OUT}", *labels])
            scores = json.loads((self.folder / "scores.json").read_text())["volume_3d"]
            for key in ("voi_split", "voi_merge", "adapted_rand_error"):
                self.assertEqual(stage[key], scores[key], (stage["threshold"], key))
        self.assertEqual(len(stages["stages"]), 4)
        # Supervoxels of another run beside the graph.
        self.tessera(["segment", self.greedy("other", supervoxels=True, region=region, chunk=[8, 8, 50], fragment_size=30)])
        shutil.copy(self.folder / "other.supervoxels.h5", self.folder / "found.supervoxels.h5")
        shutil.copy(self.folder / "other.supervoxels.h5.journal", self.folder / "found.supervoxels.h5.journal")
        result = run_tessera(["evaluate", "--graph", "found.graph.h5", *labels], 2, cwd=self.folder)
        self.assert_one_error(result, USAGE, [r"it has other supervoxels:\n +segment\.fragment_size: 30 then, 20 now"])

    def test_the_python_of_the_page(self):
        """Its objects at 0.6 are those of a cut there."""
        page = (SOURCE / "docs/agglomeration.md").read_text()
        blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        self.tessera(["segment", self.greedy("segmentation", supervoxels=True, thresholds=[0.9, 0.3], threshold=0.3)])
        self.tessera(["segment", "segmentation.yaml", "--cut", "0.6"])
        before, names = os.getcwd(), {}
        os.chdir(self.folder)
        try:
            exec(compile(blocks[0], "agglomeration.md", "exec"), names)
        finally:
            os.chdir(before)
        self.assert_same_voxels(names["labels"], self.segmented("segmentation")[0:20, 0:64, 0:64])
        self.assertGreater(np.unique(names["labels"]).size, 20)

    def test_mistakes(self):
        def fails(arguments, code, *patterns, ranks=0, **how):
            self.assert_one_error(run_tessera(["segment", *arguments], ranks, 60, cwd=self.folder, **how), code, patterns)
        yaml = self.golden("wrong", "odd", supervoxels=True, chunk=[8, 8, 8], block=[8, 16, 24])
        fails([self.yaml("parts", "odd.h5:/volumes/predictions/interior", method="components", supervoxels=True)], USAGE,
              r"supervoxels: goes with method: watershed")
        checked = self.tessera(["check", yaml, "--measure", "0"]).stdout
        self.assertRegex(checked, r"supervoxels' size +\S+ \S+\n")
        self.assertRegex(checked, rf"supervoxels +wrong\.supervoxels\.h5:/{SUPERVOXELS}\n")
        with open(self.folder / ".wrong.supervoxels.h5.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fails([yaml], USAGE, r"wrong\.supervoxels\.h5", ranks=2)
        self.write_volumes("wrong.supervoxels.h5", {"mine": np.zeros(3)})
        fails([yaml], USAGE, r"wrong\.supervoxels\.h5 exists already and holds no earlier result", ranks=2)
        self.assertFalse((self.folder / "wrong.graph").exists(), "work began before the mistake was found")
        (self.folder / "wrong.supervoxels.h5").unlink()
        if FAIL_IO:
            environment = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": "fallocate", "TESSERA_FAIL_NAME": "wrong.supervoxels.h5*",
                           "TESSERA_FAIL_ERRNO": str(errno.ENOSPC)}
            fails([yaml], FAILED, r"wrong\.supervoxels\.h5.*No space left", ranks=2, environment=environment)
            self.assertFalse((self.folder / "wrong.graph").exists(), "work began before all space was reserved")
        self.tessera(["segment", yaml])
        self.assert_fragments("wrong", "odd")


if __name__ == "__main__":
    unittest.main()
