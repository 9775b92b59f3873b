"""Trains the starter model. Restartable: run the same command again and it goes on from its last checkpoint.

    python scripts/starter/train.py --library libacd_datagen.so --out DIR

Needs torch and numpy, and Node with the package built (its tokenizer makes the token ids). Every step
depends on (seed, step) alone, so a run that was cut off ends like one that was not.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from data import HELD_OUT, Generator, Sentences, jitter, orient, paste_patches
from photographs import Photographs
from model import CONFIG, StarterModel, normalise

EMA_HALF_LIFE = 300  # steps
RUN = 16  # steps whose pictures are drawn at once
STEPS = 5200
# (up to this step, picture side): small pictures first, the model's own size last
STAGES = ((1750, 112), (2250, 140), (3300, 196), (STEPS, 252))
# (step, share of the full rate), joined by straight lines; other counts of steps stretch both tables
RATES = ((0, 0.0), (200, 1.0), (2925, 1.0), (4000, 0.3175), (STEPS, 0.0))
PHOTOGRAPHS = 0.25  # share of the pairs that are made on photographs, from the second stage on


def arguments():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--library", required=True, help="the generator: cmake --build BUILD --target acd_datagen")
    p.add_argument("--photographs", type=Path, help="textures.npz of photographs.py; without it every scene is drawn")
    p.add_argument("--out", required=True, type=Path, help="folder for checkpoints and the log")
    p.add_argument("--steps", type=int, default=STEPS)
    p.add_argument("--pairs", type=int, default=16, help="pairs of (with defect, without) in a step")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--save-every", type=int, default=250)
    return p.parse_args()


def side_of(step, steps):
    at = step * STEPS / steps
    return next(side for end, side in STAGES if at < end)


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
    muon = torch.optim.Muon(inner, lr=2e-3, momentum=0.95, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=1.5e-3, betas=(0.9, 0.98))
    for o in (muon, adam):
        for g in o.param_groups:
            g["base"] = g["lr"]
    return muon, adam


class Batches:
    """Step -> (images [2n, 3, S, S], masks [2n, S, S], tokens, owner, class of each image)."""

    def __init__(self, generator, sentences, o):
        self.generator, self.sentences, self.o = generator, sentences, o
        self.ahead = {}
        self.photographs = Photographs(o.photographs) if o.photographs else None

    def raw(self, step):
        """Drawn for many steps at once, between steps, so that drawing and training never share a core."""
        if step not in self.ahead:
            end = min(step - step % RUN + RUN, self.o.steps)
            self.ahead = {at: self.draw(at, side_of(at, self.o.steps)) for at in range(step, end)}
        return self.ahead.pop(step)

    def draw(self, step, side):
        o, scenes = self.o, None
        if self.photographs and side != STAGES[0][1]:
            rng = np.random.default_rng((o.seed, step, 1))
            scenes = self.photographs.crops(rng, rng.binomial(o.pairs, PHOTOGRAPHS), side)
        return self.generator.batch(o.seed, step * o.pairs, o.pairs, side, photographs=scenes)

    def __call__(self, step):
        rgb, mask, clean, labels = self.raw(step)
        o, n = self.o, self.o.pairs
        rng = np.random.default_rng((o.seed, step))
        draw = torch.Generator().manual_seed(o.seed * 1_000_003 + step)
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
        pair = jitter(pair, draw)
        for i in range(n):
            turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
            pair[i], mask[i] = orient(pair[i], turns, mirrored), orient(mask[i], turns, mirrored)
        images = normalise(pair.transpose(0, 1).reshape(2 * n, *pair.shape[2:]))
        masks = torch.cat([mask, torch.zeros_like(mask)]).float()
        present, of = np.unique(labels[:, 0], return_inverse=True)
        tokens, owner = self.sentences.pack([self.sentences.draw(int(k), rng) for k in present])
        return images, masks, tokens, owner, torch.from_numpy(np.concatenate([of, of]))


def paste_patches_of(pair, chosen, share, draw):
    clean = pair[:, 1]
    pool = torch.cat([clean[chosen], clean[share]])
    k = int(chosen.sum())
    mixed, blob = paste_patches(pool, torch.arange(2 * k).roll(k), draw)
    return mixed[:k], blob[:k]


def loss_of(patch, image, masks):
    """Focal and dice on the map, as ACD-CLIP trains; cross-entropy on the image."""
    side = masks.shape[-1]
    z = F.interpolate(patch[:, None], size=(side, side), mode="bilinear", align_corners=True)[:, 0]
    p = z.sigmoid()
    cross = F.binary_cross_entropy_with_logits(z, masks, reduction="none")
    hit = torch.where(masks > 0, p, 1 - p)
    focal = ((1 - hit).square() * cross).mean()
    dice = lambda a, b: 1 - ((2 * (a * b).sum((1, 2)) + 1) / (a.sum((1, 2)) + b.sum((1, 2)) + 1)).mean()  # noqa: E731
    label = (masks.flatten(1).amax(1) > 0).float()
    detection = F.binary_cross_entropy_with_logits(image, label)
    # Twins: the one with the defect should score higher than the one without.
    n = len(image) // 2
    ranking = F.softplus(-8 * (image[:n] - image[n:])).mean()
    abnormal = label > 0
    return {
        "focal": 4 * focal,
        "dice": dice(p[abnormal], masks[abnormal]) + dice(1 - p, 1 - masks),
        "detection": detection,
        "ranking": 0.25 * ranking,
    }


def main():
    o = arguments()
    o.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(o.threads)
    device = torch.device(o.device)
    generator = Generator(o.library, o.threads)
    batches = Batches(generator, Sentences(generator, o.out / "sentences.json", CONFIG["contextLength"]), o)
    model = StarterModel(seed=o.seed).to(device)
    opts = optimisers(model)
    average = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    step, latest = 0, o.out / "latest.pt"
    if latest.exists():
        kept = torch.load(latest, map_location=device)
        model.load_state_dict(kept["model"])
        for opt, state in zip(opts, kept["optimisers"]):
            opt.load_state_dict(state)
        average, step = kept["average"], kept["step"]
        print(f"going on from step {step}", flush=True)
    log, began, seen, totals = (o.out / "log.jsonl").open("a"), time.time(), 0, {}
    keep = 0.5 ** (1 / EMA_HALF_LIFE)
    while step < o.steps:
        images, masks, tokens, owner, of = (t.to(device) for t in batches(step))
        scale = rate_of(step, o.steps)
        for opt in opts:
            for g in opt.param_groups:
                g["lr"] = g["base"] * scale
            opt.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            text = model.text_features(tokens, owner, int(of.max()) + 1)
            patch, image = model.logits(images, text[of])
        parts = loss_of(patch.float(), image.float(), masks)
        total = sum(parts.values())
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 2.0)
        if math.isfinite(norm):
            for opt in opts:
                opt.step()
        step += 1
        with torch.no_grad():
            k = min(keep, step / (step + 10))
            for n, p in model.named_parameters():
                if n in average:
                    average[n].lerp_(p, 1 - k)
        seen += len(images)
        for name, v in {**parts, "norm": norm}.items():
            totals[name] = totals.get(name, 0) + float(v.detach()) / 50
        if step % 50 == 0:
            line = {"step": step, "side": images.shape[-1], **{k: round(v, 4) for k, v in totals.items()}}
            line["images_per_s"] = round(seen / (time.time() - began), 1)
            print(json.dumps(line), file=log, flush=True)
            print(json.dumps(line), flush=True)
            began, seen, totals = time.time(), 0, {}
        if step % o.save_every == 0 or step == o.steps:
            state = {"model": model.state_dict(), "optimisers": [x.state_dict() for x in opts]}
            fresh = latest.with_suffix(".new")
            torch.save({**state, "average": average, "step": step, "options": {k: str(v) for k, v in vars(o).items()}}, fresh)
            fresh.replace(latest)
        if step % (4 * o.save_every) == 0 or step == o.steps:
            line = {"step": step, **validate(model, average, batches, generator, o, device)}
            print(json.dumps(line), file=log, flush=True)
            print(json.dumps(line), flush=True)
            began = time.time()


@torch.no_grad()
def validate(model, average, batches, generator, o, device, count=192):
    """AUROC on classes that are never trained on; watched, and used for no decision in here."""
    now = {n: p.clone() for n, p in model.named_parameters() if n in average}
    model.load_state_dict(average, strict=False)
    rgb, mask, _, labels = generator.batch(977, 0, count, CONFIG["imageSize"], HELD_OUT, 0.5, twins=False)
    pair = batches.sentences.placeholder["published"]
    tokens, owner = batches.sentences.pack([pair])
    maps, scores = [], []
    with torch.autocast(device.type, torch.bfloat16):
        text = model.text_features(tokens.to(device), owner.to(device), 1)
        for at in range(0, count, 16):
            x = normalise(torch.from_numpy(rgb[at : at + 16]).permute(0, 3, 1, 2).to(device))
            patch, image = model.logits(x, text.expand(len(x), -1, -1, -1))
            z = F.interpolate(patch[:, None].float(), size=rgb.shape[1:3], mode="bilinear", align_corners=True)
            maps.append(z[:, 0].sigmoid().cpu())
            scores.append(0.9 * image.float().sigmoid().cpu() + 0.1 * maps[-1].flatten(1).amax(1))
    model.load_state_dict(now, strict=False)
    pixels, truth = torch.cat(maps)[:, ::4, ::4], torch.from_numpy(mask)[:, ::4, ::4] > 0
    return {
        "held_out_pixel_auroc": round(auroc(pixels.flatten(), truth.flatten()), 4),
        "held_out_image_auroc": round(auroc(torch.cat(scores), torch.from_numpy(labels[:, 1]) > 0), 4),
    }


def auroc(scores, positive):
    order = scores.argsort()
    rank = torch.empty(len(order), dtype=torch.float64)
    rank[order] = torch.arange(1, len(order) + 1, dtype=torch.float64)
    p = int(positive.sum())
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * (len(order) - p)))


if __name__ == "__main__":
    main()
