"""Random models that no golden knows, as checkpoint files, through the public API against the oracle.

    python test/reference/held_out.py --oracle DIR [--pictures DIR] [--count 36] [--seed 1]
        [--only N] [--out DIR] [--keep] [--node node] [--report FILE]

--oracle is the folder of acd_reference.py, the plain PyTorch model. Every case is drawn from its
number and the seed alone, so `--only N` repeats one. A case draws the sizes (widths, layers, groups,
patch, grids, kernel sizes, ranks, vocabulary of prompts, alphas, activation, levels), the weights
(synth-v1, normal ones, normal with CLIP's outlier channels, or with sentences far apart), the file
format (open_clip .pt, fp16 .pt, bf16 and fp32 safetensors, Hugging Face names, one bundle), and 1 to
3 pictures (random pixels, or files of --pictures, resized by Pillow here and by the package there).

The oracle runs in float64 on the weights as the file holds them, and again in float32 to show what
plain PyTorch itself loses. compare_held_out.mjs loads the same files with AcdClip.load. A case passes
when every map, score and text feature is within 2e-5 of the float64 oracle, or, where float32 itself
cannot do that, within 4 times the error of the float32 oracle (marked `f32`).
"""

import argparse
import importlib.util
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
TOLERANCE = 2e-5
PICTURE_TYPES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
NOUNS = [
    "hazelnut", "metal_nut", "Zipper", "pcb module", "caf\u00e9 cup", "3.5 mm jack's plug", "\u87ba\u4e1d",
    "oval white pill with small red speckles and the letters 'FF' engraved",
]  # fmt: skip
FORMATS = ["openclip-pt", "openclip-pt-fp16", "safetensors", "safetensors-bf16", "huggingface", "bundle"]


@dataclass
class Case:
    """Everything that the other side must be told or that is worth printing."""

    number: int
    seed: int
    format: str
    weights: str
    image_size: int
    patch: int
    grid: int
    stored_grid: int
    vision: tuple  # width, layers
    text: tuple
    hidden: int
    groups: int
    kernels: tuple
    rank: int
    conv_rank: int
    conv_groups: int
    text_rank: int
    alphas: tuple  # LoRA, Conv-LoRA, text LoRA
    quick_gelu: bool
    vision_levels: list | None
    text_levels: list | None
    batch: int
    domain: str
    prompts: dict = field(default_factory=dict)
    pictures: list = field(default_factory=list)


def draw_levels(rng, layers, groups):
    """Ends of the groups; None where the default, equal runs, is taken."""
    if layers % groups == 0 and rng.random() < 0.75:
        return None
    return sorted(rng.sample(range(1, layers + 1), groups))


def draw_case(number, seed):
    rng = random.Random(seed * 100_003 + number)
    groups = rng.choice([1, 2, 3, 4, 6])
    vision_layers = groups * rng.choice([1, 1, 2]) + (rng.random() < 0.2)
    text_layers = groups * rng.choice([1, 1, 2]) + (rng.random() < 0.2)
    patch = rng.choice([8, 14, 16])
    grid = rng.randint(5, 13)
    stored = rng.choice([g for g in range(3, 20) if g != grid])
    depthwise = rng.random() < 0.2
    rank = rng.randint(1, 16)
    return Case(
        number=number,
        seed=seed,
        format=FORMATS[number % len(FORMATS)],
        weights=rng.choice(["synth", "normal", "outliers", "outliers", "sharp"]),
        image_size=patch * grid,
        patch=patch,
        grid=grid,
        stored_grid=stored,
        vision=(64 * rng.randint(1, 4), vision_layers),
        text=(64 * rng.randint(1, 4), text_layers),
        hidden=rng.choice([16, 48, 100, 256]),
        groups=groups,
        kernels=rng.choice([(1,), (3,), (3, 5), (5, 7, 9), (7, 1)]),
        rank=rank,
        conv_rank=rank if depthwise else rng.randint(1, 16),
        conv_groups=rank if depthwise else 1,
        text_rank=rng.choice([rank, rng.randint(1, 16)]),
        alphas=tuple(rng.choice([2.0, 1.0, 0.5, 8.0, 16.0]) for _ in range(3)),
        quick_gelu=rng.random() < 0.4,
        vision_levels=draw_levels(rng, vision_layers, groups),
        text_levels=draw_levels(rng, text_layers, groups),
        batch=rng.randint(1, 3),
        domain=rng.choice(["industrial", "medical"]),
    )


