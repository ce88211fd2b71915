"""The kernels of the ray caster, for NVIDIA Warp: textures, visibility, light, pixels. `raycast.py` starts them.

Every ray goes through the instances of its world by their bounding spheres and then through the tree of the mesh.
"""

import warp as wp

from .assets import SIDE, SLOTS
from .library import LEVELS, TEXELS
from .worlds import INSTANCES

INFINITE = wp.constant(1.0e9)
FIRST_SIDE = wp.constant(SIDE)
LAST_LEVEL = wp.constant(LEVELS - 1)
PER_PICTURE = wp.constant(TEXELS)
COUNT = wp.constant(INSTANCES)
MATERIALS = wp.constant(SLOTS)


@wp.struct
class World:
    """Arrays of all worlds; instance k of world s is row s * COUNT + k, its material m row (s * COUNT + k) * 4 + m."""

    center: wp.array(dtype=wp.vec3)
    radius: wp.array(dtype=wp.float32)  # negative: absent
    to_local: wp.array(dtype=wp.mat33)
    half: wp.array(dtype=wp.vec3)
    mesh: wp.array(dtype=wp.uint64)
    face_start: wp.array(dtype=wp.int32)
    face_slots: wp.array(dtype=wp.int32)
    picture: wp.array(dtype=wp.int32)  # -1: plain
    tint: wp.array(dtype=wp.vec3)
    density: wp.array(dtype=wp.float32)  # pictures a metre
    gloss: wp.array(dtype=wp.float32)
    room_low: wp.array(dtype=wp.vec3)
    room_high: wp.array(dtype=wp.vec3)
    open_air: wp.array(dtype=wp.int32)
    horizon: wp.array(dtype=wp.float32)
    wall_picture: wp.array(dtype=wp.int32)  # six a world
    wall_tint: wp.array(dtype=wp.vec3)
    wall_density: wp.array(dtype=wp.float32)
    light: wp.array(dtype=wp.vec3)  # two a world
    light_color: wp.array(dtype=wp.vec3)
    softness: wp.array(dtype=wp.float32)
    ambient: wp.array(dtype=wp.vec3)
    sky_picture: wp.array(dtype=wp.int32)
    sky_tint: wp.array(dtype=wp.vec3)
    haze: wp.array(dtype=wp.float32)


@wp.struct
class Hit:
    t: wp.float32
    instance: wp.int32
    face: wp.int32
    normal: wp.vec3  # local, of the face
    smooth: wp.vec3  # local, between the vertices' normals


@wp.func
def texel(atlas: wp.array(dtype=wp.int32), base: int, side: int, x: int, y: int):
    i = x % (2 * side)
    j = y % (2 * side)
    if i < 0:
        i += 2 * side
    if j < 0:
        j += 2 * side
    if i >= side:
        i = 2 * side - 1 - i
    if j >= side:
        j = 2 * side - 1 - j
    value = atlas[base + j * side + i]
    return wp.vec3(float(value & 255), float((value >> 8) & 255), float((value >> 16) & 255)) / 255.0


@wp.func
def look_up(atlas: wp.array(dtype=wp.int32), picture: int, u: float, v: float, footprint: float):
    """Linear light of a picture at (u, v) in pictures, mirrored at its borders; footprint: pixels of level 0."""
    level = int(wp.clamp(wp.log2(wp.max(footprint, 1.0)) + 0.3, 0.0, float(LAST_LEVEL)))
    side = FIRST_SIDE >> level
    base = picture * PER_PICTURE + 4 * (FIRST_SIDE * FIRST_SIDE - side * side) / 3
    x = u * float(side) - 0.5
    y = v * float(side) - 0.5
    i = int(wp.floor(x))
    j = int(wp.floor(y))
    fx = x - float(i)
    fy = y - float(j)
    top = texel(atlas, base, side, i, j) * (1.0 - fx) + texel(atlas, base, side, i + 1, j) * fx
    low = texel(atlas, base, side, i, j + 1) * (1.0 - fx) + texel(atlas, base, side, i + 1, j + 1) * fx
    c = top * (1.0 - fy) + low * fy
    return wp.vec3(wp.pow(c[0], 2.2), wp.pow(c[1], 2.2), wp.pow(c[2], 2.2))


@wp.func
def project(atlas: wp.array(dtype=wp.int32), picture: int, p: wp.vec3, n: wp.vec3, density: float, pixel: float):
    """The picture laid on from the side that the normal points to; p in metres of the object's own frame."""
    u = p[0]
    v = -p[2]
    a = wp.vec3(wp.abs(n[0]), wp.abs(n[1]), wp.abs(n[2]))
    if a[0] >= a[1] and a[0] >= a[2]:
        u = p[1]
    elif a[2] > a[1]:
        v = p[1]
    shift = float(picture % 97) * 0.137
    return look_up(atlas, picture, u * density + shift, v * density + shift, pixel * density * float(FIRST_SIDE))


