"""Shared code of the end-to-end tests: starts tessera with a time limit, makes small volumes and experiment files.

Environment: TESSERA_BINARY the program, TESSERA_DATA the folder of real data, TESSERA_MPIRUN the launcher.
"""

import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

import h5py
import numpy as np

from fork_server import BINARY, LIBRARY, START_RANK, ForkServer, RankServer, clean_environment

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("TESSERA_DATA", SOURCE.parent / "shared/data"))
MPIRUN = os.environ.get("TESSERA_MPIRUN", "mpirun")

os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")


class Result:
    """The exit code and the output of a process."""

    def __init__(self, command, code, stdout, stderr, seconds):
        self.command, self.code, self.stdout, self.stderr, self.seconds = command, code, stdout, stderr, seconds

    @property
    def text(self):
        return self.stdout + self.stderr

    def errors(self):
        """Tessera's error messages, each from its first line, without the rank."""
        return re.findall(r"^(?:\[rank \d+\] )?(?:error|critical): (.*)", self.text, re.MULTILINE)

    def warnings(self):
        return re.findall(r"^(?:\[rank \d+\] )?(?:warning|warn): (.*)", self.text, re.MULTILINE)

    def __str__(self):
        return (f"$ {' '.join(map(str, self.command))}\nexit code {self.code} after {self.seconds:.1f} s\n"
                f"--- stdout\n{self.stdout[-6000:]}\n--- stderr\n{self.stderr[-6000:]}")


