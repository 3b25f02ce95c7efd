#!/usr/bin/env python3
"""Makes isbi_metrics_crop.h5 and isbi_metrics_crop.csv from the ISBI-2012 reference crops.

usage: make_isbi_metrics_crop.py FOLDER

FOLDER holds crop_labels.tif (uint8), crop_A_gauss.tif and crop_C_nextlabel.tif (float32) and what the
challenge's own scorer printed for them, expected_crop_*.txt. Needs python3-tifffile and python3-h5py.
"""
import csv
import pathlib
import re
import sys

import h5py
import numpy
import tifffile

PROPOSALS = ["A_gauss", "C_nextlabel"]
COLUMNS = ["pixErr(MSE)", "pixF", "pixPrec", "pixRec", "fgRandF(micro)", "fgRandF(macro)"]


def main():
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    with h5py.File(target / "isbi_metrics_crop.h5", "w") as h5:
        names = [("labels", numpy.uint8)] + [(name, numpy.float32) for name in PROPOSALS]
        for name, dtype in names:
            voxels = tifffile.imread(source / f"crop_{name}.tif")
            assert voxels.dtype == dtype and voxels.ndim == 3, (name, voxels.dtype, voxels.shape)
            h5.create_dataset(name, data=voxels, chunks=voxels.shape, compression="gzip",
                              compression_opts=9, shuffle=True, track_times=False)

    with open(target / "isbi_metrics_crop.csv", "w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["proposal", "threshold"] + COLUMNS)
        for name in PROPOSALS:
            text = (source / f"expected_crop_{name}.txt").read_text()
            lines = text.splitlines()
            header = lines[1].split("\t")
            for line in lines[2:13]:
                row = dict(zip(header, line.split("\t")))
                writer.writerow([name, row["th"]] + [row[column] for column in COLUMNS])
            for words in ["1-maxF pixel", "1-maxF Rand(fg)"]:
                value = re.search(re.escape(words) + r"\s*= (\S+)", text).group(1)
                writer.writerow([name, words, value])


if __name__ == "__main__":
    main()
