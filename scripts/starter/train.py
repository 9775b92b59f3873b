"""Trains the starter model. Restartable: run the same command again and it goes on from its last checkpoint.

    python scripts/starter/train.py --library libacd_datagen.so --out DIR

Needs torch and numpy, and Node with the package built (its tokenizer makes the token ids). Every step
depends on (seed, step, number of workers) alone, so a run that was cut off ends like one that was not.

On a CPU each worker is a process of one thread that takes its part of every step's pairs, a few at a time so
that they stay in the cache, through compiled layers; the workers' gradients meet in shared memory.
"""

import argparse
import json
import math
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

from data import HELD_OUT, TRAINING, Generator, Sentences, jitter, orient, paste_patches, uneven_light
from photographs import Photographs
from model import CONFIG, StarterModel, blurred, cosines, normalise

EMA_HALF_LIFE = 200  # steps
STEPS = 2200
SIDE, PATCH = CONFIG["imageSize"], CONFIG["patchSize"]
# (up to this step, side, pairs of a step with and without a defect): windows of the pictures first, whole pictures last
WINDOW = SIDE // 2
STAGES = ((1200, WINDOW, 16), (STEPS, SIDE, 8))
NEAR = 0.75  # share of the windows that are put where the defect is
# (step, share of the full rate), joined by straight lines; other counts of steps stretch both tables
RATES = ((0, 0.0), (60, 1.0), (1450, 1.0), (1500, 0.944), (STEPS, 0.0))
SHARPNESS = 6  # of an image's logits in the loss
PHOTOGRAPHS = 0.25  # share of the pairs that are made on photographs
CHUNK = 4  # pairs of windows in one pass through the model, and as many patches of whole pictures


