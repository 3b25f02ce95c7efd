"""Two emulated nodes. Each has its own network, host name and mounts. A virtual cable connects them, and ranks
communicate over TCP. The folder of the test is their shared file system."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from harness import BINARY, MPIRUN, Case, Process
from journal import Journal

NAMES = ("node1", "node2")
INTERFACE = "fabric0"
LIFETIME_S = 600  # lifetime of a node that no test ends
RANKS_PER_NODE = 2
# mpirun's limit for a silent node: some seconds with these options, 8 minutes by default.
NOTICE_SOON = ("--mca", "oob_tcp_keepalive_time", "2", "--mca", "oob_tcp_keepalive_intvl", "1",
               "--mca", "oob_tcp_keepalive_probes", "2")
TOOLS = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux", "mount": "mount"}


def run(command, **how):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=20, **how)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {(done.stdout + done.stderr).strip()}")
    return done.stdout


class Node:
    """An idle process in its own namespaces. They end with their last process."""

    def __init__(self, name, number, hosts):
        self.name, self.number, self.hosts = name, number, hosts
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--uts", "--mount", "sleep", str(LIFETIME_S)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.pid = self._holder.pid
        end = time.monotonic() + 10
        while os.readlink(f"/proc/{self.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
            if self._holder.poll() is not None or time.monotonic() > end:
                raise OSError(f"no namespaces: {self._holder.stderr.read() if self._holder.poll() is not None else 'too slow'}")
            time.sleep(0.01)
        self._network = os.readlink(f"/proc/{self.pid}/ns/net")

    def enter(self):
        """The command prefix that runs a command on the node."""
        return ["nsenter", f"--target={self.pid}", "--net", "--uts", "--mount"]

    def configure(self):
        for command in (["hostname", self.name], ["mount", "--bind", self.hosts, "/etc/hosts"],
                        ["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], ["ip", "link", "set", "lo", "up"],
                        ["ip", "address", "add", f"10.77.0.{self.number}/24", "dev", INTERFACE],
                        ["ip", "link", "set", INTERFACE, "up"]):
            run([*self.enter(), *command])

    def hide(self, folder):
        """Hides the folder: the node then sees an empty one."""
        run([*self.enter(), "mount", "-t", "tmpfs", "tmpfs", folder])

    def show(self, folder):
        run([*self.enter(), "umount", folder])

    def bytes_received(self):
        """Bytes that the node received over the cable."""
        for line in pathlib.Path(f"/proc/{self.pid}/net/dev").read_text().splitlines():
            name, _, counters = line.partition(":")
            if name.strip() == INTERFACE:
                return int(counters.split()[0])
        raise AssertionError(f"{self.name} has no {INTERFACE}")

    def pids(self):
        """{pid: environment} of the processes on the node."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and int(entry.name) != self.pid and os.readlink(entry / "ns/net") == self._network:
                    pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                    found[int(entry.name)] = dict(p.split("=", 1) for p in pairs if "=" in p)
            except OSError:
                continue  # the process has ended
        return found

    def end(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._holder.kill()
        self._holder.wait()
        self._holder.stderr.close()


class Nodes(Case):
    """The cluster, and the results of one rank alone."""

    stack_shape = (8, 256, 256)
    blocks = 128
    iterations = 8

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("emulated nodes need root, for namespaces and virtual networks")
        missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
        if missing:
            raise unittest.SkipTest(f"emulated nodes need the Debian packages {', '.join(missing)}")
        super().setUpClass()
        cls.nodes = []
        try:
            cls.connect()
        except OSError as error:
            raise unittest.SkipTest(f"this system has no namespaces or virtual networks for emulated nodes: {error}")
        cls.make_experiment()

    @classmethod
    def connect(cls):
        hosts = cls.folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"10.77.0.{i + 1} {name}\n" for i, name in enumerate(NAMES)))
        for i, name in enumerate(NAMES):
            cls.nodes.append(Node(name, i + 1, hosts))
            cls.addClassCleanup(cls.nodes[-1].end)
        here, there = f"t{os.getpid()}a", f"t{os.getpid()}b"
        run(["ip", "link", "add", here, "type", "veth", "peer", "name", there])
        try:
            for node, cable in zip(cls.nodes, (here, there)):
                run(["ip", "link", "set", cable, "netns", node.pid, "name", INTERFACE])
        except OSError:
            subprocess.run(["ip", "link", "delete", here], capture_output=True, timeout=20)
            raise
        for node in cls.nodes:
            node.configure()
        # Replaces ssh: HOST COMMAND...
        agent = cls.folder / "agent"
        cases = "".join(f"{node.name}) exec {' '.join(node.enter())} sh -c \"$*\";;\n" for node in cls.nodes)
        agent.write_text(f'#!/bin/sh\nhost=$1\nshift\ncase $host in\n{cases}esac\necho "no node $host" >&2\nexit 255\n')
        agent.chmod(0o755)

    @classmethod
    def make_experiment(cls):
        """Uses a folder of its own, so that it can be hidden."""
        (cls.folder / "experiment").mkdir()
        yaml = cls.config("nodes", {
            "model": {"base_filters": 12},
            "train": {"iterations": cls.iterations, "global_batch": 4, "precision": "float32", "checkpoint_every": 4,
                      "validate_every": cls.iterations},
            "infer": {"block": [1, 64, 64], "chunk": [1, 64, 64], "output": "alone.h5:/p"}})
        cls.yaml = os.path.join("experiment", yaml)
        (cls.folder / yaml).rename(cls.folder / cls.yaml)
        cls.checkpoints = cls.folder / "runs/nodes/checkpoints"
        cls.done(cls.folder, ["train", cls.yaml], ranks=1)
        cls.losses_alone = cls.losses()
        cls.done(cls.folder, ["infer", cls.yaml], ranks=1)
        cls.alone = cls.read("alone.h5:/p")
        if len(np.unique(cls.alone)) < 4:
            raise AssertionError("a prediction of one value shows nothing")

    @classmethod
    def losses(cls):
        with open(cls.folder / "runs/nodes/metrics.csv", newline="") as f:
            return [float(row["loss"]) for row in csv.DictReader(f)]

    def start_on(self, order, arguments, include=True, environment=None, mca=(), wrapper=()):
        """Starts tessera with two ranks on the first node of `order`, then two on the second."""
        ranks = self.folder / "ranks"
        ranks.write_text("".join(f"{NAMES[i]}\n" * RANKS_PER_NODE for i in order))
        interfaces = ["--mca", "btl_tcp_if_include", INTERFACE, "--mca", "oob_tcp_if_include", INTERFACE] if include else []
        exported = [word for name in environment or {} for word in ("-x", name)]
        prefix = ["setpriv", "--pdeathsig", "KILL", *self.nodes[0].enter(), MPIRUN, "-n", str(2 * RANKS_PER_NODE),
                  "--hostfile", str(ranks), "--mca", "rmaps", "seq", "--bind-to", "none", "--wdir", str(self.folder),
                  "--mca", "plm_rsh_agent", str(self.folder / "agent"),
                  "--mca", "pml", "ob1", "--mca", "btl", "tcp,self", *interfaces, *mca, *exported, *wrapper]
        self.addCleanup(self.clear)
        return self.start(arguments, prefix=prefix, environment=environment)

    def run_on(self, order, arguments, **how):
        """Runs to exit code 0. The second node has neither the experiment nor a checkpoint."""
        other = self.nodes[order[1]]
        hidden = [self.folder / "experiment", self.checkpoints]
        for folder in hidden:
            other.hide(folder)
        try:
            for folder in hidden:
                self.assertEqual(run([*other.enter(), "ls", "-A", folder]), "", "it is not hidden")
            result = self.start_on(order, arguments, **how).finish(40)
        finally:
            for folder in hidden:
                other.show(folder)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.errors(), [], result)
        self.assertEqual(self.left_behind(), {})
        return result

    def running(self):
        return {pid: environment for node in self.nodes for pid, environment in node.pids().items()}

    def left_behind(self, timeout=5):
        end = time.monotonic() + timeout
        while (found := self.running()) and time.monotonic() < end:
            time.sleep(0.05)
        return {pid: environment.get("OMPI_COMM_WORLD_RANK", "") for pid, environment in found.items()}

    def clear(self):
        for pid in self.running():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def infer(self, file, *more):
        return ["infer", self.yaml, "--set", f"infer.output={file}:/p", *more]

    def hosts(self):
        """{rank: host} of the workers, from the report."""
        report = json.loads((self.folder / "runs/nodes/inference.json").read_text())
        return {worker["rank"]: worker["host"] for worker in report["workers"]}

    def traffic_of(self, order, arguments):
        """Bytes received by each node over the cable."""
        before = [node.bytes_received() for node in self.nodes]
        self.run_on(order, arguments)
        return [node.bytes_received() - b for node, b in zip(self.nodes, before)]

    def test_1_predictions_are_byte_equal(self):
        best = (self.checkpoints / "best.h5").stat().st_size
        idle = max(self.traffic_of((0, 1), ["--version"]))  # cost of starting and ending
        for order in ((0, 1), (1, 0)):
            with self.subTest(coordinator=NAMES[order[0]]):
                file = f"first{order[0]}.h5"
                traffic = self.traffic_of(order, self.infer(file))
                self.assert_same_voxels(self.read(f"{file}:/p"), self.alone, file)
                first, second = NAMES[order[0]], NAMES[order[1]]
                self.assertEqual(self.hosts(), {1: first, 2: second, 3: second})
                # The checkpoint is sent to the second node over the cable, because that node lacks it. Reports go the
                # other way.
                self.assertGreater(traffic[order[1]], idle + best)
                self.assertGreater(traffic[order[0]], idle + 10_000)
                print(f"    {best} bytes of checkpoint; over the cable to {second} {traffic[order[1]]}, "
                      f"to {first} {traffic[order[0]]}; without work {idle}")

    def test_2_a_torchscript_file_is_needed_on_one_node(self):
        script = self.folder / "experiment/script.pt"
        self.tessera(["export-model", self.checkpoints / "best.h5", script])
        model = ["--set", "model.torchscript=experiment/script.pt"]
        self.tessera(self.infer("script_alone.h5", *model), ranks=1)
        self.run_on((0, 1), self.infer("script.h5", *model))
        self.assert_same_voxels(self.read("script.h5:/p"), self.read("script_alone.h5:/p"))

    def test_3_training_has_the_same_losses(self):
        self.assertEqual(len(self.losses_alone), self.iterations)
        weights = 4 * json.loads((self.folder / "runs/nodes/training.json").read_text())["parameters"]  # bytes, float32
        for name in ("checkpoints", "previews"):
            shutil.rmtree(self.folder / "runs/nodes" / name)
        self.checkpoints.mkdir()  # to be hidden
        traffic = self.traffic_of((0, 1), ["train", self.yaml, "--set", "train.iterations=4"])
        np.testing.assert_allclose(self.losses(), self.losses_alone[:4], rtol=1e-5)
        for node in range(2):  # the gradients of each iteration
            self.assertGreater(traffic[node], 4 * weights, NAMES[node])
        result = self.run_on((1, 0), ["train", self.yaml, "--resume"])
        self.assertIn("resumed from", result.text)
        np.testing.assert_allclose(self.losses(), self.losses_alone, rtol=1e-5)
        workers = json.loads((self.folder / "runs/nodes/training.json").read_text())["workers"]
        self.assertEqual([w["host"] for w in workers], ["node2", "node1", "node1"])

    def test_4_what_dies_on_a_node_ends_the_job_and_the_next_start_goes_on(self):
        # The remaining ranks run for another second. The job must be long enough to have work left then.
        slow = ["--set", "infer.averaging=rotations7"]
        self.tessera(self.infer("slow.h5", *slow), ranks=3)
        expected = self.read("slow.h5:/p")
        for what in ("a rank", "the node", "the cable"):
            with self.subTest(what=what):
                file = f"killed_{what.split()[1]}.h5"
                journal = self.folder / f"{file}.journal"
                process = self.start_on((0, 1), self.infer(file, *slow), mca=NOTICE_SOON)
                process.wait_until(lambda: journal.exists() and len(Journal(journal).blocks()) >= 4, 30, "some blocks are done")
                there = self.nodes[1].pids()
                ranks = {e["OMPI_COMM_WORLD_RANK"]: pid for pid, e in there.items() if "OMPI_COMM_WORLD_RANK" in e}
                self.assertEqual(sorted(ranks), ["2", "3"])
                if what == "the cable":
                    run([*self.nodes[1].enter(), "ip", "link", "set", INTERFACE, "down"])
                    self.addCleanup(run, [*self.nodes[1].enter(), "ip", "link", "set", INTERFACE, "up"])
                for pid in {"a rank": [ranks["3"]], "the node": there, "the cable": []}[what]:
                    os.kill(pid, signal.SIGKILL)
                killed = time.monotonic()
                result = process.finish(20)
                seconds = time.monotonic() - killed
                self.assertNotEqual(result.code, 0, result)
                self.assertRegex(result.text, {
                    "a rank": r"process rank 3 with PID \d+ on node node2 exited on\s*signal 9",
                    # Open MPI reports what it notices first: the lost connection, or the broken remote shell.
                    "the node": "lost communication with a remote daemon|unable to reliably start one or more daemons",
                    "the cable": r"lost communication with a remote daemon(.|\n)*on node node2",
                }[what])
                self.assertEqual(self.left_behind(15), {}, result)
                if what == "the cable":
                    run([*self.nodes[1].enter(), "ip", "link", "set", INTERFACE, "up"])
                known = Journal(journal).blocks()
                self.assertLess(len(known), self.blocks, "it was killed too late to show anything")
                print(f"    {what} killed: exit code {result.code} after {seconds:.1f} s, {len(known)} of {self.blocks} blocks done")
                self.run_on((1, 0), self.infer(file, *slow))
                self.assert_same_voxels(self.read(f"{file}:/p"), expected, file)
                self.assertEqual(Journal(journal).blocks()[:len(known)], known)
                report = json.loads((self.folder / "runs/nodes/inference.json").read_text())
                self.assertEqual(report["blocks"]["now"], self.blocks - len(known), "a block of the journal was computed again")
        self.assertEqual(self.leftovers(), [])

    def test_5_ranks_that_do_not_reach_each_other_say_so(self):
        """An interface of containers has the same address on every node and reaches no other node."""
        for node in self.nodes:
            for command in (["ip", "link", "add", "bridge0", "type", "bridge"],
                            ["ip", "address", "add", "172.31.0.1/16", "dev", "bridge0"],
                            ["ip", "link", "set", "bridge0", "up"]):
                try:
                    run([*node.enter(), *command])
                except OSError as error:
                    self.skipTest(f"this system has no bridges: {error}")
            self.addCleanup(run, [*node.enter(), "ip", "link", "delete", "bridge0"])
        process = self.start_on((0, 1), ["--version"], include=False, environment={"TESSERA_MEETING_SECONDS": "2"})
        result = process.finish(30)
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.text, r"error: MPI started, but rank \d on node\d has not reached the other ranks within 2 s")
        self.assertIn("btl_tcp_if_include", result.text)
        self.assertEqual(self.left_behind(), {}, result)
        self.run_on((0, 1), ["--version"])  # the interface is named

    def test_6_a_file_that_one_node_does_not_see_is_named_with_the_node(self):
        empty = self.folder / "empty.h5"
        empty.touch()
        run([*self.nodes[1].enter(), "mount", "--bind", empty, self.folder / "stack.h5"])
        self.addCleanup(run, [*self.nodes[1].enter(), "umount", self.folder / "stack.h5"])
        result = self.start_on((0, 1), ["train", self.yaml, "--overwrite"]).finish(30)
        self.assertEqual(result.code, 1, result)
        self.assertEqual(len(result.errors()), 1, result)
        self.assertRegex(result.errors()[0], r"stack\.h5 is not an HDF5 file.*\(on 2 of 4 ranks, such as rank 2 on node2\)")
        result = self.start_on((0, 1), self.infer("unseen.h5")).finish(30)
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.text, r"error: block \d+ .*on rank [23] on node2: stack\.h5 is not an HDF5 file")

    def test_7_two_nodes_of_one_host_name_are_two_nodes(self):
        """A host name says nothing: containers and images often share one."""
        cores = len(os.sched_getaffinity(0))
        # Only the ranks see the name: mpirun starts them by the names of its host file.
        twin = ["unshare", "--uts", "sh", "-c", 'hostname twin && exec "$@"', "sh"]
        self.run_on((0, 1), self.infer("named.h5"))  # by the same checkpoint, which other tests may have replaced
        self.run_on((0, 1), self.infer("twins.h5"), wrapper=twin)
        self.assert_same_voxels(self.read("twins.h5:/p"), self.read("named.h5:/p"))
        self.assertEqual(set(self.hosts().values()), {"twin"})
        self.run_on((0, 1), [*self.infer("cores.h5"), "--set", "infer.threads=auto"], wrapper=twin)
        report = json.loads((self.folder / "runs/nodes/inference.json").read_text())
        devices = {worker["rank"]: worker["device"] for worker in report["workers"]}
        # The first node has the coordinator and one worker, the second one two workers that share its cores.
        expected = {1: cores, 2: max(1, cores // 2), 3: max(1, cores // 2)}
        self.assertEqual(devices, {rank: f"cpu, {n} thread{'s' if n > 1 else ''}" for rank, n in expected.items()})


if __name__ == "__main__":
    unittest.main()
