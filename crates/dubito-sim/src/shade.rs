//! The colour of a place: skin, eyes, mouth, hair and cloth under the subject's light, in linear light.

use crate::config::{Light, SubjectConfig};
use crate::hair::CROWN;
use crate::head::Material;
use crate::math::{V3, colour, cos, mix, mix3, sin, smoothstep, v3};
use crate::performance::PULSE_COLOUR;
use crate::random::{hash, noise3};
use crate::raster::{Corner, Pinhole, around, weights};
use crate::scene::Scene;
use crate::shadow::Shadow;
use crate::skin::Texel;
use crate::subject::Subject;

/// Delays that the table of the pulse spans, in seconds, and its steps.
pub(crate) const DELAYS: (f32, usize) = (0.128, 128);

/// Lamps and the sky.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lamps {
    pub key: V3,
    key_colour: V3,
    fill: V3,
    fill_colour: V3,
    sky: V3,
}

impl Lamps {
    pub fn new(light: &Light) -> Self {
        let towards = |azimuth: f32, elevation: f32| {
            let (a, e) = (azimuth.to_radians(), elevation.to_radians());
            v3(sin(a) * cos(e), sin(e), cos(a) * cos(e)).unit()
        };
        let warm = light.warmth;
        let tint = v3(1.0 + 0.10 * warm, 1.0, 1.0 - 0.16 * warm);
        let other = if light.azimuth > 0.0 { -50.0 } else { 50.0 };
        Self {
            key: towards(light.azimuth, light.elevation),
            key_colour: tint * (0.95 * light.key),
            fill: towards(other, 8.0),
            fill_colour: v3(0.96, 1.0, 1.06) * (0.22 * light.key),
            sky: v3(0.97, 1.0, 1.04) * light.ambient,
        }
    }

    /// Light from everywhere, a little more from above.
    fn ambient(&self, n: V3) -> V3 {
        self.sky * (0.78 + 0.22 * n.y)
    }
}

/// What is needed to colour a place.
pub(crate) struct Shader<'a> {
    pub subject: &'a Subject,
    pub scene: &'a Scene,
    pub corners: &'a [Corner],
    pub camera: Pinhole,
    pub lamps: Lamps,
    pub shadow: Shadow,
    /// The pulse by delay, times the amplitude.
    pub pulse: Vec<f32>,
    crown: V3,
    hair: V3,
    iris: V3,
    cloth: V3,
    frame: V3,
}

/// x to the power of 2^n.
fn squared(mut x: f32, n: u32) -> f32 {
    for _ in 0..n {
        x *= x;
    }
    x
}

