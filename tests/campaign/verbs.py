"""The verbs that the campaign disturbs: what each needs, how it is called, and which files it writes."""

import dataclasses
import pathlib
import shutil

import h5py
import numpy as np

import contents
from harness import SMALL_EXPERIMENT, SOURCE, merged, yaml_text


@dataclasses.dataclass
class Verb:
    name: str
    arguments: list
    inputs: list                # files and folders of the fixture
    writes: bool = True
    resumes: bool = False       # a disturbed run may leave a part of the result, which the next start completes
    results: str = None         # a pattern of the files that are compared after a restart; None: all
    stdout: bool = False        # what it prints is its result
    tolerant: bool = False      # leaves out what it cannot read, or leaves what it cannot remove, with a warning
    torch: bool = False         # starts LibTorch: slower, and with many more allocations
    again: list = None          # the next start after a disturbed one; None: the same arguments
    ranks: bool = False         # also disturbed under mpirun

    @property
    def verb(self):
        return self.arguments[0]


GOLDEN = SOURCE / "tests/golden/segmentation"
PREDICTION = r"^(prediction|partial)\.h5"
SEGMENTED = r"^(segmented|parts|greedy|half)\.(h5|graph)"
GREEDY = ["g.yaml", "odd.h5", "greedy.h5", "greedy.h5.journal", "greedy.graph.h5", "greedy.graph", "runs/g"]
TRAINED = r"^runs/\w+/(checkpoints/|metrics\.csv|config\.yaml|version\.txt)"

VERBS = [
    Verb("synth", ["synth", "new.h5", "--shape", "3,64,64", "--seed", "3"], []),
    Verb("synth --overwrite", ["synth", "stack.h5", "--shape", "3,64,64", "--seed", "3", "--overwrite"], ["stack.h5"]),
    Verb("import tiff", ["import", "stack.tif", "new.h5:/volumes/raw", "--resolution", "50,4,4"], ["stack.tif"]),
    Verb("import png", ["import", "sections", "new.h5:/volumes/raw", "--gzip", "1"], ["sections"]),
    Verb("import --overwrite", ["import", "stack.tif", "many.h5:/a", "--overwrite"], ["stack.tif", "many.h5"]),
    Verb("export tiff", ["export", "stack.h5:/volumes/raw", "new.tif"], ["stack.h5"]),
    Verb("export tiff --overwrite", ["export", "stack.h5:/volumes/raw", "old.tif", "--overwrite"], ["stack.h5", "old.tif"]),
    Verb("export png", ["export", "stack.h5:/volumes/raw", "new"], ["stack.h5"]),
    Verb("export png --overwrite", ["export", "stack.h5:/volumes/raw", "sections", "--sections", "1:3", "--overwrite"],
         ["stack.h5", "sections"], tolerant=True),
    Verb("evaluate", ["evaluate", "e.yaml"], ["e.yaml", "stack.h5", "prediction.h5", "prediction.h5.journal", "runs/e"], tolerant=True),
    Verb("evaluate --json", ["evaluate", "--prediction", "prediction.h5:/p", "--labels", "stack.h5:/volumes/labels/cells",
                             "--json", "scores.json"], ["stack.h5", "prediction.h5", "prediction.h5.journal", "scores.json"]),
    Verb("report", ["report", "runs/e"], ["runs/e", "stack.h5", "prediction.h5", "prediction.h5.journal"], tolerant=True),
    Verb("pack", ["pack", "prediction.h5:/p", "new.h5:/p"], ["prediction.h5", "prediction.h5.journal", "stack.h5"]),
    Verb("pack --overwrite", ["pack", "prediction.h5:/p", "packed.h5:/p", "--overwrite"],
         ["prediction.h5", "prediction.h5.journal", "stack.h5", "packed.h5"]),
    Verb("pack --replace", ["pack", "prediction.h5:/p", "--replace"], ["prediction.h5", "prediction.h5.journal", "stack.h5"]),
    Verb("export-model", ["export-model", "best.h5", "new.pt"], ["best.h5"], torch=True),
    Verb("export-model --overwrite", ["export-model", "best.h5", "model.pt", "--overwrite"], ["best.h5", "model.pt"], torch=True),
    Verb("train", ["train", "t.yaml", "--resume"], ["t.yaml", "stack.h5"], resumes=True, results=TRAINED, torch=True, ranks=True),
    Verb("train --resume", ["train", "r.yaml", "--resume"], ["r.yaml", "stack.h5", "runs/r"], resumes=True, results=TRAINED,
         torch=True, ranks=True),
    Verb("train --overwrite", ["train", "r.yaml", "--overwrite"], ["r.yaml", "stack.h5", "runs/r"], resumes=True, results=TRAINED,
         torch=True),
    Verb("infer", ["infer", "e.yaml"], ["e.yaml", "stack.h5", "runs/e"], resumes=True, results=PREDICTION, torch=True, ranks=True),
    Verb("infer again", ["infer", "e.yaml", "--set", "infer.output=partial.h5:/p"],
         ["e.yaml", "stack.h5", "runs/e", "partial.h5", "partial.h5.journal"], resumes=True, results=PREDICTION, torch=True,
         ranks=True),
    Verb("infer --restart", ["infer", "e.yaml", "--restart"],
         ["e.yaml", "stack.h5", "runs/e", "prediction.h5", "prediction.h5.journal"], resumes=True, results=PREDICTION, torch=True),
    Verb("infer torchscript", ["infer", "e.yaml", "--set", "model.torchscript=model.pt"],
         ["e.yaml", "stack.h5", "runs/e", "model.pt"], resumes=True, results=PREDICTION, torch=True),
    Verb("segment", ["segment", "s.yaml"], ["s.yaml", "odd.h5"], resumes=True, results=SEGMENTED, ranks=True),
    Verb("segment again", ["segment", "h.yaml"], ["h.yaml", "odd.h5", "half.graph"], resumes=True, results=SEGMENTED, ranks=True),
    Verb("segment components", ["segment", "c.yaml"], ["c.yaml", "odd.h5"], resumes=True, results=SEGMENTED),
    Verb("segment --cut", ["segment", "g.yaml", "--cut", "0.6"], GREEDY, resumes=True, results=SEGMENTED),
    Verb("evaluate --graph", ["evaluate", "--graph", "greedy.graph.h5", "--labels", "greedy.h5:/ids", "--prediction", "greedy.h5:/ids",
                              "--json", "graph.json"], GREEDY),
    Verb("init", ["init", "stack.h5:/volumes/raw", "--labels", "stack.h5:/volumes/labels/cells", "--minutes", "0.02", "-o", "new.yaml"],
         ["stack.h5"], torch=True),
    Verb("help --man", ["help", "--man", "man"], []),
    Verb("verify", ["verify", "prediction.h5:/p"], ["prediction.h5", "prediction.h5.journal", "stack.h5"], writes=False,
         stdout=True),
    Verb("info", ["info", "stack.h5"], ["stack.h5"], writes=False, stdout=True),
    Verb("check", ["check", "e.yaml"], ["e.yaml", "stack.h5", "runs/e"], writes=False, stdout=True, torch=True),
    Verb("status", ["status", "runs/e"], ["runs/e", "stack.h5", "prediction.h5", "prediction.h5.journal"], writes=False,
         stdout=True),
]


