"""Makes expected_affinities.json: what `tessera segment` must make of affinities (segment.input: affinities).

Usage: python3 affinities.py [FOLDER]          writes FOLDER/expected_affinities.json (default: beside this file)
       python3 affinities.py --check           computes everything anew and compares

The affinities are those of affinities_of(), made of the golden volumes by whole numbers. An edge between two neighbouring voxels has the
weight of its affinity. Of two edges of a voxel the better one has the larger weight, then the smaller id; all else is as with
probabilities: reference.py and, for greedy merges, quantiles.py.
"""
import json
import pathlib
import sys

import numpy as np

import golden
import quantiles
import reference
from reference import Parameters, stages_of, weight_of

FALLING = golden.FALLING
CASES = {
    # name: (volume, divisor of the values (for ties), mask, linkage, parameters)
    "odd": ("odd", 1, True, "rounds", Parameters(fragment_size=20, thresholds=FALLING)),
    "cells": ("cells", 1, False, "rounds", Parameters(fragment_size=50, thresholds=FALLING, small_size=100, small_threshold=0.2,
                                                      min_size=20)),
    "ties": ("cells", 64, False, "rounds", Parameters(fragment_size=50, thresholds=FALLING)),
    "greedy": ("odd", 1, True, "mean", Parameters(fragment_size=20, thresholds=FALLING)),
    "quantile": ("odd", 1, False, "quantile75", Parameters(fragment_size=20, thresholds=FALLING)),
    "sections": ("sections", 1, True, "rounds", Parameters(mode="sections", fragment_size=20, thresholds=FALLING, link_below=0.6)),
    "saturated": ("odd", 1, False, "rounds", Parameters(saturated=0.7, fragment_size=5, thresholds=FALLING)),
}


def affinities_of(volume, divisor):
    """(3, z, y, x), uint8: channel k at v for the edge between v and the voxel before it along axis k. Values at the border, whose edges
    lead out of the volume, are not 0, to be ignored."""
    z, y, x = np.indices(volume.shape)
    out = np.empty((3, *volume.shape), np.uint8)
    for axis in range(3):
        before = np.take(volume, np.maximum(np.arange(volume.shape[axis]) - 1, 0), axis)
        lower = np.minimum(volume, before).astype(np.int64)
        noise = (3 * z + 5 * y + 7 * x + 11 * axis) % 23
        out[axis] = np.maximum(lower - noise, 0) // divisor * divisor
    return out


def edges_of(affinity, mask):
    """Of each axis the weight of the edge between each voxel and the one before it; -1 without an edge."""
    weight = reference.weights_of(affinity)
    inside = np.ones(affinity.shape[1:], bool) if mask is None else mask != 0
    return [np.where(inside & reference.shifted(inside, axis, -1, False), weight[axis], -1) for axis in range(3)], inside


def basins(edges, inside, p):
    shape = inside.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    linear = np.arange(inside.size, dtype=np.int64).reshape(shape)
    best = [np.full(shape, -1, np.int64), np.full(shape, np.iinfo(np.int64).max)]
    target = np.full(shape, -1, np.int64)
    a, b = [], []
    for axis in reference.axes_of(p.mode):
        for step in (-1, 1):
            weight = edges[axis] if step < 0 else reference.shifted(edges[axis], axis, 1, -1)
            edge = 3 * (linear if step < 0 else linear + strides[axis]) + axis
            better = (weight >= 0) & ((weight > best[0]) | ((weight == best[0]) & (edge < best[1])))
            best[0][better], best[1][better] = weight[better], edge[better]
            target[better] = (linear + step * strides[axis])[better]
        full = np.flatnonzero(edges[axis].ravel() >= weight_of(p.saturated))
        a.append(full)
        b.append(full - strides[axis])
    has = np.flatnonzero(target.ravel() >= 0)
    root = reference.components(inside.size, np.concatenate([has, *a]), np.concatenate([target.ravel()[has], *b]))
    return np.where(inside.ravel(), root, -1).reshape(shape)


def voxel_edges(label, edges, p):
    """Columns as those of reference.voxel_edges()."""
    shape = label.shape
    linear = np.arange(label.size, dtype=np.int64).reshape(shape)
    columns = [[np.empty(0, np.int64)] * 4]
    for axis in reference.axes_of(p.mode):
        before = reference.shifted(label, axis, -1, -1)
        between = (label >= 0) & (before >= 0) & (label != before)
        columns.append((before[between], label[between], edges[axis][between], (3 * linear + axis)[between]))
    a, b, w, edge = (np.concatenate([part[i] for part in columns]) for i in range(4))
    return a, b, w, np.ones_like(w), w, edge


