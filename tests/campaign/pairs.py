"""Two verbs that write the same target are started at once, with delays at locks, renames and opens. The result is that of
one after the other, or one of them ends with an error and the other's result is whole."""

import dataclasses
import functools
import itertools
import random

import bench
import contents
import verbs
from verbs import Verb

STACK = "stack.h5:/volumes/raw"
# Verbs of one group write the same target.
GROUPS = [
    [Verb("synth", ["synth", "new.h5", "--shape", "3,64,64", "--seed", "3", "--overwrite"], []),
     Verb("import", ["import", "stack.tif", "new.h5:/volumes/raw", "--overwrite"], ["stack.tif"]),
     Verb("import a", ["import", "sections", "new.h5:/a", "--overwrite"], ["sections"]),
     Verb("pack", ["pack", "prediction.h5:/p", "new.h5:/p", "--overwrite"], ["prediction.h5", "prediction.h5.journal", "stack.h5"])],
    [Verb("import new a", ["import", "stack.tif", "new.h5:/a"], ["stack.tif"]),
     Verb("import new b", ["import", "sections", "new.h5:/b"], ["sections"])],
    [Verb("import many a", ["import", "stack.tif", "many.h5:/a", "--overwrite"], ["stack.tif", "many.h5"]),
     Verb("import many b", ["import", "sections", "many.h5:/b", "--overwrite"], ["sections", "many.h5"])],
    [Verb("export tiff", ["export", STACK, "old.tif", "--overwrite"], ["stack.h5", "old.tif"]),
     Verb("export tiff 1:3", ["export", STACK, "old.tif", "--sections", "1:3", "--overwrite"], ["stack.h5", "old.tif"])],
    [Verb("export new tiff", ["export", STACK, "new.tif"], ["stack.h5"]),
     Verb("export new tiff 1:3", ["export", STACK, "new.tif", "--sections", "1:3"], ["stack.h5"])],
    [Verb("export png", ["export", STACK, "sections", "--overwrite"], ["stack.h5", "sections"]),
     Verb("export png 1:3", ["export", STACK, "sections", "--sections", "1:3", "--overwrite"], ["stack.h5", "sections"])],
    [Verb("export-model", ["export-model", "best.h5", "model.pt", "--overwrite"], ["best.h5", "model.pt"]),
     Verb("export-model 2", ["export-model", "runs/r/checkpoints/iteration_00000001.h5", "model.pt", "--overwrite"],
          ["runs/r", "model.pt"])],
    [Verb("pack --replace", ["pack", "prediction.h5:/p", "--replace"], ["prediction.h5", "prediction.h5.journal", "stack.h5"]),
     Verb("pack --replace 9", ["pack", "prediction.h5:/p", "--replace", "--gzip", "9"],
          ["prediction.h5", "prediction.h5.journal", "stack.h5"]),
     Verb("infer --restart", ["infer", "e.yaml", "--restart", "--set", "infer.checkpoint=runs/e/checkpoints/iteration_00000002.h5"],
          ["e.yaml", "runs/e", "prediction.h5", "prediction.h5.journal", "stack.h5"])],
    [Verb("infer", ["infer", "e.yaml", "--set", "infer.checkpoint=runs/e/checkpoints/iteration_00000004.h5"],
          ["e.yaml", "runs/e", "stack.h5"]),
     Verb("infer 2", ["infer", "e.yaml", "--set", "infer.checkpoint=runs/e/checkpoints/iteration_00000002.h5"],
          ["e.yaml", "runs/e", "stack.h5"])],
    [Verb("train --overwrite", ["train", "r.yaml", "--overwrite"], ["r.yaml", "stack.h5", "runs/r"]),
     Verb("train --resume", ["train", "r.yaml", "--resume"], ["r.yaml", "stack.h5", "runs/r"])],
    [Verb("evaluate --json", ["evaluate", "--prediction", "prediction.h5:/p", "--labels", "stack.h5:/volumes/labels/cells", "--json",
                              "scores.json"], ["prediction.h5", "prediction.h5.journal", "stack.h5", "scores.json"]),
     Verb("evaluate --json 0:1", ["evaluate", "--prediction", "prediction.h5:/p", "--labels", "stack.h5:/volumes/labels/cells",
                                  "--json", "scores.json", "--sections", "0:1"],
          ["prediction.h5", "prediction.h5.journal", "stack.h5", "scores.json"])],
    [Verb("report", ["report", "runs/e"], ["runs/e", "stack.h5", "prediction.h5", "prediction.h5.journal"])],
]
# Files of a run folder that tell of the last start, whichever that was.
OF_THE_START = r"^(?!runs/\w+/[^/]*$)|metrics\.csv|report\.html"


