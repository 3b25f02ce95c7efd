"""The library that changes the n-th call, and the fork server, do what their comments say."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from program import BINARY, LIBRARY, ForkServer, counts

PYTHON = os.path.realpath(sys.executable)

WRITES = """
import os, sys
fd = os.open("file", os.O_RDWR | os.O_CREAT)
os.write(fd, b"abcdefgh")
os.fsync(fd)
os.close(fd)
os.rename("file", "renamed")
"""
CALLS = "open,write,sync,close,rename"  # one of each, in this order


@unittest.skipUnless(os.path.exists(LIBRARY), "needs TESSERA_NTH_CALL_LIBRARY (built by CMake)")
class Tools(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "under").mkdir()


class NthCall(Tools):

    def run_python(self, script=WRITES, **settings):
        environment = {**os.environ, "LD_PRELOAD": LIBRARY, "TESSERA_NTH_PROGRAM": os.path.basename(PYTHON),
                       "TESSERA_NTH_UNDER": str(self.folder / "under"), "TESSERA_NTH_CALL": CALLS,
                       **{f"TESSERA_NTH_{k}" if k else "TESSERA_NTH": str(v) for k, v in settings.items()}}
        return subprocess.run([PYTHON, "-c", script], env=environment, cwd=self.folder / "under", capture_output=True,
                              text=True, timeout=30)

    def test_counts_each_kind_below_the_folder(self):
        result = self.run_python(COUNT=self.folder / "counts")
        self.assertEqual(result.returncode, 0, result)
        found = counts(self.folder / "counts")
        for kind in CALLS.split(","):
            self.assertEqual(found[kind], 1, found)
        self.assertEqual((found["all"], found["read"]), (5, 0))

    def test_fails_the_nth_call_alone(self):
        for n, reason in ((1, errno.EACCES), (2, errno.ENOSPC), (3, errno.EIO), (4, errno.EDQUOT), (5, errno.EXDEV)):
            with self.subTest(n=n):
                log = self.folder / f"log{n}"
                result = self.run_python(**{"": n, "ERRNO": reason, "LOG": log})
                self.assertEqual(result.returncode, 1, result)
                self.assertIn(os.strerror(reason), result.stderr)
                self.assertRegex(log.read_text(), rf"^{CALLS.split(',')[n - 1]} {n} {self.folder}/under/(file|renamed)\n$")
        self.assertEqual(self.run_python(**{"": 6}).returncode, 0)

    def test_kills_before_or_after_half(self):
        for n, how, size in ((2, "kill", 0), (2, "tear", 4), (3, "kill", 8)):
            with self.subTest(n=n, how=how):
                (self.folder / "under/file").unlink(missing_ok=True)
                result = self.run_python(**{"": n, "DO": how})
                self.assertEqual(result.returncode, -9, result)
                self.assertEqual((self.folder / "under/file").stat().st_size, size)

    def test_transfers_half(self):
        self.assertEqual(self.run_python(**{"": 2, "DO": "short", "TIMES": 1}).returncode, 0)
        self.assertEqual((self.folder / "under/renamed").read_bytes(), b"abcd")

    def test_sleeps(self):
        begin = time.monotonic()
        self.assertEqual(self.run_python(**{"": 3, "DO": "sleep", "SLEEP_MS": 700}).returncode, 0)
        self.assertGreater(time.monotonic() - begin, 0.7)

    def test_fails_threads_and_memory(self):
        script = "import threading\nt = threading.Thread(target=lambda: None)\nt.start()\nt.join()"
        self.assertIn("can't start new thread", self.run_python(script, CALL="thread", **{"": 1}).stderr)
        script = "bytearray(100000000)"
        self.assertEqual(self.run_python(script, CALL="memory", MIN=100000000).returncode, 0)
        self.assertIn("MemoryError", self.run_python(script, CALL="memory", MIN=100000000, ERRNO=12, **{"": 1}).stderr)
        self.assertEqual(self.run_python(script, CALL="new", MIN=100000000, ERRNO=12, **{"": 1}).returncode, 0, "it is not C++")

    @unittest.skipUnless(os.access(BINARY, os.X_OK), "needs TESSERA_BINARY")
    def test_fails_operator_new_of_tessera(self):
        def start(n):
            (self.folder / "counts").unlink(missing_ok=True)
            environment = {**os.environ, "LD_PRELOAD": LIBRARY, "TESSERA_NTH_CALL": "new", "TESSERA_NTH": str(n), "TESSERA_NTH_MIN": "64",
                           "TESSERA_NTH_PROGRAM": os.path.basename(BINARY), "TESSERA_NTH_COUNT": str(self.folder / "counts")}
            return subprocess.run([BINARY, "help", "train"], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(start(0).returncode, 0)
        count = counts(self.folder / "counts")["new"]
        self.assertGreater(count, 100)
        result = start(count // 2)
        self.assertEqual((result.returncode, result.stdout), (1, ""), result)
        self.assertRegex(result.stderr, "^error: out of memory")


class Server(Tools):
    """With Python as the program: the server knows nothing of tessera."""

    def setUp(self):
        super().setUp()
        self.server = ForkServer(self.folder, PYTHON)
        self.addCleanup(self.server.close)
        self.settings = {"TESSERA_NTH_PROGRAM": os.path.basename(PYTHON), "TESSERA_NTH_UNDER": str(self.folder / "under"),
                         "TESSERA_NTH_CALL": CALLS}

    def run_script(self, script, timeout=30, arguments=(), **environment):
        return self.server.run(["-c", script, *arguments], self.folder / "under", timeout, environment=environment)

    def test_passes_arguments_folder_and_environment(self):
        for word in ("b c", ""):
            outcome = self.run_script("import os, sys\nprint(os.getcwd(), sys.argv[1:], os.environ.get('A'), 'LD_PRELOAD' in os.environ)",
                                      arguments=["x y"], A=word)
            self.assertEqual((outcome.code, outcome.text), (0, f"{self.folder}/under ['x y'] {word} False\n"))
        self.assertEqual(self.run_script("raise SystemExit(7)").code, 7)

    def test_counts_from_the_fork_on(self):
        for _ in range(2):
            (self.folder / "counts").unlink(missing_ok=True)
            outcome = self.run_script(WRITES, **self.settings, TESSERA_NTH_COUNT=str(self.folder / "counts"))
            self.assertEqual(outcome.code, 0, outcome)
            self.assertEqual(counts(self.folder / "counts")["all"], 5)
        outcome = self.run_script(WRITES, **self.settings, TESSERA_NTH="5", TESSERA_NTH_ERRNO=str(errno.EDQUOT))
        self.assertEqual(outcome.code, 1, outcome)
        self.assertIn(os.strerror(errno.EDQUOT), outcome.text)

    def test_kills_what_hangs(self):
        outcome = self.run_script("import time\ntime.sleep(60)", timeout=0.5)
        self.assertEqual((outcome.hung, outcome.code, outcome.crashed()), (True, None, False))
        self.assertEqual(self.run_script("").code, 0)

    def test_reports_a_signal(self):
        outcome = self.run_script(WRITES, **self.settings, TESSERA_NTH="3", TESSERA_NTH_DO="kill")
        self.assertEqual((outcome.code, outcome.signal, outcome.crashed()), (None, 9, True))
        self.assertEqual((self.folder / "under/file").read_bytes(), b"abcdefgh")

    def test_limits_memory(self):
        self.server.start(["-c", "bytearray(1 << 32)"], self.folder, memory=1 << 30)
        self.assertIn("MemoryError", self.server.wait(30).text)


if __name__ == "__main__":
    unittest.main()