impl<'a> Shader<'a> {
    pub fn new(
        subject: &'a Subject,
        scene: &'a Scene,
        corners: &'a [Corner],
        camera: Pinhole,
        shadow: Shadow,
        pulse: Vec<f32>,
    ) -> Self {
        let SubjectConfig { hair, iris, clothes, glasses, light, .. } = &subject.config;
        let of = |[r, g, b]: [u8; 3]| colour(u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b));
        Self {
            subject,
            scene,
            corners,
            camera,
            lamps: Lamps::new(light),
            shadow,
            pulse,
            crown: scene.placement.direction(CROWN),
            hair: of(hair.colour),
            iris: of(*iris),
            cloth: of(clothes.colour),
            frame: of(glasses.unwrap_or_default()),
        }
    }

    /// The colour of a triangle at a place of the screen.
    pub fn colour(&self, id: u32, x: f32, y: f32) -> V3 {
        let triangle = &self.scene.triangles[id as usize];
        let c = triangle.corners.map(|v| self.corners[v as usize]);
        let Some(w) = weights(&c, x, y) else { return V3::default() };
        // A little outside the triangle at its edges; no further.
        let w = w.map(|w| w.clamp(-0.2, 1.2));
        let near: f32 = (0..3).map(|i| w[i] * c[i].nearness).sum();
        let w: [f32; 3] = std::array::from_fn(|i| w[i] * c[i].nearness / near);
        let v = triangle.corners.map(|v| &self.scene.vertices[v as usize]);
        let point = v[0].point * w[0] + v[1].point * w[1] + v[2].point * w[2];
        let normal = (v[0].normal * w[0] + v[1].normal * w[1] + v[2].normal * w[2]).unit();
        let u = around(v.map(|v| v.uv[0]));
        let uv: [f32; 2] =
            [u[0] * w[0] + u[1] * w[1] + u[2] * w[2], v[0].uv[1] * w[0] + v[1].uv[1] * w[1] + v[2].uv[1] * w[2]];
        let extra = v[0].extra * w[0] + v[1].extra * w[1] + v[2].extra * w[2];
        let ray = self.camera.ray(x, y).unit();
        let view = -ray;
        let lit = self.shadow.lit(point, normal);
        match triangle.material {
            Material::Face => self.skin(&self.subject.face_texture.at(uv[0], uv[1]), lit, normal, view, 1.0),
            Material::Skull => self.skin(&self.subject.skull_texture.at(uv[0], uv[1]), lit, normal, view, 1.0),
            Material::Skin => {
                let normal = if normal.dot(view) < 0.0 { -normal } else { normal };
                self.skin(&self.subject.neck_texture.at(uv[0], uv[1]), lit, normal, view, extra)
            }
            Material::RightEye => self.eye(0, point, ray, extra, lit),
            Material::LeftEye => self.eye(1, point, ray, extra, lit),
            Material::Mouth => self.mouth(point, ray, lit),
            Material::Hair(shell) => self.strands(lit, normal, view, uv, shell, self.hair),
            Material::Beard(shell) => self.strands(lit, normal, view, uv, shell, self.hair * 0.85),
            Material::Cloth => {
                let normal = if normal.dot(view) < 0.0 { -normal } else { normal };
                let seed = hash(self.subject.config.seed) as u32;
                let weave = 1.0
                    + 0.12 * noise3(v3(uv[0] * 260.0, uv[1] * 90.0, 0.0), seed)
                    + 0.10 * noise3(point * 0.6, seed ^ 3);
                let albedo = self.cloth * (weave * extra);
                albedo.times(self.diffuse(lit, normal, v3(0.1, 0.1, 0.1)))
            }
            Material::Frame => {
                let normal = if normal.dot(view) < 0.0 { -normal } else { normal };
                self.frame.times(self.diffuse(lit, normal, V3::default())) + self.gleam(lit, normal, view, 6) * 0.5
            }
        }
    }

    /// Light that arrives, for a surface that scatters so far that light reaches round edges (`wrap` by colour).
    fn diffuse(&self, lit: f32, n: V3, wrap: V3) -> V3 {
        let lamps = &self.lamps;
        let towards = |l: V3, w: f32| {
            let x = ((n.dot(l) + w) / (1.0 + w)).max(0.0);
            x * mix(1.0, x, w)
        };
        let by = |l: V3| v3(towards(l, wrap.x), towards(l, wrap.y), towards(l, wrap.z));
        // Where light is scattered, the edge of a shadow is red.
        let lit = v3(mix(lit, 1.0, wrap.x * 0.35), mix(lit, 1.0, wrap.y * 0.2), mix(lit, 1.0, wrap.z * 0.2));
        lamps.key_colour.times(by(lamps.key)).times(lit) + lamps.fill_colour.times(by(lamps.fill)) + lamps.ambient(n)
    }

    /// The key light's reflection (Blinn 1977), of an exponent 2^sharpness.
    fn gleam(&self, lit: f32, n: V3, view: V3, sharpness: u32) -> V3 {
        let lamps = &self.lamps;
        let one = |l: V3| squared(n.dot((l + view).unit()).max(0.0), sharpness) * n.dot(l).max(0.0);
        lamps.key_colour * (one(lamps.key) * lit) + lamps.fill_colour * one(lamps.fill)
    }

    fn skin(&self, texel: &Texel, lit: f32, normal: V3, view: V3, shade: f32) -> V3 {
        let bump = self.scene.placement.direction(texel.bump);
        let n = (normal - (bump - normal * bump.dot(normal))).unit();
        // Colour is blurred by scattering, so it follows the smooth surface; shine follows the rough one.
        let wrap = v3(0.42, 0.22, 0.16);
        let light = self.diffuse(lit, mix3(normal, n, 0.55).unit(), wrap);
        let facing = n.dot(view).clamp(0.0, 1.0);
        let rim = squared(1.0 - facing, 2) * (1.0 - facing);
        let broad = self.gleam(lit, n, view, 4) * 0.085;
        let sharp = self.gleam(lit, n, view, 6) * 0.10;
        let pulse = self.blood(texel.delay) * texel.perfusion;
        let albedo = texel.albedo.times(v3(
            1.0 - PULSE_COLOUR[0] * pulse,
            1.0 - PULSE_COLOUR[1] * pulse,
            1.0 - PULSE_COLOUR[2] * pulse,
        ));
        (albedo.times(light) + (broad + sharp) * texel.gloss + self.lamps.ambient(n) * (0.10 * rim)) * shade
    }

    fn blood(&self, delay: f32) -> f32 {
        let x = (delay / DELAYS.0).clamp(0.0, 1.0) * (DELAYS.1 - 1) as f32;
        let i = (x as usize).min(DELAYS.1 - 2);
        mix(self.pulse[i], self.pulse[i + 1], x - i as f32)
    }

    /// The eyeball behind the opening: where the ray of sight meets it.
    fn eye(&self, which: usize, point: V3, ray: V3, lid: f32, lit: f32) -> V3 {
        let eye = &self.scene.eyes[which];
        let to = point - eye.centre;
        let b = to.dot(ray);
        let root = (b * b - to.dot(to) + eye.radius * eye.radius).max(0.0).sqrt();
        let hit = to + ray * (-b - root);
        let n = hit.unit();
        let along = n.dot(eye.gaze);
        let r = (1.0 - along * along).max(0.0).sqrt() * eye.radius;
        let r = if along < 0.0 { eye.radius } else { r };
        // The iris: fibres around the pupil, a dark ring at its edge.
        let right = eye.gaze.cross(v3(0.0, 1.0, 0.0)).unit();
        let up = right.cross(eye.gaze);
        let (s, c) = (n.dot(right) / r.max(0.05), n.dot(up) / r.max(0.05));
        let seed = hash(self.subject.config.seed ^ which as u64) as u32;
        let fibre = noise3(v3(s * 16.0, c * 16.0, r * 3.0), seed);
        let iris =
            self.iris * (1.5 + 0.7 * fibre + 0.5 * smoothstep(0.2, 0.45, r)) * mix(1.0, 0.35, smoothstep(0.46, 0.6, r));
        let dark = v3(0.008, 0.007, 0.007);
        let coloured = mix3(dark, iris, smoothstep(0.19, 0.25, r));
        let corner = smoothstep(0.6, 1.15, (hit - eye.gaze * hit.dot(eye.gaze)).length());
        let white = mix3(v3(0.66, 0.63, 0.60), v3(0.52, 0.36, 0.33), corner);
        let albedo = mix3(white, coloured, smoothstep(0.64, 0.57, r));
        // The upper lid and its lashes shade the ball.
        let shade = mix(1.0, 0.22, smoothstep(0.72, 1.05, lid)) * mix(0.55, 1.0, smoothstep(-0.05, 0.2, lid));
        let view = -ray;
        let light = self.diffuse(lit, mix3(n, v3(0.0, 0.0, 1.0), 0.4).unit(), v3(0.3, 0.3, 0.3));
        // The cornea bulges: its reflections lie on the iris.
        let cornea = mix3(n, eye.gaze, 0.25).unit();
        let shine = self.gleam(lit, cornea, view, 8) * 1.1;
        (albedo.times(light) * 0.85 + shine) * shade
    }

    /// Teeth, tongue and darkness behind the lips.
    fn mouth(&self, point: V3, ray: V3, lit: f32) -> V3 {
        let placement = &self.scene.placement;
        let teeth = &self.scene.teeth;
        let (p, d) = (placement.undo_point(point), placement.undo_direction(ray));
        // The rows of teeth stand on a vertical cylinder.
        let (ox, oz) = (p.x - teeth.middle.x, p.z - teeth.middle.z);
        let a = (d.x * d.x + d.z * d.z).max(1e-6);
        let b = ox * d.x + oz * d.z;
        let c = ox * ox + oz * oz - teeth.radius * teeth.radius;
        let root = b * b - a * c;
        let light = self.diffuse(lit, v3(0.0, 0.0, 1.0), V3::default());
        let deep = v3(0.10, 0.028, 0.026) * 0.5;
        if root <= 0.0 {
            return deep.times(light) * 0.5;
        }
        let t = ((-b - root.sqrt()) / a).max(0.0);
        let hit = p + d * t;
        let turn = libm::atan2f(hit.x - teeth.middle.x, (hit.z - teeth.middle.z).max(0.05));
        // Incisors are widest.
        let number = turn / 0.30;
        let gap = (number - number.floor() - 0.5).abs();
        let enamel = v3(0.62, 0.57, 0.48) * (1.0 - 0.5 * smoothstep(0.42, 0.5, gap));
        let bow = 0.04 * squared(gap * 2.0, 1);
        let upper = smoothstep(teeth.upper + bow, teeth.upper + bow + 0.06, hit.y);
        let lower = smoothstep(teeth.lower - bow, teeth.lower - bow - 0.06, hit.y);
        let shade = mix(0.75, 0.12, smoothstep(0.15, 1.1, turn.abs()));
        let gum = smoothstep(teeth.upper + 0.95, teeth.upper + 1.05, hit.y);
        let tooth = mix3(enamel, v3(0.42, 0.16, 0.15), gum) * shade;
        let tongue = v3(0.36, 0.12, 0.11) * (0.55 * smoothstep(teeth.upper - 0.5, teeth.lower + 0.2, hit.y));
        let inside = deep + tongue;
        mix3(inside, tooth, upper.max(lower * 0.8)).times(light) * 0.9
    }

    fn strands(&self, lit: f32, normal: V3, view: V3, uv: [f32; 2], shell: u8, albedo: V3) -> V3 {
        let n = if normal.dot(view) < 0.0 { -normal } else { normal };
        // Strands lie along the surface, away from the crown.
        let flow = (n * self.crown.dot(n) - self.crown).unit();
        let strand = self.subject.strands.at(uv[0], uv[1]);
        let depth = f32::from(shell) / 5.0;
        let cover = mix(0.45, 1.0, depth) * mix(0.55, 1.25, strand);
        let light = self.diffuse(lit, n, v3(0.25, 0.25, 0.25));
        // A strand shines across itself (Kajiya and Kay, SIGGRAPH 1989).
        let shine = |l: V3, shift: f32, sharpness: u32| {
            let half = (l + view).unit();
            let along = (flow + n * shift).unit().dot(half);
            squared((1.0 - along * along).max(0.0).sqrt(), sharpness) * smoothstep(-0.3, 0.6, n.dot(l))
        };
        let jitter = 0.25 * (strand - 0.5);
        let lamps = &self.lamps;
        let one = |l: V3| shine(l, jitter - 0.08, 6) * 0.06 * strand;
        let two = |l: V3| shine(l, jitter + 0.12, 4) * 0.35 * strand;
        let bright = albedo * two(lamps.key) + v3(1.0, 1.0, 1.0) * one(lamps.key);
        (albedo.times(light) + lamps.key_colour.times(bright) * lit) * cover
    }
}
