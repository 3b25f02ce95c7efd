"""What the steps of the campaign share: workers with their folders, the judgement of an outcome, the table."""

import errno
import os
import pathlib
import re
import shutil
import tempfile
import threading
import time

import contents
import verbs
from program import ForkServer, command_line, innermost_functions

HERE = pathlib.Path(__file__).resolve().parent
CLASSES = ("wrong", "crashed", "hung")
CRASH = "the process crashed in"  # and the library, in what the program says (io/base/crash_report.cpp)


class Worker:
    """A thread's own fork servers and folder."""

    def __init__(self, bench, number):
        self.bench = bench
        self.scratch = bench.scratch / f"worker{number}"
        self.scratch.mkdir()
        self.servers = [ForkServer(self.scratch) for _ in range(2)]
        self.server = self.servers[0]
        self._kept = self.scratch / "kept"
        self._kept.mkdir()

    def prepare(self):
        """Makes what belongs to this worker's folder; the fixture is complete."""
        verbs.make_partial(self.folder(verbs.PARTIAL_INPUTS), self._kept, self.server)

    def folder(self, inputs):
        """The worker's folder, emptied, with copies of these inputs. Its path is always the same: journals name it."""
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        verbs.fill(self.bench.fixture, self._kept, folder, inputs)
        return folder

    def scratch_file(self, name):
        file = self.scratch / name
        file.unlink(missing_ok=True)
        return file

    def close(self):
        for server in self.servers:
            server.close()


class Known:
    """The failures of known_failures.txt: lines of `step | verb | pattern of the finding | reason`."""

    def __init__(self, file=HERE / "known_failures.txt"):
        self.entries = []
        for line in file.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                step, verb, pattern, reason = (part.strip() for part in line.split("|", 3))
                self.entries.append([step, verb, re.compile(pattern), reason, 0])

    def matches(self, step, verb, finding):
        for entry in self.entries:
            if entry[0] in ("*", step) and re.fullmatch(entry[1].replace("*", ".*"), verb) and entry[2].search(finding):
                entry[4] += 1
                return True
        return False


class Bench:
    """The fixture, the workers, the references of the verbs, and all findings."""

    def __init__(self, jobs, seed, out=None, folder=None, names=None, keep=None, learnings=3):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="tessera_campaign_", dir=folder))
        self.fixture, self.seed, self.out, self.known = self.scratch / "fixture", seed, out, Known()
        self.rows, self.cases, self._lock = {}, [], threading.Lock()
        self.keep, self.learnings = keep, learnings
        self.fixture.mkdir()
        self.workers = [Worker(self, i) for i in range(jobs)]
        verbs.make_fixture(self.fixture, self.workers[0].server)
        for worker in self.workers:
            worker.prepare()
        self.verbs = [v for v in verbs.VERBS if names is None or v.name in names or v.verb in names]
        self._references = {}

    def reference(self, verb, worker):
        """(Reference, seconds, printed lines) of an undisturbed run; learned once."""
        with self._lock:
            entry = self._references.setdefault(verb.name, [threading.Lock(), None])
        with entry[0]:
            if entry[1] is None:
                entry[1] = verbs.learn(verb, worker, self.learnings)
            return entry[1]

    def record(self, step, verb, findings, command):
        """findings: [(class, text)], class one of CLASSES."""
        with self._lock:
            row = self.rows.setdefault((step, verb), dict.fromkeys(("tried", *CLASSES, "known"), 0))
            row["tried"] += 1
            fresh = [(kind, text) for kind, text in findings if not self.known.matches(step, verb, f"{kind}: {text}")]
            row["known"] += bool(findings) and not fresh
            for kind in {kind for kind, _ in fresh}:
                row[kind] += 1
            if fresh:
                self.cases.append((step, verb, fresh, command))
                if self.out:
                    with open(self.out, "a") as file:
                        file.write(f"{step}: {verb}\n" + "".join(f"  {k}: {t}\n" for k, t in fresh) + f"  {command}\n\n")

    def run(self, cases, minutes):
        """Runs the cases, functions of a Worker, until they end or the time does. Errors of a case are raised."""
        end = time.monotonic() + 60 * minutes
        cases, failures = iter(cases), []

        def work(worker):
            while time.monotonic() < end and not failures:
                with self._lock:
                    case = next(cases, None)
                if case is None:
                    return
                try:
                    case(worker)
                except Exception as error:  # raised below, in the main thread
                    failures.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in self.workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def table(self):
        heads = ("step", "verb", "tried", *CLASSES, "known")
        rows = [(step, verb, *(row[k] for k in heads[2:])) for (step, verb), row in sorted(self.rows.items())]
        rows.append(("all", "", *(sum(r[i] for r in rows) for i in range(2, len(heads)))))
        widths = [max(len(str(r[i])) for r in [heads, *rows]) for i in range(len(heads))]
        lines = ["| " + " | ".join(str(c).ljust(w) if i < 2 else str(c).rjust(w) for i, (c, w) in enumerate(zip(r, widths))) + " |"
                 for r in [heads, *rows]]
        lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
        return "\n".join(lines)

    def close(self):
        for worker in self.workers:
            worker.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


