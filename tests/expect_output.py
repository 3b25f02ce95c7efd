#!/usr/bin/python3
"""Runs a command whose output must match: expect_output.py PATTERN COMMAND...

The exit code is the command's own; 1 when the command succeeds and its output (both streams) lacks the pattern. CTest's
PASS_REGULAR_EXPRESSION would ignore the exit code.
"""

import re
import subprocess
import sys


def main():
    pattern, command = sys.argv[1], sys.argv[2:]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    print(result.stdout, end="", flush=True)
    if result.returncode != 0:
        print(f"exit code {result.returncode}: {' '.join(command)}")
        return result.returncode if result.returncode > 0 else 1
    if not re.search(pattern, result.stdout, re.DOTALL):
        print(f"the output lacks the pattern {pattern}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
