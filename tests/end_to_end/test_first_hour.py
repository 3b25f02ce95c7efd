"""From files to a report: `init` and `run` on HDF5, TIFF and PNG, what goes wrong there, and images in an experiment."""

import json
import os
import pathlib
import re
import shutil
import signal
import time
import unittest

import h5py
import numpy as np

from harness import MPIRUN, Case, run_tessera

DONE, FAILED, USAGE, STOPPED = 0, 1, 2, 75
RAW, CELLS = "stack.h5:/volumes/raw", "stack.h5:/volumes/labels/cells"
# A short training that is not measured.
SMALL = """experiment: {name}
data: {{raw: {raw}, labels: {labels}, train_sections: [0, 6], validation_sections: [6, 8]}}
model: {{base_filters: 2, depth: 2}}
train: {{iterations: {iterations}, global_batch: 2, tile: 76, optimizer: adam, threads: 1, validate_every: 50, checkpoint_every: {every}}}
infer: {{threads: 1}}
"""


class FirstHour(Case):

    stack_shape = (8, 128, 128)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.done(cls.folder, ["export", RAW, "raw.tif"])
        cls.done(cls.folder, ["export", CELLS, "labels.tif"])
        cls.done(cls.folder, ["export", RAW, "sections"])
        cls.done(cls.folder, ["export", "stack.h5:/volumes/labels/instances", "cells.tif"])

    def init(self, arguments):
        return self.tessera(["init", *arguments, "--minutes", "0.02"])

    def run_experiment(self, yaml, *more, timeout=60):
        return run_tessera(["run", yaml, "--mpirun", MPIRUN, *more], 0, timeout, self.folder)

    def small(self, name, raw="raw.tif", labels="labels.tif", iterations=4, every=2):
        (self.folder / f"{name}.yaml").write_text(
            SMALL.format(name=name, raw=raw, labels=labels, iterations=iterations, every=every))
        return f"{name}.yaml"

    def fails(self, arguments, code, patterns, **how):
        self.assert_one_error(run_tessera(arguments, cwd=self.folder, **how), code, patterns)

    # From files to a report

    def assert_report(self, name, result):
        self.assertEqual(result.code, DONE, result)
        run = self.folder / "runs" / name
        self.assertTrue((run / "report.html").is_file(), result)
        self.assertIn("pixel_error", json.loads((run / "evaluation.json").read_text())["best"])
        with h5py.File(run / "prediction.h5", "r") as file:
            self.assertEqual(file["volumes/predictions/interior"].shape, self.stack_shape)
        self.assertRegex(result.stdout, r"Pixel error +0\.\d{4} at threshold .*(good|fair|poor): .* of the pixels are wrong")
        self.assertIn(f"runs/{name}/report.html", result.stdout)

    def test_a_tiff_stack_on_two_workers(self):
        said = self.init(["raw.tif", "--labels", "labels.tif", "--resolution", "50,4,4"]).stdout
        self.assertRegex(said, r"raw +raw\.tif: \(8, 128, 128\) uint8, voxels of 50 x 4 x 4 nm")
        self.assertRegex(said, r"labels +labels\.tif: 2 classes \(0: [\d.]+ %, \d+: [\d.]+ %\)")
        self.assertRegex(said, r"next:\n.*check raw\.yaml.*\n.*run raw\.yaml")
        text = (self.folder / "raw.yaml").read_text()
        for pattern in ("raw: raw.tif", r"resolution: \[50, 4, 4\]", r"train_sections: \[0, 7\]", r"validation_sections: \[7, 8\]",
                        "label_kind: classes", "depth: 3", "# +Measured here: .* s a sample"):
            self.assertRegex(text, pattern)
        self.assertNotIn("invert_labels", text)
        result = self.run_experiment("raw.yaml", "--workers", "2")
        self.assert_report("raw", result)
        self.assertRegex(result.stdout, r"train: \S+ -n 3 --oversubscribe --bind-to none .*train raw\.yaml")
        with h5py.File(self.folder / "runs/raw/prediction.h5", "r") as file:
            self.assertEqual(list(file["volumes/predictions/interior"].attrs["resolution"]), [50, 4, 4])

        again = self.run_experiment("raw.yaml", "--workers", "2")
        self.assertEqual(again.code, DONE, again)
        self.assertRegex(again.stdout, r"train: done before, iteration \d+.*\n(.*\n)*evaluate: done before")
        self.assertRegex(again.stdout, "Pixel error")

        # Other labels are another experiment.
        changed = (self.folder / "raw.yaml").read_text().replace("label_kind: classes", "label_kind: instances")
        (self.folder / "changed.yaml").write_text(changed)
        self.fails(["run", "changed.yaml"], USAGE, ["data.label_kind: classes, now instances", "another name|--overwrite"])

    def test_a_folder_of_png_sections(self):
        self.init(["sections", "--labels", "cells.tif"])
        text = (self.folder / "sections.yaml").read_text()
        self.assertRegex(text, "raw: sections\n.*labels: cells.tif\n.*label_kind: instances")
        self.assert_report("sections", self.run_experiment("sections.yaml", "--workers", "1"))

    def test_an_hdf5_file(self):
        with h5py.File(self.folder / "stack.h5", "r") as stack:
            self.write_volumes("em.h5", {"volumes/raw": stack["volumes/raw"][()],
                                         "volumes/labels/neuron_ids": stack["volumes/labels/instances"][()],
                                         "volumes/labels/clefts": stack["volumes/labels/instances"][()]})
        said = self.init(["em.h5"]).stdout
        self.assertIn("neuron_ids are the labels by their name", said)
        self.assertIn('labels: "em.h5:/volumes/labels/neuron_ids"', (self.folder / "em.yaml").read_text())
        result = self.run_experiment("em.yaml", "--workers", "1")
        self.assert_report("em", result)
        self.assertRegex(result.stdout, r"train: \S+ train em\.yaml --resume")
        status = self.tessera(["status", "em.yaml"]).stdout
        self.assertEqual(len(re.findall(r" done ", status)), 4, status)

        # The trained network predicts another volume, without labels.
        self.tessera(["init", "raw.tif", "--checkpoint", "runs/em/checkpoints/best.h5", "--output", "other.yaml"])
        result = self.run_experiment("other.yaml", "--workers", "1")
        self.assertEqual(result.code, DONE, result)
        self.assertNotIn("train:", result.stdout)
        self.assertEqual(self.read("runs/other/prediction.h5:/volumes/predictions/interior").shape, self.stack_shape)

    def test_ids_that_go_on_through_the_sections(self):
        raw, ids = (np.repeat(self.read(f"stack.h5:/volumes/{name}"), 2, axis=0) for name in ("raw", "labels/instances"))
        self.write_volumes("cells.h5", {"raw": raw, "labels": ids})
        self.init(["cells.h5"])
        text = (self.folder / "cells.yaml").read_text()
        for pattern in (r"validation_sections: \[13, 16\]", r"segment:\n(.*\n)*  choose: voi .*\n  choose_sections: \[13, 14\]",
                        r"evaluate:\n  sections: \[14, 16\]"):
            self.assertRegex(text, pattern)
        result = self.run_experiment("cells.yaml", "--workers", "1")
        self.assertEqual(result.code, DONE, result)
        self.assertRegex(result.stdout, r"objects: \d+ at threshold 0\.\d+")
        objects = json.loads((self.folder / "runs/cells/evaluation_objects.json").read_text())
        self.assertEqual(objects["section_range"], [14, 16])
        self.assertEqual(self.read("runs/cells/segmentation.h5:/volumes/labels/neuron_ids").shape, raw.shape)

        # Each section has ids of its own: they are no objects of the volume.
        lone = np.where(ids == 0, 0, ids + np.arange(16, dtype=ids.dtype)[:, None, None] * (ids.max() + 1))
        self.write_volumes("lone.h5", {"raw": raw, "labels": lone.astype(np.uint32)})
        self.init(["lone.h5"])
        text = (self.folder / "lone.yaml").read_text()
        self.assertIn("label_kind: instances", text)
        self.assertNotIn("segment:", text)

    # What `init` finds

    def test_inverted_and_partial_labels(self):
        raw, cells = self.read(RAW), self.read(CELLS)
        raw[3] = 90
        labels = np.where(cells == 0, 255, 0).astype(np.uint8)
        labels[0] = labels[5:] = 0
        self.write_volumes("odd.h5", {"raw": raw, "labels": labels})
        said = self.init(["odd.h5"])
        self.assertRegex(said.text, r"1 of 8 sections .* blank.*: 3")
        self.assertRegex(said.text, "labels seem to be inverted")
        text = (self.folder / "odd.yaml").read_text()
        self.assertRegex(text, r"invert_labels: true")
        self.assertRegex(text, r"train_sections: \[1, 4\].*\n.*validation_sections: \[4, 5\]")

    def test_one_annotated_section(self):
        labels = self.read(CELLS)
        labels[:4] = labels[5:] = 0
        self.write_volumes("one.h5", {"raw": self.read(RAW), "labels": labels})
        self.init(["one.h5"])
        self.assertRegex((self.folder / "one.yaml").read_text(),
                         r"volumes:.*\n  - train_sections: \[4, 5\]\n    region: .*\[128, 96\]\}\n"
                         r"  - validation_sections: \[4, 5\]\n    region: \{begin: \[0, 96\], end: \[128, 128\]\}")
        self.tessera(["check", "one.yaml"])

    def test_wishes(self):
        self.tessera(["init", "raw.tif", "--labels", "labels.tif", "--paper", "--gpu", "--minutes", "7", "-o", "paper.yaml"])
        text = (self.folder / "paper.yaml").read_text()
        for pattern in ("base_filters: 64", "optimizer: sgd", "device: cuda", "minutes: 7 "):
            self.assertRegex(text, pattern)

    def test_bad_input(self):
        self.write_volumes("raw_only.h5", {"raw": self.read(RAW)})
        self.write_volumes("flat.h5", {"raw": self.read(RAW), "labels": np.zeros(self.stack_shape, np.uint8)})
        self.write_volumes("grey.h5", {"raw": np.full(self.stack_shape, 7, np.uint8), "labels": self.read(CELLS)})
        self.write_volumes("small.h5", {"labels": self.read(CELLS)[:, :64]})
        for arguments, patterns in (
                (["stack.h5"], ["could be the labels", r"--labels stack\.h5:/volumes/labels/cells", "/volumes/labels/instances"]),
                (["raw_only.h5"], ["no labels were found", "--labels", "--checkpoint"]),
                (["raw.tif"], ["no labels were found"]),
                (["flat.h5"], ["one value in every section"]),
                (["grey.h5"], ["the value 7 everywhere"]),
                (["raw.tif", "--labels", "small.h5"], ["shape"]),
                (["nowhere.tif"], [r"there is no nowhere\.tif"]),
                (["raw.tif", "--labels", "nowhere.h5"], [r"there is no nowhere\.h5"]),
                (["raw.tif", "--labels", "labels.tif", "--minutes", "-1"], ["above 0"]),
                ([], ["name the raw volume"])):
            with self.subTest(arguments=arguments):
                self.fails(["init", *arguments, "-o", "bad.yaml"], USAGE, patterns)
                self.assertFalse((self.folder / "bad.yaml").exists())
        (self.folder / "mine.yaml").write_text("precious")
        self.fails(["init", "raw.tif", "--labels", "labels.tif", "-o", "mine.yaml"], USAGE, [r"mine\.yaml exists already", "--overwrite"])
        self.assertEqual((self.folder / "mine.yaml").read_text(), "precious")

    # `run`

    def test_run_refuses(self):
        yaml = self.small("refused")
        self.fails(["run", yaml], USAGE, ["starts mpirun itself"], ranks=2)
        self.fails(["run", yaml, "--workers", "2", "--mpirun", "/nowhere/mpirun"], USAGE, ["/nowhere/mpirun", "Open MPI", "--workers 1"])
        self.fails(["run", yaml, "--workers", "two"], USAGE, ["--workers two"])
        self.fails(["run", yaml, "--workers", "2", "--mpirun", "/bin/false"], FAILED, ["train ended with exit code 1"])
        self.fails(["run", yaml, "--set", "data.labels=nowhere.tif"], USAGE, [r"data\.labels: there is no nowhere\.tif"])

    def test_run_goes_on_after_signals(self):
        yaml = self.small("stopped", iterations=100000)
        metrics = self.folder / "runs/stopped/metrics.csv"
        for workers, number in (("2", signal.SIGINT), ("1", signal.SIGTERM)):
            rows = 5 + (metrics.read_text().count("\n") if metrics.exists() else 0)
            process = self.start(["run", yaml, "--workers", workers, "--mpirun", MPIRUN])
            process.wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > rows, 30, "some iterations")
            process.signal(number)
            result = process.finish(30)
            self.assertEqual(result.code, STOPPED, result)
            self.assertRegex(result.text, "stopped at train; its state is saved")
            self.assertEqual(process.left_behind(), [])
            self.assertRegex(self.tessera(["status", yaml]).stdout, r"train +stopped")
        last = int(metrics.read_text().splitlines()[-1].split(",")[0])
        result = self.run_experiment(yaml, "--workers", "1", "--set", f"train.iterations={last + 2}")
        self.assertEqual(result.code, DONE, result)
        self.assertRegex(result.text, r"resumed from")

    def test_nothing_is_left_when_run_is_killed(self):
        yaml = self.small("killed", iterations=100000)
        metrics = self.folder / "runs/killed/metrics.csv"
        process = self.start(["run", yaml, "--workers", "2", "--mpirun", MPIRUN])
        process.wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 5, 30, "some iterations")
        process.signal(signal.SIGKILL)
        self.assertEqual(process.left_behind(20), [])

    # Images in an experiment

    def test_changed_images_are_noticed(self):
        shutil.copytree(self.folder / "sections", self.folder / "copies")
        shutil.copy(self.folder / "labels.tif", self.folder / "own.tif")
        yaml = self.small("images", raw="copies", labels="own.tif")
        first = self.tessera(["check", yaml])
        self.assertEqual(first.text.count("imported "), 2, first)
        imports = sorted((self.folder / "runs/images/imported").glob("*.h5"))
        self.assertEqual(len(imports), 2)
        before = [file.stat().st_mtime_ns for file in imports]
        # New times alone change nothing; other content is imported again as long as nothing was made of it.
        os.utime(self.folder / "own.tif")
        self.assertNotIn("imported ", self.tessera(["check", yaml]).text)
        self.assertEqual(before, [file.stat().st_mtime_ns for file in imports])
        self.write_volumes("mirrored.h5", {"labels": self.read(CELLS)[:, ::-1]})
        self.tessera(["export", "mirrored.h5:/labels", "own.tif", "--overwrite"])
        self.assertIn("imported own.tif", self.tessera(["check", yaml]).text)
        self.tessera(["train", yaml], 3)
        self.assertEqual(self.tessera(["infer", yaml], 3).text.count("imported "), 0)
        self.tessera(["evaluate", yaml])
        shutil.copy(self.folder / "sections/section_0000.png", self.folder / "copies/section_0001.png")
        for verb, ranks in (("train", 3), ("infer", 0), ("check", 0), ("run", 0)):
            with self.subTest(verb=verb):
                self.fails([verb, yaml, *(["--resume"] if verb == "train" else [])], USAGE,
                           [r"data\.raw: copies has changed since it was imported", "another name"], ranks=ranks)
        (self.folder / "copies/section_0001.png").unlink()
        self.fails(["check", yaml], USAGE, ["missing", "tessera import copies"])

    def test_two_at_once_import_once(self):
        yaml = self.small("twice")
        both = [self.start(["check", yaml, "--measure", "0"]) for _ in range(2)]
        results = [one.finish(30) for one in both]
        self.assertIn(DONE, [one.code for one in results])
        for one in results:
            self.assertIn(one.code, (DONE, USAGE), one)
            if one.code == USAGE:
                self.assertRegex(one.text, "is in use by tessera on")
        self.assertNotIn("imported ", self.tessera(["check", yaml, "--measure", "0"]).text)

    # `check`

    def test_check_says_what_a_night_costs(self):
        yaml = self.small("night", raw=RAW, labels=CELLS, iterations=20000)
        begin = time.monotonic()
        out = self.tessera(["check", yaml, "--set", "infer.averaging=symmetries8"]).stdout
        self.assertLess(time.monotonic() - begin, 20)
        for pattern in (r"^network: \d+ parameters", r"this machine: \d+ cores?, .* of memory free",
                        r"time of train +[\d.e-]+ s an iteration \(\d+ measured\): 20000 iterations take about",
                        r"time of infer +[\d.e+]+ Mvoxel/s", r"averaging +symmetries8 takes [\d.]+ times as long as none",
                        r"memory +train .*, infer .* per worker; \d+ fits? here", r"disk +new results .*, checkpoints .*; .* free"):
            self.assertRegex(out, re.compile(pattern, re.MULTILINE))
        self.assertNotIn("every key", out)
        config = self.tessera(["check", yaml, "--config"]).stdout
        self.assertRegex(config, r"^# network: (.*\n)*# every key with its value\nexperiment: night\n")
        (self.folder / "resolved.yaml").write_text(config)
        self.assertEqual(self.tessera(["check", "resolved.yaml", "--config"]).stdout, config)
        gib = int(re.search(r"MemTotal: +(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) >> 20
        if gib < 100:
            large = ("train.tile=auto", "model.base_filters=1024", "model.depth=4", "infer.memory_budget_mib=100000")
            self.fails(["check", yaml, "--measure", "0", *(word for one in large for word in ("--set", one))],
                       USAGE, ["needs about .* per worker, but this machine has", "model.base_filters"])

    def test_the_result_has_a_default_name(self):
        yaml = self.small("named", raw=RAW, labels=CELLS)
        for sets, path in (((), "interior"), (("infer.class=0",), "membrane"), (("infer.classes=[0, 1]",), "probabilities"),
                           (("infer.write=labels",), "classes"), (("model.classes=4", "infer.class=3"), "class_3")):
            words = [word for one in sets for word in ("--set", one)]
            # With four classes the labels are wrong, but the keys are printed all the same.
            self.assertIn(f'output: "runs/named/prediction.h5:/volumes/predictions/{path}"\n',
                          run_tessera(["check", yaml, "--config", *words], cwd=self.folder).stdout)
        self.tessera(["train", yaml])
        self.tessera(["infer", yaml])
        self.tessera(["verify", yaml])
        self.tessera(["evaluate", yaml])
        self.tessera(["export", yaml, "named.tif"])
        self.assertTrue((self.folder / "named.tif").is_file())


if __name__ == "__main__":
    unittest.main()
