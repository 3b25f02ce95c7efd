"""Makes weight_map.h5: a small section of touching cells and its weight map, by SciPy alone.

w_border = w0 exp(-(d1 + d2)^2 / (2 sigma^2)) on background, Ronneberger et al. 2015, eq. 2; one distance transform per
cell. Run: python3 make_weight_map.py [OUT.h5]
"""

import pathlib
import sys

import numpy as np
from scipy import ndimage

W0, SIGMA = 10.0, 5.0


def dense(labels):
    """0 for background, 1, 2, ... for the ids."""
    return np.searchsorted(np.unique(np.append(labels, 0)), labels).astype(np.int64)


def separated(instances):
    """A pixel is background where its 3 x 3 neighbourhood holds another instance."""
    largest = ndimage.maximum_filter(instances, 3, mode="nearest")
    everywhere = np.where(instances == 0, instances.max() + 1, instances)
    smallest = ndimage.minimum_filter(everywhere, 3, mode="nearest")
    touching = (instances > 0) & ((largest != instances) | (smallest != instances))
    return np.where(touching, 0, instances)


def distances(instances):
    """Distances to the nearest and the second nearest instance, by sorting the distances to all."""
    ids = np.unique(instances[instances > 0])
    if len(ids) < 2:
        return np.full((2, *instances.shape), np.inf)
    nearest = np.full((2, *instances.shape), np.inf)
    for one in ids:
        all_three = np.stack([*nearest, ndimage.distance_transform_edt(instances != one)])
        nearest = np.sort(all_three, axis=0)[:2]
    return nearest


def border_weights(instances, w0=W0, sigma=SIGMA):
    d1, d2 = distances(instances)
    return np.where(instances == 0, w0 * np.exp(-(d1 + d2) ** 2 / (2 * sigma ** 2)), 0)


def cells():
    """Discs of many sizes that partly overlap, with ids that are not contiguous."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[:72, :90]
    section = np.zeros((72, 90), np.uint16)
    for number in range(14):
        centre = random.uniform((0, 0), (72, 90))
        section[np.hypot(y - centre[0], x - centre[1]) < random.uniform(4, 13)] = 17 * number + 3
    return section


def main():
    import h5py
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("weight_map.h5"))
    section = cells()
    instances = separated(dense(section))
    with h5py.File(out, "w", libver="earliest") as f:
        f.create_dataset("instances", data=section, compression="gzip")
        f.create_dataset("separated", data=(instances > 0).astype(np.uint8), compression="gzip")
        f.create_dataset("border", data=border_weights(instances).astype(np.float32), compression="gzip")


if __name__ == "__main__":
    main()
