"""Photographed textures from Debian's own archive, as scenes for the generator's defects.

    python scripts/starter/photographs.py DIR     fetches the package, writes DIR/textures.npz

Only even textures are kept: a picture whose parts differ from one another is no sample of an intact
surface. The package and its licences are in PACKAGES; its /usr/share/doc/PACKAGE/copyright has the
author of every file.
"""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np

PACKAGES = {"supertuxkart-data": "CC-BY-SA 3.0 and 4.0, CC-BY 3.0, CC0, GPL 3+, public domain"}
SIDE = 384  # the shorter side that is kept


def is_even(rgb):
    """Whether 4 x 4 parts of [H, W, 3] resemble one another, and the whole is neither flat nor a normal map."""
    x = rgb.astype(np.float32) / 255
    h, w = (n // 4 * 4 for n in x.shape[:2])
    parts = x[:h, :w].reshape(4, h // 4, 4, w // 4, 3)
    between = parts.mean((1, 3)).std((0, 1)).mean()
    within = parts.std((1, 3))
    normal_map = x[..., 2].mean() > 0.85 and x[..., :2].mean() < 0.65
    return within.mean() > 0.012 and between < 0.45 * within.mean() and within.std((0, 1)).mean() < 0.3 * within.mean() and not normal_map


def textures(root):
    from PIL import Image

    seen = set()
    for path in sorted(p for p in Path(root).rglob("*") if p.suffix in (".jpg", ".png")):
        try:
            image = Image.open(path)
            if min(image.size) < 256 or max(image.size) > 4096:
                continue
            rgba = np.asarray(image.convert("RGBA"))
        except OSError:
            continue
        if rgba[..., 3].min() < 250:
            continue
        scale = max(1.0, min(image.size) / SIDE)
        small = image.convert("RGB").resize([round(n / scale) for n in image.size], Image.Resampling.LANCZOS)
        rgb = np.asarray(small)[: 2 * SIDE, : 2 * SIDE]
        key = rgb[::16, ::16].tobytes()
        if key not in seen and is_even(rgb):
            seen.add(key)
            yield rgb


def jpeg(rgb):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=95, subsampling=0)
    return np.frombuffer(file.getvalue(), np.uint8)


class Photographs:
    """Crops of the kept textures."""

    def __init__(self, path):
        from PIL import Image

        with np.load(path) as data:
            self.all = [np.asarray(Image.open(io.BytesIO(data[k].tobytes()))) for k in data.files]

    def crops(self, rng, count, size):
        """[count, size, size, 3] uint8: a random square of a random texture, turned and resized."""
        from PIL import Image

        out = np.empty((count, size, size, 3), np.uint8)
        for i in range(count):
            of = self.all[rng.integers(len(self.all))]
            side = int(min(of.shape[:2]) * rng.uniform(0.45, 1))
            y, x = (rng.integers(n - side + 1) for n in of.shape[:2])
            cut = Image.fromarray(np.rot90(of[y : y + side, x : x + side], rng.integers(4)))
            out[i] = np.asarray(cut.resize((size, size), Image.Resampling.BICUBIC))
        return out


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
        archive = next(folder.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", archive.name, package], cwd=folder, check=True)
    kept = [jpeg(rgb) for package in PACKAGES for rgb in textures(folder / package)]
    np.savez(folder / "textures.npz", *kept)
    print(f"{len(kept)} textures")


if __name__ == "__main__":
    main(sys.argv[1])
