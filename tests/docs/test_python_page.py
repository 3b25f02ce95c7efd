"""Runs the blocks of docs/python.md, in their order, in the folder of a small experiment named `cells`.

napari is not in Debian: a stand-in checks what it is given. Without python3-zarr or python3-skimage their blocks are left out,
and the test says so.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import unittest

from harness import SOURCE, Case

PAGE = SOURCE / "docs/python.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ALWAYS_NEEDED = ("scipy", "matplotlib")
NEEDED = {"zarr": "python3-zarr", "skimage": "python3-skimage"}

NAPARI = '''
import numpy as np

layers = []


class Viewer:
    def add_image(self, data, name=None, scale=None, colormap="gray", opacity=1.0):
        assert np.ndim(data) == len(scale) == 3, (np.shape(data), scale)
        layers.append((name, np.shape(data), tuple(scale)))


def run():
    assert len(layers) == 2 and layers[0][1:] == layers[1][1:], layers
'''


def blocks(text):
    """(language, code) of each fenced block."""
    return [(found[1], found[2]) for found in BLOCK.finditer(text)]


class PythonPage(Case):

    @classmethod
    def setUpClass(cls):
        if missing := [module for module in ALWAYS_NEEDED if importlib.util.find_spec(module) is None]:
            raise unittest.SkipTest(f"needs Debian's {' and '.join('python3-' + module for module in missing)}")
        super().setUpClass()
        (cls.folder / "stack.h5").rename(cls.folder / "cells.h5")
        yaml = cls.config("cells", {
            "data": {"raw": "cells.h5:/volumes/raw", "labels": "cells.h5:/volumes/labels/cells"},
            "train": {"iterations": 60, "learning_rate": 3e-3, "validate_every": 60, "checkpoint_every": 60},
            "infer": {"output": "runs/cells/prediction.h5:/volumes/predictions/interior", "block": [2, 48, 48], "chunk": [2, 48, 48]},
            "evaluate": {"sections": [4, 6]}})
        for verb in ("train", "infer", "evaluate"):
            cls.done(cls.folder, [verb, yaml])
        (cls.folder / "modules").mkdir()
        (cls.folder / "modules/napari.py").write_text(NAPARI)
        cls.left_out = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]

    def python(self, code):
        environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(
            [str(self.folder / "modules"), *filter(None, [os.environ.get("PYTHONPATH")])])}
        return subprocess.run([sys.executable, "-W", "error::SyntaxWarning", "-c", code], cwd=self.folder, env=environment,
                              capture_output=True, text=True, timeout=200)

    def test_every_block_runs(self):
        code, commands = [], []
        for language, text in blocks(PAGE.read_text()):
            self.assertIn(language, ("python", "sh"), text)
            if language == "sh":
                commands += [shlex.split(line) for line in text.splitlines()]
            elif not any(f"import {module}" in text or f"from {module}" in text
                         for module, package in NEEDED.items() if package in self.left_out):
                code.append(text)
        self.assertGreaterEqual(len(code), 8)
        result = self.python("\n".join(code))
        self.assertEqual(result.returncode, 0, result.stderr)
        for pattern in (r"^\(6, 96, 96\) uint8$", "probability of class 1, 255 = 1", r"Rand F 0\.\d+ at threshold", r"\d+ cells in 6 sections",
                        r"covers \(slice\(0, 6, None\), .*\nTrue", "12 of 12 blocks are on the disk"):
            self.assertRegex(result.stdout, re.compile(pattern, re.MULTILINE))
        said = re.search(r"pixel error (\S+), evaluate says (\S+)", result.stdout)
        self.assertEqual(said[1], said[2], "the page's pixel error is that of evaluate")
        self.assertGreater((self.folder / "section.png").stat().st_size, 1000)

        self.assertEqual([one[0] for one in commands], ["tessera"] * 2)
        self.assertRegex(self.tessera(commands[0][1:]).stdout, r"/volumes/labels/cells +.*uint32")
        self.assertRegex(self.tessera(commands[1][1:]).stdout, "(?i)voi")
        if self.left_out:
            print(f"left out, because they are not installed: {', '.join(self.left_out)}")

    def test_reading_a_result_takes_ten_lines(self):
        first = blocks(PAGE.read_text())[0][1]
        self.assertLessEqual(len([line for line in first.splitlines() if line.strip()]), 10)


if __name__ == "__main__":
    unittest.main()
