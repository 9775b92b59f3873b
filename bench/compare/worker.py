"""What the Python sides of bench/compare share: a loop that answers each line of JSON with one line.

A side is a class with `hello(threads)`, `load(...)` and `forward(x, features) -> (map, score)`, x being the
normalised picture [1, 3, S, S] in float32.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32).reshape(3, 1, 1)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32).reshape(3, 1, 1)


def memory():
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return {}
    kib = {k: int(re.search(rf"^{k}:\s+(\d+) kB", status, re.M).group(1)) for k in ("VmHWM", "VmRSS")}
    return {"peak": kib["VmHWM"] * 1024, "resident": kib["VmRSS"] * 1024}


def normalised(file, width, height, side):
    """RGB8 on disk -> float32 [1, 3, side, side], resized by Pillow."""
    pixels = np.fromfile(file, np.uint8).reshape(height, width, 3)
    small = np.asarray(Image.fromarray(pixels).resize((side, side), Image.BICUBIC))
    x = small.transpose(2, 0, 1).astype(np.float32, order="C")
    x /= 255
    x -= MEAN
    x /= STD
    # Not x[None], whose first stride is 0.
    return x.reshape(1, 3, side, side)


class Worker:
    features = None

    def image(self, file, width, height, save=None, **_):
        cpu, start = time.process_time(), time.perf_counter()
        x = normalised(file, width, height, self.config["imageSize"])
        amap, score = self.forward(x, self.features)
        ms, cpu_ms = 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu)
        if save:
            np.ascontiguousarray(amap, np.float32).tofile(save)
        return {"ms": ms, "cpuMs": cpu_ms, "score": float(score)}

    def memory(self, **_):
        return memory()


def serve(side):
    # Libraries print what they please: the answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(side, request.pop("do"))(**request)
        except Exception as error:  # the asking side prints it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
