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

    def damage(self, file, blocks):
        """Overwrites bytes in the middle of these blocks."""
        journal = Journal(self.folder / f"{file}.journal")
        with h5py.File(self.folder / file, "r") as f:
            data = f["volumes/p"]
            places = []
            for block in blocks:
                box = journal.box(block)
                places.append(data.id.get_chunk_info_by_coord(tuple(s.start for s in box)).byte_offset)
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
            self.assert_one_error(result, FAILED, ["struck out of the journal"])
            self.assertIn("predicted 3 blocks", self.tessera(again, ranks).stdout)
            self.tessera(["verify", f"{file}:/volumes/p"], ranks)
            self.assert_same_voxels(self.read(f"{file}:/volumes/p"), self.voxels)

    def test_incomplete(self):
        file = self.copy("part.h5")
        self.forget(file, 16)
        for ranks in (0, 3):
            result = run_tessera(["verify", f"{file}:/volumes/p"], ranks, 60, self.folder)
            self.assert_one_error(result, FAILED, [r"incomplete: 48 of 64 blocks \(75.0 %\) are done"])

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

    @unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that makes writes fail (built by CMake)")
    def test_full_disk(self):
        for ranks in (0, 3):
            for call, nth in (("pwrite", 1), ("pwrite", 9), ("fsync", 1)):
                environment = {"LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_CALL": call, "TESSERA_FAIL_NAME": "small.h5.tmp",
                               "TESSERA_FAIL_ERRNO": str(errno.ENOSPC), "TESSERA_FAIL_NTH": str(nth)}
                result = run_tessera(["pack", "made.h5:/volumes/p", "small.h5:/p"], ranks, 60, self.folder, environment=environment)
                self.assert_one_error(result, FAILED, [r"small\.h5", "No space left"])
                self.assertEqual(self.leftovers(), [])
                self.assertFalse((self.folder / "small.h5").exists())


if __name__ == "__main__":
    unittest.main()
