"""The n-th call of each kind fails, for each verb: the result is right, or a message says why, and nothing is torn."""

import errno
import functools
import random

import bench
from program import KINDS, counts, run_ranks

ERRORS = {"read": errno.EIO, "write": errno.ENOSPC, "open": errno.EACCES, "close": errno.EIO, "sync": errno.EIO,
          "rename": errno.EIO, "truncate": errno.ENOSPC, "unlink": errno.EACCES, "mkdir": errno.ENOSPC, "lock": errno.EIO,
          "stat": errno.EIO, "list": errno.EIO, "thread": errno.EAGAIN, "memory": errno.ENOMEM, "map": errno.ENOMEM,
          "new": errno.ENOMEM}
SMALLEST = 64  # bytes of an allocation that may fail


def settings(kind, folder, n=0, **more):
    return {"TESSERA_NTH_CALL": kind, "TESSERA_NTH": str(n), "TESSERA_NTH_UNDER": str(folder),
            "TESSERA_NTH_ERRNO": str(ERRORS.get(kind, errno.EIO)), "TESSERA_NTH_MIN": str(SMALLEST),
            **{f"TESSERA_NTH_{k}": str(v) for k, v in more.items()}}


def count(verb, worker):
    """{kind: calls} of an undisturbed run."""
    folder, file = worker.folder(verb.inputs), worker.scratch_file("counts")
    outcome = worker.server.run(verb.arguments, folder, 120, environment=settings(",".join(KINDS), folder, COUNT=file))
    if outcome.code != 0:
        raise AssertionError(f"undisturbed {verb.name}: {outcome}")
    return counts(file)


def chosen(total, most, rng):
    """n from 1 to the end; of more than `most`, the first third of it and a random one from each of equal parts."""
    if most is None or total <= most:
        return list(range(1, total + 1))
    first = most // 3
    rest = most - first
    edges = [first + 1 + (total - first) * i // rest for i in range(rest + 1)]
    return list(range(1, first + 1)) + [rng.randrange(a, max(a + 1, b)) for a, b in zip(edges, edges[1:])]


def one(verb, kind, n, how, worker):
    reference = worker.bench.reference(verb, worker)
    folder = worker.folder(verb.inputs)
    environment = settings(kind, folder, n, **how)
    outcome = worker.server.run(verb.arguments, folder, time_limit(reference), environment=environment)
    findings = bench.after_fault(verb, reference, outcome, folder)
    if not findings and outcome.code != 0 and verb.resumes:
        again = worker.server.run(verb.again or verb.arguments, folder, time_limit(reference))
        findings = bench.after_restart(verb, reference, again, folder)
    worker.bench.record("faults", verb.name, [(k, f"{kind} {n}: {t}") for k, t in findings],
                        bench.repeat(verb, verb.arguments, environment))


def of_ranks(verb, kind, n, ranks, rank, worker):
    """Under mpirun, in one rank alone."""
    reference = worker.bench.reference(verb, worker)
    folder = worker.folder(verb.inputs)
    environment = settings(kind, folder, n, RANK=rank)
    outcome = run_ranks(verb.arguments, folder, ranks, 60 + time_limit(reference), environment)
    findings = bench.after_fault(verb, reference, outcome, folder)
    if not findings and outcome.code != 0:
        again = worker.server.run(verb.again or verb.arguments, folder, time_limit(reference))
        findings = bench.after_restart(verb, reference, again, folder)
    worker.bench.record("faults", verb.name, [(k, f"{kind} {n} of rank {rank} of {ranks}: {t}") for k, t in findings],
                        bench.repeat(verb, verb.arguments, environment, ranks))


def time_limit(reference):
    return 20 + 5 * reference[1]


def cases(campaign, most=None, kinds=KINDS, torch=True, without=(), rank_faults=0):
    """The cases in random order, so that a run of limited time tries all verbs and kinds evenly. torch: also verbs that start
    LibTorch. rank_faults: cases under mpirun of each verb that has some."""
    rng, found = random.Random(campaign.seed), []
    for verb in campaign.verbs:
        if verb.torch and not torch or verb.name in without:
            continue
        totals = count(verb, campaign.workers[0])
        for kind in kinds:
            total = totals[kind]
            for n in chosen(total, most, rng):
                once = {"TIMES": 0} if kind == "write" and rng.random() < 0.5 else {}  # a full disk stays full
                if kind in ("read", "write") and rng.random() < 0.25:
                    once = {"DO": "short"}
                found.append(functools.partial(one, verb, kind, n, once))
        for _ in range(rank_faults if verb.ranks else 0):
            kind, ranks = rng.choice([kind for kind in kinds if totals[kind] > 0]), rng.choice((2, 3))
            found.append(functools.partial(of_ranks, verb, kind, rng.randint(1, totals[kind]), ranks, rng.randrange(ranks)))
    rng.shuffle(found)
    return found
