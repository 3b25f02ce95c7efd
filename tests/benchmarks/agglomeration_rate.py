#!/usr/bin/python3
"""Compares Tessera's agglomeration with a heap in plain Python and with scikit-image, on the same graph in the same run.

Usage: agglomeration_rate.py BENCH_AGGLOMERATION [--side 20] [--large 67] [--threshold 0.5]
BENCH_AGGLOMERATION is the program of tests/benchmarks/agglomeration_rate.cpp. The graph: side^3 regions in a grid, 6 neighbours,
bundles of 1 to 60 voxel edges of random mean weight. The merges of Tessera and of plain Python must be equal, or the script fails.
`--large`: the side of a graph for Tessera alone. Needs numpy; scikit-image and networkx for its row.
"""
import argparse
import heapq
import pathlib
import subprocess
import tempfile
import time
from fractions import Fraction

import numpy as np


def grid(side, seed=1):
    """Columns a, b, sum, count."""
    rows = np.arange(side ** 3).reshape(side, side, side)
    pairs = np.concatenate([np.stack([np.take(rows, range(side - 1), axis).ravel(), np.take(rows, range(1, side), axis).ravel()], 1)
                            for axis in range(3)])
    random = np.random.default_rng(seed)
    count = random.integers(1, 61, len(pairs))
    return np.column_stack([pairs, count * 257 * random.integers(0, 256, len(pairs)), count])


def tessera(program, graph, threshold):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "graph.txt"
        np.savetxt(file, graph, fmt="%d")
        done = subprocess.run([program, file, str(threshold)], capture_output=True, text=True, check=True, timeout=600)
    lines = [line.split() for line in done.stdout.splitlines()]
    return [tuple(map(int, line)) for line in lines if len(line) == 4], float(lines[-1][1])


def plain_python(graph, threshold):
    begin = time.perf_counter()
    edges = {}
    for a, b, total, count in graph.tolist():
        edges.setdefault(a, {})[b] = edges.setdefault(b, {})[a] = (Fraction(total, count), total, count, (a, b))
    heap = [(-edge[0], edge[3], a, b) for a, row in edges.items() for b, edge in row.items() if a < b]
    heapq.heapify(heap)
    merges, lowest = [], Fraction(threshold).limit_denominator(1000) * 65535
    while heap and -heap[0][0] >= lowest:
        mean, ordinal, x, y = heapq.heappop(heap)
        edge = edges.get(x, {}).get(y)
        if edge is None or (-edge[0], edge[3]) != (mean, ordinal):
            continue
        merges.append((y, x, edge[1], edge[2]))
        del edges[x][y]
        for other, moved in edges.pop(y).items():
            if other == x:
                continue
            del edges[other][y]
            if (there := edges[x].get(other)) is not None:
                total, count = there[1] + moved[1], there[2] + moved[2]
                moved = (Fraction(total, count), total, count, max(there[3], moved[3]))
            edges[x][other] = edges[other][x] = moved
            heapq.heappush(heap, (-moved[0], moved[3], min(x, other), max(x, other)))
    return sorted(merges), time.perf_counter() - begin


def scikit_image(graph, threshold):
    from skimage.future.graph import RAG, merge_hierarchical
    rag = RAG()
    for node in range(int(graph[:, :2].max()) + 1):
        rag.add_node(node, labels=[node])
    for a, b, total, count in graph.tolist():
        rag.add_edge(a, b, weight=-total / count, count=count)

    def weight(g, src, dst, n):
        edges = [g[end][n] for end in (src, dst) if g.has_edge(end, n)]
        count = sum(edge["count"] for edge in edges)
        return {"weight": sum(edge["weight"] * edge["count"] for edge in edges) / count, "count": count}

    labels = np.arange(rag.number_of_nodes())
    begin = time.perf_counter()
    merged = merge_hierarchical(labels, rag, thresh=-threshold * 65535, rag_copy=False, in_place_merge=True,
                                merge_func=lambda g, src, dst: None, weight_func=weight)
    return np.unique(merged).size, time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--side", type=int, default=20)
    parser.add_argument("--large", type=int, default=67)
    parser.add_argument("--threshold", type=float, default=0.5)
    arguments = parser.parse_args()
    graph = grid(arguments.side)
    merges, seconds = tessera(arguments.program, graph, arguments.threshold)
    expected, plain_s = plain_python(graph, arguments.threshold)
    if merges != expected:
        raise SystemExit("the merges differ")

    def row(name, bundles, objects, elapsed):
        print(f"{name:24} {bundles:9} bundles {objects:8} objects {elapsed:8.3f} s {bundles / elapsed:12.0f} bundles/s", flush=True)

    rows = arguments.side ** 3
    row("Tessera", len(graph), rows - len(merges), seconds)
    row("plain Python, Fraction", len(graph), rows - len(expected), plain_s)
    try:
        row("scikit-image, float", len(graph), *scikit_image(graph, arguments.threshold))
    except ImportError as error:
        print(f"scikit-image: left out ({error})")
    if arguments.large:
        graph = grid(arguments.large)
        merges, seconds = tessera(arguments.program, graph, arguments.threshold)
        row("Tessera, large", len(graph), arguments.large ** 3 - len(merges), seconds)


if __name__ == "__main__":
    main()
