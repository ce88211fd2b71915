/** Puts the drawn points on the screen: background, and darkening of what lies behind its neighbours. */
import { Program } from "./gl.mjs";

const VERTEX = `
void main() {
    vec2 corner = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
    gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
}`;

const FRAGMENT = `
uniform highp sampler2D u_color, u_depth;
uniform vec3 u_top, u_bottom;
uniform vec2 u_planes; // near, far
uniform float u_strength, u_reach, u_distance, u_height;
uniform bool u_parallel;
out vec4 color;

float depth_at(ivec2 place) {
    float z = texelFetch(u_depth, clamp(place, ivec2(0), textureSize(u_depth, 0) - 1), 0).r;
    if (z >= 1.0) return 1e30;
    if (u_parallel) return mix(u_planes.x, u_planes.y, z);
    return u_planes.x * u_planes.y / (u_planes.y - z * (u_planes.y - u_planes.x));
}

void main() {
    ivec2 place = ivec2(gl_FragCoord.xy);
    float z = texelFetch(u_depth, place, 0).r;
    gl_FragDepth = z;
    if (z >= 1.0) {
        color = vec4(mix(u_bottom, u_top, gl_FragCoord.y / u_height), 1.0);
        return;
    }
    float here = depth_at(place), behind = 0.0;
    float against = u_parallel ? u_distance : here;
    for (int ring = 1; ring <= 2; ring++) {
        for (int i = 0; i < 8; i++) {
            float angle = 0.785398 * (float(i) + 0.5 * float(ring));
            ivec2 step = ivec2(round(float(ring) * u_reach * vec2(cos(angle), sin(angle))));
            behind += clamp((here - depth_at(place + step)) / against - 0.008, 0.0, 0.25) / float(ring);
        }
    }
    color = vec4(texelFetch(u_color, place, 0).rgb * exp(-u_strength * behind), 1.0);
}`;

export class ShadingPass {
    /** @param {import("./gl.mjs").GL} gl */
    constructor(gl) {
        this.gl = gl;
        this.program = new Program(gl, VERTEX, FRAGMENT);
        this.vertices = gl.createVertexArray();
    }

    /** @param {import("./gl.mjs").Target} points @param {Record<string, any>} uniforms */
    draw(points, uniforms) {
        const { gl } = this;
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D, points.color);
        gl.activeTexture(gl.TEXTURE1);
        gl.bindTexture(gl.TEXTURE_2D, points.depth);
        this.program.use({ ...uniforms, u_color: { unit: 0 }, u_depth: { unit: 1 }, u_height: points.height });
        gl.bindVertexArray(this.vertices);
        gl.depthFunc(gl.ALWAYS);
        gl.drawArrays(gl.TRIANGLES, 0, 3);
        gl.depthFunc(gl.LEQUAL);
        gl.bindVertexArray(null);
    }
}
