#!/usr/bin/env python3
"""One table: a device's peak rates, Tessera's rates and PyTorch's in Python, measured in turns.

Usage: gpu_rate.py BENCH_GPU [--device cuda] [--filters 64] [--sides 572,1020,2044,4092] [--rounds 5] [--seconds 240]
                   [--no-compile] [--library-path DIR]
With --device cpu the sizes are small and the precision is float32. Both sides run the network of Ronneberger et al. 2015
with the same weights in bfloat16, channels_last; PyTorch has cudnn.benchmark on and runs under inference_mode, as written
and with torch.compile.
The network's rows are the forward pass to the logits, with the input on the device. PyTorch's training uses autocast with
float32 weights, and its samples are on the device before it starts. Tessera's samples are cut, deformed (elastic 10 px)
and copied during the training. Every figure is the median of the rounds after one warm-up round. Every row is printed
when it is measured. Rows that do not fit the time (--seconds) are omitted, with a message. Without PyTorch its columns
are omitted.
"""
import argparse
import os
import statistics
import tempfile
import time

from gpu_bench import BenchGpu, Clock, add_options, in_turns, median, ratio, row

parser = argparse.ArgumentParser()
add_options(parser)
parser.add_argument("--sides")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=240)
parser.add_argument("--no-compile", action="store_true")
arguments = parser.parse_args()
CUDA = arguments.device == "cuda"
SIDES = [int(side) for side in (arguments.sides or ("572,1020,2044,4092" if CUDA else "236,284")).split(",")]
PRODUCT, COPY_MIB, BATCH, TRAIN_SIDE, STEPS = (8192, 4096, 8, 572, 10) if CUDA else (512, 64, 2, 284, 1)
clock = Clock(arguments.seconds)

try:
    import torch
    from torch.nn import functional as F

    from pytorch_unet import UNet, with_weights

    torch.set_num_threads(len(os.sched_getaffinity(0)) if CUDA else 1)
    if CUDA and not torch.cuda.is_available():
        torch = None
except ImportError:
    torch = None


class PyTorch:
    def __init__(self, network_file, filters, precision):
        self.device = torch.device(arguments.device)
        torch.backends.cudnn.benchmark = True
        self.network_file, self.filters = network_file, filters
        self.type = getattr(torch, precision)
        self.network = self.fresh().to(self.type).eval()
        self.compiled = None

    def fresh(self):
        network = with_weights(UNet(self.filters, dropout=0.5), self.network_file)
        return network.to(self.device).to(memory_format=torch.channels_last)

    def wait(self):
        if CUDA:
            torch.cuda.synchronize()

    def seconds_of(self, work, repeats):
        self.wait()
        begin = time.perf_counter()
        for _ in range(repeats):
            work()
        self.wait()
        return (time.perf_counter() - begin) / repeats

    def network_seconds(self, side, repeats, compiled):
        """The same pixels as bench_gpu. They are not constant, because constants cost a GPU less power."""
        x = (torch.arange(side * side, device=self.device) * 7919 % 1009).float() / 504.5 - 1
        x = x.reshape(1, 1, side, side).to(self.type).contiguous(memory_format=torch.channels_last)
        if compiled and self.compiled is None:
            self.compiled = torch.compile(self.network, dynamic=False)
        network = self.compiled if compiled else self.network
        last = {}

        def once():
            last["logits"] = network(x).float()

        try:
            with torch.inference_mode():
                seconds = self.seconds_of(once, repeats)
                return [seconds, last["logits"].size(2), last["logits"].mean().item()]
        except Exception as error:  # out of memory, or no compiler for torch.compile
            return first_line(error)

    def product_seconds(self, repeats):
        a, b = (torch.randn(PRODUCT, PRODUCT, device=self.device).to(torch.bfloat16) for _ in range(2))
        c = torch.empty_like(a)
        return [self.seconds_of(lambda: torch.mm(a, b, out=c), repeats)]

    def start_training(self):
        torch.cuda.empty_cache() if CUDA else None
        self.trained = self.fresh().train()
        self.optimizer = torch.optim.SGD(self.trained.parameters(), 1e-5, momentum=0.99)
        out = TRAIN_SIDE - 184
        self.x = torch.randn(BATCH, 1, TRAIN_SIDE, TRAIN_SIDE, device=self.device).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 2, (BATCH, out, out), device=self.device)
        self.pixel_weights = torch.rand(BATCH, out, out, device=self.device) + 0.5

    def train_seconds(self):
        def step():
            with torch.autocast(arguments.device, dtype=torch.bfloat16, enabled=CUDA):
                logits = self.trained(self.x)
            loss = (F.cross_entropy(logits.float(), self.labels, reduction="none") * self.pixel_weights).sum()
            self.optimizer.zero_grad(set_to_none=True)
            (loss / self.pixel_weights.sum()).backward()
            self.optimizer.step()

        try:
            return [self.seconds_of(step, STEPS)]
        except Exception as error:
            return first_line(error)


def first_line(error):
    return str(error).split("\n")[0][:60] or type(error).__name__


