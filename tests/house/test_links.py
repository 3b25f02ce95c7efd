"""Every relative link and anchor of the Markdown pages leads somewhere, and the messages of docs/troubleshooting.md are the
program's."""

import pathlib
import re
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PAGES_NOT_LISTED = {"docs/README.md"}
# Messages of other programs in docs/troubleshooting.md begin with the program's name.
OTHERS = re.compile(r"(Open MPI|Slurm|Linux): ")
SHORTEST_FRAGMENT = 12
OPERATING_SYSTEM = re.compile("No such file or directory")


def pages(root=SOURCE):
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=root,
                            capture_output=True, text=True, check=True, timeout=60).stdout.split()
    return [name for name in listed if (root / name).is_file()]


def anchors(text):
    """The anchors that GitHub gives the headings."""
    seen = {}
    for heading in re.findall(r"^#{1,6} +(.*)$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        seen[name] = seen.get(name, -1) + 1
        yield f"{name}-{seen[name]}" if seen[name] else name


def broken_links(root, names):
    broken = []
    for name in names:
        text = (root / name).read_text()
        for target in LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            aim = (root / name).parent / file if file else root / name
            if not aim.exists():
                broken.append(f"{name}: {target}")
            elif anchor and aim.suffix == ".md" and anchor not in set(anchors(aim.read_text())):
                broken.append(f"{name}: {target} has no such heading")
    return broken


def messages(text):
    """The code at the begin of each row of a table."""
    for cell in re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE):
        if not OTHERS.match(cell) and (found := re.fullmatch(r"`([^`]+)`", cell)):
            yield found[1]


def literals(root=SOURCE):
    """All string literals of the C++ sources, neighbours joined, `{}` as `...`."""
    found = []
    for storey in ("io", "workers", "pipeline"):
        for file in sorted((root / storey).rglob("*.cpp")):
            text = re.sub(r'"\s*\n\s*"', "", file.read_text())
            found += re.findall(r'"((?:\\.|[^"\\\n])*)"', text)
    return re.sub(r"\{[^{}]*\}", "...", "\n".join(found).replace('\\"', '"'))


def unknown_messages(text, known):
    """Messages with a part that no string literal has."""
    return [one for one in messages(text)
            if any(len(part.strip()) >= SHORTEST_FRAGMENT and part.strip() not in known
                   for part in OPERATING_SYSTEM.sub("...", one).split("..."))]


class Links(unittest.TestCase):

    def setUp(self):
        try:
            self.pages = pages()
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"no list of tracked files: {error}")

    def test_lead_somewhere(self):
        self.assertGreater(len(self.pages), 15)
        self.assertEqual(broken_links(SOURCE, self.pages), [])

    def test_every_page_is_in_the_contents(self):
        contents = (SOURCE / "docs/README.md").read_text()
        missing = [name for name in self.pages if name.startswith("docs/") and name not in PAGES_NOT_LISTED
                   and f"({name[len('docs/'):]})" not in contents]
        self.assertEqual(missing, [])


class Messages(unittest.TestCase):

    def test_are_those_of_the_program(self):
        text = (SOURCE / "docs/troubleshooting.md").read_text()
        self.assertGreater(len(list(messages(text))), 25)
        self.assertEqual(unknown_messages(text, literals()), [])


class TheTestItself(unittest.TestCase):

    def test_finds_broken_links(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "b.md").write_text("# One, two: `three`\n\n## Same\n## Same\n")
            (root / "a.md").write_text("[x](b.md#one-two-three) [x](b.md#same-1) [x](https://nowhere) `[x](c.md)`\n"
                                       "```\n[x](d.md)\n```\n# Here\n[x](#here) ![x](no.png) [x](b.md#none) [x](#nowhere)\n")
            self.assertEqual(broken_links(root, ["a.md"]), ["a.md: no.png", "a.md: b.md#none has no such heading",
                                                            "a.md: #nowhere has no such heading"])

    def test_finds_invented_messages(self):
        page = ("| message | cause |\n| --- | --- |\n| `cannot open ...: it is a folder` | x |\n| `nobody ever says ... this` | x |\n"
                "| Slurm: `another program says this` | x |\n| picture: a grid | x |\n")
        self.assertEqual(unknown_messages(page, "cannot open ...: it is a folder, not a file"), ["nobody ever says ... this"])


if __name__ == "__main__":
    unittest.main()
