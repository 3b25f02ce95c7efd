#!/usr/bin/env python3
"""The cost of reading, handing off and writing: `tessera infer` compared with the network alone on preloaded tiles.

Usage: end_to_end_rate.py TESSERA BENCH_PREDICTION [--filters 64] [--precision bfloat16] [--rounds 3] [--sections 24]
One worker, then two workers of one thread each, predict a synthetic volume (gzip chunks). Runs alternate with the
forward pass alone of the same tile on one thread. Prints medians and the ratios of each round.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("tessera")
parser.add_argument("bench")
parser.add_argument("--filters", type=int, default=64)
parser.add_argument("--precision", default="bfloat16")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--sections", default="24")
arguments = parser.parse_args()
tessera = str(pathlib.Path(arguments.tessera).resolve())
bench = str(pathlib.Path(arguments.bench).resolve())
environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1")
TILE = 572  # core 384: the size of all tiles of the run below, except those at the far borders

EXPERIMENT = f"""
experiment: rate
data: {{raw: "v.h5:/volumes/raw", labels: "v.h5:/volumes/labels/cells", train_sections: [0, 2]}}
model: {{base_filters: {arguments.filters}}}
train: {{iterations: 1, tile: 204, threads: 2}}
infer: {{output: "out.h5:/v", checkpoint: latest, tile: {TILE}, precision: {arguments.precision}, threads: 1, chunk: [1, 128, 128],
        block: [1, 1152, 1152]}}
"""

with tempfile.TemporaryDirectory() as folder:
    def run(*words):
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
        return done.stdout

    pathlib.Path(folder, "rate.yaml").write_text(EXPERIMENT)
    shape = f"{arguments.sections},1152,1152"  # three cores along each axis: no tile is clipped
    run(tessera, "synth", "v.h5", "--shape", shape, "--seed", "1")
    run(tessera, "train", "rate.yaml")
    server = subprocess.Popen([bench, str(arguments.filters), "1", os.path.join(folder, "n.pt")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, env=environment)

    def bare_rate(repeats=6):
        seconds = []
        for _ in range(repeats):
            server.stdin.write(f"{arguments.precision} {TILE}\n")
            server.stdin.flush()
            seconds.append(float(server.stdout.readline().split()[0]))
        return 384 * 384 / statistics.median(seconds) / 1e6

    def infer_rate(workers):
        run("mpirun", "--bind-to", "none", "--oversubscribe", "-n", str(workers + 1), tessera, "infer", "rate.yaml", "--restart")
        report = json.loads(pathlib.Path(folder, "runs/rate/inference.json").read_text())
        busy = max(w["elapsed_s"] for w in report["workers"])
        return report["total"]["voxels"] / busy / 1e6

    bare_rate(1)
    rows = []
    for turn in range(arguments.rounds):
        rows.append((bare_rate(), infer_rate(1), infer_rate(2)))
        print("bare {:.4f}, one worker {:.4f}, two workers {:.4f} Mvoxels/s".format(*rows[-1]), flush=True)
    server.stdin.close()
    server.wait(60)
print(f"{arguments.filters} filters, {arguments.precision}, tile {TILE}, one thread a worker")
print("  end to end, of the bare network: {:.1f} %".format(100 * statistics.median(b / a for a, b, _ in rows)))
print("  two workers, of one: {:.2f} times".format(statistics.median(c / b for _, b, c in rows)))
