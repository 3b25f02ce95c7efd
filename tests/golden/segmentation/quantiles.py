"""Makes expected_quantiles.json: what `tessera segment` must make of the golden volumes with segment.linkage: quantile25 ... quantile85.

Usage: python3 quantiles.py [FOLDER]          writes FOLDER/expected_quantiles.json (default: beside this file)
       python3 quantiles.py --check           computes everything anew and compares

Fragments, links and small objects are those of reference.py. Greedy merges follow the definition: the histogram of a bundle has the upper
bytes of its edges' weights; the quantile of q per cent is the smallest bin that at least q per cent of the edges do not exceed; the best
bundle has the largest quantile, then the smaller ordinal; a united bundle has the larger ordinal of its parts. Histograms are counted
from the voxels before every run of merges. Linkage "mean" is computed likewise, with sums and counts, to test this program by the sums
of make_agglomeration.py.
"""
import hashlib
import heapq
import itertools
import json
import pathlib
import sys
from fractions import Fraction

import numpy as np

import golden
import reference
from reference import WEIGHT_ONE, Parameters, stages_of, weight_of

BIN_WEIGHT = 257                # of the probability 1 / 255
MADE = dict(shape=(40, 48, 56), spacing=(14, 14, 14), scale=(1, 1, 1), seed=3, thickness=4, damage=90)
FALLING = golden.FALLING
CASES = {
    # name: (volume, how it is stored, mask, smoothing, parameters)
    "odd": ("odd", "uint8", True, 0, Parameters(fragment_size=20, thresholds=FALLING)),
    "basins": ("odd", "uint8", False, 0, Parameters(thresholds=FALLING[::3])),
    "ties": ("cells", "four levels", False, 0, Parameters(fragment_size=50, thresholds=FALLING)),
    "small": ("cells", "uint8", False, 0, Parameters(fragment_size=50, fragment_floor=0.1, thresholds=FALLING[:8], small_size=400,
                                                     small_threshold=0.2, min_size=60, background_below=0.1)),
    "sections": ("sections", "uint8", True, 0, Parameters(mode="sections", fragment_size=20, thresholds=FALLING, link_below=0.5,
                                                          link_jaccard=0.3, link_mutual=False, small_size=100,
                                                          small_threshold=0.2)),
    "smoothed": ("made", "uint8", False, 1, Parameters(fragment_size=20, thresholds=(0.9, 0.75, 0.6))),
}


def smoothed(weight, passes):
    """Filtered by (1, 2, 1) along y and x, mirrored without repeating the edge, divided once, rounded down."""
    out = weight.astype(np.int64)
    for axis in (1, 2):
        for _ in range(passes):
            n = out.shape[axis]
            out = (np.take(out, [1 if n > 1 else 0] + list(range(n - 1)), axis) + 2 * out +
                   np.take(out, list(range(1, n)) + [n - 2 if n > 1 else 0], axis))
    return out >> (4 * passes)


def exact(threshold):
    return Fraction(round(threshold * 10**6), 10**6) * WEIGHT_ONE


def linkage_of(rule, values):
    """`values`: a histogram, or the sum and the count."""
    if rule == "mean":
        return Fraction(int(values[0]), int(values[1]))
    below = np.cumsum(values)
    return Fraction(BIN_WEIGHT * int(np.argmax(100 * below >= rule * below[-1])))


def bundles_of(rule, label, weight, p):
    """{name: {neighbour: (values, ordinal)}} of labels that are names."""
    linear = np.arange(weight.size, dtype=np.int64).reshape(weight.shape)
    strides = (weight.shape[1] * weight.shape[2], weight.shape[2], 1)
    a, b, w, *_ = reference.voxel_edges(label, weight, linear, strides, reference.axes_of(p.mode))
    edges = {int(name): {} for name in np.unique(label[label >= 0])}
    for x, y, one in zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), w.tolist()):
        if y not in edges[x]:
            values = np.zeros(2 if rule == "mean" else 256, np.int64)
            edges[x][y] = edges[y][x] = (values, (x, y))
        values = edges[x][y][0]
        if rule == "mean":
            values += (one, 1)
        else:
            values[one >> 8] += 1
    return edges


