#!/usr/bin/python3
"""Runs the harnesses of a build of the preset `fuzz` and prints a table: run.py BUILD CORPUS [--minutes 10] [--readers yaml,png].
The exit code is 1 if a harness found something; its input is in CORPUS/found. make_corpus.py makes CORPUS."""

import argparse
import os
import pathlib
import re
import subprocess
import sys


def run(harness, corpus, found, seconds, most_bytes):
    """(executions, findings) of one harness. A finding does not end it: libFuzzer's fork mode goes on."""
    found.mkdir(parents=True, exist_ok=True)
    command = [harness, "-fork=1", "-ignore_crashes=1", "-ignore_timeouts=1", "-ignore_ooms=1", "-timeout=20", "-rss_limit_mb=4096",
               "-malloc_limit_mb=2048", f"-max_len={most_bytes}", f"-max_total_time={seconds}", f"-artifact_prefix={found}/", corpus]
    environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE", "ASAN_OPTIONS": "detect_leaks=0"}
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                            timeout=seconds + 300, env=environment)
    counts = re.findall(r"^#(\d+)", result.stdout, re.MULTILINE)
    if not counts:
        raise AssertionError(f"{harness} did not run:\n{result.stdout[-2000:]}")
    return int(counts[-1]), sorted(found.iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=10, help="for each harness (10)")
    parser.add_argument("--readers", help="only these")
    options = parser.parse_args()
    harnesses = sorted(p for p in (options.build / "tests/fuzz").glob("fuzz_*") if os.access(p, os.X_OK) and p.is_file())
    if not harnesses:
        raise SystemExit(f"no harness in {options.build}/tests/fuzz: cmake --build --preset fuzz")
    print("| reader | executions | found |\n| --- | ---: | ---: |", flush=True)
    wrong = 0
    for harness in harnesses:
        reader = harness.name.removeprefix("fuzz_")
        if options.readers and reader not in options.readers.split(","):
            continue
        text = reader in ("yaml", "json", "metrics", "names")
        executions, found = run(harness, options.corpus / reader, options.corpus / "found" / reader, int(60 * options.minutes),
                                20000 if text else 300000)
        print(f"| {reader} | {executions:,} | {len(found)} |", flush=True)
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
