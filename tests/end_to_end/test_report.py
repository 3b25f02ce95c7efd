"""tessera report: one self-contained HTML file about one run or two."""

import base64
import html.parser
import json
import re
import shutil
import signal
import unittest

import numpy as np

from harness import Case, png_shape

VOID = {"img", "br", "meta", "link", "wbr", "hr", "col", "input"}


class Structure(html.parser.HTMLParser):
    """Checks that tags are closed in order; collects the addresses to load and the text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.wrong, self.addresses, self.ids, self.words, self.tags = [], [], [], [], [], []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> has no end" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href", "background"):
                self.addresses.append((tag, value))
            if name == "id":
                self.ids.append(value)
            if name.startswith("on"):
                self.wrong.append(f"<{tag} {name}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


class ReportCase(Case):
    """Two runs that were trained, predicted and scored, and one that was only trained."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("one", {"train": {"iterations": 6}})
        cls.other = cls.config("two", {"train": {"iterations": 4, "seed": 2}, "model": {"base_filters": 3}})
        cls.trained_only = cls.config("half")
        for yaml in (cls.yaml, cls.other, cls.trained_only):
            cls.done(cls.folder, ["train", yaml], ranks=3)
        for yaml in (cls.yaml, cls.other):
            cls.done(cls.folder, ["infer", yaml], ranks=3)
            cls.done(cls.folder, ["evaluate", yaml])
        cls.run_folder = cls.folder / "runs/one"
        cls.evaluation = json.loads((cls.run_folder / "evaluation.json").read_text())

    def report(self, arguments, ranks=0):
        """The file's text and structure, after the checks that every report must pass."""
        said = self.tessera(["report", *arguments], ranks).stdout
        file = self.folder / re.search(r"^report: (.*) \(", said, re.MULTILINE)[1]
        text = file.read_text()
        structure = Structure(text)
        self.assertEqual(structure.wrong, [])
        self.assertEqual(structure.open, [])
        for tag, address in structure.addresses:
            self.assertRegex(address, r"^(data:|#)", f"<{tag}> would load something")
        for anchor in (a for tag, a in structure.addresses if a.startswith("#")):
            self.assertIn(anchor[1:], structure.ids)
        self.assertNotRegex(text, r"https?://|url\(|@import|fetch\(|XMLHttp")
        self.assertEqual(self.leftovers(), [])
        return file, text, structure

    def pictures(self, structure):
        """(height, width) of every picture, each decoded and checked."""
        shapes = []
        for tag, address in structure.addresses:
            if tag == "img":
                self.assertTrue(address.startswith("data:image/png;base64,"))
                png = self.folder / "picture.png"
                png.write_bytes(base64.b64decode(address.partition(",")[2], validate=True))
                shapes.append(png_shape(png))
        return shapes


