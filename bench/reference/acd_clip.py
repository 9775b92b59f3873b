"""ACD-CLIP in PyTorch as its published implementation runs it: the peer that the package is timed against.

Written from the architecture's description. `attention="published"` keeps the published way through
`nn.MultiheadAttention` with `need_weights=True`, sequence first, which writes the tokens x tokens
weights of every head and averages them. `attention="sdpa"` is the same model over
`F.scaled_dot_product_attention`: plain PyTorch at its best on the same graph. `attention="onnx"` is that
for export: onnxruntime's fused attention as one node. All run with the adapters unfolded (LoRA
up-projection, concatenation, 1 x 1 fusion convolution), the heads one by one, every group blurred and
upsampled by itself, and the text at its full 77 tokens. Weights are float32; `towers_to` changes those of
the vision tower and its adapters, whose results are taken up in float32.

Parameter names are those of the checkpoints, so a state dict loads as it is.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

BLUR = {"industrial": (7, 1.0), "medical": (9, 1.5)}
CLS_WEIGHT = {"industrial": 0.9, "medical": 0.5}


class PublishedAttention(nn.MultiheadAttention):
    def forward(self, x, mask=None):  # [T, B, D]
        return super().forward(x, x, x, need_weights=True, attn_mask=mask)[0]


class SdpaAttention(nn.MultiheadAttention):
    def forward(self, x, mask=None):
        T, B, D = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(T, B, 3, self.num_heads, D // self.num_heads).permute(2, 1, 3, 0, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=mask is not None)
        return self.out_proj(out.permute(2, 0, 1, 3).reshape(T, B, D))


class OnnxAttention(nn.MultiheadAttention):
    """Only to be exported: onnxruntime fuses softmax(q k^T) v in this node, and in no other as well."""

    def forward(self, x, mask=None):
        qkv = F.linear(x.transpose(0, 1), self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.chunk(3, dim=-1)
        out = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (q, k, v),
            attrs={"num_heads": self.num_heads},
            dtype=q.dtype,
            shape=q.shape,
            version=1,
        )
        return self.out_proj(out.transpose(0, 1))


ATTENTION = {"published": PublishedAttention, "sdpa": SdpaAttention, "onnx": OnnxAttention}


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    def __init__(self, width, quick_gelu):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = QuickGelu() if quick_gelu else nn.GELU()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads, attention, quick_gelu):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = ATTENTION[attention](width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, quick_gelu)

    def forward(self, x, mask=None):
        x = x + self.attn(self.ln_1(x), mask)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width, layers, attention, quick_gelu):
        super().__init__()
        blocks = (Block(width, width // 64, attention, quick_gelu) for _ in range(layers))
        self.resblocks = nn.ModuleList(blocks)


class Vision(nn.Module):
    def __init__(self, c, attention):
        super().__init__()
        D, p, g = c["visionWidth"], c["patchSize"], c["pretrainGrid"]
        self.class_embedding = nn.Parameter(torch.empty(D))
        self.positional_embedding = nn.Parameter(torch.empty(1 + g * g, D))
        self.conv1 = nn.Conv2d(3, D, p, p, bias=False)
        self.ln_pre = nn.LayerNorm(D)
        self.transformer = Transformer(D, c["visionLayers"], attention, c.get("quickGelu", False))

    @torch.no_grad()
    def resize_positions(self, grid):
        """Once after loading, as the published code does."""
        cls, pos = self.positional_embedding[:1], self.positional_embedding[1:]
        old = math.isqrt(len(pos))
        if old == grid:
            return
        pos = pos.view(1, old, old, -1).permute(0, 3, 1, 2)
        pos = F.interpolate(pos, size=(grid, grid), mode="bicubic", antialias=True, align_corners=False)
        pos = pos.permute(0, 2, 3, 1).reshape(grid * grid, -1)
        self.positional_embedding = nn.Parameter(torch.cat([cls, pos]))

    def embed(self, images):  # -> [T, B, D]
        x = self.conv1(images).flatten(2).transpose(1, 2)
        cls = self.class_embedding.expand(len(x), 1, -1)
        x = torch.cat([cls, x], dim=1) + self.positional_embedding
        return self.ln_pre(x).transpose(0, 1)


def blend(x, a, mix):
    """The adapter's output at the norm of x, mixed in channel by channel."""
    a = a * x.norm(dim=-1, keepdim=True) / a.norm(dim=-1, keepdim=True)
    return (1 - mix) * x + mix * a