def pairs(campaign):
    names = {verb.verb for verb in campaign.verbs}
    for group in GROUPS:
        group = [verb for verb in group if verb.verb in names]
        for one, other in itertools.combinations_with_replacement(group, 2):
            yield one, other


def inputs(pair):
    return list(dict.fromkeys([*pair[0].inputs, *pair[1].inputs]))


def learn(pair, worker):
    """[(code of the first, code of the second, Reference)] of what two starts one after the other may give."""
    found = []
    orders = ((0, 1), (0,), (1, 0), (1,)) if pair[0].name != pair[1].name else ((0, 1), (0,), (1,))
    for order in orders:
        afters, codes = [], [1, 1]  # a verb that is not started counts as one that ended with an error
        for _ in range(min(2, worker.bench.learnings)):
            folder = worker.folder(inputs(pair))
            before = contents.of_folder(folder)
            for which in order:
                codes[which] = worker.server.run(pair[which].arguments, folder, 60).code
            afters.append(contents.of_folder(folder))
        found.append((codes[0] == 0, codes[1] == 0, contents.Reference(before, afters, OF_THE_START)))
    return found


def one(pair, learned, seed, worker):
    rng, folder = random.Random(seed), worker.folder(inputs(pair))
    delays = [{"TESSERA_NTH_CALL": "open,rename,lock,unlink", "TESSERA_NTH_DO": "jitter", "TESSERA_NTH_UNDER": str(folder),
               "TESSERA_NTH_SLEEP_MS": str(rng.choice((0, 2, 10, 40))), "TESSERA_NTH_SEED": str(rng.getrandbits(30))} for _ in pair]
    for verb, server, delay in zip(pair, worker.servers, delays):
        server.start(verb.arguments, folder, environment=delay)
    outcomes = [server.wait(90) for server in worker.servers]
    findings = [finding for outcome in outcomes for finding in bench.ended_badly(outcome)]
    if not findings:
        done = tuple(outcome.code == 0 for outcome in outcomes)
        after = contents.of_folder(folder)
        allowed = [reference for *codes, reference in learned if tuple(codes) == done]
        findings = [("wrong", text) for text in allowed[0].left_over(after)] if allowed else []
        if not allowed:
            text = " | ".join(f"{o.code}: {' '.join(o.errors())[:120]}" for o in outcomes)
            findings.append(("wrong", f"ends that no order has: {text}"))
        elif not any(reference.differences(after) == [] for reference in allowed):
            best = min((reference.differences(after) for reference in allowed), key=len)
            findings.append(("wrong", f"exit codes {[o.code for o in outcomes]}, but {'; '.join(best)}"))
        for outcome in outcomes:
            if outcome.code != 0 and not outcome.errors():
                findings.append(("wrong", f"exit code {outcome.code} without a message"))
    worker.bench.record("pairs", f"{pair[0].name} x {pair[1].name}", findings,
                        "at once: " + " AND ".join(bench.repeat(v, v.arguments, d) for v, d in zip(pair, delays)))


def cases(campaign, each):
    """`each` simultaneous starts of every pair, all pairs in turn."""
    rng = random.Random(campaign.seed)
    learned = {}

    def start(pair, seed, worker):
        name = (pair[0].name, pair[1].name)
        if name not in learned:
            learned[name] = learn(pair, worker)
        one(pair, learned[name], seed, worker)

    every = [(dataclasses.replace(a), dataclasses.replace(b)) for a, b in pairs(campaign)]
    return [functools.partial(start, pair, rng.getrandbits(30)) for _ in range(each) for pair in every]
