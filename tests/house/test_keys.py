"""Every key of an experiment is explained in configs/all_keys.yaml, and the files in configs parse."""

import re
import sys
import unittest
import pathlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/end_to_end"))

from harness import Case, resolved_keys, run_tessera  # noqa: E402


def documented_keys(text):
    """{"train.iterations": comment} of a YAML file of block sections; a comment may go on in the next line."""
    keys, path = {}, []
    for line in text.splitlines():
        found = re.fullmatch(r"( *)([a-z_0-9]+):([^#]*)(#.*)?", re.sub(r"^( *)- ", r"\1  ", line))
        if found:
            path = path[:len(found[1]) // 2] + [found[2]]
            keys[".".join(path)] = (found[3].strip() != "", (found[4] or "").lstrip("# "))
    return {key: comment for key, (has_value, comment) in keys.items() if has_value}


def keys_read():
    """The keys that pipeline/config reads, by its own words."""
    text = "".join(file.read_text() for file in sorted((SOURCE / "pipeline/config").glob("*.cpp")))
    reads = re.findall(r'\b(\w+)\.(?:get|get_or_word|choice|choice_or_auto|optional|require)(?:<[^"(]*>)?\(\s*"(\w+)"', text)
    reads += re.findall(r'\b(?:dataset|sections|shape|pixel|position|number_or_auto|silence_minutes|text)\((\w+), "(\w+)"', text)
    reads += [("stage", key) for key in re.findall(r'\btext_of\("(\w+)"', text)]
    sections = {"root": [""], "augmentation": ["train.augmentation."], "weight_map": ["train.weight_map."],
                "schedule": ["train.schedule."], "stage": ["slurm.infer."], "region": ["infer.region."], "skip": ["infer.skip."],
                "volume": ["data.", "data.volumes."], "data_region": ["data.region.", "data.volumes.region."],
                "scored_region": ["evaluate.region."]}
    only_in_lists = {"data.sampling_weight"}
    return {section + key for variable, key in reads for section in sections.get(variable, [f"{variable}."])} - only_in_lists


class Keys(Case):

    all_keys = SOURCE / "configs/all_keys.yaml"

    def test_every_key_is_explained(self):
        documented = documented_keys(self.all_keys.read_text())
        read = keys_read()
        self.assertGreater(len(read), 50)
        self.assertEqual(sorted(read - documented.keys()), [], "keys that the program reads and all_keys.yaml lacks")
        self.assertEqual(sorted(documented.keys() - read), [], "keys of all_keys.yaml that nobody reads")
        self.assertEqual([k for k, comment in documented.items() if len(comment) < 3], [], "keys without a comment")

    def test_the_program_resolves_no_other_key(self):
        result = run_tessera(["check", self.all_keys], cwd=self.folder)
        self.assertIn(result.code, (0, 1), result)
        resolved = resolved_keys(result.stdout)
        self.assertGreater(len(resolved), 50)
        self.assertEqual(sorted(resolved.keys() - documented_keys(self.all_keys.read_text()).keys()), [])

    def test_every_experiment_file_parses(self):
        files = sorted((SOURCE / "configs").glob("*.yaml"))
        self.assertGreater(len(files), 1)
        for file in files:
            with self.subTest(file=file.name):
                result = run_tessera(["check", file], cwd=self.folder)
                # 1: the volumes it names are not here.
                self.assertIn(result.code, (0, 1), result)
                self.assertGreater(len(resolved_keys(result.stdout)), 40, result)
                broken = self.folder / file.name
                broken.write_text(re.sub(r"^experiment:", "experimnt:", file.read_text(), flags=re.MULTILINE))
                self.assertEqual(run_tessera(["check", broken], cwd=self.folder).code, 2)


if __name__ == "__main__":
    unittest.main()
