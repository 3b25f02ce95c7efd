"""Predictions that are killed, stopped, or whose disk fails. Started again, they give the same bytes and compute no
block of the journal again."""

import errno
import json
import os
import pathlib
import random
import shutil
import signal
import time
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera
from journal import DONE, Journal, crc32c

FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")
FAILED, USAGE, STOPPED = 1, 2, 75
TRIALS = 30
# Time between SIGTERM and SIGKILL that mpirun gives the remaining ranks of a job that lost a rank.
QUICK = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}


class Faults(Case):
    """A small prediction of 128 blocks, and its undisturbed result."""

    stack_shape = (8, 256, 256)
    blocks = 128

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("fault", {"model": {"base_filters": 12}, "train": {"iterations": 1}, "infer": {
            "block": [1, 64, 64], "chunk": [1, 64, 64]}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.undisturbed_run = cls.done(cls.folder, cls.infer("undisturbed.h5"), ranks=3)
        cls.undisturbed = cls.read("undisturbed.h5:/p")
        if len(np.unique(cls.undisturbed)) < 4:
            raise AssertionError("a prediction of one value shows nothing")

    @classmethod
    def infer(cls, file, *more):
        return ["infer", cls.yaml, "--set", f"infer.output={file}:/p", *more]

    def journal(self, file):
        """The journal, if it exists yet. Asserts the law: no block twice, and every block's voxels are in the volume."""
        path = self.folder / f"{file}.journal"
        if not path.exists():
            return None
        journal = Journal(path)
        blocks = journal.blocks()
        self.assertEqual(len(blocks), len(set(blocks)), "a block was computed twice")
        with h5py.File(self.folder / file, "r") as f:
            volume = f["p"][()]
        for block in blocks:
            box = journal.box(block)
            self.assert_same_voxels(volume[box], self.undisturbed[box], f"block {block} of the journal")
        return journal

    def records(self, file):
        """Number of blocks in the journal so far, from its size."""
        try:
            journal = Journal(self.folder / f"{file}.journal")
        except FileNotFoundError:
            return 0
        return len(journal.blocks())

    def report(self):
        return json.loads((self.folder / "runs/fault/inference.json").read_text())

    def finish(self, file, ranks, before=None):
        """Continues to the end and checks the whole result."""
        result = self.tessera(self.infer(file), ranks)
        self.assert_same_voxels(self.read(f"{file}:/p"), self.undisturbed, file)
        journal = self.journal(file)
        self.assertEqual(sorted(journal.blocks()), list(range(self.blocks)))
        if before is not None:
            self.assertEqual(journal.blocks()[:len(before)], before, "what the journal held is still there, once")
            if len(before) < self.blocks:
                self.assertEqual(self.report()["blocks"]["before"], len(before))
                self.assertEqual(self.report()["blocks"]["now"], self.blocks - len(before))
        self.assertEqual(self.leftovers(), [])
        return result


class Kills(Faults):

    def kill(self, process, how, dice):
        if how == "a rank" and process.ranks:
            try:
                os.kill(process.rank_pid(dice.randrange(process.ranks)), signal.SIGKILL)
            except ProcessLookupError:
                return False  # it has ended or not started; the job goes on
        elif how == "mpirun" or not process.ranks:
            try:
                process.signal(signal.SIGKILL)
            except ProcessLookupError:
                return False
        else:
            process.kill()
        return True

    def test_killed_at_random_instants(self):
        dice = random.Random(4)
        tally = {"a rank": 0, "mpirun": 0, "all": 0}
        in_the_middle = sequence = 0
        while sum(tally.values()) < TRIALS:
            sequence += 1
            file, known = f"killed{sequence}.h5", []
            self.assertLess(sequence, 30, f"it ends before it can be killed: {tally}")
            for _ in range(6):
                how = min(tally, key=tally.get)
                ranks = 0 if how == "mpirun" and dice.random() < 0.3 else dice.choice((2, 3, 4))
                process = self.start(self.infer(file), ranks, environment=QUICK)
                if dice.random() < 0.25:  # any time, also before any file exists
                    time.sleep(dice.uniform(0.05, 0.7) * self.undisturbed_run.seconds)
                else:  # any time while blocks are processed
                    wanted = len(known) + dice.randrange(1, max(2, min(40, self.blocks - len(known))))
                    while process.running() and self.records(file) < wanted:
                        time.sleep(0.002)
                    time.sleep(dice.uniform(0, 0.03))
                killed = process.running() and self.kill(process, how, dice)
                result = process.finish(20)
                self.assertEqual(process.left_behind(10), [], result)
                if not killed:
                    self.assertEqual(result.code, 0, result)
                    break
                tally[how] += 1
                journal = self.journal(file)
                now = journal.blocks() if journal else []
                self.assertEqual(now[:len(known)], known, "the journal lost a block")
                in_the_middle += len(known) < len(now) < self.blocks
                known = now
                if len(known) == self.blocks:
                    break
            self.finish(file, dice.choice((0, 3)), known)
        print(f"{sum(tally.values())} kills ({tally}), {in_the_middle} of them while blocks were being done, "
              f"{sequence} volumes")
        self.assertGreater(in_the_middle, TRIALS // 3)

    def test_signals_end_in_order(self):
        for ranks in (0, 3):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
                with self.subTest(ranks=ranks, number=number):
                    file = f"signal{ranks}_{number}.h5"
                    process = self.start(self.infer(file), ranks)
                    path = self.folder / f"{file}.journal"
                    process.wait_until(lambda: path.exists() and len(Journal(path).blocks()) > 3, 30, "some blocks are done")
                    process.signal(number, whole_job=ranks > 0)
                    result = process.finish(15)
                    self.assertEqual(result.code, STOPPED, result)
                    self.assertRegex(result.text, r"stopped by a signal: \d+ of 128 blocks are done; start again to go on")
                    self.assertEqual(process.left_behind(), [])
                    report = self.report()
                    journal = self.journal(file)
                    self.assertEqual(report["end"], "stopped")
                    self.assertEqual(report["blocks"]["now"], len(journal.blocks()))
                    self.assertLess(len(journal.blocks()), self.blocks)
                    self.finish(file, 3 - ranks, journal.blocks())


class Starts(Faults):
    """What a start finds, and how it reacts."""

    def copy(self, file):
        for end in ("", ".journal"):
            shutil.copy(self.folder / f"undisturbed.h5{end}", self.folder / f"{file}{end}")
        return self.folder / f"{file}.journal"

    def keep_records(self, path, count):
        whole = path.read_bytes()
        begin = len(whole) - 32 * len(Journal(path).records)
        path.write_bytes(whole[:begin + 32 * count])

    def test_all_done_computes_nothing(self):
        for ranks in (0, 3):
            before = {p: p.stat().st_mtime_ns for p in self.folder.glob("undisturbed.h5*")}
            result = self.tessera(self.infer("undisturbed.h5"), ranks)
            self.assertIn("every one of the 128 blocks is done already", result.stdout)
            self.assertEqual({p: p.stat().st_mtime_ns for p in before}, before)

    def test_another_job_is_refused_and_the_differences_named(self):
        self.copy("other.h5")
        cases = {"infer.tile=72": ["infer.tile: 104 then, 72 now"],
                 "infer.block=[2,64,64]": [r"infer.block: \(1, 64, 64\) then, \(2, 64, 64\) now"]}
        for change, words in cases.items():
            for ranks in (0, 3):
                result = run_tessera(self.infer("other.h5", "--set", change), ranks, 60, self.folder)
                self.assert_one_error(result, USAGE, [*words, "--restart"])
                self.assertEqual(result.text.count(" then, "), len(words), result)
        self.assert_same_voxels(self.read("other.h5:/p"), self.undisturbed)
        self.tessera(self.infer("other.h5", "--set", "infer.tile=72", "--restart"))
        self.tessera(self.infer("other.h5", "--set", "infer.tile=72"))

    def test_changed_inputs_are_another_job(self):
        self.copy("inputs.h5")
        weights = self.folder / "runs/fault/checkpoints/best.h5"
        shutil.copy(weights, self.folder / "renamed.h5")
        result = self.tessera(self.infer("inputs.h5", "--set", "infer.checkpoint=renamed.h5"))
        self.assertIn("done already", result.stdout, "the name of a checkpoint means nothing")
        stack = self.folder / "stack.h5"
        times = (stack.stat().st_atime_ns, stack.stat().st_mtime_ns)
        os.utime(stack, ns=(times[0], times[1] + 1))
        try:
            result = run_tessera(self.infer("inputs.h5"), 0, 60, self.folder)
            self.assert_one_error(result, USAGE, ["raw.modified: .* then, .* now"])
        finally:
            os.utime(stack, ns=times)

    def test_missing_journal(self):
        path = self.copy("alone.h5")
        path.unlink()
        result = self.tessera(self.infer("alone.h5"), 3)
        self.assertRegex(result.text, "alone.h5.journal is missing: no block of alone.h5 is known to be done")
        self.assertEqual(self.report()["blocks"]["now"], self.blocks)
        self.finish("alone.h5", 0)

    def test_journal_of_another_volume(self):
        self.tessera(self.infer("second.h5"), 3)
        shutil.copy(self.folder / "second.h5.journal", self.copy("mixed.h5"))
        result = self.tessera(self.infer("mixed.h5"), 3)
        self.assertRegex(result.text, "mixed.h5.journal belongs to another file")
        self.assertEqual(self.report()["blocks"]["now"], self.blocks)
        self.finish("mixed.h5", 0)

    def test_journal_without_its_volume(self):
        self.copy("lost.h5")
        (self.folder / "lost.h5").unlink()
        self.finish("lost.h5", 3)
        self.assertEqual(self.report()["blocks"], {**self.report()["blocks"], "before": 0, "now": self.blocks})

    def test_torn_and_damaged_journals(self):
        path = self.copy("torn.h5")
        self.keep_records(path, 41)
        with open(path, "ab") as f:
            f.write(b"\x13" * 17)
        result = self.tessera(self.infer("torn.h5"), 0)
        self.assertRegex(result.text, "the last record was cut short")
        self.assertEqual(self.report()["blocks"]["before"], 40)
        self.finish("torn.h5", 0)
        path = self.copy("damaged.h5")
        content = bytearray(path.read_bytes())
        content[-32 * 20 + 5] ^= 1
        path.write_bytes(content)
        result = self.tessera(self.infer("damaged.h5"), 3)
        self.assertRegex(result.text, "1 records? (are|is) damaged")
        self.assertEqual(self.report()["blocks"]["now"], 1)
        content[40] ^= 1
        path.write_bytes(content)
        for ranks in (0, 3):
            result = run_tessera(self.infer("damaged.h5"), ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, ["its head is damaged", "--restart"])
        self.tessera(self.infer("damaged.h5", "--restart"), 3)
        self.finish("damaged.h5", 0)

    def test_what_is_no_result_is_never_replaced(self):
        shutil.copy(self.folder / "stack.h5", self.folder / "foreign.h5")
        (self.folder / "text.h5").write_text("precious")
        for file in ("foreign.h5", "text.h5"):
            before = (self.folder / file).read_bytes()
            for more in ((), ("--restart",), ("--overwrite",)):
                result = run_tessera(self.infer(file, *more), 0, 60, self.folder)
                self.assert_one_error(result, USAGE, [f"{file} exists already and holds no earlier result", "remove it yourself"])
                self.assertEqual((self.folder / file).read_bytes(), before)

    def test_two_at_once_are_refused(self):
        process = self.start(self.infer("twice.h5"), 3)
        path = self.folder / "twice.h5.journal"
        process.wait_until(lambda: path.exists() and Journal(path).starts(), 30, "the journal is there")
        process.signal(signal.SIGSTOP, whole_job=True)
        for more in ((), ("--restart",)):
            result = run_tessera(self.infer("twice.h5", *more), 0, 60, self.folder)
            self.assert_one_error(result, USAGE, [r"twice\.h5 is in use by tessera on \S+ \(process \d+, since"])
        process.signal(signal.SIGCONT, whole_job=True)
        self.assertEqual(process.finish(30).code, 0)
        self.finish("twice.h5", 0)


@unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that makes writes fail (built by CMake)")
class Disks(Faults):

    def failing(self, file, ranks, call, name, reason, nth=1, times=None, rank=None, more=()):
        environment = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": name,
                       "TESSERA_FAIL_ERRNO": str(reason), "TESSERA_FAIL_NTH": str(nth), **QUICK}
        if times is not None:
            environment["TESSERA_FAIL_TIMES"] = str(times)
        if rank is not None:
            environment["TESSERA_FAIL_RANK"] = str(rank)
        return run_tessera(self.infer(file, *more), ranks, 60, self.folder, environment=environment)

    def test_the_disk_fills_up(self):
        """ENOSPC on the n-th write: the job ends at once, in order, and continues when there is space."""
        for ranks in (0, 3):
            for call, nth in (("pwrite", 5), ("pwrite", 20), ("fdatasync", 7)):
                with self.subTest(ranks=ranks, call=call, nth=nth):
                    file = f"full{ranks}{call}{nth}.h5"
                    result = self.failing(file, ranks, call, f"/{file}", errno.ENOSPC, nth)
                    self.assert_one_error(result, FAILED, [file, "No space left", r"\d+ of 128 blocks are done; correct the cause and start again to go on"])
                    self.assertNotIn("tried again", result.text, "a full disk is no reason to retry")
                    journal = self.journal(file)
                    self.assertGreaterEqual(len(journal.blocks()), nth - 1 if ranks == 0 else 1)
                    self.assertLess(len(journal.blocks()), self.blocks)
                    self.assertEqual(self.report()["end"], "failed")
                    self.finish(file, ranks, journal.blocks())

    def test_a_write_that_fails_once(self):
        """EIO on the n-th write: the block is tried again."""
        for ranks in (0, 3):
            for call in ("pwrite", "fdatasync"):
                with self.subTest(ranks=ranks, call=call):
                    file = f"once{ranks}{call}.h5"
                    result = self.failing(file, ranks, call, f"/{file}", errno.EIO, nth=6, times=1)
                    self.assertEqual((result.code, result.errors()), (0, []), result)
                    self.assertRegex(result.text, r"block \d+ .* failed on rank .*, and is tried again: .*Input/output error")
                    self.assert_same_voxels(self.read(f"{file}:/p"), self.undisturbed)
                    self.finish(file, 0)

    def test_a_sick_worker(self):
        """EIO on every write of one worker: the others process its blocks."""
        result = self.failing("sick.h5", 4, "pwrite", "/sick.h5", errno.EIO, nth=3, rank=2)
        self.assertEqual((result.code, result.errors()), (0, []), result)
        self.assertRegex(result.text, r"rank 2 on \S+ fails with blocks that rank \d on \S+ can do, and gets no more")
        self.assert_same_voxels(self.read("sick.h5:/p"), self.undisturbed)
        self.finish("sick.h5", 0)

    def test_a_dead_disk(self):
        """EIO on every write: not every block is tried."""
        for ranks in (0, 3):
            file = f"dead{ranks}.h5"
            result = self.failing(file, ranks, "fdatasync", f"/{file}", errno.EIO)
            self.assert_one_error(result, FAILED, ["no block was done", "Input/output error"])
            self.assertLess(len(result.warnings()), 60, result)
            self.finish(file, ranks, [])

    def test_the_journal_cannot_be_written(self):
        for ranks in (0, 3):
            for call, reason, words in (("pwrite", errno.ENOSPC, "No space left"), ("fdatasync", errno.EIO, "Input/output error")):
                with self.subTest(ranks=ranks, call=call):
                    file = f"unwritten{ranks}{call}.h5"
                    result = self.failing(file, ranks, call, f"{file}.journal", reason, nth=9 if call == "pwrite" else 1)
                    self.assert_one_error(result, FAILED, [f"{file}.journal", words])
                    self.finish(file, ranks, self.journal(file).blocks())

    def test_before_the_first_block(self):
        """A result that cannot be created leaves no file, and the next start starts over."""
        for call, name in (("fallocate", "fresh.h5~*.tmp"), ("pwrite", "fresh.h5~*.tmp"), ("fsync", "fresh.h5~*.tmp"),
                           ("pwrite", "fresh.h5.journal~*.tmp"), ("fallocate", "fresh.h5.journal")):
            with self.subTest(call=call, name=name):
                result = self.failing("fresh.h5", 0, call, name, errno.ENOSPC)
                self.assert_one_error(result, FAILED, ["fresh.h5", "No space left"])
                self.assertEqual(self.leftovers(), [])
                self.finish("fresh.h5", 3)
                for path in self.folder.glob("fresh.h5*"):
                    path.unlink()


class Blocks(Faults):
    """Blocks that cannot be predicted, and workers that fall silent."""

    def damaged_raw(self, file, chunks):
        raw = self.read("stack.h5:/volumes/raw")
        self.write_volumes(file, {"raw": raw}, chunks=(1, 64, 64), compression="gzip", fletcher32=True)
        with h5py.File(self.folder / file) as f:
            places = [f["raw"].id.get_chunk_info(i).byte_offset for i in chunks]
        with open(self.folder / file, "r+b") as f:
            for at in places:
                f.seek(at + 100)
                f.write(bytes(100))

    def test_blocks_that_fail_are_set_aside(self):
        self.damaged_raw("holes.h5", [60])
        for ranks in (0, 3):
            file = f"holes_out{ranks}.h5"
            arguments = self.infer(file, "--set", "infer.raw=holes.h5:/raw", "--set", "infer.max_retries=1")
            for attempt in range(2):
                result = run_tessera(arguments, ranks, 60, self.folder)
                self.assertEqual(result.code, FAILED, result)
                self.assertEqual(len(result.errors()), 1, result)
                report = self.report()
                failed = [b["block"] for b in report["blocks"]["failed"]]
                self.assertIn(60, failed)
                self.assertEqual(report["end"], "failed")
                self.assertEqual(report["blocks"]["left"], len(failed))
                self.assertEqual(report["blocks"]["now"], self.blocks - len(failed) if attempt == 0 else 0)
                self.assertRegex(result.errors()[0], rf"{len(failed)} of 128 blocks could not be predicted, the others are done")
                for entry in report["blocks"]["failed"]:
                    self.assertEqual(entry["attempts"], 2)
                    self.assertRegex(result.text, rf"block {entry['block']} \(z .*\), 2 attempts, the last on rank \d+ on .*: "
                                     r"cannot read .*holes\.h5:/raw.*damaged")
            journal = Journal(self.folder / f"{file}.journal")
            self.assertEqual(sorted(journal.blocks() + failed), list(range(self.blocks)))

    def test_input_that_vanishes(self):
        shutil.copy(self.folder / "stack.h5", self.folder / "vanishing.h5")
        process = self.start(self.infer("vanished.h5", "--set", "infer.raw=vanishing.h5:/volumes/raw", "--set",
                                        "infer.watchdog_minutes=1"), 3)
        process.wait_until((self.folder / "vanished.h5.journal").exists, 30, "the journal is there")
        (self.folder / "vanishing.h5").unlink()
        result = process.finish(30)
        self.assertIn(result.code, (0, FAILED), result)  # 0: every reader had opened it before

    def test_silent_worker(self):
        for rank in (1, 2):
            file = f"silent{rank}.h5"
            process = self.start(self.infer(file, "--set", "infer.watchdog_minutes=0.03"), 3, environment=QUICK)
            path = self.folder / f"{file}.journal"
            process.wait_until(lambda: path.exists() and len(Journal(path).blocks()) > 3, 30, "some blocks are done")
            os.kill(process.rank_pid(rank), signal.SIGSTOP)
            result = process.finish(30)
            self.assertEqual(result.code, FAILED, result)
            self.assertRegex(result.text, rf"rank {rank} on \S+ was not heard of for \d+ s; it had block \d+ \(z .*infer.watchdog_minutes")
            self.assertEqual(process.left_behind(), [])
            self.finish(file, 3, self.journal(file).blocks())

    def test_a_long_tile_is_no_silence(self):
        yaml = self.config("slow", {"model": {"base_filters": 64, "depth": 4}, "train": {"iterations": 1, "tile": 188}, "data": {
            "validation_sections": None}, "infer": {"block": [1, 384, 384], "chunk": [1, 128, 128]}})
        self.tessera(["train", yaml], timeout=120)
        self.write_volumes("thin.h5", {"raw": np.tile(self.read("stack.h5:/volumes/raw")[:1], (1, 2, 2))[:, :384, :384]})
        result = self.tessera(["infer", yaml, "--set", "infer.watchdog_minutes=0.02", "--set", "infer.raw=thin.h5:/raw"], 2, timeout=120)
        report = json.loads((self.folder / "runs/slow/inference.json").read_text())
        longest = report["total"]["predict_s"] / report["total"]["blocks"]
        self.assertGreater(longest, 1.2, f"a tile takes no longer than the watchdog's limit: the test shows nothing\n{result}")


if __name__ == "__main__":
    unittest.main()
