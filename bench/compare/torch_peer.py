"""PyTorch's side of bench/compare: one process, one variant, told what to do line by line.

Reads JSON requests from standard input and answers each with one line of JSON. Started by run.mjs;
the weights are the bundle that it wrote, spot-checked here against synth.py.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
import synth  # noqa: E402
from acd_clip import AcdClip  # noqa: E402

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def memory():
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return {}
    kib = {k: int(re.search(rf"^{k}:\s+(\d+) kB", status, re.M).group(1)) for k in ("VmHWM", "VmRSS")}
    return {"peak": kib["VmHWM"] * 1024, "resident": kib["VmRSS"] * 1024}


class Peer:
    def __init__(self, variant):
        self.variant = variant

    def hello(self, threads, **_):
        torch.set_num_threads(threads)
        return {"torch": torch.__version__, "isa": torch.backends.cpu.get_cpu_capability(), "pillow": PIL.__version__}

    def load(self, bundle, config, **_):
        start = time.perf_counter()
        with safe_open(bundle, "pt") as f:
            state = {name: f.get_tensor(name) for name in f.keys()}
            seed = int(f.metadata()["seed"])
        self.config = config
        self.model = AcdClip.load(config, state, self.variant)
        ms = 1000 * (time.perf_counter() - start)
        for name in ("visual.class_embedding", "image_adapter.m_i_w.0.i_w", "positional_embedding"):
            t = state[name].numpy()
            if not np.array_equal(t, synth.parameter(name, t.shape, seed)):
                raise ValueError(f"{name} in the bundle is not synth-v1")
        return {"ms": ms}

    def text(self, normal, abnormal, **_):
        ids = [torch.tensor(t, dtype=torch.long) for t in (normal, abnormal)]
        start = time.perf_counter()
        with torch.inference_mode():
            self.features = self.model.class_features(*ids)
        return {"ms": 1000 * (time.perf_counter() - start)}

    def image(self, file, width, height, save=None, **_):
        pixels = np.fromfile(file, np.uint8).reshape(height, width, 3)
        S = self.config["imageSize"]
        cpu, start = time.process_time(), time.perf_counter()
        with torch.inference_mode():
            small = Image.fromarray(pixels).resize((S, S), Image.BICUBIC)
            x = torch.from_numpy(np.array(small)).permute(2, 0, 1).float().div_(255).sub_(MEAN).div_(STD)
            amap, score = self.model(x.unsqueeze(0), self.features)
            amap, score = amap[0].numpy(), float(score[0])
        ms, cpu_ms = 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu)
        if save:
            np.ascontiguousarray(amap).tofile(save)
        return {"ms": ms, "cpuMs": cpu_ms, "score": score}

    def memory(self, **_):
        return memory()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("published", "sdpa"), required=True)
    peer = Peer(parser.parse_args().variant)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(peer, request.pop("do"))(**request)
        except Exception as error:  # the asking side prints it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
