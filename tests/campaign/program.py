"""Starts tessera for the campaign: by a fork server in hundredths of a second, or on several ranks by mpirun.

Environment: TESSERA_BINARY the program, TESSERA_NTH_CALL_LIBRARY the library of tests/fault/nth_call.c and fork_server.c,
TESSERA_MPIRUN the launcher.
"""

import bisect
import functools
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
         "memory", "map", "new")
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


@functools.cache
def _symbols():
    """(addresses, names) of the program's functions, sorted."""
    listed = subprocess.run(["nm", "-C", BINARY], capture_output=True, text=True, timeout=120).stdout
    found = sorted((int(line[:16], 16), line[19:]) for line in listed.splitlines() if re.match(r"[0-9a-f]{16} [tTwW] ", line))
    return [address for address, _ in found], [name for _, name in found]


def innermost_functions(text, most=3):
    """The names of the innermost functions of the program in the backtrace that it prints when it crashes. The first is libstdc++
    where a function of that library ended the program: one that is noexcept and throws."""
    places = re.findall(rf"{re.escape(BINARY)}\(\+0x([0-9a-f]+)\)", text)[:most]
    addresses, names = _symbols() if places else ([], [])
    found = [names[max(0, bisect.bisect_right(addresses, int(place, 16)) - 1)] for place in places if addresses]
    library = re.search(r"libgcc_s\S*\n/\S*libstdc\+\+|\(_ZNSt10filesystem", text) is not None
    return ["libstdc++"] * library + list(dict.fromkeys(name.split("(")[0].split("<")[0] for name in found))


def counts(file):
    """{kind: number of calls} of TESSERA_NTH_COUNT=file; `all` is the sum."""
    numbers = struct.unpack(f"<{1 + len(KINDS)}q", pathlib.Path(file).read_bytes())
    return dict(zip(("all", *KINDS), numbers))
