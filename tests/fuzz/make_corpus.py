#!/usr/bin/python3
"""Makes small corpora for the harnesses of this folder: make_corpus.py FOLDER. Needs a built tessera (TESSERA_BINARY)."""

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
    layout = h5py.VirtualLayout((2, 9, 8), "u1")
    layout[:] = h5py.VirtualSource("volume_u1.h5", "plain", (2, 9, 8))
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
        file["outside"] = h5py.ExternalLink("volume_u1.h5", "/plain")


def main():
    out = pathlib.Path(sys.argv[1])
    for reader in ("checkpoint", "journal", "json", "metrics", "names", "png", "report", "tiff", "volume", "yaml"):
        (out / reader).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tessera_") as scratch:
        made = pathlib.Path(scratch)
        server = ForkServer(made)
        make_fixture(made, server)
        make_partial(made, made, server)
        server.close()
        run = made / "runs/e"
        for reader, files in {"checkpoint": ["best.h5"], "journal": ["prediction.h5.journal", "partial.h5.journal"],
                              "metrics": ["runs/e/metrics.csv"], "png": ["sections/section_0000.png"],
                              "tiff": ["old.tif", "stack.tif"], "yaml": ["e.yaml", "runs/e/config.yaml", "runs/e/inference.yaml"],
                              "volume": ["many.h5"]}.items():
            for name in files:
                shutil.copy(made / name, out / reader / name.replace("/", "_"))
        shutil.copy(SOURCE / "configs/all_keys.yaml", out / "yaml")
        parts = [(run / name).read_bytes() for name in ("evaluation.json", "inference.json", "training.json")]
        (out / "report/run").write_bytes(b"\0".join(parts))
        head = (made / "prediction.h5.journal").read_bytes()
        text = head[16:16 + int.from_bytes(head[12:16], "little")]
        (out / "json/head").write_bytes(text)
        (out / "json/job").write_bytes(text[text.index(b'"job":') + 6:text.index(b"}") + 1])
        (out / "names/one").write_bytes(b"stack_*_[a-f]?.h5:/volumes/*\nstack_12_b7.h5:/volumes/raw")
        volumes(out / "volume")


if __name__ == "__main__":
    main()
