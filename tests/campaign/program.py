"""Starts tessera for the campaign: by a fork server in hundredths of a second, or on several ranks by mpirun.

Environment: TESSERA_BINARY the program, TESSERA_NTH_CALL_LIBRARY the library of tests/fault/nth_call.c and fork_server.c,
TESSERA_MPIRUN the launcher.
"""

import os
import pathlib
import re
import struct
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/end_to_end"))

from fork_server import BINARY, LIBRARY, ONE_THREAD, ForkServer, Outcome  # noqa: E402, F401
from harness import Process  # noqa: E402

KINDS = ("read", "write", "open", "close", "sync", "rename", "truncate", "unlink", "mkdir", "lock", "stat", "list", "thread",
         "memory", "map")
# mpirun waits so long between SIGTERM and SIGKILL for what is left of a job that lost a rank.
QUICK = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}


def command_line(arguments, environment=None, ranks=0):
    """What a user types to repeat it, from the folder of the case."""
    words = [f"{k}='{v}'" for k, v in sorted((environment or {}).items())]
    if any(k.startswith("TESSERA_NTH") for k in (environment or {})):
        words.append(f"LD_PRELOAD={LIBRARY}")
    if ranks:
        words.append(f"mpirun -n {ranks} --oversubscribe")
    return " ".join([*words, BINARY, *(f"'{a}'" if re.search(r"[^\w./:=,+-]", str(a)) else str(a) for a in arguments)])


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
