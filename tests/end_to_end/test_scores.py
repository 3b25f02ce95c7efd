"""Compares scores of label volumes with scikit-image, and of probabilities with numpy. Checks memory and any number of
ranks."""

import json
import unittest

import h5py
import numpy as np

from harness import DATA, Case, run_tessera

try:
    from scipy import ndimage
    from skimage.metrics import adapted_rand_error, variation_of_information
except ImportError:
    adapted_rand_error = variation_of_information = None


def need_skimage():
    if variation_of_information is None:
        raise unittest.SkipTest("no scikit-image (Debian: python3-skimage)")


class Scores(Case):

    def scores(self, prediction, labels, *options, ranks=0, timeout=120):
        self.tessera(["evaluate", "--prediction", prediction, "--labels", labels, "--json", "scores.json", *options], ranks,
                     timeout=timeout)
        return json.loads((self.folder / "scores.json").read_text())

    def assert_as_scikit_image(self, scores, truth, predicted):
        """Ids of `truth` and `predicted` must be small: scikit-image's tables are as wide as the largest id."""
        split, merge = variation_of_information(truth, predicted, ignore_labels=(0,))
        # scikit-image returns precision and recall in the opposite order of its documentation.
        error, recall, precision = adapted_rand_error(truth, predicted, ignore_labels=(0,))
        expected = {"voi_split": split, "voi_merge": merge, "adapted_rand_error": error, "rand_precision": precision,
                    "rand_recall": recall}
        for name, value in expected.items():
            self.assertLess(abs(scores[name] - value), 1e-9, f"{name}: {scores[name]}, scikit-image has {value}")