REASONS = {name for name in dir(errno) if name.startswith("E")}
CAUSES = re.compile("|".join(re.escape(os.strerror(getattr(errno, name))) for name in sorted(REASONS)) + "|memory|thread")


# A warning, or the reason that a listing gives.
SAID = re.compile(rf"^(\[rank \d+\] )?warn(ing)?: |cannot (open|read) |{CAUSES.pattern}", re.MULTILINE)


def names_a_cause(text, learned, folder):
    """Whether a message names a file that the verb reads or writes, or the error of a call."""
    names = {pathlib.Path(name).name for name in {*learned.before, *learned.right}} | {p.name for p in folder.rglob("*") if p.is_file()}
    return CAUSES.search(text) is not None or any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", text) for name in names)


def ended_badly(outcome):
    if outcome.hung:
        return [("hung", f"no end within {outcome.seconds:.0f} s")]
    if outcome.crashed():
        last = [line for line in outcome.text.splitlines() if "what()" in line or "terminate" in line or CRASH in line][-2:]
        where = ", called by ".join(innermost_functions(outcome.text))
        return [("crashed", f"signal {outcome.signal}, exit code {outcome.code} {' '.join(last)}{where and f' In {where}'}")]
    return []


def after_fault(verb, reference, outcome, folder):
    """The findings after a call failed: the right result, or a message and the old state or the new one."""
    learned, _, lines = reference
    findings = ended_badly(outcome)
    if findings:
        return findings
    after = contents.of_folder(folder)
    said = SAID.search(outcome.text) is not None
    if outcome.code == 0 and verb.tolerant and said:
        return []
    if outcome.code == 0:
        findings += [("wrong", f"exit code 0, {text}") for text in learned.differences(after)]
        missing = sorted(lines - set(outcome.stdout.splitlines())) if verb.stdout else []
        if missing and not said:  # a listing may say of a part why it cannot be read
            findings.append(("wrong", f"exit code 0, not printed: {missing[0].strip()[:120]}"))
    else:
        messages = [text for text in outcome.text.splitlines() if re.match(r"(\[rank \d+\] )?(error|critical): ", text)]
        if not messages:
            findings.append(("wrong", f"exit code {outcome.code} without a message"))
        elif not names_a_cause(outcome.text, learned, folder):
            findings.append(("wrong", f"the message names neither a file nor a cause: {messages[-1][:200]}"))
        torn = learned.torn(after)
        findings += [("wrong", text) for text in torn if not (verb.resumes and resumable(verb, text))]
    if "a library ended the program" in outcome.text:  # by exit(), which runs no destructors: the next start removes temporaries
        return findings
    return findings + [("wrong", text) for text in learned.left_over(after)]


def resumable(verb, finding):
    """Whether a part of this file is a state that the next start completes."""
    return re.match(verb.results, finding) is not None or re.match(r"runs/|prediction\.h5|partial\.h5", finding) is not None


def after_restart(verb, reference, outcome, folder):
    """The findings once a disturbed verb was started again: the undisturbed result."""
    learned, _, lines = reference
    findings = ended_badly(outcome)
    if findings:
        return [(kind, f"started again: {text}") for kind, text in findings]
    after = contents.of_folder(folder)
    wrong = learned.differences(after)
    if outcome.code != 0 and (wrong or "exists already" not in outcome.text):
        findings.append(("wrong", f"started again: exit code {outcome.code}: {' '.join(outcome.errors())[:200]}"))
    findings += [("wrong", f"started again: {text}") for text in wrong]
    return findings + [("wrong", f"started again: {text}") for text in learned.left_over(after)]


def repeat(verb, arguments, environment=None, ranks=0):
    """The command that repeats a case. run.py --make-fixture makes the inputs."""
    inputs = " ".join(verb.inputs) or "nothing"
    return f"in a copy of {inputs}: {command_line(arguments, environment, ranks)}"
