"""Segmentations that stop for reasons outside the program: a full disk in the first pass, a prediction that changes between the passes,
a killed `tessera run`, a kill after the last block. Each ends in one message, and another start leaves the same bytes."""

import errno
import json
import os
import pathlib
import shutil
import signal
import sys
import unittest

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "campaign"))

from harness import MPIRUN, Case, run_tessera  # noqa: E402
from journal import Journal  # noqa: E402
from program import LIBRARY, ForkServer, counts  # noqa: E402
from test_segment import FAILED, OUT, STOPPED, USAGE, SegmentCase  # noqa: E402

FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")


def blocks_of(journal):
    return Journal(journal).blocks() if journal.exists() else []


class Disks(SegmentCase):

    @unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that makes writes fail (built by CMake)")
    def test_the_disk_fills_up_in_the_first_pass(self):
        for ranks, call in ((0, "pwrite"), (3, "pwrite"), (3, "fsync")):
            with self.subTest(ranks=ranks, call=call):
                name = f"full{ranks}{call}"
                yaml = self.golden(name, "volume", chunk=[16, 16, 16], block=[16, 16, 16])
                environment = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": f"/{name}.graph/*.block*",
                               "TESSERA_FAIL_ERRNO": str(errno.ENOSPC), "TESSERA_FAIL_NTH": "7"}
                result = run_tessera(["segment", yaml], ranks, 60, self.folder, environment=environment)
                self.assert_one_error(result, FAILED, [rf"{name}\.graph/\d+\.block", "No space left", r"\d+ of 64 blocks are done"])
                self.assertNotIn("tried again", result.text, "a full disk is not tried a second time")
                journal = self.folder / f"{name}.graph/pass1.journal"
                before = blocks_of(journal)
                self.assertTrue(0 < len(before) < 64, before)
                self.assertEqual(self.leftovers(), [])
                self.tessera(["segment", yaml], 2)
                self.assert_golden(name, "volume")
                self.assertEqual(blocks_of(journal)[:len(before)], before, "a block was done again")


class ChangedInputs(SegmentCase):

    def stopped_in_second_pass(self, name, file):
        """The experiment of a segmentation that a signal has stopped in its second pass, of the prediction in `file`."""
        volume = self.read("cells.h5:/volumes/predictions/interior")
        self.write_volumes(file, {"p": volume})
        yaml = self.yaml(name, f"{file}:/p", mode="volume", fragment_size=50, chunk=[8, 8, 8], block=[8, 8, 8])
        journal = self.folder / f"{name}.h5.journal"
        process = self.start(["segment", yaml], 2)
        process.wait_until(lambda: len(blocks_of(journal)) > 3, 60, "some blocks of the second pass")
        process.signal(signal.SIGTERM, whole_job=True)
        self.assertEqual(process.finish(30).code, STOPPED)
        self.assertLess(len(blocks_of(journal)), 512)
        return yaml

    def test_a_prediction_that_changes_between_the_passes(self):
        yaml = self.stopped_in_second_pass("changed", "changing.h5")
        file = self.folder / "changing.h5"
        before = file.stat()
        with h5py.File(file, "r+") as f:
            f["p"][...] = 255 - f["p"][()]
        for ranks in (0, 3):  # the file has another time
            result = run_tessera(["segment", yaml], ranks, 60, self.folder)
            self.assert_one_error(result, USAGE, [r"segment\.prediction\.modified: \S+ then, \S+ now", "--restart"])
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        for ranks in (0, 3):  # only the voxels tell
            result = run_tessera(["segment", yaml], ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, [r"block \d+ has other pieces than in the first pass: changing\.h5:/p has changed "
                                                   r"since\. Remove changed\.graph, and start again with --restart"])
        shutil.rmtree(self.folder / "changed.graph")
        self.tessera(["segment", yaml, "--restart"], 2)
        self.tessera(["segment", self.yaml("anew", "changing.h5:/p", mode="volume", fragment_size=50)])
        self.assert_same_voxels(self.segmented("changed"), self.segmented("anew"))


@unittest.skipUnless(os.path.exists(LIBRARY), "needs TESSERA_NTH_CALL_LIBRARY (built by CMake)")
class KilledAtTheEnd(SegmentCase):
    """Kills at each of the last calls that change files: the next start ends what the killed one has left."""

    KINDS = "open,sync,rename,unlink"

    def test_the_next_start_leaves_nothing_behind(self):
        server = ForkServer(self.folder)
        self.addCleanup(server.close)
        yaml = self.golden("end", "volume", keep_graph=False)
        outputs = ("end.h5", "end.h5.journal", "end.graph.h5", "end.graph", "runs/end")

        def start(**environment):
            for file in outputs:
                shutil.rmtree(self.folder / file, ignore_errors=True)
                (self.folder / file).unlink(missing_ok=True)
            return server.run(["segment", yaml], self.folder, 30, environment={
                "TESSERA_NTH_CALL": self.KINDS, "TESSERA_NTH_UNDER": str(self.folder), **environment})

        def names():
            found = {str(p.relative_to(self.folder)) for p in self.folder.rglob("*")}
            return sorted(name for name in found if name.startswith(("end", "runs")))

        file = self.folder / "counts"
        self.assertEqual(start(TESSERA_NTH="0", TESSERA_NTH_COUNT=str(file)).code, 0)
        total = sum(counts(file)[kind] for kind in self.KINDS.split(","))
        undisturbed, record = names(), json.loads((self.folder / "runs/end/segmentation.json").read_text())
        complete = 0  # starts that find a complete result
        for nth in range(total - 20, total + 1):
            outcome = start(TESSERA_NTH=str(nth), TESSERA_NTH_DO="kill" if nth % 2 else "tear")
            if outcome.code == 0:  # this start had fewer calls
                self.assertGreater(nth, total - 5, outcome)
                continue
            again = server.run(["segment", yaml], self.folder, 30)
            self.assertEqual(again.code, 0, f"call {nth} of {total}: {again}")
            self.assertEqual(names(), undisturbed, f"call {nth} of {total}")
            after = json.loads((self.folder / "runs/end/segmentation.json").read_text())
            for key in ("end", "result", "objects", "fragments", "objects_after_stage", "threshold", "stages"):
                self.assertEqual(after[key], record[key], f"call {nth} of {total}: {key}")
            complete += "nothing to segment" in again.text
        self.assertGreater(complete, 0, "no kill came after the last block")


class KilledRun(Case):

    stack_shape = (8, 128, 128)

    def test_a_run_killed_in_its_segment_stage(self):
        instances = {"labels": "stack.h5:/volumes/labels/instances", "label_kind": "instances"}
        yaml = self.config("killed", {"train": {"iterations": 2}, "data": instances, "infer": {"output": None},
                                      "evaluate": {"scores": ["pixel"]},
                                      "segment": {"mode": "volume", "threshold": 0.4, "fragment_size": 20, "chunk": [1, 16, 16],
                                                  "block": [1, 16, 16]}})
        command = ["run", yaml, "--mpirun", MPIRUN, "--workers", "2"]
        journals = [self.folder / "runs/killed/segmentation.graph/pass1.journal", self.folder / "runs/killed/segmentation.h5.journal"]
        for journal in journals:
            process = self.start(command)
            process.wait_until(lambda: len(blocks_of(journal)) > 5, 90, f"some blocks of {journal}")
            process.signal(signal.SIGKILL)
            self.assertEqual(process.left_behind(20), [])
            self.assertLess(len(blocks_of(journal)), 512, "the pass had ended before the kill")
        before = [blocks_of(journal) for journal in journals]
        self.assertEqual(run_tessera(command, 0, 150, self.folder).code, 0)
        for journal, blocks in zip(journals, before):
            after = blocks_of(journal)
            self.assertEqual(after[:len(blocks)], blocks, "a block was done again")
            self.assertEqual(sorted(after), list(range(512)))
        self.tessera(["segment", yaml, "--set", "segment.output=plain.h5:/ids", "--set", "segment.block=[8, 128, 128]"])
        self.assert_same_voxels(self.read(f"runs/killed/segmentation.h5:/{OUT}"), self.read("plain.h5:/ids"))


if __name__ == "__main__":
    unittest.main()
