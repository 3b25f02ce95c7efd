"""Starts tessera for the campaign: by a fork server in hundredths of a second, or on several ranks by mpirun.

Environment: TESSERA_BINARY the program, TESSERA_NTH_CALL_LIBRARY the library of tests/fault/nth_call.c and fork_server.c,
TESSERA_MPIRUN the launcher.
"""

import os
import pathlib
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/end_to_end"))

from harness import BINARY, Process, clean_environment  # noqa: E402

LIBRARY = os.environ.get("TESSERA_NTH_CALL_LIBRARY", str(SOURCE / "build/dev/tests/fault/libtessera_nth_call.so"))
KINDS = ("read", "write", "open", "close", "sync", "rename", "truncate", "unlink", "mkdir", "lock", "stat", "list", "thread",
         "memory", "map")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# mpirun waits so long between SIGTERM and SIGKILL for what is left of a job that lost a rank.
QUICK = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}


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


def command_line(arguments, environment=None, ranks=0):
    """What a user types to repeat it, from the folder of the case."""
    words = [f"{k}='{v}'" for k, v in sorted((environment or {}).items())]
    if any(k.startswith("TESSERA_NTH") for k in (environment or {})):
        words.append(f"LD_PRELOAD={LIBRARY}")
    if ranks:
        words.append(f"mpirun -n {ranks} --oversubscribe")
    return " ".join([*words, BINARY, *(f"'{a}'" if re.search(r"[^\w./:=,+-]", str(a)) else str(a) for a in arguments)])


class ForkServer:
    """One tessera that waits for requests. One process at a time; use one server per thread."""

    def __init__(self, scratch, binary=BINARY, environment=None):
        self._scratch = pathlib.Path(tempfile.mkdtemp(dir=scratch, prefix="server_"))
        self._binary, self._environment = binary, environment or {}
        self._server = None
        self._running = 0

    def _start(self):
        to_read, to_write = os.pipe(), os.pipe()
        environment = {**clean_environment(), **ONE_THREAD, **self._environment, "LD_PRELOAD": LIBRARY,
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


def run_ranks(arguments, cwd, ranks, timeout=60, environment=None, during=None):
    """Runs under mpirun. during(process): called once it was started, may kill it. Every process of the job is gone when it
    returns. Returns an Outcome."""
    preload = {"LD_PRELOAD": LIBRARY} if any(k.startswith("TESSERA_NTH") for k in environment or {}) else {}
    process = Process(arguments, ranks, cwd, environment={**ONE_THREAD, **QUICK, **preload, **(environment or {})})
    try:
        begin, hung = time.monotonic(), False
        if during is not None:
            during(process)
        try:
            process.process.wait(timeout)
        except subprocess.TimeoutExpired:
            hung = True
            process.kill()
        code = process.process.returncode
        process.kill()  # what a killed mpirun left behind
        return Outcome(arguments, None if hung or code < 0 else code, -code if code < 0 and not hung else 0, process.text(),
                       time.monotonic() - begin, hung, environment, ranks)
    finally:
        process.close()


def counts(file):
    """{kind: number of calls} of TESSERA_NTH_COUNT=file; `all` is the sum."""
    numbers = struct.unpack(f"<{1 + len(KINDS)}q", pathlib.Path(file).read_bytes())
    return dict(zip(("all", *KINDS), numbers))