@wp.func
def cast(w: World, scene: int, origin: wp.vec3, direction: wp.vec3, limit: float, any_hit: int):
    """The nearest surface before `limit` (or, with any_hit, just one); t = INFINITE if there is none."""
    best = Hit()
    best.t = INFINITE
    best.instance = -1
    reach = limit
    length2 = wp.dot(direction, direction)
    for k in range(COUNT):
        row = scene * COUNT + k
        radius = w.radius[row]
        if radius > 0.0:
            offset = w.center[row] - origin
            along = wp.dot(offset, direction) / length2
            apart = offset - along * direction
            room = radius * radius - wp.dot(apart, apart)
            if room > 0.0:
                half_chord = wp.sqrt(room / length2)
                if along + half_chord > 0.0 and along - half_chord < reach:
                    m = w.to_local[row]
                    start = m * (-offset)
                    ray = m * direction
                    found = wp.mesh_query_ray(w.mesh[row], start, ray, reach)
                    if found.result and found.t < reach and found.t > 1.0e-4:
                        reach = found.t
                        best.t = found.t
                        best.instance = k
                        best.face = found.face
                        best.normal = found.normal
                        best.smooth = wp.mesh_eval_velocity(w.mesh[row], found.face, found.u, found.v)
                        if any_hit == 1:
                            return best
    return best


@wp.func
def sky(w: World, atlas: wp.array(dtype=wp.int32), scene: int, direction: wp.vec3, blur: float):
    d = wp.normalize(direction)
    rise = wp.asin(wp.clamp(d[2], -1.0, 1.0)) / 1.5708
    tint = w.sky_tint[2 * scene]
    high = w.sky_tint[2 * scene + 1]
    color = tint + (high - tint) * wp.clamp(rise * 1.6, 0.0, 1.0)
    picture = w.sky_picture[scene]
    if picture >= 0:
        around = wp.atan2(d[1], d[0]) / 3.14159 * 2.0
        c = look_up(atlas, picture, around, 0.93 - 1.1 * rise, blur)
        color = wp.cw_mul(c, color) * 1.5
    return color


@wp.func
def lit(
    w: World,
    atlas: wp.array(dtype=wp.int32),
    scene: int,
    point: wp.vec3,
    normal: wp.vec3,
    direction: wp.vec3,
    t: float,
    albedo: wp.vec3,
    gloss: float,
    seed: wp.uint32,
):
    """Light that a surface sends back: the sky's, two lamps with shadows, their highlights, a dim mirror of the sky."""
    ambient = w.ambient[scene]
    total = ambient * (0.7 + 0.3 * normal[2])
    start = point + normal * (2.0e-3 + 1.0e-4 * t)
    view = -wp.normalize(direction)
    bright = wp.vec3(0.0, 0.0, 0.0)
    for which in range(2):
        place = w.light[2 * scene + which]
        strength = w.light_color[2 * scene + which]
        if strength[0] + strength[1] + strength[2] > 0.0:
            spread = w.softness[scene] * wp.length(place - point)
            noise = wp.vec3(wp.randn(seed), wp.randn(seed), wp.randn(seed))
            towards = place + spread * noise - point
            away = wp.length(towards)
            facing = wp.dot(normal, towards) / away
            if facing > 0.0:
                blocked = cast(w, scene, start, towards, 1.0, 1)
                if blocked.instance < 0:
                    total += strength * facing
                    halfway = wp.normalize(view + towards / away)
                    bright += strength * (gloss * wp.pow(wp.max(wp.dot(normal, halfway), 0.0), 40.0) * 1.5)
    color_here = wp.cw_mul(albedo, total) + bright
    if gloss > 0.0:
        mirror = 2.0 * wp.dot(normal, view) * normal - view
        edge = wp.pow(1.0 - wp.clamp(wp.dot(normal, view), 0.0, 1.0), 4.0)
        seen = sky(w, atlas, scene, mirror, 24.0)
        color_here += seen * (gloss * (0.08 + 0.5 * edge))
    return color_here


