"""Training pictures from the package's own generator, through ctypes, and what is done to them on the way."""

import ctypes
import json
import math
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]
DRAWN = -1
PHOTOGRAPH = -3  # the class of a sample that was made on a photograph
TRAINING, HELD_OUT = 1, 2


class Request(ctypes.Structure):
    _fields_ = [
        ("seed", ctypes.c_uint64),
        ("index", ctypes.c_uint64),
        ("size", ctypes.c_int32),
        ("class_id", ctypes.c_int32),
        ("defect", ctypes.c_int32),
        ("split", ctypes.c_int32),
        ("abnormal_ratio", ctypes.c_float),
        ("shared_design", ctypes.c_int32),
        ("photographs", ctypes.c_void_p),
    ]


class Label(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int32) for n in ("class_id", "label", "defect", "area")]


class Generator:
    """native/datagen as a library. Calls run without the interpreter's lock."""

    def __init__(self, library, threads):
        self.lib = ctypes.CDLL(str(library))
        self.lib.acd_datagen_class_name.restype = ctypes.c_char_p
        self.lib.acd_datagen_class_noun.restype = ctypes.c_char_p
        self.pool = ThreadPoolExecutor(threads)
        self.threads = threads
        ids = range(self.lib.acd_datagen_class_count())
        self.names = [self.lib.acd_datagen_class_name(i).decode() for i in ids]
        self.nouns = [self.lib.acd_datagen_class_noun(i).decode() for i in ids]
        self.held_out = [bool(self.lib.acd_datagen_class_held_out(i)) for i in ids]

    def _fill(self, seed, index, size, split, ratio, photographs, rgb, mask, clean, labels):
        pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p) if a is not None else None  # noqa: E731
        request = Request(seed, index, size, DRAWN, DRAWN, split, ratio, 0, pointer(photographs))
        failed = self.lib.acd_datagen_batch(
            ctypes.byref(request), len(rgb), pointer(rgb), pointer(mask), pointer(clean), pointer(labels)
        )
        if failed:
            raise RuntimeError(f"the generator refused its request with code {failed}")

    def batch(self, seed, index, count, size, split=TRAINING, ratio=1.0, twins=True, photographs=None):
        """-> rgb [n, S, S, 3], mask [n, S, S] of 0 or 255, the twins without defect or None (uint8), labels
        [n, 4] int32 of (class, label, defect, area). The first samples are made on `photographs`
        [k, S, S, 3], as many as there are."""
        rgb = np.empty((count, size, size, 3), np.uint8)
        mask = np.empty((count, size, size), np.uint8)
        clean = np.empty_like(rgb) if twins else None
        labels = np.empty((count, 4), np.int32)
        given = 0 if photographs is None else len(photographs)

        def part(cut):
            scenes = photographs[cut] if cut.stop <= given else None
            twin = clean[cut] if twins else None
            at = index + cut.start
            self._fill(seed, at, size, split, ratio, scenes, rgb[cut], mask[cut], twin, labels[cut])

        step = max(1, math.ceil(count / (4 * self.threads)))
        cuts = [slice(at, min(at + step, given)) for at in range(0, given, step)]
        cuts += [slice(at, min(at + step, count)) for at in range(given, count, step)]
        list(self.pool.map(part, cuts))
        return rgb, mask, clean, labels


# ------------------------------------------------------------------ sentences


class Sentences:
    """Token ids of every training sentence, made by the package's own tokenizer."""

    def __init__(self, generator, cache, context):
        nouns = {n: w for n, w, held in zip(generator.names, generator.nouns, generator.held_out) if not held}
        nouns["photograph"] = "surface"
        script = Path(__file__).with_name("prompts.mjs")
        subprocess.run(["node", str(script), str(cache), json.dumps(nouns)], check=True)
        data = json.loads(Path(cache).read_text())
        ids = {**{n: i for i, n in enumerate(generator.names)}, "photograph": PHOTOGRAPH}
        self.classes = {ids[n]: v for n, v in data["classes"].items()}
        self.placeholder = data["placeholder"]
        self.context = context

    def draw(self, class_id, rng):
        """(normal, abnormal) sentences for one class of a batch: the published prompts in a quarter of
        the draws, else a few of a wider choice; and in a third of them random tokens for the noun, so
        that what the model sees in a sentence is its state and not a list of nouns."""
        of = self.classes[class_id]
        source = of[0] if rng.random() < 0.5 else of[rng.integers(len(of))]
        random_noun = rng.random() < 1 / 3
        if random_noun:
            source = self.placeholder
        if rng.random() < 0.25:
            pair = source["published"]
        else:
            pair = [[*a, *b] for a, b in zip(source["published"], source["more"])]
            pair = [[p[i] for i in rng.permutation(len(p))[:4]] for p in pair]
        if random_noun:
            noun = rng.integers(256, 49406, rng.integers(1, 6)).tolist()
            pair = [[self._with(noun, s) for s in p] for p in pair]
        return pair

    def _with(self, noun, sentence):
        at = sentence.index(self.placeholder["token"])
        return [*sentence[:at], *noun, *sentence[at + 1 :]][: self.context]

    @staticmethod
    def pack(pairs):
        """Sentences of several classes -> tokens [P, L], owner [P] = 2 * class + (1: abnormal)."""
        rows = [(2 * k + side, s) for k, pair in enumerate(pairs) for side in (0, 1) for s in pair[side]]
        tokens = torch.zeros(len(rows), max(len(s) for _, s in rows), dtype=torch.long)
        for i, (_, s) in enumerate(rows):
            tokens[i, : len(s)] = torch.tensor(s)
        return tokens, torch.tensor([owner for owner, _ in rows])


