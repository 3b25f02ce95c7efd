"""`tessera segment` with segment.input: affinities: the same bytes for any blocks, ranks and ways of storing, equal to the oracle's
SHA-256 sums (tests/golden/segmentation/affinities.py); every wrong input ends in a message."""

import json
import sys
import unittest

import h5py
import numpy as np

from harness import run_tessera
from test_segment import FAILED, GOLDEN, USAGE, SegmentCase, sha256

sys.path.insert(0, str(GOLDEN))
import affinities  # noqa: E402

EXPECTED = json.loads((GOLDEN / "expected_affinities.json").read_text())
BEFORE = [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]


class AffinityCase(SegmentCase):

    def store(self, file, volume, offsets=None, **options):
        """`offsets`: the attribute; a text, or numbers."""
        self.write_volumes(file, {"a": volume}, **options)
        with h5py.File(self.folder / file, "r+") as f:
            if offsets is not None:
                f["a"].attrs["offsets"] = offsets
        return f"{file}:/a"

    def affine(self, name, case, prediction, **keys):
        """The experiment of a golden case."""
        one = EXPECTED[case]
        p = {key: value for key, value in one["parameters"].items() if key not in ("link_below", "link_jaccard", "link_mutual") or
             one["parameters"]["mode"] == "sections"}
        p.update(threshold=p["thresholds"][-1], linkage=one["linkage"], input="affinities")
        del p["background_below"]
        if one["masked"]:
            p["mask"] = f"{one['volume']}.h5:/volumes/mask"
        return self.yaml(name, prediction, **{**p, **keys})

    def assert_affine(self, name, case):
        one = EXPECTED[case]
        self.assertEqual(sha256(self.segmented(name), "<u8"), one["labels_sha256"], f"{name}: {case}")
        with h5py.File(self.folder / f"{name}.graph.h5") as f:
            self.assertEqual(f["supervoxels/id"].size, one["fragments"])
            columns = [f["tree/id"][()].astype("i8") - 1, f["tree/into"][()].astype("i8") - 1, f["tree/stage"][()].astype("i8")]
            none = np.zeros(columns[0].size, "i8")
            columns += [f[f"tree/{key}"][()].astype("i8") if f"tree/{key}" in f else none for key in ("sum", "count")]
            self.assertEqual(sha256(np.stack(columns, 1), "<i8"), one["tree_sha256"], f"{name}: {case}")


