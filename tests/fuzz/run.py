#!/usr/bin/python3
"""Runs the harnesses of a build of the preset `fuzz` and prints a table: run.py BUILD CORPUS [--minutes 10] [--executions 1000000].
The exit code is 1 if a harness found something; its input is in CORPUS/found, its output in CORPUS/log. make_corpus.py makes CORPUS."""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

# Twice as many executions as with the defaults. A null pointer for an impossible size is what the system's malloc() gives, too.
SANITIZER = ("detect_leaks=0:malloc_context_size=0:max_malloc_fill_size=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=16:"
             "allocator_may_return_null=1")
LATE = 300  # seconds that a harness may take beyond its time


def run(harness, corpus, found, log, seconds, executions, most_bytes):
    """(executions, seconds, findings of this run) of one harness. A finding does not end it: libFuzzer's fork mode goes on."""
    found.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    old = set(found.iterdir())
    command = [harness, "-fork=1", "-ignore_crashes=1", "-ignore_timeouts=1", "-ignore_ooms=1", "-timeout=20", "-rss_limit_mb=4096",
               "-malloc_limit_mb=2048", f"-max_len={most_bytes}", f"-max_total_time={seconds}", f"-artifact_prefix={found}/"]
    if executions:
        command.append(f"-runs={executions}")
    environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE", "ASAN_OPTIONS": SANITIZER}
    begin = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen([*command, corpus], stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        try:
            process.wait(seconds + LATE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = log.read_text(errors="replace")
    counts = re.findall(r"^#(\d+)", text, re.MULTILINE)
    if not counts:
        raise AssertionError(f"{harness} did not run:\n{text[-2000:]}")
    return int(counts[-1]), time.monotonic() - begin, sorted(set(found.iterdir()) - old)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=10, help="for each harness, at most (10)")
    parser.add_argument("--executions", type=int, help="of each harness, about; default: as many as the minutes allow")
    parser.add_argument("--readers", help="only these")
    options = parser.parse_args()
    harnesses = sorted(p for p in (options.build / "tests/fuzz").glob("fuzz_*") if os.access(p, os.X_OK) and p.is_file())
    if not harnesses:
        raise SystemExit(f"no harness in {options.build}/tests/fuzz: cmake --build --preset fuzz")
    print("| reader | executions | a second | found |\n| --- | ---: | ---: | ---: |", flush=True)
    total, wrong = 0, 0
    for harness in harnesses:
        reader = harness.name.removeprefix("fuzz_")
        if options.readers and reader not in options.readers.split(","):
            continue
        text = reader in ("yaml", "json", "metrics", "names")
        executions, seconds, found = run(harness, options.corpus / reader, options.corpus / "found" / reader,
                                         options.corpus / "log" / f"{reader}.txt", int(60 * options.minutes), options.executions,
                                         20000 if text else 300000)
        print(f"| {reader} | {executions:,} | {executions / seconds:,.0f} | {len(found)} |", flush=True)
        total, wrong = total + executions, wrong + len(found)
    print(f"| all | {total:,} | | {wrong} |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
