"""What is done to training pictures between the generator and the model, on the device that trains.

Every pair is a picture with a defect and its twin without. `Draw` draws for each pair by itself. Beside the
generator's own pictures there are composed scenes (shapes, filled with parts of other pictures), defects
taken over to another scene, and defects that belong to no kind: so that what the model learns is to find
what differs from the rest, not a list of things and of damage.
"""

import math
import random

import numpy as np
import torch
import torch.nn.functional as F

# What a pair shows: (the scene, its defect), and the share of the pairs.
OWN, BLOB, TRANSPLANTED, COMPOSED_BLOB, COMPOSED_TRANSPLANTED = range(5)
ROUTES = (0.52, 0.16, 0.08, 0.14, 0.10)
LEAST = 24  # pixels of a defect: with fewer the pair stays the generator's own
VISIBLE = 0.04  # change of a channel, of 0..1, from which a pixel counts as damaged


class Draw:
    """Random numbers for n pairs on `device`; `host` gives those that one number for all of them is enough for."""

    def __init__(self, seed, n, device):
        self.n, self.device = n, device
        self.host = random.Random(seed)
        self.generator = torch.Generator(device).manual_seed(seed)

    def of(self, n):
        """A draw of its own for n pairs."""
        return Draw(self.host.getrandbits(48), n, self.device)

    def uniform(self, low, high, *shape):
        return torch.empty(self.n, *shape, device=self.device).uniform_(low, high, generator=self.generator)

    def normal(self, *shape):
        return torch.randn(self.n, *shape, device=self.device, generator=self.generator)

    def chance(self, share, *shape):
        return self.uniform(0, 1, *shape) < share

    def pick(self, count):
        """[n] of 0 .. count - 1"""
        return self.uniform(0, count).long().clamp(max=count - 1)


def rows_of(route):
    """[n] -> the pairs whose scene is composed, or another's, and whose defect is transplanted, or a blob or line."""
    of = lambda *kinds: np.flatnonzero(np.isin(route, kinds))  # noqa: E731
    return {
        "composed": of(COMPOSED_BLOB, COMPOSED_TRANSPLANTED),
        "moved": of(TRANSPLANTED),
        "transplanted": of(TRANSPLANTED, COMPOSED_TRANSPLANTED),
        "blob": of(BLOB, COMPOSED_BLOB),
    }


def augmented(pair, mask, rows, others, draw):
    """The generator's pairs, uint8 [n, 2, S, S, 3] and mask [n, S, S], by their routes (`rows` is of rows_of, as tensors),
    with what `others` [n] point to for a scene or a filling -> 0..1 [n, 2, 3, S, S] and bool [n, S, S]. Nothing here
    waits for the device."""
    pair = pair.permute(0, 1, 4, 2, 3).float() / 255
    mask = mask > 0
    clean = pair[:, 1]
    scene = clean.clone()
    k = rows["moved"]
    scene[k] = clean[others[k]]
    if len(k := rows["composed"]):
        scene[k] = compose(clean[k], clean[others[k]], draw.of(len(k)))
    damaged, found = pair[:, 0].clone(), mask.clone()
    if len(k := rows["transplanted"]):
        damaged[k], found[k] = transplant(pair[k], mask[k], scene[k], draw.of(len(k)))
    if len(k := rows["blob"]):
        damaged[k], found[k] = blobs(scene[k], clean[others[k]], draw.of(len(k)))
    shows = found.flatten(1).sum(1) >= LEAST
    choose = lambda a, b: torch.where(shows.view(-1, *[1] * (a.dim() - 1)), a, b)  # noqa: E731
    out = choose(torch.stack([damaged, scene], 1), pair)
    mask = choose(found, mask)
    return moved_about(uneven_light(out, draw), mask, draw)


# ------------------------------------------------------------------- defects


def transplant(pair, mask, scene, draw):
    """What a defect changed in its own picture, done to another: [n, 3, S, S], mask."""
    gain = draw.uniform(0.7, 1.3, 1, 1, 1) * torch.where(draw.chance(0.2, 1, 1, 1), -1.0, 1.0)
    out = (scene + gain * (pair[:, 0] - pair[:, 1])).clamp(0, 1)
    return out, mask & differs(out, scene)


