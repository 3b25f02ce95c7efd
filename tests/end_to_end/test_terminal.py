"""What a person sees: progress, messages and tables on a terminal of 80, 120 and 200 columns, and without one."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from fork_server import BINARY, clean_environment
from harness import MPIRUN, Case

ESCAPE = "\033"


class Screen:
    """The lines of a terminal without limits: carriage return, line feed, erase to the end of the line, colours."""

    def __init__(self, data):
        self.lines, self.column, self.widest, self.colours, self.redrawn = [""], 0, 0, [], []
        for escape, code, letter, character in re.findall(r"(\033\[([\d;]*)([A-Za-z]))|(.)", data, re.DOTALL):
            if escape:
                if letter == "K":
                    self.lines[-1] = self.lines[-1][:self.column]
                elif letter == "m":
                    self.colours.append(code)
                else:
                    raise AssertionError(f"unknown escape sequence {escape!r}")
            elif character == "\r":
                self.redrawn.append(self.lines[-1])
                self.column = 0
            elif character == "\n":
                self.lines.append("")
                self.column = 0
            else:
                line = self.lines[-1]
                self.lines[-1] = line[:self.column] + character + line[self.column + 1:]
                self.column += 1
                self.widest = max(self.widest, self.column)

    @property
    def text(self):
        return "\n".join(self.lines)


def on_terminal(arguments, folder, columns, ranks=0, environment=None, timeout=60):
    """(exit code, Screen) of a command on a terminal of its own. `ranks` above 0: under mpirun."""
    launcher = [MPIRUN, "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks else []
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**clean_environment(), "TERM": "xterm", **(environment or {})}
    process = subprocess.Popen([*launcher, BINARY, *map(str, arguments)], cwd=folder, stdin=slave, stdout=slave, stderr=slave,
                               start_new_session=True, env=environment)
    os.close(slave)
    data, end = b"", time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            if not select.select([master], [], [], 0.1)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                data += os.read(master, 65536)
            except OSError:  # the last process has closed the terminal
                break
        return process.wait(max(1, end - time.monotonic())), Screen(data.decode(errors="replace"))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(master)


class Terminal(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("seen", {"train": {"iterations": 30, "validate_every": 15, "checkpoint_every": 30, "minutes": 5}})

    def assert_fits(self, screen, columns):
        self.assertLessEqual(screen.widest, columns, screen.text)
        self.assertGreater(screen.widest, 40, screen.text)

    def test_training_fits_every_width(self):
        for columns, ranks in ((80, 0), (80, 3), (120, 3), (200, 0), (200, 3)):
            with self.subTest(columns=columns, ranks=ranks):
                code, screen = on_terminal(["train", self.yaml, "--overwrite"], self.folder, columns, ranks)
                self.assertEqual(code, 0, screen.text)
                self.assert_fits(screen, columns)
                bars = [line for line in screen.redrawn if re.match(r"train +\d+ % \[", line)]
                self.assertGreaterEqual(len(bars), 1, screen.redrawn)
                self.assertRegex(screen.text, r"train 100 % \[#+\].* in \d+ s")
                self.assertRegex(screen.text, r"30 of 30 iterations")
                self.assertNotIn("[rank 0]", screen.text)
                self.assertNotRegex(screen.text, r"(?m)^info: ")
                self.assertRegex(screen.text, rf"(?m)^next: {f'mpirun -n {ranks} ' if ranks else ''}tessera infer {self.yaml}$")

    def test_the_bar_is_narrower_than_the_window(self):
        """A line as wide as the window would be wrapped by some terminals."""
        _, screen = on_terminal(["train", self.yaml, "--overwrite"], self.folder, 80)
        self.assertLessEqual(max(map(len, screen.redrawn)), 80)
        self.assertTrue(all(len(line) < 80 for line in screen.redrawn if line.startswith("train ")), screen.redrawn)

    def test_errors_are_coloured(self):
        for ranks in self.ranks_tried:
            for no_colour in ("", "1"):
                code, screen = on_terminal(["infer", self.yaml, "--set", "infer.raw=nowhere.h5:/raw"], self.folder, 80, ranks,
                                           {"NO_COLOR": no_colour})
                self.assertIn(code, (1, 2), screen.text)
                self.assertRegex(screen.text, r"(?m)^error: ")
                self.assertEqual(screen.colours[:2], [] if no_colour else ["1;31", "0"], screen.text)

    def test_no_escape_codes_without_a_terminal(self):
        for ranks in self.ranks_tried:
            for arguments in (["train", self.yaml, "--overwrite"], ["infer", self.yaml, "--restart"], ["evaluate", self.yaml]):
                result = self.start(arguments, ranks).finish(60)
                self.assertEqual(result.code, 0, result)
                self.assertNotIn(ESCAPE, result.text)
                self.assertNotIn("\r", result.text)
                self.assertNotIn("[rank 0]", result.text)
                self.assertEqual(len(re.findall(r"(?m)^next: ", result.stdout)), 1, result)
        self.assertNotIn(ESCAPE, (self.folder / "runs/seen/log.txt").read_text())

    def test_progress_as_asked(self):
        always = self.start(["train", self.yaml, "--overwrite", "--progress", "always"], environment={"COLUMNS": "100"}).finish(60)
        self.assertEqual(always.code, 0, always)
        screen = Screen(always.stderr)
        self.assertTrue(any(line.startswith("train ") and "[" in line for line in screen.redrawn), always)
        self.assertLess(max(map(len, (line for line in screen.redrawn if line.startswith("train ")))), 100)
        code, screen = on_terminal(["train", self.yaml, "--overwrite", "--progress=never"], self.folder, 80, 3)
        self.assertEqual(code, 0, screen.text)
        self.assertFalse([line for line in screen.redrawn if re.match(r"train +\d+ %", line)])
        self.assert_one_error(self.start(["train", self.yaml, "--progress", "loud"]).finish(60), 2, ["auto, always or never"])

    def test_mpirun_that_labels_lines_gets_no_bar(self):
        code, screen = on_terminal(["train", self.yaml, "--overwrite"], self.folder, 80, 3, {"OMPI_MCA_orte_tag_output": "1"})
        self.assertEqual(code, 0, screen.text)
        self.assertFalse([line for line in screen.redrawn if re.search(r"train +\d+ % \[", line)])

    def test_tables_fit_100_columns(self):
        self.start(["train", self.yaml, "--overwrite"]).finish(60)
        self.start(["infer", self.yaml, "--restart"]).finish(60)
        probability = self.start(["evaluate", self.yaml]).finish(60)
        self.write_volumes("copy.h5", {"p": self.read("stack.h5:/volumes/labels/instances")})
        labels = self.start(["evaluate", "--prediction", "copy.h5:/p", "--labels",
                             "stack.h5:/volumes/labels/instances", "--kind", "labels"]).finish(60)
        for result, heading in ((probability, "V^Rand_thin"), (labels, "VOI split")):
            self.assertEqual(result.code, 0, result)
            self.assertIn(heading, result.stdout)
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100, result)


if __name__ == "__main__":
    unittest.main()
