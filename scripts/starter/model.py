"""The starter model: ACD-CLIP, small, in the form that trains fast.

Parameters, names and mathematics are those of bench/reference/acd_clip.py; the forward pass here is
batch first, folds each adapter's up-projections and fusion convolution into one matrix, computes only
what the loss needs, and leaves matrix products to autocast.
"""

import math
import sys
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "reference"))
import synth  # noqa: E402
from acd_clip import AcdClip, blend  # noqa: E402

CONFIG = {
    "imageSize": 252,
    "patchSize": 9,
    "pretrainGrid": 28,
    "visionWidth": 256,
    "visionLayers": 6,
    "textWidth": 128,
    "textLayers": 3,
    "embedDim": 128,
    "vocabSize": 49408,
    "contextLength": 77,
    "groups": 3,
    "loraRank": 16,
    "convLoraRank": 8,
    "convGroups": 1,
    "textLoraRank": 16,
    "kernelSizes": [3, 5],
    "adapterHidden": 256,
}
TOKEN_SEED = 1
LIKENESS = (0.3, 0.9)  # how sharply the first and the last head begin to tell patches apart: the factor of their inner products
DIFFERENCE = 0.5  # share of the like patches' mean that attention begins by taking away
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


def sine_positions(grid, width):
    """[1 + grid * grid, width]: a sine and cosine start for the position table, which then learns."""
    rates = 100.0 ** (-torch.arange(width // 4) / (width // 4))
    at = torch.arange(grid)[:, None] * rates
    waves = torch.cat([at.sin(), at.cos()], dim=1)
    rows, columns = waves[:, None].expand(-1, grid, -1), waves[None].expand(grid, -1, -1)
    table = torch.cat([rows, columns], dim=-1).reshape(grid * grid, width)
    return 0.5 * torch.cat([torch.zeros(1, width), table])


LIGHT, COLOUR = 81, 32  # cosines of a patch that the model starts with: of lightness, of each of two opponent colours
# Lightness and two opponent colours of (red, green, blue).
CHANNELS = ((1 / 3, 1 / 3, 1 / 3), (1.0, -1.0, 0.0), (0.5, 0.5, -1.0))


def cosines(patch):
    """[LIGHT + 2 * COLOUR, 3, patch, patch]: the cosine transform's lowest frequencies of a patch, in each of CHANNELS."""
    at = (torch.arange(patch) + 0.5) * math.pi / patch
    waves = torch.stack([(k * at).cos() / math.sqrt(patch / (1 if k == 0 else 2)) for k in range(patch)])
    pairs = sorted(((u, v) for u in range(patch) for v in range(patch)), key=lambda k: (k[0] ** 2 + k[1] ** 2, k))
    planes = torch.stack([waves[u][:, None] * waves[v][None] for u, v in pairs])
    counts = (LIGHT, COLOUR, COLOUR)
    return torch.cat([torch.tensor(c).view(1, 3, 1, 1) * planes[:n, None] for c, n in zip(CHANNELS, counts)])


def by_region(function):
    """The function, compiled: once for all layers, as their parameters are arguments."""
    return torch.compile(function, dynamic=False)


class StarterModel(AcdClip):
    def __init__(self, config=None, seed=0, compiled=False):
        c = dict(CONFIG if config is None else config)
        super().__init__(c, attention="sdpa")
        compile_it = by_region if compiled else lambda f: f
        self.block_of, self.adapted = compile_it(block), compile_it(adapted)
        self.heads = compile_it(heads)
        torch.manual_seed(seed)
        self.reset()
        # The token table is not learned: any prompt works, and the file holds a seed in its place.
        table = synth.uniform("token_embedding.weight", (c["vocabSize"], c["textWidth"]), TOKEN_SEED, 0.2)
        self.token_embedding.weight = torch.nn.Parameter(torch.from_numpy(table), requires_grad=False)

    @torch.no_grad()
    def reset(self):
        c = self.c
        for name, p in self.named_parameters():
            leaf = name.rpartition(".")[2]
            if leaf == "i_w":
                p.fill_(0.2)
            elif leaf == "lora_B":
                p.normal_(std=0.02)
            elif leaf == "lora_A":
                torch.nn.init.kaiming_uniform_(p)
            elif "conv_lora" in name:
                torch.nn.init.kaiming_uniform_(p)
            elif leaf in ("class_embedding", "positional_embedding"):
                p.normal_(std=0.02)
            elif ".transformer." in f".{name}" and p.ndim == 2:
                torch.nn.init.trunc_normal_(p, std=p.shape[1] ** -0.5)
            elif leaf in ("in_proj_bias",) or (".transformer." in f".{name}" and leaf == "bias" and "ln_" not in name):
                p.zero_()
        self.visual.positional_embedding.copy_(sine_positions(c["pretrainGrid"], c["visionWidth"]))
        for b in self.visual.transformer.resblocks:
            self.start_by_comparing(b)

    @staticmethod
    def start_by_comparing(b):
        """A block's attention takes from every patch part of what patches like it have: what is left is what sets it apart.

        Queries equal keys in each head's own 64 directions, so that likeness is an inner product, sharper from
        head to head; values and output undo each other but for the sign.
        """
        D = b.ln_1.weight.numel()
        directions = torch.nn.init.orthogonal_(torch.empty(D, D)).view(D // 64, 64, D)
        sharp = torch.linspace(LIKENESS[0], LIKENESS[1], D // 64).sqrt().view(-1, 1, 1)
        q, k, v = b.attn.in_proj_weight.mul_(0.3).view(3, D // 64, 64, D)
        q.add_(sharp * directions)
        k.add_(sharp * directions)
        v.add_(directions)
        b.attn.out_proj.weight.mul_(0.3).sub_(DIFFERENCE * directions.reshape(D, D).t())

    def start_with_patches(self, amplitudes):
        """Patches begin as cosines over their usual amplitudes [LIGHT + 2 * COLOUR]; the other dimensions begin empty."""
        with torch.no_grad():
            w = self.visual.conv1.weight
            w.mul_(0.05)
            w[: len(amplitudes)] = (cosines(w.shape[-1]) / amplitudes.view(-1, 1, 1, 1)).to(w)

    # -- towers

    def positions(self, grid, at):
        """[1 or B, 1 + grid * grid, D]: of a whole picture, or of windows whose first patches are at [B, 2] (row, column)."""
        pos, whole = self.visual.positional_embedding, self.c["pretrainGrid"]
        if at is None:
            if grid != whole:
                raise ValueError(f"a picture of {grid} x {grid} patches where the model has {whole} x {whole}")
            return pos[None]
        rows, columns = (at[:, i, None] + torch.arange(grid, device=at.device) for i in (0, 1))
        cells = (rows[:, :, None] * whole + columns[:, None]).flatten(1)
        return torch.cat([pos[:1].expand(len(at), 1, -1), pos[1:][cells]], dim=1)

    def encode_image(self, images, at=None):
        """Normalised pictures [B, 3, S, S], or windows of them from patches `at` [B, 2] on -> seg [G][B, N, E], det [G][B, E]."""
        v, a = self.visual, self.image_adapter
        B, p, g = len(images), self.c["patchSize"], images.shape[-1] // self.c["patchSize"]
        x = images.view(B, 3, g, p, g, p).permute(0, 2, 4, 1, 3, 5).reshape(B, g * g, 3 * p * p)
        x = F.linear(x, v.conv1.weight.flatten(1))
        x = torch.cat([v.class_embedding.expand(B, 1, -1), x], dim=1) + self.positions(g, at)
        x = v.ln_pre(x.float())
        every, seg, det = self.c["visionLayers"] // self.c["groups"], [], []
        for layer, b in enumerate(v.transformer.resblocks):
            x = self.block_of(b, x)
            if (layer + 1) % every == 0:
                i = layer // every
                # A row: some releases of the compiler lose the shape of its gradient otherwise.
                t = self.adapted(a.lora_adapters[i], a.m_i_w[i].i_w.flatten(), x)
                x = torch.cat([x[:, :1], t], dim=1)
                s, d = self.heads(a.seg_proj[i], a.seg_layer_norms[i], a.det_proj[i], a.det_layer_norms[i], t)
                seg.append(s)
                det.append(d)
        return seg, det

    def encode_text(self, tokens):
        """[P, L] -> [G, P, W]: each group's adapted feature at the end-of-text token."""
        a = self.text_adapter
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        rows, eot = torch.arange(len(tokens), device=tokens.device), tokens.argmax(-1)
        every, out = self.c["textLayers"] // self.c["groups"], []
        for layer, b in enumerate(self.transformer.resblocks):
            x = block(b, x, causal=True)
            if (layer + 1) % every == 0:
                i = layer // every
                x = blend(x, a.lora_adapters[i](x).float(), a.m_t_w[i].i_w)
                out.append(a.layer_norms[i](x[rows, eot]))
        return torch.stack(out)

    # -- scores

    def text_features(self, tokens, owner, classes):
        """Sentences [P, L] with owner[p] = 2 * class + (1: abnormal) -> [classes, G, W, 2]."""
        f = F.normalize(self.encode_text(tokens).float(), dim=-1)
        sums = torch.zeros(f.shape[0], 2 * classes, f.shape[2], device=f.device).index_add(1, owner, f)
        return F.normalize(sums, dim=-1).view(f.shape[0], classes, 2, -1).permute(1, 0, 3, 2)

    def logits(self, images, text, at=None):
        """Images [B, 3, S, S], text [B, G, E, 2] -> (patch [B, g, g], image [B]): abnormal minus normal."""
        seg, det = self.encode_image(images, at)
        g, patch, image = math.isqrt(seg[0].shape[1]), 0, 0
        for i, (s, d) in enumerate(zip(seg, det)):
            gate = self.image_adapter.vision_text_gate[i](s.mean(1)).float()
            gate = gate.view(len(s), -1, 2).softmax(1)
            fused = torch.einsum("bgc,bgec->bec", gate, text)
            patch = patch + 10 * (s @ (fused[..., 1] - fused[..., 0]).unsqueeze(-1)).squeeze(-1)
            image = image + (d * (text[:, i, :, 1] - text[:, i, :, 0])).sum(-1)
        return patch.view(-1, g, g) / len(seg), image / len(seg)


def block(b, x, causal=False):
    B, T, D = x.shape
    qkv = F.linear(b.ln_1(x), b.attn.in_proj_weight, b.attn.in_proj_bias)
    q, k, v = qkv.view(B, T, 3, D // 64, 64).permute(2, 0, 3, 1, 4)
    if x.is_cuda:
        a = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    else:
        # Written out: at these lengths PyTorch's fused attention is several times slower backward on a CPU.
        scores = (q @ k.transpose(-1, -2)) * 0.125
        if causal:
            scores = scores + torch.full((T, T), -math.inf, dtype=scores.dtype, device=x.device).triu(1)
        a = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
    x = x + b.attn.out_proj(a.transpose(1, 2).reshape(B, T, D))
    return x + b.mlp(b.ln_2(x))


def adapted(adapter, mix, x):
    """[B, 1 + N, D] -> [B, N, D]; up-projection and fusion of each kernel size are one [r, D] matrix."""
    t = x[:, 1:]
    B, N, D = t.shape
    g, out = math.isqrt(N), 0
    fusion = adapter.fusion_conv.weight[:, :, 0, 0].split(D, dim=1)
    for conv, f in zip(adapter.conv_lora_blocks, fusion):
        z = (t @ conv.lora_A).transpose(1, 2).reshape(B, -1, g, g)
        z = conv.conv_lora_B(conv.conv_lora_A(z)).flatten(2).transpose(1, 2)
        out = out + z @ ((conv.scale * conv.conv_scale) * conv.lora_B @ f.t())
    return blend(t, out.float(), mix)


def heads(seg, seg_norm, det, det_norm, t):
    """[B, N, D] -> segmentation [B, N, E] and, averaged over the patches, detection [B, E]."""
    unit = lambda proj, norm: F.normalize(norm(proj(t).float()), dim=-1)  # noqa: E731
    return unit(seg, seg_norm), unit(det, det_norm).mean(1)


def blurred(logits):
    """[B, g, g] -> the same under the industrial blur that detection applies: 7 taps, sigma 1, borders reflected."""
    taps = torch.exp(-0.5 * torch.arange(-3, 4, device=logits.device).float() ** 2)
    taps = taps / taps.sum()
    z = F.pad(logits[:, None], (3, 3, 3, 3), mode="reflect")
    return F.conv2d(F.conv2d(z, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))[:, 0]


def normalise(rgb):
    """uint8 or 0..1 float [B, 3, S, S] -> the model's input."""
    x = rgb.float() / 255 if rgb.dtype == torch.uint8 else rgb
    mean, std = constants(x.device)
    return (x - mean) / std


@lru_cache
def constants(device):
    return [torch.tensor(v, device=device).view(3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD)]
