"""What a folder holds, part by part, so that two runs of a verb can be compared: without times, hosts and random ids."""

import csv
import hashlib
import io
import json
import pathlib
import re

import h5py

import program  # noqa: F401  (its path)
from journal import Journal

# Attributes of HDF5 files and keys of JSON and journals that differ from run to run, hold the case's folder, or follow from
# the bytes of an input that is changed without a change of what it means.
VOLATILE = re.compile(r"(^|[/._])(instance|elapsed_s|seconds|started|ended_at|host|pid|time|date|job|job_sha256|source|network_sha256|"
                      r"text_config|text_written|crc32c|peak_memory_bytes_per_rank|\w+_s|\w+_per_second)($|[/._\[])")
VOLATILE_COLUMNS = ("elapsed_s", "waiting_share", "exchange_share")
# Files whose contents are free, such as logs and locks.
FREE = re.compile(r"(^|/)(log\.txt|[^/]*\.log|[^/]*\.lock)$")


def sha(data):
    return hashlib.sha1(data).hexdigest()[:16]


def of_hdf5(file):
    parts = {}

    def attributes(path, item):
        for name in item.attrs:
            if not VOLATILE.search(name):
                parts[f"{path}@{name}"] = sha(repr(item.attrs[name]).encode())

    def visit(path, group):
        attributes(path, group)
        for name in group:
            link = group.get(name, getlink=True)
            where = f"{path}/{name}"
            if not isinstance(link, h5py.HardLink):
                parts[where] = f"{type(link).__name__} {getattr(link, 'filename', '')} {link.path}"
            elif isinstance(group[name], h5py.Group):
                visit(where, group[name])
            else:
                data = group[name]
                attributes(where, data)
                voxels = data[()] if data.shape is not None else b""
                parts[where] = f"{data.dtype} {data.shape} " + sha(voxels.tobytes() if hasattr(voxels, "tobytes") else repr(voxels).encode())

    with h5py.File(file, "r") as opened:
        visit("", opened)
    return parts


def of_json(file):
    parts = {}

    def visit(path, value):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if items is None:
            if not VOLATILE.search(path):
                parts[path] = repr(value)
            return
        for key, one in items:
            visit(f"{path}/{key}", one)

    visit("", json.loads(file.read_bytes()))
    return parts


def of_csv(file):
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    return {f"{i}/{k}": v for i, row in enumerate(rows) for k, v in row.items() if k not in VOLATILE_COLUMNS}


def of_journal(file):
    journal = Journal(file)
    parts = {f"head/{k}": repr(v) for k, v in journal.head.items() if not VOLATILE.search(k)}
    parts["torn"] = repr(journal.torn)
    parts.update({f"block {block}": repr(crc) for _, block, crc in journal.records if block < 1 << 30})
    return parts


def of_tables(file):
    """Of the tables of objects, without the digest of the job, which is another one in each run, and its checksum."""
    data = file.read_bytes()
    front = 88 + 8 * int.from_bytes(data[16:24], "little")
    return {"head": sha(data[:24]), "clusters": sha(data[88:front]), "ids": sha(data[front + 4:])}


def of_text(file):
    lines = re.sub(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?|\b\d+(\.\d+)? (s|min|h)\b", b"", file.read_bytes()).split(b"\n")
    return {str(i): sha(line) for i, line in enumerate(lines)}


KINDS = {".h5": of_hdf5, ".json": of_json, ".csv": of_csv, ".journal": of_journal, ".html": of_text, ".yaml": of_text}
# Files that a later part of the same run removes again.
PASSING = re.compile(r"^runs/\w+/checkpoints/iteration_\d+\.h5$")
_known = {}  # of files of the same bytes


def of_file(file):
    """{part: digest}. A file that cannot be read as what its name says has the parts
    `unreadable` and `bytes`."""
    data = file.read_bytes()
    read = of_tables if file.name in ("tables", "tables.supervoxels") else KINDS.get(file.suffix)
    if read is None:
        return {"bytes": sha(data)}
    key = (file.suffix, hashlib.sha1(data).digest())
    if key not in _known:
        try:
            _known[key] = read(file)
        except Exception as error:  # any reader's own error
            return {"unreadable": f"{type(error).__name__}: {error}", "bytes": sha(data)}
        if len(_known) > 400:
            _known.pop(next(iter(_known)))
    return _known.get(key) or read(file)


def of_folder(folder):
    """{path in the folder: {part: digest}} of every file. A symbolic link's part is its target."""
    folder, found = pathlib.Path(folder), {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = {"link": str(path.readlink())}
        elif path.is_file():
            found[name] = {} if FREE.search(name) else of_file(path)
    return found


class Reference:
    """What a verb makes of a folder, learned from several undisturbed runs: parts that differ among these do not count."""

    def __init__(self, before, afters, results=None):
        self.before, self.right = before, afters[0]
        self.results = results  # a pattern: only these files are compared; None: all
        self.moving = {(name, part) for other in afters[1:] for name in other for part in {*other[name], *self.right.get(name, {})}
                       if other[name].get(part) != self.right.get(name, {}).get(part)}
        self.names = {name for after in afters for name in after}

    def same(self, name, found, wanted):
        """Whether two versions of a file are equal in all that counts."""
        if (found is None) != (wanted is None):
            return False
        if found is None:
            return True
        parts = {part for part in {*found, *wanted} if (name, part) not in self.moving}
        return all(found.get(part) == wanted.get(part) for part in parts)

    def counts(self, name):
        return not FREE.search(name) and (self.results is None or re.search(self.results, name) is not None)

    def differences(self, after):
        """The files that are not as they should be at the end, each with what is different."""
        wrong = []
        for name in sorted({*after, *self.right}):
            if not self.counts(name) or self.same(name, after.get(name), self.right.get(name)):
                continue
            found, wanted = after.get(name), self.right.get(name)
            what = "missing" if found is None else "not expected" if wanted is None else "differs in " + ", ".join(
                sorted(p for p in {*found, *wanted} if found.get(p) != wanted.get(p) and (name, p) not in self.moving)[:4])
            if found and "unreadable" in found:
                what = found["unreadable"]
            wrong.append(f"{name}: {what}")
        return wrong

    def torn(self, after):
        """The files that are neither the old ones nor the new ones."""
        return [f"{name}: neither the old one nor the new one" for name in sorted({*self.before, *self.right})
                if not FREE.search(name) and not self.same(name, after.get(name), self.before.get(name))
                and not self.same(name, after.get(name), self.right.get(name))]

    def left_over(self, after):
        """The files that neither the verb's start nor its end has: temporaries."""
        return [f"{name}: left over" for name in sorted(after) if name not in self.before and name not in self.names
                and not FREE.search(name) and not PASSING.search(name)]
