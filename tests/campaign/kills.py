"""SIGKILL at the n-th call and at random instants. The next start gives the result of an undisturbed run."""

import functools
import os
import random
import signal
import time

import bench
import contents
from faults import chosen, count, settings, time_limit
from program import run_ranks

KINDS = ("open", "write", "sync", "rename", "truncate", "unlink", "mkdir", "close", "lock")


def judge(verb, reference, folder, worker, command, what, ranks=0):
    """Starts the verb again after a kill."""
    learned = reference[0]
    after = contents.of_folder(folder)
    findings = [("wrong", text) for text in learned.torn(after) if not (verb.resumes and bench.resumable(verb, text))]
    arguments = verb.again or verb.arguments
    if ranks:
        outcome = run_ranks(arguments, folder, ranks, 60 + time_limit(reference))
    else:
        outcome = worker.server.run(arguments, folder, time_limit(reference))
    findings += bench.after_restart(verb, reference, outcome, folder)
    worker.bench.record("kills", verb.name, [(k, f"{what}: {t}") for k, t in findings], command)


def at_call(verb, kind, n, how, worker):
    reference = worker.bench.reference(verb, worker)
    folder = worker.folder(verb.inputs)
    environment = settings(kind, folder, n, DO=how)
    worker.server.run(verb.arguments, folder, time_limit(reference), environment=environment)
    judge(verb, reference, folder, worker, bench.repeat(verb, verb.arguments, environment), f"killed at {kind} {n} ({how})")


def at_random(verb, share, worker):
    reference = worker.bench.reference(verb, worker)
    folder = worker.folder(verb.inputs)
    worker.server.start(verb.arguments, folder)
    time.sleep(share * reference[1])
    worker.server.kill()
    worker.server.wait(30)
    judge(verb, reference, folder, worker, bench.repeat(verb, verb.arguments), f"killed after {share * reference[1]:.3f} s")


def of_ranks(verb, ranks, share, dice, worker):
    """Under mpirun: kills one rank, mpirun itself, or all, `share` of the way from the first file to the end."""
    reference = worker.bench.reference(verb, worker)
    folder = worker.folder(verb.inputs)
    victim = dice.choice(["all", "mpirun", *range(ranks)])

    def during(process):
        begin = time.monotonic()
        while process.running() and time.monotonic() - begin < 20 and not started(folder, reference[0]):
            time.sleep(0.005)
        time.sleep(share * reference[1])
        try:
            if victim == "all":
                process.kill()
            elif victim == "mpirun":
                process.signal(signal.SIGKILL)
            else:
                os.kill(process.rank_pid(victim), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended or not started

    outcome = run_ranks(verb.arguments, folder, ranks, time_limit(reference), during=during)
    what = f"{victim} of {ranks} ranks killed after {share * reference[1]:.3f} s"
    command = bench.repeat(verb, verb.arguments, ranks=ranks)
    if outcome.hung:
        worker.bench.record("kills", verb.name, [("hung", what)], command)
        return
    judge(verb, reference, folder, worker, command, what, dice.choice((0, 0, ranks)))


def started(folder, reference):
    """Whether the verb has written something."""
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    return not files <= set(reference.before)


def cases(campaign, most=None, random_kills=100, rank_kills=100, without=()):
    rng, found = random.Random(campaign.seed), []
    for verb in campaign.verbs:
        if not verb.writes or verb.name in without:
            continue
        totals = count(verb, campaign.workers[0])
        for kind in KINDS:
            for n in chosen(totals[kind], most, rng):
                found.append(functools.partial(at_call, verb, kind, n, rng.choice(("kill", "tear"))))
        found += [functools.partial(at_random, verb, rng.uniform(0, 1.1)) for _ in range(random_kills)]
        if verb.ranks:
            found += [functools.partial(of_ranks, verb, rng.choice((2, 3)), rng.uniform(0, 1.1), random.Random(rng.random()))
                      for _ in range(rank_kills)]
    rng.shuffle(found)
    return found
