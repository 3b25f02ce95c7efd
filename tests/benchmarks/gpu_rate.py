#!/usr/bin/env python3
"""One table: what a device can do, what Tessera gets out of it, and what PyTorch in Python gets, in turns.

Usage: gpu_rate.py BENCH_GPU [--device cuda] [--filters 64] [--sides 572,1020,2044,4092] [--rounds 5] [--seconds 240]
                   [--no-compile] [--library-path DIR]
With --device cpu the sizes are small and the precision is float32. Both sides run the network of Ronneberger et al. 2015 with the same weights in
bfloat16, channels_last; PyTorch has cudnn.benchmark on and runs under inference_mode, as written and with torch.compile.
The network's rows are of the forward pass to the logits, input on the device. PyTorch's training is autocast with float32
weights and its samples are on the device before it begins; Tessera's are cut, bent (elastic 10 px) and copied meanwhile.
Every figure is the median of the rounds after one to warm up, and every row is printed when it is measured. What does not
fit the time (--seconds) is left out and said to be. Without PyTorch its columns are left out.
"""
import argparse
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("bench")
parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
parser.add_argument("--filters", type=int)
parser.add_argument("--sides")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=240)
parser.add_argument("--no-compile", action="store_true")
parser.add_argument("--library-path", help="where the program's libraries are, in front of the usual places")
arguments = parser.parse_args()
CUDA = arguments.device == "cuda"
FILTERS = arguments.filters or (64 if CUDA else 8)
SIDES = [int(side) for side in (arguments.sides or ("572,1020,2044,4092" if CUDA else "236,284")).split(",")]
PRODUCT, COPY_MIB, BATCH, TRAIN_SIDE = (8192, 4096, 8, 572) if CUDA else (512, 64, 2, 284)
PRECISION = "bfloat16" if CUDA else "float32"  # LibTorch 1.13 has no bfloat16 transposed convolution on the CPU
THREADS = len(os.sched_getaffinity(0)) if CUDA else 1
BEGIN = time.monotonic()

try:
    import torch
    from torch.nn import functional as F

    from pytorch_unet import UNet, with_weights

    torch.set_num_threads(THREADS)
    if CUDA and not torch.cuda.is_available():
        torch = None
except ImportError:
    torch = None


def time_is_up():
    return time.monotonic() - BEGIN > arguments.seconds


