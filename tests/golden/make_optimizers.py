"""Makes optimizers.json: PyTorch's optimizers, schedules, clipping and averaged weights, in float64.

Steps a vector of eight values twenty times with given gradients and keeps the values of every step. Run with Debian's
python3-torch (1.13): /usr/bin/python3 make_optimizers.py [OUT.json]
"""

import json
import math
import pathlib
import sys

import torch

STEPS, RATE, WARM_UP = 20, 0.05, 5

torch.set_default_dtype(torch.float64)


def coarse(values):
    """Multiples of 1/64, which float32 holds exactly."""
    return [round(64 * v) / 64 for v in values]


START = coarse([1.0, -1.0, 4.0, 0.25, -3.0, 0.0, 2.0, -0.5])
GRADIENTS = [coarse([math.sin(1.3 * t + i) * (3 if t % 7 == 3 else 1) if i != 5 else 0.0 for i in range(8)])
             for t in range(1, STEPS + 1)]


def run(make_optimizer, make_schedule=None, clip=0.0, decay=0.0):
    """{"values": [[...] per step], "rates", "norms", "averages"}"""
    p = torch.nn.Parameter(torch.tensor(START))
    holder = torch.nn.Module()
    holder.register_parameter("p", p)
    optimizer = make_optimizer([p])
    schedule = make_schedule(optimizer) if make_schedule else None
    average = None
    if decay:
        def rule(averaged, current, t):
            d = min(decay, (1 + int(t)) / (10 + int(t)))
            return d * averaged + (1 - d) * current
        average = torch.optim.swa_utils.AveragedModel(holder, avg_fn=rule)
        average.update_parameters(holder)  # the first call copies
    result = {"values": [], "rates": [], "norms": [], "averages": []}
    for gradient in GRADIENTS:
        p.grad = torch.tensor(gradient)
        result["norms"].append(float(p.grad.norm()))
        if clip:
            torch.nn.utils.clip_grad_norm_([p], clip)
        result["rates"].append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule:
            schedule.step()
        if average:
            average.update_parameters(holder)
            result["averages"].append(average.module.p.tolist())
        result["values"].append(p.tolist())
    return result


def with_warm_up(make_schedule):
    """A linear rise, then the schedule over the remaining iterations."""
    def make(optimizer):
        rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / WARM_UP, end_factor=1, total_iters=WARM_UP - 1)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, make_schedule(optimizer)], milestones=[WARM_UP])
    return make


def sgd(**more):
    return lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.99, **more)


def rounded(value):
    """Rounds to 1e-10, for a smaller file."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else round(value, 10)


def main(out):
    schedulers = torch.optim.lr_scheduler
    cases = {
        "sgd": run(sgd()),
        "sgd_decay": run(sgd(weight_decay=0.1)),
        "adam": run(lambda p: torch.optim.Adam(p, lr=RATE)),
        "adam_decay": run(lambda p: torch.optim.Adam(p, lr=RATE, betas=(0.8, 0.95), weight_decay=0.1)),
        "adamw": run(lambda p: torch.optim.AdamW(p, lr=RATE, betas=(0.8, 0.95), weight_decay=0.1)),
        "clip": run(sgd(), clip=2.0),
        "average": run(sgd(), decay=0.6),
        "step": run(sgd(), lambda o: schedulers.StepLR(o, step_size=6, gamma=0.5)),
        "polynomial": run(sgd(), lambda o: schedulers.PolynomialLR(o, total_iters=STEPS, power=0.9)),
        "cosine": run(sgd(), lambda o: schedulers.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.1 * RATE)),
        "polynomial_warm": run(sgd(), with_warm_up(
            lambda o: schedulers.PolynomialLR(o, total_iters=STEPS - WARM_UP, power=2.0))),
        "all": run(lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.1), with_warm_up(
            lambda o: schedulers.LambdaLR(o, lambda k: (1 + math.cos(math.pi * k / (STEPS - WARM_UP))) / 2)), 2.0, 0.6),
    }
    text = json.dumps({"start": START, "gradients": GRADIENTS, "rate": RATE, "cases": rounded(cases)})
    pathlib.Path(out).write_text(text.replace('"cases"', '\n"cases"').replace("]}, ", "]},\n") + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("optimizers.json"))
