"""Compares the weight map of real sections with SciPy's: touching nuclei by ids, EM cells as connected components.

SKIPPED where TESSERA_DATA has no such files, or without SciPy.
"""

import os
import subprocess
import sys
import unittest

import h5py
import numpy as np

from harness import DATA, SOURCE, Case, read_tiff

sys.path.insert(0, str(SOURCE / "tests/golden"))
PROGRAM = os.environ.get("TESSERA_WEIGHT_MAP", str(SOURCE / "build/dev/tests/benchmarks/bench_weight_map"))

try:
    import make_weight_map as reference
    from scipy import ndimage
except ImportError:
    reference = None


class WeightMaps(Case):

    def weights(self, kind, names, shapes):
        """Tessera's weight maps for datasets of these shapes."""
        out = self.folder / "weights.bin"
        subprocess.run([PROGRAM, kind, out, *names], check=True, cwd=self.folder)
        values = np.fromfile(out, np.float32)
        self.assertEqual(len(values), sum(int(np.prod(s)) for s in shapes))
        ends = np.cumsum([int(np.prod(s)) for s in shapes])
        return [v.reshape(s) for v, s in zip(np.split(values, ends[:-1]), shapes)]

    def compare(self, found, expected):
        self.assertGreater(len(expected), 0)
        worst = max(float(np.abs(f - e).max()) for f, e in zip(found, expected))
        print(f"{len(expected)} sections: largest difference {worst:.2g}, largest weight "
              f"{max(float(e.max()) for e in expected):.3g}")
        self.assertLess(worst, 1e-4)
        self.assertGreater(max(float(e.max()) for e in expected), 5)

    def require(self, name):
        if reference is None:
            self.skipTest("no SciPy (Debian: python3-scipy)")
        if not (DATA / name).is_file():
            self.skipTest(f"no {DATA / name}: set TESSERA_DATA")
        return DATA / name

    def test_nuclei(self):
        file = self.require("dsb2018/dsb2018_subset.h5")
        with h5py.File(file) as f:
            labels = {name: f[name]["labels"][()] for name in sorted(f)}
        touching, expected = 0, []
        for section in labels.values():
            instances = reference.dense(section)
            separated = reference.separated(instances)
            touching += bool((separated != instances).any())
            expected.append(reference.border_weights(separated))
        self.assertGreater(touching, 10, "sections with touching nuclei")
        found = self.weights("instances", [f"{file}:/{name}/labels" for name in labels], [s.shape for s in labels.values()])
        self.compare(found, expected)

    def test_cells_of_isbi2012(self):
        pages = read_tiff(self.require("isbi2012/train-labels-00-19.tif"))[:3]
        with h5py.File(self.folder / "cells.h5", "w") as f:
            f["labels"] = pages
        found = self.weights("classes", ["cells.h5:/labels"], [pages.shape])
        # 4-connected components, SciPy's default. Classes are not separated further.
        self.compare(list(found[0]), [reference.border_weights(ndimage.label(page)[0]) for page in pages])


if __name__ == "__main__":
    unittest.main()
