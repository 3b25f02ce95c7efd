"""The tree says the field's terms: none of the paraphrases that they replaced is left."""

import pathlib
import re
import subprocess
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]

# (what replaced it, a pattern of what it replaced). The patterns match words, in any case, over line ends too.
REPLACED = [
    ("fixed reduction order, shape-invariant", r"sum(s|med|ming)? (\w+ )?in (one|a fixed|the same) order|summing order"),
    ("translation-invariant", r"alike at every place|shows? (its|their|the) place|independent of (its |the )?place|place[- ]independent"),
    ("chosen heuristically", r"(chosen|taken|choose|chooses|choice) by rule|by rule (as|or|of thumb)"),
    ("autotuned", r"by measuring|by measurement|by a measurement|by trying them"),
    ("custom CUDA kernels", r"(?<!cuDNN's )own kernels?|kernels? of (our|its|their|Tessera's) own"),
    ("stub", r"made-up|made_up"),
    ("16-byte vectors", r"pieces? of (16|sixteen) (bytes|values)|16-byte pieces?|pieces that are read"),
    ("output", r"answers? of (a|the|this|each|every) networks?|networks?' answers?|network's answers?"),
    ("has N classes", r"(tell|tells|told|telling) (\w+ ){0,3}apart"),
    ("is sent, in flight", r"gradients? (that )?travels?|travels? (in buckets|together|as|by|to|over|through)|on (its|their) way\b"),
    ("rotated", r"turned (image|tile|version|section|input|patch|sample)s?|(image|tile|section|patch)s? (is|are) turned"),
    ("makes progress", r"(gets?|got|getting) on\b(?! (the|a|an|rank|GPU))"),
    ("message, says so", r"(?<!word )\bin words\b|error words|words of (the|a|an) (message|error)"),
    ("multiples of 8", r"\b(in |of )?(eights|sixteens)\b"),
    ("a failure outside the program's control", r"what the world (did|does) wrong|the world('s)? (did|does|fault)"),
    ("is rejected", r"\b(is|are|was|were|be|been|being|gets?) refused\b"),
    ("as configured", r"(as|where|if|when) (one|you|they|we) (have|has|wants?) it\b|as (the )?\w+ has it\b"),
    ("predicted class", r"likeliest|most probable"),
    ("available, exists, none", r"to be had\b|where there is none\b"),
]
# Files that may say such words: history, data, this list.
EXEMPT = re.compile(r"CHANGELOG\.md|tests/house/test_words\.py|.*\.(png|h5|svg|csv)|LICENSE")


def tracked_texts(root=SOURCE):
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in listed:
        file = root / name
        if not name or EXEMPT.fullmatch(name) or not file.is_file():
            continue
        try:
            yield name, file.read_text()
        except UnicodeDecodeError:
            continue


def plain(text):
    """One line: comment signs at line starts count as nothing, so that a phrase is found over a line's end."""
    text = re.sub(r'"\s*\n\s*"', "", text)
    return re.sub(r"\s*\n\s*(///?<?|#|\*|--)?\s*", " ", text)


def found(pattern, texts):
    whole = re.compile(rf"(?<!\w)(?:{pattern})", re.IGNORECASE)
    return [f"{name}: ...{text[max(0, one.start() - 40):one.end() + 40]}..." for name, text in texts for one in whole.finditer(text)]


class Words(unittest.TestCase):

    def test_are_the_fields(self):
        try:
            texts = [(name, plain(text)) for name, text in tracked_texts()]
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"no list of tracked files: {error}")
        self.assertGreater(len(texts), 400)
        for better, pattern in REPLACED:
            with self.subTest(better=better):
                self.assertEqual(found(pattern, texts), [], f"say: {better}")

    def test_patterns_find_what_they_are_for(self):
        bad = ("Layers are summed in one\n/// order.", "tiles alike at every place", "an engine chosen by rule", "found by measuring",
               "kernels of\n  # our own", "a made-up device", "pieces of 16 bytes", "the answer of a network", "classes that it tells apart",
               "gradients travel", "bytes on their way", "a turned tile", "nothing gets on", "says so in words", "channels by eights",
               "What the world did wrong", "the file is refused", "as Keras has it", "the likeliest class", "an error to be had")
        good = ("kept in order", "by the rules of YAML", "the kernel's own registers", "the way", "a turning point", "gets on the rank's GPU",
                "words of a line", "in the world", "MPI ranks", "the best class")
        for text in bad:
            self.assertTrue(any(found(pattern, [("", plain(text))]) for _, pattern in REPLACED), text)
        for text in good:
            self.assertFalse([pattern for _, pattern in REPLACED if found(pattern, [("", plain(text))])], text)


if __name__ == "__main__":
    unittest.main()
