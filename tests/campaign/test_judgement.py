"""What the campaign asks for can be missed: each rule finds the fault that it is for, and accepts what is right."""

import dataclasses
import json
import pathlib
import random
import shutil
import tempfile
import unittest

import bench
import contents
import mutations
from faults import chosen
from program import Outcome
from verbs import Verb

WRITER = Verb("writer", ["export", "in.h5:/a", "out.tif"], [])
READER = Verb("reader", ["info", "in.h5"], [], writes=False, stdout=True)
RESUMER = Verb("resumer", ["infer", "e.yaml"], [], resumes=True, results=r"^out\.tif")


class Judgement(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.write(**{"out.tif": b"old", "in.h5": b"input"})
        before = contents.of_folder(self.folder)
        self.write(**{"out.tif": b"new", "run.json": json.dumps({"score": 1, "rate": 5}).encode()})
        first = contents.of_folder(self.folder)
        self.write(**{"run.json": json.dumps({"score": 1, "rate": 6}).encode()})
        self.reference = contents.Reference(before, [first, contents.of_folder(self.folder)])
        self.lines = {"/a (3, 4, 5) uint8", "/b (3, 4, 5) uint8"}

    def write(self, **files):
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    def judge(self, code=0, text="", verb=WRITER, number=0, hung=False, stdout=""):
        outcome = Outcome(verb.arguments, None if number or hung else code, number, text, 1, hung, stdout=stdout)
        return bench.after_fault(verb, (self.reference, 1, self.lines), outcome, self.folder)

    def assert_found(self, findings, kind, pattern):
        self.assertEqual([k for k, _ in findings], [kind], findings)
        self.assertRegex(findings[0][1], pattern)

    def test_the_right_result_is_right(self):
        self.assertEqual(self.judge(), [])
        self.write(**{"run.json": json.dumps({"score": 1, "rate": 9}).encode(), "log.txt": b"anything"})
        self.assertEqual(self.judge(), [], "a rate differs from run to run, a log is free")

    def test_times_in_a_page_do_not_count(self):
        def page(text):
            self.write(**{"report.html": text.encode()})
            return contents.of_file(self.folder / "report.html")
        one = page("<p>written 2026-12-01T16:34:10Z, done in 1.5 s, 4 iterations</p>")
        self.assertEqual(one, page("<p>written 2027-01-02T03:04:05Z, done in 20 s, 4 iterations</p>"))
        self.assertNotEqual(one, page("<p>written 2026-12-01T16:34:10Z, done in 1.5 s, 5 iterations</p>"))
        self.assertNotEqual(one, page("<p>written 2026-12-01T16:34:10Z, done in 1.5 s, 4 sections</p>"))

    def test_another_result_is_wrong(self):
        self.write(**{"run.json": json.dumps({"score": 2, "rate": 5}).encode()})
        self.assert_found(self.judge(), "wrong", "exit code 0, run.json: differs in /score")
        self.setUp()
        (self.folder / "run.json").unlink()
        self.assert_found(self.judge(), "wrong", "run.json: missing")
        self.setUp()
        self.write(**{"run.json": b"{"})
        self.assert_found(self.judge(), "wrong", "run.json: JSONDecodeError")

    def test_a_failure_needs_a_message(self):
        self.assertEqual(self.judge(1, "error: cannot write out.tif: why\n"), [])
        self.assertEqual(self.judge(1, "[rank 2] error: Input/output error\n"), [])
        self.assert_found(self.judge(1, "not a message of Tessera\n"), "wrong", "without a message")
        (self.folder / "runs/e").mkdir(parents=True)  # a folder's name, which is in most messages, is no file that is named
        self.assert_found(self.judge(1, "error: something failed, next time it may not\n"), "wrong", "names neither a file nor a cause")

    def test_a_torn_or_left_over_file_is_wrong(self):
        self.write(**{"out.tif": b"ol"})
        self.assert_found(self.judge(1, "error: out.tif\n"), "wrong", "out.tif: neither the old one nor the new one")
        self.assertEqual(self.judge(1, "error: out.tif\n", RESUMER), [], "the next start completes it")
        self.write(**{"out.tif": b"old", "out.tif.tmp": b"n"})
        self.assert_found(self.judge(1, "error: out.tif\n"), "wrong", "out.tif.tmp: left over")
        self.assert_found(self.judge(1, "error: out.tif\n", RESUMER), "wrong", "out.tif.tmp: left over")

    def test_an_input_is_not_changed(self):
        self.write(**{"in.h5": b"INPUT"})
        self.assert_found(self.judge(1, "error: out.tif\n"), "wrong", "in.h5: neither")

    def test_what_is_printed_counts_for_readers(self):
        self.assertEqual(self.judge(verb=READER, stdout="\n".join(self.lines)), [])
        self.assert_found(self.judge(verb=READER, stdout="/a (3, 4, 5) uint8\n"), "wrong", "not printed: /b")
        text = "/a (3, 4, 5) uint8\n/b: Input/output error\n"
        self.assertEqual(self.judge(verb=READER, text=text, stdout=text), [], "it says why")

    def test_a_tolerant_verb_warns(self):
        (self.folder / "run.json").unlink()
        tolerant = dataclasses.replace(WRITER, tolerant=True)
        self.assert_found(self.judge(verb=tolerant), "wrong", "run.json: missing")
        self.assertEqual(self.judge(verb=tolerant, text="warning: cannot read run.json\n"), [])
        self.assert_found(self.judge(text="warning: cannot read run.json\n"), "wrong", "run.json: missing")

    def test_signals_aborts_and_hangs(self):
        self.assert_found(self.judge(number=11), "crashed", "signal 11")
        self.assert_found(self.judge(1, "terminate called after throwing\n  what():  bad\n"), "crashed", "bad")
        self.assert_found(self.judge(hung=True), "hung", "no end")

    def test_a_restart_gives_the_undisturbed_result(self):
        def again(code=0, text=""):
            outcome = Outcome(WRITER.arguments, code, 0, text, 1)
            return bench.after_restart(WRITER, (self.reference, 1, self.lines), outcome, self.folder)
        self.assertEqual(again(), [])
        self.assertEqual(again(2, "error: out.tif exists already\n"), [], "the kill came after the end")
        self.assert_found(again(1, "error: out.tif is damaged\n"), "wrong", "exit code 1")
        self.write(**{"out.tif": b"old"})
        self.assert_found(again(), "wrong", "out.tif: differs")


class Tools(unittest.TestCase):

    def test_n_goes_to_the_end(self):
        rng = random.Random(1)
        self.assertEqual(chosen(5, None, rng), [1, 2, 3, 4, 5])
        self.assertEqual(chosen(0, 10, rng), [])
        some = chosen(1000, 30, rng)
        self.assertEqual((len(some), some[:10], some == sorted(set(some))), (30, list(range(1, 11)), True))
        self.assertTrue(900 < some[-1] <= 1000, some)

    def test_mutants_differ_and_repeat(self):
        data = bytes(range(256)) * 20
        for text in (False, True):
            made = [mutations.mutate(data, random.Random(seed), text) for seed in range(200)]
            self.assertGreater(sum(m != data for m in made), 190)
            self.assertEqual(made[7], mutations.mutate(data, random.Random(7), text))

    def test_known_failures_have_a_reason(self):
        for step, verb, _, reason, _ in bench.Known().entries:
            self.assertTrue(step and verb and len(reason) > 10, (step, verb, reason))


if __name__ == "__main__":
    unittest.main()