# --------------------------------------------------------------------------------------- weights


def outliers(name, t, rng):
    """What trained CLIPs show: a few norm gains and biases far out, a heavy-tailed class token."""
    if t.dim() == 1 and t.numel() >= 64 and ("ln_" in name or name.endswith("c_proj.bias")):
        far = torch.randperm(t.numel(), generator=rng)[:2]
        t[far] *= 12.0 if "ln_" in name else 60.0
    if name.endswith("class_embedding"):
        t[:3] *= 25.0
    if name.endswith("i_w"):
        t.view(-1)[0], t.view(-1)[-1] = -0.3, 1.1
    return t


def sharp(name, t, rng):
    """Sentences far apart and text that decides: maps that use more of their range."""
    if "token_embedding" in name:
        t *= 6.0
    if "m_t_w" in name:
        t += 0.5
    if "fc.2.bias" in name:
        t *= 0.1
    return t


SHAPERS = {"normal": lambda name, t, rng: t, "outliers": outliers, "sharp": sharp}


def normal_weight(name, shape, rng, kind):
    leaf = name.rsplit(".", 1)[-1]
    t = torch.randn(shape, generator=rng)
    if ("ln_" in name or "layer_norms" in name) and leaf == "weight":
        t = 1.0 + 0.3 * t
    elif leaf == "i_w":
        t = 0.2 + 0.1 * t
    elif "bias" in leaf:
        t = 0.1 * t
    elif leaf in ("class_embedding", "positional_embedding") or "token_embedding" in name:
        t = 0.2 * t
    elif leaf == "logit_scale":
        t = torch.tensor(4.6)
    else:
        matrix = leaf in ("lora_A", "lora_B", "proj", "text_projection")
        t = t / math.sqrt(shape[0] if matrix else math.prod(shape[1:]))
    return SHAPERS[kind](name, t, rng)


