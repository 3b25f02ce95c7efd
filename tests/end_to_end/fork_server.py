"""Starts programs by a fork server, in hundredths of a second (tests/fault/fork_server.c).

Environment: TESSERA_BINARY the program, TESSERA_NTH_CALL_LIBRARY the library of tests/fault/nth_call.c and fork_server.c,
TESSERA_START_RANK the program of start_rank.c.
"""

import os
import pathlib
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TESSERA_BINARY", str(SOURCE / "build/dev/pipeline/tessera"))
LIBRARY = os.environ.get("TESSERA_NTH_CALL_LIBRARY", str(SOURCE / "build/dev/tests/fault/libtessera_nth_call.so"))
START_RANK = os.environ.get("TESSERA_START_RANK", str(SOURCE / "build/dev/tests/fault/tessera_start_rank"))
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def clean_environment():
    """This environment without a launcher's variables. With them, tessera would detect a launcher."""
    launcher = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(launcher)}
    environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return environment


class Outcome:
    """How a process ended. code: the exit code, or None. signal: of a process that a signal ended. hung: it did not end
    within its time and was killed."""

    def __init__(self, arguments, code, number, text, seconds, hung=False, environment=None, ranks=0, stdout=""):
        self.arguments, self.code, self.signal, self.text = list(map(str, arguments)), code, number, text
        self.seconds, self.hung, self.environment, self.ranks = seconds, hung, dict(environment or {}), ranks
        self.stdout = stdout

    def errors(self):
        return re.findall(r"^(?:\[rank \d+\] )?(?:error|critical): (.*)", self.text, re.MULTILINE)

    def crashed(self):
        """Whether a signal ended it, or an abort under mpirun, or the C++ runtime."""
        if self.hung:
            return False
        if self.signal or "terminate called" in self.text or "Signal code:" in self.text:
            return True
        return self.ranks > 0 and self.code is not None and self.code > 128

    def __str__(self):
        end = "hung" if self.hung else f"signal {self.signal}" if self.signal else f"exit code {self.code}"
        return f"{end} after {self.seconds:.1f} s\n{self.text[-3000:]}"


class ForkServer:
    """One program that waits for requests. One process at a time; use one server per thread. environment: of the server;
    what libraries read when they are loaded cannot be changed for one process. preload: libraries, separated by colons."""

    def __init__(self, scratch=None, binary=BINARY, environment=None, preload=""):
        self._scratch = pathlib.Path(tempfile.mkdtemp(dir=scratch, prefix="server_"))
        self._binary, self._environment = binary, environment or {}
        self._preload = f"{LIBRARY}:{preload}" if preload else LIBRARY
        self._server = None
        self._running = 0

    def _start(self):
        to_read, to_write = os.pipe(), os.pipe()
        environment = {**clean_environment(), **ONE_THREAD, **self._environment, "LD_PRELOAD": self._preload,
                       "TESSERA_FORK_SERVER": f"{to_read[0]},{to_write[1]}"}
        self._server = subprocess.Popen([self._binary], env=environment, stdin=subprocess.DEVNULL,
                                        pass_fds=(to_read[0], to_write[1]), start_new_session=True)
        os.close(to_read[0])
        os.close(to_write[1])
        self._to, self._from = to_read[1], to_write[0]
        if self._reply(120) is None:
            raise AssertionError(f"{self._binary} does not start as a fork server with {LIBRARY}")

    def _reply(self, timeout):
        """The next number that the server sends, or None after `timeout` seconds. Errors: EOFError."""
        ready, _, _ = select.select([self._from], [], [], max(0, timeout))
        if not ready:
            return None
        data = os.read(self._from, 4)
        if len(data) != 4:
            self._server = None
            raise EOFError("the fork server ended")
        return struct.unpack("<i", data)[0]

    def start(self, arguments, cwd, environment=None, memory=0, stdout=None):
        """Starts a process; wait() ends it. memory: the limit of the address space in bytes."""
        if self._server is None:
            self._start()
        changes = [f"{k}={v}" for k, v in (environment or {}).items()]
        request = [cwd, stdout or self._scratch / "out", self._scratch / "err", memory, len(changes), *changes, *arguments]
        message = b"".join(os.fsencode(str(item)) + b"\0" for item in request)
        os.write(self._to, struct.pack("<I", len(message)) + message)
        self._about = (arguments, environment)
        self._begin = time.monotonic()
        self._running = self._reply(60)
        return self._running

    def kill(self):
        """SIGKILL to the process and to those that it started."""
        for kill, pid in ((os.killpg, self._running), (os.kill, self._running)):
            try:
                kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    def wait(self, timeout):
        """The Outcome. A process that runs longer than `timeout` seconds is killed and counts as hung."""
        status, hung = self._reply(timeout - (time.monotonic() - self._begin)), False
        if status is None:
            hung = True
            self.kill()
            status = self._reply(60)
        seconds = time.monotonic() - self._begin
        out, errors = ((self._scratch / name).read_bytes()[-1 << 20:].decode(errors="replace")
                       if (self._scratch / name).exists() else "" for name in ("out", "err"))
        code = os.waitstatus_to_exitcode(status)
        arguments, environment = self._about
        return Outcome(arguments, code if code >= 0 and not hung else None, -code if code < 0 and not hung else 0, out + errors,
                       seconds, hung, environment, stdout=out)

    def run(self, arguments, cwd, timeout=30, **how):
        self.start(arguments, cwd, **how)
        return self.wait(timeout)

    def close(self):
        if self._server is not None:
            os.close(self._to)
            os.close(self._from)
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                os.kill(self._server.pid, signal.SIGKILL)
                self._server.wait()
            self._server = None
        shutil.rmtree(self._scratch, ignore_errors=True)


class RankServer:
    """One program that starts ranks of mpirun, any number at a time. Between mpirun and the program put `through`, in place of
    the program's name. environment and preload: as for ForkServer."""

    def __init__(self, binary=BINARY, environment=None, preload=""):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="ranks_"))
        path = self._folder / "s"
        to_read, self._alive = os.pipe()
        self._server = subprocess.Popen(
            [binary], stdin=subprocess.DEVNULL, pass_fds=(to_read,), start_new_session=True,
            env={**clean_environment(), **(environment or {}), "LD_PRELOAD": f"{LIBRARY}:{preload}" if preload else LIBRARY,
                 "TESSERA_RANK_SERVER": f"{path},{to_read}"})
        os.close(to_read)
        end = time.monotonic() + 60
        while not path.exists():
            if self._server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{binary} does not start as a rank server with {LIBRARY}")
            time.sleep(0.01)
        self.through = [START_RANK, str(path)]

    def close(self):
        os.close(self._alive)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
