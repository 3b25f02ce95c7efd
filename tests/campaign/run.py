#!/usr/bin/python3
"""The campaign: kills, failing calls, changed files and simultaneous starts of every verb. Prints a table; the exit code is 1
if anything is wrong. docs/notes/campaign.md explains it.

    tests/campaign/run.py --minutes 60 [--steps faults,kills] [--verbs pack,infer] [--seed 1] [--failures FILE]
    tests/campaign/run.py --short        a fixed choice of about a minute
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import bench  # noqa: E402
import faults  # noqa: E402
import kills  # noqa: E402
import mutants  # noqa: E402
import pairs  # noqa: E402
import verbs  # noqa: E402
from program import KINDS, ForkServer  # noqa: E402

STEPS = ("kills", "faults", "mutants", "pairs")
# The short version: what starts in hundredths of a second, and a little of what starts LibTorch. Without failing
# allocations: HDF5 and libgomp crash at some of them, and which n these are differs from run to run.
SHORT = {"kills": dict(most=1, random_kills=1, rank_kills=0),
         "faults": dict(most=2, torch=False, kinds=tuple(kind for kind in KINDS if kind not in ("memory", "map"))),
         "mutants": dict(each=4), "pairs": dict(each=1)}
SHORT_VERBS = [verb.name for verb in verbs.VERBS if not verb.torch] + ["infer again", "export-model --overwrite"]
LONG = {"kills": dict(most=None, random_kills=300, rank_kills=200), "faults": dict(most=2000, rank_faults=200), "mutants": dict(each=2000),
        "pairs": dict(each=200)}


def arguments(given=None):
    parser = argparse.ArgumentParser(description="kills, failing calls, changed files and simultaneous starts of every verb")
    parser.add_argument("--steps", default=",".join(STEPS), help="some of %(default)s")
    parser.add_argument("--verbs", help="only these, such as pack,infer or 'import tiff'")
    parser.add_argument("--kinds", help="of failing calls, only these, such as new,memory")
    parser.add_argument("--most", type=int, help="n of each kind of call that kills and faults try of each verb; 0: every n")
    parser.add_argument("--random-kills", type=int, help="of each verb, at random instants (300)")
    parser.add_argument("--rank-kills", type=int, help="of each verb with ranks, under mpirun (200)")
    parser.add_argument("--rank-faults", type=int, help="of each verb with ranks, under mpirun (200)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--minutes", type=float, default=60, help="for all steps together (60)")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time (2)")
    parser.add_argument("--failures", type=pathlib.Path, help="append each failing case to this file, with its command")
    parser.add_argument("--keep", type=pathlib.Path, help="keep changed files that failed in this folder")
    parser.add_argument("--folder", type=pathlib.Path, help="for the cases; default: the system's temporary folder")
    parser.add_argument("--make-fixture", type=pathlib.Path, help="only make the inputs of all verbs in this new folder")
    parser.add_argument("--short", action="store_true", help="a fixed choice of a few minutes")
    return parser.parse_args(given)


def campaign(options):
    """Runs the steps. Returns the Bench, closed."""
    names = options.verbs.split(",") if options.verbs else SHORT_VERBS if options.short else None
    steps = [step for step in STEPS if step in options.steps.split(",")]
    size = {step: dict(of_step) for step, of_step in (SHORT if options.short else LONG).items()}
    if options.kinds:
        size["faults"]["kinds"] = options.kinds.split(",")
    for step, name in (("kills", "random_kills"), ("kills", "rank_kills"), ("faults", "rank_faults"), ("kills", "most"), ("faults", "most")):
        if (given := getattr(options, name)) is not None:
            size[step][name] = None if name == "most" and given == 0 else given
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    work = bench.Bench(options.jobs, options.seed, options.failures, options.folder, names, options.keep, 1 if options.short else 3)
    try:
        for step in steps:
            begin = time.monotonic()
            cases = {"kills": kills, "faults": faults, "mutants": mutants, "pairs": pairs}[step].cases(work, **size[step])
            work.run(cases, options.minutes / len(steps))
            done = sum(row["tried"] for (name, _), row in work.rows.items() if name == step)
            print(f"{step}: {done} of {len(cases)} cases in {time.monotonic() - begin:.0f} s", flush=True)
    finally:
        work.close()
    return work


def make_fixture(folder):
    folder.mkdir()
    server = ForkServer(folder)
    try:
        verbs.make_fixture(folder, server)
        verbs.make_partial(folder, folder, server)
    finally:
        server.close()


def main():
    options = arguments()
    if options.make_fixture:
        make_fixture(options.make_fixture)
        return 0
    print(f"seed {options.seed}", flush=True)
    begin = time.monotonic()
    work = campaign(options)
    print(work.table())
    for step, verb, findings, command in work.cases[:40]:
        print(f"\n{step}: {verb}")
        for kind, text in findings:
            print(f"  {kind}: {text}")
        print(f"  {command}")
    if len(work.cases) > 40:
        print(f"\nand {len(work.cases) - 40} more: pass --failures FILE for all of them")
    print(f"{time.monotonic() - begin:.0f} s")
    return 1 if work.cases or not work.rows else 0


if __name__ == "__main__":
    sys.exit(main())