# --------------------------------------------------------------- augmentation


def smooth_noise(n, size, generator):
    """[n, 1, S, S] in about -1..1: noise of two octaves at a scale drawn for each call."""
    cells = int(torch.randint(2, 9, (), generator=generator))
    total = 0
    for octave in (1, 2):
        low = torch.randn(n, 1, cells * octave, cells * octave, generator=generator)
        total = total + F.interpolate(low, size=(size, size), mode="bicubic", align_corners=True) / octave
    return total / 1.5


def paste_patches(clean, share, generator):
    """Makes defects that belong to no kind: blobs of one picture, moved or recoloured, in another.

    clean: 0..1 [n, 3, S, S] -> (abnormal, mask [n, S, S]). `share`: which rows to take the filling from.
    """
    n, _, size, _ = clean.shape
    field = smooth_noise(n, size, generator)
    # The blob is where the field is near its maximum: its size is drawn, its shape is the field's.
    level = field.flatten(1).quantile(0.86 + 0.135 * torch.rand((), generator=generator).item(), dim=1)
    softness = 0.02 + 0.2 * torch.rand(n, 1, 1, 1, generator=generator)
    alpha = ((field - level.view(n, 1, 1, 1)) / softness).clamp(0, 1)
    alpha = alpha * (0.35 + 0.65 * torch.rand(n, 1, 1, 1, generator=generator))
    filling = clean[share].roll((size // 3, size // 4), (2, 3))
    own = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    gain = torch.empty(n, 3, 1, 1).uniform_(0.6, 1.4, generator=generator)
    shift = torch.empty(n, 1, 1, 1).uniform_(-0.25, 0.25, generator=generator)
    filling = torch.where(own, clean.flip(3) * gain + shift, filling).clamp(0, 1)
    out = clean + alpha * (filling - clean)
    return out, (out - clean).abs().amax(1) > 0.04


def jitter(pairs, generator):
    """Colour, contrast and orientation, drawn per pair and shared by its two pictures.

    pairs: 0..1 [n, k, 3, S, S] -> the same shape.
    """
    n = len(pairs)
    u = lambda low, high, *shape: torch.empty(n, 1, *shape, 1, 1).uniform_(low, high, generator=generator)  # noqa: E731
    grey = pairs.mean(2, keepdim=True)
    keep = u(0, 1, 1)
    saturation = torch.where(keep < 0.15, torch.zeros(()), torch.where(keep < 0.7, u(0.4, 1.6, 1), torch.ones(())))
    x = grey + (pairs - grey) * saturation
    middle = x.mean((1, 2, 3, 4), keepdim=True)
    contrast = torch.where(u(0, 1, 1) < 0.6, u(0.6, 1.5, 1), torch.ones(()))
    x = middle + (x - middle) * contrast
    x = x * torch.where(u(0, 1, 1) < 0.6, u(0.75, 1.25, 3), torch.ones(())) + u(-0.08, 0.08, 1)
    return x.clamp(0, 1)


def uneven_light(pairs, generator):
    """What lamps and edges do to intact things: smooth shades over the picture, and dark or bright rims along its sides.

    pairs: 0..1 [n, k, 3, S, S] -> the same shape; both pictures of a pair get the same light.
    """
    n, size = len(pairs), pairs.shape[-1]
    u = lambda low, high, *shape: torch.empty(n, *shape).uniform_(low, high, generator=generator)  # noqa: E731
    cells = int(torch.randint(2, 5, (), generator=generator))
    low = torch.randn(n, 1, cells, cells, generator=generator)
    field = F.interpolate(low, size=(size, size), mode="bicubic", align_corners=True)
    depth = torch.where(u(0, 1, 1, 1, 1) < 0.5, u(0, 0.45, 1, 1, 1), torch.zeros(()))
    gain = (depth * field).clamp(-1.2, 0.8).exp()
    # Rims: each side its own width, softness and strength.
    at = torch.arange(size) / size
    with_rim = u(0, 1, 1, 1) < 0.3
    for distance in (at, 1 - at):
        for axis in (0, 1):
            width, soft = u(-0.06, 0.12, 1, 1), u(0.005, 0.12, 1, 1)
            strength = torch.where(with_rim, u(-0.9, 0.3, 1, 1), torch.zeros(()))
            edge = 1 + strength * ((width - distance) / soft).clamp(0, 1)
            gain = gain * (edge[:, :, :, None] if axis == 0 else edge[:, :, None, :])
    return (pairs * gain[:, None]).clamp(0, 1)


def orient(x, turns, mirrored):
    """Quarter turns and mirroring of the two last axes."""
    x = torch.rot90(x, turns, (-2, -1))
    return x.flip(-1) if mirrored else x