def arguments():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--library", required=True, help="the generator: cmake --build BUILD --target acd_datagen")
    p.add_argument("--photographs", type=Path, help="textures.npz of photographs.py; without it every scene is drawn")
    p.add_argument("--out", required=True, type=Path, help="folder for checkpoints and the log")
    p.add_argument("--steps", type=int, default=STEPS)
    p.add_argument("--batch-scale", type=int, default=1, help="times as many pairs in every step")
    p.add_argument("--chunk", type=int, help=f"pairs of windows in one pass through the model; default: {CHUNK}, all on a GPU")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--workers", type=int, help="processes; default: a core each on a CPU, one for a GPU")
    p.add_argument("--eager", action="store_true", help="do not compile the layers")
    p.add_argument("--save-every", type=int, default=250)
    p.add_argument("--stop-at", type=int, help="end after this step of the schedule (to go on later)")
    o = p.parse_args()
    fits = lambda workers: all(o.batch_scale * pairs % workers == 0 for _, _, pairs in STAGES)  # noqa: E731
    on_gpu, cores = o.device.startswith("cuda"), len(os.sched_getaffinity(0))
    if o.workers is None:
        o.workers = 1 if on_gpu else max(n for n in range(1, cores + 1) if fits(n))
    # A GPU is not kept waiting for pictures; on a CPU drawing ahead would only take the cores from training.
    o.ahead = cores if on_gpu else 0
    if o.chunk is None:
        o.chunk = max(pairs * side**2 // WINDOW**2 for _, side, pairs in STAGES) * o.batch_scale if on_gpu else CHUNK
    if not fits(o.workers):
        p.error(f"the pairs of a step cannot be shared by --workers {o.workers}")
    return o


def stage_of(step, steps):
    """(side, pairs)"""
    at = step * STEPS / steps
    return next((side, pairs) for end, side, pairs in STAGES if at < end)


def rate_of(step, steps):
    ends, rates = zip(*RATES)
    return float(np.interp((step + 1) * STEPS / steps, ends, rates))


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


class Batches:
    """Step -> this worker's (images [2n, 3, S, S], masks [2n, S, S], tokens, owner, class of each image, window's place)."""

    def __init__(self, generator, sentences, o, worker):
        self.generator, self.sentences, self.o, self.worker = generator, sentences, o, worker
        self.photographs = Photographs(o.photographs) if o.photographs else None

    def __call__(self, step):
        o = self.o
        side, pairs = stage_of(step, o.steps)
        n = o.batch_scale * pairs // o.workers
        at = step * o.batch_scale * max(pairs for _, _, pairs in STAGES) + self.worker * n
        rng = np.random.default_rng((o.seed, at))
        draw = torch.Generator().manual_seed(o.seed * 1_000_003 + at)
        scenes = self.photographs and self.photographs.crops(rng, rng.binomial(n, PHOTOGRAPHS), SIDE)
        rgb, mask, clean, labels = self.generator.batch(o.seed, at, n, SIDE, photographs=scenes)
        pair = torch.stack([torch.from_numpy(rgb), torch.from_numpy(clean)], 1)
        pair = pair.permute(0, 1, 4, 2, 3).float() / 255
        mask = torch.from_numpy(mask) > 0
        # Three in ten defects are pasted blobs in place of the generator's own kinds.
        chosen = torch.from_numpy(rng.random(n) < 0.3)
        if chosen.any():
            share = torch.from_numpy(rng.permutation(n))[chosen]
            both, blob = paste_patches_of(pair, chosen, share, draw)
            ok = blob.flatten(1).sum(1) >= 12
            rows = chosen.nonzero().flatten()[ok]
            pair[rows, 0], mask[rows] = both[ok], blob[ok]
        pair = uneven_light(pair, draw)
        for i in range(n):
            turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
            pair[i], mask[i] = orient(pair[i], turns, mirrored), orient(mask[i], turns, mirrored)
        place = torch.zeros(n, 2, dtype=torch.long)
        if side < SIDE:
            place = torch.stack([window_near(m, side, rng) for m in mask])
            cut = lambda x, at: x[..., PATCH * at[0] :, PATCH * at[1] :][..., :side, :side]  # noqa: E731
            pair = torch.stack([cut(x, at) for x, at in zip(pair, place)])
            mask = torch.stack([cut(x, at) for x, at in zip(mask, place)])
            mask &= mask.flatten(1).sum(1).view(-1, 1, 1) >= 8
        pair = jitter(pair, draw)
        images = normalise(pair.transpose(0, 1).reshape(2 * n, *pair.shape[2:]))
        masks = torch.cat([mask, torch.zeros_like(mask)]).float()
        present, of = np.unique(labels[:, 0], return_inverse=True)
        tokens, owner = self.sentences.pack([self.sentences.draw(int(k), rng) for k in present])
        return images, masks, tokens, owner, torch.from_numpy(np.concatenate([of, of])), torch.cat([place, place])


def window_near(mask, side, rng):
    """(row, column) of a window's first patch: in most draws one that shows some of the mask [S, S]."""
    last = (SIDE - side) // PATCH
    found = mask.nonzero()
    if len(found) == 0 or rng.random() >= NEAR:
        return torch.from_numpy(rng.integers(0, last + 1, 2))
    middle = found[rng.integers(len(found))] // PATCH
    first = middle.numpy() - rng.integers(1, side // PATCH - 1, 2)
    return torch.from_numpy(first.clip(0, last))


def drawn(batches, steps, ahead):
    """The batches of `steps`, of which `ahead` are drawn before they are asked for, each by a thread."""
    if ahead == 0:
        yield from map(batches, steps)
        return
    steps = iter(steps)
    with ThreadPoolExecutor(ahead) as pool:
        waiting = deque(pool.submit(batches, s) for s in islice(steps, ahead))
        for following in steps:
            batch = waiting.popleft().result()
            waiting.append(pool.submit(batches, following))
            yield batch
        while waiting:
            yield waiting.popleft().result()


def paste_patches_of(pair, chosen, share, draw):
    clean = pair[:, 1]
    pool = torch.cat([clean[chosen], clean[share]])
    k = int(chosen.sum())
    mixed, blob = paste_patches(pool, torch.arange(2 * k).roll(k), draw)
    return mixed[:k], blob[:k]


def loss_of(patch, image, masks):
    """On the map as detection shows it: each picture's share of defect and of the rest, and dice; on the image: cross-entropy."""
    side = masks.shape[-1]
    # A window's patches lie where they are; in a whole picture detection puts the first and last on its borders.
    z = F.interpolate(blurred(patch)[:, None], size=(side, side), mode="bilinear", align_corners=side == SIDE)[:, 0]
    p = z.sigmoid()
    cross = F.binary_cross_entropy_with_logits(z, masks, reduction="none")
    area = masks.sum((1, 2))
    label = (area > 0).float()
    abnormal = label > 0
    n = len(image) // 2
    dice = lambda a, b: 1 - ((2 * (a * b).sum((1, 2)) + 1) / (a.sum((1, 2)) + b.sum((1, 2)) + 1)).mean()  # noqa: E731
    # A small defect weighs nearly as much as a large one: both are one finding.
    found = (masks * cross).sum((1, 2)) / (area + 0.004 * side * side)
    return {
        "found": 0.4 * found.sum() / n,
        "intact": ((1 - masks) * cross).mean(),
        "dice": 0.4 * dice(p[abnormal], masks[abnormal]) if abnormal.any() else 0 * z.sum(),
        # The logits of an image stay within 2, so that they are stretched to tell what is sure from what is not.
        "detection": 0.5 * F.binary_cross_entropy_with_logits(SHARPNESS * image, label),
        "ranking": 0.25 * (label[:n] * F.softplus(-SHARPNESS * (image[:n] - image[n:]))).mean(),
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

    def average(self, worker, parameters):
        if len(self.rows) == 1:
            return
        torch.cat([p.grad.flatten() for p in parameters], out=self.rows[worker])
        self.barrier.wait()
        mean = self.rows.mean(0)
        self.barrier.wait()
        for p, g in zip(parameters, mean.split([p.numel() for p in parameters])):
            p.grad.copy_(g.view_as(p))


def step_of(model, batch, o):
    """Adds a worker's gradients; returns the parts of its loss."""
    images, masks, tokens, owner, of, place = batch
    n, totals = len(images) // 2, {}
    chunk = max(1, o.chunk * WINDOW**2 // images.shape[-1] ** 2)
    with torch.autocast(images.device.type, torch.bfloat16):
        text = model.text_features(tokens, owner, int(of.max()) + 1)
    leaf = text.detach().requires_grad_()
    for at in range(0, n, chunk):
        end = min(at + chunk, n)
        rows = torch.cat([torch.arange(at, end), torch.arange(n + at, n + end)]).to(images.device)
        with torch.autocast(images.device.type, torch.bfloat16):
            patch, image = model.logits(images[rows], leaf[of[rows]], place[rows])
        share = (end - at) / n
        parts = loss_of(patch.float(), image.float(), masks[rows])
        (share * sum(parts.values())).backward()
        for name, v in parts.items():
            totals[name] = totals.get(name, 0) + share * float(v.detach())
    text.backward(leaf.grad)
    return totals


def work(worker, o, meeting):
    torch.set_num_threads(1 if o.workers > 1 else torch.get_num_threads())
    device = torch.device(o.device)
    generator = Generator(o.library, 1 if o.workers > 1 else os.cpu_count())
    cache = o.out / f"sentences-{worker}.json"
    batches = Batches(generator, Sentences(generator, cache, CONFIG["contextLength"]), o, worker)
    model = StarterModel(seed=o.seed, compiled=not o.eager).to(device)
    learned = [p for p in model.parameters() if p.requires_grad]
    opts = optimisers(model)
    step, latest = 0, o.out / "latest.pt"
    if latest.exists():
        kept = torch.load(latest, map_location=device)
        model.load_state_dict(kept["model"])
        for opt, state in zip(opts, kept["optimisers"]):
            opt.load_state_dict(state)
        average, step = kept["average"], kept["step"]
        print(f"going on from step {step}", flush=True)
    else:
        model.start_with_patches(amplitudes(generator))
        average = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    log, began, seen, totals = (o.out / "log.jsonl").open("a"), time.time(), 0, {}

    def report(line):
        print(json.dumps(line), file=log, flush=True)
        print(json.dumps(line), flush=True)

    keep = 0.5 ** (1 / EMA_HALF_LIFE)
    for batch in drawn(batches, range(step, o.stop_at or o.steps), o.ahead):
        batch = [t.to(device) for t in batch]
        for opt in opts:
            for g in opt.param_groups:
                g["lr"] = g["base"] * rate_of(step, o.steps)
            opt.zero_grad(set_to_none=False)
        parts = step_of(model, batch, o)
        meeting.average(worker, learned)
        norm = torch.nn.utils.clip_grad_norm_(learned, 2.0)
        if math.isfinite(norm):
            for opt in opts:
                opt.step()
        step += 1
        if worker:
            continue
        with torch.no_grad():
            k = min(keep, step / (step + 10))
            for n, p in model.named_parameters():
                if n in average:
                    average[n].lerp_(p, 1 - k)
        seen += len(batch[0]) * o.workers
        for name, v in {**parts, "norm": float(norm)}.items():
            totals[name] = totals.get(name, 0) + v / 50
        if step % 50 == 0:
            line = {"step": step, "side": batch[0].shape[-1], **{k: round(v, 4) for k, v in totals.items()}}
            report({**line, "images_per_s": round(seen / (time.time() - began), 1)})
            began, seen, totals = time.time(), 0, {}
        ends = step in (o.steps, o.stop_at)
        if step % o.save_every == 0 or ends:
            state = {"model": model.state_dict(), "optimisers": [x.state_dict() for x in opts]}
            fresh = latest.with_suffix(".new")
            torch.save({**state, "average": average, "step": step, "options": {k: str(v) for k, v in vars(o).items()}}, fresh)
            fresh.replace(latest)
        if step % (2 * o.save_every) == 0 or ends:
            report({"step": step, **validate(model, average, batches, generator, device)})
            began = time.time()


def main():
    o = arguments()
    o.out.mkdir(parents=True, exist_ok=True)
    numel = sum(p.numel() for p in StarterModel().parameters() if p.requires_grad)
    meeting = Meeting(o.workers, numel)
    if o.workers == 1:
        work(0, o, meeting)
    else:
        mp.spawn(work, (o, meeting), nprocs=o.workers)


@torch.no_grad()
def validate(model, average, batches, generator, device, pictures=240):
    """AUROC on classes that are never trained on; watched, and used for no decision in here."""
    now = {n: p.clone() for n, p in model.named_parameters() if n in average}
    model.load_state_dict(average, strict=False)
    rgb, mask, _, labels = generator.batch(977, 0, pictures, SIDE, HELD_OUT, 0.5, twins=False)
    tokens, owner = batches.sentences.pack([batches.sentences.placeholder["published"]])
    maps, scores = [], []
    with torch.autocast(device.type, torch.bfloat16):
        text = model.text_features(tokens.to(device), owner.to(device), 1)
        for at in range(0, pictures, 8):
            x = normalise(torch.from_numpy(rgb[at : at + 8]).permute(0, 3, 1, 2).to(device)).contiguous()
            patch, image = model.logits(x, text.expand(len(x), -1, -1, -1))
            z = F.interpolate(blurred(patch.float())[:, None], size=rgb.shape[1:3], mode="bilinear", align_corners=True)
            maps.append(z[:, 0].sigmoid().cpu())
            scores.append(0.9 * image.float().sigmoid().cpu() + 0.1 * maps[-1].flatten(1).amax(1))
    model.load_state_dict(now, strict=False)
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
