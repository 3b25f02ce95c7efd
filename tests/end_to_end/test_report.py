"""tessera report: one self-contained HTML file about one run or two."""

import base64
import html.parser
import json
import re
import shutil
import unittest

from harness import Case, png_shape

VOID = {"img", "br", "meta", "link", "wbr", "hr", "col"}


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
        self.assertEqual(len(self.pictures(structure)), len(list((self.run_folder / "evaluation").glob("*.png"))))
        for height, width in self.pictures(structure):
            self.assertGreaterEqual((height, width), (96, 3 * 96))
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
        self.assertEqual(self.pictures(structure), [])
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
        structure = Structure((damaged / "report.html").read_text())
        self.assertIn("inference.json is damaged", structure.text)

    def test_labels_and_classes(self):
        for kind, labels, words in (("labels", "instances", "VOI split, 3-D"), ("classes", "cells", "Mean IoU")):
            volume = f"stack.h5:/volumes/labels/{labels}"
            self.tessera(["evaluate", "--prediction", volume, "--labels", volume, "--kind", kind, "--json", f"{kind}.json"])
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