def blobs(scene, others, draw):
    """Blobs and lines filled with something else: parts of another picture, the same recoloured, moved, bent, blurred,
    lighter or darker, or one colour. [n, 3, S, S], mask."""
    size = scene.shape[-1]
    where = smooth_noise(draw, size)
    # A blob is where the field is near its maximum: its size is drawn, its shape is the field's.
    levels = where[:, 0, ::4, ::4].flatten(1).sort(1).values
    count = levels.shape[1]

    def level(low, high):
        """A drawn quantile of each pair's field: [n, 1, 1, 1]."""
        at = (draw.uniform(low, high, 1) * count).long().clamp(max=count - 1)
        return levels.gather(1, at).view(-1, 1, 1, 1)

    alpha = ((where - level(0.86, 0.996)) / draw.uniform(0.02, 0.22, 1, 1, 1)).clamp(0, 1)
    # A line is where a second field passes a level, inside a wider blob.
    second = smooth_noise(draw, size)
    line = (1.6 - (second - draw.uniform(-0.5, 0.5, 1, 1, 1)).abs() / draw.uniform(0.015, 0.07, 1, 1, 1)).clamp(0, 1)
    line = line * ((where - level(0.7, 0.95)) / 0.1).clamp(0, 1)
    alpha = torch.where(draw.chance(0.3, 1, 1, 1), line, alpha) * draw.uniform(0.35, 1, 1, 1, 1)
    gain, shift = draw.uniform(0.6, 1.4, 3, 1, 1), draw.uniform(-0.25, 0.25, 1, 1, 1)
    bent = torch.cat([smooth_noise(draw, size), smooth_noise(draw, size)], 1) * draw.uniform(0.03, 0.15, 1, 1, 1)
    bent = torch.where(draw.chance(0.5, 1, 1, 1), bent, draw.uniform(-0.4, 0.4, 2, 1, 1).expand_as(bent))
    light = torch.where(draw.chance(0.5, 1, 1, 1), draw.uniform(0.3, 0.8, 1, 1, 1), draw.uniform(1.2, 1.8, 1, 1, 1))
    fillings = torch.stack([
        others.roll((size // 3, size // 4), (2, 3)),
        scene.flip(3) * gain + shift,
        F.grid_sample(scene, plane(size, scene.device) + bent.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False),
        F.avg_pool2d(F.pad(scene, (6, 6, 6, 6), mode="reflect"), 13, 1),
        scene * light,
        draw.uniform(0, 1, 3, 1, 1).expand_as(scene),
    ], 1)  # fmt: skip
    filling = fillings[torch.arange(draw.n, device=scene.device), draw.pick(fillings.shape[1])].clamp(0, 1)
    out = scene + alpha * (filling - scene)
    return out, differs(out, scene)


def differs(a, b):
    """[n, 3, S, S] twice -> bool [n, S, S]: where they differ by more than a speckle."""
    return F.avg_pool2d((a - b).abs().amax(1), 3, 1, 1) > VISIBLE


# -------------------------------------------------------------------- scenes


def compose(a, b, draw):
    """A scene of shapes: a body on a ground, with a pattern on it; each one colour or part of a picture. [n, 3, S, S]"""
    size = a.shape[-1]
    turn = draw.uniform(0, 2 * math.pi, 1, 1)
    xy = plane(size, a.device)[0]
    x, y = xy[..., 0] - draw.uniform(-0.25, 0.25, 1, 1), xy[..., 1] - draw.uniform(-0.25, 0.25, 1, 1)
    u, v = turn.cos() * x + turn.sin() * y, turn.cos() * y - turn.sin() * x
    r, angle = (u * u + v * v + 1e-6).sqrt(), torch.atan2(v, u)
    s = lambda low, high: draw.uniform(low, high, 1, 1)  # noqa: E731
    # Bodies: a rim with up to six gentle waves, with or without a hole; a rounded box or an oval; none (all is body).
    waves = torch.where(draw.chance(0.6, 1, 1), s(0.02, 0.2), 0.0) * (draw.pick(7).view(-1, 1, 1) * angle).cos()
    wavy = s(0.4, 0.9) * (1 + waves) - r
    wavy = torch.where(draw.chance(0.4, 1, 1), torch.minimum(wavy, r - s(0.05, 0.35)), wavy)
    power = s(2, 8)
    box = 1 - ((u.abs() / s(0.25, 0.95)) ** power + (v.abs() / s(0.25, 0.95)) ** power + 1e-9) ** (1 / power)
    kind = draw.uniform(0, 1, 1, 1)
    body = torch.where(kind < 0.4, wavy, torch.where(kind < 0.75, 0.5 * box, torch.ones_like(box)))
    # Patterns: lattices and stripes, or rings and rays.
    fu, fv = s(5, 45), s(5, 45)
    fv = torch.where(draw.chance(0.3, 1, 1), fu, fv)
    lattice = (fu * u + s(0, 6)).cos() + torch.where(draw.chance(0.3, 1, 1), 0.0, 1.0) * (fv * v + s(0, 6)).cos()
    rays = (draw.pick(30).view(-1, 1, 1) * angle).cos() + torch.where(draw.chance(0.5, 1, 1), 0.0, 1.0) * (s(4, 40) * r).cos()
    pattern = torch.where(draw.chance(0.6, 1, 1), lattice, rays) - s(-0.8, 1.2)
    edge = lambda shape, sharpness: (0.5 + sharpness * shape).clamp(0, 1)[:, None]  # noqa: E731
    inside = edge(body, size / 2 * s(0.3, 1))
    drawn = inside * edge(pattern, s(1, 8)) * torch.where(draw.chance(0.65, 1, 1, 1), draw.uniform(0.3, 1, 1, 1, 1), 0.0)
    # Fillings: pictures turned about, single colours with a slope of light, and for the pattern the body lighter or darker.
    slope = 1 + draw.uniform(-0.3, 0.3, 1, 1, 1) * u[:, None] + draw.uniform(-0.3, 0.3, 1, 1, 1) * v[:, None]
    colour = lambda: draw.uniform(0.05, 0.95, 3, 1, 1) * slope  # noqa: E731
    grey = lambda c: torch.where(draw.chance(0.4, 1, 1, 1), c.mean(1, keepdim=True).expand_as(c), c)  # noqa: E731
    ground = torch.where(draw.chance(0.55, 1, 1, 1), grey(colour()), a)
    material = torch.where(draw.chance(0.5, 1, 1, 1), grey(colour()), b.flip(2))
    ink = torch.where(draw.chance(0.5, 1, 1, 1), material * draw.uniform(0.3, 1.7, 1, 1, 1), grey(colour()))
    # Bodies are rounded: light falls off towards their edges.
    relief = torch.where(draw.chance(0.5, 1, 1), s(0, 0.8), 0.0) * torch.exp(-body.clamp(min=0) / s(0.02, 0.2))
    material, ink = ((1 - relief)[:, None] * m for m in (material, ink))
    out = ground + inside * (material - ground)
    out = out + drawn * (ink - out)
    grain = draw.uniform(0, 0.04, 1, 1, 1) * draw.normal(1, size, size)
    return (out + grain).clamp(0, 1)


# --------------------------------------------------------- light, place, colour


def plane(size, device):
    """[1, S, S, 2] of (x, y), -1..1 from edge to edge, as grid_sample counts."""
    at = (torch.arange(size, device=device) + 0.5) * (2 / size) - 1
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)[None]


def smooth_noise(draw, size):
    """[n, 1, S, S] in about -1..1: noise of two octaves; every pair has one of three scales."""
    start, fields = draw.host.randint(0, 2), []
    for cells in (2 + start, 4 + start, 7 + 2 * start):
        total = 0
        for octave in (1, 2):
            low = draw.normal(1, cells * octave, cells * octave)
            total = total + F.interpolate(low, size=(size, size), mode="bicubic", align_corners=True) / octave
        fields.append(total / 1.5)
    return torch.stack(fields, 1)[torch.arange(draw.n, device=draw.device), draw.pick(len(fields))]


def uneven_light(pairs, draw):
    """What lamps and edges do to intact things: smooth shades over the picture, and dark or bright rims along its sides.

    pairs: 0..1 [n, k, 3, S, S] -> the same shape; both pictures of a pair get the same light.
    """
    size = pairs.shape[-1]
    cells = draw.host.randint(2, 4)
    low = draw.normal(1, cells, cells)
    field = F.interpolate(low, size=(size, size), mode="bicubic", align_corners=True)
    depth = torch.where(draw.chance(0.5, 1, 1, 1), draw.uniform(0, 0.45, 1, 1, 1), 0.0)
    gain = (depth * field).clamp(-1.2, 0.8).exp()
    # Rims: each side its own width, softness and strength.
    at = torch.arange(size, device=pairs.device) / size
    with_rim = draw.chance(0.3, 1, 1)
    for distance in (at, 1 - at):
        for axis in (0, 1):
            width, soft = draw.uniform(-0.06, 0.12, 1, 1), draw.uniform(0.005, 0.12, 1, 1)
            strength = torch.where(with_rim, draw.uniform(-0.9, 0.3, 1, 1), 0.0)
            edge = 1 + strength * ((width - distance) / soft).clamp(0, 1)
            gain = gain * (edge[:, :, :, None] if axis == 0 else edge[:, :, None, :])
    return (pairs * gain[:, None]).clamp(0, 1)


def moved_about(pairs, mask, draw):
    """Turned, mirrored and, half of them, also scaled and sheared; what is missing at a side is mirrored there.

    [n, 2, 3, S, S] and bool [n, S, S] -> the same shapes.
    """
    n, size = draw.n, pairs.shape[-1]
    free = draw.chance(0.5)
    turn = torch.where(free, draw.uniform(0, 2 * math.pi), draw.pick(4) * (math.pi / 2))
    scale = torch.where(free, draw.uniform(math.log(0.7), math.log(1.2)).exp(), 1.0)
    sx, sy = scale * (1 + torch.where(free, draw.uniform(-0.1, 0.1), 0.0)), scale
    mirror = torch.where(draw.chance(0.5), -1.0, 1.0)
    shear = torch.where(free, draw.uniform(-0.15, 0.15), 0.0)
    c, s = turn.cos(), turn.sin()
    theta = torch.stack([torch.stack([mirror * sx * c, -sy * s + shear], 1), torch.stack([mirror * sx * s, sy * c], 1)], 1)
    shift = torch.where(free[:, None], draw.uniform(-0.1, 0.1, 2), 0.0)
    grid = torch.einsum("nij,hwj->nhwi", theta, plane(size, pairs.device)[0]) + shift.view(n, 1, 1, 2)
    x = torch.cat([pairs.flatten(1, 2), mask[:, None].float()], 1)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    return x[:, :6].view_as(pairs), x[:, 6] > 0.5


def jitter(pairs, draw):
    """Colour and contrast, drawn per pair and shared by its two pictures: 0..1 [n, k, 3, S, S] -> the same shape."""
    u = lambda low, high, *shape: draw.uniform(low, high, 1, *shape, 1, 1)  # noqa: E731
    # Channels swapped, and now and then the negative: no colour belongs to damage.
    swapped = torch.rand(draw.n, 3, device=draw.device, generator=draw.generator).argsort(1)
    as_is = torch.arange(3, device=draw.device).expand_as(swapped)
    channels = torch.where(draw.chance(0.3, 1), swapped, as_is)
    x = pairs.gather(2, channels.view(-1, 1, 3, 1, 1).expand_as(pairs))
    x = torch.where(u(0, 1, 1) < 0.08, 1 - x, x)
    grey = x.mean(2, keepdim=True)
    keep = u(0, 1, 1)
    saturation = torch.where(keep < 0.15, 0.0, torch.where(keep < 0.7, u(0.4, 1.6, 1), 1.0))
    x = grey + (x - grey) * saturation
    middle = x.mean((1, 2, 3, 4), keepdim=True)
    contrast = torch.where(u(0, 1, 1) < 0.6, u(0.6, 1.5, 1), 1.0)
    x = middle + (x - middle) * contrast
    x = x * torch.where(u(0, 1, 1) < 0.6, u(0.75, 1.25, 3), 1.0) + u(-0.08, 0.08, 1)
    return x.clamp(0, 1)
