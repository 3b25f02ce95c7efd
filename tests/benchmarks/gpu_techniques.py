#!/usr/bin/env python3
"""The gain of each technique on a device: every way is timed in turns with the one that it replaces.

Usage: gpu_techniques.py BENCH_GPU [--device cuda] [--filters 64] [--rounds 5] [--seconds 150] [--library-path DIR]
With --device cpu the sizes are small and the precision is float32. A gain is the median of the rounds' ratios, after one
round to warm up. A way that this device or build lacks is reported as such. Ways that do not fit the time (--seconds)
are omitted.
"""
import argparse
import os
import statistics
import tempfile

from gpu_bench import BenchGpu, Clock, add_options, in_turns, ratio, row

parser = argparse.ArgumentParser()
add_options(parser)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=150)
arguments = parser.parse_args()
CUDA = arguments.device == "cuda"
SIDES, SMALL_SIDES = ((572, 2044), (188, 316)) if CUDA else ((236,), (188,))
BATCH, TRAIN_SIDE, SMALL_TRAIN_SIDES, STEPS = (8, 572, (284, 572), 20) if CUDA else (2, 236, (204,), 2)
clock = Clock(arguments.seconds)

# {name for bench_gpu: (description, the way that it replaces)}.
ARRANGED = {"libtorch": ("LibTorch's operators", None), "plain": ("arranged for a GPU", "libtorch")}
RECORDED = {"plain": ("kernels one by one", None), "recorded": ("recorded", "plain")}
NETWORK = ARRANGED | {"maxima": ("pooling by maxima", "plain"), "fused": ("fused", "plain"), "both": ("both", "plain"),
                      "own": ("custom kernels", "plain"), "all": ("fused and custom kernels", "both")}
ORDERED = {"library": ("chosen heuristically, library kernels", None), "by_rule": ("translation-invariant", "library"),
           "exact": ("fixed reduction order in all layers", "library")}
PASSES = ARRANGED | {"fused": ("fused", "plain"), "own": ("custom kernels", "plain"),
                     "all": ("fused and custom kernels", "fused")}


def compare(what, ways, ask, amount, unit):
    """Prints the rows of all ways; ask(way) returns the seconds and the amount of work."""
    if clock.is_up():
        row(what, "", "not measured: time is up")
        return
    times, failed, _ = in_turns(arguments.rounds, {way: lambda way=way: ask(way) for way in ways})
    for way, (words, other) in ways.items():
        if way in failed:
            row(what, words, f"not measured: {failed[way][:60]}")
            continue
        gain = f"{ratio(times, way, other):.3f} times as fast as: {ways[other][0]}" if other in times else ""
        row(what, words, f"{amount / statistics.median(times[way]):.4g} {unit}", gain)


def main():
    with tempfile.TemporaryDirectory() as folder:
        tessera = BenchGpu(arguments, os.path.join(folder, "network.pt"))
        print(f"{tessera.text}; {tessera.filters} filters, {tessera.precision}, median of {arguments.rounds} rounds")

        def calls(side, samples=1, passes=1):
            """Enough repetitions for the clock's resolution."""
            return max(5, min(100, int(5e13 / (tessera.ask("cost", side, 1)[0] * samples * passes)))) if CUDA else 5

        def network(side, precision=tessera.precision):
            times = calls(side)
            return lambda way: tessera.ask("network", way, precision, side, times)

        def passes(side, samples):
            times = calls(side, samples, 3)
            return lambda way: tessera.ask("passes", way, tessera.precision, side, samples, times)

        def train(batch):
            return lambda way: tessera.ask("train", tessera.precision, TRAIN_SIDE, batch, 10, STEPS, *way.split())

        for side in SIDES:
            compare(f"network, input {side}", NETWORK, network(side), (side - 184) ** 2 / 1e6, "Mpx/s")
        for side in SIDES:
            compare(f"network, input {side}, {tessera.precision}", ORDERED, network(side), (side - 184) ** 2 / 1e6, "Mpx/s")
        if CUDA:
            compare("network, input 572, float32", ORDERED, network(572, "float32"), 388**2 / 1e6, "Mpx/s")
        for side in SMALL_SIDES:
            compare(f"network, input {side}", RECORDED, network(side), 1, "tiles/s")
        compare(f"both passes, {TRAIN_SIDE}, {BATCH} samples", PASSES, passes(TRAIN_SIDE, BATCH), BATCH, "images/s")
        for side in SMALL_TRAIN_SIDES:
            compare(f"both passes, {side}, 1 sample", RECORDED, passes(side, 1), 1, "images/s")
        what = f"training, {TRAIN_SIDE}, batch {BATCH}"
        few = f"report={STEPS}"
        compare(what, {f"at_once=1 {few}": ("one sample at once", None),
                       f"at_once={BATCH} {few}": (f"{BATCH} at once", f"at_once=1 {few}")}, train(BATCH), BATCH, "images/s")
        compare(what, {f"samples=host {few}": ("samples made on the host", None),
                       f"samples=device {few}": ("on the device", f"samples=host {few}")}, train(BATCH), BATCH, "images/s")
        compare(f"training, {TRAIN_SIDE}, batch 1", {"report=1": ("results read every step", None),
                                                     few: (f"every {STEPS} steps", "report=1")}, train(1), 1, "images/s")
        tessera.end()


if __name__ == "__main__":
    main()
