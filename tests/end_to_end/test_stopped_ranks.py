"""Ranks that are stopped, on any rank and in any verb: the job ends and names them. Ranks that are slow are waited
for."""

import os
import signal
import unittest

from harness import Case

FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")
NTH_CALL = os.environ.get("TESSERA_NTH_CALL_LIBRARY", "")
FAILED = 1
MINUTES = "0.03"  # 1.8 s
# Time between SIGTERM and SIGKILL that mpirun gives the remaining ranks of a job that lost a rank.
QUICK = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}


@unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that stops a process at a call (built by CMake)")
class StoppedRanks(Case):

    stack_shape = (6, 128, 128)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("stopped", {"data": {"validation_sections": None}, "train": {
            "iterations": 2, "watchdog_minutes": float(MINUTES)}, "infer": {
                "output": "made.h5:/p", "block": [1, 64, 64], "chunk": [1, 64, 64], "watchdog_minutes": float(MINUTES)}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.done(cls.folder, ["infer", cls.yaml])

    def stopping(self, arguments, call, name, rank, nth=1, **more):
        """Three ranks, of which one stops as by SIGSTOP at its n-th call for a file of this name."""
        return self.start(arguments, 3, environment={
            "LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": name, "TESSERA_FAIL_RANK": str(rank),
            "TESSERA_FAIL_NTH": str(nth), "TESSERA_FAIL_TIMES": "1", "TESSERA_FAIL_STOP": "1", **QUICK, **more})

    def assert_named(self, process, rank, setting, waits="to .*"):
        result = process.finish(30)
        self.assertEqual(result.code, FAILED, result)
        self.assertEqual(len(result.errors()), 1, result)
        reporter = 1 if rank == 0 else 0
        self.assertRegex(result.text, rf"(?m)^{f'.rank {reporter}. ' if reporter else ''}error: rank {rank} on \S+ was not heard of for [1-9]\d* s: its process is "
                         rf"stopped, or its node hangs\.(?: rank {reporter} on \S+ waits {waits}\.)? The job ends.*\({setting} sets the limit\)")
        self.assertEqual(process.left_behind(10), [], "a stopped process was left behind")

    def test_infer_rank_0(self):
        process = self.stopping(["infer", self.yaml, "--set", "infer.output=out.h5:/p"], "fdatasync", "/out.h5.journal", 0)
        self.assert_named(process, 0, "infer.watchdog_minutes")
        self.assertEqual(self.tessera(["infer", self.yaml, "--set", "infer.output=out.h5:/p"], 3).code, 0)
        self.assert_same_voxels(self.read("out.h5:/p"), self.read("made.h5:/p"))

    def test_train(self):
        for rank in (0, 2):
            name = f"long{rank}"
            yaml = self.config(name, {"data": {"validation_sections": None}, "train": {
                "iterations": 1_000_000, "checkpoint_every": 1_000_000, "watchdog_minutes": float(MINUTES)}})
            process = self.start(["train", yaml], 3, environment=QUICK)
            rows = self.folder / f"runs/{name}/metrics.csv"
            process.wait_until(lambda: rows.exists() and rows.read_text().count("\n") > 5, 30, "the training runs")
            os.kill(process.rank_pid(rank), signal.SIGSTOP)
            self.assert_named(process, rank, "train.watchdog_minutes")

    def test_a_rank_that_lives_and_does_not_come(self):
        """Its read never returns, as on a dead file server. Its thread sends heartbeats, and the others wait."""
        for arguments, name, rank, setting in (
                (["train", self.yaml, "--overwrite"], "/stack.h5", 1, "train.watchdog_minutes"),
                (["evaluate", "--prediction", "made.h5:/p", "--labels", "stack.h5:/volumes/labels/cells", "--watchdog-minutes", MINUTES],
                 "/made.h5", 2, "--watchdog-minutes")):
            process = self.start(arguments, 3, environment={
                "LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": "pread", "TESSERA_FAIL_NAME": name, "TESSERA_FAIL_TIMES": "1",
                "TESSERA_FAIL_RANK": str(rank), "TESSERA_FAIL_SLEEP_MS": "600000", **QUICK})
            result = process.finish(60)
            self.assertEqual(result.code, FAILED, result)
            self.assertEqual(len(result.errors()), 1, result)
            self.assertRegex(result.text, rf"(?m)^error: rank {rank} on \S+ kept the others waiting for [2-4]\d s: its device or file "
                             rf"system hangs.*The job ends.*\({setting} sets the limit\)")
            self.assertEqual(process.left_behind(10), [])

    def test_evaluate(self):
        arguments = ["evaluate", "--prediction", "made.h5:/p", "--labels", "stack.h5:/volumes/labels/cells", "--watchdog-minutes", MINUTES]
        self.assert_named(self.stopping(arguments, "pread", "/made.h5", 1), 1, "--watchdog-minutes")
        process = self.stopping(["evaluate", self.yaml, "--set", "data.labels=stack.h5:/volumes/labels/cells", "--set",
                                 f"evaluate.watchdog_minutes={MINUTES}"], "fsync", ".tmp", 0)
        self.assert_named(process, 0, "evaluate.watchdog_minutes")

    def test_verify_and_pack(self):
        for verb, rank in ((["verify", "made.h5:/p"], 0), (["pack", "made.h5:/p", "packed.h5:/p"], 0)):
            process = self.stopping([*verb, "--watchdog-minutes", MINUTES], "pread", "/made.h5", rank)
            self.assert_named(process, rank, "--watchdog-minutes")

    def test_at_the_start(self):
        """The thread that watches is the first one, and is started before MPI: a rank that sleeps there does not reach
        MPI_Init."""
        process = self.start(["verify", "made.h5:/p"], 3, environment={
            "LD_PRELOAD": NTH_CALL, "TESSERA_NTH_CALL": "thread", "TESSERA_NTH": "1", "TESSERA_NTH_RANK": "2", "TESSERA_NTH_DO": "sleep",
            "TESSERA_NTH_SLEEP_MS": "30000", "TESSERA_MEETING_SECONDS": "3", **QUICK})
        result = process.finish(20)
        self.assertEqual(result.code, FAILED, result)
        self.assertRegex(result.text, r"another rank did not come for \d+ s.*This rank waits to start MPI.*TESSERA_MEETING_SECONDS")
        self.assertEqual(process.left_behind(10), [])

    def test_a_slow_rank_is_no_silence(self):
        """A read that takes longer than the limit, and a computation; the other ranks wait for that rank."""
        slow = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": "pread", "TESSERA_FAIL_TIMES": "1"}
        evaluate = ["evaluate", "--prediction", "made.h5:/p", "--labels", "stack.h5:/volumes/labels/cells", "--watchdog-minutes", MINUTES]
        for arguments, name, how in ((evaluate, "/made.h5", "SLEEP"), (["train", self.yaml, "--overwrite"], "/stack.h5", "BUSY")):
            for rank in (0, 1):
                process = self.start(arguments, 3, environment={
                    **slow, "TESSERA_FAIL_NAME": name, "TESSERA_FAIL_RANK": str(rank), f"TESSERA_FAIL_{how}_MS": "4000"})
                result = process.finish(30)
                self.assertEqual((result.code, result.errors()), (0, []), result)
                self.assertGreater(result.seconds, 4, f"no slow read: the test shows nothing\n{result}")


if __name__ == "__main__":
    unittest.main()
