"""PyTorch's sides of bench/compare: one process, one variant, told what to do line by line.

Started by run.mjs; the weights are the bundle that it wrote, spot-checked here against synth.py.

--variant published   attention as published, weights of every head materialised; --dtype bf16 is autocast
--variant sdpa        scaled_dot_product_attention; --dtype bf16 has bf16 weights (autocast: `autocast`)
--variant compile     the same under torch.compile with frozen weights, which packs them for oneDNN
"""

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import PIL
import torch
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
import synth  # noqa: E402
from acd_clip import AcdClip  # noqa: E402
from worker import Worker, serve  # noqa: E402


class TorchPeer(Worker):
    def __init__(self, variant, dtype, autotune):
        self.variant, self.dtype, self.autotune = variant, dtype, autotune
        self.autocast = dtype == "autocast" or (dtype == "bf16" and variant == "published")

    def hello(self, threads, **_):
        torch.set_num_threads(threads)
        versions = {"torch": torch.__version__, "pillow": PIL.__version__}
        return {"versions": versions, "isa": torch.backends.cpu.get_cpu_capability()}

    def load(self, bundle, config, **_):
        start = time.perf_counter()
        with safe_open(bundle, "pt") as f:
            state = {name: f.get_tensor(name) for name in f.keys()}
            seed = int(f.metadata()["seed"])
        self.config = config
        attention = "published" if self.variant == "published" else "sdpa"
        self.model = AcdClip.load(config, state, attention)
        if self.dtype == "bf16" and not self.autocast:
            self.model.towers_to(torch.bfloat16)
        self.run = self.model
        if self.variant == "compile":
            self.run = self.compiled()
        ms = 1000 * (time.perf_counter() - start)
        for name in ("visual.class_embedding", "image_adapter.m_i_w.0.i_w", "positional_embedding"):
            t = state[name].numpy()
            if not np.array_equal(t, synth.parameter(name, t.shape, seed)):
                raise ValueError(f"{name} in the bundle is not synth-v1")
        return {"ms": ms}

    def compiled(self):
        import torch._inductor.config as inductor
        import torch._inductor.select_algorithm

        inductor.freezing = True
        if self.autotune:
            inductor.max_autotune = True
            inductor.max_autotune_gemm_backends = "CPP,ATEN"
            inductor.max_autotune_report_choices_stats = False
            torch._inductor.select_algorithm.PRINT_AUTOTUNE = False
        c = self.config
        run = torch.compile(self.model, dynamic=False)
        # Compiling is part of loading; its first results are thrown away.
        x = torch.randn(1, 3, c["imageSize"], c["imageSize"])
        text = torch.randn(c["groups"], c["embedDim"], 2)
        with torch.no_grad(), self.precision():
            for _ in range(2):
                run(x, text)
        return run

    def precision(self):
        return torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext()

    def text(self, normal, abnormal, **_):
        ids = [torch.tensor(t, dtype=torch.long) for t in (normal, abnormal)]
        start = time.perf_counter()
        with torch.inference_mode():
            features = self.model.class_features(*ids)
        ms = 1000 * (time.perf_counter() - start)
        # A copy that is no inference tensor: compiled code refuses those.
        self.features = torch.from_numpy(features.numpy().copy())
        return {"ms": ms}

    def forward(self, x, features):
        # no_grad where code was compiled under it: another mode would compile anew.
        mode = torch.no_grad() if self.variant == "compile" else torch.inference_mode()
        with mode, self.precision():
            amap, score = self.run(torch.from_numpy(x), features)
            return amap[0].float().numpy(), score[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("published", "sdpa", "compile"), required=True)
    parser.add_argument("--dtype", choices=("fp32", "bf16", "autocast"), default="fp32")
    parser.add_argument("--autotune", action="store_true")
    args = parser.parse_args()
    serve(TorchPeer(args.variant, args.dtype, args.autotune))
