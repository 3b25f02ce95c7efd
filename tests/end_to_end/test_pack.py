"""`verify` finds damage, `pack` compresses, and neither ever damages a result."""

import errno
import os
import random
import shutil
import signal
import time
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera
from journal import Journal

FAIL_IO = os.environ.get("TESSERA_FAIL_IO", "")
FAILED, USAGE = 1, 2
# mpirun waits so long between SIGTERM and SIGKILL for what is left of a job that lost a rank.
QUICK = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}
NEEDS_FAIL_IO = unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that makes calls fail (built by CMake)")


class Results(Case):

    stack_shape = (8, 256, 256)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("made", {"train": {"iterations": 1}, "infer": {"block": [1, 64, 128], "chunk": [1, 64, 64],
                                                                              "output": "made.h5:/volumes/p"}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.done(cls.folder, ["infer", cls.yaml], 3)
        cls.voxels = cls.read("made.h5:/volumes/p")

    def copy(self, file, source="made.h5"):
        for end in ("", ".journal"):
            shutil.copy(self.folder / f"{source}{end}", self.folder / f"{file}{end}")
        return file

    def forget(self, file, records):
        """Removes this many records from the end of the journal."""
        path = self.folder / f"{file}.journal"
        path.write_bytes(path.read_bytes()[:-32 * records])

    def places(self, file, blocks):
        """Where the first chunks of these blocks are in the file."""
        journal = Journal(self.folder / f"{file}.journal")
        with h5py.File(self.folder / file, "r") as f:
            chunks = f["volumes/p"].id
            return [chunks.get_chunk_info_by_coord(tuple(s.start for s in journal.box(b))).byte_offset for b in blocks]

    def stored(self, name):
        """{place in the volume: bytes} of the stored chunks of FILE.h5:/path, with their filter masks."""
        file, path = name.rsplit(":", 1)
        with h5py.File(self.folder / file, "r") as f:
            chunks = f[path].id
            offsets = [chunks.get_chunk_info(i).chunk_offset for i in range(chunks.get_num_chunks())]
            return {offset: chunks.read_direct_chunk(offset) for offset in offsets}

    def faulty(self, arguments, ranks, call, name, timeout=60, **how):
        """Runs with calls of one file that fail, or stop the process: `how` as tests/fault/fail_io.c has it."""
        environment = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": name, **QUICK,
                       **{f"TESSERA_FAIL_{key.upper()}": str(value) for key, value in how.items()}}
        return run_tessera(arguments, ranks, timeout, self.folder, environment=environment)

    def damage(self, file, blocks):
        """Overwrites bytes in the middle of these blocks."""
        places = self.places(file, blocks)
        with open(self.folder / file, "r+b") as f:
            for at in places:
                f.seek(at + 1000)
                byte = f.read(1)[0]
                f.seek(at + 1000)
                f.write(bytes([byte ^ 0x80]))


class Verify(Results):

    def test_a_good_result(self):
        for ranks in (0, 1, 2, 4):
            result = self.tessera(["verify", "made.h5:/volumes/p"], ranks)
            self.assertRegex(result.stdout, r"64 blocks, 512 KiB, were read: all are as they were written")
        self.tessera(["verify", self.yaml], 3)

    def test_damaged_blocks_are_named_and_predicted_again(self):
        for ranks in (0, 4):
            file = self.copy(f"hurt{ranks}.h5")
            self.damage(file, [3, 40, 63])
            result = run_tessera(["verify", f"{file}:/volumes/p"], ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, ["3 are damaged", "block 3 .z", "block 40 .z", "block 63 .z", "--forget-damaged"])
            self.assertEqual(result.text.count("its checksum is"), 3, result)
            again = ["infer", self.yaml, "--set", f"infer.output={file}:/volumes/p"]
            self.assertIn("done already", self.tessera(again).stdout)
            result = run_tessera(["verify", f"{file}:/volumes/p", "--forget-damaged"], ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, ["removed from the journal"])
            self.assertIn("predicted 3 blocks", self.tessera(again, ranks).stdout)
            self.tessera(["verify", f"{file}:/volumes/p"], ranks)
            self.assert_same_voxels(self.read(f"{file}:/volumes/p"), self.voxels)

    def test_incomplete(self):
        file = self.copy("part.h5")
        self.forget(file, 16)
        for ranks in (0, 3):
            result = run_tessera(["verify", f"{file}:/volumes/p"], ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, [r"incomplete: 48 of 64 blocks \(75.0 %\) are done"])

    @NEEDS_FAIL_IO
    def test_a_block_that_fails_once_is_read_again(self):
        at = self.places("made.h5", [9])[0]
        # Each of up to three workers fails once.
        for ranks in (0, 1, 2, 4):
            result = self.faulty(["verify", "made.h5:/volumes/p", "--max-retries", "3"], ranks, "pread", "/made.h5", at=at,
                                 times=1)
            self.assertEqual((result.code, result.errors()), (0, []), result)
            self.assertRegex(result.text, r"block 9 \(z .*\) failed on rank \d+ on \S+, and is tried again: cannot read")
            self.assertRegex(result.stdout, r"64 blocks, 512 KiB, were read: all are as they were written")

    @NEEDS_FAIL_IO
    def test_a_block_that_cannot_be_read_is_named(self):
        at = self.places("made.h5", [9])[0]
        for ranks in (0, 1, 2, 4):
            result = self.faulty(["verify", "made.h5:/volumes/p", "--max-retries", "1"], ranks, "pread", "/made.h5", at=at)
            self.assert_one_error(result, FAILED, ["1 are damaged", r"block 9 \(z .*\): cannot read .*2 attempts, the last on rank"])
            self.assertEqual(result.text.count("and is tried again"), 1, result)

    @NEEDS_FAIL_IO
    def test_every_block_that_cannot_be_read_is_named(self):
        file = self.copy("unread.h5")
        for ranks in (0, 3):
            result = self.faulty(["verify", f"{file}:/volumes/p", "--max-retries", "0", "--forget-damaged"], ranks, "pread", f"/{file}",
                                 nth=40)
            self.assertEqual((result.code, len(result.errors())), (FAILED, 1), result)
            self.assertRegex(result.text, "removed from the journal")
            self.copy(file)

    @NEEDS_FAIL_IO
    def test_a_silent_worker(self):
        at = self.places("made.h5", [20])[0]
        result = self.faulty(["verify", "made.h5:/volumes/p", "--watchdog-minutes", "0.03"], 3, "pread", "/made.h5", at=at, stop=1)
        self.assertEqual(result.code, FAILED, result)
        self.assertRegex(result.text, r"rank \d on \S+ was not heard of for \d+ s; it had block \d+ \(z .*--watchdog-minutes sets the limit")

    def test_killed_and_started_again(self):
        process = self.start(["verify", "made.h5:/volumes/p"], 3, environment=QUICK)
        time.sleep(0.5 * self.tessera(["verify", "made.h5:/volumes/p"], 3).seconds)
        process.kill()
        self.tessera(["verify", "made.h5:/volumes/p"], 3)

    def test_bad_options(self):
        for options, words in ((["--max-retries", "101"], "--max-retries 101"), (["--watchdog-minutes", "0.001"], "at least 0.02")):
            self.assert_one_error(run_tessera(["verify", "made.h5:/volumes/p", *options], 0, 60, self.folder), USAGE, [words])

    def test_what_is_no_result(self):
        for ranks in (0, 3):
            result = run_tessera(["verify", "stack.h5:/volumes/raw"], ranks, 60, self.folder)
            self.assert_one_error(result, USAGE, ["stack.h5:/volumes/raw is no result"])
            shutil.copy(self.folder / "made.h5", self.folder / "alone.h5")
            result = run_tessera(["verify", "alone.h5:/volumes/p"], ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, [r"alone.h5.journal"])


class Pack(Results):

    def test_packed_is_the_same_and_smaller(self):
        for ranks in (0, 1, 2, 4):
            self.tessera(["pack", "made.h5:/volumes/p", f"packed{ranks}.h5:/volumes/p", "--gzip", "6"], ranks)
            with h5py.File(self.folder / f"packed{ranks}.h5") as f, h5py.File(self.folder / "made.h5") as made:
                packed, plain = f["volumes/p"], made["volumes/p"]
                self.assertEqual((packed.compression, packed.compression_opts, packed.chunks), ("gzip", 6, (1, 64, 64)))
                self.assert_same_voxels(packed[()], self.voxels, f"{ranks} ranks")
                self.assertLess(packed.id.get_storage_size(), plain.id.get_storage_size())
                self.assertEqual({k: str(v) for k, v in packed.attrs.items() if k != "packed"},
                                 {k: str(v) for k, v in plain.attrs.items()})
                self.assert_same_voxels(f["volumes/raw"][()], self.read("stack.h5:/volumes/raw"), "through the link")
        self.assertEqual(self.leftovers(), [])

    def test_every_number_of_ranks_stores_the_same(self):
        stored = []
        for ranks in (0, 1, 2, 4):
            self.tessera(["pack", "made.h5:/volumes/p", f"same{ranks}.h5:/volumes/p"], ranks)
            stored.append(self.stored(f"same{ranks}.h5:/volumes/p"))
            self.assertEqual(stored[-1], stored[0], f"{ranks} ranks")
        self.assertGreater(len(stored[0]), 8)

    @NEEDS_FAIL_IO
    def test_chunks_that_fail_once_are_packed_again(self):
        at = self.places("made.h5", [9])[0]
        for ranks in (0, 1, 2, 4):
            result = self.faulty(["pack", "made.h5:/volumes/p", f"again{ranks}.h5:/volumes/p", "--max-retries", "3"], ranks, "pread",
                                 "/made.h5", at=at, times=1)
            self.assertEqual((result.code, result.errors()), (0, []), result)
            self.assertRegex(result.text, r"chunks \[\d+, \d+\) failed on rank \d+ on \S+, and is tried again: cannot read chunk")
            self.assert_same_voxels(self.read(f"again{ranks}.h5:/volumes/p"), self.voxels)

    @NEEDS_FAIL_IO
    def test_chunks_that_cannot_be_read_are_named(self):
        at = self.places("made.h5", [9])[0]
        for ranks in (0, 1, 2, 4):
            result = self.faulty(["pack", "made.h5:/volumes/p", "failed.h5:/p"], ranks, "pread", "/made.h5", at=at)
            self.assert_one_error(result, FAILED, [r"1 of \d+ chunk ranges could not be packed",
                                                   r"chunks \[\d+, \d+\), 3 attempts, the last on rank \d+ on .*Input/output error"])
            self.assertEqual(result.text.count("and is tried again"), 2, result)
            self.assertFalse((self.folder / "failed.h5").exists())
            self.assertEqual(self.leftovers(), [])

    @NEEDS_FAIL_IO
    def test_a_sick_worker(self):
        """EIO on every read of one worker: the others do its part."""
        for verb in (["pack", "made.h5:/volumes/p", "sick.h5:/volumes/p"], ["verify", "made.h5:/volumes/p"]):
            result = self.faulty(verb, 4, "pread", "/made.h5", nth=30, rank=2)
            self.assertEqual((result.code, result.errors()), (0, []), result)
        self.assert_same_voxels(self.read("sick.h5:/volumes/p"), self.voxels)

    @NEEDS_FAIL_IO
    def test_a_silent_worker(self):
        at = self.places("made.h5", [20])[0]
        result = self.faulty(["pack", "made.h5:/volumes/p", "silent.h5:/p", "--watchdog-minutes", "0.03"], 3, "pread", "/made.h5", at=at,
                             stop=1)
        self.assertEqual(result.code, FAILED, result)
        self.assertRegex(result.text, r"rank \d on \S+ was not heard of for \d+ s; it had chunks \[.*--watchdog-minutes sets the limit")
        self.assertFalse((self.folder / "silent.h5").exists())

    def test_wider_types_are_shuffled(self):
        self.tessera(["infer", self.yaml, "--set", "infer.dtype=float32", "--set", "infer.output=wide.h5:/p"], 3)
        for ranks in (0, 3):
            self.tessera(["pack", "wide.h5:/p", f"deep/folder/wide{ranks}.h5:/p"], ranks)
            with h5py.File(self.folder / f"deep/folder/wide{ranks}.h5") as f:
                self.assertEqual((f["p"].shuffle, f["p"].compression), (True, "gzip"))
                self.assert_same_voxels(f["p"][()], self.read("wide.h5:/p"))
                self.assertEqual(f.get("volumes/raw", getlink=True).filename, "../../stack.h5")

    def test_in_the_place_of_the_result(self):
        for ranks in (0, 3):
            file = self.copy(f"place{ranks}.h5")
            self.tessera(["pack", f"{file}:/volumes/p", "--replace"], ranks)
            self.assert_same_voxels(self.read(f"{file}:/volumes/p"), self.voxels)
            self.tessera(["verify", f"{file}:/volumes/p"], ranks)
            again = ["infer", self.yaml, "--set", f"infer.output={file}:/volumes/p"]
            self.assertIn("done already", self.tessera(again).stdout)
            self.assertIn("is packed already", self.tessera(["pack", f"{file}:/volumes/p", "--replace"], ranks).stdout)
            self.damage(file, [5])
            result = run_tessera(["verify", f"{file}:/volumes/p"], ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, ["damaged", "block 5 .z"])

    def test_refusals(self):
        file = self.copy("refused.h5")
        (self.folder / "there.h5").write_text("precious")
        cases = [(["made.h5:/volumes/p", "there.h5:/p"], ["there.h5 exists already", "--overwrite"]),
                 (["made.h5:/volumes/p", "made.h5:/q"], ["pass --replace"]),
                 (["made.h5:/volumes/p"], ["name an output, or pass --replace"]),
                 (["made.h5:/volumes/p", "x.h5:/p", "--gzip", "12"], ["--gzip 12"]),
                 (["stack.h5:/volumes/raw", "x.h5:/p"], ["no result"])]
        for arguments, words in cases:
            for ranks in (0, 3):
                self.assert_one_error(run_tessera(["pack", *arguments], ranks, 60, self.folder), USAGE, words)
        self.assertEqual((self.folder / "there.h5").read_text(), "precious")
        self.forget(file, 10)
        for ranks in (0, 3):
            result = run_tessera(["pack", f"{file}:/volumes/p", "x.h5:/p"], ranks, 60, self.folder)
            self.assert_one_error(result, USAGE, ["incomplete: 54 of 64 blocks", "--allow-incomplete"])
        self.assertFalse((self.folder / "x.h5").exists())
        self.tessera(["pack", f"{file}:/volumes/p", "x.h5:/p", "--allow-incomplete"], 3)
        self.assert_same_voxels(self.read("x.h5:/p"), self.voxels)

    def test_a_damaged_result_is_not_packed(self):
        for ranks in (0, 3):
            file = self.copy(f"bad{ranks}.h5")
            self.damage(file, [7])
            before = (self.folder / file).read_bytes()
            for to in (["--replace"], [f"never{ranks}.h5:/p"]):
                result = run_tessera(["pack", f"{file}:/volumes/p", *to], ranks, 60, self.folder)
                self.assert_one_error(result, FAILED, ["1 blocks do not come back", "block 7 .z", "tessera verify"])
            self.assertEqual((self.folder / file).read_bytes(), before)
            self.assertFalse((self.folder / f"never{ranks}.h5").exists())
            self.assertEqual(self.leftovers(), [])

    def test_killed_at_random_instants(self):
        dice, whole, killed = random.Random(2), 0, 0
        file = self.copy("killed.h5")
        undisturbed = self.tessera(["pack", "made.h5:/volumes/p", "time.h5:/p"], 3).seconds
        plain = (self.folder / file).read_bytes()
        for trial in range(8):
            process = self.start(["pack", f"{file}:/volumes/p", "--replace"], dice.choice((0, 3)))
            time.sleep(dice.uniform(0.1, 1.0) * undisturbed)
            killed += process.running()
            process.kill()
            now = (self.folder / file).read_bytes()
            whole += now != plain
            self.assert_same_voxels(self.read(f"{file}:/volumes/p"), self.voxels, f"trial {trial}")
            self.assertLessEqual(len(self.leftovers()), 1)
            if now != plain:
                self.copy(file)
        self.assertGreater(killed, 2)
        self.tessera(["pack", f"{file}:/volumes/p", "--replace"], 3)
        self.assertEqual(self.leftovers(), [])

    @NEEDS_FAIL_IO
    def test_full_disk(self):
        for ranks in (0, 3):
            for call, nth in (("pwrite", 1), ("pwrite", 9), ("fsync", 1)):
                environment = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": "small.h5~*.tmp",
                               "TESSERA_FAIL_ERRNO": str(errno.ENOSPC), "TESSERA_FAIL_NTH": str(nth)}
                result = run_tessera(["pack", "made.h5:/volumes/p", "small.h5:/p"], ranks, 60, self.folder, environment=environment)
                self.assert_one_error(result, FAILED, [r"small\.h5", "No space left"])
                self.assertEqual(self.leftovers(), [])
                self.assertFalse((self.folder / "small.h5").exists())


