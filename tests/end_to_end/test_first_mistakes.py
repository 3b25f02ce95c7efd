"""The 41 mistakes of a first hour, as a table: what goes wrong, the message, and what to do. Each is a test, which also does
what the table advises and sees that it helps. docs/mistakes.md shows the same table, and a test compares both.

`python3 test_first_mistakes.py rows` prints the page's tables.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import unittest

import h5py
import numpy as np

from harness import SOURCE, Case, run_tessera
from image_files import grey_tags, png_bytes, png_chunk, tiff_bytes

DONE, FAILED, USAGE = 0, 1, 2
RAW, CELLS, IDS = "stack.h5:/volumes/raw", "stack.h5:/volumes/labels/cells", "stack.h5:/volumes/labels/instances"
PAGE = SOURCE / "docs/mistakes.md"


def sets(**changes):
    """--set arguments. A double underscore stands for the dot."""
    return [word for key, value in changes.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


def check(**changes):
    return ["check", "good.yaml", "--measure", "0", *sets(**changes)]


def train(name, **changes):
    """In a run folder of its own."""
    return ["train", "good.yaml", *sets(experiment=name, **changes)]


def infer(**changes):
    return ["infer", "good.yaml", *sets(**changes)]


def to_raw(source, *options):
    return ["import", source, "imported.h5:/raw", "--overwrite", *options]


@dataclasses.dataclass
class Mistake:
    """A row of the table and its test.

    name: of the test. mistake: for the user, one phrase. message: as printed, the whole first line, with ... for names and
    numbers. remedy: for the user. command: what the user types. code: its exit code. prepare: makes the files, called with
    the test. holds: a pattern of the whole output, for what the message has as `...`. mended: the command after the remedy,
    which must end with exit code 0 and without a warning; None where the remedy is not a command. environment: of the command.
    """

    name: str
    mistake: str
    message: str
    remedy: str
    command: list
    code: int
    prepare: object = None
    holds: str = ""
    mended: list = None
    ranks: int = 0
    environment: dict = None

    def pattern(self):
        return ".*".join(map(re.escape, self.message.split("...")))


# What is prepared


def png_of(pixels, colour=0, before=b""):
    """8 bits; colour: 0 grey, 2 RGB, 3 palette."""
    return png_bytes(pixels.shape[:2], 8, colour, b"".join(b"\0" + row.tobytes() for row in pixels), before)


def folder_of_sections(test, name):
    shutil.copytree(test.folder / "sections", test.folder / name)
    return test.folder / name


def tiff_for_hdf5(test):
    shutil.copy(test.folder / "stack.tif", test.folder / "em.h5")
    test.tessera(["import", "stack.tif", "of_tiff.h5:/volumes/raw"])


def gap(test):
    (folder_of_sections(test, "gap") / "section_0003.png").unlink()


def preview(test):
    (folder_of_sections(test, "preview") / "section_0006.png").write_bytes(png_of(test.raw[0, ::2, ::2]))


def colour(test):
    (test.folder / "screenshot.png").write_bytes(png_of(np.repeat(test.raw[0, :, :, None], 3, 2), 2))


def palette(test):
    colours = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    (test.folder / "labels.png").write_bytes(png_of(test.cells[0], 3, png_chunk(b"PLTE", colours.tobytes())))


def imagej_channels(test):
    """ImageJ writes a large hyperstack as one directory and a description."""
    planes = np.repeat(test.raw, 2, axis=0)
    text = "ImageJ=1.54f\nimages=12\nchannels=2\nslices=6\nhyperstack=true\nmode=composite\n"
    (test.folder / "channels.tif").write_bytes(tiff_bytes(planes.tobytes(), {**grey_tags(96, 96, 8), 279: (4, 96 * 96)}, text))


def white_is_zero(test):
    mask = np.where(test.cells[0] > 0, 255, 0).astype(np.uint8)
    (test.folder / "mask.tif").write_bytes(tiff_bytes(mask.tobytes(), grey_tags(96, 96, 8, photometric=0)))


def negative(test):
    grey = test.raw[0].astype(np.float32) - 128
    signed = {**grey_tags(96, 96, 16), 339: (3, 2)}
    (test.folder / "signed.tif").write_bytes(tiff_bytes(grey.astype("<i2").tobytes(), signed))
    (test.folder / "float.tif").write_bytes(tiff_bytes(grey.astype("<f4").tobytes(), {**grey_tags(96, 96, 32), 339: (3, 3)}))


def axes(test):
    test.write_volumes("yxz.h5", {"raw": np.moveaxis(test.raw, 0, 2), "labels": np.moveaxis(test.cells, 0, 2)})


def truncated(test):
    whole = (test.folder / "stack.h5").read_bytes()
    (test.folder / "short.h5").write_bytes(whole[:len(whole) // 2])


def open_in_python(test):
    """Until the mistake was made."""
    test.write_volumes("open.h5", {"labels": test.cells})
    script = "import h5py, sys; f = h5py.File('open.h5', 'r+'); print('open', flush=True); sys.stdin.read()"
    python = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=test.folder,
                              env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"})

    def close():
        with contextlib.suppress(BrokenPipeError):
            python.stdin.close()
        python.wait(10)
        python.stdout.close()

    test.before_mending(close)
    test.assertEqual(python.stdout.readline(), b"open\n")


def ids(test):
    test.write_volumes("ids.h5", {"labels": test.ids})


def labels(test, voxels):
    test.write_volumes("labels.h5", {"labels": voxels})


def settings(name, old, new):
    """Writes NAME.yaml: the good experiment with one change."""
    def write(test):
        text = (test.folder / "good.yaml").read_text()
        test.assertIn(old, text)
        (test.folder / f"{name}.yaml").write_text(text.replace(old, new))
    return write


def dark(test):
    test.write_volumes("dark.h5", {"raw": test.raw // 4})


def damaged_checkpoint(test):
    whole = bytearray((test.folder / "runs/good/checkpoints/best.h5").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (test.folder / "copied.h5").write_bytes(whole)


def logits(test):
    score = np.where(test.cells > 0, 3, -3) + np.random.default_rng(1).normal(0, 1, test.cells.shape)
    test.write_volumes("scores.h5", {"logits": score.astype(np.float32), "probability": (1 / (1 + np.exp(-score))).astype(np.float32)})


def inverted(test):
    logits(test)
    test.write_volumes("inverted.h5", {"labels": np.where(test.cells > 0, 0, 255).astype(np.uint8)})


def huge(test):
    """909 TiB that no chunk is stored of."""
    with h5py.File(test.folder / "huge.h5", "w") as file:
        file.create_dataset("raw", (1000, 10**6, 10**6), "u1", chunks=(16, 1024, 1024), fillvalue=112)


# The table


FILES = [
    Mistake("wrong_path", "The path of a file is wrong, or counts from another folder",
            "error: cannot open ...: No such file or directory (is the path right, and seen from this node?)",
            "`ls` the path. Start Tessera in the folder that the paths of the YAML file count from",
            check(data__raw="data/stack.h5:/volumes/raw"), FAILED, holds="data/stack.h5", mended=check()),
    Mistake("wrong_dataset", "The name of a dataset has a typing mistake",
            "error: ... has no dataset ... ('tessera info ...' lists what it has)",
            "Copy the name from `tessera info FILE.h5`",
            check(data__raw="stack.h5:/volume/raw"), FAILED, holds=r"no dataset /volume/raw \('tessera info stack.h5'", mended=check()),
    Mistake("tiff_for_hdf5", "A TIFF stack was renamed to `.h5`",
            "error: ... is not an HDF5 file (TIFF and PNG stacks become one with 'tessera import')",
            "`tessera import stack.tif em.h5:/volumes/raw --resolution 50,4,4`; or name the `.tif` file itself in the experiment",
            check(data__raw="em.h5:/volumes/raw"), FAILED, tiff_for_hdf5, holds="em.h5 is", mended=check(data__raw="of_tiff.h5:/volumes/raw")),
    Mistake("missing_section", "An image is missing in a folder of sections",
            "error: ...: ... section(s) missing by the numbers in the names: .... Pass --missing black or repeat to fill these places, "
            "or --missing skip to close up",
            "Find the image. Otherwise `--missing repeat` keeps the sections at their places",
            to_raw("gap"), USAGE, gap, holds="gap: 1 .*: 3 between section_0002.png and section_0004.png",
            mended=to_raw("gap", "--missing", "repeat")),
    Mistake("other_size", "A preview or an image of another size lies in the folder",
            "error: ... is ..., but ... is ...: the sections of a stack must be alike",
            "Move the image out of the folder, or crop all images to one size",
            to_raw("preview"), FAILED, preview, holds="section_0006.png is 48 x 48 uint8, but section_0000.png is 96 x 96 uint8",
            mended=to_raw("sections")),
    Mistake("colour", "The sections were saved in colour (RGB), as a screenshot is",
            "error: ... is a colour image with ... channels: choose one with --channel 0 to ...",
            "`--channel 0`; or in Fiji: Image > Type > 8-bit, and save again",
            to_raw("screenshot.png"), USAGE, colour, holds="with 3 channels.*0 to 2", mended=to_raw("screenshot.png", "--channel", "0")),
    Mistake("palette", "Labels were saved with a colour table (a LUT in Fiji)",
            "error: ... is a palette image: pass --indices to read the indices (right for labels); save a raw image as grey first "
            "(that would change the ids of labels)",
            "`--indices` for labels",
            to_raw("labels.png"), USAGE, palette, holds="labels.png", mended=to_raw("labels.png", "--indices")),
    Mistake("channels", "An ImageJ stack has several channels",
            "error: ... has ... channels of ... section(s) (ImageJ): choose one with --channel 0 to ...",
            "`--channel 0`. If the channels are in truth the sections: `--channel all`",
            to_raw("channels.tif"), USAGE, imagej_channels, holds="2 channels of 6 section.*0 to 1",
            mended=to_raw("channels.tif", "--channel", "1")),
    Mistake("white_is_zero", "A mask was saved with 0 as white (an inverted LUT)",
            "error: page ... of ... says that its value 0 is white: pass --white-is-zero keep to read the stored numbers (right for labels "
            "and masks), or --white-is-zero invert to make 0 black",
            "`--white-is-zero keep` for labels and masks, `invert` for raw sections",
            to_raw("mask.tif"), USAGE, white_is_zero, holds="page 0 of mask.tif", mended=to_raw("mask.tif", "--white-is-zero", "keep")),
    Mistake("negative", "The image is int16 and has negative values",
            "error: cannot read page ... of ...: it holds the negative value ..., and volumes hold unsigned integers: add a constant, or save "
            "it as float32",
            "In Fiji: Image > Type > 32-bit, save, import again",
            to_raw("signed.tif"), FAILED, negative, holds=r"page 0 of signed.tif: it holds the negative value -\d+", mended=to_raw("float.tif")),
    Mistake("axes", "The array is stored as (y, x, z), as NIfTI and many NumPy files are",
            "warning: ...: its shape is (...): the last axis is by far the shortest, but the order is (z, y, x), sections first. If the axes are "
            "in another order, reorder them: tessera import ... NEW.h5:/volumes/raw --axes ...",
            "Start the command that the message shows; for `xyz` in place of `yxz` change its last word. Do the same with the labels",
            check(data__raw="yxz.h5:/raw", data__labels="yxz.h5:/labels"), DONE, axes, holds=r"\(96, 96, 6\).*--axes yxz",
            mended=to_raw("yxz.h5:/raw", "--axes", "yxz")),
    Mistake("truncated", "The download or the copy of an HDF5 file did not finish",
            "error: cannot open ...: truncated file: ... (is the file damaged, truncated, or still being written?)",
            "Compare its size with the original, and copy it again",
            check(data__raw="short.h5:/volumes/raw"), FAILED, truncated, holds="short.h5: truncated", mended=check()),
    Mistake("open_in_python", "A Python session or HDFView still has the file open for writing",
            "error: ... is open for writing in another program: what it writes would be lost. Close it there first",
            "`file.close()` there, or end the session; then start again",
            ["import", "stack.tif", "open.h5:/volumes/raw"], USAGE, open_in_python, holds="open.h5 is open",
            mended=["import", "stack.tif", "open.h5:/volumes/raw"],
            environment={"HDF5_USE_FILE_LOCKING": "TRUE"}),
]
LABELS = [
    Mistake("ids_as_classes", "The labels are ids of cells, but are read as classes",
            "warning: the labels hold more than 16 different values (...), and data.label_kind is classes: every value above 0 is class 1, so that "
            "touching cells become one. If the values are the ids of cells, set data.label_kind: instances.",
            "`data.label_kind: instances`",
            check(data__labels="ids.h5:/labels"), DONE, ids, holds=r"values \(0, \d+", mended=check(data__labels="ids.h5:/labels", data__label_kind="instances")),
    Mistake("one_value", "The labels have one value only: an empty mask, or 1 and 2 in place of 0 and 1",
            "error: all ... annotated voxels are class ...: the labels hold ..., and every id above 0 is class 1. Such labels teach nothing. Correct "
            "the labels, data.label_kind, data.invert_labels or data.ignore_label; if one class is meant, set data.allow_one_class: true.",
            "Look at the labels in Fiji. Membrane must be 0, or choose other sections",
            check(data__labels="labels.h5:/labels"), USAGE, lambda test: labels(test, np.where(test.cells > 0, 2, 1).astype(np.uint8)),
            holds="all 36864 .* class 1: the labels hold 1, 2,", mended=check()),
    Mistake("raw_as_labels", "The raw volume is named twice, also as the labels",
            "error: data.labels: ... holds the voxels of the raw volume ...: name the labels",
            "Name the dataset of the labels; `tessera info FILE.h5` lists all",
            check(data__labels=RAW), USAGE, holds=f"data.labels: {RAW} holds the voxels of the raw volume {RAW}", mended=check()),
    Mistake("swapped", "Raw volume and labels are swapped",
            "error: raw volume and labels look exchanged: ... (data.raw) has large areas of one value, as labels do, and ... (data.labels) changes "
            "from pixel to pixel, as grey values do. Exchange the two names.",
            "Exchange `data.raw` and `data.labels`",
            check(data__raw=CELLS, data__labels=RAW), USAGE, holds=f"exchanged: {CELLS} .* and {RAW} ", mended=check()),
    Mistake("other_shape", "The labels are of another volume, or of a part of it",
            "error: the labels ... have the shape (...), but the raw volume ... has (...): they must be equal, or attributes 'offset' (in nm) must "
            "place one in the other",
            "Name the labels of this volume. Labels of a part need an attribute `offset`, in nm along z, y, x",
            check(data__labels="labels.h5:/labels"), USAGE, lambda test: labels(test, test.cells[:4, :, :95]),
            holds=r"shape \(4, 96, 95\).*has \(6, 96, 96\)", mended=check()),
    Mistake("probability_as_labels", "A probability map stands where labels belong",
            "error: cannot read ... of ...: it holds ..., and labels are whole numbers. Are prediction and labels swapped? Of a probability, make labels: "
            "tessera import FILE.h5:/probability NEW.h5:/labels --threshold 0.5",
            "Name the labels, or make some by the command in the message",
            check(data__labels="labels.h5:/labels"), FAILED, lambda test: labels(test, (test.raw / 255).astype(np.float32)),
            holds=r"labels.h5:/labels: it holds 0\.\d+,", mended=["import", "labels.h5:/labels", "threshold.h5:/labels", "--threshold", "0.5"]),
    Mistake("not_annotated", "A negative number marks voxels that nobody annotated",
            "error: ... holds the id ... (... in signed labels) at (...), which is neither a class nor a cell. If it marks voxels without annotation, "
            "set data.ignore_label: ...",
            "`data.ignore_label: -1`, with the number of the message",
            check(data__labels="labels.h5:/labels"), FAILED, lambda test: labels(test, np.where(test.raw > 200, -1, test.cells).astype(np.int16)),
            holds=r"-1 in signed labels.*ignore_label: -1", mended=check(data__labels="labels.h5:/labels", data__ignore_label=-1)),
    Mistake("inverted", "The labels are inverted: 255 is membrane, 0 is the interior of cells",
            "warning: the prediction anticorrelates with the labels (correlation ... at threshold 0.5): the labels are probably inverted; see "
            "data.invert_labels, or --invert-labels of evaluate",
            "`data.invert_labels: true`, and train again where such labels were trained on. `tessera init` and `tessera check` often find this before the training",
            ["evaluate", "--prediction", "scores.h5:/probability", "--labels", "inverted.h5:/labels"], DONE, inverted, holds=r"correlation -1\.00",
            mended=["evaluate", "--prediction", "scores.h5:/probability", "--labels", "inverted.h5:/labels", "--invert-labels"]),
]
SETTINGS = [
    Mistake("key", "A key has a typing mistake",
            "error: ...:...:...: ...: unknown key; did you mean '...'?",
            "The message has file, line and column. `tessera help train` lists the keys of the section `train`",
            ["check", "key.yaml"], USAGE, settings("key", "iterations:", "itertions:"),
            holds=r"key.yaml:\d+:3: train.itertions: unknown key; did you mean 'iterations'\?", mended=check()),
    Mistake("number", "A number is written with a comma, a unit or as 1e4",
            "error: ...:...:...: ...: '...' is not a whole number in decimal digits",
            "Digits alone, such as `10000`; numbers with a fraction have a point: `0.001`",
            ["check", "number.yaml"], USAGE, settings("number", "iterations: 2", "iterations: 2,000"),
            holds=r"number.yaml:\d+:15: train.iterations: '2,000'", mended=check()),
    Mistake("tab", "A line of the YAML file is indented by a tab, or lacks the space after its colon",
            "error: ...:...:...: not valid YAML: ...",
            "Indent by two spaces, and write `key: value` with a space. The mistake is in the line of the message, or in the one before",
            ["check", "tab.yaml"], USAGE, settings("tab", "  iterations: 2", "\titerations: 2"), holds=r"tab.yaml:\d+:\d+: not", mended=check()),
    Mistake("tile", "The tile is of a side that the U-Net cannot have",
            "error: ...: train.tile: a tile of ... pixels does not fit the network: legal sides are ...; the nearest to ... are ... and ...",
            "Take a side that the message names",
            check(train__tile=77), USAGE, holds="a tile of 77 .* the nearest to 77 are 76 and 80", mended=check(train__tile=80)),
    Mistake("sections", "The sections reach beyond the stack, or the end was meant to be included",
            "error: data.validation_sections: [...) is not within the ... sections of ...",
            "Sections count from 0, and the end is not included: `[4, 6]` are the sections 4 and 5",
            check(data__validation_sections="[4, 7]"), USAGE, holds=r"\[4, 7\) is not within the 6 sections of stack.h5", mended=check(data__validation_sections="[4, 6]")),
    Mistake("overlap", "Sections are trained on and held out at the same time",
            "error: ...: data.validation_sections: overlaps train_sections: scores on them would mean nothing",
            "Leave sections to the validation that the training does not see: `train_sections: [0, 4]`, `validation_sections: [4, 6]`",
            check(data__validation_sections="[3, 6]"), USAGE, holds="data.validation_sections=", mended=check(data__validation_sections="[4, 6]")),
]
TRAINING = [
    Mistake("started_twice", "The training was started a second time",
            "error: ... holds a training already: go on with it by --resume, start over with --overwrite, or set another experiment or run_folder",
            "`--resume` goes on, and loses nothing. `tessera run` does so by itself",
            ["train", "good.yaml"], USAGE, holds="runs/good holds", mended=["train", "good.yaml", "--resume", *sets(train__iterations=3, experiment="goes_on")]),
    Mistake("other_network", "`--resume` after the section `model` was changed",
            "error: ... holds another network (...): ... is ... here, ... there. Set these keys of the section model back, or set another "
            "experiment or run_folder for a new training",
            "Set the key back, or give the experiment another name: another network begins at the first iteration",
            ["train", "good.yaml", "--resume", *sets(model__base_filters=3)], USAGE, holds="base_filters is 3 here, 2 there",
            mended=train("other_network", model__base_filters=3)),
    Mistake("learning_rate", "The learning rate is too high",
            "error: the loss or its gradient is not finite at iteration ...: lower train.learning_rate (now ...), or look for damaged training data; "
            "the last checkpoint is from before",
            "A tenth of the rate. 0.001 with Adam is a good start",
            train("rate", train__optimizer="sgd", train__learning_rate=1e9, train__iterations=4), FAILED, holds=r"iteration \d.*now 1000000000\)",
            mended=train("good_rate", train__learning_rate=0.001)),
    Mistake("workers", "More workers than samples in an iteration",
            "warning: ... workers share a global batch of ...: ... of them have nothing to do; raise train.global_batch",
            "`train.global_batch` at least the number of workers: one less than the `-n` of `mpirun`",
            train("workers", train__global_batch=1, train__iterations=1), DONE, holds="2 workers share a global batch of 1: 1 of them",
            mended=train("enough", train__global_batch=2, train__iterations=1), ranks=3),
    Mistake("memory", "The network or the tile is too large for the memory",
            "error: training needs about ... per worker (... of it for the annotated voxels), but ... are available to each: lower train.tile (now ...) or "
            "model.base_filters (now ...), train on fewer sections or a region, start fewer workers per node, or ask for more memory",
            "Lower `train.tile` first, then `model.base_filters`. `tessera check` says what fits",
            train("memory", model__base_filters=1024, model__depth=7, train__tile="auto"), USAGE, holds=r"about \d+ TiB per worker", mended=check()),
]
PREDICTION = [
    Mistake("before_training", "A prediction before the training, or under another experiment's name",
            "error: ...: there is no ... (run 'tessera train' first, or name a checkpoint file)",
            "Train first, or set `infer.checkpoint` to the file of a trained network",
            infer(experiment="untrained", infer__output="untrained.h5:/p"), USAGE, holds="no runs/untrained/checkpoints/best.h5",
            mended=infer(experiment="untrained", infer__output="untrained.h5:/p", infer__checkpoint="runs/good/checkpoints/best.h5")),
    Mistake("result_exists", "A prediction with other settings into the same file",
            "error: ... exists already and is the result of another job:",
            "`--restart` replaces the result. To keep it, name another file in `infer.output`",
            infer(infer__averaging="symmetries8"), USAGE, holds="infer.averaging: none then, symmetries8 now\npass --restart",
            mended=infer(infer__averaging="symmetries8", infer__output="averaged.h5:/p")),
    Mistake("contrast", "The volume has other grey values than the training's: other contrast, or 16 bits",
            "warning: ...: its grey levels (mean ..., deviation ... of a sample) are far from those that the network is made for (mean ..., deviation ...): "
            "the prediction is probably wrong. Set infer.normalisation to volume or section, or convert the volume.",
            "`infer.normalisation: volume`",
            infer(infer__raw="dark.h5:/raw", infer__output="dark_result.h5:/p"), DONE, dark, holds=r"dark.h5:/raw: its grey levels \(mean 28",
            mended=infer(infer__raw="dark.h5:/raw", infer__output="bright_result.h5:/p", infer__normalisation="volume")),
    Mistake("checkpoint", "The checkpoint was damaged when it was copied",
            "error: the checkpoint ... is damaged: its checksum does not match",
            "Copy it again; or take another one of the run folder's `checkpoints/`",
            infer(infer__checkpoint="copied.h5", infer__output="copied_result.h5:/p"), FAILED, damaged_checkpoint, holds="checkpoint copied.h5 is",
            mended=infer(infer__checkpoint="runs/good/checkpoints/best.h5", infer__output="copied_result.h5:/p")),
    Mistake("logits", "Another program's output before the softmax (logits) is scored as a probability",
            "error: ... at section ..., (y, x) = (...) is ..., not a probability in [0, 1] (are these scores before the softmax?)",
            "Apply softmax, or the sigmoid where there is one output: `1 / (1 + np.exp(-logits))`",
            ["evaluate", "--prediction", "scores.h5:/logits", "--labels", CELLS], FAILED, logits, holds=r"logits at section 0, \(y, x\) = \(0, \d+\)",
            mended=["evaluate", "--prediction", "scores.h5:/probability", "--labels", CELLS]),
]
MACHINE = [
    Mistake("gpu", "`device: cuda` on a machine without a GPU",
            "error: device: cuda was asked for, but ... shows no CUDA device to rank ... (is this a CUDA build of LibTorch, and was a GPU requested?)",
            "`nvidia-smi` lists the GPUs. Leave `device` at `auto`; under Slurm set `slurm.gpus_per_node: 1`. Debian's LibTorch has no CUDA ([gpu.md](gpu.md))",
            train("gpu", device="cuda"), USAGE, holds="to rank 0", mended=train("cpu", device="auto"),
            environment={"CUDA_VISIBLE_DEVICES": ""}),
    Mistake("no_slurm", "`tessera submit` on a computer without Slurm",
            "error: there is no sbatch here: submit from a login node of a Slurm cluster; --dry-run --scripts shows the scripts",
            "`tessera run my.yaml` does the same work on this computer",
            ["submit", "good.yaml"], USAGE, environment={"PATH": "/nowhere"}),
    Mistake("srun", "`srun` starts the tasks without MPI",
            "error: started by srun without MPI: every task would run alone; use srun --mpi=pmix",
            "`srun --mpi=pmix tessera ...`; `srun --mpi=list` shows what the cluster has",
            ["train", "good.yaml", "--resume"], USAGE, environment={"SLURM_STEP_NUM_TASKS": "3"}),
    Mistake("disk", "The disk has no room for the result",
            "error: the disk has no room for ...: it needs ..., ... are free (free some space or write elsewhere)",
            "Free some space, or set `infer.output` to another disk. `infer.dtype: uint8` needs a quarter of float32",
            infer(infer__raw="huge.h5:/raw", infer__output="large.h5:/p"), FAILED, huge, holds=r"large.h5: it needs 9\d\d TiB, \d",
            mended=infer(infer__output="large.h5:/p")),
]
GROUPS = {"Files": FILES, "Labels": LABELS, "Settings": SETTINGS, "Training": TRAINING, "Prediction and scores": PREDICTION,
          "Computer and cluster": MACHINE}
TABLE = [one for group in GROUPS.values() for one in group]


class Mistakes(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.raw, cls.cells, cls.ids = (cls.read(name) for name in (RAW, CELLS, IDS))
        cls.config("good", {"train": {"iterations": 2}})
        for words in (["export", RAW, "stack.tif"], ["export", RAW, "sections"], ["train", "good.yaml"], ["infer", "good.yaml"]):
            cls.done(cls.folder, words)

    def before_mending(self, do):
        """Calls `do` between the mistake and its remedy, and at the end of the test."""
        self.between.append(do)
        self.addCleanup(do)

    def make(self, mistake):
        self.between = []
        if mistake.prepare:
            mistake.prepare(self)
        result = run_tessera(mistake.command, mistake.ranks, 60, self.folder, mistake.environment)
        if mistake.code == DONE:
            self.assertEqual((result.code, result.errors()), (DONE, []), result)
            said = {f"warning: {one}" for one in result.warnings()}
        else:
            self.assert_one_error(result, mistake.code, [])
            said = {f"error: {one}" for one in result.errors()}
        self.assertEqual(len(said), 1, f"one message was expected\n{result}")
        self.assertRegex(said.pop(), re.compile(f"^{mistake.pattern()}$"), result)
        if mistake.holds:
            self.assertRegex(result.text, mistake.holds, result)
        self.assertEqual(self.leftovers(), [])
        for do in self.between:
            do()
        if mistake.mended:
            self.assertEqual(self.done(self.folder, mistake.mended, mistake.ranks).warnings(), [], "the remedy should end the warning")


for one_mistake in TABLE:
    setattr(Mistakes, f"test_{one_mistake.name}", lambda self, mistake=one_mistake: self.make(mistake))


def rows():
    """{heading: the rows of its table} as docs/mistakes.md has them."""
    number = {one.name: i for i, one in enumerate(TABLE, 1)}
    return {group: [f"| {number[one.name]} | {one.mistake} | `{one.message}` | {one.remedy} |" for one in mistakes]
            for group, mistakes in GROUPS.items()}


class Page(unittest.TestCase):

    def test_has_this_table(self):
        """`python3 test_first_mistakes.py rows` prints what the page should have."""
        sections = dict(re.findall(r"^## (.*)\n((?:(?!#).*\n)*)", PAGE.read_text(), re.MULTILINE))
        shown = {name: re.findall(r"^\| \d+ \|.*\|$", text, re.MULTILINE) for name, text in sections.items()}
        self.assertEqual({name: found for name, found in shown.items() if found}, rows())

    def test_table_has_41_mistakes(self):
        self.assertEqual(len(TABLE), 41)
        self.assertEqual(len({one.name for one in TABLE}), 41)
        self.assertEqual([name for name in dir(Mistakes) if name.startswith("test_")], sorted(f"test_{one.name}" for one in TABLE))
        for one in TABLE:
            self.assertRegex(one.message, "^(error|warning): ", one.name)
            self.assertEqual(one.message.startswith("warning"), one.code == DONE, one.name)
            self.assertNotIn("|", one.mistake + one.message + one.remedy, one.name)


if __name__ == "__main__":
    if sys.argv[1:] == ["rows"]:
        for group, lines in rows().items():
            print(f"## {group}\n\n| | mistake | message | what to do |\n| --- | --- | --- | --- |", *lines, "", sep="\n")
    else:
        unittest.main()
