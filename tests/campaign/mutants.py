"""Changed files of every kind: no crash, no hang, and no silent acceptance where the format has a checksum."""

import dataclasses
import functools
import random

import bench
import contents
import verbs
from mutations import mutate

MEMORY = 12 << 30  # bytes of address space; LibTorch's libraries alone take several GiB


@dataclasses.dataclass
class Target:
    """A file that is changed, and a verb that reads it. checked: its format has a checksum over all that is read, so that
    exit code 0 promises the result of the whole file."""
    name: str
    file: str
    verb: verbs.Verb
    checked: bool = False
    text: bool = False


def reader(arguments, inputs, **more):
    return verbs.Verb(" ".join(arguments[:1]), arguments, inputs, resumes=True, **more)


RESULT = ["prediction.h5", "prediction.h5.journal", "stack.h5"]
TRAINED = ["e.yaml", "stack.h5", "runs/e"]
BEST = "runs/e/checkpoints/best.h5"
TARGETS = [
    Target("volume: info", "stack.h5", reader(["info", "stack.h5"], ["stack.h5"])),
    Target("volume: export", "stack.h5", reader(["export", "stack.h5:/volumes/raw", "new.tif"], ["stack.h5"])),
    Target("volume: evaluate", "stack.h5", reader(["evaluate", "e.yaml"], [*TRAINED, *RESULT[:2]])),
    Target("volume: infer", "stack.h5", reader(["infer", "e.yaml"], TRAINED)),
    Target("volume: train", "stack.h5", reader(["train", "t.yaml"], ["t.yaml", "stack.h5"])),
    Target("result: pack", "prediction.h5", reader(["pack", "prediction.h5:/p", "new.h5:/p"], RESULT)),
    Target("result: verify", "prediction.h5", reader(["verify", "prediction.h5:/p"], RESULT)),
    Target("tiff: import", "stack.tif", reader(["import", "stack.tif", "new.h5:/a"], ["stack.tif"])),
    Target("png: import", "sections/section_0001.png", reader(["import", "sections", "new.h5:/a"], ["sections"])),
    Target("checkpoint: infer", BEST, reader(["infer", "e.yaml"], TRAINED, results=verbs.PREDICTION), True),
    Target("checkpoint: export-model", "best.h5", reader(["export-model", "best.h5", "new.pt"], ["best.h5"]), True),
    Target("checkpoint: train --resume", "runs/r/checkpoints/iteration_00000002.h5",
           reader(["train", "r.yaml", "--resume"], ["r.yaml", "stack.h5", "runs/r"], results=verbs.TRAINED), True),
    Target("torchscript: infer", "model.pt",
           reader(["infer", "e.yaml", "--set", "model.torchscript=model.pt"], [*TRAINED, "model.pt"],
                  results=verbs.PREDICTION), True),
    Target("journal: infer", "partial.h5.journal",
           reader(["infer", "e.yaml", "--set", "infer.output=partial.h5:/p"], [*TRAINED, "partial.h5", "partial.h5.journal"],
                  results=verbs.PREDICTION), True),
    Target("journal: verify", "prediction.h5.journal", reader(["verify", "prediction.h5:/p"], RESULT), True),
    Target("journal: pack", "prediction.h5.journal", reader(["pack", "prediction.h5:/p", "new.h5:/p"], RESULT), True),
    Target("journal: status", "prediction.h5.journal", reader(["status", "runs/e"], ["runs/e", *RESULT])),
    Target("yaml: check", "e.yaml", reader(["check", "e.yaml"], TRAINED), text=True),
    Target("yaml: status", "runs/e/config.yaml", reader(["status", "runs/e"], ["runs/e", *RESULT]), text=True),
    Target("csv: report", "runs/e/metrics.csv", reader(["report", "runs/e"], ["runs/e", *RESULT]), text=True),
    Target("csv: train --resume", "runs/r/metrics.csv",
           reader(["train", "r.yaml", "--resume"], ["r.yaml", "stack.h5", "runs/r"]), text=True),
    Target("json: report", "runs/e/evaluation.json", reader(["report", "runs/e"], ["runs/e", *RESULT]), text=True),
    Target("json: report 2", "runs/e/inference.json", reader(["report", "runs/e"], ["runs/e", *RESULT]), text=True),
    Target("json: status", "runs/e/training.json", reader(["status", "runs/e"], ["runs/e", *RESULT]), text=True),
]


def one(target, seed, worker):
    rng = random.Random(seed)
    verb = dataclasses.replace(target.verb, name=f"mutants of {target.name}")
    reference = worker.bench.reference(verb, worker) if target.checked else None
    folder = worker.folder(verb.inputs)
    file = folder / target.file
    original = file.read_bytes()
    changed = mutate(original, rng, target.text)
    file.write_bytes(changed)
    outcome = worker.server.run(verb.arguments, folder, 40, memory=MEMORY)
    findings = bench.ended_badly(outcome)
    if not findings and outcome.code != 0 and not outcome.text.strip():
        findings.append(("wrong", f"exit code {outcome.code} without a message"))
    if not findings and outcome.code == 0 and target.checked:
        after = contents.of_folder(folder)
        findings = [("wrong", f"accepted: {text}") for text in reference[0].differences(after)
                    if not text.startswith(f"{target.file}:")]
    command = f"mutations.mutate({target.file}, random.Random({seed!r}), {target.text}): {bench.repeat(verb, verb.arguments)}"
    if findings and worker.bench.keep:
        kept = worker.bench.keep / f"{target.name.replace(': ', '_').replace(' ', '_')}_{seed:08x}_{file.name}"
        kept.write_bytes(changed)
        command = f"{kept} as {target.file}: {bench.repeat(verb, verb.arguments)}"
    worker.bench.record("mutants", target.name, findings, command)


def cases(campaign, each):
    """`each` mutants of every target that a chosen verb reads, all targets in turn."""
    rng = random.Random(campaign.seed)
    names = {verb.verb for verb in campaign.verbs}
    targets = [t for t in TARGETS if t.verb.verb in names]
    return [functools.partial(one, target, rng.getrandbits(32)) for _ in range(each) for target in targets]