def experiment(name, changes=None):
    base = merged(SMALL_EXPERIMENT, {
        "experiment": name, "data": {"train_sections": [0, 2], "validation_sections": [2, 3]},
        "train": {"iterations": 4, "checkpoint_every": 1, "validate_every": 2},
        "infer": {"output": "prediction.h5:/p", "block": [1, 48, 48], "chunk": [1, 48, 48]},
        "evaluate": {"sections": [2, 3]}})
    return yaml_text(merged(base, changes or {}))


def segmentation(name, output, changes=None):
    return yaml_text({"experiment": name, "segment": merged({
        "prediction": "odd.h5:/volumes/predictions/interior", "output": f"{output}:/ids", "threads": 1, "mode": "volume",
        "thresholds": [0.9, 0.7, 0.5], "fragment_size": 8, "small_size": 20, "small_threshold": 0.3, "block": [9, 16, 24],
        "chunk": [9, 16, 12]}, changes or {})})


def write_segmentations(folder):
    """Experiments of `segment` on a golden volume."""
    shutil.copy(GOLDEN / "odd.h5", folder / "odd.h5")
    (folder / "s.yaml").write_text(segmentation("s", "segmented.h5"))
    (folder / "h.yaml").write_text(segmentation("h", "half.h5"))
    (folder / "g.yaml").write_text(segmentation("g", "greedy.h5", {"linkage": "mean"}))
    (folder / "c.yaml").write_text(yaml_text({"experiment": "c", "segment": {
        "method": "components", "prediction": "odd.h5:/volumes/predictions/interior", "output": "parts.h5:/ids", "threads": 1,
        "threshold": 0.6, "block": [9, 16, 24], "chunk": [9, 16, 12]}}))