def graph_of(label, edges, p):
    name, number, size = np.unique(label.ravel(), return_inverse=True, return_counts=True)
    outside = int(name.size > 0 and name[0] < 0)
    number = number.reshape(label.shape) - outside
    return reference.Graph(name[outside:], size[outside:].astype(np.int64), *reference.summed(*voxel_edges(number, edges, p)))


def bundles_of(rule, label, edges, p):
    """As quantiles.bundles_of()."""
    a, b, w, *_ = voxel_edges(label, edges, p)
    out = {int(name): {} for name in np.unique(label[label >= 0])}
    for x, y, one in zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), w.tolist()):
        if y not in out[x]:
            out[x][y] = out[y][x] = (np.zeros(2 if rule == "mean" else 256, np.int64), (x, y))
        values = out[x][y][0]
        values += (one, 1) if rule == "mean" else (np.arange(256) == one >> 8)
    return out


def segment(affinity, p, linkage, mask=None):
    """The labels, the fragments' names, and the rows (name, into, stage, sum, count) of the tree, by name."""
    edges, inside = edges_of(affinity, mask)
    basin = basins(edges, inside, p)
    first = graph_of(basin, edges, p)
    root = reference.fragments(first, p)
    fragment = reference.relabelled(basin, {n: m for n, m in zip(first.name.tolist(), first.name[root].tolist()) if n != m})
    graph, rows, stages = reference.contracted(first, root), [], stages_of(p)
    if linkage != "rounds":
        rule = "mean" if linkage == "mean" else int(linkage.removeprefix("quantile"))
        thresholds = [quantiles.exact(threshold) for _, threshold in stages]
        for gone, into, at, values in quantiles.greedy(rule, bundles_of(rule, fragment, edges, p), thresholds[-1]):
            total, count = values.tolist() if rule == "mean" else (int(at), 1)
            rows.append((gone, into, 1 + next(i for i, t in enumerate(thresholds) if at >= t), total, count))
    for number, (kind, *value) in enumerate(stages, 1):
        tree = []
        if linkage != "rounds":
            break
        if kind == "mean":
            graph = reference.mean_rounds(graph, value[0], number, tree)
        elif kind == "link":
            label = reference.relabelled(fragment, {row[0]: row[1] for row in rows})
            graph = reference.link_sections(graph, label, p, number, tree)
        else:
            graph = reference.small_rounds(graph, p, number, tree)
        rows += [(*row, 0, 0) for one in tree for row in one.tolist()]
    label = reference.relabelled(fragment, {row[0]: row[1] for row in rows})
    return (reference.finish(label, np.where(inside, 0, -1), p), fragment, np.array(sorted(rows), np.int64).reshape(-1, 5))


def case_volume(name):
    """Affinities, mask, linkage and parameters of a case."""
    volume, divisor, masked, linkage, p = CASES[name]
    voxels = golden.volume_of(volume, "uint8")
    return affinities_of(voxels, divisor), golden.mask_of(voxels.shape) if masked else None, linkage, p


def expected():
    out = {}
    for name, (volume, divisor, masked, linkage, p) in CASES.items():
        affinity, mask, _, _ = case_volume(name)
        labels, fragment, table = segment(affinity, p, linkage, mask)
        out[name] = {"volume": volume, "stored": "uint8", "divisor": divisor, "masked": masked, "linkage": linkage,
                     "parameters": vars(p), "affinities_sha256": golden.sha(affinity), "merges": len(table),
                     "fragments": int(np.unique(fragment[fragment >= 0]).size),
                     "objects": int(np.unique(labels[labels > 0]).size),
                     "fragments_sha256": golden.sha((fragment + 1).astype(np.uint64)), "tree_sha256": golden.sha(table),
                     "labels_sha256": golden.sha(labels)}
        print(name, out[name]["fragments"], out[name]["merges"], out[name]["objects"], out[name]["labels_sha256"][:16], flush=True)
    return json.loads(json.dumps(out, default=list))


if __name__ == "__main__":
    check = "--check" in sys.argv
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 and not check else __file__)
    file = (folder if folder.is_dir() else folder.parent) / "expected_affinities.json"
    made = expected()
    if check:
        sys.exit(0 if made == json.loads(file.read_text()) else f"{file} differs")
    file.write_text(json.dumps(made, indent=1) + "\n")
