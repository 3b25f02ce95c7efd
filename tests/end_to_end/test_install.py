"""`cmake --install` puts everything in place, and the installed program runs from there."""

import gzip
import os
import pathlib
import shutil
import subprocess
import unittest

from harness import BINARY, SOURCE, Case

BUILD = pathlib.Path(BINARY).resolve().parents[1]


@unittest.skipUnless(shutil.which("cmake") and (BUILD / "pages/written").exists(), "the target tessera_pages is not built")
class Install(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix = cls.folder / "prefix"
        done = subprocess.run(["cmake", "--install", BUILD, "--prefix", cls.prefix], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)

    def run_installed(self, *arguments):
        return subprocess.run([self.prefix / "bin/tessera", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=60)

    def test_all_is_there(self):
        documentation = self.prefix / "share/doc/tessera"
        for file in ("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "docs/training.md", "docs/report.png",
                     "configs/all_keys.yaml", "slurm/job.bash"):
            self.assertEqual((documentation / file).read_bytes(), (SOURCE / file).read_bytes(), file)
        for file in ("tessera/configs/demo.yaml", "tessera/slurm/train.sbatch", "bash-completion/completions/tessera"):
            self.assertTrue((self.prefix / "share" / file).is_file(), file)
        self.assertEqual(len(list(self.prefix.glob("share/zsh/*/_tessera"))), 1)
        self.assertTrue(os.access(self.prefix / "share/tessera/slurm/job.bash", os.R_OK))

    def test_manual_pages(self):
        pages = {one.name.removesuffix(".gz"): one for one in self.prefix.glob("share/man/man[15]/*")}
        self.assertGreater(len(pages), 16)
        page = pages["tessera-train.1"]
        text = gzip.decompress(page.read_bytes()).decode() if page.suffix == ".gz" else page.read_text()
        self.assertIn(".SH EXAMPLES\n", text)
        self.assertEqual(pages["tessera-experiment.5"].parent.name, "man5")

    def test_the_program_runs_and_knows_its_pages(self):
        done = self.run_installed("train", "--help")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(f"more: {self.prefix.resolve()}/share/doc/tessera/docs/training.md\n", done.stdout)
        self.assertEqual(self.run_installed("synth", "installed.h5", "--shape", "2,64,64").returncode, 0)
        done = self.run_installed("check", self.prefix / "share/tessera/configs/all_keys.yaml")
        self.assertIn(done.returncode, (0, 1), done)

    def test_no_library_path_where_the_systems_libraries_are_used(self):
        if not shutil.which("readelf"):
            self.skipTest("readelf is not installed")
        paths = subprocess.run(["readelf", "-d", self.prefix / "bin/tessera"], capture_output=True, text=True, timeout=20).stdout
        self.assertNotIn(str(BUILD), paths)


if __name__ == "__main__":
    unittest.main()
