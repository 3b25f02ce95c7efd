#!/usr/bin/env python3
"""The cost of each step of the paper's network on a device, in every way that LibTorch offers, compared with its floor.

Usage: gpu_layers.py [--device cuda] [--filters 64] [--side 572] [--batch 1] [--backward] [--algorithms 10] [--seconds 60]
The floor of a step is the larger of two times. One is its operations at the rate of a dense bfloat16 product. The other
is its bytes (each image and weight read or written once) at the rate of a kernel that reads and writes. Both rates are
measured here. Kernels are recorded as a CUDA graph, so their launch time does not count. They cycle through so many
images that caches cannot hold them. Times are in microseconds, the median of 5. A way that this LibTorch or device lacks
is omitted. `--algorithms`: how many algorithms cuDNN tries for each shape; 0: all. With --device cpu the script only
shows that it runs.
"""
import argparse
import statistics
import sys
import time

from gpu_bench import Clock

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    print("steps of the network: not measured, there is no PyTorch")
    sys.exit(0)

parser = argparse.ArgumentParser()
parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
parser.add_argument("--filters", type=int, default=64)
parser.add_argument("--side", type=int, default=572)
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--backward", action="store_true")
parser.add_argument("--algorithms", type=int, default=10)
parser.add_argument("--seconds", type=float, default=60)
arguments = parser.parse_args()
CUDA = arguments.device == "cuda"
ROUNDS, SPREAD_BYTES = (5, 250e6) if CUDA else (1, 0)
clock = Clock(arguments.seconds)


def image(channels, side):
    x = torch.randn(arguments.batch, channels, side, side, device=arguments.device)
    return x.relu().to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def weight(out, into, taps):
    w = torch.randn(out, into, taps, taps, device=arguments.device) * (2 / (taps * taps * into)) ** 0.5
    return w.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def micros_of(work, inputs):
    """The time of one call; work(*input) cycles through the inputs."""
    if not CUDA:
        begin = time.perf_counter()
        work(*inputs[0])
        return 1e6 * (time.perf_counter() - begin)
    side_stream = torch.cuda.Stream()
    with torch.cuda.stream(side_stream):
        for _ in range(2):
            work(*inputs[0])
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    kept = []
    with torch.cuda.graph(graph):
        for given in inputs:
            kept.append(work(*given))
            kept = kept[-1:]
    times = []
    for _ in range(ROUNDS + 1):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(3):
            graph.replay()
        end.record()
        end.synchronize()
        times.append(1e3 * begin.elapsed_time(end) / 3 / len(inputs))
    return statistics.median(times[1:])


class Table:
    def __init__(self):
        self.product = self.copied = None
        if CUDA:
            a, b = (torch.randn(8192, 8192, device="cuda").to(torch.bfloat16) for _ in range(2))
            self.product = 2 * 8192**3 / micros_of(lambda: a @ b, [()] * 4)
            x = torch.rand(2**29, device="cuda")
            y = torch.empty_like(x)
            # A kernel copies, because a graph's own copies are slower.
            self.copied = 2 * 2**31 / micros_of(lambda: torch.mul(x, 2, out=y), [()])
            print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}; dense product "
                  f"{self.product / 1e6:.0f} TFLOP/s, copy {self.copied / 1e3:.0f} GB/s")
        self.sums = {}

    def step(self, name, flop, bytes_moved, make_input, ways):
        """`ways`: {name: work}. The times of the first and of the best way are summed over the steps."""
        if clock.is_up():
            print(f"{name:<26} not measured: time is up")
            return
        inputs = [make_input()]
        held = sum(t.numel() * t.element_size() for t in inputs[0])
        inputs += [make_input() for _ in range(min(7, int(SPREAD_BYTES / held)))]
        floor = max(flop / self.product, bytes_moved / self.copied) if CUDA else 0
        by = "operations" if CUDA and flop / self.product > bytes_moved / self.copied else "bytes"
        texts, best = [], None
        for way, work in ways.items():
            try:
                taken = micros_of(work, inputs)
            except (RuntimeError, AttributeError) as error:
                texts.append(f"{way} - ({str(error).splitlines()[0][:40]})")
                continue
            texts.append(f"{way} {taken:.1f}")
            best = min(taken, best or taken)
            self.add(way, taken)
        self.add("floor", floor)
        self.add("best", best or 0)
        print(f"{name:<26} {flop / 1e9:7.2f} GFLOP {bytes_moved / 1e6:7.1f} MB  floor {floor:6.1f} ({by})  {'  '.join(texts)}", flush=True)

    def add(self, way, taken):
        self.sums[way] = self.sums.get(way, 0) + taken

    def end(self):
        print("sums: " + "  ".join(f"{way} {taken:.1f}" for way, taken in self.sums.items()))


