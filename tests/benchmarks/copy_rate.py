#!/usr/bin/env python3
"""The rate of `tessera infer` with a network that does nothing: read, hand off, write.

Usage: copy_rate.py TESSERA FOLDER [--gib 6] [--workers 1] [--threads 1] [--gzip]
A network that returns its input "predicts" a sparse uint8 volume of uncompressed chunks (with a random corner). The
result must equal the volume. FOLDER gets the files. On a memory file system (/dev/shm) the rate is the program's. On a
disk it is at most the disk's, because every block is synced before it is reported. Prints the rate of each worker and
the largest resident memory of any process. Needs Debian's python3-torch and python3-h5py, but not python3-psutil.
"""
import argparse
import json
import os
import pathlib
import subprocess
import threading
import time

import h5py
import numpy as np
import torch


class Copy(torch.nn.Module):
    def forward(self, x):
        return x


parser = argparse.ArgumentParser()
parser.add_argument("tessera")
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--gib", type=float, default=6)
parser.add_argument("--workers", type=int, default=1)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--gzip", action="store_true")
parser.add_argument("--keep", action="store_true", help="the volume of an earlier call, and keep this one")
arguments = parser.parse_args()
tessera = str(pathlib.Path(arguments.tessera).resolve())
folder = arguments.folder
folder.mkdir(parents=True, exist_ok=True)

torch.jit.script(Copy()).save(str(folder / "copy.pt"))
volume = folder / "volume.h5"
if not volume.exists():
    sections = max(16, round(arguments.gib * 2**30 / (8192 * 4096) / 16) * 16)
    with h5py.File(volume, "w") as f:
        more = {"compression": "gzip", "compression_opts": 1} if arguments.gzip else {}
        raw = f.create_dataset("raw", shape=(sections, 4096, 8192), dtype="u1", chunks=(16, 256, 256), **more)
        part = sections if arguments.gzip else 32  # unwritten chunks take no space and read as 0
        for z in range(0, part, 16):
            raw[z:z + 16, :2048, :2048] = np.random.default_rng(z).integers(0, 255, (16, 2048, 2048), dtype="u1") // 16 * 16
(folder / "copy.yaml").write_text(f"""
experiment: copy
infer: {{raw: "volume.h5:/raw", output: "result.h5:/v", normalisation: fixed, mean_and_std: [0, 255], threads: {arguments.threads}, tile: 512}}
model: {{torchscript: copy.pt, margin: 0, alignment: 16, classes: 1, activation: none}}
""")

environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
process = subprocess.Popen(["mpirun", "--bind-to", "none", "--oversubscribe", "-n", str(arguments.workers + 1), tessera, "infer",
                            "copy.yaml", "--restart"], cwd=folder, env=environment)
peak = 0


def watch():
    """The largest anonymous memory of any rank, without pages of the page cache, which the system can reclaim."""
    global peak
    while process.poll() is None:
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                words = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
                if words["Name"].strip() == "tessera":
                    peak = max(peak, int(words.get("VmHWM", "0 kB").split()[0]))
            except (OSError, ValueError):
                continue
        time.sleep(0.2)


watcher = threading.Thread(target=watch)
watcher.start()
if process.wait(3600) != 0:
    raise SystemExit("tessera infer failed")
watcher.join()
report = json.loads((folder / "runs/copy/inference.json").read_text())
with h5py.File(volume) as a, h5py.File(folder / "result.h5") as b:
    assert np.array_equal(a["raw"][:16], b["v"][:16]), "the copy differs"
    assert np.array_equal(a["raw"][-1], b["v"][-1])
print(f"{report['total']['voxels'] / 2**30:.1f} GiB; resident memory of a rank at most {peak / 2**20:.2f} GiB")
for worker in report["workers"]:
    shares = ", ".join(f"{key} {100 * worker[key + '_s'] / worker['elapsed_s']:.0f} %" for key in ("read", "predict", "write", "wait"))
    print(f"  rank {worker['rank']}: {worker['voxels'] / worker['elapsed_s'] / 1e6:.0f} MB/s ({shares})")
if not arguments.keep:
    for name in ("volume.h5", "result.h5", "result.h5.journal"):
        (folder / name).unlink(missing_ok=True)
