"""Help, completion and manual pages, as a user and a shell see them."""

import re
import shutil
import subprocess
import unittest

from harness import SOURCE, Case, run_tessera


def verbs_of(text):
    return re.findall(r"^  ([a-z-]+) +[A-Z]", text.partition("verbs:\n")[2].partition("\n\n")[0], re.MULTILINE)


class Help(Case):

    def help(self, *arguments, ranks=0):
        result = run_tessera(["help", *arguments], ranks, cwd=self.folder)
        self.assertEqual(result.code, 0, result)
        return result.stdout

    def test_every_verb_has_an_effect_two_examples_and_a_page(self):
        verbs = verbs_of(self.help())
        self.assertGreaterEqual(len(verbs), 15)
        for verb in verbs:
            result = run_tessera([verb, "--help"], cwd=self.folder)
            self.assertEqual(result.code, 0, result)
            effect, _, rest = result.stdout.partition("\n\n")
            self.assertRegex(effect, r"^[A-Z].*\.$")
            self.assertIn(f"usage: tessera {verb} ", rest)
            examples = re.findall(rf"^  (?:mpirun .*)?tessera {verb} .*\n      [A-Z].*\.$", rest.partition("examples:\n")[2], re.MULTILINE)
            self.assertEqual(len(examples), 2, rest)
            (page,) = re.findall(r"^more: (.*)$", rest, re.MULTILINE)
            self.assertTrue((SOURCE / page).is_file(), page)
        self.assertEqual(self.help(verb)[:len(result.stdout)], result.stdout)

    def test_a_key(self):
        for ranks in self.ranks_tried:
            text = self.help("train.momentum", ranks=ranks)
            self.assertEqual(text.count("train.momentum\n\n"), 1, text)
            for part in ("a number, 0 to 0.9999", "default   0.99\n", "train: {momentum: 0.9}", "train.optimizer", "docs/training.md"):
                self.assertIn(part, text)
        self.assertEqual(self.help("momentum"), text, "a last name that one key has")
        self.assertIn("train.threads, infer.threads", self.help("threads"))
        self.assertIn("data.label_kind", self.help("data.volumes[2].label_kind"))

    def test_a_section(self):
        text = self.help("train.schedule")
        self.assertRegex(text, r"(?m)^  warm_up +0 +Iterations")
        text = self.help("train")
        self.assertIn("usage: tessera train", text)
        self.assertRegex(text, r"(?m)^  learning_rate +0.001 ")

    def test_an_unknown_key(self):
        for word, near in (("train.momentun", "train.momentum"), ("slurm.gpus", "slurm.gpus_per_node"), ("momentun", "train.momentum"),
                           ("trian", "train")):
            result = run_tessera(["help", word], cwd=self.folder)
            self.assertEqual(result.code, 2, result)
            self.assertEqual(len(result.errors()), 1, result)
            self.assertIn(f"'{word}' is no verb, key or section: did you mean '{near}'?", result.errors()[0])
        result = run_tessera(["help", "--completion", "fish"], cwd=self.folder)
        self.assertEqual(result.code, 2, result)
        self.assertIn("there are bash and zsh", result.errors()[0])

    def test_a_config_suggests_a_longer_key(self):
        yaml = self.config("gpus", {"slurm": {"gpus": 2}})
        result = run_tessera(["check", yaml], cwd=self.folder)
        self.assertEqual(result.code, 2, result)
        self.assertIn("did you mean 'gpus_per_node'?", result.errors()[0])

    def test_bash_completes(self):
        (self.folder / "completion").write_text(self.help("--completion", "bash"))
        (self.folder / "my.yaml").write_text("")
        (self.folder / "em.h5x").write_text("")

        def completed(*words):
            script = ("compopt() { :; }; . ./completion; COMP_WORDS=(tessera \"$@\"); COMP_CWORD=$#; _tessera; "
                      "printf '%s\\n' \"${COMPREPLY[@]}\"")
            done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=self.folder, capture_output=True, text=True, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return done.stdout.split()
        self.assertEqual(completed("exp"), ["export", "export-model"])
        self.assertEqual(completed("train", "--res"), ["--resume"])
        self.assertIn("my.yaml", completed("train", "m"))
        self.assertNotIn("em.h5x", completed("train", ""))
        self.assertEqual(completed("infer", "my.yaml", "--set", "train.mom"), ["train.momentum="])
        self.assertEqual(completed("help", "slurm.eval"), [f"slurm.evaluate.{key}" for key in (
            "partition", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "time", "memory", "constraint")] + ["slurm.evaluate"])
        self.assertEqual(completed("help", "--completion", "z"), ["zsh"])

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_reads_its_completion(self):
        (self.folder / "_tessera").write_text(self.help("--completion", "zsh"))
        done = subprocess.run(["zsh", "-n", "_tessera"], cwd=self.folder, capture_output=True, text=True, timeout=20)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_manual_pages(self):
        self.help("--man", "man")
        pages = sorted(one.name for one in (self.folder / "man").iterdir())
        self.assertEqual(pages, sorted(["tessera.1", "tessera-experiment.5", *(f"tessera-{one}.1" for one in verbs_of(self.help()))]))
        if not shutil.which("groff"):
            self.skipTest("groff is not installed: the pages are not formatted")
        for name in pages:
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-rLL=100n", name], cwd=self.folder / "man", capture_output=True, text=True, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn("NAME\n", re.sub("(.)\x08\\1", r"\1", done.stdout))


if __name__ == "__main__":
    unittest.main()