def greedy(rule, edges, threshold):
    """Rows (gone, into, linkage, values), best first. Changes `edges`."""
    number = itertools.count()          # values are not compared
    heap = [(-linkage_of(rule, e[0]), e[1], next(number), x, y) for x, row in edges.items() for y, e in row.items() if x < y]
    heapq.heapify(heap)
    rows = []
    while heap:
        negative, ordinal, _, x, y = heapq.heappop(heap)
        if -negative < threshold:
            break
        edge = edges.get(x, {}).get(y)
        if edge is None or edge[1] != ordinal or linkage_of(rule, edge[0]) != -negative:
            continue
        rows.append((y, x, -negative, edge[0]))
        del edges[x][y]
        for other, one in edges.pop(y).items():
            if other == x:
                continue
            del edges[other][y]
            if other in edges[x]:
                there = edges[x][other]
                one = (there[0] + one[0], max(there[1], one[1]))
            edges[x][other] = edges[other][x] = one
            heapq.heappush(heap, (-linkage_of(rule, one[0]), one[1], next(number), min(x, other), max(x, other)))
    return rows


def segment(rule, volume, passes, p, mask=None):
    """The labels, the fragments' names, and the rows (name, into, stage, sum, count) of the tree, by name."""
    weight = reference.weights_of(volume)
    levels = smoothed(weight, passes) if passes else weight
    if mask is not None:
        weight, levels = (np.where(mask != 0, one, -1) for one in (weight, levels))
    basin = reference.basins(levels, p)
    first = reference.graph_of(levels, basin, p)
    root = reference.fragments(first, p)
    fragment = reference.relabelled(basin, {n: m for n, m in zip(first.name.tolist(), first.name[root].tolist()) if n != m})
    rows, label, stages = [], fragment, stages_of(p)
    number = 0
    while number < len(stages):
        kind = stages[number][0]
        if kind == "mean":
            last = number
            while last < len(stages) and stages[last][0] == "mean":
                last += 1
            thresholds = [exact(stages[i][1]) for i in range(number, last)]
            for gone, into, at, values in greedy(rule, bundles_of(rule, label, weight, p), thresholds[-1]):
                stage = number + 1 + next(i for i, t in enumerate(thresholds) if at >= t)
                total, count = values.tolist() if rule == "mean" else (int(at), 1)
                rows.append((gone, into, stage, total, count))
            number = last
        else:
            tree, graph = [], reference.graph_of(weight, label, p)
            if kind == "link":
                reference.link_sections(graph, label, p, number + 1, tree)
            else:
                reference.small_rounds(graph, p, number + 1, tree)
            rows += [(*row, 0, 0) for one in tree for row in one.tolist()]
            number += 1
        label = reference.relabelled(fragment, {row[0]: row[1] for row in rows})
    table = np.array(sorted(rows), np.int64).reshape(-1, 5)
    return reference.finish(label, weight, p), fragment, table


def volume_of(name, stored):
    if name == "made":
        return golden.golden(**MADE)[0]
    return golden.volume_of(name, stored)


def expected():
    out = {}
    for name, (volume, stored, masked, passes, p) in CASES.items():
        voxels = volume_of(volume, stored)
        mask = golden.mask_of(voxels.shape) if masked else None
        one = out[name] = {"volume": volume, "stored": stored, "masked": masked, "smoothing": passes, "parameters": vars(p), "linkages": {}}
        for rule in (25, 50, 75, 85, "mean"):
            labels, fragment, table = segment(rule, voxels, passes, p, mask)
            linkage = rule if rule == "mean" else f"quantile{rule}"
            one["fragments_sha256"] = golden.sha((fragment + 1).astype(np.uint64))
            one["linkages"][linkage] = {"objects": int(np.unique(labels[labels > 0]).size), "merges": len(table),
                                        "labels_sha256": golden.sha(labels), "tree_sha256": golden.sha(table)}
            print(name, linkage, one["linkages"][linkage], flush=True)
        if name == "smoothed":
            # "agglomerated" of expected.json of the reference: rows (gone, into, sum, count).
            assert golden.sha(table[:, [0, 1, 3, 4]]) == "796e4ba46874ac603f94022bbc1ed00e7a6a3238718da540a8aa4879729a2238"
    return json.loads(json.dumps(out, default=list))


if __name__ == "__main__":
    check = "--check" in sys.argv
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 and not check else __file__)
    file = (folder if folder.is_dir() else folder.parent) / "expected_quantiles.json"
    made = expected()
    if check:
        sys.exit(0 if made == json.loads(file.read_text()) else f"{file} differs")
    file.write_text(json.dumps(made, indent=1) + "\n")