@wp.func
def shade(
    w: World,
    atlas: wp.array(dtype=wp.int32),
    scene: int,
    origin: wp.vec3,
    direction: wp.vec3,
    pixel_angle: float,
    seed: wp.uint32,
):
    """Linear color and ray parameter (INFINITE for the sky)."""
    low = w.room_low[scene]
    high = w.room_high[scene]
    wall_t = float(INFINITE)
    face = int(4)  # noqa: RUF046, UP018 - Warp: may change in a loop
    for axis in range(3):
        wall = low[axis]
        side = int(0)  # noqa: RUF046, UP018
        if direction[axis] > 0.0:
            wall = high[axis]
            side = 1
        if wp.abs(direction[axis]) > 1.0e-9:
            t = (wall - origin[axis]) / direction[axis]
            if t > 0.0 and t < wall_t:
                wall_t = t
                face = 2 * axis + side
    hit = cast(w, scene, origin, direction, wall_t, 0)
    length = wp.length(direction)
    t = wp.min(hit.t, wall_t)
    nowhere = w.open_air[scene] == 1 and ((hit.instance < 0 and face != 4) or t > w.horizon[scene])
    color = sky(w, atlas, scene, direction, pixel_angle * 80.0)
    if not nowhere:
        point = origin + t * direction
        pixel = t * length * pixel_angle
        normal = wp.vec3(0.0, 0.0, 1.0)
        albedo = wp.vec3(0.5, 0.5, 0.5)
        gloss = float(0.0)  # noqa: UP018
        if hit.instance >= 0:
            row = scene * COUNT + hit.instance
            m = w.to_local[row]
            slot = row * MATERIALS + w.face_slots[w.face_start[row] + hit.face]
            n = hit.normal
            smooth = wp.normalize(hit.smooth)
            if wp.dot(n, smooth) > 0.6:
                n = smooth
            normal = wp.normalize(wp.transpose(m) * n)
            albedo = w.tint[slot]
            gloss = w.gloss[slot]
            if w.picture[slot] >= 0:
                local = wp.cw_mul(m * (point - w.center[row]), w.half[row])
                albedo = wp.cw_mul(albedo, project(atlas, w.picture[slot], local, hit.normal, w.density[slot], pixel))
        else:
            sign = 1.0 - 2.0 * float(face % 2)
            axis = face / 2
            normal = wp.vec3(0.0, 0.0, 0.0)
            normal[axis] = sign
            slot = scene * 6 + face
            albedo = w.wall_tint[slot]
            if w.wall_picture[slot] >= 0:
                albedo = wp.cw_mul(
                    albedo, project(atlas, w.wall_picture[slot], point, normal, w.wall_density[slot], pixel)
                )
        if wp.dot(normal, direction) > 0.0:
            normal = -normal
        color_here = lit(w, atlas, scene, point, normal, direction, t, albedo, gloss, seed)
        fade = 1.0 - wp.exp(-w.haze[scene] * t * length)
        color = color_here * (1.0 - fade) + w.sky_tint[2 * scene] * (fade * 0.8)
    if nowhere:
        t = INFINITE
    return wp.vec4(color[0], color[1], color[2], t)


@wp.kernel
def render_kernel(
    w: World,
    atlas: wp.array(dtype=wp.int32),
    origins: wp.array(dtype=wp.vec3),
    rotations: wp.array(dtype=wp.mat33),
    focals: wp.array(dtype=wp.float32),
    frames: int,
    samples: int,
    seed: int,
    image: wp.array(dtype=wp.float32, ndim=4),
    depth: wp.array(dtype=wp.float32, ndim=3),
):
    m, row, column = wp.tid()
    height = depth.shape[1]
    width = depth.shape[2]
    scene = m / frames
    random = wp.rand_init(seed, (m * height + row) * width + column)
    focal = focals[m]
    x = float(column) - 0.5 * float(width)
    y = float(row) - 0.5 * float(height)
    total = wp.vec3(0.0, 0.0, 0.0)
    for sample in range(samples):
        u = x
        v = y
        if sample > 0:
            u += wp.randf(random) - 0.5
            v += wp.randf(random) - 0.5
        direction = rotations[m] * wp.vec3(u / focal, v / focal, 1.0)
        found = shade(w, atlas, scene, origins[m], direction, 1.0 / focal, random + wp.uint32(sample * 7919))
        c = wp.vec3(found[0], found[1], found[2])
        total += wp.vec3(wp.min(c[0], 1.5), wp.min(c[1], 1.5), wp.min(c[2], 1.5))
        if sample == 0:
            depth[m, row, column] = found[3]
    total = total / float(samples)
    image[m, 0, row, column] = total[0]
    image[m, 1, row, column] = total[1]
    image[m, 2, row, column] = total[2]


@wp.kernel
def drop_kernel(w: World, points: wp.array(dtype=wp.vec3), count: int, ground: wp.array(dtype=wp.float32)):
    """Height of the ground (the last instance of a world, its terrain) below points, or 0."""
    i = wp.tid()
    scene = i / count
    row = scene * COUNT + COUNT - 1
    ground[i] = 0.0
    if w.radius[row] > 0.0:
        m = w.to_local[row]
        p = points[i]
        top = wp.vec3(p[0], p[1], 50.0)
        found = wp.mesh_query_ray(w.mesh[row], m * (top - w.center[row]), m * wp.vec3(0.0, 0.0, -1.0), 100.0)
        if found.result:
            ground[i] = wp.max(50.0 - found.t, 0.0)
