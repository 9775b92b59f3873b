"""Training pictures from the package's own generator, through ctypes, and the sentences that go with them."""

import ctypes
import json
import math
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
DRAWN = -1
PHOTOGRAPH = -3  # the class of a sample that was made on a photograph
COMPOSED = -4  # the class of a pair whose scene augment.py composes
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
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
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
        list((self.pool.map if self.pool else map)(part, cuts))
        return rgb, mask, clean, labels


# ------------------------------------------------------------------ sentences


class Sentences:
    """Token ids of every training sentence, made by the package's own tokenizer and kept in `file`."""

    def __init__(self, generator, file, context):
        if not Path(file).exists():
            self.tokenize(generator, file)
        data = json.loads(Path(file).read_text())
        ids = {**{n: i for i, n in enumerate(generator.names)}, "photograph": PHOTOGRAPH, "composition": COMPOSED}
        self.classes = {ids[n]: v for n, v in data["classes"].items()}
        self.placeholder = data["placeholder"]
        self.context = context

    @staticmethod
    def tokenize(generator, file):
        nouns = {n: w for n, w, held in zip(generator.names, generator.nouns, generator.held_out) if not held}
        nouns |= {"photograph": "surface", "composition": "object"}
        script = Path(__file__).with_name("prompts.mjs")
        subprocess.run(["node", str(script), str(file), json.dumps(nouns)], check=True)

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
