"""On a real Slurm of three nodes: preemption, requeues and dead nodes lose no work and change no byte."""

import csv
import os
import signal
import unittest

from journal import Journal
from slurm_case import FAIL_IO, SlurmCase

ITERATIONS = 1200


class Training(SlurmCase):

    def rows(self, name):
        """(iteration, loss) of metrics.csv."""
        file = self.folder / f"runs/{name}/metrics.csv"
        if not file.exists():
            return []
        with open(file) as f:
            return [(int(row["iteration"]), row["loss"]) for row in csv.DictReader(f) if row["loss"]]

    def iteration(self, name):
        rows = self.rows(name)
        return rows[-1][0] if rows else 0

    def newest(self, name):
        return max((self.folder / f"runs/{name}/checkpoints").glob("iteration_*.h5"))

    def test_preempted_and_requeued(self):
        changes = {"train": {"iterations": ITERATIONS, "validate_every": 400, "checkpoint_every": 50}}
        undisturbed = self.slurm_config("undisturbed", {}, changes)
        job = self.submit(undisturbed, "--stages", "train")["train"]
        self.assertEqual(self.wait_for_end(job, 90, "undisturbed"), "COMPLETED", self.story("undisturbed"))
        self.assertEqual(self.starts("undisturbed", "train", job), [(0, "done")])

        job = self.submit(self.slurm_config("disturbed", {}, changes), "--stages", "train")["train"]
        self.wait(lambda: self.iteration("disturbed") > 100, 60, "the training runs", "disturbed")
        high = self.preempt()
        self.wait_for_end(high, 60, "disturbed")
        at = self.iteration("disturbed")
        self.assertLess(at, ITERATIONS - 100, "too late to show anything")
        self.wait(lambda: self.iteration("disturbed") > at + 100, 60, "the training runs again", "disturbed")
        self.cluster.command(["scontrol", "requeue", job], check=True)
        self.assertEqual(self.wait_for_end(job, 120, "disturbed"), "COMPLETED", self.story("disturbed"))

        status = self.status("disturbed")["train"]
        self.assertEqual((status["state"], status["starts"], status["done"]), ("done", 3, ITERATIONS))
        starts = self.starts("disturbed", "train", job)
        self.assertEqual(starts[0], (75, "stopped"), "preempted: saved, and requeued by itself")
        self.assertEqual(starts[2], (0, "done"))
        mine, other = self.arrays(self.newest("disturbed")), self.arrays(self.newest("undisturbed"))
        self.assertGreater(len(mine), 10)
        self.assertEqual(mine.keys(), other.keys())
        for path in other:
            self.assert_same_voxels(mine[path], other[path], path)
        self.assertEqual(self.rows("disturbed"), self.rows("undisturbed"))
        self.assertEqual([i for i, _ in self.rows("disturbed")], list(range(1, ITERATIONS + 1)))


@unittest.skipUnless(FAIL_IO, "needs TESSERA_FAIL_IO, the library that counts writes (built by CMake)")
class Inference(SlurmCase):

    stack_shape = (10, 96, 96)
    blocks = 90
    in_flight = 2 * 2  # of two workers

    def test_killed_preempted_requeued_and_a_node_lost(self):
        yaml = self.slurm_config("disturbed", {}, {
            "train": {"iterations": 1, "validate_every": 10}, "infer": {"block": [1, 32, 32], "chunk": [1, 32, 32]}})
        self.tessera(["train", yaml])
        self.tessera(["infer", yaml, "--set", "infer.output=undisturbed.h5:/p", "--set", "run_folder=runs/other",
                      "--set", "infer.checkpoint=runs/disturbed/checkpoints/best.h5"])
        log = self.folder / "writes.txt"
        job = self.submit(yaml, "--stages", "infer", environment={
            "LD_PRELOAD": FAIL_IO, "TESSERA_FAIL_NAME": "/disturbed.h5", "TESSERA_FAIL_LOG": str(log),
            "TESSERA_FAIL_DELAY_MS": "300"})["infer"]
        journal = self.folder / "disturbed.h5.journal"

        def known():
            return len(Journal(journal).blocks()) if journal.exists() else 0

        def starts():
            return Journal(journal).starts() if journal.exists() else 0

        def wait_for_work(start):
            self.wait(lambda: starts() == start, 90, f"start {start} of the prediction", "disturbed")
            before = known()
            self.wait(lambda: known() >= before + 6, 30, f"start {start} predicts", "disturbed")

        held = []

        def disturb(start, do):
            wait_for_work(start)
            do()
            self.wait(lambda: starts() > start, 90, f"a start after the {start}th", "disturbed")
            held.append(known())

        disturb(1, lambda: os.kill(self.rank_pid(job, 2), signal.SIGKILL))
        disturb(2, self.preempt)
        disturb(3, lambda: self.cluster.command(["scontrol", "requeue", job], check=True))
        node = []

        def lose_the_batch_node():
            node.append(self.nodes_of(job)[0])
            self.cluster.kill_node(node[0])

        disturb(4, lose_the_batch_node)
        self.assertNotIn(node[0], self.nodes_of(job))
        self.assertEqual(self.wait_for_end(job, 90, "disturbed"), "COMPLETED", self.story("disturbed"))
        self.cluster.start_node(node[0])

        self.assert_same_voxels(self.read("disturbed.h5:/volumes/predictions/interior"), self.read("undisturbed.h5:/p"))
        self.assertEqual(sorted(Journal(journal).blocks()), list(range(self.blocks)))
        self.assertEqual(held, sorted(held))
        status = self.status("disturbed")["infer"]
        self.assertEqual((status["state"], status["starts"], status["done"], status["all"]), ("done", 5, self.blocks, self.blocks))
        ends = self.starts("disturbed", "infer", job)
        self.assertEqual((ends[0][1], ends[1], ends[4]), ("died", (75, "stopped"), (0, "done")), ends)
        self.assertIsNone(ends[3], "a script cannot record the death of its node")
        places = [line.split()[0] for line in log.read_text().splitlines()]
        self.assertEqual(len(set(places)), self.blocks)
        # The preemption leaves time to finish the blocks in flight. The three others come with little or no warning.
        self.assertLessEqual(len(places) - len(set(places)), 3 * self.in_flight, "blocks predicted once more")


if __name__ == "__main__":
    unittest.main()
