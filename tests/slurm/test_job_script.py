"""slurm/job.bash alone. srun, squeue and scontrol are stubs that record their calls, so every end of a job can be
tested quickly, without Slurm and without root."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]

SRUN = """\
#!/bin/bash
printf '%s\\n' "$@" >$FAKE/srun.arguments
cp "$SLURM_HOSTFILE" $FAKE/srun.hosts
env >$FAKE/srun.environment
. $FAKE/srun.does
"""
SQUEUE = """\
#!/bin/bash
case $* in
  *%T*) cat $FAKE/state ;;
  *%e*) date -d "+$(cat $FAKE/minutes) minutes" +%FT%T ;;
esac
"""
SCONTROL = """\
#!/bin/bash
case $1 in
  show) for host in ${3//,/ }; do echo $host; done ;;
  requeue)
    echo "$2" >>$FAKE/requeued
    (sleep 0.2; kill -KILL 0) &  # as Slurm ends a job that it requeues
    ;;
esac
"""


class JobScript(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera_"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "bin").mkdir()
        for name, text in (("srun", SRUN), ("squeue", SQUEUE), ("scontrol", SCONTROL)):
            (self.folder / "bin" / name).write_text(text)
            (self.folder / "bin" / name).chmod(0o755)
        self.write("state", "RUNNING\n")
        self.write("minutes", "60\n")
        self.write("srun.does", "exit 0\n")

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def text(self, name):
        file = self.folder / name
        return file.read_text() if file.exists() else ""

    def start(self, verb="infer", arguments=("c.yaml",), before="", environment=None, restart=0, site=""):
        """A job script, started as Slurm does."""
        script = f'{before}\n. "{SOURCE}/slurm/job.bash"\ntessera_job {verb} tessera "$FAKE" "{site}" "$@"\n'
        base = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "tessera"))}
        base.update(FAKE=str(self.folder), PATH=f"{self.folder}/bin:{os.environ['PATH']}", TMPDIR=str(self.folder),
                    SLURM_JOB_ID="7", SLURM_JOB_NAME="job", SLURM_JOB_NODELIST="a,b", SLURM_NTASKS="3", SLURM_TASKS_PER_NODE="2,1",
                    SLURM_RESTART_COUNT=str(restart))
        base.update(environment or {})
        base = {key: value for key, value in base.items() if value is not None}
        process = subprocess.Popen(["bash", "-c", script, "job", *arguments], env=base, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.addCleanup(process.stdout.close)
        return process

    def finish(self, process):
        out, _ = process.communicate(timeout=30)
        return process.returncode, out

    def run_job(self, *arguments, **how):
        return self.finish(self.start(*arguments, **how))

    def starts(self):
        """The record without its times."""
        return [line.split("\t")[:2] + line.split("\t")[3:] for line in self.text("infer-7.starts").splitlines()]

    def ends(self, code):
        """A program that ends in order: it writes its exit code to the file, whatever exit code srun returns."""
        return f'echo "{code}" >"$TESSERA_END_FILE"\nexit 137\n'

    def test_done(self):
        code, out = self.run_job()
        self.assertEqual(code, 0, out)
        self.assertEqual(self.starts(), [["begin", "0", "a,b"], ["end", "0", "0", "done"]])
        self.assertEqual(self.text("requeued"), "")

    def test_layout_and_options(self):
        self.run_job(arguments=("a b.yaml", "--set", "x=$(reboot)"), environment={"SLURM_CPUS_PER_TASK": "4"})
        self.assertEqual(self.text("srun.hosts").split(), ["a", "a", "a", "b"], "the coordinator, then the workers")
        arguments = self.text("srun.arguments").splitlines()
        for option in ("--ntasks=4", "--distribution=arbitrary", "--overcommit", "--kill-on-bad-exit=1", "--mpi=pmix", "--cpu-bind=none", "--export=ALL"):
            self.assertIn(option, arguments)
        self.assertEqual(arguments[-5:], ["tessera", "infer", "a b.yaml", "--set", "x=$(reboot)"])
        environment = self.text("srun.environment")
        for name in ("SLURM_NTASKS=", "SLURM_CPUS_PER_TASK=", "SLURM_TASKS_PER_NODE="):
            self.assertNotIn(name, environment, "it leaves the coordinator out")
        self.assertEqual(list(self.folder.glob("tessera-*")), [], "no file is left behind")

    def test_layout_by_gpus(self):
        self.run_job(environment={"SLURM_NTASKS": None, "SLURM_TASKS_PER_NODE": "1(x2)", "SLURM_GPUS_ON_NODE": "4"})
        self.assertEqual(self.text("srun.hosts").split(), ["a"] + ["a"] * 4 + ["b"] * 4)

    def test_layout_by_memory_domains(self):
        self.write("bin/lscpu", "#!/bin/bash\nprintf '# a comment\\n0\\n0\\n1\\n1\\n'\n")
        self.write("bin/nproc", "#!/bin/bash\necho ${OMP_NUM_THREADS:-4}\n")  # like nproc
        for name in ("lscpu", "nproc"):
            (self.folder / "bin" / name).chmod(0o755)
        layout = {"SLURM_NTASKS": None, "SLURM_TASKS_PER_NODE": "1(x2)"}
        self.run_job(environment={**layout, "SLURM_CPUS_ON_NODE": "4", "OMP_NUM_THREADS": "1"})
        self.assertEqual(self.text("srun.hosts").split(), ["a"] + ["a"] * 2 + ["b"] * 2)
        self.run_job(environment={**layout, "SLURM_CPUS_ON_NODE": "2"})
        self.assertEqual(self.text("srun.hosts").split(), ["a", "a", "b"], "a part of a node: one worker")

    def test_tasks_per_node_as_slurm_writes_them(self):
        self.run_job(environment={"SLURM_JOB_NODELIST": "a,b,c,d", "SLURM_TASKS_PER_NODE": "2(x3),1"})
        self.assertEqual(self.text("srun.hosts").split(), ["a", "a", "a", "b", "b", "c", "c", "d"])

    def test_stopped_is_requeued(self):
        self.write("srun.does", self.ends("75"))
        code, out = self.run_job()
        self.assertNotEqual(code, 0)
        self.assertEqual(self.text("requeued"), "7\n", out)
        self.assertEqual(self.starts(), [["begin", "0", "a,b"], ["end", "0", "75", "stopped"]])

    def test_an_array_requeues_its_task_alone(self):
        self.write("srun.does", self.ends("75"))
        self.run_job(environment={"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"})
        self.assertEqual(self.text("requeued"), "7_3\n")
        self.assertIn("stopped", self.text("infer-7_3.starts"))

    def test_failed_is_not(self):
        for code in (1, 2):
            self.write("srun.does", self.ends(code))
            self.assertEqual(self.run_job()[0], code)
        self.assertEqual(self.text("requeued"), "")
        self.assertEqual([line[-1] for line in self.starts() if line[0] == "end"], ["failed", "failed"])

    def test_a_program_that_is_not_there(self):
        self.write("srun.does", "exit 127\n")
        self.assertEqual(self.run_job()[0], 127)
        self.assertEqual(self.text("requeued"), "")

    def test_a_node_that_does_not_start_it(self):
        """Exit code 1 of srun itself or of one rank: the ranks did not end together."""
        self.write("srun.does", "exit 1\n")
        self.run_job()
        self.assertEqual(self.starts()[-1], ["end", "0", "1", "died"])
        self.assertEqual(self.text("requeued"), "7\n")

    def test_an_exit_code_without_an_end(self):
        """Any exit code of srun or a wrapper: only the program's own end, or 0, counts as in order."""
        for number, code in enumerate((10, 11, 75)):
            self.write("srun.does", f"exit {code}\n")
            self.run_job(restart=number)
            self.assertEqual(self.starts()[-1], ["end", str(number), str(code), "died"])

    def test_cancelled_is_not(self):
        self.write("srun.does", self.ends("75"))
        self.write("state", "COMPLETING\n")
        code, out = self.run_job()
        self.assertEqual(code, 75, out)
        self.assertEqual(self.text("requeued"), "")
        self.assertEqual(self.starts()[-1][-1], "ended")

    def test_a_rank_that_dies_now_and_then(self):
        self.write("srun.does", "exit 137\n")
        for restart in range(2):
            self.run_job(before="tessera_restarts=2", restart=restart)
        self.assertEqual(self.text("requeued"), "7\n7\n")
        code, out = self.run_job(before="tessera_restarts=2", restart=2)
        self.assertEqual(code, 137)
        self.assertIn("a rank died (exit code 137), as in 2 starts before", out)
        self.assertEqual(self.text("requeued"), "7\n7\n")

    def test_a_job_that_never_ends_is_not_requeued_for_ever(self):
        self.write("srun.does", self.ends("75"))
        for restart in range(2):
            self.run_job(before="tessera_requeues=2", restart=restart)
        self.assertEqual(self.text("requeued"), "7\n7\n")
        code, out = self.run_job(before="tessera_requeues=2", restart=2)
        self.assertEqual(code, 75)
        self.assertIn("stopped with its state saved, after 2 requeues: submit it again to go on", out)
        self.assertEqual(self.text("requeued"), "7\n7\n")
        self.assertEqual(self.starts()[-1], ["end", "2", "75", "failed"])

    def test_the_program_knows_when_all_must_be_saved(self):
        for before, reserve in (("", 60), ("tessera_stop_before=60", 20)):
            begin = time.time()
            self.run_job(before=before)
            (deadline,) = [int(line.partition("=")[2]) for line in self.text("srun.environment").splitlines()
                           if line.startswith("TESSERA_DEADLINE=")]
            self.assertAlmostEqual(deadline - begin, 3600 - reserve, delta=10)
        end = int(time.time()) + 5000
        self.run_job(environment={"SLURM_JOB_END_TIME": str(end)})
        self.assertIn(f"TESSERA_DEADLINE={end - 60}\n", self.text("srun.environment"))

    def test_a_time_limit_that_leaves_nothing(self):
        self.write("minutes", "3")
        code, out = self.run_job()
        self.assertEqual(code, 2, out)
        self.assertIn("the time limit leaves nothing before the warning, 180 s", out)
        self.assertEqual((self.text("srun.arguments"), self.text("requeued")), ("", ""))

    def test_without_squeue_there_is_no_deadline(self):
        self.write("bin/squeue", "#!/bin/bash\nexit 1\n")
        self.assertEqual(self.run_job()[0], 0)
        self.assertNotIn("TESSERA_DEADLINE", self.text("srun.environment"))

    def test_late_again_and_again(self):
        """A job that never gets to save is not restarted forever."""
        (self.folder / "infer-7.starts").write_text("begin\t0\t1\ta\nend\t0\t2\t137\tlate\n")
        self.warned_too_late()
        self.assertEqual(self.starts()[-1][-1], "died")

    def test_warnings_are_passed_on(self):
        for number in (signal.SIGUSR2, signal.SIGTERM):
            self.write("srun.does", 'trap \'echo 75 >"$TESSERA_END_FILE"; exit 75\' USR2\ntouch $FAKE/ready\n'
                                    "for i in $(seq 200); do sleep 0.1; done\n")
            self.warn_when_ready(self.start(), number)
            self.assertEqual(self.starts()[-1], ["end", "0", "75", "stopped"])
        self.assertEqual(self.text("requeued"), "7\n7\n")

    def test_a_verb_that_cannot_save_uses_its_time(self):
        self.write("srun.does", "trap 'exit 137' USR2\ntouch $FAKE/ready\nfor i in $(seq 20); do sleep 0.1; done\necho 0 >$TESSERA_END_FILE\n")
        self.warn_when_ready(self.start(verb="evaluate"), signal.SIGUSR2)
        self.assertIn("\tdone\n", self.text("evaluate-7.starts"))

    def warned_too_late(self):
        """A program that does not get to save."""
        self.write("srun.does", "trap 'exit 137' USR2\ntouch $FAKE/ready\nfor i in $(seq 200); do sleep 0.1; done\n")
        self.warn_when_ready(self.start(before="tessera_restarts=1"), signal.SIGUSR2)

    def warn_when_ready(self, process, number):
        end = time.monotonic() + 20
        while not (self.folder / "ready").exists() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(process.pid, number)
        self.finish(process)
        (self.folder / "ready").unlink()

    def test_too_slow_after_a_warning_counts_for_no_crash(self):
        self.warned_too_late()
        self.assertEqual(self.starts()[-1], ["end", "0", "137", "late"])
        self.assertEqual(self.text("requeued"), "7\n")

    def test_the_site_has_its_say(self):
        self.write("site.env", "tessera_mpi=pmi2\ntessera_srun=(--network=ib)\ntessera_wrapper=(apptainer exec 'my image.sif')\n")
        self.run_job(site="$FAKE/site.env")
        arguments = self.text("srun.arguments").splitlines()
        self.assertIn("--mpi=pmi2", arguments)
        self.assertIn("--network=ib", arguments)
        self.assertEqual(arguments[-6:], ["apptainer", "exec", "my image.sif", "tessera", "infer", "c.yaml"])

    def test_the_report_runs_alone(self):
        (self.folder / "bin/tessera").write_text('#!/bin/bash\necho "alone: $*"\n')
        (self.folder / "bin/tessera").chmod(0o755)
        code, out = self.run_job(verb="report")
        self.assertEqual(code, 0, out)
        self.assertIn("alone: report c.yaml\n", out)
        self.assertEqual(self.text("srun.arguments"), "")

    def test_scripts_to_send_by_hand(self):
        """slurm/VERB.sbatch, with an experiment and settings."""
        for verb in ("train", "infer", "evaluate", "report"):
            (self.folder / "bin/tessera").write_text("#!/bin/bash\nexec srun tessera \"$@\"\n")
            (self.folder / "bin/tessera").chmod(0o755)
            base = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "tessera"))}
            base.update(FAKE=str(self.folder), PATH=f"{self.folder}/bin:{os.environ['PATH']}", SLURM_JOB_ID="7", SLURM_JOB_NODELIST="a",
                        SLURM_SUBMIT_DIR=str(self.folder), TESSERA_SLURM=str(SOURCE / "slurm"), SLURM_HOSTFILE="/dev/null",
                        SLURM_NTASKS="1", SLURM_TASKS_PER_NODE="1")
            text = (SOURCE / f"slurm/{verb}.sbatch").read_text()
            for line in ("#SBATCH --requeue", "#SBATCH --open-mode=append", "#SBATCH --signal=B:USR2@180"):
                self.assertIn(line + "\n", text)
            done = subprocess.run(["bash", str(SOURCE / f"slurm/{verb}.sbatch"), "c.yaml", "--set", "a=b"], env=base,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 0, done)
            wanted = ["tessera", verb, "c.yaml", "--set", "a=b"] + (["--resume"] if verb == "train" else [])
            self.assertEqual(self.text("srun.arguments").splitlines()[-len(wanted):], wanted)
            self.assertIn("\tdone\n", self.text(f"{verb}-7.starts"))


if __name__ == "__main__":
    unittest.main()