class Process:
    """A running tessera, alone (ranks=0) or under mpirun, in a session and process group of its own."""

    def __init__(self, arguments, ranks=0, cwd=None, prefix=(), preexec=None, environment=None, program=(BINARY,)):
        launcher = [MPIRUN, "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks else []
        self.ranks = ranks
        self.command = [*prefix, *launcher, *program, *map(str, arguments)]
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._begin = time.monotonic()
        self.process = subprocess.Popen(
            self.command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err,
            start_new_session=True, preexec_fn=preexec, env={**clean_environment(), **(environment or {})})

    def session_pids(self):
        """{pid: environment} of the live processes of the session; mpirun gives ranks other process groups."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                    found[int(entry.name)] = dict(p.split("=", 1) for p in pairs if "=" in p)
            except (OSError, ValueError):
                continue  # the process has ended
        return found

    def rank_pid(self, rank):
        """The process id of a rank under mpirun. Errors: ProcessLookupError if it does not run; the job goes on."""
        for pid, environment in self.session_pids().items():
            if environment.get("OMPI_COMM_WORLD_RANK") == str(rank):
                return pid
        raise ProcessLookupError(f"rank {rank} does not run\n{self.text()}")

    def running(self):
        return self.process.poll() is None

    def signal(self, number, whole_job=False):
        """Sends a signal to the started process (mpirun under mpirun) or to each rank."""
        if not whole_job:
            os.kill(self.process.pid, number)
            return
        for rank in range(self.ranks):
            os.kill(self.rank_pid(rank), number)

    def kill(self):
        """Kills every process of the session by its id."""
        end = time.monotonic() + 10
        while pids := {*self.session_pids(), *([self.process.pid] if self.running() else [])}:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > end:
                raise AssertionError(f"processes that no SIGKILL ends: {sorted(pids)}")
            time.sleep(0.01)
        self.process.wait()

    def left_behind(self, timeout=2):
        """The processes of the session that still exist after a short wait."""
        end = time.monotonic() + timeout
        while (pids := sorted(self.session_pids())) and time.monotonic() < end:
            time.sleep(0.02)
        return pids

    def text(self):
        """The output so far."""
        return "".join(self._read(f) for f in (self._out, self._err))

    @staticmethod
    def _read(file):
        return os.pread(file.fileno(), 1 << 24, 0).decode(errors="replace")

    def finish(self, timeout=0):
        """Waits up to `timeout` seconds for the end. After that the process is killed and the test fails."""
        late = False
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            late = True
        seconds = time.monotonic() - self._begin
        if late:
            self.kill()
        result = Result(self.command, self.process.returncode, self._read(self._out), self._read(self._err), seconds)
        if late:
            raise AssertionError(f"killed: no end within {timeout} s\n{result}")
        return result

    def wait_until(self, condition, timeout, what):
        """Polls `condition` while the process runs. The test fails when the process ends or on timeout."""
        end = time.monotonic() + timeout
        while not condition():
            if not self.running():
                raise AssertionError(f"it ended before: {what}\n{self.finish(1)}")
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"not within {timeout} s: {what}\n{self.finish(1)}")
            time.sleep(0.01)

    def close(self):
        self.kill()
        self._out.close()
        self._err.close()


servers = {}  # by kind and by the libraries that they preload


def server_of(kind, environment):
    """A fork or rank server, and the environment of one process; (None, ...) where only a real start will do: libraries read
    OMP_... when they are loaded."""
    rest = dict(environment or {})
    preload = rest.pop("LD_PRELOAD", "")
    needed = [LIBRARY, *([START_RANK] if kind is RankServer else [])]
    if not all(map(os.path.exists, needed)) or any(name.startswith(("OMP_", "LD_")) for name in rest):
        return None, environment
    if (kind, preload) not in servers:
        # With the threads of a real start.
        server = kind(preload=preload, environment={"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "")})
        atexit.register(server.close)
        servers[kind, preload] = server
    return servers[kind, preload], rest


def run_alone(server, arguments, timeout, cwd, environment):
    outcome = server.run(list(map(str, arguments)), cwd or os.getcwd(), timeout, environment=environment)
    result = Result([BINARY, *arguments], -outcome.signal if outcome.signal else outcome.code, outcome.stdout,
                    outcome.text[len(outcome.stdout):], outcome.seconds)
    if outcome.hung:
        raise AssertionError(f"killed: no end within {timeout} s\n{result}")
    return result


def run_tessera(arguments, ranks=0, timeout=60, cwd=None, environment=None, **how):
    """Runs to the end. LibTorch takes most of a second to load, so the processes come from a server that has loaded it, but for
    `submit` and `run`, which start others. Errors: AssertionError when it takes longer than `timeout` seconds."""
    real = bool(how) or arguments[:1] == ["run"] or "submit" in arguments
    if not real and ranks == 0:
        server, rest = server_of(ForkServer, environment)
        if server is not None:
            return run_alone(server, arguments, timeout, cwd, rest)
    if not real:
        server, environment = server_of(RankServer, environment)
        if server is not None:
            how = {"program": server.through}
    process = Process(arguments, ranks, cwd, environment=environment, **how)
    try:
        return process.finish(timeout)
    finally:
        process.close()


def merged(base, changes):
    """`base` with `changes` merged in, section by section. None removes a key."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def yaml_text(value, indent=""):
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            lines.append(f"{indent}{key}:")
            for one in item:
                text = yaml_text(one, indent + "  ").rstrip("\n")
                lines.append(f"{indent}- {text[len(indent) + 2:]}")
        elif isinstance(item, dict):
            lines.append(f"{indent}{key}:\n{yaml_text(item, indent + '  ')}".rstrip("\n"))
        elif isinstance(item, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", item):
            lines.append(f"{indent}{key}: {item}")
        else:
            lines.append(f"{indent}{key}: {json.dumps(item)}")
    return "\n".join(lines) + "\n"


def resolved_keys(text):
    """{"train.iterations": "20", ...} of a resolved configuration as tessera prints it, up to an empty line. Sections
    are omitted. Of the entries of a list, the last one counts."""
    keys, path = {}, []
    for line in text.partition("\n\n")[0].splitlines():
        found = re.fullmatch(r"( *)([a-z_0-9]+):(?: (.*))?", re.sub(r"^( *)- ", r"\1  ", line))
        if not found:
            continue
        path = path[:len(found[1]) // 2] + [found[2]]
        if found[3] is not None and found[3] != "{}":
            keys[".".join(path)] = found[3]
    return keys


SMALL_EXPERIMENT = {
    "experiment": "small",
    "data": {"raw": "stack.h5:/volumes/raw", "labels": "stack.h5:/volumes/labels/cells",
             "train_sections": [0, 4], "validation_sections": [4, 6]},
    "model": {"preset": "unet2015", "base_filters": 2, "depth": 2, "dropout": 0.1},
    "train": {"iterations": 2, "global_batch": 2, "tile": 76, "optimizer": "adam", "threads": 1,
              "validate_every": 2, "checkpoint_every": 2},
    "infer": {"output": "prediction.h5:/volumes/predictions/interior", "threads": 1},
}


class Case(unittest.TestCase):
    """Tests in a temporary folder of the class, where `stack.h5` is a synthetic stack of `stack_shape`."""

    maxDiff = None
    stack_shape = (6, 96, 96)
    ranks_tried = (0, 3)

    @classmethod
    def setUpClass(cls):
        if not os.access(BINARY, os.X_OK):
            raise AssertionError(f"there is no program {BINARY}: build it, or set TESSERA_BINARY")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera_"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        shape = ",".join(map(str, cls.stack_shape))
        cls.done(cls.folder, ["synth", "stack.h5", "--shape", shape, "--cell-size", "20", "--seed", "7"])

    @staticmethod
    def done(folder, arguments, ranks=0, timeout=60):
        """Runs to exit code 0."""
        result = run_tessera(arguments, ranks, timeout, cwd=folder)
        if result.code != 0 or result.errors():
            raise AssertionError(f"should have ended with exit code 0\n{result}")
        return result

    def tessera(self, arguments, ranks=0, timeout=60):
        return self.done(self.folder, arguments, ranks, timeout)

    def start(self, arguments, ranks=0, **how):
        process = Process(arguments, ranks, self.folder, **how)
        self.addCleanup(process.close)
        return process

    @classmethod
    def config(cls, name, changes=None):
        """Writes `<name>.yaml`: the small experiment with `changes`, in a run folder of its own."""
        base = merged(SMALL_EXPERIMENT, {"experiment": name, "infer": {"output": f"{name}.h5:/volumes/predictions/interior"}})
        file = cls.folder / f"{name}.yaml"
        file.write_text(yaml_text(merged(base, changes or {})))
        return file.name

    @classmethod
    def write_volumes(cls, file, volumes, **options):
        with h5py.File(cls.folder / file, "w") as out:
            for path, voxels in volumes.items():
                out.create_dataset(path, data=voxels, **options)
        return file

    @classmethod
    def read(cls, name):
        """The voxels of FILE.h5:/path."""
        file, path = name.rsplit(":", 1)
        with h5py.File(cls.folder / file, "r") as h5:
            return h5[path][()]

    def assert_same_voxels(self, a, b, what=""):
        self.assertEqual(a.dtype, b.dtype, what)
        self.assertEqual(a.shape, b.shape, what)
        self.assertEqual(a.tobytes(), b.tobytes(), f"{what}: {np.count_nonzero(a != b)} of {a.size} voxels differ")

    def assert_one_error(self, result, code, patterns):
        """Asserts this exit code and exactly one message from Tessera, which matches all patterns."""
        self.assertEqual(result.code, code, result)
        self.assertEqual(len(result.errors()), 1, f"one message was expected\n{result}")
        for pattern in patterns:
            self.assertRegex(result.text, pattern, result)
        for noise in ("HDF5-DIAG", "terminate called", "what():", "Segmentation", "Aborted (core"):
            self.assertNotIn(noise, result.text)

    def leftovers(self, folder=None):
        return sorted(str(p) for p in (folder or self.folder).rglob("*.tmp"))


def read_tiff(file):
    """The pages of an uncompressed or deflated TIFF, read from the format's specification (TIFF 6.0) alone."""
    data = pathlib.Path(file).read_bytes()
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (at,) = struct.unpack_from(order + "I", data, 4)
    pages = []
    while at:
        (count,) = struct.unpack_from(order + "H", data, at)
        tags = {}
        for i in range(count):
            entry = at + 2 + 12 * i
            tag, kind, values = struct.unpack_from(order + "HHI", data, entry)
            if kind not in (3, 4):
                continue
            code, width = {3: ("H", 2), 4: ("I", 4)}[kind]
            place = entry + 8 if width * values <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            tags[tag] = struct.unpack_from(f"{order}{values}{code}", data, place)
        compression = tags.get(259, (1,))[0]
        if compression not in (1, 8, 32946) or tags.get(317, (1,)) != (1,):
            raise ValueError(f"compression {compression} with a predictor, or unknown")
        width, height, bits = tags[256][0], tags[257][0], tags.get(258, (1,))[0]
        kind = {1: "u", 2: "i", 3: "f"}[tags.get(339, (1,))[0]]
        strips = b"".join(data[o:o + n] if compression == 1 else zlib.decompress(data[o:o + n])
                          for o, n in zip(tags[273], tags[279]))
        pages.append(np.frombuffer(strips, f"{order}{kind}{bits // 8}").reshape(height, width))
        (at,) = struct.unpack_from(order + "I", data, at + 2 + 12 * count)
    return np.stack(pages)


def png_shape(file):
    """(height, width) of a PNG. Checks every chunk's checksum and decompresses the pixels."""
    data = pathlib.Path(file).read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise AssertionError(f"{file} is no PNG")
    at, packed, header, kinds = 8, b"", None, []
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        (crc,) = struct.unpack_from(">I", data, at + 8 + size)
        if crc != zlib.crc32(kind + body):
            raise AssertionError(f"{file}: wrong checksum in {kind}")
        kinds.append(kind)
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        if kind == b"IDAT":
            packed += body
        at += 12 + size
    width, height, bits, colour = header[:4]
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if kinds[-1] != b"IEND" or len(zlib.decompress(packed)) != height * (1 + (width * samples * bits + 7) // 8):
        raise AssertionError(f"{file} is cut short")
    return height, width