class Affinities(AffinityCase):

    def test_blocks_and_ranks_do_not_show(self):
        tried = [("odd", [17, 31, 23], 0), ("odd", [5, 14, 12], 2), ("odd", [1, 31, 23], 4), ("quantile", [8, 8, 8], 2),
                 ("greedy", [9, 16, 23], 0), ("saturated", [17, 1, 23], 2), ("ties", [32, 48, 64], 4),
                 ("sections", [3, 80, 96], 4), ("sections", [10, 96, 96], 0)]
        for number, (case, block, ranks) in enumerate(tried):
            prediction = self.store(f"in{number}.h5", affinities.case_volume(case)[0], BEFORE, chunks=(1, 5, 16, 23))
            self.tessera(["segment", self.affine(f"a{number}", case, prediction, chunk=block, block=block)], ranks)
            self.assert_affine(f"a{number}", case)

    def test_how_affinities_are_stored_does_not_show(self):
        volume = affinities.case_volume("odd")[0]
        behind = np.full((5, *volume.shape[1:]), np.nan, "f4")          # other channels are not looked at
        for axis, channel in enumerate((4, 0, 2)):
            to, of = [slice(None)] * 3, [slice(None)] * 3
            to[axis], of[axis] = slice(None, -1), slice(1, None)
            behind[channel] = 0.5                                       # edges that lead out of the volume
            behind[(channel, *to)] = volume[(axis, *of)] / np.float32(255)
        steps = [[0, 1, 0], [-5, 0, 0], [0, 0, 1], [0, -9, -9], [1, 0, 0]]
        far = np.concatenate([volume, volume[::-1]])
        kinds = {"text": (volume, json.dumps(BEFORE), {}), "wide": (volume.astype("u2") * 257, np.array(BEFORE, "f4"), {}),
                 "key": (volume, None, {"offsets": ["-1 0 0", "0, -1, 0", "0 0 -1"]}),
                 "other": (volume[[2, 0, 1]], np.array(BEFORE), {"offsets": ["0 0 -1", "-1 0 0", "0 -1 0"]}),
                 "behind": (behind, np.array(steps), {}), "far": (far, BEFORE + [[-4, 0, 0], [0, -27, 0], [0, 0, -27]], {})}
        for number, (kind, (values, offsets, keys)) in enumerate(kinds.items()):
            yaml = self.affine(kind, "odd", self.store(f"{kind}_in.h5", values, offsets), chunk=[8, 8, 23], block=[8, 16, 23], **keys)
            text = self.tessera(["segment", yaml], (0, 2)[number % 2]).text
            self.assert_affine(kind, "odd")
            self.assertIn("of neighbours along z, y, x in the channels " + {"behind": "4, 0, 2", "other": "1, 2, 0"}.get(kind, "0, 1, 2"), text)

    def test_a_cut_is_a_run_and_labels_choose(self):
        prediction = self.store("cut_in.h5", affinities.case_volume("greedy")[0], BEFORE)
        keys = {"chunk": [8, 8, 8], "block": [8, 16, 16]}
        yaml = self.affine("whole", "greedy", prediction, **keys)
        self.tessera(["segment", yaml], 2)
        self.tessera(["segment", yaml, "--cut", "0.77"], 2)
        self.tessera(["segment", self.affine("ends", "greedy", prediction, thresholds=[0.9, 0.77], threshold=0.77, **keys)])
        self.assert_same_voxels(self.segmented("whole"), self.segmented("ends"))
        self.tessera(["segment", self.affine("chosen", "greedy", prediction, choose="voi", choose_sections=[3, 12],
                                             choose_labels="odd.h5:/volumes/labels/cells", **keys)], 2)
        best = json.loads((self.folder / "runs/chosen/segmentation.json").read_text())["chosen_threshold"]["threshold"]
        self.tessera(["segment", yaml, "--cut", str(best)])
        self.assert_same_voxels(self.segmented("whole"), self.segmented("chosen"))

    def test_mistakes(self):
        volume = affinities.case_volume("odd")[0]
        number = 0

        def fails(pattern, values=volume, offsets=BEFORE, code=USAGE, **keys):
            nonlocal number
            number += 1
            yaml = self.affine(f"m{number}", "odd", self.store(f"m{number}_in.h5", values, offsets), **keys)
            self.assert_one_error(run_tessera(["segment", yaml], (0, 2)[number % 2], 60, cwd=self.folder), code, [pattern])
            self.assertFalse((self.folder / f"m{number}.h5").exists() and code == USAGE)

        fails(r"has no attribute 'offsets' that says which neighbour each of its 3 channels is for: set segment\.offsets, such as \[-1 0 0",
              offsets=None)
        fails(r"the attribute 'offsets' of .* has 6 numbers; it needs 3 whole ones for each of 3 channels", offsets=BEFORE[:2])
        fails(r"the attribute 'offsets' of .* has 9 numbers; it needs 3 whole ones", offsets=np.array(BEFORE) * 0.5)
        for offsets, pattern in ((["-1 0 0", "0 -1 0"], r"segment\.offsets: has 2 offsets, but m\d+_in\.h5:/a has 3 channels: set one for each"),
                                 (["-1 0 0", "0 -1", "0 0 -1"], r"segment\.offsets: '0 -1' is not z y x, such as -1 0 0"),
                                 ([], r"segment\.offsets: is empty: set one for each channel")):
            number += 1
            yaml = self.affine(f"m{number}", "odd", self.store(f"m{number}_in.h5", volume), offsets=offsets)
            self.assert_one_error(run_tessera(["segment", yaml], 2, 60, cwd=self.folder), USAGE, [pattern])
        yaml = self.yaml("voxels", "odd.h5:/volumes/predictions/interior", offsets=["-1 0 0"])
        self.assert_one_error(run_tessera(["segment", yaml], cwd=self.folder), USAGE, [r"segment\.offsets: goes with input: affinities"])
        fails(r"no channel of .* is for neighbours along z, which mode volume needs: its offsets are -2 0 0, 0 -1 0, 0 0 -1",
              offsets=[[-2, 0, 0], [0, -1, 0], [0, 0, -1]])
        fails(r"the channels 0 and 2 of .* are both for neighbours along z", offsets=[[-1, 0, 0], [0, -1, 0], [1, 0, 0]])
        fails(r"has 3 dimensions; affinities are \(channel, z, y, x\): set segment\.input: probability", values=volume[0])
        fails(r"has 3 channels; a probability is \(z, y, x\)\. Set segment\.input: affinities", input="probability")
        for key, value in (("smoothing", 2), ("background_below", 0.1), ("method", "components")):
            fails(rf"segment\.{key}: goes with input: probability", **{key: value})
        for wrong in (np.nan, -0.25, 1.5):
            values = volume / np.float32(255)
            values[1, 3, 4, 5] = wrong
            fails(rf"channel 1 of voxel \(3, 4, 5\) is {wrong}, which is no affinity in \[0, 1\]", values=values, code=FAILED)


if __name__ == "__main__":
    unittest.main()
