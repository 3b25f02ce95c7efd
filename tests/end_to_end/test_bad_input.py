"""Failures outside the program's control. Each ends soon, in one clear message and the right exit code, on one rank and
on three, and leaves no partial file. Exit code 2: usage or experiment file; 1: all else (pipeline/main.cpp)."""

import json
import os
import resource
import shutil
import unittest

import h5py
import numpy as np

from harness import Case, run_tessera
from journal import Journal

FAILED, USAGE = 1, 2
RAW, LABELS = "stack.h5:/volumes/raw", "stack.h5:/volumes/labels/cells"


def sets(**changes):
    """--set arguments. A double underscore stands for the dot."""
    return [word for key, value in changes.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


class BadInput(Case):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.yaml = cls.config("good", {"train": {"iterations": 1}})
        cls.done(cls.folder, ["train", cls.yaml])
        cls.best = "runs/good/checkpoints/best.h5"

    def refuse(self, arguments, code, words, ranks_tried=None, may_stay=(), **how):
        for ranks in self.ranks_tried if ranks_tried is None else ranks_tried:
            with self.subTest(arguments=" ".join(map(str, arguments)), ranks=ranks):
                before = set(self.folder.rglob("*"))
                result = run_tessera(arguments, ranks, 60, self.folder, **how)
                self.assert_one_error(result, code, words)
                self.assertEqual(self.leftovers(), [])
                new = [p for p in set(self.folder.rglob("*")) - before if p.is_file() and p.suffix in (".h5", ".tif", ".json")]
                self.assertEqual([p.name for p in new if p.name not in may_stay], [], f"half an output stayed\n{result}")
        return result

    def refuse_train(self, code, words, changes=(), **how):
        """A training in a fresh run folder."""
        return self.refuse(["train", self.yaml, *sets(experiment="fresh"), *changes], code, words, **how)

    def refuse_infer(self, code, words, changes=(), **how):
        return self.refuse(["infer", self.yaml, *sets(infer__output="new.h5:/p"), *changes], code, words, **how)


class CommandLine(BadInput):

    def test_wrong_verb(self):
        self.refuse(["trian", self.yaml], USAGE, ["unknown verb 'trian'", "did you mean 'train'", "usage: tessera"])

    def test_no_verb(self):
        for ranks in self.ranks_tried:
            result = run_tessera([], ranks, 60, self.folder)
            self.assertEqual(result.code, USAGE, result)
            self.assertEqual(result.stdout.count("usage: tessera VERB"), 1)

    def test_wrong_option(self):
        self.refuse(["infer", self.yaml, "--overwrit"], USAGE, ["unknown option --overwrit", "did you mean --overwrite"])

    def test_options_that_exclude_each_other(self):
        self.refuse(["train", self.yaml, "--resume", "--overwrite"], USAGE, ["--resume and --overwrite exclude"])

    def test_wrong_values(self):
        self.refuse(["synth", "new.h5", "--shape", "20,512"], USAGE, ["--shape 20,512", "three whole numbers"])
        self.refuse(["import", "x.tif", "new.h5"], USAGE, [r"new\.h5", r"file\.h5:/path|FILE\.h5:/"], ranks_tried=(0,))
        self.refuse(["evaluate", "--prediction", RAW, "--labels", LABELS, "--sections", "4"], USAGE,
                    ["'4' is no range", "FIRST:END"], ranks_tried=(0,))
        self.refuse(["check", self.yaml, "--log-level", "loud"], USAGE, ["unknown log level 'loud'"])


class ExperimentFile(BadInput):

    def refuse_text(self, text, words, verb="check", **how):
        file = self.folder / "bad.yaml"
        file.write_text(text)
        return self.refuse([verb, "bad.yaml"], USAGE, words, **how)

    def good_text(self):
        return (self.folder / self.yaml).read_text()

    def test_missing_file(self):
        self.refuse(["check", "nowhere.yaml"], USAGE, [r"nowhere\.yaml", "No such file"])

    def test_unknown_key(self):
        text = self.good_text().replace("iterations:", "itertions:")
        line = 1 + text.splitlines().index("  itertions: 1")
        self.refuse_text(text, [rf"bad\.yaml:{line}:3: train\.itertions: unknown key; did you mean 'iterations'\?"], verb="train")

    def test_several_mistakes_at_once(self):
        text = (self.good_text().replace("iterations: 1", "iterations: many").replace("optimizer: adam", "optimizer: adm")
                .replace("preset: unet2015", "preset: unet2015\n  depht: 3") + "colour: red\n")
        result = self.refuse_text(text, [r"train\.iterations", r"train\.optimizer", r"model\.depht: unknown key; did you mean 'depth'",
                                         "colour: unknown key"])
        self.assertEqual(result.text.count("bad.yaml:"), 4, result)

    def test_mistake_in_set(self):
        self.refuse(["check", self.yaml, *sets(train__itertions=3)], USAGE, ["--set train.itertions=3", "did you mean 'iterations'"])

    def test_not_yaml(self):
        self.refuse_text("experiment: [a, b\ndata: {raw: x\n", [r"bad\.yaml:\d+:\d+: not valid YAML"])
        self.refuse_text("\x00\x01\x02 binary \xff", [r"bad\.yaml"], ranks_tried=(0,))
        self.refuse_text("just words\n", [r"bad\.yaml:1:1: .*key: value lines"], ranks_tried=(0,))
        self.refuse_text("", ["experiment"], ranks_tried=(0,))

    def test_alias_bomb(self):
        bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for i in range(1, 12):
            bomb += f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n"
        self.refuse_text(bomb, [r"bad\.yaml:1:5: anchors \(&a0\) are not allowed"])

    def test_overlapping_sections(self):
        self.refuse_train(USAGE, ["data.validation_sections: overlaps train_sections"], sets(data__validation_sections="[3, 6]"))

    def test_illegal_tile(self):
        self.refuse_train(USAGE, ["train.tile", "a tile of 77 pixels does not fit", r"nearest to 77 are 76 and 80"],
                          sets(train__tile=77))
        self.refuse_infer(USAGE, ["77", r"nearest to 77 are 76 and 80"], sets(infer__tile=77))

    def test_missing_required_keys(self):
        self.refuse_text("experiment: bare\n", [r"data\.raw", r"data\.labels", r"data\.train_sections"], verb="train")
        self.refuse_text("experiment: bare\n", [r"infer\.raw"], verb="infer", ranks_tried=(0,))


class Volumes(BadInput):

    def test_missing_file(self):
        self.refuse_train(FAILED, [r"nowhere\.h5", "No such file"], sets(data__raw="nowhere.h5:/volumes/raw"))
        self.refuse_infer(FAILED, [r"nowhere\.h5", "No such file"], sets(infer__raw="nowhere.h5:/volumes/raw"))
        self.refuse(["check", self.yaml, *sets(data__raw="nowhere.h5:/raw")], FAILED, [r"nowhere\.h5", "No such file"])
        self.refuse(["info", "nowhere.h5"], FAILED, [r"nowhere\.h5", "No such file"], ranks_tried=(0,))
        self.refuse(["import", "nowhere.tif", "new.h5:/raw"], FAILED, [r"nowhere\.tif"], ranks_tried=(0,))
        self.refuse(["export", "nowhere.h5:/raw", "new.tif"], FAILED, [r"nowhere\.h5", "No such file"], ranks_tried=(0,))

    def test_wrong_dataset(self):
        words = [r"stack\.h5 has no dataset /volumes/row", r"tessera info stack\.h5"]
        self.refuse_train(FAILED, words, sets(data__raw="stack.h5:/volumes/row"), ranks_tried=(0,))
        self.refuse_infer(FAILED, words, sets(infer__raw="stack.h5:/volumes/row"))
        self.refuse_infer(FAILED, [r"stack\.h5:/volumes is not a dataset"], sets(infer__raw="stack.h5:/volumes"), ranks_tried=(0,))

    def test_text_for_hdf5(self):
        (self.folder / "text.h5").write_text("not HDF5 at all\n" * 100)
        self.refuse_train(FAILED, [r"text\.h5", "HDF5"], sets(data__raw="text.h5:/volumes/raw"), ranks_tried=(0,))
        self.refuse_infer(FAILED, [r"text\.h5", "HDF5"], sets(infer__raw="text.h5:/volumes/raw"))
        self.refuse(["info", "text.h5"], FAILED, [r"text\.h5", "HDF5"], ranks_tried=(0,))

    def test_truncated_hdf5(self):
        whole = (self.folder / "stack.h5").read_bytes()
        (self.folder / "short.h5").write_bytes(whole[:len(whole) // 2])
        words = [r"short\.h5", "truncated"]
        self.refuse_train(FAILED, words, sets(data__raw="short.h5:/volumes/raw", data__labels="short.h5:/volumes/labels/cells"), ranks_tried=(0,))
        self.refuse_infer(FAILED, words, sets(infer__raw="short.h5:/volumes/raw"))

    def test_damaged_chunk(self):
        raw = np.random.default_rng(1).integers(0, 255, (6, 96, 96)).astype(np.uint8)
        self.write_volumes("chunks.h5", {"raw": raw}, chunks=(2, 96, 96), compression="gzip", fletcher32=True)
        with h5py.File(self.folder / "chunks.h5") as f:
            at = f["raw"].id.get_chunk_info(1).byte_offset
        with open(self.folder / "chunks.h5", "r+b") as f:
            f.seek(at + 100)
            f.write(bytes(100))
        words = [r"cannot read .*chunks\.h5:/raw", "damaged"]
        self.write_volumes("whole_stack_raw.h5", {"raw": raw}, chunks=(2, 96, 96))
        self.tessera(["infer", self.yaml, *sets(infer__raw="whole_stack_raw.h5:/raw", infer__output="whole_stack.h5:/p")])
        self.refuse_train(FAILED, words, sets(data__raw="chunks.h5:/raw"))
        # The other blocks are done and kept. The next start tries this one again.
        for ranks in self.ranks_tried:
            out = f"half{ranks}.h5"
            result = self.refuse_infer(FAILED, [*words, "1 of 3 blocks could not be predicted", "block 1 .z .2, 4."],
                                       sets(infer__raw="chunks.h5:/raw", infer__output=f"{out}:/p", infer__max_retries=0), ranks_tried=[ranks],
                                       may_stay=[out, "inference.json"])
            self.assertNotIn("result: ", result.stdout)
            self.assertEqual(sorted(Journal(self.folder / f"{out}.journal").blocks()), [0, 2])
            half, whole = self.read(f"{out}:/p"), self.read("whole_stack.h5:/p")
            self.assert_same_voxels(half[:2], whole[:2])
            self.assert_same_voxels(half[4:], whole[4:])

    def test_labels_of_another_shape(self):
        self.write_volumes("other.h5", {"labels": np.ones((6, 96, 95), np.uint8)})
        words = [r"other\.h5:/labels have the shape \(6, 96, 95\)", r"\(6, 96, 96\)", "must be equal"]
        self.refuse_train(USAGE, words, sets(data__labels="other.h5:/labels"))
        self.refuse(["check", self.yaml, *sets(data__labels="other.h5:/labels")], USAGE, words, ranks_tried=(0,))
        self.refuse(["evaluate", "--prediction", RAW, "--labels", "other.h5:/labels"], USAGE, [r"\(6, 96, 95\)", r"\(6, 96, 96\)"])

    def test_empty_stack(self):
        self.write_volumes("empty.h5", {"raw": np.zeros((0, 64, 64), np.uint8)})
        self.refuse_train(FAILED, [r"empty\.h5:/raw is empty"], sets(data__raw="empty.h5:/raw"), ranks_tried=(0,))
        self.refuse_infer(FAILED, [r"empty\.h5:/raw is empty"], sets(infer__raw="empty.h5:/raw"))
        self.refuse(["export", "empty.h5:/raw", "new.tif"], FAILED, [r"empty\.h5:/raw is empty"], ranks_tried=(0,))
        (self.folder / "no_sections").mkdir(exist_ok=True)
        self.refuse(["import", "no_sections", "new.h5:/raw"], FAILED, ["no_sections"], ranks_tried=(0,))

    def test_nan(self):
        raw = self.read(RAW).astype(np.float32)
        raw[2, 10, 20] = np.nan
        self.write_volumes("nan.h5", {"raw": raw}, chunks=(1, 96, 96))
        words = [r"nan\.h5:/raw has 1 NaN or infinite value in", r"the first at \(2, 10, 20\)", "replace"]
        self.refuse_train(FAILED, words, sets(data__raw="nan.h5:/raw"))
        result = self.refuse_infer(FAILED, [*words, "1 of 6 blocks could not be predicted"],
                                   ["--restart", *sets(infer__raw="nan.h5:/raw", infer__block="[1,96,96]",
                                    infer__chunk="[1,96,96]", infer__output="nan_out.h5:/p")], may_stay=["nan_out.h5", "inference.json"])
        self.assertNotIn("result: ", result.stdout)
        report = json.loads((self.folder / "runs/good/inference.json").read_text())
        self.assertEqual((report["end"], report["blocks"]["left"], report["blocks"]["failed"][0]["block"]), ("failed", 1, 2))

    def test_sections_out_of_range(self):
        self.refuse_train(USAGE, [r"data\.train_sections: \[2, 99\) is not within the 6 sections"], sets(data__train_sections="[2, 99]",
                          data__validation_sections="[0, 2]"))
        self.refuse_train(USAGE, [r"data\.validation_sections: \[4, 7\) is not within the 6 sections"],
                          sets(data__validation_sections="[4, 7]"), ranks_tried=(0,))
        self.refuse(["evaluate", "--prediction", RAW, "--labels", LABELS, "--sections", "4:9"], USAGE, ["4:9|4, 9", "6"])
        self.refuse(["export", RAW, "new.tif", "--sections", "4:9"], USAGE, ["4:9", "0:6"], ranks_tried=(0,))

    def test_channels_that_do_not_fit(self):
        words = [r"model\.in_channels is 2, but the raw volume has 1 channel", "odd number of sections"]
        self.refuse_train(USAGE, words, sets(model__in_channels=2))
        self.refuse(["check", self.yaml, *sets(model__in_channels=2)], USAGE, words, ranks_tried=(0,))
        raw = self.read(RAW)
        self.write_volumes("two.h5", {"raw": np.stack([raw, raw])})
        self.refuse_infer(USAGE, ["in_channels is 1, but the raw volume has 2 channels"], sets(infer__raw="two.h5:/raw"))

    def test_label_of_no_class(self):
        self.write_volumes("four.h5", {"labels": np.full((6, 96, 96), 4, np.uint8)})
        self.refuse_train(FAILED, [r"four\.h5:/labels holds class 4 at \(0, 0, 0\), but model\.classes is 3"],
                          sets(data__labels="four.h5:/labels", model__classes=3))

    def test_image_stack_that_is_none(self):
        (self.folder / "words.tif").write_text("no TIFF\n")
        self.refuse(["import", "words.tif", "new.h5:/raw"], FAILED, [r"words\.tif"])


class Memory(BadInput):

    def test_network_that_fits_no_memory(self):
        """About 10^12 parameters: more than fit on any machine."""
        self.refuse_train(USAGE, ["training needs about .* per worker", "lower train.tile", "model.base_filters"],
                          sets(model__base_filters=1024, model__depth=7, train__tile="auto"))

    def test_budget_too_small(self):
        deep = self.config("deep", {"model": {"depth": 6}, "train": {"iterations": 1, "tile": "auto", "global_batch": 1}, "data": {
            "validation_sections": None}})
        self.tessera(["train", deep], timeout=120)
        self.refuse(["infer", deep, *sets(infer__memory_budget_mib=16)], USAGE,
                    ["does not fit the memory", "16 MiB", "infer.memory_budget_mib"])
        self.refuse_infer(USAGE, ["infer.tile: 1020 x 1020 pixels need", "16 MiB", "raise infer.memory_budget_mib"],
                          sets(infer__tile=1020, infer__memory_budget_mib=16))


class ExactTiles(BadInput):

    def test_where_they_cannot_be(self):
        self.refuse_infer(USAGE, ["infer.exact_tiles: 'exactly' is none of auto, true, false"], sets(infer__exact_tiles="exactly"))
        self.refuse_infer(USAGE, ["infer.exact_tiles: is for Tessera's own networks"],
                          sets(infer__exact_tiles="true", model__torchscript="elsewhere.pt"))

    def test_on_the_cpu_they_are_said_to_be_of_no_effect(self):
        result = self.tessera(["infer", self.yaml, *sets(infer__exact_tiles="true", infer__output="exact.h5:/p")], timeout=120)
        self.assertIn("infer.exact_tiles: has no effect on the CPU", result.text)


class Checkpoints(BadInput):

    def test_missing(self):
        self.refuse_infer(USAGE, [r"there is no nowhere\.h5", "tessera train"], sets(infer__checkpoint="nowhere.h5"))
        self.refuse_infer(USAGE, [r"there is no runs/never/checkpoints/best\.h5", "tessera train"], sets(experiment="never"))
        self.refuse_infer(USAGE, ["runs/never holds no checkpoint", "tessera train"], sets(experiment="never", infer__checkpoint="latest"))

    def test_damaged(self):
        whole = (self.folder / self.best).read_bytes()
        with h5py.File(self.folder / self.best) as f:
            weights = f["weights/convs.3.weight"][()].tobytes()
        at = whole.index(weights) + len(weights) // 2
        flipped = bytearray(whole)
        flipped[at] ^= 0x40
        kinds = {"flipped": bytes(flipped), "short": whole[:len(whole) - 700], "hole": whole[:2048] + bytes(512) + whole[2560:],
                 "text": b"weights\n" * 1000, "nothing": b""}
        for name, content in kinds.items():
            (self.folder / f"{name}.h5").write_bytes(content)
            self.refuse_infer(FAILED, [rf"{name}\.h5 is (no checkpoint, or a damaged one|damaged)"], sets(infer__checkpoint=f"{name}.h5"),
                              ranks_tried=self.ranks_tried if name == "flipped" else (0,))

    def test_a_volume_is_no_checkpoint(self):
        self.refuse_infer(FAILED, [r"stack\.h5 is no checkpoint"], sets(infer__checkpoint="stack.h5"), ranks_tried=(0,))

    def test_flipped_bytes_never_pass_unseen(self):
        """Any damaged byte of the file is rejected or has no effect (the voxels are the same)."""
        whole = (self.folder / self.best).read_bytes()
        self.tessera(["infer", self.yaml, *sets(infer__output="whole.h5:/p")])
        refused = 0
        for at in np.random.default_rng(3).integers(0, len(whole), 10):
            flipped = bytearray(whole)
            flipped[at] ^= 0xFF
            (self.folder / "fuzz.h5").write_bytes(flipped)
            result = run_tessera(["infer", self.yaml, "--overwrite", *sets(infer__output="fuzzed.h5:/p", infer__checkpoint="fuzz.h5")],
                                 0, 60, self.folder)
            if result.code == 0:
                self.assert_same_voxels(self.read("fuzzed.h5:/p"), self.read("whole.h5:/p"), f"byte {at}")
            else:
                refused += 1
                self.assert_one_error(result, FAILED, [r"fuzz\.h5"])
        self.assertGreater(refused, 0)


class Outputs(BadInput):

    def test_result_exists(self):
        (self.folder / "there.h5").write_bytes(b"precious")
        self.refuse(["infer", self.yaml, *sets(infer__output="there.h5:/p")], USAGE, [r"there\.h5 exists already", "remove it"])
        self.assertEqual((self.folder / "there.h5").read_bytes(), b"precious")

    def test_into_the_raw_file(self):
        before = (self.folder / "stack.h5").read_bytes()
        self.refuse(["infer", self.yaml, "--overwrite", *sets(infer__output="stack.h5:/p")], USAGE, ["raw volume's own file"])
        os.link(self.folder / "stack.h5", self.folder / "same.h5")
        self.refuse(["infer", self.yaml, "--overwrite", *sets(infer__output="same.h5:/p")], USAGE, ["raw volume's own file"],
                    ranks_tried=(0,))
        os.unlink(self.folder / "same.h5")
        self.refuse(["infer", self.yaml, *sets(infer__output="stack.h5:/p")], USAGE, [r"stack\.h5"], ranks_tried=(0,))
        self.assertEqual((self.folder / "stack.h5").read_bytes(), before)

    def test_others_that_exist(self):
        self.refuse(["synth", "stack.h5"], USAGE, ["exists already", "--overwrite"])
        self.tessera(["export", RAW, "old.tif", "--overwrite"])
        self.refuse(["export", RAW, "old.tif"], USAGE, ["exists already", "--overwrite"], ranks_tried=(0,))
        self.refuse(["import", "old.tif", RAW], USAGE, ["exists already", "--overwrite"], ranks_tried=(0,))

    def test_where_nothing_can_be_written(self):
        (self.folder / "file").write_text("a file, no folder")
        for folder, reason in (("/proc/tessera", "create the folder /proc/tessera"), ("file", "file")):
            ranks_tried = (0,) if folder == "file" else self.ranks_tried
            self.refuse(["infer", self.yaml, *sets(infer__output=f"{folder}/new.h5:/p")], FAILED, [reason], ranks_tried)
            self.refuse(["train", self.yaml, *sets(run_folder=folder)], FAILED, [reason.replace("create the folder /proc/", r"/proc/\.")],
                        ranks_tried)
            self.refuse(["synth", f"{folder}/new.h5", "--shape", "2,64,64"], FAILED, [reason], ranks_tried=(0,))
            self.refuse(["export", RAW, f"{folder}/new.tif"], FAILED, [reason], ranks_tried=(0,))


class FullDisk(BadInput):
    """Mounts a file system of a given size at `full/`; needs root."""

    stack_shape = (6, 256, 256)

    @classmethod
    def setUpClass(cls):
        probe = shutil.which("unshare") and os.geteuid() == 0 and os.system(
            "unshare -m mount -t tmpfs -o size=64k tmpfs /mnt >/dev/null 2>&1") == 0
        if not probe:
            raise unittest.SkipTest("a full disk needs root and unshare -m")
        super().setUpClass()
        cls.done(cls.folder, ["export", RAW, "stack.tif"])
        (cls.folder / "full").mkdir()

    def refuse_full(self, size, arguments, words, **how):
        """Runs `arguments` with `full/` of `size`. The remaining files are listed on standard output."""
        script = (f'mount -t tmpfs -o size={size} tmpfs "$0/full" || exit 99; "$@"; code=$?; '
                  'ls -R "$0/full"; exit $code')
        result = self.refuse(arguments, FAILED, words, prefix=["unshare", "-m", "sh", "-c", script, str(self.folder)], **how)
        self.assertNotIn(".tmp", result.stdout, result)
        return result

    def test_infer(self):
        result = self.refuse_full("256k", ["infer", self.yaml, *sets(infer__output="full/new.h5:/p", infer__checkpoint=self.best)],
                                  [r"full/new\.h5", "no room for|No space left"])
        self.assertNotIn("new.h5", result.stdout)

    def test_import(self):
        result = self.refuse_full("128k", ["import", "stack.tif", "full/new.h5:/raw"], [r"full/new\.h5", "no room for|No space left"])
        self.assertNotIn("new.h5", result.stdout)

    def test_compressed_import(self):
        """Its size is known only during writing."""
        result = self.refuse_full("128k", ["import", "stack.tif", "full/new.h5:/raw", "--gzip", "1"],
                                  [r"full/new\.h5", "No space left|no room for"])
        self.assertNotIn("new.h5", result.stdout)

    def test_synth_and_export(self):
        self.refuse_full("128k", ["synth", "full/new.h5", "--shape", "4,256,256"], [r"full/new\.h5", "no room for"], ranks_tried=(0,))
        self.refuse_full("128k", ["export", RAW, "full/new.tif"], [r"full/new\.tif", "disk|No space left"], ranks_tried=(0,))

    def test_checkpoint(self):
        """Detected before the first iteration."""
        result = self.refuse_full("512k", ["train", self.yaml, *sets(run_folder="full/run", train__iterations=20)],
                                  [r"no room for .*full/run/checkpoints", "MiB"])
        self.assertNotRegex(result.stdout, r"iteration_\d+\.h5")
        self.assertNotIn("trained after", result.text)

    def test_run_folder(self):
        self.refuse_full("4k", ["train", self.yaml, *sets(run_folder="full/run")], ["full/run", "no room for|No space left"])


class FileSizeLimit(BadInput):
    """Like a full disk, without root: files may not grow beyond a limit (ulimit -f). One process, because mpirun itself
    needs larger files."""

    stack_shape = (6, 256, 256)
    ranks_tried = (0,)

    @staticmethod
    def limit(size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def test_infer(self):
        self.refuse_infer(FAILED, [r"new\.h5", "File too large"], preexec=self.limit(100_000))

    def test_import(self):
        self.tessera(["export", RAW, "limit.tif", "--overwrite"])
        for gzip in ("0", "1"):
            self.refuse(["import", "limit.tif", "new.h5:/raw", "--gzip", gzip], FAILED, [r"new\.h5", "File too large"],
                        preexec=self.limit(100_000))

    def test_checkpoint(self):
        yaml = self.config("limited", {"data": {"validation_sections": None}})
        result = self.refuse(["train", yaml], FAILED, [r"limited/checkpoints/iteration_00000002\.h5", "File too large"],
                             preexec=self.limit(15_000), may_stay=["training.json"])
        self.assertNotIn("trained after", result.text)


if __name__ == "__main__":
    unittest.main()