class Contents(Results):
    """What else is in a result's file."""

    def attributes(self, file):
        with h5py.File(self.folder / file, "r") as f:
            return {name: np.asarray(value).tolist() for name, value in f["volumes/p"].attrs.items() if name != "packed"}

    def test_packing_keeps_all_that_the_file_holds(self):
        self.copy("full.h5")
        before = self.attributes("full.h5")
        with h5py.File(self.folder / "full.h5", "a") as f:
            f["volumes/p"].attrs["note"] = "a string of variable length"
            f["volumes/p"].attrs["names"] = ["z", "y", "x"]
            f.attrs["title"] = "root"
            f["other/points"] = np.arange(6.0)
            f["other"].attrs["kind"] = "group"
            f["same"] = h5py.SoftLink("/other/points")
        self.tessera(["pack", "full.h5:/volumes/p", "--replace"])
        self.assertEqual(self.attributes("full.h5"),
                         {**before, "note": "a string of variable length", "names": ["z", "y", "x"]})
        with h5py.File(self.folder / "full.h5", "r") as f:
            self.assertEqual((f.attrs["title"], f["other"].attrs["kind"]), ("root", "group"))
            np.testing.assert_array_equal(f["same"][()], np.arange(6.0))
        self.assert_same_voxels(self.read("full.h5:/volumes/p"), self.voxels)

    @NEEDS_FAIL_IO
    def test_failed_read_never_loses_an_attribute(self):
        before, failed = self.attributes("made.h5"), 0
        for nth in range(1, 60, 4):
            with self.subTest(nth=nth):
                self.copy("failing.h5")
                result = run_tessera(["pack", "failing.h5:/volumes/p", "--replace"], cwd=self.folder,
                                     environment={"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": "pread",
                                                  "TESSERA_FAIL_NAME": "failing.h5", "TESSERA_FAIL_ERRNO": str(errno.EIO),
                                                  "TESSERA_FAIL_NTH": str(nth), "TESSERA_FAIL_TIMES": "1"})
                self.assertIn(result.code, (0, FAILED), result)
                failed += result.code == FAILED
                self.assertEqual(self.attributes("failing.h5"), before)
        self.assertGreater(failed, 5)


if __name__ == "__main__":
    unittest.main()
