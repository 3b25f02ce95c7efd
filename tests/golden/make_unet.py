#!/usr/bin/python3
"""Writes unet2015.h5 and keras_same.h5: small U-Nets with random weights, an input, and the logits of an independent
PyTorch implementation. It follows the paper (and Keras' conventions) with plain torch.nn.functional calls. Usage:
make_unet.py [FOLDER]"""
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

BASE, DEPTH = 2, 4


class Weights:
    """Random weights by name, with the names of Tessera's checkpoints."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)
        self.arrays = {}

    def draw(self, name, shape, std, mean=0.0):
        values = (mean + std * self.generator.standard_normal(shape)).astype(np.float32)
        self.arrays[name] = values
        return torch.from_numpy(values)


def conv_block(weights, x, index, filters, same, batch_norm, block_convs=2):
    for c in range(block_convs):
        at = index * block_convs + c
        channels = x.shape[1]
        w = weights.draw(f"convs.{at}.weight", (filters, channels, 3, 3), (2 / (9 * channels)) ** 0.5)
        b = weights.draw(f"convs.{at}.bias", (filters,), 0.1)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1)) if same else x, w, b)
        if batch_norm:
            scale = weights.draw(f"norms.{at}.weight", (filters,), 0.2, 1.0)
            shift = weights.draw(f"norms.{at}.bias", (filters,), 0.2)
            mean = weights.draw(f"norms.{at}.running_mean", (filters,), 0.2)
            var = weights.draw(f"norms.{at}.running_var", (filters,), 0.1, 1.0)
            view = (1, -1, 1, 1)
            x = (x - mean.view(view)) / torch.sqrt(var.view(view) + 1e-3) * scale.view(view) + shift.view(view)
        x = F.relu(x)
    return x


def up_same_keras(x, w, b):
    """Keras' Conv2DTranspose(3x3, strides 2, 'same'): output j = sum of input i times w[k], j = 2 i + k."""
    n, _, h, width = x.shape
    y = torch.zeros(n, w.shape[1], 2 * h + 1, 2 * width + 1)
    for ky in range(3):
        for kx in range(3):
            part = torch.einsum("nchw,cd->ndhw", x, w[:, :, ky, kx])
            y[:, :, ky:ky + 2 * h:2, kx:kx + 2 * width:2] += part
    return y[:, :, :2 * h, :2 * width] + b.view(1, -1, 1, 1)


def unet(weights, x, same, batch_norm, classes, up_kernel):
    skips = []
    for level in range(DEPTH + 1):
        x = conv_block(weights, x, level, BASE << level, same, batch_norm)
        if level < DEPTH:
            skips.append(x)
            x = F.max_pool2d(x, 2)
    for step in range(DEPTH):
        level = DEPTH - 1 - step
        filters = BASE << level
        w = weights.draw(f"ups.{step}.weight", (2 * filters, filters, up_kernel, up_kernel),
                         (8 / (2 * filters * up_kernel ** 2)) ** 0.5)
        b = weights.draw(f"ups.{step}.bias", (filters,), 0.1)
        x = up_same_keras(x, w, b) if up_kernel == 3 else F.conv_transpose2d(x, w, b, stride=2)
        skip = skips.pop()
        dy, dx = (skip.shape[2] - x.shape[2]) // 2, (skip.shape[3] - x.shape[3]) // 2
        x = torch.cat([skip[:, :, dy:dy + x.shape[2], dx:dx + x.shape[3]], x], dim=1)
        x = conv_block(weights, x, DEPTH + 1 + step, filters, same, batch_norm)
    w = weights.draw("to_classes.weight", (classes, BASE, 1, 1), 1.0)
    return F.conv2d(x, w, weights.draw("to_classes.bias", (classes,), 0.1))


def write(file, seed, side, **network):
    weights = Weights(seed)
    x = torch.from_numpy(weights.generator.random((1, 1, *side), dtype=np.float32))
    logits = unet(weights, x, **network)
    with h5py.File(file, "w") as out:
        for name, values in weights.arrays.items():
            out[f"weights/{name}"] = values
        out["input"], out["logits"] = x.numpy(), logits.numpy()


folder = sys.argv[1] if len(sys.argv) > 1 else "."
write(f"{folder}/unet2015.h5", 1, (204, 220), same=False, batch_norm=False, classes=2, up_kernel=2)
write(f"{folder}/keras_same.h5", 2, (64, 96), same=True, batch_norm=True, classes=1, up_kernel=3)
