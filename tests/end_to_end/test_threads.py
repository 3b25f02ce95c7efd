"""Threads that cannot be started (EAGAIN, as at a limit of processes), one after the other in every verb: nothing waits
for ever, and the message says what to try."""

import errno
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "campaign"))

from harness import Case  # noqa: E402
from program import LIBRARY, ForkServer, counts, run_ranks  # noqa: E402

FAILED = 1
CORES = os.cpu_count()
# The pool of LibTorch, which waits for ever when one of its threads cannot be started. So as many are tried before.
OF_LIBTORCH = range(CORES + 1, 2 * CORES)
STARTED = r"cannot start a thread.*ulimit -u.*fewer threads"
# OpenMP's runtime ends the program itself; oneDNN and LibTorch use it.
ENDED = r"Thread creation failed: Resource temporarily unavailable\n(.*\n)*error: a library ended the program.*ulimit -u"


@unittest.skipUnless(os.path.exists(LIBRARY), "needs TESSERA_NTH_CALL_LIBRARY (built by CMake)")
class Threads(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("threads", {"data": {"raw": "packed.h5:/raw", "validation_sections": None}, "train": {
            "iterations": 1, "threads": 1, "weight_map": {"w0": 5}}, "infer": {"threads": 1, "output": "made.h5:/p"}})
        cls.write_volumes("packed.h5", {"raw": cls.read("stack.h5:/volumes/raw")}, chunks=(1, 32, 32), compression="gzip")
        cls.done(cls.folder, ["train", cls.yaml])
        cls.done(cls.folder, ["infer", cls.yaml])
        cls.server = ForkServer(cls.folder)
        cls.addClassCleanup(cls.server.close)

    def failing(self, nth):
        return {"TESSERA_NTH_CALL": "thread", "TESSERA_NTH": str(nth), "TESSERA_NTH_ERRNO": str(errno.EAGAIN)}

    def threads_of(self, arguments):
        file = self.folder / "counts"
        file.unlink(missing_ok=True)
        outcome = self.server.run(arguments, self.folder, environment={**self.failing(0), "TESSERA_NTH_COUNT": str(file)})
        self.assertEqual(outcome.code, 0, outcome)
        return counts(file)["thread"]

    def assert_ends_in_order(self, arguments, at_least):
        """Fails every thread's start once. Returns how many of these starts the verb survived."""
        count, survived = self.threads_of(arguments), 0
        self.assertGreaterEqual(count, at_least, arguments)
        for nth in range(1, count + 1):
            if nth in OF_LIBTORCH:
                continue
            outcome = self.server.run(arguments, self.folder, 20, environment=self.failing(nth))
            self.assertFalse(outcome.hung or outcome.crashed(), f"thread {nth} of {count}: {outcome}")
            if outcome.code == 0:  # the block is tried again
                self.assertRegex(outcome.text, rf"is tried again: .*{STARTED}", f"thread {nth} of {count}")
                survived += 1
            else:
                self.assertEqual(outcome.code, FAILED, f"thread {nth} of {count}: {outcome}")
                self.assertRegex(outcome.text, f"{STARTED}|{ENDED}", f"thread {nth} of {count}")
        return survived

    def test_train(self):
        self.assertEqual(self.assert_ends_in_order(["train", self.yaml, "--overwrite"], CORES + 1), 0)

    def test_infer(self):
        infer = ["infer", self.yaml, "--restart", "--set", "infer.output=out.h5:/p"]
        self.assertGreater(self.assert_ends_in_order(infer, CORES + 3), 0)
        self.tessera(infer[:2] + infer[3:])
        self.assert_same_voxels(self.read("out.h5:/p"), self.read("made.h5:/p"))

    def test_other_verbs(self):
        self.assert_ends_in_order(["verify", "made.h5:/p"], 3)
        self.assert_ends_in_order(["pack", "made.h5:/p", "packed_result.h5:/p", "--overwrite"], 3)

    def test_memory_at_the_start(self):
        """The first allocations of main(): the log's."""
        for nth in (1, 2):
            outcome = self.server.run(["--version"], self.folder, 20, environment={
                "TESSERA_NTH_CALL": "memory", "TESSERA_NTH": str(nth), "TESSERA_NTH_MIN": "64", "TESSERA_NTH_ERRNO": str(errno.ENOMEM)})
            self.assertFalse(outcome.hung or outcome.crashed(), outcome)
            self.assertIn(outcome.code, (0, FAILED), outcome)
            if outcome.code == FAILED:
                self.assertRegex(outcome.text, "error: out of memory", outcome)

    def test_on_one_rank(self):
        for nth in (1, 2, 3):
            outcome = run_ranks(["verify", "made.h5:/p"], self.folder, 3, 30, {**self.failing(nth), "TESSERA_NTH_RANK": "1"})
            self.assertFalse(outcome.hung or outcome.signal, outcome)
            if "OPAL ERROR" in outcome.text:  # a thread of Open MPI itself, which reports it and works without
                continue
            self.assertEqual(outcome.code, FAILED, outcome)
            self.assertRegex(outcome.text, STARTED)


if __name__ == "__main__":
    unittest.main()
