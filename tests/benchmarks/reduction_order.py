#!/usr/bin/env python3
"""The difference between two predictions of the paper's network with different reduction orders, in each precision.

Usage: reduction_order.py [--filters 64] [--side 428]      (python3-torch, one thread; half a minute)
GPU kernels for another input size, or on another card, may use another reduction order. Here each convolution's result
is computed in float32. Noise of 1e-7 and 1e-6 of its mean magnitude is added: that is the effect of another order of
576 to 9216 float32 terms. Then the result is rounded to the precision. Weights are He's, pixels are random. Prints the
largest and the mean difference in probability, and the same against float32 without noise.
"""
import argparse

import torch
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--filters", type=int, default=64)
parser.add_argument("--side", type=int, default=428)
arguments = parser.parse_args()
torch.manual_seed(0)
torch.set_num_threads(1)


def stored(x, precision):
    return x.to(precision).float()


def he_weights(out, channels, side):
    return stored(torch.randn(out, channels, side, side) * (2 / (channels * side * side)) ** 0.5, torch.bfloat16)


def make_weights(filters):
    down, up, channels = [], [], 1
    for level in range(5):
        width = filters << level
        down.append([he_weights(width, channels, 3), he_weights(width, width, 3)])
        channels = width
    for level in (3, 2, 1, 0):
        width = filters << level
        up.append([he_weights(4 * width, 2 * width, 1), he_weights(width, 2 * width, 3), he_weights(width, width, 3)])
    return down, up, he_weights(2, filters, 1)


def probability(weights, x, precision, noise):
    down, up, to_classes = weights

    def convolve(x, weight):
        y = F.conv2d(x, weight)
        return y + noise * y.abs().mean() * torch.randn_like(y) if noise else y

    skips = []
    for level, block in enumerate(down):
        if level > 0:
            skips.append(x)
            x = F.max_pool2d(x, 2)
        for weight in block:
            x = stored(F.relu(convolve(x, weight)), precision)
    for spread, *block in up:
        x = stored(F.pixel_shuffle(convolve(x, spread), 2), precision)
        skip = skips.pop()
        margin = (skip.size(2) - x.size(2)) // 2
        x = torch.cat([skip[:, :, margin:margin + x.size(2), margin:margin + x.size(3)], x], 1)
        for weight in block:
            x = stored(F.relu(convolve(x, weight)), precision)
    logits = stored(convolve(x, to_classes), precision)
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


def text(a, b):
    return "largest {:.1e}, mean {:.1e}".format((a - b).abs().max(), (a - b).abs().mean())


with torch.inference_mode():
    weights = make_weights(arguments.filters)
    pixels = stored(torch.randn(1, 1, arguments.side, arguments.side), torch.bfloat16)
    exact = probability(weights, pixels, torch.float32, 0)
    print(f"{arguments.filters} filters, input {arguments.side}, deviation of the probabilities {exact.std():.2f}")
    for name in ("float32", "float16", "bfloat16"):
        precision = getattr(torch, name)
        plain = probability(weights, pixels, precision, 0)
        print(f"{name:<9} against float32:       {text(plain, exact)}")
        for noise in (1e-7, 1e-6):
            print(f"{name:<9} summed otherwise, {noise:.0e}: {text(probability(weights, pixels, precision, noise), plain)}", flush=True)