def make_fixture(folder, server):
    """Fills `folder` with the inputs of every verb. Errors: AssertionError when a verb fails."""
    folder = pathlib.Path(folder)

    def run(*arguments):
        outcome = server.run([*map(str, arguments)], folder, timeout=120)
        if outcome.code != 0:
            raise AssertionError(f"tessera {' '.join(map(str, arguments))}: {outcome}")

    run("synth", "stack.h5", "--shape", "3,96,96", "--cell-size", "20", "--seed", "7")
    run("export", "stack.h5:/volumes/raw", "stack.tif")
    run("export", "stack.h5:/volumes/raw", "old.tif", "--sections", "0:1")
    run("export", "stack.h5:/volumes/raw", "sections")
    (folder / "e.yaml").write_text(experiment("e"))
    (folder / "t.yaml").write_text(experiment("t"))
    (folder / "r.yaml").write_text(experiment("r"))
    write_segmentations(folder)
    run("train", "e.yaml")
    run("train", "r.yaml", "--set", "train.iterations=2")
    run("infer", "e.yaml")
    run("pack", "prediction.h5:/p", "packed.h5:/p", "--gzip", "1")
    run("evaluate", "e.yaml")
    run("evaluate", "--prediction", "prediction.h5:/p", "--labels", "stack.h5:/volumes/labels/cells", "--json", "scores.json",
        "--sections", "0:1")
    run("report", "runs/e")
    shutil.copy(folder / "runs/e/checkpoints/best.h5", folder / "best.h5")
    run("export-model", "best.h5", "model.pt")
    with h5py.File(folder / "many.h5", "w") as file:
        for name in "ab":
            file.create_dataset(name, data=np.full((2, 16, 16), ord(name), np.uint8)).attrs["resolution"] = [50.0, 4, 4]


PARTIAL = ["partial.h5", "partial.h5.journal", "half.graph", "greedy.h5", "greedy.h5.journal", "greedy.graph.h5", "greedy.graph",
           "runs/g"]
PARTIAL_INPUTS = ["e.yaml", "stack.h5", "runs/e", "odd.h5", "h.yaml", "g.yaml"]


def make_partial(folder, kept, server):
    """Predicts partial.h5 in `folder`, which has PARTIAL_INPUTS, and removes the last blocks from its journal; the same for the
    first pass of half.h5. Segments greedy.h5. The journals are for this path of the folder alone. Moves all to `kept`."""
    for arguments in (["infer", "e.yaml", "--set", "infer.output=partial.h5:/p"], ["segment", "h.yaml"], ["segment", "g.yaml"]):
        outcome = server.run(arguments, folder, timeout=120)
        if outcome.code != 0:
            raise AssertionError(str(outcome))
    for journal, blocks in (("partial.h5.journal", 5), ("half.graph/pass1.journal", 2)):
        data = (folder / journal).read_bytes()
        (folder / journal).write_bytes(data[:-32 * blocks])
    for one in (*folder.glob("half.h5*"), folder / "half.graph.h5", *folder.glob("half.graph/tables*")):
        one.unlink()
    (kept / "runs").mkdir(exist_ok=True)
    for name in PARTIAL:
        shutil.move(folder / name, kept / name)


def fill(fixture, kept, folder, inputs):
    """Copies the inputs, with their times, into an empty folder."""
    for name in inputs:
        source, to = (kept if name in PARTIAL else fixture) / name, pathlib.Path(folder) / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to)
        else:
            shutil.copy2(source, to)


def learn(verb, worker, times):
    """(Reference, seconds, the lines printed in every undisturbed run). Errors: AssertionError when the verb fails."""
    afters, seconds, lines = [], [], None
    for _ in range(times):
        folder = worker.folder(verb.inputs)
        before = contents.of_folder(folder)
        outcome = worker.server.run(verb.arguments, folder, timeout=120)
        if outcome.code != 0 or outcome.errors():
            raise AssertionError(f"undisturbed {verb.name}: {outcome}")
        afters.append(contents.of_folder(folder))
        seconds.append(outcome.seconds)
        printed = set(outcome.stdout.splitlines())
        lines = printed if lines is None else lines & printed
    return contents.Reference(before, afters, verb.results), sorted(seconds)[len(seconds) // 2], lines
