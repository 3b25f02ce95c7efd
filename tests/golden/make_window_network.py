#!/usr/bin/python3
"""Writes window_network.h5: a small sliding-window network (Ciresan et al. 2012, N4) with random weights, an image, and the
logits of an independent PyTorch implementation that cuts the window of each pixel. Usage: make_window_network.py [FOLDER]"""
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

MAPS, UNITS, CLASSES, WINDOW = 3, 5, 2, 95
KERNELS = (4, 5, 4, 4)

rng = np.random.default_rng(5)
arrays = {}


def draw(name, shape, std):
    arrays[name] = (std * rng.standard_normal(shape)).astype(np.float32)
    return torch.from_numpy(arrays[name])


stages, channels = [], 1
for number, kernel in enumerate(KERNELS):
    stages.append((draw(f"stages.{number}.weight", (MAPS, channels, kernel, kernel), (2 / (kernel ** 2 * channels)) ** 0.5),
                   draw(f"stages.{number}.bias", (MAPS,), 0.1)))
    channels = MAPS
hidden = (draw("hidden.weight", (UNITS, MAPS, 3, 3), (2 / (9 * MAPS)) ** 0.5), draw("hidden.bias", (UNITS,), 0.1))
last = (draw("to_classes.weight", (CLASSES, UNITS, 1, 1), 1), draw("to_classes.bias", (CLASSES,), 0.1))


def classify(windows):
    x = windows
    for weight, bias in stages:
        x = F.max_pool2d(F.relu(F.conv2d(x, weight, bias)), 2)
    x = x.reshape(len(x), -1)
    x = F.relu(F.linear(x, hidden[0].reshape(UNITS, -1), hidden[1]))
    return F.linear(x, last[0].reshape(CLASSES, -1), last[1])


image = torch.from_numpy(rng.standard_normal((WINDOW + 12, WINDOW + 9)).astype(np.float32))
rows, columns = image.shape[0] - WINDOW + 1, image.shape[1] - WINDOW + 1
windows = torch.stack([image[y:y + WINDOW, x:x + WINDOW] for y in range(rows) for x in range(columns)])[:, None]
logits = classify(windows).T.reshape(1, CLASSES, rows, columns)
folder = sys.argv[1] if len(sys.argv) > 1 else "."
with h5py.File(f"{folder}/window_network.h5", "w") as out:
    for name, values in arrays.items():
        out[f"weights/{name}"] = values
    out["input"], out["logits"] = image[None, None].numpy(), logits.numpy()
