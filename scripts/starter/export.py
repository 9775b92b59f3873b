"""Writes a training run's averaged weights as the package's bundle, in half precision, and its sha256.

    python scripts/starter/export.py --run DIR [--out assets/starter.safetensors]

The token embedding is not in the file: metadata names the seed that it is computed from.
"""

import argparse
import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from model import CONFIG, TOKEN_SEED

ROOT = Path(__file__).resolve().parents[2]


def main():
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--run", type=Path, required=True, help="folder of train.py")
    p.add_argument("--out", type=Path, default=ROOT / "assets" / "starter.safetensors")
    o = p.parse_args()
    kept = torch.load(o.run / "latest.pt", map_location="cpu")
    tensors = {n: t.half().contiguous() for n, t in kept["average"].items()}
    worst = max(float(t.abs().max()) for t in tensors.values())
    if not worst < 60_000:
        raise SystemExit(f"a weight of {worst} does not fit half precision")
    metadata = {
        "acd.token_embedding_seed": str(TOKEN_SEED),
        "acd.image_size": str(CONFIG["imageSize"]),
        "acd.quick_gelu": "false",
    }
    save_file(tensors, o.out, metadata)
    digest = hashlib.sha256(o.out.read_bytes()).hexdigest()
    o.out.with_suffix(".sha256").write_text(f"{digest}  {o.out.name}\n")
    print(f"{o.out.name}: step {kept['step']}, {o.out.stat().st_size / 1e6:.1f} MB, sha256 {digest}")


if __name__ == "__main__":
    main()
