#!/usr/bin/env python3
"""Output pixels per second of Tessera's engine and of PyTorch in Python, in turns, on the same cores.

Usage: prediction_rate.py BENCH_PREDICTION [--filters 64] [--tile 572] [--threads 1] [--rounds 5]
Needs Debian's python3-torch (run it with /usr/bin/python3). Both predict the same tile with the same weights, in
turns, so that whatever else the machine does hits both. PyTorch runs in inference mode, with its default layout and
with channels_last; autocast is bfloat16. LibTorch 1.13 has no bfloat16 transposed convolution on the CPU, so autocast
runs that layer in float32, as any user of it must.
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
from torch.nn import functional as F  # noqa: E402

torch.set_num_threads(arguments.threads)


class UNet(torch.nn.Module):
    """The network of Ronneberger et al. 2015, as one writes it in PyTorch."""

    def __init__(self, filters, up_in_float32):
        super().__init__()
        self.up_in_float32 = up_in_float32
        self.convs, self.ups = torch.nn.ModuleList(), torch.nn.ModuleList()
        channels = 1
        for level in list(range(5)) + [3, 2, 1, 0]:
            width = filters << level
            if len(self.convs) >= 10:
                self.ups.append(torch.nn.ConvTranspose2d(2 * width, width, 2, 2))
            self.convs.append(torch.nn.Conv2d(channels if len(self.convs) < 10 else 2 * width, width, 3))
            self.convs.append(torch.nn.Conv2d(width, width, 3))
            channels = width
        self.to_classes = torch.nn.Conv2d(filters, 2, 1)

    def up(self, index, x):
        if not self.up_in_float32:
            return self.ups[index](x)
        with torch.autocast("cpu", enabled=False):
            return self.ups[index](x.float()).to(torch.bfloat16)

    def forward(self, x):
        skips = []
        for block in range(9):
            if block > 4:
                x = self.up(block - 5, x)
                skip = skips[8 - block]
                margin = (skip.size(2) - x.size(2)) // 2
                x = torch.cat([skip[:, :, margin:margin + x.size(2), margin:margin + x.size(3)], x], 1)
            x = F.relu(self.convs[2 * block](x))
            x = F.relu(self.convs[2 * block + 1](x))
            if block < 4:
                skips.append(x)
                x = F.max_pool2d(x, 2)
        return self.to_classes(x)


def load(network_file, up_in_float32, channels_last):
    network = UNet(arguments.filters, up_in_float32)
    held = torch.jit.load(network_file).state_dict()
    network.load_state_dict({name: held[name.replace(".", "_")] for name in network.state_dict()})
    network.eval()
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

    tessera_seconds("float32")  # writes the network before it answers
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
