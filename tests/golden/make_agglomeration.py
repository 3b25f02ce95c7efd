#!/usr/bin/python3
"""Writes tests/golden/agglomeration: fragments, their graph, its agglomeration, and scores of each cut.

Usage: make_agglomeration.py REFERENCE_FOLDER
REFERENCE_FOLDER has reference.py, agglomeration.py, volumes.py and make_expected.py of the reference implementation of the
segmentation, which this script only calls. Needs numpy, h5py and scikit-image.

NAME.h5         /volumes/labels/supervoxels and /volumes/labels/cells
NAME.graph.h5   the graph file of docs/agglomeration.md, with greedy mean agglomeration down to 0.3 and stages 0.95, 0.9, ... 0.3
NAME.json       SHA-256 sums of merges and of cuts, the ids' merges of small objects, scikit-image's scores of each stage
"""
import json
import pathlib
import sys
from fractions import Fraction

import h5py
import numpy as np
from skimage.metrics import adapted_rand_error, variation_of_information

sys.path.insert(0, sys.argv[1])
import agglomeration  # noqa: E402
import reference  # noqa: E402
import volumes  # noqa: E402

MADE = {
    "volume": dict(shape=(40, 48, 56), spacing=(14, 14, 14), scale=(1, 1, 1), seed=3, thickness=4, damage=90),
    "plain": dict(shape=(17, 33, 41), spacing=(9, 11, 13), scale=(2, 1, 1), seed=8, thickness=5, damage=60),
}
THRESHOLDS = [round(0.95 - 0.05 * i, 2) for i in range(14)]
DIGESTED = (0.9, 0.75, 0.6)          # the cuts of the reference's expected.json
SMALL_FROM, SMALL_SIZE, SMALL_THRESHOLD = 0.6, 60, 0.2
FOLDER = pathlib.Path(__file__).parent / "agglomeration"


def exact(threshold):
    return Fraction(threshold).limit_denominator(1000) * 65535


def digest(array):
    import hashlib
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def stage_of(total, count):
    return 1 + next(i for i, t in enumerate(THRESHOLDS) if Fraction(total, count) >= exact(t))


def scores(truth, label):
    split, merge = variation_of_information(truth, label, ignore_labels=(0,))
    # scikit-image returns precision and recall in the opposite order of its documentation.
    error, recall, precision = adapted_rand_error(truth, label, ignore_labels=(0,))
    return {"voi_split": split, "voi_merge": merge, "adapted_rand_error": error, "precision": precision, "recall": recall}


def write(name, make):
    volume, cells = volumes.golden(**make)
    weight = reference.weights_of(volume)
    p = reference.Parameters(fragment_size=20)
    _, between = reference.segment(agglomeration.smoothed(weight, 1).astype(np.uint16), p)
    fragment = between["fragment"]
    g = reference.graph_of(weight, fragment, p)
    rows = agglomeration.greedy(agglomeration.adjacency(g.name, g.a, g.b, g.sum, g.count), exact(THRESHOLDS[-1]))
    table = np.array(sorted(rows), np.int64).reshape(-1, 4)
    expected = {"fragments": int(g.name.size), "thresholds": THRESHOLDS, "cuts": {}, "stages": []}
    reached = [row for row in sorted(rows) if Fraction(row[2], row[3]) >= exact(min(DIGESTED))]
    expected["merges_to_0.6"] = digest(np.array(reached, np.int64).reshape(-1, 4))
    for t in DIGESTED:
        expected["cuts"][str(t)] = digest((agglomeration.cut(fragment, rows, exact(t)) + 1).astype(np.uint64))
    truth = cells.astype(np.uint64)
    for t in [None, *THRESHOLDS]:
        label = agglomeration.cut(fragment, rows, exact(t)) if t else fragment
        expected["stages"].append({"threshold": t, "objects": int(np.unique(label).size), **scores(truth, label + 1)})
    # Small objects, after the cut at SMALL_FROM.
    into = {gone: to for gone, to, s, c in rows if Fraction(s, c) >= exact(SMALL_FROM)}

    def last(n):
        while n in into:
            n = into[n]
        return n
    root = np.searchsorted(g.name, [last(n) for n in g.name.tolist()])
    tree = []
    reference.small_rounds(reference.contracted(g, root), reference.Parameters(small_size=SMALL_SIZE, small_threshold=SMALL_THRESHOLD),
                           1, tree)
    small = np.concatenate(tree)
    expected["small"] = {"from": SMALL_FROM, "size": SMALL_SIZE, "threshold": SMALL_THRESHOLD,
                         "merges": sorted(small[:, :2].tolist())}
    (FOLDER / f"{name}.json").write_text(json.dumps(expected) + "\n")
    with h5py.File(FOLDER / f"{name}.h5", "w") as file:
        for path, data in (("supervoxels", (fragment + 1).astype(np.uint64)), ("cells", truth.astype(np.uint32))):
            made = file.create_dataset(f"volumes/labels/{path}", data=data, chunks=tuple(min(s, 32) for s in data.shape),
                                       compression="gzip", shuffle=True)
            made.attrs["resolution"] = np.array([10.0, 10.0, 10.0])
            made.attrs["offset"] = np.zeros(3)
    with h5py.File(FOLDER / f"{name}.graph.h5", "w") as file:
        file.attrs["stages"] = json.dumps([["mean", t] for t in THRESHOLDS])
        file.attrs["linkage"] = "mean"
        stored = {"supervoxels/id": (g.name + 1, np.uint64), "supervoxels/size": (g.size, np.uint64),
                  "bundles/a": (g.a, np.uint32), "bundles/b": (g.b, np.uint32), "bundles/sum": (g.sum, np.uint64),
                  "bundles/count": (g.count, np.uint64), "bundles/saddle": (g.saddle, np.uint16),
                  "bundles/edge": (g.edge, np.uint64),
                  "tree/id": (table[:, 0] + 1, np.uint64), "tree/into": (table[:, 1] + 1, np.uint64),
                  "tree/stage": ([stage_of(s, c) for s, c in table[:, 2:].tolist()], np.uint32),
                  "tree/sum": (table[:, 2], np.uint64), "tree/count": (table[:, 3], np.uint64)}
        for path, (data, kind) in stored.items():
            file.create_dataset(path, data=np.asarray(data).astype(kind), compression="gzip", shuffle=True)
    print(name, g.name.size, "fragments", g.a.size, "bundles", len(rows), "merges", expected["merges_to_0.6"][:16])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in MADE.items():
        write(name, make)