def main():
    with tempfile.TemporaryDirectory() as folder:
        network_file = os.path.join(folder, "network.pt")
        tessera = BenchGpu(arguments, network_file)
        name = torch.cuda.get_device_name() + ", " if torch and CUDA else ""
        print(f"{name}{tessera.text}; PyTorch {torch.__version__ if torch else 'absent'}; {tessera.filters} filters, "
              f"{tessera.precision}, median of {arguments.rounds} rounds")
        pytorch = PyTorch(network_file, tessera.filters, tessera.precision) if torch else None

        repeats = 20 if CUDA else 2
        seconds, _ = median(arguments.rounds, lambda: tessera.ask("product", PRODUCT, repeats))
        dense = None if isinstance(seconds, str) else 2 * PRODUCT**3 / seconds / 1e12
        row(f"dense product {PRODUCT}^3", "bfloat16", f"{dense:.3g} TFLOP/s" if dense else seconds)
        dense = dense if CUDA else None  # in another precision than the network
        if pytorch and CUDA:
            seconds, _ = median(arguments.rounds, lambda: pytorch.product_seconds(repeats))
            row(f"dense product {PRODUCT}^3", "bfloat16, PyTorch", f"{2 * PRODUCT**3 / seconds / 1e12:.3g} TFLOP/s")
            torch.cuda.empty_cache()
        seconds, _ = median(arguments.rounds, lambda: tessera.ask("copy", COPY_MIB, repeats))
        copied = None if isinstance(seconds, str) else 2 * COPY_MIB * 2**20 / seconds / 1e9
        row(f"copy of {COPY_MIB} MiB", "read + written", f"{copied:.3g} GB/s" if copied else seconds)

        def show(what, who, seconds, amount, unit, flop, *more):
            """A row from the seconds for this amount of work; `seconds` may be an error text."""
            if isinstance(seconds, str):
                row(what, who, seconds)
                return
            rate = flop / seconds / 1e12
            share = f"{100 * rate / dense:5.1f} % of the dense product" if dense else ""
            row(what, who, f"{amount / seconds:.4g} {unit}", f"{rate:7.4g} TFLOP/s", share, *more)

        def network_rows(compiled):
            for side in SIDES:
                what = f"network, input {side}"
                who = "PyTorch, compiled" if compiled else "PyTorch"
                if clock.is_up():
                    row(what, who if compiled else "", "not measured: time is up")
                    continue
                flop = tessera.ask("cost", side, BATCH)[0]
                calls = max(1, min(50, int(1e14 / flop))) if CUDA else 1
                jobs = {}
                if not compiled:
                    jobs["Tessera"] = lambda: tessera.ask("network", "fastest", tessera.precision, side, calls)
                    jobs["Tessera, reproducible"] = lambda: tessera.ask("network", "by_rule", tessera.precision, side, calls)
                if pytorch:
                    jobs[who] = lambda: pytorch.network_seconds(side, calls, compiled)
                times, failed, last = in_turns(arguments.rounds, jobs)
                for name in jobs:
                    seconds = failed.get(name) or statistics.median(times[name])
                    show(what, name, seconds, (side - 184) ** 2 / 1e6, "Mpx/s", flop)
                if not compiled and pytorch and not failed:
                    (_, _, ours), (_, _, theirs) = last["Tessera"], last[who]
                    if abs(ours - theirs) > 0.05 * max(1, abs(ours)):
                        row(what, "the answers differ:", f"{ours:.4g} and {theirs:.4g}")
                    row(what, "Tessera is", f"{ratio(times, 'Tessera', who):.2f} times as fast")
                if pytorch and CUDA:
                    torch.cuda.empty_cache()

        network_rows(False)
        for side in SIDES:
            cores = max(1, (4096 if CUDA else 256) // (side - 184))
            what = f"predict, tiles of {side}"
            if clock.is_up():
                row(what, "Tessera", "not measured: time is up")
                continue
            seconds, rest = median(arguments.rounds, lambda: tessera.ask("predict", tessera.precision, side, cores, 1))
            voxels, tiles = rest or (0, 0)
            show(what, "Tessera, whole block", seconds, voxels / 1e6, "Mpx/s", tessera.ask("cost", side, BATCH)[0] * tiles)

        what = f"training, {TRAIN_SIDE}, batch {BATCH}"
        flop = tessera.ask("cost", TRAIN_SIDE, BATCH)[2] * BATCH
        if clock.is_up():
            row(what, "", "not measured: time is up")
        else:
            jobs = {"Tessera": lambda: tessera.ask("train", tessera.precision, TRAIN_SIDE, BATCH, 10, STEPS, f"report={STEPS}")}
            if pytorch:
                pytorch.start_training()
                jobs["PyTorch"] = pytorch.train_seconds
            times, failed, last = in_turns(arguments.rounds, jobs)
            for name in jobs:
                more = [f"{100 * last[name][2]:.1f} % waiting for samples"] if len(last.get(name, [])) == 3 else []
                show(what, name, failed.get(name) or statistics.median(times[name]), BATCH, "images/s", flop, *more)
            if len(times) == 2:
                row(what, "Tessera is", f"{ratio(times, 'Tessera', 'PyTorch'):.2f} times as fast")
        # Last, because it compiles for a minute.
        if pytorch and CUDA and not arguments.no_compile:
            pytorch.trained = pytorch.optimizer = pytorch.x = None
            torch.cuda.empty_cache()
            network_rows(True)
        tessera.end()


if __name__ == "__main__":
    main()
