#!/usr/bin/env python3
"""Samples per second of a training on two workers of one thread compared with one, and the share of the gradient
exchange that the backward pass does not hide.

Usage: training_scaling.py TESSERA [--filters 64] [--tile 476] [--iterations 6] [--rounds 3] [--set key=value ...]
Trains on a synthetic stack with a global batch of 2, in turns on 1 rank (which computes both samples) and on 3 ranks (a
coordinator, which sleeps, and two workers); each run's rate is that of its iterations after the first two.
"""
import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("tessera")
parser.add_argument("--filters", type=int, default=64)
parser.add_argument("--tile", type=int, default=476)
parser.add_argument("--iterations", type=int, default=6)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--set", action="append", default=[])
arguments = parser.parse_args()
environment = {**os.environ, "OMP_NUM_THREADS": "1"}
if os.getuid() == 0:
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
tessera = os.path.abspath(arguments.tessera)

EXPERIMENT = """
experiment: scaling
data: {{raw: stack.h5:/volumes/raw, labels: stack.h5:/volumes/labels/cells, train_sections: [0, 4]}}
model: {{preset: unet2015, base_filters: {filters}}}
train: {{iterations: {iterations}, global_batch: 2, tile: {tile}, threads: 1, checkpoint_every: 1000000}}
"""

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)

    def run(*words):
        subprocess.run(words, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=900)

    run(tessera, "synth", "stack.h5", "--shape", "4,768,768", "--seed", "1")
    (folder / "scaling.yaml").write_text(EXPERIMENT.format(**vars(arguments)))
    more = [word for value in arguments.set for word in ("--set", value)]

    def rate(ranks):
        launcher = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks > 1 else []
        run(*launcher, tessera, "train", "scaling.yaml", "--overwrite", *more)
        with open(folder / "runs/scaling/metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        seconds = float(rows[-1]["elapsed_s"]) - float(rows[1]["elapsed_s"])
        return 2 * (len(rows) - 2) / seconds, [float(r["exchange_share"]) for r in rows[2:]]

    ratios, shares = [], []
    for turn in range(arguments.rounds):
        (one, _), (two, unhidden) = rate(1), rate(3)
        ratios.append(two / one)
        shares += unhidden
        print(f"  1 worker {one:.3f} samples/s, 2 workers {two:.3f} samples/s: {two / one:.2f} times; "
              f"not hidden {100 * statistics.mean(unhidden):.1f} %", flush=True)
print(f"{arguments.filters} filters, tile {arguments.tile}: 2 workers are {statistics.median(ratios):.2f} times as fast as one; "
      f"of a step's time {100 * statistics.median(shares):.1f} % (median; at most {100 * max(shares):.1f} %) is travelling that "
      "is not hidden")
