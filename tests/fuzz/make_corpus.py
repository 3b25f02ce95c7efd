#!/usr/bin/python3
"""Makes small corpora for the harnesses of this folder: make_corpus.py FOLDER. Needs a built tessera (TESSERA_BINARY)."""

import json
import pathlib
import shutil
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/campaign"))
sys.dont_write_bytecode = True

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from program import ForkServer  # noqa: E402
from verbs import make_fixture, make_partial  # noqa: E402


def volumes(folder):
    """HDF5 files of the kinds that docs/reading.md lists."""
    data = np.arange(2 * 9 * 8).reshape(2, 9, 8)
    kinds = {"plain": {}, "chunked": dict(chunks=(1, 4, 4)), "gzip": dict(chunks=(1, 4, 4), compression="gzip", shuffle=True),
             "sums": dict(chunks=(2, 4, 4), fletcher32=True)}
    for dtype in ("u1", ">u2", "f4", "i8", "f2"):
        with h5py.File(folder / f"volume_{dtype.strip('>')}.h5", "w") as file:
            for name, options in kinds.items():
                file.create_dataset(name, data=data.astype(dtype), **options).attrs["resolution"] = [50.0, 4, 4]
            file["soft"] = h5py.SoftLink("/plain")
            file["flags"] = data > 5
    # Stored as a result: every chunk is reserved, one behind the other.
    with h5py.File(folder / "result.h5", "w", libver=("v110", "v110")) as file:
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((1, 4, 4))
        how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(file.id, b"p", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((2, 9, 8)), how)
        file["p"][...] = data
    layout = h5py.VirtualLayout((2, 9, 8), "u1")
    layout[:] = h5py.VirtualSource("volume_u1.h5", "plain", (2, 9, 8))
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
        file["outside"] = h5py.ExternalLink("volume_u1.h5", "/plain")


def shortened(value):
    """JSON with at most one entry in each list: the report of it is quick."""
    if isinstance(value, dict):
        return {key: shortened(one) for key, one in value.items()}
    return [shortened(one) for one in value[:1]] if isinstance(value, list) else value


def experiment_sections(folder):
    """A file for each section of the experiment with every key, without comments."""
    lines = [line for line in (SOURCE / "configs/all_keys.yaml").read_text().splitlines() if not line.lstrip().startswith("#")]
    starts = [i for i, line in enumerate(lines) if line[:1].isalpha()]
    for begin, end in zip(starts, [*starts[1:], len(lines)]):
        (folder / lines[begin].split(":")[0]).write_text("\n".join(line.split("  #")[0] for line in lines[begin:end]) + "\n")


def main():
    out = pathlib.Path(sys.argv[1])
    for reader in ("checkpoint", "graph", "graph_file", "journal", "json", "lock", "metrics", "names", "png", "report", "tables",
                   "tiff", "volume", "yaml", "zip"):
        (out / reader).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tessera_") as scratch:
        made = pathlib.Path(scratch)
        server = ForkServer(made)
        make_fixture(made, server)
        make_partial(made, made, server)
        # Few weights: the checkpoint of t is small, and a harness reads it quickly.
        for arguments in (["train", "t.yaml", "--set", "model.depth=1", "--set", "model.base_filters=1"],
                          ["segment", "s.yaml"], ["segment", "c.yaml"],
                          ["evaluate", "--prediction", "segmented.h5:/ids", "--labels", "greedy.h5:/ids", "--json", "objects.json"],
                          ["evaluate", "--graph", "greedy.graph.h5", "--labels", "greedy.h5:/ids", "--prediction", "greedy.h5:/ids",
                           "--json", "graph.json"]):
            outcome = server.run(arguments, made, timeout=120)
            if outcome.code != 0:
                raise AssertionError(str(outcome))
        server.close()
        run = made / "runs/e"
        for reader, files in {"checkpoint": ["runs/t/checkpoints/best.h5"],
                              "journal": ["prediction.h5.journal", "partial.h5.journal", "greedy.graph/pass1.journal"],
                              "graph": ["greedy.graph/00000000.block", "half.graph/00000001.block", "parts.graph/00000000.block"],
                              "graph_file": ["greedy.graph.h5", "segmented.graph.h5"], "tables": ["greedy.graph/tables"],
                              "metrics": ["runs/e/metrics.csv"], "png": ["sections/section_0000.png"],
                              "tiff": ["old.tif", "stack.tif"], "yaml": ["e.yaml", "runs/e/config.yaml", "runs/e/inference.yaml"],
                              "volume": ["many.h5", "packed.h5"], "zip": ["model.pt"]}.items():
            for name in files:
                shutil.copy(made / name, out / reader / name.replace("/", "_"))
        experiment_sections(out / "yaml")
        parts = [run / "evaluation.json", run / "inference.json", run / "training.json", made / "runs/s/segmentation.json",
                 made / "objects.json", made / "graph.json", run / "config.yaml", run / "metrics.csv"]
        (out / "report/run").write_bytes(b"\0".join(
            json.dumps(shortened(json.loads(part.read_bytes()))).encode() if part.suffix == ".json" else part.read_bytes()
            for part in parts))
        head = (made / "prediction.h5.journal").read_bytes()
        text = head[16:16 + int.from_bytes(head[12:16], "little")]
        (out / "json/head").write_bytes(text)
        (out / "json/job").write_bytes(text[text.index(b'"job":') + 6:text.index(b"}") + 1])
        (out / "names/one").write_bytes(b"stack_*_[a-f]?.h5:/volumes/*\nstack_12_b7.h5:/volumes/raw")
        (out / "lock/record").write_text("node-17-12345-4026531836 2026-01-02T03:04:05Z exists\n")
        volumes(out / "volume")


if __name__ == "__main__":
    main()
