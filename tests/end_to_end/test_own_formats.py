"""Files of Tessera's own formats are checked before they are used; output that cannot be written is an error; names may
have any bytes."""

import json
import os
import shutil
import struct

import h5py

from harness import Case, run_tessera
from journal import crc32c

FAILED = 1
HOSTILE = os.fsdecode(b"m\xfcller\n[1]")  # not UTF-8, a line feed, a wildcard
LONG = "p" * 247 + ".h5"
INFER = {"block": [1, 64, 64], "chunk": [1, 64, 64]}


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def crafted(journal, changes):
    """The head of a journal with other values and the right checksum."""
    data = journal.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    text = json.dumps({**json.loads(data[16:16 + size]), **changes}).encode()
    text += b" " * (-(len(text) + 20) % 32)
    head = data[:12] + struct.pack("<I", len(text)) + text
    return head + struct.pack("<I", crc32c(head))


class OwnFormats(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("own", {"train": {"checkpoint_every": 1}, "infer": INFER})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.done(cls.folder, ["infer", cls.yaml])
        cls.best = cls.folder / "runs/own/checkpoints/best.h5"

    def fails(self, arguments, patterns, **how):
        self.assert_one_error(run_tessera(arguments, 0, 60, cwd=self.folder, **how), FAILED, patterns)

    def test_a_damaged_checkpoint_is_passed_over(self):
        shutil.copytree(self.folder / "runs/own", self.folder / "runs/damaged")
        checkpoints = self.folder / "runs/damaged/checkpoints"
        flip(checkpoints / "iteration_00000002.h5", 4000)
        self.fails(["info", checkpoints / "iteration_00000002.h5"], [r"iteration_00000002\.h5 is damaged: its checksum"])
        arguments = ["train", self.yaml, "--resume", "--set", "run_folder=runs/damaged"]
        result = self.tessera(arguments)
        self.assertRegex(result.warnings()[0], r"iteration_00000002\.h5 is damaged.*trying the checkpoint before it")
        self.assertIn("resumed from runs/damaged/checkpoints/iteration_00000001.h5", result.text)
        for file in checkpoints.glob("iteration_*.h5"):
            flip(file, 4000)
        self.fails(arguments, ["every checkpoint in .* is damaged", "--overwrite"])

    def test_an_earlier_checkpoint_without_a_checksum_is_read(self):
        earlier = self.folder / "earlier.h5"
        earlier.write_bytes(self.best.read_bytes()[512:])  # HDF5 finds the addresses without the first block, too
        with h5py.File(earlier) as a, h5py.File(self.best) as b:
            self.assertEqual(a.attrs["crc32c"], b.attrs["crc32c"])
        self.tessera(["export-model", earlier, "earlier.pt"])

    def test_a_damaged_torchscript_file_is_named(self):
        self.tessera(["export-model", self.best, "good.pt"])
        data = (self.folder / "good.pt").read_bytes()
        (self.folder / "bad.pt").write_bytes(data)
        flip(self.folder / "bad.pt", data.index(b"/data/3") + 100)
        self.fails(["infer", self.yaml, "--set", "model.torchscript=bad.pt", "--set", "infer.output=s.h5:/p"],
                   [r"bad\.pt is damaged: its entry '"])

    def test_a_journal_with_other_blocks_is_an_error(self):
        shutil.copy(self.folder / "own.h5", self.folder / "crafted.h5")
        whole = self.folder / "own.h5.journal"
        journal = self.folder / "crafted.h5.journal"
        result = "crafted.h5:/volumes/predictions/interior"
        for changes, message in (({"block_shape": [0, 64, 64]}, "head is damaged"),
                                 ({"region_end": [1, 1, 1]}, "is of a region of")):
            journal.write_bytes(crafted(whole, changes))
            self.fails(["verify", result], [r"crafted\.h5\.journal", message])
        self.fails(["infer", self.yaml, "--set", f"infer.output={result}"], [r"crafted\.h5\.journal is damaged", "--restart"])

    def test_output_that_cannot_be_written_is_an_error(self):
        full = ["/bin/sh", "-c", 'exec "$@" > /dev/full', "sh"]
        for arguments in (["--version"], ["info", "--help"], ["info", "stack.h5"], ["check", self.yaml],
                          ["verify", "own.h5:/volumes/predictions/interior"], ["status", "runs/own", "--json"]):
            with self.subTest(arguments=arguments):
                self.fails(arguments, ["cannot write to "], prefix=full)
        self.fails(["info", "stack.h5", "--json"], ["cannot write to standard output"],
                   prefix=["/bin/sh", "-c", 'exec "$@" >&-', "sh"])

    def test_a_report_of_extreme_files_ends(self):
        folder = self.folder / "extreme"
        folder.mkdir()
        header = (self.folder / "runs/own/metrics.csv").read_text().partition("\n")[0]
        rows = [f"{i},0.1,{loss},0.5,0.001,1,,,,,,0,0,1" for i, loss in ((1, "5e-324"), (2, "1e-323"))]
        (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
        (folder / "evaluation.json").write_text('{"kind":"probability","a":' + "[" * 300000 + "]" * 300000 + "}")
        result = run_tessera(["report", "extreme"], 0, 20, cwd=self.folder)
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.text, r"evaluation\.json is damaged")

    def test_names_may_have_any_bytes(self):
        (self.folder / HOSTILE).mkdir()
        for name in (f"{HOSTILE}/{HOSTILE}.h5", LONG):
            output = json.dumps(f"{name}:/p", ensure_ascii=False)
            arguments = ["infer", self.yaml, "--set", f"infer.output={output}", "--set", "run_folder=runs/names",
                         "--set", "infer.checkpoint=runs/own/checkpoints/best.h5"]
            with self.subTest(name=name):
                self.tessera(arguments)
                self.assertIn("is done already", self.tessera(arguments).stdout)
                self.tessera(["verify", f"{name}:/p"])
        evaluated = f"{HOSTILE}/scores.json"
        self.tessera(["evaluate", "--prediction", f"{HOSTILE}/{HOSTILE}.h5:/p", "--labels", "stack.h5:/volumes/labels/cells",
                      "--json", evaluated])
        scores = json.loads((self.folder / evaluated).read_bytes())
        self.assertEqual(scores["prediction"], "m\\xFCller\n[1]/m\\xFCller\n[1].h5:/p")
        self.tessera(["report", evaluated, "--output", f"{HOSTILE}/report.html"])
        self.assertIn("m\\xFCller", (self.folder / f"{HOSTILE}/report.html").read_bytes().decode())
        with h5py.File(self.folder / f"{HOSTILE}/{HOSTILE}.h5") as file:
            self.assertIsInstance(json.loads(file["p"].attrs["job"]), dict)


if __name__ == "__main__":
    import unittest
    unittest.main()
