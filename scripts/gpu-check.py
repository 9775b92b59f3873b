"""PyTorch's side of scripts/gpu-check.sh, and its table.

    gpu-check.py measure        ceilings, attention and whole models in PyTorch, one JSON object a line
    gpu-check.py table FOLDER   everything that FOLDER/*.txt measured and checked, as Markdown
"""

import datetime
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = {
    "imageSize": 518, "patchSize": 14, "pretrainGrid": 24, "visionWidth": 1024, "visionLayers": 24, "visionHeads": 16,
    "textWidth": 768, "textLayers": 12, "textHeads": 12, "vocabSize": 1000, "contextLength": 77, "embedDim": 768,
    "groups": 4, "visionLevels": [6, 12, 18, 24], "textLevels": [3, 6, 9, 12], "loraRank": 16, "loraAlpha": 2.0,
    "textLoraRank": 16, "textLoraAlpha": 2.0, "convLoraRank": 8, "convLoraAlpha": 2.0, "convGroups": 1,
    "kernelSizes": [3, 5], "adapterHidden": 256, "quickGelu": False,
}


PARTS = ("configure", "build", "ops", "cudnn", "model", "bench", "torch", "sanitizer", "racecheck")


def say(**what):
    print(json.dumps(what), flush=True)


def measure():
    import torch

    if not torch.cuda.is_available():
        say(note=f"PyTorch {torch.__version__} sees no GPU: nothing of it was measured")
        sys.exit(1)
    from torch.nn.attention import SDPBackend, sdpa_kernel

    sys.path.insert(0, str(ROOT / "bench" / "reference"))
    from acd_clip import AcdClip

    torch.manual_seed(1)
    torch.set_default_device("cuda")
    say(torch=torch.__version__, device=torch.cuda.get_device_name(), cudnn=torch.backends.cudnn.version())

    def seconds(work, runs=7):
        times = []
        for i in range(runs + 2):
            torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            if i >= 2:
                times.append(time.perf_counter() - start)
        return statistics.median(times)

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    t = seconds(lambda: [a @ b for _ in range(10)])
    say(measure="PyTorch, product 8192 x 8192 x 8192", value=10 * 2 * 8192**3 / t / 1e12, unit="TFLOP/s")
    source = torch.empty(2**31, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    t = seconds(lambda: target.copy_(source))
    say(measure="copy inside the device, read and written", value=2 * source.numel() / t / 1e12, unit="TB/s")
    del source, target, a, b

    backends = {"flash": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}
    for name, backend in backends.items():
        for batch in (1, 3, 12):
            q, k, v = (torch.randn(batch, 16, 1370, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3))
            try:
                with sdpa_kernel(backend):
                    attend = torch.nn.functional.scaled_dot_product_attention
                    t = seconds(lambda: [attend(q, k, v) for _ in range(10)])
            except RuntimeError as error:
                say(measure=f"PyTorch attention {name}, B = {batch}", failed=str(error)[:200])
                continue
            flop = 10 * 4 * batch * 16 * 1370**2 * 64
            say(measure=f"PyTorch attention {name}, B = {batch}", value=flop / t / 1e12, unit="TFLOP/s")

    def build(attention, dtype):
        with torch.device("cuda"):
            model = AcdClip(CONFIG, attention)
        for name, p in model.named_parameters():
            fan = p.numel() // p.shape[0] if p.dim() > 1 else 25
            torch.nn.init.uniform_(p, -(fan**-0.5), fan**-0.5)
            if p.dim() == 1 and name.endswith("weight"):
                p.data += 1
        model.visual.resize_positions(37)
        if dtype == torch.bfloat16:
            model.towers_to(dtype)
        return model.eval().requires_grad_(False)

    def throughput(label, model, batches):
        text = torch.nn.functional.normalize(torch.randn(4, 768, 2, device="cuda"), dim=1)
        for batch in batches:
            images = torch.randn(batch, 3, 518, 518, device="cuda")
            try:
                with torch.inference_mode():
                    t = seconds(lambda: [r.cpu() for r in model(images, text)], 5)
            except RuntimeError as error:
                say(measure=f"{label}, B = {batch}", failed=str(error)[:200])
                continue
            say(measure=f"{label}, B = {batch}", value=batch / t, unit="images/s")

    throughput("PyTorch published fp32", build("published", torch.float32), (1, 3))
    model = build("sdpa", torch.bfloat16)
    for name, backend in backends.items():
        with sdpa_kernel(backend):
            throughput(f"PyTorch eager bf16 {name}", model, (1, 3, 12, 24))
            torch.compiler.reset()
            throughput(f"torch.compile bf16 {name}", torch.compile(model), (12, 24))


def table(folder):
    lines = []
    for part in PARTS:
        path = Path(folder) / f"{part}.txt"
        for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
            if line.startswith("{"):
                try:
                    lines.append((part, json.loads(line)))
                except ValueError:
                    lines.append((part, {"check": line[:80], "ok": False}))
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    smi = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip() if shutil.which(query[0]) else ""
    print(f"\nMachine: {smi or 'no nvidia-smi'}; {datetime.date.today()}")
    for key in ("built", "torch"):
        for text in dict.fromkeys("; ".join(f"{k}: {v}" for k, v in x.items()) for _, x in lines if key in x):
            print(text)
    for _, x in lines:
        if "note" in x:
            print(f"- {x['note']}")
    for library in {x["library"]: x for _, x in lines if "library" in x}.values():
        print(f"- {library['library']} {library['version']} {library['path']}: {library['reason']}")
    for part in PARTS:
        checks = [x for p, x in lines if p == part and "check" in x]
        if not checks:
            continue
        bad = [x for x in checks if not x["ok"]]
        print(f"\n{part}: {len(checks) - len(bad)} passed, {len(bad)} failed")
        for x in bad:
            rest = ", ".join(f"{k} {v}" for k, v in x.items() if k not in ("check", "ok"))
            print(f"- {x['check']}" + (f": {rest}" if rest else ""))
    print("\n| measured | value | unit |\n| --- | ---: | --- |")
    for _, x in lines:
        if "measure" in x:
            value = f"{x['value']:.4g}" if "value" in x else f"failed: {x['failed']}"
            print(f"| {x['measure']} | {value} | {x.get('unit', '')} |")
    choices = dict.fromkeys(x["choice"] for part, x in lines if "choice" in x and part in ("cudnn", "bench"))
    if choices:
        print("\nAttention, ours and cuDNN's:")
        for choice in choices:
            print(f"- {choice}")
    values = {x["measure"]: x["value"] for _, x in lines if "value" in x}
    best = max((v for k, v in values.items() if k.startswith(("PyTorch eager bf16", "torch.compile bf16"))), default=0)
    ours = max((v for k, v in values.items() if k.startswith("ours, bf16") and "latency" not in k), default=0)
    published = max((v for k, v in values.items() if k.startswith("PyTorch published fp32")), default=0)
    if best and ours:
        print(f"\nours bf16 / best PyTorch bf16: {ours / best:.2f} (target 1.15)")
    if published and ours:
        print(f"ours bf16 / published fp32: {ours / published:.2f} (target 12)")
    fp8 = max((v for k, v in values.items() if k.startswith("ours, fp8") and "latency" not in k), default=0)
    if fp8 and ours:
        print(f"ours fp8 / ours bf16: {fp8 / ours:.2f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    elif len(sys.argv) == 3 and sys.argv[1] == "table":
        table(sys.argv[2])
    else:
        sys.exit(__doc__)