class Labels(Scores):

    def objects_by_definition(self, truth, predicted):
        """SEG and, for every overlap, the number of pairs above it."""
        seg, matched = 0, np.zeros(10)
        true_ids = [i for i in np.unique(truth) if i]
        for i in true_ids:
            mine = truth == i
            for j in np.unique(predicted[mine]):
                if j == 0:
                    continue
                shared, other = np.count_nonzero(mine & (predicted == j)), np.count_nonzero(predicted == j)
                overlap = shared / (np.count_nonzero(mine) + other - shared)
                seg += overlap if shared > 0.5 * np.count_nonzero(mine) else 0
                matched += overlap > np.arange(10, 20) / 20 + 1e-12
        return seg / len(true_ids), matched

    def test_random_volumes(self):
        need_skimage()
        random = np.random.default_rng(1)
        for case, (shape, types) in enumerate([((3, 40, 50), (np.uint64, np.uint32)), ((1, 30, 30), (np.uint8, np.uint64)),
                                               ((9, 17, 33), (np.int64, np.uint16))]):
            z, y, x = np.indices(shape)
            truth = 1 + z // 4 * 20 + y // 9 * 4 + x // 13
            truth[random.random(shape) < 0.1] = 0
            predicted = 1 + z // 4 * 30 + y // 9 * 6 + x // 9
            predicted[random.random(shape) < 0.2] = 3
            predicted[random.random(shape) < 0.1] = 0
            with h5py.File(self.folder / "v.h5", "w") as f:
                f.create_dataset("truth", data=truth.astype(types[0]), chunks=(1, 8, 16))
                f.create_dataset("predicted", data=predicted.astype(types[1]), chunks=(min(2, shape[0]), 16, 16))
            scores = self.scores("v.h5:/predicted", "v.h5:/truth", "--instances")
            with self.subTest(case=case):
                self.assertEqual(scores["kind"], "labels")
                self.assert_as_scikit_image(scores["volume_3d"], truth, predicted)
                self.assertEqual(len(scores["sections"]), shape[0])
                for section in scores["sections"]:
                    at = section["section"]
                    self.assert_as_scikit_image(section, truth[at], predicted[at])
                seg, matched = self.objects_by_definition(truth, predicted)
                volume = scores["volume_3d"]
                self.assertAlmostEqual(volume["seg"], seg, places=9)
                np.testing.assert_allclose(np.array(volume["object_recall"]) * volume["objects_true"], matched, atol=1e-9)
                self.assertGreater(matched[0], 0)
                # With distinct ids per section, 3-D equals 2-D.
                apart = z * 1000
                self.assert_as_scikit_image(scores["volume_2d"], np.where(truth > 0, truth + apart, 0), predicted + apart)

    def test_thinned_scores_are_those_of_the_threshold(self):
        """Objects that are the components of a threshold have V^Rand_thin and V^Info_thin of that threshold."""
        need_skimage()
        raw, cells, ids = (self.read(f"stack.h5:/volumes/{name}") for name in ("raw", "labels/cells", "labels/instances"))
        smooth = ndimage.gaussian_filter(raw.astype(float), (0, 2, 2))
        probability = ((smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255).astype(np.uint8)
        level = int(np.median(probability))
        probability = np.where(probability > level, 255, 0).astype(np.uint8)
        objects = np.stack([ndimage.label(one)[0] for one in probability]).astype(np.uint64)
        ids[0] = 0  # nothing to find: this section counts in neither
        self.write_volumes("thin.h5", {"p": probability, "objects": objects + (objects > 0) * np.uint64(2 ** 40), "cells": cells, "ids": ids})
        for truth, *more in (("cells",), ("ids", "--label-kind", "instances")):
            expected = self.scores("thin.h5:/p", f"thin.h5:/{truth}", "--kind", "probability", "--scores", "thin", "--thresholds", "3", *more)
            expected = expected["volume"][expected["thresholds"].index(0.5)]
            for ranks in (0, 3):
                found = self.scores("thin.h5:/objects", f"thin.h5:/{truth}", "--kind", "labels", ranks=ranks)["volume_2d"]
                for name in ("rand_thin_f_macro", "info_thin_f_macro"):
                    self.assertGreater(found[name], 0)
                    self.assertLess(found[name], 1)
                    self.assertEqual(found[name], expected[name], (truth, name))
        perfect = self.scores("stack.h5:/volumes/labels/instances", "thin.h5:/ids", "--kind", "labels", "--sections", "1:6")
        self.assertGreater(perfect["volume_2d"]["rand_thin_f_macro"], 0.999)

    def test_fib25_on_any_number_of_ranks(self):
        file = DATA / "fib25/training_sample2.h5"
        if not file.is_file():
            self.skipTest(f"no {file}: set TESSERA_DATA")
        need_skimage()
        results = {}
        for ranks in (1, 2, 4):
            results[ranks] = self.scores(f"{file}:/supervoxels_oversegmented", f"{file}:/labels", ranks=ranks)
            run = results[ranks].pop("run")
            self.assertEqual(run["ranks"], ranks)
        with h5py.File(file) as f:
            truth, predicted = f["labels"][()], f["supervoxels_oversegmented"][()]
        self.assert_as_scikit_image(results[1]["volume_3d"], truth, predicted)
        for section in (0, 137, 249):
            self.assert_as_scikit_image(results[1]["sections"][section], truth[section], predicted[section])
        self.assertEqual(results[2], results[1])
        self.assertEqual(results[4], results[1])

    def test_two_gib_of_labels_need_less_than_one_gib(self):
        """268 million voxels of 64 bits in each volume. An eighth of the chunks is written; the others read as 0."""
        shape, chunk = (512, 1024, 512), (64, 64, 64)
        z, y, x = np.indices(chunk, dtype=np.uint64)
        with h5py.File(self.folder / "large.h5", "w") as f:
            for name, side in (("truth", 13), ("predicted", 11)):
                data = f.create_dataset(name, shape, np.uint64, chunks=chunk)
                for number, at in enumerate(range(0, 512 // 64)):
                    ids = (z // side * 100 + y // side * 10 + x // side + np.uint64(1)) + np.uint64(number * 1000 + (1 << 40))
                    for column in range(0, 1024, 64):
                        data[at * 64:at * 64 + 64, column:column + 64, 64:128] = ids + np.uint64(column << 20)
            self.assertGreaterEqual(f["truth"].size * 8, 2 << 30)
        for ranks in (1, 2):
            scores = self.scores("large.h5:/predicted", "large.h5:/truth", ranks=ranks, timeout=100)
            peak = scores["run"]["peak_memory_bytes_per_rank"]
            print(f"2 GiB of labels on {ranks} ranks: at most {peak / 2**20:.0f} MiB a rank, {scores['run']['seconds']:.1f} s")
            self.assertLess(peak, 1 << 30)
            self.assertEqual(scores["volume_3d"]["voxels"], 512 * 1024 * 64)

    def test_classes(self):
        random = np.random.default_rng(3)
        truth = random.integers(0, 4, (5, 20, 30)).astype(np.uint8)
        predicted = np.where(random.random(truth.shape) < 0.7, truth, random.integers(0, 4, truth.shape)).astype(np.uint8)
        self.write_volumes("c.h5", {"truth": truth, "predicted": predicted})
        scores = self.scores("c.h5:/predicted", "c.h5:/truth", "--kind", "classes", ranks=2)
        expected = [[int(np.count_nonzero((truth == t) & (predicted == p))) for p in range(4)] for t in range(4)]
        self.assertEqual(scores["confusion"], expected)
        for c, row in enumerate(scores["classes"]):
            both, either = np.count_nonzero((truth == c) & (predicted == c)), np.count_nonzero((truth == c) | (predicted == c))
            self.assertAlmostEqual(row["iou"], both / either, places=12)
            self.assertAlmostEqual(row["dice"], 2 * both / (either + both), places=12)


class Probability(Scores):

    def test_curve_and_calibration_against_numpy(self):
        random = np.random.default_rng(5)
        truth = (random.random((3, 30, 40)) < 0.6).astype(np.uint8)
        values = np.clip(random.normal(110 + 60 * truth, 50), 0, 255).astype(np.uint8)
        self.write_volumes("p.h5", {"truth": truth, "p": values})
        scores = self.scores("p.h5:/p", "p.h5:/truth", "--scores", "rand,calibration", ranks=2)
        self.assertEqual(scores["scores"], ["pixel", "rand", "calibration"])
        self.assertEqual(len(scores["precision_recall"]), 256)
        expected, before = 0, 0
        for level in range(255, -1, -1):
            said = values >= level
            right = np.count_nonzero(said & (truth > 0))
            recall, precision = right / truth.sum(), right / said.sum() if said.any() else 1
            point = scores["precision_recall"][level]
            self.assertAlmostEqual(point["precision"], precision, places=12)
            self.assertAlmostEqual(point["recall"], recall, places=12)
            expected += (recall - before) * precision
            before = recall
        self.assertAlmostEqual(scores["average_precision"], expected, places=9)
        error, probability = 0, values / 255
        for row in scores["calibration"]["bins"]:
            inside = (probability >= row["from"]) & ((probability < row["to"]) | (row["to"] == 1))
            self.assertEqual(row["pixels"], np.count_nonzero(inside))
            error += abs(probability[inside].sum() - truth[inside].sum())
        self.assertAlmostEqual(scores["calibration"]["expected_error"], error / truth.size, places=9)
        self.assertAlmostEqual(scores["calibration"]["brier"], np.mean((probability - truth) ** 2), places=9)

    def test_mistakes_are_said(self):
        self.write_volumes("m.h5", {"truth": np.ones((1, 4, 4), np.uint8), "f": np.zeros((1, 4, 4), np.float32),
                                    "ids": np.ones((1, 4, 4), np.uint64)})
        for arguments, words in ((["m.h5:/f", "--instances"], "labels are integers"),
                                 (["m.h5:/ids", "--scores", "rand"], "goes with a probability only"),
                                 (["m.h5:/f", "--scores", "rnd"], "did you mean 'rand'"),
                                 (["m.h5:/f", "--kind", "label"], "is no kind of prediction"),
                                 (["m.h5:/ids", "--pictures", "x"], "pictures need a probability")):
            with self.subTest(arguments=arguments):
                prediction, *options = arguments
                result = run_tessera(["evaluate", "--prediction", prediction, "--labels", "m.h5:/truth", *options], 2, cwd=self.folder)
                self.assertEqual(result.code, 2, result)
                self.assertIn(words, result.text)


if __name__ == "__main__":
    unittest.main()