class Report(ReportCase):

    def test_a_whole_run(self):
        file, text, structure = self.report(["runs/one"])
        self.assertEqual(file, self.run_folder / "report.html")
        # Raw, errors, probability and labels of the worst and the best section at full resolution, and three previews.
        shapes = self.pictures(structure)
        self.assertEqual(shapes, 8 * [(96, 96)] + 3 * [(96, 96)])
        self.assertEqual(structure.tags.count("input"), 8)
        self.assertNotIn("http-equiv=\"refresh\"", text)
        self.assertRegex(structure.text, r"Recommended threshold\. At \d\.\d\d [\w ]+: .* is highest there, \d\.\d{4}")
        self.assertLess(file.stat().st_size, 400_000)
        words = structure.text
        for score, best in self.evaluation["best"].items():
            self.assertIn(f"{best['value']:.4f}", words, score)
        for row in self.evaluation["volume"]:
            self.assertIn(f"{row['pixel_error']:.4f}", words)
        for section in self.evaluation["sections"]:
            z, f = section["section"], section["best_f"]
            self.assertRegex(text, rf'data-v="{z}">{z}</td>\s*<td class="n" data-v="[^"]*">{f:.4f}<')
        for value in self.evaluation["confusion"]["pixels"]:
            self.assertIn(f"{value[0]:,}", words)
        for expected in ("one", "6 of 6 iterations", "2 workers", "(3 ranks)", "cpu, 1 thread", "sections 4 to 5",
                         "base_filters", "Reliability", "Precision and recall", "Loss", "rank 1", "rank 2"):
            self.assertIn(expected, words)
        self.assertGreaterEqual(structure.tags.count("svg"), 8)
        self.assertRegex(words, r"tessera \d+\.\d+\.\d+")

    def test_the_experiment_names_the_run_on_any_number_of_ranks(self):
        def without_time(text):
            return re.sub(r"written \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "", text)
        _, alone, _ = self.report(["runs/one", "--output", "out/alone.html"])
        _, by_yaml, _ = self.report([self.yaml, "-o", "yaml.html"], ranks=3)
        self.assertEqual(without_time(by_yaml), without_time(alone))

    def test_what_is_missing_is_said(self):
        _, _, structure = self.report(["runs/half"])
        for words in ("Nothing predicted yet", "Not scored yet", "This run has not been scored", "Nothing has been predicted"):
            self.assertIn(words, structure.text)
        self.assertEqual(self.pictures(structure), [(96, 96)], "a preview")
        only_scores = self.folder / "runs/only_scores"
        only_scores.mkdir()
        shutil.copy(self.run_folder / "evaluation.json", only_scores)
        _, _, structure = self.report(["runs/only_scores"])
        self.assertIn("There are no training curves", structure.text)
        self.assertIn("There is no config.yaml", structure.text)
        self.assertGreaterEqual(len(self.pictures(structure)), 1, "drawn from the volumes that evaluation.json names")

    def test_damaged_files_are_said(self):
        damaged = self.folder / "runs/damaged"
        shutil.copytree(self.run_folder, damaged)
        for name in ("inference.json", "evaluation/" + next((damaged / "evaluation").glob("*.png")).name):
            file = damaged / name
            file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
        result = self.tessera(["report", "runs/damaged"])
        self.assertRegex(result.text, "inference.json is damaged")
        self.assertRegex(result.text, "is no whole PNG")
        self.assertNotIn("cannot be drawn", (damaged / "report.html").read_text(), "the volumes are there")
        structure = Structure((damaged / "report.html").read_text())
        self.assertIn("inference.json is damaged", structure.text)

    def test_without_the_volumes_the_pictures_of_evaluate_are_shown(self):
        moved = self.folder / "runs/moved"
        shutil.copytree(self.run_folder, moved)
        shutil.rmtree(moved / "previews")
        scores = json.loads((moved / "evaluation.json").read_text())
        (moved / "evaluation.json").write_text(json.dumps({**scores, "prediction": "gone.h5:/p"}))
        _, _, structure = self.report(["runs/moved"])
        shapes = self.pictures(structure)
        self.assertEqual(len(shapes), len(list((moved / "evaluation").glob("*.png"))))
        self.assertTrue(all(width >= 3 * 96 for _, width in shapes))
        self.assertIn("cannot be drawn", structure.text)

    def test_a_training_writes_its_report(self):
        said = self.tessera(["train", self.config("live", {"train": {"iterations": 40, "validate_every": 10}})], 3)
        self.assertRegex(said.stderr, "report: runs/live/report.html, written again at validations")
        text = (self.folder / "runs/live/report.html").read_text()
        self.assertIn("40 of 40 iterations", Structure(text).text)
        self.assertNotIn("http-equiv=\"refresh\"", text)

    def test_a_training_that_runs_shows_itself(self):
        file = self.folder / "runs/slow/report.html"
        process = self.start(["train", self.config("slow", {"train": {"iterations": 100000, "validate_every": 10}})], 3)
        process.wait_until(file.is_file, 60, "a report")
        text = file.read_text()
        structure = Structure(text)
        self.assertEqual(structure.wrong, [])
        self.assertIn('http-equiv="refresh" content="20"', text)
        self.assertIn("not ended yet, or killed", structure.text)
        self.assertGreaterEqual(len(self.pictures(structure)), 1, "a preview")
        process.signal(signal.SIGTERM)
        process.finish(60)

    def test_a_report_that_cannot_be_written_does_not_end_the_training(self):
        (self.folder / "runs/blocked/report.html").mkdir(parents=True)
        said = self.tessera(["train", self.config("blocked")], 3)
        self.assertEqual(sum("cannot write the report" in one for one in said.warnings()), 1, said)

    def test_objects_in_a_table(self):
        truth = self.read("stack.h5:/volumes/labels/instances")
        ids, sizes = np.unique(truth[truth > 0], return_counts=True)
        largest = ids[sizes.argmax()]
        predicted = truth.copy()
        half = (truth == largest) & (np.arange(truth.shape[2]) >= truth.shape[2] // 2)
        half = half if 0 < half.sum() < sizes.max() else (truth == largest) & (np.arange(truth.shape[0])[:, None, None] >= 3)
        predicted[half] = 2**63 + 5
        others = [i for i in ids if i != largest][:2]
        predicted[truth == others[1]] = others[0]
        self.write_volumes("objects.h5", {"p": predicted})
        self.tessera(["evaluate", "--prediction", "objects.h5:/p", "--labels", "stack.h5:/volumes/labels/instances",
                      "--kind", "labels", "--json", "objects.json"], 3)
        worst = json.loads((self.folder / "objects.json").read_text())["worst_objects"]
        outside = min(half.sum(), sizes.max() - half.sum())
        self.assertEqual([(one["id"], one["voxels"] - one["voxels_in_largest_part"], one["parts"]) for one in worst["split"]],
                         [(largest, outside, 2)])
        self.assertEqual([(one["id"], one["parts"]) for one in worst["merged"]], [(others[0], 2)])
        _, text, structure = self.report(["objects.json"])
        for words in ("True objects that are split most", "Predicted objects that merge most", f"{sizes.max():,}"):
            self.assertIn(words, structure.text)

    def test_labels_and_classes(self):
        for kind, labels, words in (("labels", "instances", "VOI split, 3-D"), ("classes", "cells", "Mean IoU")):
            volume = f"stack.h5:/volumes/labels/{labels}"
            self.write_volumes(f"{kind}.h5", {"p": self.read(volume)})
            self.tessera(["evaluate", "--prediction", f"{kind}.h5:/p", "--labels", volume, "--kind", kind, "--json", f"{kind}.json"])
            file, _, structure = self.report([f"{kind}.json"])
            self.assertEqual(file, self.folder / f"{kind}.html")
            self.assertIn(words, structure.text)
            _, _, pair = self.report([f"{kind}.json", "runs/one/evaluation.json"])
            self.assertIn("scored as different kinds", pair.text)

    def test_two_runs(self):
        file, text, structure = self.report(["runs/one", self.other])
        self.assertEqual(file, self.folder / "compare_one_two.html")
        other = json.loads((self.folder / "runs/two/evaluation.json").read_text())
        words = structure.text
        for score in ("pixel_error", "f", "rand_f_macro"):
            a, b = self.evaluation["best"][score]["value"], other["best"][score]["value"]
            for value in (a, b):
                self.assertIn(f"{value:.4f}", words)
            change = "0.0000" if abs(b - a) < 5e-5 else f"{b - a:+.4f}".replace("-", "\N{MINUS SIGN}")
            self.assertIn(change, words)
        for key in ("model.base_filters", "train.seed", "train.iterations"):
            self.assertIn(key, words)
        self.assertNotIn("train.optimizer", words)
        shapes = self.pictures(structure)
        self.assertGreaterEqual(len(shapes), 1)
        self.assertTrue(all(width >= 4 * 96 for _, width in shapes), "raw, labels, A, B")

    def test_two_evaluations(self):
        for name in ("one", "two"):
            self.tessera(["evaluate", "--prediction", f"{name}.h5:/volumes/predictions/interior", "--labels",
                          "stack.h5:/volumes/labels/cells", "--json", f"scores_{name}.json"])
        _, _, structure = self.report(["scores_one.json", "scores_two.json", "-o", "pair.html"])
        self.assertRegex(structure.text, r"B is better in \d+ of 1\d scores")
        self.assertGreaterEqual(len(self.pictures(structure)), 1)

    def test_mistakes(self):
        (self.folder / "empty").mkdir()
        for arguments, words in ((["empty"], "holds no file of a run"), ([], "name one run"), (["a", "b", "c"], "3 are given"),
                                 (["nowhere"], "does not exist"), (["stack.h5"], "neither a run folder"),
                                 (["runs/one", "--outptu", "x"], "did you mean --output")):
            for ranks in self.ranks_tried:
                result = self.start(["report", *arguments], ranks).finish(60)
                self.assert_one_error(result, 2, [words])
        self.assert_one_error(self.start(["report", "runs/one", "-o", "stack.h5/x.html"]).finish(60), 1, ["stack.h5"])


if __name__ == "__main__":
    unittest.main()
