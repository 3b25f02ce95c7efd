"""Objects as a stage of an experiment: `run`, `evaluate`, `status`, `report` and `check` with `segment:`, and many volumes."""

import json
import re
import signal
import unittest

import h5py
import numpy as np
import scipy.ndimage

from harness import MPIRUN, Case, run_tessera
from journal import Journal

DONE, USAGE, STOPPED = 0, 2, 75
IDS = "volumes/labels/neuron_ids"
INSTANCES = {"labels": "stack.h5:/volumes/labels/instances", "label_kind": "instances"}


class Objects(Case):

    stack_shape = (8, 128, 128)

    def run_experiment(self, yaml, *more):
        result = run_tessera(["run", yaml, "--mpirun", MPIRUN, *more], 0, 150, self.folder)
        self.assertEqual(result.code, DONE, result)
        return result

    def small(self, name, **sections):
        return self.config(name, {"train": {"iterations": 4}, "data": INSTANCES,
                                  "infer": {"output": None}, "evaluate": {"scores": ["pixel"]},
                                  "segment": {"mode": "sections", "threshold": 0.4, "fragment_size": 20, "chunk": [2, 32, 32],
                                              "block": [2, 64, 64]}, **sections})

    def record(self, name):
        return json.loads((self.folder / f"runs/{name}/segmentation.json").read_text())

    def stage(self, name, stage):
        status = json.loads(self.tessera(["status", f"runs/{name}", "--json"]).stdout)
        return next(one for one in status["stages"] if one["stage"] == stage)

    def test_a_run_ends_with_objects(self):
        yaml = self.small("whole")
        planned = self.tessera(["check", yaml, "--measure", "0"]).stdout
        self.assertRegex(planned, r"segmentation:\n.*does not exist yet: by the plan of its inference\n")
        self.assertRegex(planned, r"blocks +16 of \(2, 64, 64\), chunks of \(2, 32, 32\)")
        self.assertRegex(planned, r"memory per worker +\S+ \w+\n +result's size +1.* MiB\n +graph files +about 64.* KiB")

        result = self.run_experiment(yaml, "--workers", "2")
        self.assertRegex(result.stdout, r"train, infer, segment, evaluate, report on ")
        self.assertRegex(result.stdout, r"segment: \S+ -n 3 --oversubscribe .*segment whole\.yaml --update")
        record = self.record("whole")
        ids = self.read(f"runs/whole/segmentation.h5:/{IDS}")
        self.assertEqual(ids.shape, self.stack_shape)
        self.assertEqual(record["objects"], np.unique(ids[ids > 0]).size)
        self.assertEqual((record["threshold"], record["end"]), (0.4, "done"))
        self.assert_attributes("whole", record)
        scores = json.loads((self.folder / "runs/whole/evaluation_objects.json").read_text())
        self.assertEqual((scores["kind"], scores["section_range"]), ("labels", [4, 6]))
        self.assertRegex(result.stdout, rf"objects: {record['objects']} at threshold 0\.4\nscores of the objects, sections 4 to 5:\n")
        for name in ("VOI, 3-D", "VOI split, 3-D", "VOI merge, 3-D", "Adapted Rand error, 3-D"):
            self.assertRegex(result.stdout, rf"  {name} +\d\.\d+ +(good|fair|poor)[:]")
        self.assertIn(f"runs/whole/segmentation.h5:/{IDS}", result.stdout)
        alone = self.tessera(["evaluate", "--prediction", f"runs/whole/segmentation.h5:/{IDS}", "--labels", INSTANCES["labels"],
                              "--sections", "4:6", "--json", "alone.json"])
        self.assertIn("VOI split", alone.stdout)
        self.assertEqual(json.loads((self.folder / "alone.json").read_text())["volume_3d"], scores["volume_3d"])
        segment = self.stage("whole", "segment")
        self.assertEqual((segment["state"], segment["work"]), ("done", f"{record['objects']} objects at threshold 0.4"))

        again = self.run_experiment(yaml, "--workers", "2")
        self.assertRegex(again.stdout, r"nothing to segment(.*\n)+.*evaluate: done before")
        self.assertEqual(self.record("whole"), record)

        # Another threshold: the first pass is kept, and the objects are scored again.
        other = self.run_experiment(yaml, "--workers", "1", "--set", "segment.threshold=0.6")
        self.assertIn("first pass: done by an earlier start", other.stdout)
        self.assertNotIn("evaluate: done before", other.stdout)
        self.assert_attributes("whole", self.record("whole"))
        self.assertEqual(self.record("whole")["threshold"], 0.6)
        self.assertNotEqual(self.read(f"runs/whole/segmentation.h5:/{IDS}").tobytes(), ids.tobytes())
        self.check_page("whole", self.record("whole"))

    def assert_attributes(self, name, record):
        with h5py.File(self.folder / f"runs/{name}/segmentation.h5", "r") as file:
            attributes = {name: text.decode() if isinstance(text := file[IDS].attrs[name], bytes) else text
                          for name in ("objects", "threshold")}
        self.assertEqual(attributes, {name: str(record[name]) for name in attributes})

    def check_page(self, name, record):
        page = (self.folder / f"runs/{name}/report.html").read_text()
        objects = page[page.index('<section id="objects">'):page.index('<section id="training">')]
        self.assertIn(f"{record['objects']:,}", objects)
        self.assertIn("Sizes of the objects", objects)
        for plane in ("xy plane, z = 3", "xz plane, y = 63", "yz plane, x = 63"):
            self.assertIn(plane, objects)
        self.assertEqual(len(re.findall(r"<figcaption>(True|Predicted) object \d+, section [45]: ", objects)),
                         objects.count('class="panels two"'))
        self.assertGreater(objects.count('class="panels two"'), 0)
        self.assertNotIn("cannot be shown", objects)

    def test_objects_are_scored_by_labels_of_classes(self):
        """The true objects are the components of the interior of each section."""
        cells = self.read("stack.h5:/volumes/labels/cells")
        components, last = np.zeros(cells.shape, np.uint32), 0
        for z, section in enumerate(cells):
            found, count = scipy.ndimage.label(section)
            components[z] = np.where(found > 0, found + last, 0)
            last += count
        self.write_volumes("classes.h5", {"inverted": (cells == 0).astype(np.uint8), "components": components})
        result = self.run_experiment(self.small("classes", data={"labels": "stack.h5:/volumes/labels/cells"}), "--workers", "1")
        self.assertIn("scores of the objects, sections 4 to 5:\n", result.stdout)
        self.assertRegex(result.stdout, r"  V\^Rand_thin, 2-D +\d\.\d+ +(good|fair|poor):")
        scores = json.loads((self.folder / "runs/classes/evaluation_objects.json").read_text())
        self.assertTrue(scores["objects_of_classes"])
        self.assertNotIn("volume_3d", scores)
        self.assertRegex(self.tessera(["status", "runs/classes"]).stdout, r"V\^Rand_thin of the objects 0\.\d{4}")
        objects = f"runs/classes/segmentation.h5:/{IDS}"
        self.tessera(["evaluate", "--prediction", objects, "--labels", "classes.h5:/components", "--sections", "4:6", "--json", "ids.json"])
        self.assertEqual(json.loads((self.folder / "ids.json").read_text())["volume_2d"], scores["volume_2d"])

        self.tessera(["evaluate", "classes.yaml", "--labels", "classes.h5:/inverted", "--invert-labels"], ranks=2)
        again = json.loads((self.folder / "runs/classes/evaluation_objects.json").read_text())
        self.assertEqual(again["volume_2d"], scores["volume_2d"])
        self.assertIn("V<span class=\"pair\"><sup>Rand</sup>", (self.folder / "runs/classes/report.html").read_text())

    def test_every_stage_of_the_merges_is_on_the_page(self):
        """The page has the curve where `evaluate --graph --json` wrote into the run folder."""
        self.tessera(["segment", self.small("stages", segment={
            "prediction": "stack.h5:/volumes/raw", "mode": "volume", "threshold": 0.5, "fragment_size": 30})])
        self.tessera(["segment", self.small("supervoxels", segment={
            "prediction": "stack.h5:/volumes/raw", "mode": "volume", "threshold": 1, "thresholds": [1], "fragment_size": 30})])
        self.tessera(["evaluate", "--graph", "runs/stages/segmentation.graph.h5", "--labels", INSTANCES["labels"], "--prediction",
                      f"runs/supervoxels/segmentation.h5:/{IDS}", "--json", "runs/stages/evaluation_graph.json"])
        self.assertRegex(self.tessera(["status", "runs/stages"]).stdout, r"segment +done +- +- +\d+ objects at threshold 0\.5\n")
        self.tessera(["report", "runs/stages"])
        page = (self.folder / "runs/stages/report.html").read_text()
        stages = json.loads((self.folder / "runs/stages/evaluation_graph.json").read_text())["stages"]
        self.assertIn("Variation of information over the threshold", page)
        for stage in stages:
            if stage["kind"] == "mean":
                self.assertIn(f"<td>mean\u00a0{stage['threshold']:.3g}</td>", page)
        self.assertIn("Three planes", page)

    def test_a_stopped_segmentation_goes_on(self):
        keys = {"prediction": "stack.h5:/volumes/raw", "mode": "volume", "chunk": [1, 16, 16], "block": [1, 16, 16]}
        yaml = self.small("stopped", segment=keys)
        process = self.start(["segment", yaml], 2)
        journal = self.folder / "runs/stopped/segmentation.graph/pass1.journal"
        process.wait_until(lambda: journal.exists() and len(Journal(journal).blocks()) > 3, 30, "some blocks")
        running = self.stage("stopped", "segment")
        self.assertRegex(running["work"], r"^pass 1 of 2, \d+ of 512 blocks")
        process.signal(signal.SIGTERM, whole_job=True)
        self.assertEqual(process.finish(30).code, STOPPED)
        stopped = self.stage("stopped", "segment")
        self.assertEqual(stopped["state"], "stopped", stopped)
        self.assertRegex(self.tessera(["status", "runs/stopped"]).stdout, r"segment +stopped +- +- +pass [12] of 2, \d+ of 512 blocks")
        self.tessera(["segment", yaml, "--set", "segment.block=[8, 128, 128]"])
        self.assertEqual(self.stage("stopped", "segment")["state"], "done")

    def test_update_replaces_only_what_this_experiment_made(self):
        keys = {"prediction": "stack.h5:/volumes/raw", "output": "shared.h5:/ids", "mode": "volume"}
        mine, other = self.small("mine", segment=keys), self.small("other", segment={**keys, "min_size": 9})
        self.tessera(["segment", mine])
        self.assertIn("nothing to segment", self.tessera(["segment", mine, "--update"]).stdout)
        refused = run_tessera(["segment", other, "--update"], cwd=self.folder)
        self.assert_one_error(refused, USAGE, [r"segment\.min_size: 0 then, 9 now", "--restart"])
        changed = self.tessera(["segment", mine, "--update", "--set", "segment.min_size=5"])
        self.assertRegex(changed.text, r"is replaced: it was made otherwise\n +segment\.min_size: 0 then, 5 now")
        self.assertEqual(self.read("shared.h5:/ids").dtype, np.uint64)

    def test_many_volumes(self):
        raw = self.read("stack.h5:/volumes/raw")
        (self.folder / "many").mkdir()
        for name, turn in (("a", 0), ("b", 1)):
            self.write_volumes(f"many/{name}.h5", {"p": np.rot90(raw, turn, (1, 2)), "l": self.read(INSTANCES["labels"])})
        yaml = self.config("many", {"data": None, "infer": None, "segment": {"prediction": "many/*.h5:/p", "mode": "volume"},
                                    "evaluate": {"labels": "many/*.h5:/l", "label_kind": "instances"}})
        said = self.tessera(["segment", yaml], 2)
        self.assertIn("volume 2 of 2: b", said.text)
        for name in "ab":
            self.assertEqual(self.read(f"runs/many/volumes/{name}/segmentation.h5:/{IDS}").shape, self.stack_shape)
        one = self.tessera(["segment", yaml, "--volume", "b", "--restart"])
        self.assertNotIn("volume 1", one.text)
        self.tessera(["evaluate", yaml])
        for name in "ab":
            scores = json.loads((self.folder / f"runs/many/volumes/{name}/evaluation_objects.json").read_text())
            self.assertEqual(scores["prediction"], f"runs/many/volumes/{name}/segmentation.h5:/{IDS}")
        self.assertRegex(self.tessera(["check", yaml, "--measure", "0"]).stdout, r"volume a: segmentation:\n(.*\n)+volume b: segmentation:")
        choice = ["--set", "segment.choose=voi", "--set", "segment.choose_sections=[2, 5]", "--set", "segment.threshold=0.4", "--restart"]
        self.tessera(["segment", yaml, *choice, "--set", "segment.choose_labels=many/*.h5:/l"], 2)
        self.assertEqual([json.loads((self.folder / f"runs/many/volumes/{name}/segmentation.json").read_text())["chosen_threshold"]["labels"]
                          for name in "ab"], ["many/a.h5:/l", "many/b.h5:/l"])
        lone = [*choice, "--set", f"segment.choose_labels={INSTANCES['labels']}"]
        for arguments in (["segment", yaml, *lone], ["check", yaml, "--measure", "0", *lone[:-3], *lone[-2:]]):
            self.assert_one_error(run_tessera(arguments, cwd=self.folder), USAGE,
                                  [r"segment\.choose_labels: 2 volumes are segmented, but stack\.h5:\S+ are the labels of one", "--volume NAME"])
        wrong = run_tessera(["segment", yaml, "--set", "segment.output=one.h5:/ids"], cwd=self.folder)
        self.assert_one_error(wrong, USAGE, [r"segment\.output: has 0 wildcards, segment\.prediction has 1"])
        missing = run_tessera(["segment", yaml, "--volume", "c"], cwd=self.folder)
        self.assert_one_error(missing, USAGE, ["--volume c: no volume is called so"])


if __name__ == "__main__":
    unittest.main()
