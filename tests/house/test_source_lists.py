"""The lists of sources that are compiled again for the fuzz harnesses and the sanitizers: no source of their rooms is missing."""

import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from sources import SOURCE, includes_of  # noqa: E402

FUZZ, SANITIZED = "tests/fuzz/CMakeLists.txt", "tests/sanitized/CMakeLists.txt"
# Rooms whose sources a list has all, and those that it leaves out, each with its reason.
WHOLE_ROOMS = {
    FUZZ: {
        "pipeline/config": {"key_help.cpp": "reads no file"},
        "pipeline/report": {"live_report.cpp": "writes the report of a running training",
                            "object_pictures.cpp": "draws volumes: tests/fuzz/small_pictures.cpp",
                            "section_pictures.cpp": "draws volumes: tests/fuzz/small_pictures.cpp"},
    },
    SANITIZED: {
        "pipeline/config": {},
        "tests/unit/pipeline/config": {},
    },
}
VARIABLE = re.compile(r"set\((\w+) ([^)\s]+)\)")
LISTED = re.compile(r"(?<![\w/}])((?:\$\{\w+\}/)?[\w./]+\.cpp)\b")
READERS = re.compile(r"foreach\(reader IN ITEMS ([^)]+)\)")


def listed_in(name, root=SOURCE):
    """The sources that a CMakeLists.txt names, relative to the root."""
    text = re.sub(r"#.*", "", (root / name).read_text())
    values = {"PROJECT_SOURCE_DIR": ""}

    def expanded(path):
        while found := re.search(r"\$\{(\w+)\}", path):
            path = path.replace(found[0], values[found[1]])
        return path.lstrip("/")

    for variable, value in VARIABLE.findall(text):
        values[variable] = expanded(value)
    here = pathlib.PurePath(name).parent
    return {expanded(one) if one.startswith("$") else str(here / one) for one in LISTED.findall(text)}


def not_listed(name, rooms, root=SOURCE):
    """Sources of the rooms that the list lacks, and entries of the table that are none."""
    listed, wrong = listed_in(name, root), []
    for room, left_out in rooms.items():
        sources = {file.name for file in (root / room).glob("*.cpp")}
        here = {pathlib.PurePath(one).name for one in listed if str(pathlib.PurePath(one).parent) == room}
        wrong += [f"{name} lacks {room}/{one}" for one in sorted(sources - here - set(left_out))]
        wrong += [f"{room}/{one} is left out and listed, or does not exist" for one in left_out if one in here or one not in sources]
    return wrong


def harnesses():
    return sorted(file.stem.removeprefix("fuzz_") for file in (SOURCE / "tests/fuzz").glob("fuzz_*.cpp"))


class Lists(unittest.TestCase):

    def test_have_every_source_of_their_rooms(self):
        for name, rooms in WHOLE_ROOMS.items():
            self.assertGreater(len(listed_in(name)), 30, name)
            self.assertEqual(not_listed(name, rooms), [])

    def test_name_files_that_exist(self):
        for name in WHOLE_ROOMS:
            listed = [one for one in listed_in(name) if "${" not in one]
            self.assertEqual([one for one in listed if not (SOURCE / one).is_file()], [])

    def test_every_harness_is_built_and_has_a_corpus(self):
        built = " ".join(READERS.findall((SOURCE / FUZZ).read_text())).split()
        self.assertEqual(sorted(built), harnesses())
        made = (SOURCE / "tests/fuzz/make_corpus.py").read_text()
        self.assertEqual([one for one in built if f'"{one}"' not in made], [])

    def test_every_reader_of_io_has_a_harness(self):
        """A header of io/ that reads files is included by a harness, itself or by another header."""
        reached, left = set(), {one for name in harnesses() for one in includes_of(f"tests/fuzz/fuzz_{name}.cpp")}
        while left:
            one = left.pop()
            if one in reached or not (SOURCE / one).is_file():
                continue
            reached.add(one)
            source = str(pathlib.PurePath(one).with_suffix(".cpp"))
            left |= set(includes_of(one)) | (set(includes_of(source)) if (SOURCE / source).is_file() else set())
        readers = [str(file.relative_to(SOURCE)) for file in sorted((SOURCE / "io").rglob("*.h"))
                   if re.search(r"\b(read_|parse_|open_)\w+\(|class \w*Reader", file.read_text())]
        self.assertGreater(len(readers), 15)
        self.assertEqual([one for one in readers if one not in reached and one not in NOT_FUZZED], [])
        self.assertEqual([one for one in NOT_FUZZED if one in reached], [], "exceptions that are none any more")


# Readers of io/ without a harness, each with its reason.
NOT_FUZZED = {}


class TheTestItself(unittest.TestCase):

    def test_finds_a_forgotten_source(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for file in ("pipeline/report/a.cpp", "pipeline/report/b.cpp", "pipeline/report/c.cpp", "tests/fuzz/own.cpp"):
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).write_text("")
            (root / FUZZ).write_text("set(pipeline ${PROJECT_SOURCE_DIR}/pipeline)\nadd_library(x own.cpp\n  ${pipeline}/report/a.cpp\n"
                                     "  # ${pipeline}/report/b.cpp\n)\n")
            self.assertEqual(listed_in(FUZZ, root), {"tests/fuzz/own.cpp", "pipeline/report/a.cpp"})
            self.assertEqual(not_listed(FUZZ, {"pipeline/report": {"c.cpp": "why"}}, root), [f"{FUZZ} lacks pipeline/report/b.cpp"])
            self.assertEqual(len(not_listed(FUZZ, {"pipeline/report": {"a.cpp": "why", "b.cpp": "", "c.cpp": "", "d.cpp": ""}}, root)), 2)


if __name__ == "__main__":
    unittest.main()
