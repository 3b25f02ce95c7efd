"""Tests can fail: none ignores an exit code, and none is skipped by an error of the code under test."""

import pathlib
import re
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXPECT_OUTPUT = SOURCE / "tests/expect_output.py"

# CTest ignores the exit code of a test that has one of these properties.
IGNORES_EXIT_CODE = re.compile(r"\b(PASS_REGULAR_EXPRESSION|WILL_FAIL)\b")
# A `catch` of errors whose body skips the test.
SKIPPED_BY_ERROR = re.compile(r"catch \([^)]*\) \{[^}]*GTEST_SKIP")
SKIPPED_BY_ERROR_IN_PYTHON = re.compile(r"except[^\n]*\b(AssertionError|Exception|RuntimeError)\b[^\n]*:\n([^\n]*\n)?\s+(self\.skipTest|raise unittest\.SkipTest)")


def texts(suffixes):
    for file in sorted((SOURCE / "tests").rglob("*")):
        if file.suffix in suffixes and file.resolve() != pathlib.Path(__file__).resolve():
            yield str(file.relative_to(SOURCE)), file.read_text()


class Tests(unittest.TestCase):

    def test_heed_the_exit_code(self):
        files = dict(texts({".txt", ".cmake"}))
        self.assertGreater(len(files), 5)
        self.assertEqual([name for name, text in files.items() if IGNORES_EXIT_CODE.search(re.sub(r"#.*", "", text))], [])

    def test_are_not_skipped_by_an_error(self):
        files = dict(texts({".cpp", ".h", ".cu"}))
        self.assertGreater(len(files), 50)
        self.assertEqual([name for name, text in files.items() if SKIPPED_BY_ERROR.search(text)], [])
        files = dict(texts({".py"}))
        self.assertGreater(len(files), 20)
        self.assertEqual([name for name, text in files.items() if SKIPPED_BY_ERROR_IN_PYTHON.search(text)], [])

    def test_the_patterns_find_such_tests(self):
        self.assertTrue(SKIPPED_BY_ERROR.search("} catch (const UsageError& error) {\n    GTEST_SKIP() << error.what();\n"))
        self.assertFalse(SKIPPED_BY_ERROR.search("} catch (const UsageError& error) {\n  FAIL();\n}\nGTEST_SKIP();"))
        self.assertTrue(SKIPPED_BY_ERROR_IN_PYTHON.search("except AssertionError as e:\n    self.skipTest(str(e))"))


class ExpectOutput(unittest.TestCase):

    def code_of(self, pattern, script):
        return subprocess.run([sys.executable, EXPECT_OUTPUT, pattern, "/bin/sh", "-c", script], capture_output=True, timeout=30).returncode

    def test_needs_the_pattern_and_success(self):
        self.assertEqual(self.code_of("one.*two", "echo one; echo two >&2"), 0)
        self.assertEqual(self.code_of("one", "echo one; exit 3"), 3)
        self.assertEqual(self.code_of("one", "echo one; kill -9 $$"), 1)
        self.assertEqual(self.code_of("one", "echo another"), 1)
        self.assertEqual(self.code_of("one", "exit 77"), 77)


if __name__ == "__main__":
    unittest.main()
