"""Reads the C++ sources of the tree: rooms, includes, code without comments, lengths of functions."""

import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parents[2]
STOREYS = ("io", "workers", "pipeline")
SUFFIXES = (".h", ".cpp", ".hpp", ".cc", ".cu", ".cuh", ".ipp")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.DOTALL)
STATEMENT_END = re.compile(r"(^|[;{}:>])\s*$|//|^\s*#")
NO_FUNCTION = re.compile(
    r"(namespace|class|struct|enum|union|extern|if|for|while|switch|else|do|try|catch|case|return)\b|[})]")


def source_files(root=SOURCE):
    """The C++ and CUDA files of the three storeys, relative to the root."""
    return [file.relative_to(root) for storey in STOREYS for file in sorted((root / storey).rglob("*"))
            if file.suffix in SUFFIXES]


def room_of(path):
    """ "io/base" of io/base/log.h; "pipeline" of pipeline/main.cpp."""
    return "/".join(pathlib.PurePath(path).parts[:-1][:2])


def includes_of(file, root=SOURCE):
    return INCLUDE.findall((root / file).read_text())


def code_of(file, root=SOURCE):
    """The file's text without its comments and the content of its strings; includes stay."""
    text = (root / file).read_text()
    includes = "\n".join(includes_of(file, root))
    return includes + "\n" + COMMENT_OR_STRING.sub(lambda found: '""' if found[0][0] in '"R' else " ", text)


def functions_of(text):
    """(name, lines) of the functions in a text that clang-format has formatted."""
    lines, found, end = text.split("\n"), [], -1
    for i, line in enumerate(lines):
        if i <= end or not line.endswith("{") or line.lstrip().startswith("//"):
            continue
        start = i
        while start > 0 and not STATEMENT_END.search(lines[start - 1]):
            start -= 1
        head = " ".join(one.strip() for one in lines[start:i + 1])
        name = re.search(r"([~\w:]+|operator\S+)\s*\(", head)
        is_value = re.match(r"[^(]*=", head) and "operator" not in head
        if not name or is_value or NO_FUNCTION.match(head):
            continue
        brace = lines[start][:len(lines[start]) - len(lines[start].lstrip(" "))] + "}"
        end = next((k for k in range(i + 1, len(lines)) if lines[k].startswith(brace)), i)
        found.append((name[1], end - start + 1))
    return found
