"""Deterministic synthetic tensors ("synth-v1") in NumPy; the same values as bench/lib/synth.mjs.

Element i of the tensor `name`, everything after the hash in float32:

    x   = fmix32((i * 0x9E3779B9 + (fnv1a32(name) ^ seed)) mod 2**32)
    u   = (x >> 8) * 2**-24
    val = offset + scale * (2 u - 1)
"""

import math

import numpy as np


def fnv1a32(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) % 2**32
    return value


def uniform(name, shape, seed, scale, offset=0.0):
    """float32 in [offset - scale, offset + scale)."""
    start = np.uint32(fnv1a32(name) ^ (seed & 0xFFFFFFFF))
    # uint32 arrays wrap around without a warning
    x = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(0x9E3779B9) + start
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    x ^= x >> np.uint32(16)
    u = (x >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    centred = np.float32(2) * u - np.float32(1)
    return (np.float32(offset) + np.float32(scale) * centred).reshape(shape)


def recipe(name, shape):
    """Scale and offset of a parameter of CLIP or of an adapter."""
    leaf = name.rpartition(".")[2]
    if "ln_" in name or "layer_norms" in name:
        return (0.25, 1.0) if leaf == "weight" else (0.1, 0.0)
    if leaf == "i_w":
        return 0.1, 0.2
    if "bias" in leaf:
        return 0.05, 0.0
    if leaf in ("class_embedding", "positional_embedding") or name.endswith("token_embedding.weight"):
        return 0.2, 0.0
    fan_in = shape[0] if leaf in ("lora_A", "lora_B") else math.prod(shape[1:])
    return float(np.float32(math.sqrt(3.0 / fan_in))), 0.0


def parameter(name, shape, seed):
    scale, offset = recipe(name, shape)
    return uniform(name, shape, seed, scale, offset)