def make_weights(R, case, image_cfg, text_cfg):
    image_shapes, text_shapes = R.adapter_shapes(image_cfg), R.adapter_shapes(text_cfg)
    shapes = dict(R.clip_shapes(image_cfg))
    shapes |= {n: s for n, s in image_shapes.items() if n.startswith("image_adapter.")}
    shapes |= {n: s for n, s in text_shapes.items() if n.startswith("text_adapter.")}
    for n, s in shapes.items():  # grouped convolutions see a slice of their input each
        if "conv_lora_A.weight" in n or "conv_lora_B.weight" in n:
            shapes[n] = (s[0], s[1] // case.conv_groups, *s[2:])
    if case.weights == "synth":
        return {n: torch.from_numpy(R.synth.tensor(n, s, 7_000 + case.number)) for n, s in shapes.items()}
    rng = torch.Generator().manual_seed(case.seed * 7919 + case.number)
    return {n: normal_weight(n, s, rng, case.weights) for n, s in shapes.items()}


def round_backbone(w, dtype):
    def keep(n):
        return n.startswith(("image_adapter.", "text_adapter.")) or n == "logit_scale"

    return {n: t if keep(n) else t.to(dtype).float() for n, t in w.items()}


# ----------------------------------------------------------------------------------------- files


def hugging_face(clip):
    """OpenAI's names as transformers' CLIPModel writes them."""
    plain = {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
    }
    prefixes = [
        ("visual.ln_pre.", "vision_model.pre_layrnorm."),
        ("visual.ln_post.", "vision_model.post_layernorm."),
        ("ln_final.", "text_model.final_layer_norm."),
        ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
        ("transformer.resblocks.", "text_model.encoder.layers."),
    ]
    blocks = [
        (".attn.out_proj.", ".self_attn.out_proj."),
        (".ln_1.", ".layer_norm1."),
        (".ln_2.", ".layer_norm2."),
        (".mlp.c_fc.", ".mlp.fc1."),
        (".mlp.c_proj.", ".mlp.fc2."),
    ]
    out = {}
    for name, t in clip.items():
        if name == "visual.proj":
            out["visual_projection.weight"] = t.T
            continue
        if name == "text_projection":
            out["text_projection.weight"] = t.T
            continue
        new = plain.get(name, name)
        if name not in plain:
            new = next((b + name[len(a) :] for a, b in prefixes if name.startswith(a)), name)
            for a, b in blocks:
                new = new.replace(a, b)
        if ".attn.in_proj_" in new:
            stem, leaf = new.split(".attn.in_proj_")
            for letter, part in zip("qkv", t.chunk(3)):
                out[f"{stem}.self_attn.{letter}_proj.{leaf}"] = part
            continue
        out[new] = t
    return out


def write_files(folder, case, w):
    adapter_parts = {
        part: OrderedDict((n[len(part) + 1 :], t) for n, t in w.items() if n.startswith(part + "."))
        for part in ("text_adapter", "image_adapter")
    }
    clip = OrderedDict((n, t) for n, t in w.items() if not n.startswith(("image_adapter.", "text_adapter.")))
    contiguous = {n: t.contiguous() for n, t in w.items()}
    if case.format == "bundle":
        save_file(contiguous, folder / "bundle.safetensors")
        return {"bundle": "bundle.safetensors"}
    torch.save({"epoch": 3, **adapter_parts}, folder / "adapter.pth")
    files = {"adapter": "adapter.pth"}
    if case.format.startswith("openclip-pt"):
        half = case.format.endswith("fp16")
        state = OrderedDict((n, t.half() if half and n != "logit_scale" else t) for n, t in clip.items())
        # strided views and {"state_dict": ...}, as training scripts leave them
        torch.save({"state_dict": state} if half else state, folder / "backbone.pt")
        return {**files, "backbone": "backbone.pt"}
    if case.format == "huggingface":
        save_file({n: t.contiguous() for n, t in hugging_face(clip).items()}, folder / "model.safetensors")
        return {**files, "backbone": "model.safetensors"}
    dtype = torch.bfloat16 if case.format.endswith("bf16") else torch.float32
    save_file({n: t.to(dtype).contiguous() for n, t in clip.items()}, folder / "backbone.safetensors")
    if case.number % 2:
        adapter = {n: t.contiguous() for n, t in w.items() if n.startswith(("image_adapter.", "text_adapter."))}
        save_file(adapter, folder / "adapter.safetensors")
        files = {"adapter": "adapter.safetensors"}
    return {**files, "backbone": "backbone.safetensors"}


# ---------------------------------------------------------------------------------------- inputs


def draw_pictures(folder, case, library):
    rng = random.Random(case.seed * 31 + case.number)
    noise = np.random.default_rng(case.seed * 17 + case.number)
    out = []
    for i in range(case.batch):
        if library and rng.random() < 0.7:
            out.append(str(rng.choice(library)))
            continue
        w, h = rng.randint(1, 400), rng.randint(1, 400)
        path = folder / f"noise-{i}.png"
        Image.fromarray(noise.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(path)
        out.append(str(path))
    return out


def read_picture(path, size, mean, std):
    with Image.open(path) as picture:
        rgb = picture.convert("RGB").resize((size, size), Image.BICUBIC)
    x = torch.from_numpy(np.asarray(rgb).copy()).permute(2, 0, 1).float() / 255
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def draw_prompts(case):
    """Own sentences, or a class name: then the published states and templates are expected."""
    rng = random.Random(case.seed * 131 + case.number)
    noun = rng.choice(NOUNS)
    if rng.random() < 0.5:
        return {"className": noun}
    normal = ["a good one", f"a photo of the {noun}.", "clean"][: rng.randint(1, 3)]
    abnormal = [f"{noun} with a crack", "a very, very badly damaged thing -- broken & bent!", "flaw", "x"]
    return {"prompts": {"normal": normal, "abnormal": abnormal[: rng.randint(1, 4)]}}


def sentences(prompts):
    if "prompts" in prompts:
        return prompts["prompts"]["normal"], prompts["prompts"]["abnormal"]
    noun = prompts["className"].replace("_", " ")
    templates = ["{}.", "a photo of {}."]
    normal = ["{}", "a {}", "the {}"]
    abnormal = ["a damaged {}", "a broken {}", "a {} with flaw", "a {} with defect", "a {} with damage"]
    return tuple([t.format(s.format(noun)) for s in states for t in templates] for states in (normal, abnormal))


def load_tokenizer():
    """open_clip's tokenizer.py by itself: the package would import torchvision."""
    root = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("clip_tokenizer", Path(root) / "tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


# ---------------------------------------------------------------------------------------- oracle


def make_oracle(R, cfg, weights, conv_groups, levels):
    class Oracle(R.AcdClip):
        """With what the reference leaves at its defaults: grouped convolutions."""

        def _conv_lora(self, t, i):
            if conv_groups == 1:
                return super()._conv_lora(t, i)
            c, (B, N, _) = self.c, t.shape
            g, outs = math.isqrt(N), []
            for j, k in enumerate(c.conv_kernel_size_list):
                b = f"image_adapter.lora_adapters.{i}.conv_lora_blocks.{j}."
                z = (t @ self.w[b + "lora_A"]).transpose(1, 2).reshape(B, c.lora_rank, g, g)
                for half in ("A", "B"):
                    kernel = self.w[f"{b}conv_lora_{half}.weight"]
                    z = F.conv2d(z, kernel, padding=k // 2, groups=conv_groups)
                z = (z * (c.conv_lora_alpha / c.conv_lora_rank)).reshape(B, c.lora_rank, N).transpose(1, 2)
                outs.append(z @ self.w[b + "lora_B"] * (c.lora_alpha / math.sqrt(c.lora_rank)))
            f = self.w[f"image_adapter.lora_adapters.{i}.fusion_conv.weight"][:, :, 0, 0]
            return F.linear(torch.cat(outs, -1), f)

    if levels is not None:
        cfg.levels = lambda layers: list(levels)
    return Oracle(cfg, weights)


def configs(R, case):
    shared = dict(
        image_size=case.image_size,
        patch_size=case.patch,
        vision_width=case.vision[0],
        vision_layers=case.vision[1],
        text_width=case.text[0],
        text_layers=case.text[1],
        embed_dim=case.text[0],
        pretrain_image_size=case.stored_grid * case.patch,
        quick_gelu=case.quick_gelu,
        n_groups=case.groups,
        conv_lora_rank=case.conv_rank,
        conv_lora_alpha=case.alphas[1],
        conv_kernel_size_list=case.kernels,
        adapter_hidden=case.hidden,
    )
    image = R.Config(**shared, lora_rank=case.rank, lora_alpha=case.alphas[0])
    text = R.Config(**shared, lora_rank=case.text_rank, lora_alpha=case.alphas[2])
    return image, text


@torch.inference_mode()
def run_oracle(R, case, weights, tokens, pixels):
    image_cfg, text_cfg = configs(R, case)
    image = make_oracle(R, image_cfg, weights, case.conv_groups, case.vision_levels)
    text = make_oracle(R, text_cfg, weights, case.conv_groups, case.text_levels)
    features = text.class_embedding(*tokens)
    amap, score, cls = image.predict(pixels, features, case.domain)
    seg, det = image.encode_image(pixels)
    return {
        "text": features,
        "map": amap,
        "score": score,
        "cls": cls,
        "features": det.transpose(0, 1).contiguous(),  # [B, G, E]
        "patches": seg.transpose(0, 1).contiguous(),  # [B, G, N, E]
    }


def build(R, tokenizer, case, folder, library):
    image_cfg, text_cfg = configs(R, case)
    w = make_weights(R, case, image_cfg, text_cfg)
    if case.format.endswith("fp16"):
        w = round_backbone(w, torch.float16)
    if case.format.endswith("bf16"):
        w = round_backbone(w, torch.bfloat16)
    files = write_files(folder, case, w)
    case.pictures = draw_pictures(folder, case, library)
    case.prompts = draw_prompts(case)
    tokens = tuple(tokenizer(list(s)).long() for s in sentences(case.prompts))
    x = torch.stack([read_picture(p, case.image_size, R.IMAGE_MEAN, R.IMAGE_STD) for p in case.pictures])
    single = run_oracle(R, case, w, tokens, x)
    double = run_oracle(R, case, {n: t.double() for n, t in w.items()}, tokens, x.double())
    expected = {f"f64.{n}": t.contiguous() for n, t in double.items()}
    expected |= {f"f32.{n}": t.contiguous() for n, t in single.items()}
    save_file(expected, folder / "expected.safetensors")
    options = dict(
        imageSize=case.image_size,
        quickGelu=case.quick_gelu,
        loraAlpha=case.alphas[0],
        convLoraAlpha=case.alphas[1],
        textLoraAlpha=case.alphas[2],
        **({"visionLevels": case.vision_levels} if case.vision_levels else {}),
        **({"textLevels": case.text_levels} if case.text_levels else {}),
    )
    plan = {
        "files": files,
        "options": options,
        "prompts": case.prompts,
        "pictures": case.pictures,
        "domain": case.domain,
        "tolerance": TOLERANCE,
    }
    (folder / "case.json").write_text(json.dumps(plan, indent=1) + "\n")
    (folder / "drawn.json").write_text(json.dumps(case.__dict__, indent=1, default=str) + "\n")


def describe(c):
    conv = f"{c.conv_rank}" + (f"/{c.conv_groups}" if c.conv_groups > 1 else "")
    own = "L" if c.vision_levels or c.text_levels else " "
    return (
        f"{c.number:3d} {c.format:<17}{c.weights:<9}D{c.vision[0]}x{c.vision[1]:<2} W{c.text[0]}x{c.text[1]:<2} "
        f"p{c.patch:<2} g{c.stored_grid}->{c.grid} G{c.groups}{own} k{','.join(map(str, c.kernels))} r{c.rank} "
        f"c{conv} t{c.text_rank} {'quick' if c.quick_gelu else 'erf'} B{c.batch}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", required=True, type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--count", type=int, default=36)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--node", default="node")
    parser.add_argument("--report", type=Path)
    args = parser.parse_args()
    sys.path.insert(0, str(args.oracle))
    import acd_reference as R

    torch.set_num_threads(2)
    library = []
    if args.pictures:
        library = sorted(p for p in args.pictures.rglob("*") if p.suffix.lower() in PICTURE_TYPES)
    tokenizer = load_tokenizer()
    root = args.out or Path(tempfile.mkdtemp(prefix="acd-held-out-"))
    node = subprocess.Popen(
        [args.node, str(HERE / "compare_held_out.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    rows, failed = [], 0
    for number in [args.only] if args.only is not None else range(args.count):
        case = draw_case(number, args.seed)
        folder = root / f"case-{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        build(R, tokenizer, case, folder, library)
        node.stdin.write(str(folder) + "\n")
        node.stdin.flush()
        answer = json.loads(node.stdout.readline() or '{"error": "the comparing process ended"}')
        rows.append({"case": case.__dict__, **answer})
        verdict = answer.get("error") or answer["verdict"]
        failed += verdict not in ("ok", "f32")
        figures = "  ".join(
            f"{n} {e['ours64']:.1e} ({e['plain64']:.1e})" for n, e in answer.get("errors", {}).items()
        )
        spread = f"spread {answer['mapSpread']:.2f}  " if "mapSpread" in answer else ""
        print(f"{describe(case)}\n      {verdict:<6}{spread}{figures}", flush=True)
        if not args.keep and verdict in ("ok", "f32"):
            shutil.rmtree(folder)
    node.stdin.close()
    node.wait()
    worst(rows)
    print(f"{len(rows)} cases, {failed} failed" + (f"; failed cases are in {root}" if failed else ""))
    if args.report:
        args.report.write_text(json.dumps(rows, indent=1, default=str) + "\n")
    if not args.keep and not failed and not args.out:
        shutil.rmtree(root)
    return 1 if failed else 0


def worst(rows):
    names = ("map", "mapRelative", "score", "cls", "text", "features", "patches")
    print("\nworst of all cases: ours against float64 (plain float32 PyTorch against float64)")
    for n in names:
        found = [(r["errors"][n]["ours64"], r["errors"][n]["plain64"], r["case"]["number"]) for r in rows if "errors" in r]
        if found:
            ours, plain, number = max(found)
            print(f"  {n:<12}{ours:.2e} ({plain:.2e}) in case {number}; plain's worst {max(f[1] for f in found):.2e}")


if __name__ == "__main__":
    sys.exit(main())