class Tessera:
    """bench_gpu, asked line by line."""

    def __init__(self, network_file):
        environment = dict(os.environ)
        if arguments.library_path:
            old = environment.get("LD_LIBRARY_PATH")
            environment["LD_LIBRARY_PATH"] = arguments.library_path + (":" + old if old else "")
        self.process = subprocess.Popen([arguments.bench, arguments.device, str(FILTERS), str(THREADS), network_file],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.answers = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        self.text = self.answer(180)

    def listen(self):
        for line in self.process.stdout:
            self.answers.put(line.strip())
        self.answers.put(None)

    def answer(self, limit):
        try:
            line = self.answers.get(timeout=limit)
        except queue.Empty:
            self.process.kill()
            sys.exit(f"gpu_rate.py: {arguments.bench} said nothing for {limit} s")
        if line is None:
            sys.exit(f"gpu_rate.py: {arguments.bench} ended, exit code {self.process.wait()}")
        return line

    def ask(self, *words):
        """Its numbers, or a text that says what went wrong."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.answer(180)
        return line.removeprefix("error: ") if line.startswith("error") else [float(number) for number in line.split()]

    def end(self):
        self.process.communicate("end\n", timeout=60)


class PyTorch:
    def __init__(self, network_file):
        self.device = torch.device(arguments.device)
        torch.backends.cudnn.benchmark = True
        self.network_file = network_file
        self.type = getattr(torch, PRECISION)
        self.network = self.fresh().to(self.type).eval()
        self.compiled = None

    def fresh(self):
        return with_weights(UNet(FILTERS, dropout=0.5), self.network_file).to(self.device).to(memory_format=torch.channels_last)

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
        """As bench_gpu's: the same pixels, which are no constant, for constants cost a GPU less power."""
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
            return str(error).split("\n")[0][:60] or type(error).__name__

    def product_seconds(self, repeats):
        a, b = (torch.randn(PRODUCT, PRODUCT, device=self.device).to(torch.bfloat16) for _ in range(2))
        c = torch.empty_like(a)
        return self.seconds_of(lambda: torch.mm(a, b, out=c), repeats)

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

        return self.seconds_of(step, 1)


def median(rounds, work, warm_up=1):
    """The median of the first number of each round; a text when a round failed. Also the last round's other numbers."""
    times, rest = [], []
    for turn in range(rounds + warm_up):
        answer = work()
        if isinstance(answer, str):
            return answer, []
        first, *rest = answer if isinstance(answer, list) else [answer]
        if turn >= warm_up:
            times.append(first)
    return statistics.median(times), rest


def row(what, who, value, *more):
    print(f"{what:<28} {who:<20} {value:>22}  {'  '.join(more)}".rstrip(), flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        network_file = os.path.join(folder, "network.pt")
        tessera = Tessera(network_file)
        name = torch.cuda.get_device_name() + ", " if torch and CUDA else ""
        print(f"{name}{tessera.text}; PyTorch {torch.__version__ if torch else 'absent'}; {FILTERS} filters, {PRECISION}, "
              f"median of {arguments.rounds} rounds")
        pytorch = PyTorch(network_file) if torch else None

        repeats = 20 if CUDA else 2
        seconds, _ = median(arguments.rounds, lambda: tessera.ask("product", PRODUCT, repeats))
        dense = None if isinstance(seconds, str) else 2 * PRODUCT**3 / seconds / 1e12
        row(f"dense product {PRODUCT}^3", "bfloat16", f"{dense:.3g} TFLOP/s" if dense else seconds)
        dense = dense if CUDA else None  # of another precision than the network
        if pytorch and CUDA:
            seconds, _ = median(arguments.rounds, lambda: pytorch.product_seconds(repeats))
            row(f"dense product {PRODUCT}^3", "bfloat16, PyTorch", f"{2 * PRODUCT**3 / seconds / 1e12:.3g} TFLOP/s")
            torch.cuda.empty_cache()
        seconds, _ = median(arguments.rounds, lambda: tessera.ask("copy", COPY_MIB, repeats))
        copied = None if isinstance(seconds, str) else 2 * COPY_MIB * 2**20 / seconds / 1e9
        row(f"copy of {COPY_MIB} MiB", "read + written", f"{copied:.3g} GB/s" if copied else seconds)

        def show(what, who, seconds, out, flop):
            """A network's row from the seconds of one pass."""
            if isinstance(seconds, str):
                row(what, who, seconds)
                return
            rate = flop / seconds / 1e12
            share = f"{100 * rate / dense:5.1f} % of the dense product" if dense else ""
            row(what, who, f"{out * out / seconds / 1e6:.4g} Mpx/s", f"{rate:7.4g} TFLOP/s", share)

        def network_rows(compiled):
            for side in SIDES:
                what = f"network, input {side}"
                who = "PyTorch, compiled" if compiled else "PyTorch"
                if time_is_up():
                    row(what, who if compiled else "", "not measured: time is up")
                    continue
                flop = tessera.ask("cost", side, BATCH)[0]
                calls = max(1, min(50, int(1e14 / flop))) if CUDA else 1
                ours, theirs, means = [], [], []
                failed = {}
                for turn in range(arguments.rounds + 1):
                    jobs = [] if compiled else [("ours", lambda: tessera.ask("network", PRECISION, side, calls), ours)]
                    if pytorch:
                        jobs.append(("theirs", lambda: pytorch.network_seconds(side, calls, compiled), theirs))
                    for key, work, times in jobs:
                        if key in failed:
                            continue
                        answer = work()
                        if isinstance(answer, str):
                            failed[key] = answer
                        elif turn > 0:
                            times.append(answer[0])
                            if turn == 1:
                                means.append(answer[2])
                if not compiled:
                    show(what, "Tessera", failed.get("ours") or statistics.median(ours), side - 184, flop)
                if pytorch:
                    show(what, who, failed.get("theirs") or statistics.median(theirs), side - 184, flop)
                if len(means) == 2 and abs(means[0] - means[1]) > 0.05 * max(1, abs(means[0])):
                    row(what, "the answers differ:", f"{means[0]:.4g} and {means[1]:.4g}")
                if ours and theirs:
                    ratio = statistics.median(b / a for a, b in zip(ours, theirs))
                    row(what, "Tessera is", f"{ratio:.2f} times as fast")
                if pytorch and CUDA:
                    torch.cuda.empty_cache()

        network_rows(False)
        for side in SIDES:
            cores = max(1, (4096 if CUDA else 256) // (side - 184))
            what = f"predict, tiles of {side}"
            if time_is_up():
                row(what, "Tessera", "not measured: time is up")
                continue
            seconds, rest = median(arguments.rounds, lambda: tessera.ask("predict", PRECISION, side, cores, 1))
            if isinstance(seconds, str):
                row(what, "Tessera", seconds)
                continue
            flop = tessera.ask("cost", side, BATCH)[0] * rest[1]
            rate = flop / seconds / 1e12
            row(what, "Tessera, whole block", f"{rest[0] / seconds / 1e6:.4g} Mpx/s", f"{rate:7.4g} TFLOP/s",
                f"{100 * rate / dense:5.1f} % of the dense product" if dense else "")

        what = f"training, {TRAIN_SIDE}, batch {BATCH}"
        flop = tessera.ask("cost", TRAIN_SIDE, BATCH)[2] * BATCH

        def train_row(who, seconds, *more):
            if isinstance(seconds, str):
                row(what, who, seconds)
                return
            rate = flop / seconds / 1e12
            row(what, who, f"{BATCH / seconds:.4g} images/s", f"{rate:7.4g} TFLOP/s",
                f"{100 * rate / dense:5.1f} % of the dense product" if dense else "", *more)

        if time_is_up():
            row(what, "", "not measured: time is up")
        else:
            seconds, rest = median(arguments.rounds, lambda: tessera.ask("train", PRECISION, TRAIN_SIDE, BATCH, 10), 3)
            train_row("Tessera", seconds, *([f"{100 * rest[1]:.1f} % waiting for samples"] if rest else []))
            if pytorch:
                try:
                    pytorch.start_training()
                    seconds, _ = median(arguments.rounds, pytorch.train_seconds, 3)
                except Exception as error:
                    seconds = str(error).split("\n")[0][:60]
                train_row("PyTorch", seconds)
        # Last, for it compiles for a minute.
        if pytorch and CUDA and not arguments.no_compile:
            pytorch.trained = pytorch.optimizer = pytorch.x = None
            torch.cuda.empty_cache()
            network_rows(True)
        tessera.end()


if __name__ == "__main__":
    main()
