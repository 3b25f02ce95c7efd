#!/usr/bin/env python3
"""Output pixels per second of Tessera's engine and of PyTorch in Python, in turns, on the same cores.

Usage: prediction_rate.py BENCH_PREDICTION [--filters 64] [--tile 572] [--threads 1] [--rounds 5]
Needs Debian's python3-torch (run it with /usr/bin/python3). Both predict the same tile with the same weights, in turns,
so that other load on the machine affects both. PyTorch runs in inference mode, with its default layout and
with channels_last; autocast is bfloat16. LibTorch 1.13 has no bfloat16 transposed convolution on the CPU, so autocast
runs that layer in float32, as for any user.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("bench")
parser.add_argument("--filters", type=int, default=64)
parser.add_argument("--tile", type=int, default=572)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=5)
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import torch  # noqa: E402  (the number of threads must be known before)
from pytorch_unet import UNet, with_weights  # noqa: E402

torch.set_num_threads(arguments.threads)


def load(network_file, up_in_float32, channels_last):
    network = with_weights(UNet(arguments.filters, up_in_float32=up_in_float32), network_file).eval()
    return network.to(memory_format=torch.channels_last) if channels_last else network


def pytorch_seconds(network, x, autocast):
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        begin = time.perf_counter()
        logits = network(x)
        took = time.perf_counter() - begin
    return took, torch.softmax(logits.float(), 1)[:, 1].mean().item()


with tempfile.TemporaryDirectory() as folder:
    network_file = os.path.join(folder, "network.pt")
    tessera = subprocess.Popen([arguments.bench, str(arguments.filters), str(arguments.threads), network_file],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tessera_seconds(precision):
        tessera.stdin.write(f"{precision} {arguments.tile}\n")
        tessera.stdin.flush()
        took, _, mean = tessera.stdout.readline().split()
        return float(took), float(mean)

    tessera_seconds("float32")  # writes the network before its first reply
    x = torch.ones(1, 1, arguments.tile, arguments.tile)
    columns = {
        "Tessera float32": lambda: tessera_seconds("float32"),
        "Tessera bfloat16": lambda: tessera_seconds("bfloat16"),
    }
    for layout in ("", " channels_last"):
        single, half = load(network_file, False, bool(layout)), load(network_file, True, bool(layout))
        columns["PyTorch float32" + layout] = lambda net=single: pytorch_seconds(net, x, False)
        columns["PyTorch autocast" + layout] = lambda net=half: pytorch_seconds(net, x, True)
    times = {name: [] for name in columns}
    means = {}
    for turn in range(arguments.rounds + 1):
        for name, run in columns.items():
            took, means[name] = run()
            if turn > 0:  # the first one warms up
                times[name].append(took)
    tessera.stdin.close()
    tessera.wait(60)

pixels = (arguments.tile - 184) ** 2 / 1e6
print(f"{arguments.filters} filters, tile {arguments.tile}, {arguments.threads} threads, median of {arguments.rounds} rounds")
for name in columns:
    seconds = statistics.median(times[name])
    print(f"  {name:<32} {seconds:7.3f} s  {pixels / seconds:8.4f} Mpx/s  mean probability {means[name]:.5f}")
for ours, theirs in (("float32", "float32"), ("float32", "float32 channels_last"), ("bfloat16", "float32"),
                     ("bfloat16", "float32 channels_last"), ("bfloat16", "autocast"), ("bfloat16", "autocast channels_last")):
    ratios = [b / a for a, b in zip(times["Tessera " + ours], times["PyTorch " + theirs])]
    print(f"  Tessera {ours} is {statistics.median(ratios):.2f} times as fast as PyTorch {theirs}")
