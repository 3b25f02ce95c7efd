"""configs/all_keys.yaml is what the program says of its keys, and the files in configs parse."""

import re
import sys
import unittest
import pathlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/end_to_end"))

from harness import Case, resolved_keys, run_tessera  # noqa: E402


class Keys(Case):

    all_keys = SOURCE / "configs/all_keys.yaml"

    def test_the_file_of_all_keys_is_the_generated_one(self):
        result = run_tessera(["help", "--all-keys"], cwd=self.folder)
        self.assertEqual(result.code, 0, result)
        self.assertGreater(len(result.stdout.splitlines()), 200)
        self.assertEqual(result.stdout.splitlines(), self.all_keys.read_text().splitlines(),
                         "run: tessera help --all-keys > configs/all_keys.yaml")

    def test_the_file_of_all_keys_is_an_experiment(self):
        """Its values are the defaults, so that it may be copied."""
        result = run_tessera(["check", self.all_keys, "--config"], cwd=self.folder)
        self.assertIn(result.code, (0, 1), result)
        self.assertGreater(len(resolved_keys(result.stdout)), 50)

    def test_every_experiment_file_parses(self):
        files = sorted((SOURCE / "configs").glob("*.yaml"))
        self.assertGreater(len(files), 1)
        for file in files:
            with self.subTest(file=file.name):
                result = run_tessera(["check", file, "--config"], cwd=self.folder)
                # 1: the volumes it names are not here.
                self.assertIn(result.code, (0, 1), result)
                self.assertGreater(len(resolved_keys(result.stdout)), 40, result)
                broken = self.folder / file.name
                broken.write_text(re.sub(r"^experiment:", "experimnt:", file.read_text(), flags=re.MULTILINE))
                self.assertEqual(run_tessera(["check", broken], cwd=self.folder).code, 2)


if __name__ == "__main__":
    unittest.main()
