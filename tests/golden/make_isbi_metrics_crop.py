#!/usr/bin/env python3
"""Makes isbi_metrics_crop.h5 and .csv and isbi_warping_crop.csv from the ISBI-2012 reference crops.

usage: make_isbi_metrics_crop.py FOLDER

FOLDER holds crop_labels.tif (uint8), crop_A_gauss.tif and crop_C_nextlabel.tif (float32). expected_crop_*.txt there are
the outputs of the challenge's own scorer. Needs python3-tifffile and python3-h5py.
"""
import csv
import pathlib
import re
import sys

import h5py
import numpy
import tifffile

PROPOSALS = ["A_gauss", "C_nextlabel"]
SUMMARIES = ["1-maxF pixel", "1-maxF Rand(all)", "1-maxF Rand(fg)", "max VRand_thin macro", "max VInfo_thin"]
WARPING = ["warping_error", "split_merge_r20", "split_pixels_r20", "merge_pixels_r20", "splits_r20", "merges_r20",
           "split_pixels_whole", "merge_pixels_whole"]
WARPING_SUMMARY = "min S+M warping error (0.0,0.9,0.1,false,20)"


def main():
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    with h5py.File(target / "isbi_metrics_crop.h5", "w") as h5:
        names = [("labels", numpy.uint8)] + [(name, numpy.float32) for name in PROPOSALS]
        for name, dtype in names:
            voxels = tifffile.imread(source / f"crop_{name}.tif")
            assert voxels.dtype == dtype and voxels.ndim == 3, (name, voxels.dtype, voxels.shape)
            h5.create_dataset(name, data=voxels, chunks=voxels.shape, compression="gzip",
                              compression_opts=9, shuffle=True, track_times=False)

    with open(target / "isbi_metrics_crop.csv", "w", newline="") as metrics, \
            open(target / "isbi_warping_crop.csv", "w", newline="") as warping:
        metrics, warping = (csv.writer(out, lineterminator="\n") for out in (metrics, warping))
        warping.writerow(["proposal", "threshold", *WARPING])
        for name in PROPOSALS:
            lines = (source / f"expected_crop_{name}.txt").read_text().splitlines()
            if name == PROPOSALS[0]:
                metrics.writerow(["proposal", "threshold", *lines[1].split("\t")[1:]])
            values = dict(re.split(r"\s*= ", line) for line in lines if " = " in line or "= " in line)
            for line in lines[2:13]:
                metrics.writerow([name, *line.split("\t")])
            for words in SUMMARIES:
                metrics.writerow([name, words, values[words]])
            begin = 1 + next(i for i, line in enumerate(lines) if line.startswith("th\twarpErr"))
            for line in lines[begin:begin + 10]:
                warping.writerow([name, *line.split("\t")])
            warping.writerow([name, WARPING_SUMMARY, values[WARPING_SUMMARY]])


if __name__ == "__main__":
    main()
