#!/usr/bin/python3
"""The effect of the weight map: how many touching nuclei are merged with w0 = 10 and with w0 = 0.

Usage: nuclei_merges.py TESSERA DSB2018_SUBSET.h5 [--ranks 3] [--iterations 2000] [--seeds 1] [--w0 10 0] [--folder RUNS]
Trains configs/nuclei.yaml once for each w0 and seed, with everything else and the number of iterations equal. Predicts
the held-out images with the last checkpoint (no selection). Counts over all of them, at the threshold 0.5 and at the
threshold with the smallest pixel error. True nuclei are the ids of the labels, predicted ones are 4-connected
components:
  merges        components that each hold the majority of two or more nuclei
  merged        the nuclei in them
  split         nuclei that hold the majority of two or more components, each at least a twentieth as large as they
  missed        nuclei whose majority is in no component, and that are not split
  pixel error   against the labels with a border drawn where nuclei touch, as the training sees them
  SEG           mean over nuclei of the Jaccard index with the component that holds their majority, else 0
Needs numpy, h5py and scikit-image.
"""
import argparse
import os
import pathlib
import re
import subprocess
import tempfile
import time

import h5py
import numpy as np
from skimage.measure import label

THRESHOLDS = np.round(np.arange(0.05, 1, 0.05), 2)
CONFIG = pathlib.Path(__file__).resolve().parents[2] / "configs/nuclei.yaml"
COUNTS = ("merges", "merged", "split", "missed")


def separated(ids):
    """Foreground without the pixels whose 3 x 3 neighbourhood holds another id (workers/samples/weight_map.h)."""
    padded = np.pad(ids, 1)
    inside = ids > 0
    for dy in range(3):
        for dx in range(3):
            other = padded[dy:dy + ids.shape[0], dx:dx + ids.shape[1]]
            inside &= (other == 0) | (other == ids)
    return inside


def score(ids, probability, threshold):
    """The sums over one image."""
    predicted = probability > threshold
    components = label(predicted, connectivity=1)
    truth = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)  # 0 stays 0 where there is background
    if ids.min() > 0:
        truth = truth + 1
    nuclei, count = truth.max(), components.max()
    table = np.zeros((nuclei + 1, count + 1), np.int64)
    np.add.at(table, (truth.ravel(), components.ravel()), 1)
    sizes, component_sizes = table.sum(1), table.sum(0)
    overlaps = table[1:, 1:]
    sums = dict.fromkeys((*COUNTS, "seg"), 0.0)
    if nuclei > 0 and count > 0:
        holds = 2 * overlaps > sizes[1:, None]  # (nucleus, component): the majority of the nucleus is in the component
        in_component = holds.sum(0)
        sums["merges"] = int((in_component >= 2).sum())
        sums["merged"] = int(in_component[in_component >= 2].sum())
        pieces = (2 * overlaps > component_sizes[None, 1:]) & (20 * component_sizes[None, 1:] >= sizes[1:, None])
        is_split = pieces.sum(1) >= 2
        sums["split"] = int(is_split.sum())
        sums["missed"] = int((~holds.any(1) & ~is_split).sum())
        union = sizes[1:, None] + component_sizes[None, 1:] - overlaps
        sums["seg"] = float((holds * overlaps / union).sum())
    else:
        sums["missed"] = int(nuclei)
    sums["nuclei"] = int(nuclei)
    sums["wrong"], sums["pixels"] = int((predicted != separated(ids)).sum()), ids.size
    return sums


def pooled(images, threshold):
    sums = {}
    for ids, probability in images:
        for key, value in score(ids, probability, threshold).items():
            sums[key] = sums.get(key, 0) + value
    return sums


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tessera")
    parser.add_argument("data")
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--mpirun", default="mpirun")
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--w0", type=float, nargs="+", default=[10, 0])
    parser.add_argument("--folder", help="keeps runs and predictions here")
    arguments = parser.parse_args()
    tessera, data = (str(pathlib.Path(p).resolve()) for p in (arguments.tessera, arguments.data))
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", HDF5_USE_FILE_LOCKING="FALSE")
    temporary = None if arguments.folder else tempfile.TemporaryDirectory()
    folder = pathlib.Path(arguments.folder or temporary.name)
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "dsb2018_subset.h5"
    if not link.exists():
        link.symlink_to(data)

    def run(words, ranks=0):
        launcher = [arguments.mpirun, "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks else []
        done = subprocess.run([*launcher, tessera, *words], cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    held_out = re.findall(r"volume +\d+: (\S+):(/\S+)/raw .* held out \[0, 1\)", run(["check", str(CONFIG)]))
    if not held_out:
        raise SystemExit(f"{CONFIG} holds no image out")

    def train_and_predict(w0, seed):
        name = f"w0_{w0:g}_seed_{seed}"
        sets = [f"experiment={name}", f"train.weight_map.w0={w0:g}", f"train.seed={seed}", f"train.iterations={arguments.iterations}",
                "train.minutes=0", f"train.validate_every={arguments.iterations}", "infer.checkpoint=latest", "infer.dtype=float32"]
        common = [word for one in sets for word in ("--set", one)]
        begin = time.monotonic()
        run(["train", str(CONFIG), "--overwrite", *common], arguments.ranks)
        seconds, images = time.monotonic() - begin, []
        for file, image in held_out:
            out = folder / f"{name}{image}.h5"
            run(["infer", str(CONFIG), "--overwrite", *common, "--set", f"infer.raw={file}:{image}/raw", "--set", f"infer.output={out}:/p"])
            with h5py.File(folder / file) as truth, h5py.File(out) as prediction:
                images.append((truth[f"{image}/labels"][()], prediction["p"][()].reshape(truth[f"{image}/labels"].shape)))
        return images, seconds

    print(f"{len(held_out)} images held out, {arguments.iterations} iterations, {arguments.ranks} ranks")
    print("    w0  seed  threshold  nuclei  merges  merged  split  missed  pixel error    SEG  training s")
    for seed in arguments.seeds:
        for w0 in arguments.w0:
            images, seconds = train_and_predict(w0, seed)
            at = {t: pooled(images, t) for t in {0.5, *THRESHOLDS}}
            best = min(sorted(at), key=lambda t: at[t]["wrong"])
            for threshold, note in ((0.5, ""), (best, " best")):
                s = at[threshold]
                counts = "  ".join(f"{s[key]:>{max(5, len(key))}}" for key in COUNTS)
                print(f"{w0:>6g}  {seed:>4}  {threshold:>4.2f}{note:<5}  {s['nuclei']:>6}  {counts}  {s['wrong'] / s['pixels']:>11.4f}  "
                      f"{s['seg'] / max(1, s['nuclei']):>5.3f}  {seconds:>10.0f}", flush=True)


if __name__ == "__main__":
    main()
