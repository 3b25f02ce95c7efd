#!/usr/bin/env python3
"""From HDF5 to HDF5 on one GPU: `tessera infer` compared with the network alone and with the disk, on plain and gzip chunks.

Usage: gpu_end_to_end.py BENCH_GPU TESSERA [--device cuda] [--mpirun mpirun] [--filters 64] [--shape 96,4096,4096]
                         [--rounds 2] [--folder DIR] [--memory /dev/shm] [--goal 85] [--library-path DIR]
One worker predicts a textured volume (`infer.reproducible: false`, all else by default). Runs alternate with some seconds
of the forward pass of the same tile, because a warm card computes more slowly. Rates are voxels over the worker's own
time (inference.json). "Once it runs" excludes the start, in which kernels are chosen and checked: it is from the fourth
block on the disk to the last one. If that is below the goal's share of the network's rate, the same runs once in
--memory. A rate reached there but not in --folder shows the disk's limit. The disk's own rates are those of a plain
file that is not in the page cache. With --device cpu the sizes are small and the precision is float32.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from gpu_bench import BenchGpu, add_options, environment, row

parser = argparse.ArgumentParser()
add_options(parser)
parser.add_argument("tessera")
parser.add_argument("--mpirun", default="mpirun")
parser.add_argument("--shape")
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--folder", help="on the disk to measure")
parser.add_argument("--memory", default="/dev/shm", help="a folder in memory")
parser.add_argument("--goal", type=float, default=85, help="per cent of the network's rate")
arguments = parser.parse_args()
CUDA = arguments.device == "cuda"
SHAPE = [int(n) for n in (arguments.shape or ("96,4096,4096" if CUDA else "16,512,512")).split(",")]
KINDS = (("plain chunks", 0), ("gzip chunks", 4))
BARE_S, DISK_MIB = (3, 2048) if CUDA else (0.3, 64)
TESSERA, BENCH = (str(pathlib.Path(program).resolve()) for program in (arguments.tessera, arguments.bench))
ENVIRONMENT = dict(environment(arguments.library_path), OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   HDF5_USE_FILE_LOCKING="FALSE")


def experiment(filters, precision):
    return f"""