def fused(x, w, b):
    return torch.cudnn_convolution_relu(x, w, b, [1, 1], [0, 0], [1, 1], 1)


def product_of(x, w, b):
    """A 1x1 convolution as a product of matrices."""
    n, c, h, wide = x.shape
    y = torch.addmm(b, x.permute(0, 2, 3, 1).reshape(-1, c), w.reshape(w.size(0), c).t())
    return y.reshape(n, h, wide, -1).permute(0, 3, 1, 2)


def taps_of(x):
    """The 3x3 neighbours of a one-channel image as 16 channels; the tenth is 1, for the bias."""
    n, _, h, w = x.shape
    taps = x.new_zeros((n, h - 2, w - 2, 16))
    taps[..., :9] = x[:, 0].unfold(1, 3, 1).unfold(2, 3, 1).reshape(n, h - 2, w - 2, 9)
    taps[..., 9] = 1
    return taps


def product_with_relu(x, w, b):
    """First layer: a product with bias and ReLU in its last step."""
    taps = taps_of(x)
    matrix = F.pad(w.reshape(w.size(0), 9), (0, 7)).t().contiguous()
    return torch._addmm_activation(b, taps.reshape(-1, 16), matrix)


def widened(x, w, b):
    """First layer: 7 channels of zeros beside the one."""
    x8 = F.pad(x.permute(0, 2, 3, 1), (0, 7)).permute(0, 3, 1, 2)
    return fused(x8, F.pad(w.permute(0, 2, 3, 1), (0, 7)).permute(0, 3, 1, 2), b)


def pool_and_back(x):
    pooled, places = torch.ops.aten.max_pool2d_with_indices(x, [2, 2], [2, 2])
    return torch.ops.aten.max_pool2d_with_indices_backward(pooled, x, [2, 2], [2, 2], [0, 0], [1, 1], False, places)


def maxima(x):
    corners = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))


def copied(to, source, wide):
    """Unchanged, or in 16-byte vectors, for each of which a GPU computes one position."""
    return to.view(torch.complex128).copy_(source.view(torch.complex128)) if wide else to.copy_(source)


def shuffle(product, both, wide):
    n, c, h, w = product.shape
    filters = c // 4
    to = both.permute(0, 2, 3, 1).view(n, h, 2, w, 2, 2 * filters)[..., filters:].permute(0, 1, 3, 2, 4, 5)
    return copied(to, product.permute(0, 2, 3, 1).reshape(to.shape), wide)


def crop(skip, both, wide):
    margin, side, channels = (skip.size(2) - both.size(2)) // 2, both.size(2), skip.size(1)
    return copied(both.permute(0, 2, 3, 1)[..., :channels],
                  skip.permute(0, 2, 3, 1)[:, margin:margin + side, margin:margin + side], wide)


def copies(work):
    return {"copy": lambda a, b: work(a, b, False), "wide copy": lambda a, b: work(a, b, True)}


def pieces_of(x, pieces):
    return x.permute(0, 2, 3, 1).reshape(x.size(0) * pieces, -1, x.size(1))


