#!/usr/bin/python3
"""Runs one file of tests: run.py FILE.py [TestClass.test_name ...]

Exit code 0 when all tests passed, 77 (CTest: skipped) when all were skipped, else 1.
"""

import os
import pathlib
import sys
import time
import unittest


class CountingResult(unittest.TextTestResult):
    """Counts passed tests and prints the time of each test."""

    passed = 0

    def startTest(self, test):
        self.begin = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    def stopTest(self, test):
        super().stopTest(test)
        print(f"    {time.monotonic() - self.begin:.1f} s", file=sys.stderr)


def main():
    file = pathlib.Path(sys.argv[1]).resolve()
    sys.path[:0] = [str(file.parent), str(pathlib.Path(__file__).resolve().parent)]
    os.chdir("/")  # no test may depend on the current folder
    sys.dont_write_bytecode = True
    try:
        import h5py  # noqa: F401
        import numpy  # noqa: F401
    except ImportError as error:
        print(f"SKIPPED: {error} (Debian: python3-numpy python3-h5py)")
        return 77
    module = __import__(file.stem)
    loader = unittest.TestLoader()
    tests = loader.loadTestsFromNames(sys.argv[2:], module) if sys.argv[2:] else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(resultclass=CountingResult, verbosity=2, buffer=False).run(tests)
    if not result.wasSuccessful():
        return 1
    if result.passed == 0:
        for _, reason in result.skipped:
            print(f"SKIPPED: {reason}")
        return 77 if result.skipped else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
