"""Many volumes predicted in one experiment: wildcards in infer.raw."""

import json
import re
import signal
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera
from journal import Journal
from test_bad_input import FAILED, LABELS, RAW, USAGE, sets

STOPPED = 75
STACKS = {"a 1": 2, "b": 32, "c": 3}  # sections
NAMES = ["a_1", "b", "c"]


class ManyVolumes(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        raw, labels = cls.read(RAW), cls.read(LABELS)
        (cls.folder / "stacks").mkdir()
        for i, (name, sections) in enumerate(STACKS.items()):
            which = np.arange(sections) % len(raw)
            cls.write_volumes(f"stacks/{name}.h5", {"raw": raw[which, :96 - i, :90], "cells": labels[which, :96 - i, :90]},
                              chunks=(1, 48, 45))
        cls.yaml = cls.config("many", {
            "infer": {"raw": "stacks/*.h5:/raw", "output": "predictions/*.h5:/p", "block": [1, 96, 90], "chunk": [1, 48, 45]},
            "evaluate": {"labels": "stacks/*.h5:/cells", "sections": [0, 2], "scores": ["pixel"]}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.run_folder = cls.folder / "runs/many"
        cls.single = {}
        for name in STACKS:
            cls.done(cls.folder, ["infer", cls.yaml, *sets(infer__raw=f"'stacks/{name}.h5:/raw'", infer__output=f"'single {name}.h5:/p'",
                                                           run_folder="runs/single", infer__checkpoint="runs/many/checkpoints/best.h5")])
            cls.single[name] = cls.read(f"single {name}.h5:/p")

    def assert_as_single(self, folder):
        for name, voxels in self.single.items():
            self.assertGreater(voxels.std(), 0)
            self.assert_same_voxels(self.read(f"{folder}/{name}.h5:/p"), voxels, name)

    def others(self, folder, **more):
        """--set arguments that put the results and the run folder elsewhere."""
        return sets(infer__output=f"{folder}/*.h5:/p", run_folder=f"runs/{folder}",
                    infer__checkpoint="runs/many/checkpoints/best.h5", **more)

    def test_a_lab_predicts_its_stacks(self):
        broken = self.folder / "stacks/broken.h5"
        broken.write_text("no HDF5 at all")
        self.addCleanup(broken.unlink, missing_ok=True)
        out = run_tessera(["check", self.yaml], cwd=self.folder)
        self.assertEqual(out.code, FAILED, out)
        lines = re.findall(r"volume +(\d): (\S+): (.*?):/\w+ (.*)\n", out.stdout)
        self.assertEqual([line[:3] for line in lines], [("0", "a_1", "stacks/a 1.h5"), ("1", "b", "stacks/b.h5"),
                                                        ("2", "broken", "stacks/broken.h5"), ("3", "c", "stacks/c.h5")])
        self.assertRegex(lines[1][3], r"\(32, 95, 90\) uint8, 32 blocks, tile \d+, .*, onto predictions/b\.h5:/p$")
        self.assertEqual(lines[2][3], "cannot be predicted")

        result = run_tessera(["infer", self.yaml], 3, cwd=self.folder)
        self.assertEqual(result.code, FAILED, result)
        self.assertRegex(result.text, r"1 of 4 volumes failed.*\n +broken: .*stacks/broken\.h5")
        self.assertEqual(result.text.count("volume 4 of 4: c, stacks/c.h5:/raw"), 1, result)
        self.assert_as_single("predictions")
        for name, sections in zip(NAMES, STACKS.values()):
            folder = self.run_folder / "volumes" / name
            self.assertEqual(json.loads((folder / "inference.json").read_text())["end"], "done")
            log = (folder / "log.txt").read_text()
            self.assertEqual(len(re.findall(r"onto predictions/", log)), 1, log)
            self.assertNotIn("broken", log)
        self.assertFalse((self.run_folder / "inference.json").exists())

        # After the fix, the other volumes cost nothing.
        broken.unlink()
        before = {name: (self.folder / f"predictions/{name}.h5.journal").read_bytes() for name in STACKS}
        again = self.tessera(["infer", self.yaml], 3)
        self.assertEqual(again.text.count("nothing to predict"), 3, again)
        self.assertEqual(before, {name: (self.folder / f"predictions/{name}.h5.journal").read_bytes() for name in STACKS})
        # The experiment in a volume's own folder is the same job.
        own = self.tessera(["infer", self.run_folder / "volumes/a_1/inference.yaml"])
        self.assertEqual(own.text.count("nothing to predict"), 1, own)

        # Scores and a page for each volume, and a page for the training.
        scores = self.tessera(["evaluate", self.yaml], 3)
        self.assertEqual(re.findall(r"^volume (\d) of 3: (\S+)$", scores.stdout, re.MULTILINE), [(str(i + 1), n) for i, n in enumerate(NAMES)])
        for name, stack in zip(NAMES, STACKS):
            evaluation = json.loads((self.run_folder / f"volumes/{name}/evaluation.json").read_text())
            self.assertEqual(evaluation["prediction"], f"predictions/{stack}.h5:/p")
            self.assertTrue(list((self.run_folder / f"volumes/{name}/evaluation").glob("*.png")))
        pages = re.findall(r"^report: (\S+) ", self.tessera(["report", self.yaml]).stdout, re.MULTILINE)
        self.assertEqual(pages, ["runs/many/report.html", *(f"runs/many/volumes/{n}/report.html" for n in NAMES)])
        self.assertIn("many, a_1", (self.folder / pages[1]).read_text())
        only = self.tessera(["report", self.yaml, "--volume", "b", "--output", "b.html"])
        self.assertEqual(re.findall(r"^report: (\S+) ", only.stdout, re.MULTILINE), ["b.html"])

        self.assertEqual(self.tessera(["verify", self.yaml], 2).stdout.count("all are as they were written"), 3)
        with h5py.File(self.folder / "predictions/b.h5") as file:
            place = file["p"].id.get_chunk_info(7).byte_offset
        with open(self.folder / "predictions/b.h5", "r+b") as file:
            file.seek(place)
            file.write(b"damage")
        damaged = run_tessera(["verify", self.yaml, "--forget-damaged"], cwd=self.folder)
        self.assertEqual(damaged.code, FAILED, damaged)
        self.assertRegex(damaged.text, r"1 of 3 volumes failed.*\n +b: predictions/b\.h5:/p: .* are damaged")
        self.tessera(["infer", self.yaml])
        self.assert_as_single("predictions")
        self.tessera(["pack", self.yaml, "--replace", "--volume", "c"])
        packed = self.tessera(["pack", self.yaml, "--replace"], 2).stdout
        self.assertRegex(packed, r"a 1\.h5:/p: .* smaller\).*\n.*b\.h5:/p: .*\n.*predictions/c\.h5:/p is packed already")
        self.assert_as_single("predictions")

    def test_one_of_many(self):
        where = self.others("some")
        for words, name in ((["--volume", "c"], "c"), (["--volume-index", "0"], "a 1"), (["--volume", "1"], "b")):
            self.tessera(["infer", self.yaml, *where, *words])
            self.assert_same_voxels(self.read(f"some/{name}.h5:/p"), self.single[name], name)
            self.assertEqual(len(list((self.folder / "some").glob("*.h5"))), {"c": 1, "a 1": 2, "b": 3}[name])
        check = self.tessera(["check", self.yaml, "--volume", "c", "--config"]).stdout
        self.assertIn('raw: "stacks/c.h5:/raw"', check)
        for words, said in ((["--volume", "d"], r"--volume d: no volume is called so.*a_1, b, c"),
                            (["--volume-index", "3"], r"--volume-index 3: there are 3 volumes"),
                            (["--volume", "b", "--volume-index", "1"], "exclude each other")):
            self.assert_one_error(run_tessera(["infer", self.yaml, *where, *words], cwd=self.folder), USAGE, [said])

    def test_numbers_as_names_are_no_indices(self):
        for number in (1, 2):
            self.write_volumes(f"number0{number}.h5", {"raw": self.read(RAW)[number:number + 1, :96, :90]})
        where = self.others("numbers", infer__raw="number*.h5:/raw")
        self.tessera(["infer", self.yaml, *where, "--volume", "01"])
        self.assertTrue((self.folder / "numbers/01.h5").exists())
        self.assert_one_error(run_tessera(["infer", self.yaml, *where, "--volume", "1"], cwd=self.folder), USAGE,
                              ["--volume 1: no volume is called so.* there are: 01, 02"])

    def disturbed(self, folder, disturb, ranks):
        """Starts an inference and lets `disturb` end it within the second volume. Returns how it ended."""
        words = ["infer", self.yaml, *self.others(folder, infer__averaging="rotations7")]
        process = self.start(words, ranks)
        journal = self.folder / folder / "b.h5.journal"
        process.wait_until(lambda: journal.exists() and len(Journal(journal).blocks()) > 3, 30, "the second volume is predicted")
        disturb(process)
        result = process.finish(30)
        known = len(Journal(journal).blocks())
        self.assertTrue(3 < known < STACKS["b"], f"{known} blocks are known: too late to show anything")
        self.assertFalse((self.folder / folder / "c.h5").exists())
        first = (self.folder / folder / "a 1.h5.journal").read_bytes()
        again = self.tessera(words, ranks)
        self.assertEqual(again.text.count("nothing to predict"), 1, again)
        self.assertRegex(again.text, r"going on: \d+ of 32 blocks are done")
        self.assertEqual((self.folder / folder / "a 1.h5.journal").read_bytes(), first)
        return result

    def test_killed_or_stopped_and_started_again(self):
        self.disturbed("killed", lambda process: process.kill(), 3)
        result = self.disturbed("stopped", lambda process: process.signal(signal.SIGUSR2), 0)
        self.assertEqual(result.code, STOPPED, result)
        self.assertEqual(len(result.errors()), 0, result)
        self.tessera(["infer", self.yaml, *self.others("undisturbed", infer__averaging="rotations7")])
        for folder in ("killed", "stopped"):
            for name in STACKS:
                self.assert_same_voxels(self.read(f"{folder}/{name}.h5:/p"), self.read(f"undisturbed/{name}.h5:/p"), name)

    def test_frozen_experiment_is_the_same(self):
        """The experiment in a volume's folder says nothing about the network, like the original file."""
        (self.folder / "bare.yaml").write_text("experiment: bare\ninfer:\n  raw: stacks/*.h5:/raw\n  output: bare/*.h5:/p\n"
                                               "  checkpoint: runs/many/checkpoints\n  threads: 1\n")
        first = self.tessera(["infer", "bare.yaml", "--volume", "c"])
        frozen = self.tessera(["infer", "runs/bare/volumes/c/inference.yaml"])
        self.assertEqual(frozen.text.count("nothing to predict"), 1, frozen)
        self.assertEqual([first.warnings(), frozen.warnings()], [[], []])
        (self.folder / "frozen.yaml").write_text(self.tessera(["check", "bare.yaml", "--config"]).stdout)
        self.assertEqual(self.tessera(["infer", "frozen.yaml", "--volume", "c"]).text.count("nothing to predict"), 1)
        warned = self.tessera(["infer", "bare.yaml", "--volume", "c", *sets(model__base_filters=3)])
        self.assertRegex(warned.warnings()[0], "model: differs from the checkpoint's network")

    def test_masks_of_their_own(self):
        for name, sections in STACKS.items():
            mask = np.ones(self.single[name].shape, np.uint8)
            mask[0] = 0
            self.write_volumes(f"mask {name}.h5", {"m": mask})
        self.tessera(["infer", self.yaml, *self.others("masked", infer__skip__mask='"mask *.h5:/m"')])
        for name in STACKS:
            predicted = self.read(f"masked/{name}.h5:/p")
            self.assertEqual(predicted[0].max(), 0)
            self.assert_same_voxels(predicted[1:], self.single[name][1:], name)

    def test_what_is_refused(self):
        def refuse(code, words, verb="infer", ranks=0, **changes):
            self.assert_one_error(run_tessera([verb, self.yaml, *sets(**changes)], ranks, cwd=self.folder), code, words)
        refuse(USAGE, [r"infer\.output: has 0 wildcards, infer\.raw has 1"], infer__output="p.h5:/p")
        refuse(USAGE, [r"infer\.output: the results of stacks/a 1\.h5:/raw and stacks/b\.h5:/raw would both be in p\.h5"],
               ranks=3, infer__output="p.h5:/*")
        refuse(FAILED, [r"infer\.raw: no file matches nowhere/\*\.h5"], infer__raw="nowhere/*.h5:/raw")
        refuse(USAGE, [r"there is no runs/never/checkpoints/best\.h5"], experiment="never")
        refuse(USAGE, [r"evaluate\.labels: 3 volumes are predicted, but these labels belong to one"], "evaluate", evaluate__labels=LABELS)


if __name__ == "__main__":
    unittest.main()
