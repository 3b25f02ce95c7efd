#!/usr/bin/python3
"""The usual way to segment a volume that is larger than memory, for a comparison with `tessera segment`: a watershed of each
block with an overlap, then blocks are stitched where the objects of both overlap.

usage: blockwise_watershed.py PREDICTION.h5:/path OUT.h5:/path [--begin Z --end Z] [--block Z,Y,X] [--overlap N]
                              [--threshold T] [--seed-distance D] [--match SHARE] [--sections]

Each block, with `overlap` voxels around: the distance from the voxels below `threshold`, smoothed by a Gaussian of 1; seeds at
its maxima of at least `seed-distance` voxels; scikit-image's watershed of the distance within the mask. Objects of two
neighbouring blocks become one where, in the overlap, their intersection is at least `match` of the smaller one. `--sections`:
distance and seeds within each section. Voxels below the threshold are 0. Reads the whole volume into memory."""

import argparse
import itertools

import h5py
import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed


def dataset(text):
    file, path = text.split(":", 1)
    return file, path


def seeds_of(distance, least, sections):
    """Connected maxima of the smoothed distance."""
    sigma = (0, 1, 1) if sections else 1
    smooth = ndimage.gaussian_filter(distance, sigma)
    size = (1, 5, 5) if sections else 5
    maxima = (ndimage.maximum_filter(smooth, size=size) == smooth) & (distance >= least)
    structure = np.ones((3, 3, 3), bool)
    if sections:
        structure[[0, 2]] = False
    return ndimage.label(maxima, structure)[0], smooth


def segment_block(probability, options):
    mask = probability >= options.threshold
    if options.sections:
        distance = np.stack([ndimage.distance_transform_edt(one) for one in mask])
    else:
        distance = ndimage.distance_transform_edt(mask)
    markers, smooth = seeds_of(distance, options.seed_distance, options.sections)
    connectivity = ndimage.generate_binary_structure(3, 1)
    if options.sections:
        connectivity[[0, 2]] = False
    return watershed(-smooth, markers, connectivity, mask=mask).astype(np.int64)


class Sets:
    def __init__(self):
        self.parent = [0]

    def add(self, count):
        self.parent.extend(range(len(self.parent), len(self.parent) + count))

    def root(self, one):
        while self.parent[one] != one:
            self.parent[one] = self.parent[self.parent[one]]
            one = self.parent[one]
        return one

    def unite(self, a, b):
        a, b = self.root(a), self.root(b)
        self.parent[max(a, b)] = min(a, b)


def stitch(first, second, sets, share):
    """Unites the objects of the same voxels as two blocks see them."""
    both = (first > 0) & (second > 0)
    pairs, counts = np.unique(np.stack([first[both], second[both]]), axis=1, return_counts=True)
    size_first, size_second = np.bincount(first.ravel()), np.bincount(second.ravel())
    for (a, b), count in zip(pairs.T, counts):
        if count >= share * min(size_first[a], size_second[b]):
            sets.unite(a, b)


def segment(probability, options):
    shape = np.array(probability.shape)
    block = np.minimum(options.block, shape)
    sets, seen = Sets(), {}
    result = np.zeros(shape, np.int64)
    for index in itertools.product(*(range(-(-s // b)) for s, b in zip(shape, block))):
        begin = np.array(index) * block
        end = np.minimum(begin + block, shape)
        outer = [slice(max(0, b - options.overlap), min(s, e + options.overlap)) for b, e, s in zip(begin, end, shape)]
        labels = segment_block(probability[tuple(outer)], options)
        count = labels.max(initial=0)
        labels[labels > 0] += len(sets.parent) - 1
        sets.add(count)
        inner = tuple(slice(b, e) for b, e in zip(begin, end))
        result[inner] = labels[tuple(slice(b - o.start, e - o.start) for b, e, o in zip(begin, end, outer))]
        for axis in range(3):  # with the blocks before
            before = tuple(i - (a == axis) for a, i in enumerate(index))
            if before not in seen:
                continue
            outer_before, labels_before = seen[before]
            common = [slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(outer, outer_before)]
            stitch(*(one[tuple(slice(c.start - o.start, c.stop - o.start) for c, o in zip(common, box))]
                     for one, box in ((labels_before, outer_before), (labels, outer))), sets, options.match)
        seen[index] = (outer, labels)
    roots = np.array([sets.root(i) for i in range(len(sets.parent))])
    return roots[result]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prediction")
    parser.add_argument("output")
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--end", type=int)
    parser.add_argument("--block", type=lambda text: np.array([int(one) for one in text.split(",")]), default=np.array([64, 128, 128]))
    parser.add_argument("--overlap", type=int, default=16)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--seed-distance", type=float, default=3)
    parser.add_argument("--match", type=float, default=0.5)
    parser.add_argument("--sections", action="store_true")
    options = parser.parse_args()
    file, path = dataset(options.prediction)
    with h5py.File(file) as f:
        probability = f[path][options.begin:options.end]
    if np.issubdtype(probability.dtype, np.integer):
        probability = probability / np.float32(np.iinfo(probability.dtype).max)
    labels = segment(probability, options)
    file, path = dataset(options.output)
    with h5py.File(file, "a") as f:
        if path in f:
            del f[path]
        f.create_dataset(path, data=labels.astype(np.uint64), chunks=True, compression="gzip")
    print(f"{len(np.unique(labels[labels > 0]))} objects in blocks of {options.block.tolist()}, overlap {options.overlap}")


if __name__ == "__main__":
    main()
