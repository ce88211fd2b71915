"""Random worlds of mesh instances: rooms full of things, objects on a table, streets of buildings, open country.

The world frame has z up; lengths are metres, but a world may be a model of something larger. Worlds are batched
tensors on the generator's device; every one has INSTANCES instances, of which some are absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .assets import SLOTS
from .library import Library
from .scenes import Draw, axis_angle_rotation
from .shapes import GROUPS

KINDS = ("room", "object", "street", "country")
KIND_SHARE = (0.3, 0.27, 0.25, 0.18)
ROLES = {"cluster": 20, "clutter": 36, "row": 24, "far": 15, "terrain": 1}
INSTANCES = sum(ROLES.values())
ROOM_FACES = 6

# Of every kind (room, object, street, country) and role: how many of the instances are there, how large they are (half
# size, logarithmic), how far from the middle they stand (shares of the world's radius), and of which groups they are
# (solid, organic, thin, plant, building, prop).
PRESENT = {"cluster": (0.6, 0.8, 0.35, 0.5), "clutter": (0.8, 0.45, 0.8, 0.8), "row": (0.7, 0.5, 0.9, 0.35)}
PRESENT["far"] = (0.35, 0.5, 0.7, 0.8)
SIZE = {
    "cluster": ((0.1, 0.7), (0.08, 0.6), (0.3, 1.2), (0.2, 1.2)),
    "clutter": ((0.08, 0.8), (0.08, 0.8), (0.2, 1.4), (0.15, 1.6)),
    "far": ((0.1, 0.5), (0.5, 2.5), (1.0, 4.0), (0.8, 4.0)),
}
DISTANCE = {
    "cluster": ((0.0, 0.5), (0.0, 0.3), (0.0, 0.5), (0.0, 0.5)),
    "clutter": ((0.1, 1.0), (0.3, 1.5), (0.2, 1.6), (0.2, 2.0)),
    "far": ((0.4, 1.0), (1.5, 4.0), (1.5, 4.0), (1.5, 4.5)),
}
GROUP_SHARE = {
    "cluster": ((2, 3, 1, 1, 0, 5), (2, 5, 1, 1.5, 1, 5), (1, 2, 2, 3, 1, 3), (1, 4, 1, 4, 1, 1)),
    "clutter": ((3, 3, 2, 1, 0, 6), (2, 3, 1, 2, 1, 3), (2, 2, 3, 4, 1, 3), (0.5, 4, 0.7, 6, 0.5, 0.5)),
    "row": ((2, 0.5, 2, 0.3, 0.3, 4), (2, 1, 1, 2, 3, 2), (1, 0, 0.3, 0.3, 9, 0), (1, 2, 0.3, 4, 4, 0.3)),
    "far": ((1, 1, 2, 1, 0, 3), (2, 1, 1, 3, 4, 1), (1, 1, 0.5, 4, 6, 0), (0.5, 3, 0.3, 6, 1, 0)),
}


@dataclass
class Worlds:
    """S worlds of K = INSTANCES instances."""

    kind: Tensor  # (S,) index into KINDS
    radius: Tensor  # (S,) of what matters
    center: Tensor  # (S, K, 3)
    rotation: Tensor  # (S, K, 3, 3) mesh to world
    half: Tensor  # (S, K, 3) metres a mesh unit
    mesh: Tensor  # (S, K) index into the library
    present: Tensor  # (S, K) bool
    picture: Tensor  # (S, K, SLOTS) int32, -1: plain
    tint: Tensor  # (S, K, SLOTS, 3)
    density: Tensor  # (S, K, SLOTS) pictures a metre
    gloss: Tensor  # (S, K, SLOTS)
    room_low: Tensor  # (S, 3)
    room_high: Tensor  # (S, 3)
    open_air: Tensor  # (S,) bool
    horizon: Tensor  # (S,) metres, beyond is sky
    wall_picture: Tensor  # (S, 6) int32
    wall_tint: Tensor  # (S, 6, 3)
    wall_density: Tensor  # (S, 6)
    light: Tensor  # (S, 2, 3) places
    light_color: Tensor  # (S, 2, 3)
    softness: Tensor  # (S,) radius of a light over its distance
    ambient: Tensor  # (S, 3)
    sky_picture: Tensor  # (S,) int32, -1: none
    sky_tint: Tensor  # (S, 2, 3) at the horizon, overhead
    haze: Tensor  # (S,) a metre


def by_kind(table: tuple, kind: Tensor) -> Tensor:
    """Rows of a table with one entry for every kind of world."""
    return torch.tensor(table, dtype=torch.float32, device=kind.device)[kind]


def log_uniform(draw: Draw, *shape: int, low: float, high: float) -> Tensor:
    span = torch.tensor([low, high]).log()
    return draw.uniform(*shape, low=span[0].item(), high=span[1].item()).exp()


def sample_worlds(count: int, library: Library, generator: torch.Generator) -> Worlds:
    """Draw `count` worlds out of the library."""
    draw = Draw(generator)
    device = draw.device
    kind = torch.multinomial(torch.tensor(KIND_SHARE, device=device), count, True, generator=generator)
    radius = draw.uniform(count, low=0.0, high=1.0)
    low, high = by_kind((1.6, 0.5, 3.0, 4.0), kind), by_kind((4.5, 1.6, 8.0, 12.0), kind)
    radius = low * (high / low) ** radius
    open_air = (kind >= 2) | ((kind == 1) & draw.chance(count, share=0.5))
    margin = torch.where(kind == 0, draw.uniform(count, low=1.05, high=1.3), draw.uniform(count, low=2.5, high=5.0))
    reach = radius[:, None] * margin[:, None] * draw.uniform(count, 2, low=0.8, high=1.4)
    height = torch.where(kind == 0, draw.uniform(count, low=2.2, high=4.0), radius * draw.uniform(count, low=2, high=4))
    reach, height = torch.where(open_air[:, None], 200.0, reach), torch.where(open_air, 200.0, height)
    places = [place(draw, role, kind, radius) for role in ("cluster", "clutter")]
    places += [place_row(draw, kind, radius, reach, open_air), place(draw, "far", kind, radius)]
    group, target, where, present, whole = (torch.cat(part, 1) for part in zip(*places, strict=True))
    mesh, half = choose_meshes(draw, library, group, target, whole)
    rotation = turns(draw, group, whole)
    lift = (rotation.abs() @ (library.extents[mesh] * half)[..., None])[..., 2, 0]
    raised = (draw.chance(*lift.shape, share=0.15) & ~whole).float() * draw.uniform(*lift.shape) * radius[:, None] * 0.6
    limit = torch.where(open_air, 50.0, height)[:, None]
    z = torch.minimum(lift * 0.98 + raised, (limit - lift).clamp(min=0.0))
    center = torch.cat([where, z[..., None]], -1)
    center[..., :2] = torch.where(
        whole[..., None], center[..., :2], center[..., :2].clamp(-reach[:, None], reach[:, None])
    )
    ground = place_terrain(draw, library, kind, radius)
    parts = zip((center, rotation, half, mesh, present), ground, strict=True)
    center, rotation, half, mesh, present = (torch.cat(pair, 1) for pair in parts)
    return Worlds(
        kind=kind,
        radius=radius,
        center=center,
        rotation=rotation,
        half=half,
        mesh=mesh,
        present=present,
        room_low=torch.cat([-reach, torch.zeros(count, 1, device=device)], 1),
        room_high=torch.cat([reach, height[:, None]], 1),
        open_air=open_air,
        horizon=radius * draw.uniform(count, low=8.0, high=25.0),
        **materials(draw, library, half, radius),
        **lights(draw, library, kind, radius, height, reach, open_air),
    )


def place(draw: Draw, role: str, kind: Tensor, radius: Tensor) -> tuple[Tensor, ...]:
    """Groups (S, n), half sizes (S, n, 3), places (S, n, 2), present, and whether a size holds for every axis."""
    count, n = len(kind), ROLES[role]
    group = torch.multinomial(by_kind(GROUP_SHARE[role], kind), n, True, generator=draw.generator)
    size, distance = by_kind(SIZE[role], kind)[:, None], by_kind(DISTANCE[role], kind)[:, None]
    size = size[..., 0] * (size[..., 1] / size[..., 0]) ** draw.uniform(count, n)
    size = size * (radius / by_kind((2.5, 0.9, 4.0, 6.0), kind))[:, None]
    along = distance[..., 0] + (distance[..., 1] - distance[..., 0]) * draw.uniform(count, n).sqrt()
    angle, far = draw.uniform(count, n, high=6.2832), along * radius[:, None]
    where = torch.stack([far * angle.cos(), far * angle.sin()], -1)
    street = (kind == 2)[:, None, None]  # along the street rather than around a place
    where = torch.where(street & (role != "far"), where * torch.tensor([1.6, 0.75], device=draw.device), where)
    share = by_kind(PRESENT[role], kind)[:, None] * draw.uniform(count, 1, low=0.3, high=1.3)
    present = draw.uniform(count, n) < share
    single = (kind == 1) & draw.chance(count, share=0.35)  # one thing in the middle
    if role == "cluster":
        present[:, 1:] &= ~single[:, None]
        present[:, 0] |= single
        where[:, 0] = torch.where(single[:, None], where[:, 0] * 0.2, where[:, 0])
        size[:, 0] = torch.where(single, radius * draw.uniform(count, low=0.5, high=0.9), size[:, 0])
    stretch = torch.exp(0.22 * draw.normal(count, n, 3))
    return group, size[..., None] * stretch, where, present, torch.zeros_like(present)


def place_row(draw: Draw, kind: Tensor, radius: Tensor, reach: Tensor, open_air: Tensor) -> tuple[Tensor, ...]:
    """Things in two or four lines: along the walls of a room, houses of a street, a wood's edge."""
    count, n = len(kind), ROLES["row"]
    group = torch.multinomial(by_kind(GROUP_SHARE["row"], kind), n, True, generator=draw.generator)
    index = torch.arange(n, device=draw.device)
    street = kind == 2
    side = torch.where(street[:, None], index % 2, index % 4)  # -y +y (-x +x)
    per_side = torch.where(street, n // 2, n // 4)[:, None]
    step = torch.where(street[:, None], index // 2, index // 4) + 0.5 - per_side / 2
    line = torch.where(open_air, radius * draw.uniform(count, low=0.6, high=1.6), reach.amin(1))[:, None]
    spacing = torch.where(street, radius * draw.uniform(count, low=0.35, high=0.9), 2 * line[:, 0] / per_side[:, 0])[
        :, None
    ]
    wide = 0.5 * spacing * draw.uniform(count, n, low=0.5, high=1.05)
    deep = torch.where(street[:, None], wide * draw.uniform(count, n, low=0.4, high=1.0), 0.15 * wide.clamp(max=2.0))
    tall = torch.where(
        open_air[:, None],
        wide * draw.uniform(count, n, low=0.5, high=2.2),
        draw.uniform(count, n, low=0.2, high=1.1),
    )
    along = (step + 0.3 * draw.uniform(count, n, low=-1, high=1) * ~street[:, None]) * spacing
    out = torch.where(side % 2 == 0, -1.0, 1.0) * torch.where(open_air[:, None], line + deep, line - deep)
    on_x = side >= 2
    where = torch.stack([torch.where(on_x, out, along), torch.where(on_x, along, out)], -1)
    target = torch.stack([torch.where(on_x, deep, wide), torch.where(on_x, wide, deep), tall], -1)
    present = draw.uniform(count, n) < by_kind(PRESENT["row"], kind)[:, None] * draw.uniform(
        count, 1, low=0.5, high=1.2
    )
    return group, target, where, present, torch.ones_like(present)


def choose_meshes(draw: Draw, library: Library, group: Tensor, target: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Mesh indices, and metres a mesh unit so that the largest side (with `whole`, every side) is `target`."""
    table = torch.tensor([GROUPS.index(name) for name in ("solid", "organic", "thin", "plant", "building", "prop")])
    group = table.to(group.device)[group]
    first, many = library.group_first[group], library.group_count[group]
    mesh = first + (draw.uniform(*group.shape) * many).long().clamp(max=(many - 1).clamp(min=0))
    own = torch.where(whole[..., None], library.extents[mesh], 1.0)
    return mesh, target / own.clamp(min=0.08)


def turns(draw: Draw, group: Tensor, whole: Tensor) -> Tensor:
    """About the vertical; a quarter of the loose solids and organic things also tilted; rows stay square."""
    up = torch.tensor([0.0, 0.0, 1.0], device=draw.device).expand(*group.shape, 3)
    square = torch.where(whole, 0.0, draw.uniform(*group.shape, high=6.2832))
    rotation = axis_angle_rotation(up, square)
    tilted = (draw.chance(*group.shape, share=0.25) & (group <= 2) & ~whole)[..., None, None]
    tilt = axis_angle_rotation(draw.normal(*group.shape, 3), draw.uniform(*group.shape, high=1.5))
    return torch.where(tilted, rotation @ tilt, rotation)


def place_terrain(draw: Draw, library: Library, kind: Tensor, radius: Tensor) -> tuple[Tensor, ...]:
    """The last instance: hills under open country and some streets; its lowest point is a little below 0."""
    count, terrain = len(kind), GROUPS.index("terrain")
    mesh = library.group_first[terrain] + (draw.uniform(count) * library.group_count[terrain]).long()
    wide = radius * draw.uniform(count, low=3.0, high=6.0)
    steep = torch.where(kind == 3, draw.uniform(count, low=0.03, high=0.3), 0.01)
    half = torch.stack([wide, wide, wide * steep], -1)
    center = torch.stack([0 * wide, 0 * wide, half[:, 2] * 0.85], -1)
    up = torch.tensor([0.0, 0.0, 1.0], device=draw.device).expand(count, 3)
    rotation = axis_angle_rotation(up, draw.uniform(count, high=6.2832))
    present = (kind == 3) & draw.chance(count, share=0.85)
    return center[:, None], rotation[:, None], half[:, None], mesh[:, None], present[:, None]


def pictures(draw: Draw, library: Library, *shape: int) -> Tensor:
    """Of materials: mostly textures, crops of photographs, some plain (-1)."""
    chance = draw.uniform(*shape)
    chosen = torch.full(shape, -1, dtype=torch.int64, device=draw.device)
    for kind, low, high in (("texture", 0.0, 0.55), ("photo", 0.55, 0.85)):
        some = library.picture_first[kind] + (draw.uniform(*shape) * library.picture_count[kind]).long()
        chosen = torch.where((chance >= low) & (chance < high), some, chosen)
    return chosen.int()


def tints(draw: Draw, picture: Tensor) -> Tensor:
    """Colors (..., 3) that a picture is multiplied with, or that a plain surface has."""
    bright = draw.uniform(*picture.shape, 1, low=0.6, high=1.3)
    color = torch.exp(0.1 * draw.normal(*picture.shape, 3)) * bright
    plain = draw.uniform(*picture.shape, 1, low=0.05, high=0.9)
    plain = (plain * torch.exp(0.3 * draw.normal(*picture.shape, 3))).clamp(max=0.95)
    return torch.where((picture < 0)[..., None], plain, color)


def materials(draw: Draw, library: Library, half: Tensor, radius: Tensor) -> dict[str, Tensor]:
    """Of instances and of the room's faces."""
    count, k = half.shape[:2]
    picture = pictures(draw, library, count, k, SLOTS)
    size = half.amax(-1)[..., None]
    density = log_uniform(draw, count, k, SLOTS, low=0.25, high=3.0) / size.clamp(min=0.05)
    density[:, -1] = log_uniform(draw, count, SLOTS, low=0.15, high=1.5) / radius[:, None] * 2
    gloss = draw.chance(count, k, SLOTS, share=0.3) * draw.uniform(count, k, SLOTS) ** 2
    gloss[:, -1] = 0.0
    wall = pictures(draw, library, count, ROOM_FACES)
    floor = pictures(draw, library, count)
    wall[:, 4] = torch.where(wall[:, 4] < 0, floor, wall[:, 4])  # floors are seldom plain
    return {
        "picture": picture,
        "tint": tints(draw, picture),
        "density": density,
        "gloss": gloss,
        "wall_picture": wall,
        "wall_tint": tints(draw, wall),
        "wall_density": log_uniform(draw, count, ROOM_FACES, low=0.2, high=2.0) / radius[:, None],
    }


def lights(
    draw: Draw, library: Library, kind: Tensor, radius: Tensor, height: Tensor, reach: Tensor, open_air: Tensor
) -> dict[str, Tensor]:
    """Sun or lamp, a second lamp in half of the rooms, the light of the sky, and the sky itself."""
    count = len(kind)
    outside = open_air[:, None]
    sun = draw.normal(count, 2, 3)
    sun[..., 2] = sun[..., 2].abs() * 0.8 + 0.25
    sun = torch.nn.functional.normalize(sun, dim=-1) * (100 * radius)[:, None, None]
    lamp = torch.cat(
        [
            draw.uniform(count, 2, 2, low=-0.8, high=0.8) * reach[:, None].clamp(max=50.0),
            draw.uniform(count, 2, 1, low=0.6, high=0.96) * height[:, None, None].clamp(max=50.0),
        ],
        -1,
    )
    warm = torch.exp(0.12 * draw.normal(count, 2, 3))
    strength = draw.uniform(count, 2, 1, low=0.3, high=1.1)
    strength[:, 0] = torch.where(draw.chance(count, 1, share=0.25), 0.1 * strength[:, 0], strength[:, 0])  # overcast
    second = draw.chance(count, 1, share=0.5) & ~outside
    strength[:, 1] = torch.where(second, strength[:, 1], 0.0)
    horizon = draw.uniform(count, 1, 1, low=0.5, high=1.1) * torch.exp(0.1 * draw.normal(count, 1, 3))
    overhead = horizon * draw.uniform(count, 1, 3, low=0.3, high=0.9)
    chance = draw.uniform(count)
    sky = torch.full((count,), -1, dtype=torch.int64, device=draw.device)
    for name, low, high in (("sky", 0.0, 0.35), ("photo", 0.35, 0.7)):
        some = library.picture_first[name] + (draw.uniform(count) * library.picture_count[name]).long()
        sky = torch.where((chance >= low) & (chance < high), some, sky)
    hazy = draw.chance(count, share=0.3) & open_air
    return {
        "light": torch.where(outside[..., None], sun, lamp),
        "light_color": strength * warm,
        "softness": draw.uniform(count) ** 2 * 0.12,
        "ambient": draw.uniform(count, 1, low=0.2, high=0.65) * torch.exp(0.08 * draw.normal(count, 3)),
        "sky_picture": sky.int(),
        "sky_tint": torch.cat([horizon, overhead], 1),
        "haze": hazy * draw.uniform(count, high=0.06) / radius,
    }
