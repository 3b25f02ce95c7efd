"""Shared code of the scripts gpu_*.py: runs bench_gpu in turns and prints each row of a table when it is measured."""
import os
import queue
import statistics
import subprocess
import sys
import threading
import time


def add_options(parser):
    parser.add_argument("bench", metavar="BENCH_GPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--filters", type=int)
    parser.add_argument("--library-path", help="where the program's libraries are, in front of the usual places")


class BenchGpu:
    """A running bench_gpu, controlled line by line. `arguments` are those of add_options()."""

    def __init__(self, arguments, network_file):
        self.bench = arguments.bench
        self.cuda = arguments.device == "cuda"
        self.filters = arguments.filters or (64 if self.cuda else 8)
        # LibTorch 1.13 has no bfloat16 transposed convolution on the CPU.
        self.precision = "bfloat16" if self.cuda else "float32"
        self.threads = len(os.sched_getaffinity(0)) if self.cuda else 1
        self.process = subprocess.Popen([self.bench, arguments.device, str(self.filters), str(self.threads), network_file],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment(arguments.library_path))
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
            sys.exit(f"{self.bench} said nothing for {limit} s")
        if line is None:
            sys.exit(f"{self.bench} ended, exit code {self.process.wait()}")
        return line

    def ask(self, *words):
        """Its numbers, or an error text."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.answer(180)
        return line.removeprefix("error: ") if line.startswith("error") else [float(number) for number in line.split()]

    def end(self):
        self.process.communicate("end\n", timeout=60)


def environment(library_path):
    """This environment with the programs' libraries. Python itself must not load them."""
    old = os.environ.get("LD_LIBRARY_PATH")
    return dict(os.environ, LD_LIBRARY_PATH=library_path + (":" + old if old else "")) if library_path else dict(os.environ)


class Clock:
    """The time budget of a table. Rows that do not fit are omitted, with a message."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def is_up(self):
        return time.monotonic() > self.end


def in_turns(rounds, jobs, warm_up=1):
    """Runs {name: work} one after the other, once to warm up and then `rounds` times. Returns {name: [first number of
    each round]} of the successful ones, {name: text} of the failed ones, and {name: all numbers of the last round}."""
    times, failed, last = {name: [] for name in jobs}, {}, {}
    for turn in range(rounds + warm_up):
        for name, work in jobs.items():
            if name in failed:
                continue
            answer = work()
            if isinstance(answer, str):
                failed[name] = answer
                del times[name]
                continue
            last[name] = answer
            if turn >= warm_up:
                times[name].append(answer[0])
    return times, failed, last


def median(rounds, work, warm_up=1):
    """The median of the first number of each round, or an error text; and the other numbers of the last round."""
    times, failed, last = in_turns(rounds, {"": work}, warm_up)
    return (failed[""], []) if failed else (statistics.median(times[""]), last[""][1:])


def ratio(times, name, other):
    """The speed ratio of two ways: the median of the rounds' ratios."""
    return statistics.median(b / a for a, b in zip(times[name], times[other]))


def row(what, who, value, *more):
    print(f"{what:<28} {who:<28} {value:>22}  {'  '.join(more)}".rstrip(), flush=True)