def weight_gradient(g, x):
    """Of a 1x1 convolution: one product for each of several parts of the image, then their sum."""
    pieces = max(1, min(x.size(2), 2**22 // (x.size(0) * g.size(1) * x.size(1))))
    while x.size(2) % pieces:
        pieces -= 1
    return torch.bmm(pieces_of(g, pieces).transpose(1, 2), pieces_of(x, pieces)).sum(0, dtype=torch.float32)


def input_gradient(g, w):
    return (g.permute(0, 2, 3, 1).reshape(-1, g.size(1)) @ w.flatten(1)).reshape(*g.shape[:1], *g.shape[2:], -1)


def gradients(w, mask):
    """cuDNN's gradient of a convolution without padding."""
    return lambda x, g: torch.ops.aten.convolution_backward(g, x, w, [w.size(0)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask)


def bias_gradient(x, g):
    return torch.ones(1, g.numel() // g.size(1), device=g.device, dtype=g.dtype) @ g.permute(0, 2, 3, 1).reshape(-1, g.size(1))


def product_gradients(w):
    """Ways to the gradients of a 1x1 convolution."""
    return {"by input, conv": gradients(w, [True, False, False]), "product": lambda x, g: input_gradient(g, w),
            "by weight, conv": gradients(w, [False, True, False]), "products": lambda x, g: weight_gradient(g, x),
            "by bias": bias_gradient}


def steps(table, filters):
    side, channels = arguments.side, 1
    n = arguments.batch
    crops = []
    for block in range(9):
        level = block if block < 5 else 8 - block
        width = filters << level
        if block > 4:
            both, before = 2 * side, side
            flop = 2 * n * side * side * 2 * width * 4 * width
            w, b = weight(4 * width, 2 * width, 1), torch.zeros(4 * width, device=arguments.device, dtype=torch.bfloat16)
            table.step(f"up {block - 5}: {2 * width} to {width}, {both}", flop, 2 * n * (before**2 * 2 * width + both**2 * width),
                       lambda: (image(2 * width, before),),
                       {"conv": lambda x: F.conv2d(x, w, b), "product": lambda x: product_of(x, w, b)})
            if arguments.backward:
                table.step(f"back through up {block - 5}", 2 * flop, 4 * n * (before**2 * 2 * width + both**2 * width),
                           lambda: (image(2 * width, before), image(4 * width, before)), product_gradients(w))
            table.step(f"shuffle {block - 5}", 0, 4 * n * both**2 * width, lambda: (image(4 * width, before), image(2 * width, both)),
                       copies(shuffle))
            cropped = crops.pop()
            table.step(f"crop {block - 5}", 0, 4 * n * both**2 * width, lambda: (image(width, cropped), image(2 * width, both)),
                       copies(crop))
            side, channels = both, 2 * width
        for _ in range(2):
            out = side - 2
            w, b = weight(width, channels, 3), torch.zeros(width, device=arguments.device, dtype=torch.bfloat16)
            flop = 2 * n * 9 * channels * width * out * out
            moved = 2 * n * (side**2 * channels + out**2 * width) + 18 * channels * width
            into, before = channels, side
            name = f"{channels} to {width}, {out}"
            ways = {"conv": lambda x, *_: F.conv2d(x, w), "bias": lambda x, *_: F.conv2d(x, w, b),
                    "bias, ReLU": lambda x, *_: F.conv2d(x, w, b).relu_(), "fused": lambda x, *_: fused(x, w, b)}
            if channels == 1:
                ways["taps"] = lambda x, *_: product_with_relu(x, w, b)
                ways["taps alone"] = lambda x, *_: taps_of(x)
                ways["widened"] = lambda x, *_: widened(x, w, b)
            if not arguments.backward:
                table.step(name, flop, moved, lambda: (image(into, before),), ways)
            else:
                of = {"by weight": gradients(w, [False, True, False]), "by bias": gradients(w, [False, False, True]),
                      "by bias, product": bias_gradient}
                if channels > 1:
                    of = {"by input": gradients(w, [True, False, False]), **of}
                else:
                    of["by weight and bias, taps"] = lambda x, g: weight_gradient(g, taps_of(x).permute(0, 3, 1, 2))
                of["ReLU"] = lambda x, g: torch.ops.aten.threshold_backward(g, g, 0)
                of = {"forward, fused": ways["fused"], "bias, ReLU": ways["bias, ReLU"], **of}
                table.step(name, 3 * flop, 3 * moved, lambda: (image(into, before), image(width, out)), of)
            side, channels = out, width
        if block < 4:
            before = side
            ways = {"LibTorch": lambda x: F.max_pool2d(x, 2), "maxima": maxima}
            if arguments.backward:
                ways = {"with places": lambda x: F.max_pool2d_with_indices(x, 2),
                        "and back": lambda x: pool_and_back(x)}
            table.step(f"pooling {block}: {side // 2}", 0, 2.5 * n * side**2 * width, lambda: (image(width, before),), ways)
            crops.append(side)
            side //= 2
    w, b = weight(2, filters, 1), torch.zeros(2, device=arguments.device, dtype=torch.bfloat16)
    w8, b8 = weight(8, filters, 1), torch.zeros(8, device=arguments.device, dtype=torch.bfloat16)
    table.step(f"classes: {side}", 2 * n * side**2 * filters * 2, 2 * n * side**2 * (filters + 2), lambda: (image(filters, side),),
               {"conv": lambda x: F.conv2d(x, w, b), "product": lambda x: product_of(x, w, b), "conv, 8 classes": lambda x: F.conv2d(x, w8, b8),
                "product, 8 classes": lambda x: product_of(x, w8, b8)})
    if arguments.backward:
        table.step("back through classes", 4 * n * side**2 * filters * 8, 4 * n * side**2 * (filters + 8),
                   lambda: (image(filters, side), image(8, side)), product_gradients(w8))


def main():
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.benchmark_limit = arguments.algorithms
    torch.manual_seed(1)
    table = Table()
    with torch.inference_mode():
        steps(table, arguments.filters)
    table.end()


if __name__ == "__main__":
    main()