experiment: rate
device: {arguments.device}
data: {{raw: "small.h5:/volumes/raw", labels: "small.h5:/volumes/labels/cells", train_sections: [0, 2]}}
model: {{base_filters: {filters}}}
train: {{iterations: 1, tile: 204}}
infer: {{output: "out.h5:/v", checkpoint: latest, precision: {precision}, reproducible: false{"" if CUDA else ", threads: 1"}}}
"""


def forget(file):
    """Syncs the written data to the disk and drops it from the page cache."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def disk_rates(folder):
    """Bytes per second: written and synced, read."""
    piece, file = os.urandom(1 << 26), folder / "plain"
    begin = time.perf_counter()
    with open(file, "wb", buffering=0) as out:
        for _ in range(max(1, DISK_MIB // 64)):
            out.write(piece)
        os.fdatasync(out.fileno())
    written = time.perf_counter() - begin
    forget(file)
    begin = time.perf_counter()
    with open(file, "rb", buffering=0) as held:
        while held.readinto(memoryview(bytearray(1 << 26))):
            pass
    read = time.perf_counter() - begin
    size = file.stat().st_size
    file.unlink()
    return size / written, size / read


class Place:
    """A folder with an experiment."""

    def __init__(self, folder, filters, precision):
        self.folder = pathlib.Path(folder)
        (self.folder / "rate.yaml").write_text(experiment(filters, precision))

    def run(self, *words):
        done = subprocess.run(words, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=400)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def tessera(self, *words, ranks=2):
        return self.run(arguments.mpirun, "--oversubscribe", "--bind-to", "none", "-n", str(ranks), TESSERA, *words)

    def train(self):
        self.tessera("synth", "small.h5", "--shape", "2,256,256", "--seed", "1", ranks=1)
        self.tessera("train", "rate.yaml")

    def begin_volume(self, gzip):
        """Writes it in the background."""
        return subprocess.Popen([BENCH, "--volume", self.raw(gzip), ",".join(map(str, SHAPE)), str(gzip)], cwd=self.folder,
                                env=ENVIRONMENT)

    @staticmethod
    def raw(gzip):
        return f"raw{gzip}.h5"

    def infer(self, gzip):
        """The worker's report and the output."""
        forget(self.folder / self.raw(gzip))
        text = self.tessera("infer", "rate.yaml", "--restart", "--set", f"infer.raw={self.raw(gzip)}:/volumes/raw")
        report = json.loads((self.folder / "runs/rate/inference.json").read_text())
        return report["workers"][0], text


def main():
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        bench = BenchGpu(arguments, os.path.join(folder, "network.pt"))
        disk = Place(folder, bench.filters, bench.precision)
        volumes = [disk.begin_volume(gzip) for _, gzip in KINDS]
        disk.train()
        if any(volume.wait() != 0 for volume in volumes):
            raise SystemExit("a volume could not be written")
        print(f"{bench.text}; {bench.filters} filters, {bench.precision}, {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]} voxels, median of "
              f"{arguments.rounds} rounds")

        def bare_rate(side, core):
            calls = 2
            for _ in range(3):  # choose kernels; find how many calls take long enough; measure
                answer = bench.ask("network", "fastest", bench.precision, side, calls)
                if isinstance(answer, str):
                    raise SystemExit(answer)
                calls = max(2, int(BARE_S / answer[0]))
            return core**2 / answer[0]

        def measure(place, what, gzip, rounds):
            """Prints the rows of one kind of chunks. Returns the percentage of the network's rate, and the input's bytes."""
            held = (place.folder / place.raw(gzip)).stat().st_size
            row(what, "input", f"{held / 1e9:.4g} GB")
            bare, whole, running, accounts = [], [], [], []
            for _ in range(rounds):
                account, text = place.infer(gzip)
                tile = re.search(r"tile +input (\d+) x \1, core (\d+) x", text)
                if tile is None:
                    raise SystemExit("the tiles of this --shape are not square: name another one")
                side, core = int(tile[1]), int(tile[2])
                bare.append(bare_rate(side, core))
                whole.append(account["voxels"] / account["elapsed_s"])
                running.append((account["voxels"] - account["start_voxels"]) / (account["elapsed_s"] - account["start_s"]))
                accounts.append(account)
            row(what, f"network alone, input {side}", f"{statistics.median(bare) / 1e6:.4g} Mvoxels/s")
            for words, rates in (("tessera infer", whole), ("tessera infer, once it runs", running)):
                share = 100 * statistics.median(a / b for a, b in zip(rates, bare))
                row(what, words, f"{statistics.median(rates) / 1e6:.4g} Mvoxels/s", f"{share:.1f} % of the network alone")
            shares = [f"{stage} {statistics.median(100 * a[stage + '_s'] / a['elapsed_s'] for a in accounts):.1f} %"
                      for stage in ("read", "predict", "wait", "write")]
            row(what, "the worker's time", f"{statistics.median(a['elapsed_s'] for a in accounts):.3g} s", *shares)
            return share, held

        written, read = disk_rates(disk.folder)
        row("disk", "written and synced", f"{written / 1e6:.4g} MB/s")
        row("disk", "read", f"{read / 1e6:.4g} MB/s")
        for kind, gzip in KINDS:
            share, held = measure(disk, kind, gzip, arguments.rounds)
            voxels = SHAPE[0] * SHAPE[1] * SHAPE[2]
            row(kind, "the disk alone allows", f"{min(written, read * voxels / held) / 1e6:.4g} Mvoxels/s")
            if share >= arguments.goal:
                continue
            room = shutil.disk_usage(arguments.memory).free if os.path.isdir(arguments.memory) else 0
            if room < 3 * voxels:
                row(f"{kind}, in memory", "", "not measured", f"{arguments.memory} has {room / 1e9:.3g} GB")
                continue
            with tempfile.TemporaryDirectory(dir=arguments.memory) as other:
                shutil.copytree(disk.folder / "runs", f"{other}/runs")
                shutil.copy(disk.folder / disk.raw(gzip), other)
                measure(Place(other, bench.filters, bench.precision), f"{kind}, in memory", gzip, 1)
        bench.end()


if __name__ == "__main__":
    main()