class AddWeight(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.i_w = nn.Parameter(torch.empty(1, 1, width))

    def forward(self, x, a):
        return blend(x, a, self.i_w)


class Lora(nn.Module):
    def __init__(self, width, rank, alpha):
        super().__init__()
        self.lora_A = nn.Parameter(torch.empty(width, rank))
        self.lora_B = nn.Parameter(torch.empty(rank, width))
        self.scale = alpha / math.sqrt(rank)

    def forward(self, x):
        return x @ self.lora_A @ self.lora_B * self.scale


class ConvLora(nn.Module):
    def __init__(self, c, kernel):
        super().__init__()
        D, r, cr, groups = c["visionWidth"], c["loraRank"], c["convLoraRank"], c["convGroups"]
        self.lora_A = nn.Parameter(torch.empty(D, r))
        self.lora_B = nn.Parameter(torch.empty(r, D))
        self.conv_lora_A = nn.Conv2d(r, cr, kernel, padding=kernel // 2, bias=False, groups=groups)
        self.conv_lora_B = nn.Conv2d(cr, r, kernel, padding=kernel // 2, bias=False, groups=groups)
        self.scale = c.get("loraAlpha", 2.0) / math.sqrt(r)
        self.conv_scale = c.get("convLoraAlpha", 2.0) / cr

    def forward(self, t):  # [B, N, D]
        B, N, _ = t.shape
        g = math.isqrt(N)
        z = (t @ self.lora_A).transpose(1, 2).reshape(B, -1, g, g)
        z = self.conv_lora_B(self.conv_lora_A(z)) * self.conv_scale
        return z.flatten(2).transpose(1, 2) @ self.lora_B * self.scale


class ConvLoraAdapter(nn.Module):
    def __init__(self, c):
        super().__init__()
        D, kernels = c["visionWidth"], c["kernelSizes"]
        self.conv_lora_blocks = nn.ModuleList(ConvLora(c, k) for k in kernels)
        self.fusion_conv = nn.Conv2d(D * len(kernels), D, 1, bias=False)

    def forward(self, t):
        B, N, D = t.shape
        g = math.isqrt(N)
        parts = [block(t).transpose(1, 2).reshape(B, D, g, g) for block in self.conv_lora_blocks]
        return self.fusion_conv(torch.cat(parts, dim=1)).flatten(2).transpose(1, 2)


class Projection(nn.Module):
    def __init__(self, width, hidden, out):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, out))

    def forward(self, x):
        return self.fc(x)


class ImageAdapter(nn.Module):
    def __init__(self, c):
        super().__init__()
        D, E, H, G = c["visionWidth"], c["embedDim"], c["adapterHidden"], c["groups"]
        self.m_i_w = nn.ModuleList(AddWeight(D) for _ in range(G))
        self.lora_adapters = nn.ModuleList(ConvLoraAdapter(c) for _ in range(G))
        self.seg_proj = nn.ModuleList(Projection(D, H, E) for _ in range(G))
        self.det_proj = nn.ModuleList(Projection(D, H, E) for _ in range(G))
        self.seg_layer_norms = nn.ModuleList(nn.LayerNorm(E) for _ in range(G))
        self.det_layer_norms = nn.ModuleList(nn.LayerNorm(E) for _ in range(G))
        gates = (nn.Sequential(nn.Linear(E, H), nn.GELU(), nn.Linear(H, 2 * G)) for _ in range(G))
        self.vision_text_gate = nn.ModuleList(gates)


class TextAdapter(nn.Module):
    def __init__(self, c):
        super().__init__()
        W, G, rank = c["textWidth"], c["groups"], c["textLoraRank"]
        self.m_t_w = nn.ModuleList(AddWeight(W) for _ in range(G))
        self.lora_adapters = nn.ModuleList(Lora(W, rank, c.get("textLoraAlpha", 2.0)) for _ in range(G))
        self.layer_norms = nn.ModuleList(nn.LayerNorm(W) for _ in range(G))


class AcdClip(nn.Module):
    """`c`: the sizes, by the names of the package's ModelConfig."""

    def __init__(self, c, attention="published"):
        super().__init__()
        self.c, W = c, c["textWidth"]
        self.visual = Vision(c, attention)
        self.token_embedding = nn.Embedding(c["vocabSize"], W)
        self.positional_embedding = nn.Parameter(torch.empty(c["contextLength"], W))
        self.transformer = Transformer(W, c["textLayers"], attention, c.get("quickGelu", False))
        self.image_adapter = ImageAdapter(c)
        self.text_adapter = TextAdapter(c)

    @classmethod
    def load(cls, c, state, attention):
        """Takes the state's tensors as the parameters, without a copy."""
        with torch.device("meta"):
            model = cls(c, attention)
        model.load_state_dict(state, assign=True)
        model.visual.resize_positions(c["imageSize"] // c["patchSize"])
        return model.eval().requires_grad_(False)

    def towers_to(self, dtype):
        """The vision tower and all of its adapter but the gates, which see a single token."""
        self.visual.to(dtype)
        for name, part in self.image_adapter.named_children():
            if name != "vision_text_gate":
                part.to(dtype)
        return self

    def encode_text(self, tokens):  # [P, 77] -> [G, P, W]
        c, adapter = self.c, self.text_adapter
        x = (self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]).transpose(0, 1)
        mask = torch.full((len(x), len(x)), float("-inf")).triu_(1)
        rows, eot, every = torch.arange(len(tokens), device=tokens.device), tokens.argmax(-1), c["textLayers"] // c["groups"]
        out = []
        for layer, block in enumerate(self.transformer.resblocks):
            x = block(x, mask)
            if (layer + 1) % every == 0:
                i = layer // every
                x = adapter.m_t_w[i](x, adapter.lora_adapters[i](x))
                out.append(adapter.layer_norms[i](x.transpose(0, 1))[rows, eot])
        return torch.stack(out)

    def class_features(self, normal, abnormal):  # -> [G, W, 2]
        columns = []
        for tokens in (normal, abnormal):
            f = F.normalize(self.encode_text(tokens), dim=-1).mean(1)
            columns.append(F.normalize(f, dim=-1))
        return torch.stack(columns, dim=-1)

    def encode_image(self, images):  # -> G seg [B, N, E], G det [B, E]
        c, adapter = self.c, self.image_adapter
        x = self.visual.embed(images.to(self.visual.conv1.weight.dtype))
        every, seg, det = c["visionLayers"] // c["groups"], [], []
        for layer, block in enumerate(self.visual.transformer.resblocks):
            x = block(x)
            if (layer + 1) % every == 0:
                i = layer // every
                tokens = x.transpose(0, 1)
                t = adapter.m_i_w[i](tokens[:, 1:], adapter.lora_adapters[i](tokens[:, 1:]))
                x = torch.cat([tokens[:, :1], t], dim=1).transpose(0, 1)
                s = adapter.seg_layer_norms[i](adapter.seg_proj[i](t)).float()
                d = adapter.det_layer_norms[i](adapter.det_proj[i](t)).float()
                seg.append(F.normalize(s, dim=-1))
                det.append(F.normalize(d, dim=-1).mean(1))
        return seg, det

    def fused_text(self, seg, text, i):  # -> [B, E, 2]
        gate = self.image_adapter.vision_text_gate[i](seg.mean(1))
        gate = gate.view(len(seg), -1, 2).softmax(1)
        return torch.einsum("bgc,gec->bec", gate, text)

    def forward(self, images, text, domain="industrial"):
        """Normalised images [B, 3, S, S], text [G, E, 2] -> maps [B, S, S], scores [B]."""
        seg, det = self.encode_image(images)
        B, N, _ = seg[0].shape
        g, S, maps = math.isqrt(N), images.shape[-1], []
        for i, tokens in enumerate(seg):
            logits = 10.0 * tokens @ self.fused_text(tokens, text, i)
            logits = gaussian_blur(logits.transpose(1, 2).reshape(B, 2, g, g), *BLUR[domain])
            maps.append(F.interpolate(logits, size=(S, S), mode="bilinear", align_corners=True))
        amap = torch.stack(maps).mean(0).softmax(1)[:, 1]
        cls = torch.stack([d @ t for d, t in zip(det, text)]).mean(0).softmax(-1)[:, 1]
        k = CLS_WEIGHT[domain]
        return amap, k * cls + (1 - k) * amap.flatten(1).amax(1)


def gaussian_blur(x, taps, sigma):
    """Separable, border reflected without repeating the edge."""
    at = torch.arange(taps, dtype=x.dtype, device=x.device) - taps // 2
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    weights, channels = weights / weights.sum(), x.shape[1]
    x = F.pad(x, [taps // 2] * 4, mode="reflect")
    x = F.conv2d(x, weights.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(x, weights.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)
