"""Trains the starter model. Restartable: run the same command again and it goes on from its last checkpoint.

    python scripts/starter/train.py --library libacd_datagen.so --out DIR

Needs torch and numpy, and Node with the package built (its tokenizer makes the token ids; or give them with
--sentences). Every step depends on (seed, step, number of steps, number of workers) alone, so a run that was cut off ends like
one that was not.

On a GPU one process trains, and one for every other core draws the pictures. On a CPU each worker is a process of
one thread that takes its part of every step's pairs, a few at a time so that they stay in the cache; the
workers' gradients meet in shared memory.
"""

import argparse
import json
import math
import os
import time
from itertools import count
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

from augment import ROUTES, Draw, augmented, jitter, rows_of
from data import COMPOSED, HELD_OUT, TRAINING, Generator, Sentences
from photographs import Photographs
from model import CONFIG, StarterModel, adapted, block, blurred, cosines, heads, normalise

SIDE, PATCH = CONFIG["imageSize"], CONFIG["patchSize"]
WINDOW = SIDE // 2
# steps; (up to this step, side, pairs of a step with and without a defect); (step, share of the full rate), joined by straight
# lines; half-life of the average of the weights, in steps. Other counts of steps stretch the tables.
RECIPES = {
    "cuda": {
        "steps": 9506,
        "stages": ((9506, SIDE, 128),),
        "rates": ((0, 0.0), (120, 1.0), (3960, 1.0), (9506, 0.0)),
        "half_life": 400,
    },
    # Windows of the pictures first, whole pictures last.
    "cpu": {
        "steps": 2200,
        "stages": ((1200, WINDOW, 16), (2200, SIDE, 8)),
        "rates": ((0, 0.0), (60, 1.0), (1450, 1.0), (1500, 0.944), (2200, 0.0)),
        "half_life": 200,
    },
}
MEASURED = (100, 250)  # steps whose speed decides with --minutes
NEAR = 0.75  # share of the windows that are put where the defect is
SHARPNESS = 6  # of an image's logits in the loss
PHOTOGRAPHS = 0.25  # share of the pairs that are made on photographs
CHUNK = 4  # pairs of windows in one pass through the model on a CPU, and as many patches of whole pictures


