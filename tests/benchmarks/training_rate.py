#!/usr/bin/env python3
"""Training iterations per second of Tessera and of PyTorch in Python, in turns, on the same cores.

Usage: training_rate.py BENCH_TRAINING [--filters 16] [--tile 476] [--threads 1] [--elastic 0] [--rounds 9]
Needs Debian's python3-torch, numpy, scipy and h5py (run it with /usr/bin/python3). Both train the same network (valid
convolutions, dropout 0.2, Adam, batch 1) on the same sections with the same augmentation: a random place, right angles,
mirroring, contrast, brightness, Gaussian noise, and with --elastic the paper's deformation at a 3 x 3 grid. Each makes
its samples in advance on a thread or process of its own. Everything is bound to as many cores as there are threads, so
that both sides get the same. PyTorch runs with its default layout and with channels_last; autocast is bfloat16, in
which LibTorch 1.13 has no transposed convolution on the CPU: that layer stays in float32.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("bench")
parser.add_argument("--filters", type=int, default=16)
parser.add_argument("--tile", type=int, default=476)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--elastic", type=float, default=0)
parser.add_argument("--rounds", type=int, default=9)
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.threads])

import h5py  # noqa: E402  (the number of threads must be known before)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy import ndimage  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from pytorch_unet import UNet  # noqa: E402

torch.set_num_threads(arguments.threads)
LOST = 184


class Samples(torch.utils.data.Dataset):
    def __init__(self, raw, labels):
        self.raw = np.pad((raw - raw.mean()) / raw.std(), ((0, 0), (LOST // 2,) * 2, (LOST // 2,) * 2), "reflect").astype(np.float32)
        self.labels = labels

    def __len__(self):
        return 1 << 20

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        side, out = arguments.tile, arguments.tile - LOST
        z = rng.integers(len(self.raw))
        y, x = (rng.integers(n - out + 1) for n in self.labels.shape[1:])
        image, labels = self.raw[z, y:y + side, x:x + side], self.labels[z, y:y + out, x:x + out]
        if arguments.elastic > 0:
            nodes = rng.normal(0, arguments.elastic, (2, 3, 3))
            grid = np.mgrid[0:side, 0:side].astype(np.float32)
            places = grid + [ndimage.map_coordinates(n, grid * 2 / (side - 1), order=3, mode="nearest") for n in nodes]
            image = ndimage.map_coordinates(image, places, order=3, mode="mirror")
            inner = places[:, LOST // 2:LOST // 2 + out, LOST // 2:LOST // 2 + out] - LOST // 2
            labels = ndimage.map_coordinates(labels, inner, order=0, mode="mirror")
        turns, mirrored = rng.integers(4), rng.integers(2)
        image, labels = np.rot90(image, turns), np.rot90(labels, turns)
        if mirrored:
            image, labels = image[:, ::-1], labels[:, ::-1]
        image = image * rng.uniform(0.75, 1.25) + rng.uniform(-0.25, 0.25)
        image = image + rng.normal(0, 0.05, image.shape)
        return (torch.from_numpy(np.ascontiguousarray(image, np.float32))[None],
                torch.from_numpy(np.ascontiguousarray(labels, np.int64)))


class PyTorch:
    def __init__(self, samples, class_weights, autocast, channels_last):
        self.network = UNet(arguments.filters, 0.2, up_in_float32=autocast)
        for p in self.network.parameters():
            if p.dim() == 4:
                torch.nn.init.normal_(p, 0, (2 / (p.size(1) * p.size(2) * p.size(3))) ** 0.5)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.layout).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3)
        self.autocast, self.class_weights = autocast, class_weights
        self.samples = iter(torch.utils.data.DataLoader(samples, batch_size=1, num_workers=1))

    def step(self):
        begin = time.perf_counter()
        x, labels = next(self.samples)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            logits = self.network(x.contiguous(memory_format=self.layout))
        weights = self.class_weights[labels]
        loss = (F.cross_entropy(logits.float(), labels, reduction="none") * weights).sum() / weights.sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        loss.item()
        return time.perf_counter() - begin


def main():
    rng = np.random.default_rng(1)
    noise = ndimage.gaussian_filter(rng.normal(size=(4, 768, 768)), (0, 6, 6))
    labels = (np.abs(noise) > 0.3 * noise.std()).astype(np.uint8)
    raw = np.clip(80 + 80 * labels + rng.normal(0, 20, labels.shape), 0, 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        volume = os.path.join(folder, "volume.h5")
        with h5py.File(volume, "w") as file:
            file["raw"], file["labels"] = raw, labels
        tessera = subprocess.Popen([arguments.bench, str(arguments.filters), str(arguments.tile), str(arguments.threads),
                                    str(arguments.elastic), volume], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def tessera_seconds(precision):
            tessera.stdin.write(precision + "\n")
            tessera.stdin.flush()
            return float(tessera.stdout.readline().split()[0])

        share = labels.mean()
        class_weights = torch.tensor([0.5 / (1 - share), 0.5 / share], dtype=torch.float32)
        columns = {f"Tessera {p}": lambda p=p: tessera_seconds(p) for p in ("float32", "bfloat16")}
        for name, autocast in (("float32", False), ("autocast", True)):
            for layout in ("", " channels_last"):
                columns[f"PyTorch {name}{layout}"] = PyTorch(Samples(raw, labels), class_weights, autocast, bool(layout)).step
        times = {name: [] for name in columns}
        for turn in range(arguments.rounds + 2):
            for name, run in columns.items():
                took = run()
                if turn > 1:  # the first two warm up
                    times[name].append(took)
        tessera.communicate("end\n", timeout=60)  # the samples' processes also hold its standard input open

    print(f"{arguments.filters} filters, tile {arguments.tile}, {arguments.threads} threads, elastic {arguments.elastic:g}, "
          f"median of {arguments.rounds} rounds")
    for name in columns:
        seconds = statistics.median(times[name])
        print(f"  {name:<32} {seconds:7.3f} s  {1 / seconds:7.3f} iterations/s")
    for ours, theirs in (("float32", "float32"), ("bfloat16", "autocast")):
        for layout in ("", " channels_last"):
            ratios = [b / a for a, b in zip(times["Tessera " + ours], times["PyTorch " + theirs + layout])]
            print(f"  Tessera {ours} is {statistics.median(ratios):.2f} times as fast as PyTorch {theirs}{layout}")


if __name__ == "__main__":
    main()