def arguments():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--library", required=True, help="the generator: cmake --build BUILD --target acd_datagen")
    p.add_argument("--photographs", type=Path, help="textures.npz of photographs.py; without it every scene is drawn")
    p.add_argument("--sentences", type=Path, help="file of token ids; made when it does not exist; default: in --out")
    p.add_argument("--out", required=True, type=Path, help="folder for checkpoints and the log")
    p.add_argument("--steps", type=int, help="default: the recipe's, which differs between GPU and CPU")
    p.add_argument("--minutes", type=float, help=f"as many steps as end in time, by the speed of steps {MEASURED[0]} to {MEASURED[1]}")
    p.add_argument("--batch-scale", type=int, default=1, help="times as many pairs in every step")
    p.add_argument("--chunk", type=int, help=f"pairs of windows in one pass through the model; default: {CHUNK}, all on a GPU")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--workers", type=int, help="processes that train; default: a core each on a CPU, one for a GPU")
    p.add_argument("--eager", action="store_true", help="do not compile the layers")
    p.add_argument("--save-every", type=int, default=250)
    p.add_argument("--stop-at", type=int, help="end after this step of the schedule (to go on later)")
    o = p.parse_args()
    on_gpu, cores = o.device.startswith("cuda"), len(os.sched_getaffinity(0))
    o.recipe = RECIPES["cuda" if on_gpu else "cpu"]
    o.steps = o.steps or o.recipe["steps"]
    o.sentences = o.sentences or o.out / "sentences.json"
    fits = lambda workers: all(o.batch_scale * pairs % workers == 0 for _, _, pairs in o.recipe["stages"])  # noqa: E731
    if o.workers is None:
        o.workers = 1 if on_gpu else max(n for n in range(1, cores + 1) if fits(n))
    # A GPU is not kept waiting for pictures; on a CPU drawing ahead would only take the cores from training.
    o.drawing = max(1, cores - 1) if on_gpu else 0
    if o.chunk is None:
        o.chunk = max(pairs * side**2 // WINDOW**2 for _, side, pairs in o.recipe["stages"]) * o.batch_scale if on_gpu else CHUNK
    if not fits(o.workers):
        p.error(f"the pairs of a step cannot be shared by --workers {o.workers}")
    if o.minutes and o.workers > 1:
        p.error("--minutes needs --workers 1: each worker would count steps of its own")
    return o


def stage_of(step, o):
    """(side, pairs)"""
    at = step * o.recipe["steps"] / o.steps
    return next(((side, pairs) for end, side, pairs in o.recipe["stages"] if at < end), o.recipe["stages"][-1][1:])


def rate_of(step, o):
    ends, rates = zip(*o.recipe["rates"])
    return float(np.interp((step + 1) * o.recipe["steps"] / o.steps, ends, rates))


def optimisers(model):
    """Muon for the matrices inside the blocks, AdamW for everything else."""
    inner, decayed, plain = [], [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if "resblocks" in name and p.ndim == 2:
            inner.append(p)
        elif p.ndim >= 2 and "embedding" not in name and "i_w" not in name:
            decayed.append(p)
        else:
            plain.append(p)
    muon = torch.optim.Muon(inner, lr=1.2e-3, momentum=0.95, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=0.9e-3, betas=(0.9, 0.98))
    for o in (muon, adam):
        for g in o.param_groups:
            g["base"] = g["lr"]
    return muon, adam


class Drawn(torch.utils.data.Dataset):
    """Step -> this worker's pairs of it as the generator makes them, their routes and sentences."""

    def __init__(self, o, worker, sentences):
        self.o, self.worker, self.sentences = o, worker, sentences
        self.photographs = Photographs(o.photographs) if o.photographs else None
        self.generator = Generator(o.library, 1)

    def __getitem__(self, step):
        o = self.o
        side, pairs = stage_of(step, o)
        n = o.batch_scale * pairs // o.workers
        at = step * o.batch_scale * max(pairs for _, _, pairs in o.recipe["stages"]) + self.worker * n
        rng = np.random.default_rng((o.seed, at))
        scenes = self.photographs and self.photographs.crops(rng, rng.binomial(n, PHOTOGRAPHS), SIDE)
        rgb, mask, clean, labels = self.generator.batch(o.seed, at, n, SIDE, photographs=scenes)
        route, others = rng.choice(len(ROUTES), n, p=ROUTES), rng.permutation(n)
        rows, classes = rows_of(route), labels[:, 0].copy()
        classes[rows["moved"]] = labels[others[rows["moved"]], 0]
        classes[rows["composed"]] = COMPOSED
        present, of = np.unique(classes, return_inverse=True)
        tokens, owner = self.sentences.pack([self.sentences.draw(int(k), rng) for k in present])
        pair = torch.from_numpy(np.stack([rgb, clean], 1))
        rows = {k: torch.from_numpy(v) for k, v in rows.items()}
        tensors = {"pair": pair, "mask": torch.from_numpy(mask), "others": torch.from_numpy(others), "of": torch.from_numpy(of)}
        tensors |= {"tokens": tokens, "owner": owner}
        return {"tensors": tensors, "rows": rows, "classes": len(present), "side": side, "seed": o.seed * 1_000_003 + at}


def finished(batch, device):
    """What `Drawn` gives, on the device -> images [2n, 3, S, S] (those with a defect first), masks [2n, S, S], class of each
    image, window's place or None."""
    side, given = batch["side"], batch["tensors"]
    n = len(given["pair"])
    draw = Draw(batch["seed"], n, device)
    pair, mask = augmented(given["pair"], given["mask"], batch["rows"], given["others"], draw)
    place = None
    if side < SIDE:
        rng = np.random.default_rng((batch["seed"], 1))
        place = torch.stack([window_near(m, side, rng) for m in mask])
        cut = lambda x, at: x[..., PATCH * at[0] :, PATCH * at[1] :][..., :side, :side]  # noqa: E731
        pair = torch.stack([cut(x, at) for x, at in zip(pair, place)])
        mask = torch.stack([cut(x, at) for x, at in zip(mask, place)])
        mask &= mask.flatten(1).sum(1).view(-1, 1, 1) >= 8
        place = torch.cat([place, place]).to(device)
    pair = jitter(pair, draw)
    images = normalise(pair.transpose(0, 1).reshape(2 * n, *pair.shape[2:]))
    masks = torch.cat([mask, torch.zeros_like(mask)]).float()
    return images, masks, given["of"].repeat(2), place


def window_near(mask, side, rng):
    """(row, column) of a window's first patch: in most draws one that shows some of the mask [S, S]."""
    last = (SIDE - side) // PATCH
    found = mask.nonzero()
    if len(found) == 0 or rng.random() >= NEAR:
        return torch.from_numpy(rng.integers(0, last + 1, 2))
    middle = found[rng.integers(len(found))] // PATCH
    first = middle.numpy() - rng.integers(1, side // PATCH - 1, 2)
    return torch.from_numpy(first.clip(0, last))


def loss_of(patch, image, masks):
    """On the map as detection shows it: each picture's share of defect and of the rest, dice, its highest patches; on the image:
    cross-entropy."""
    side = masks.shape[-1]
    low = blurred(patch)
    # A window's patches lie where they are; in a whole picture detection puts the first and last on its borders.
    z = F.interpolate(low[:, None], size=(side, side), mode="bilinear", align_corners=side == SIDE)[:, 0]
    p = z.sigmoid()
    cross = F.binary_cross_entropy_with_logits(z, masks, reduction="none")
    area = masks.sum((1, 2))
    label = (area > 0).float()
    n = len(image) // 2
    dice = 1 - (2 * (p * masks).sum((1, 2)) + 1) / (p.sum((1, 2)) + area + 1)
    # A small defect weighs nearly as much as a large one: both are one finding.
    found = (masks * cross).sum((1, 2)) / (area + 0.004 * side * side)
    highest = low.flatten(1).topk(4).values.mean(1)
    return {
        "found": 0.4 * found.sum() / n,
        "intact": ((1 - masks) * cross).mean(),
        "dice": 0.4 * (label * dice).sum() / label.sum().clamp(min=1),
        "highest": 0.1 * F.binary_cross_entropy_with_logits(highest, label),
        # The logits of an image stay within 2, so that they are stretched to tell what is sure from what is not.
        "detection": F.binary_cross_entropy_with_logits(SHARPNESS * image, label),
        "ranking": 0.5 * (label[:n] * F.softplus(-SHARPNESS * (image[:n] - image[n:]))).mean(),
    }


@torch.no_grad()
def amplitudes(generator):
    """The standard deviation of each of the model's cosines over the patches of 256 training pictures."""
    basis = cosines(CONFIG["patchSize"])
    rgb = generator.batch(977, 1 << 20, 256, SIDE, TRAINING, 0.0, twins=False)[0]
    found = [F.conv2d(normalise(torch.from_numpy(x[None]).permute(0, 3, 1, 2)), basis, stride=basis.shape[-1]) for x in rgb]
    return torch.cat(found).permute(1, 0, 2, 3).flatten(1).std(1).clamp(min=1e-3)


class Meeting:
    """Where the workers' gradients are averaged: one row of shared memory each."""

    def __init__(self, workers, numel):
        self.rows = torch.zeros(workers, numel).share_memory_()
        self.barrier = mp.get_context("spawn").Barrier(workers)

    def average(self, worker, gradient):
        if len(self.rows) == 1:
            return
        self.rows[worker] = gradient
        self.barrier.wait()
        mean = self.rows.mean(0)
        self.barrier.wait()
        gradient.copy_(mean)


def step_of(model, batch, o, device):
    """Adds a worker's gradients; returns the parts of its loss."""
    for kind in ("tensors", "rows"):
        batch[kind] = {k: v.to(device, non_blocking=True) for k, v in batch[kind].items()}
    images, masks, of, place = finished(batch, device)
    n, totals = len(images) // 2, {}
    chunk = max(1, o.chunk * WINDOW**2 // images.shape[-1] ** 2)
    with torch.autocast(device.type, torch.bfloat16):
        text = model.text_features(batch["tensors"]["tokens"], batch["tensors"]["owner"], batch["classes"])
    leaf = text.detach().requires_grad_()
    for at in range(0, n, chunk):
        end = min(at + chunk, n)
        part = lambda x: torch.cat([x[at:end], x[n + at : n + end]]) if x is not None and chunk < n else x  # noqa: E731, B023
        with torch.autocast(device.type, torch.bfloat16):
            patch, image = model.logits(part(images), leaf[part(of)], part(place))
        share = (end - at) / n
        parts = loss_of(patch.float(), image.float(), part(masks))
        (share * sum(parts.values())).backward()
        for name, v in parts.items():
            totals[name] = totals.get(name, 0) + share * v.detach()
    text.backward(leaf.grad)
    return totals


def clipped(gradient, most):
    """Scales the gradient to a norm of `most` at most, in place, and one that is not finite to nothing; -> its norm."""
    norm = gradient.norm()
    gradient.copy_(torch.where(norm.isfinite(), gradient * (most / (norm + 1e-6)).clamp(max=1), 0.0))
    return norm


def work(worker, o, meeting):
    torch.set_num_threads(1 if o.workers > 1 else torch.get_num_threads())
    torch.set_float32_matmul_precision("high")
    start = time.time()
    torch.backends.cudnn.benchmark = True
    device = torch.device(o.device)
    generator = Generator(o.library, 1 if o.workers > 1 else os.cpu_count())
    sentences = Sentences(generator, o.sentences, CONFIG["contextLength"])
    model = StarterModel(seed=o.seed, compiled=not o.eager).to(device)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    learned = list(named.values())
    # All gradients lie in one row.
    gradient = torch.zeros(sum(p.numel() for p in learned), device=device)
    for p, g in zip(learned, gradient.split([p.numel() for p in learned])):
        p.grad = g.view_as(p)
    opts = optimisers(model)
    step, latest = 0, o.out / "latest.pt"
    if latest.exists():
        kept = torch.load(latest, map_location=device)
        model.load_state_dict(kept["model"])
        for opt, state in zip(opts, kept["optimisers"]):
            opt.load_state_dict(state)
        average, step = kept["average"], kept["step"]
        o.steps, o.minutes = kept["steps"], None
        print(f"going on from step {step}", flush=True)
    else:
        model.start_with_patches(amplitudes(generator))
        average = {n: p.detach().clone() for n, p in named.items()}
    log, began, seen, totals = (o.out / "log.jsonl").open("a"), time.time(), 0, {}
    watched = None

    def report(line):
        print(json.dumps(line), file=log, flush=True)
        print(json.dumps(line), flush=True)

    keep = 0.5 ** (1 / o.recipe["half_life"])
    ahead = {"num_workers": o.drawing, "prefetch_factor": 3, "pin_memory": True} if o.drawing else {}
    # With --minutes the last step is not known yet.
    steps = count(step) if o.minutes else range(step, o.stop_at or o.steps)
    for batch in torch.utils.data.DataLoader(Drawn(o, worker, sentences), batch_size=None, sampler=steps, **ahead):
        if o.minutes and step == MEASURED[0]:
            quick = time.time()
        if o.minutes and step == MEASURED[1]:
            a_step = (time.time() - quick) / (MEASURED[1] - MEASURED[0])
            o.steps = step + max(1, int((60 * o.minutes - time.time() + start) / a_step))
            report({"steps": o.steps, "seconds_a_step": round(a_step, 4)})
        if step == (o.stop_at or o.steps):
            break
        for opt in opts:
            for g in opt.param_groups:
                g["lr"] = g["base"] * rate_of(step, o)
        gradient.zero_()
        parts = step_of(model, batch, o, device)
        meeting.average(worker, gradient)
        norm = clipped(gradient, 2.0)
        for opt in opts:
            opt.step()
        step += 1
        if worker:
            continue
        with torch.no_grad():
            k = min(keep, step / (step + 10))
            torch._foreach_lerp_([average[n] for n in named], learned, 1 - k)
        seen += 2 * len(batch["tensors"]["pair"]) * o.workers
        for name, v in {**parts, "norm": norm}.items():
            totals[name] = totals.get(name, 0) + v / 50
        if step % 50 == 0:
            line = {"step": step, "side": batch["side"], **{k: round(float(v), 4) for k, v in totals.items()}}
            report({**line, "images_per_s": round(seen / (time.time() - began), 1)})
            began, seen, totals = time.time(), 0, {}
        ends = step in (o.steps, o.stop_at)
        if step % o.save_every == 0 or ends:
            state = {"model": model.state_dict(), "optimisers": [x.state_dict() for x in opts]}
            run = {"step": step, "steps": o.steps, "options": {k: str(v) for k, v in vars(o).items()}}
            fresh = latest.with_suffix(".new")
            torch.save({**state, "average": average, **run}, fresh)
            fresh.replace(latest)
        if step % (2 * o.save_every) == 0 or ends:
            watched = watched or generator.batch(977, 0, 240, SIDE, HELD_OUT, 0.5, twins=False)
            report({"step": step, **validate(model, average, sentences, watched, device)})
            began = time.time()


def main():
    o = arguments()
    o.out.mkdir(parents=True, exist_ok=True)
    if not o.sentences.exists():
        Sentences.tokenize(Generator(o.library, 1), o.sentences)
    numel = sum(p.numel() for p in StarterModel().parameters() if p.requires_grad)
    meeting = Meeting(o.workers, numel)
    if o.workers == 1:
        work(0, o, meeting)
    else:
        mp.spawn(work, (o, meeting), nprocs=o.workers)


@torch.no_grad()
def validate(model, average, sentences, pictures, device):
    """AUROC on classes that are never trained on; watched, and used for no decision in here."""
    compiled = model.block_of, model.adapted, model.heads
    # Other shapes than in training: not worth compiling for.
    model.block_of, model.adapted, model.heads = block, adapted, heads
    now = {n: p.clone() for n, p in model.named_parameters() if n in average}
    model.load_state_dict(average, strict=False)
    rgb, mask, _, labels = pictures
    tokens, owner = sentences.pack([sentences.placeholder["published"]])
    maps, scores = [], []
    with torch.autocast(device.type, torch.bfloat16):
        text = model.text_features(tokens.to(device), owner.to(device), 1)
        for at in range(0, len(rgb), 8):
            x = normalise(torch.from_numpy(rgb[at : at + 8]).permute(0, 3, 1, 2).to(device)).contiguous()
            patch, image = model.logits(x, text.expand(len(x), -1, -1, -1))
            z = F.interpolate(blurred(patch.float())[:, None], size=rgb.shape[1:3], mode="bilinear", align_corners=True)
            maps.append(z[:, 0].sigmoid().cpu())
            scores.append(0.9 * image.float().sigmoid().cpu() + 0.1 * maps[-1].flatten(1).amax(1))
    model.load_state_dict(now, strict=False)
    model.block_of, model.adapted, model.heads = compiled
    pixels, truth = torch.cat(maps)[:, ::3, ::3], torch.from_numpy(mask)[:, ::3, ::3] > 0
    bad = torch.from_numpy(labels[:, 1]) > 0
    return {
        "held_out_pixel_auroc": round(auroc(pixels.flatten(), truth.flatten()), 4),
        "held_out_image_auroc": round(auroc(torch.cat(scores), bad), 4),
        "by_the_map_alone": round(auroc(torch.cat(maps).flatten(1).amax(1), bad), 4),
    }


def auroc(scores, positive):
    order = scores.argsort()
    rank = torch.empty(len(order), dtype=torch.float64)
    rank[order] = torch.arange(1, len(order) + 1, dtype=torch.float64)
    p = int(positive.sum())
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * (len(order) - p)))


if __name__ == "__main__":
    main()
