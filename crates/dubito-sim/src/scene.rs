//! One moment as triangles in the world: head, hair, ears, neck, clothes, spectacles.
//!
//! The world has its origin between the eyes' height and the nose, in the middle of the head at rest.

use crate::config::HairStyle;
use crate::hair::{Growth, SHELLS};
use crate::head::{Material, SKULL_CENTRE};
use crate::landmarks::{LEFT_EYE, LIPS_INNER, RIGHT_EYE};
use crate::math::{Rotation, V3, cos, mix, mix3, sin, smoothstep, v3};
use crate::performance::Truth;
use crate::subject::Subject;

/// Where head and neck turn about each other.
const PIVOT: V3 = v3(0.0, -3.0, -4.5);
const TAU: f32 = std::f32::consts::TAU;

/// A corner of triangles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vertex {
    pub point: V3,
    pub normal: V3,
    /// Place in a texture; what it means depends on the material.
    pub uv: [f32; 2],
    /// Skin: shade by hand, 1 for none. Hair: distance inside the hairline. Eye: 0 lower lid to 1 upper lid.
    pub extra: f32,
}

/// Three corners and what they show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Triangle {
    pub corners: [u32; 3],
    pub material: Material,
    /// Seen from behind, too; what is not is a closed surface.
    pub two_sided: bool,
}

/// An eyeball.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eye {
    pub centre: V3,
    pub radius: f32,
    /// Where it looks.
    pub gaze: V3,
}

/// The head's place in the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    rotation: Rotation,
    shift: V3,
}

impl Placement {
    /// From the head to the world.
    pub fn point(&self, p: V3) -> V3 {
        self.rotation.apply(p - PIVOT) + PIVOT + self.shift
    }

    pub fn direction(&self, d: V3) -> V3 {
        self.rotation.apply(d)
    }

    /// From the world to the head.
    pub fn undo_point(&self, p: V3) -> V3 {
        self.rotation.undo(p - PIVOT - self.shift) + PIVOT
    }

    pub fn undo_direction(&self, d: V3) -> V3 {
        self.rotation.undo(d)
    }
}

/// One moment.
#[derive(Debug)]
pub(crate) struct Scene {
    pub vertices: Vec<Vertex>,
    pub triangles: Vec<Triangle>,
    /// The 468 landmarks.
    pub landmarks: Vec<V3>,
    pub placement: Placement,
    /// Right and left.
    pub eyes: [Eye; 2],
    /// Teeth, in the head: the lower edge of the upper row, the upper edge of the lower row, the place of the row.
    pub teeth: Teeth,
}

/// Where the teeth are, in the head: heights of the two edges, and the arch's middle and radius.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Teeth {
    pub upper: f32,
    pub lower: f32,
    pub middle: V3,
    pub radius: f32,
}

impl Scene {
    pub fn new(subject: &Subject, truth: &Truth, camera_distance: f32) -> Self {
        let config = &subject.config;
        let pose = &truth.pose;
        let radians = TAU / 360.0;
        let placement = Placement {
            rotation: Rotation::from_yaw_pitch_roll(pose.yaw * radians, pose.pitch * radians, pose.roll * radians),
            shift: pose.shift.into(),
        };
        let local = subject.face.posed(truth.mouth_opening, truth.mouth_spread, truth.eye_opening);
        let eyes = [&RIGHT_EYE, &LEFT_EYE].map(|ring| {
            // Placed by the open eye, so that a blink does not move the ball.
            let open = subject.neutral(ring);
            let radius = 1.22;
            let centre = placement.point(open - v3(0.0, -0.03, radius * 0.98));
            let target = v3(0.0, 0.0, camera_distance);
            let [right, down] = truth.gaze.map(|g| g * radians);
            let to = (target - centre).unit() + v3(right, -down, 0.0);
            Eye { centre, radius, gaze: to.unit() }
        });
        let teeth = teeth(&local, subject, truth);
        let (points, normals) = subject.head.surface(local);
        let mut scene = Self {
            vertices: Vec::with_capacity(12_000),
            triangles: Vec::with_capacity(24_000),
            landmarks: points[..468].iter().map(|&p| placement.point(p)).collect(),
            placement,
            eyes,
            teeth,
        };
        scene.head(subject, &points, &normals);
        let body = Body { placement: &placement, breath: truth.breath, shift: V3::from(pose.shift) * 0.35 };
        scene.ears(&points);
        scene.neck(&body, config.clothes.neckline);
        scene.clothes(&body, config.clothes.neckline);
        scene.hair(subject, &points, &normals);
        scene.beard(subject, &points, &normals);
        match config.hair.style {
            HairStyle::Long => scene.long_hair(&body, config.hair.volume),
            HairStyle::Bun => scene.bun(config.hair.volume),
            _ => {}
        }
        if config.glasses.is_some() {
            scene.glasses(&points);
        }
        scene
    }

    fn push(&mut self, vertices: impl Iterator<Item = Vertex>) -> u32 {
        let first = self.vertices.len() as u32;
        self.vertices.extend(vertices);
        first
    }

    fn head(&mut self, subject: &Subject, points: &[V3], normals: &[V3]) {
        let (head, placement) = (&subject.head, self.placement);
        // The eyes' openings carry how far up between the lids a place is.
        let lid = |i: usize| match [&RIGHT_EYE, &LEFT_EYE].iter().find_map(|ring| ring.iter().position(|&v| v == i)) {
            Some(0 | 8) => 0.5,
            Some(place) => f32::from(u8::from(place < 8)),
            None => 1.0,
        };
        self.push((0..points.len()).map(|i| Vertex {
            point: placement.point(points[i]),
            normal: placement.direction(normals[i]),
            uv: head.uv[i],
            extra: if i < 468 { lid(i) } else { 1.0 },
        }));
        self.triangles.extend(head.triangles.iter().map(|&(corners, material)| Triangle {
            corners,
            material,
            two_sided: false,
        }));
    }

    /// Hair as shells around the head.
    fn hair(&mut self, subject: &Subject, points: &[V3], normals: &[V3]) {
        let growth = &subject.growth;
        self.shells(&subject.hair_triangles, growth, points, normals, Material::Hair, |inside| {
            // Strands fall forward over a fringe and down at the sides.
            v3(0.0, -0.1, 0.05) * smoothstep(1.0, -0.2, inside)
        });
    }

    fn beard(&mut self, subject: &Subject, points: &[V3], normals: &[V3]) {
        self.shells(&subject.beard_triangles, &subject.beard, points, normals, Material::Beard, |_| {
            v3(0.0, -0.25, 0.05)
        });
    }

    fn shells(
        &mut self,
        triangles: &[[u32; 3]],
        growth: &[Growth],
        points: &[V3],
        normals: &[V3],
        material: fn(u8) -> Material,
        lean: impl Fn(f32) -> V3,
    ) {
        let placement = self.placement;
        // The outermost first: what it hides need not be drawn.
        for (number, &(height, _)) in SHELLS.iter().enumerate().rev() {
            if triangles.is_empty() {
                return;
            }
            let first = self.push((0..points.len()).map(|i| {
                let g = &growth[i];
                let off = (normals[i] + lean(g.inside)) * (0.03 + g.thickness * height);
                Vertex {
                    point: placement.point(points[i] + off),
                    normal: placement.direction(normals[i]),
                    uv: g.strand,
                    extra: g.inside,
                }
            }));
            self.triangles.extend(triangles.iter().map(|t| Triangle {
                corners: t.map(|v| v + first),
                material: material(number as u8),
                two_sided: false,
            }));
        }
    }

    /// A sheet of `columns` by `rows` quads; `place` gives the point, the texture's place and the extra value.
    fn sheet(
        &mut self,
        columns: usize,
        rows: usize,
        material: Material,
        place: impl Fn(f32, f32) -> (V3, [f32; 2], f32),
    ) {
        let stride = columns + 1;
        let first = self.vertices.len();
        for j in 0..=rows {
            for i in 0..=columns {
                let (point, uv, extra) = place(i as f32 / columns as f32, j as f32 / rows as f32);
                self.vertices.push(Vertex { point, normal: V3::default(), uv, extra });
            }
        }
        for j in 0..rows {
            for i in 0..columns {
                let a = first + j * stride + i;
                let (b, c, d) = (a + 1, a + stride + 1, a + stride);
                for t in [[a, b, c], [a, c, d]] {
                    let [p, q, r] = t.map(|v| self.vertices[v].point);
                    let n = (q - p).cross(r - p);
                    for v in t {
                        self.vertices[v].normal += n;
                    }
                    self.triangles.push(Triangle { corners: t.map(|v| v as u32), material, two_sided: true });
                }
            }
        }
        // What closes round shares its normals along the join.
        for j in 0..=rows {
            let (a, b) = (first + j * stride, first + j * stride + columns);
            if (self.vertices[a].point - self.vertices[b].point).length() < 1e-3 {
                let sum = self.vertices[a].normal + self.vertices[b].normal;
                (self.vertices[a].normal, self.vertices[b].normal) = (sum, sum);
            }
        }
        for v in &mut self.vertices[first..] {
            v.normal = v.normal.unit();
        }
    }

    fn ears(&mut self, points: &[V3]) {
        let placement = self.placement;
        for side in [-1.0f32, 1.0] {
            // Behind the outline beside the cheekbone.
            let at = points[if side < 0.0 { 234 } else { 454 }] + v3(side * -0.15, 0.1, -1.3);
            let up = v3(side * 0.12, 0.97, -0.2);
            let back = v3(side * 0.52, -0.12, -0.84);
            let out = v3(side * 0.84, 0.0, 0.5);
            self.sheet(20, 6, Material::Skin, |u, v| {
                let a = u * TAU * -side;
                // Wide above, narrow at the lobe; a raised rim around a hollow.
                let wide = mix(1.15, 1.65, smoothstep(-1.0, 0.6, sin(a)));
                let rim = smoothstep(0.45, 0.82, v) * smoothstep(1.02, 0.88, v);
                let p = at
                    + back * (0.9 + v * wide * cos(a))
                    + up * (v * 3.1 * sin(a))
                    + out * (0.15 + 0.55 * rim - 0.25 * smoothstep(0.6, 0.2, v) - 0.2 * smoothstep(0.9, 1.0, v));
                (placement.point(p), [0.2 * u, 0.3 * v], mix(0.45, 1.0, smoothstep(0.1, 0.8, v)))
            });
        }
    }

    fn neck(&mut self, body: &Body<'_>, neckline: f32) {
        self.sheet(28, 16, Material::Skin, |u, v| {
            let a = u * TAU;
            let y = mix(-3.0, -24.0, v);
            let spread = smoothstep(-12.5, -24.0, y);
            let rx = mix(6.0, 11.0, spread * spread);
            let rz = mix(5.7, 7.5, spread);
            // Two cords meet above the breastbone.
            let front = cos(a).max(0.0);
            let cord = 0.35 * smoothstep(-16.0, -10.0, y) * crate::math::bell((sin(a).abs() - 0.45) / 0.22) * front;
            let p = v3(sin(a) * (rx + cord), y, -4.6 + cos(a) * (rz + cord) + 0.9 * spread * neckline.min(2.0) * 0.3);
            let under_chin = mix(0.55, 1.0, smoothstep(-8.0, -14.5, y));
            (body.bend(p, smoothstep(-16.0, -5.0, y)), [u, v], under_chin)
        });
    }

    fn clothes(&mut self, body: &Body<'_>, neckline: f32) {
        self.sheet(40, 20, Material::Cloth, |u, v| {
            let a = u * TAU;
            let front = cos(a).max(0.0);
            // The collar is highest behind.
            let top = -12.9 - neckline * front * front * front - 1.2 * front;
            let y = mix(top, -46.0, v * v * 0.7 + v * 0.3);
            let down = -12.7 - y;
            // From the neck over the slope of the shoulders to the arms.
            let slope = smoothstep(0.0, 7.5, down);
            let rx = mix(6.9, 20.5, (slope * 0.75 + 0.25 * smoothstep(0.0, 3.0, down)).min(1.0)) + 0.05 * down.max(0.0);
            let rz = mix(6.4, 10.0, slope);
            let (s, c) = (sin(a), cos(a));
            let p = v3(s * rx, y, -4.6 + c * rz + 0.8 * front * slope);
            (body.bend(p, 0.0), [u, y * 0.05], smoothstep(0.0, 0.08, v) * 0.35 + 0.65)
        });
    }

    /// A curtain around the neck, open in front.
    fn long_hair(&mut self, body: &Body<'_>, volume: f32) {
        for (number, &(height, _)) in SHELLS.iter().enumerate().skip(1).rev() {
            self.sheet(30, 12, Material::Hair(number as u8), |u, v| {
                let a = mix(-1.12, 1.12, u) * std::f32::consts::PI * 0.56 + std::f32::consts::PI;
                let y = mix(6.5, -19.0, v);
                let flare = smoothstep(3.0, -14.0, y);
                let out = volume * (0.5 + 1.5 * height) * mix(0.4, 1.0, smoothstep(7.0, 1.0, y));
                let rx = mix(7.3, 7.9, flare) + out + 0.3 * sin(a * 9.0) * flare;
                let rz = mix(9.0, 8.0, flare) + out;
                let p = v3(sin(a) * rx, y, -3.9 + cos(a) * rz);
                let edge = (0.5 - (u - 0.5).abs()) * 14.0;
                let end = (1.0 - v) * 5.0;
                (body.bend(p, smoothstep(-18.0, 0.0, y)), [u * 0.8 + 0.1, v * 0.5], edge.min(end).min(3.0))
            });
        }
    }

    /// A knot on top of the head.
    fn bun(&mut self, volume: f32) {
        let placement = self.placement;
        let centre = SKULL_CENTRE + v3(0.0, 10.6, -2.4);
        for (number, &(height, _)) in SHELLS.iter().enumerate().skip(1).rev() {
            let r = (2.3 + 0.9 * height) * volume;
            self.sheet(24, 12, Material::Hair(number as u8), |u, v| {
                let (a, b) = (u * TAU, v * TAU * 0.5);
                let p = centre + v3(cos(a) * sin(b) * r * 1.1, cos(b) * r * 0.85, -sin(a) * sin(b) * r);
                (placement.point(p), [u * 0.5 + v * 0.35, u * 0.2 + 0.3], 3.0)
            });
        }
    }

    fn glasses(&mut self, points: &[V3]) {
        let placement = self.placement;
        let bridge = points[168];
        // Before the lashes and the bridge of the nose.
        let z = points[159].z.max(points[386].z) + 1.35;
        let tube = |path: &dyn Fn(f32) -> V3, u: f32, v: f32, thick: f32| {
            let along = (path(u + 0.01) - path(u - 0.01)).unit();
            let side = along.cross(v3(0.0, 0.3, 1.0).unit()).unit();
            path(u) + (side * cos(v * TAU) + along.cross(side) * sin(v * TAU)) * thick
        };
        for side in [-1.0f32, 1.0] {
            let eye = (points[if side < 0.0 { 33 } else { 263 }] + points[if side < 0.0 { 133 } else { 362 }]) * 0.5;
            let rim = move |u: f32| {
                let a = u * TAU;
                // Between an ellipse and a rectangle.
                let round = |x: f32| x.signum() * x.abs().sqrt().sqrt() * x.abs().sqrt();
                let x = eye.x + side * 0.12 + 2.5 * round(cos(a));
                v3(x, eye.y - 0.25 + 1.9 * round(sin(a)), z - 0.02 * x * x)
            };
            self.sheet(36, 5, Material::Frame, |u, v| (placement.point(tube(&rim, u, v, 0.13)), [u, v], 1.0));
            let ear = points[if side < 0.0 { 127 } else { 356 }] + v3(side * 0.35, 0.5, -2.5);
            let hinge = v3(eye.x + side * 2.6, eye.y + 0.3, z - 0.02 * (eye.x.abs() + 2.6).powi(2));
            let temple = move |u: f32| {
                let bow = 4.0 * u * (1.0 - u);
                mix3(hinge, ear, u) + v3(side * 0.55 * bow, 0.1 * bow, 0.0)
            };
            self.sheet(8, 5, Material::Frame, |u, v| (placement.point(tube(&temple, u, v, 0.13)), [u, v], 1.0));
        }
        let (left, right) = (points[362].x - 0.35, points[133].x + 0.35);
        let over = move |u: f32| {
            v3(
                mix(right - 0.2, left + 0.2, u),
                bridge.y - 0.2 + 0.35 * sin(u * TAU * 0.5),
                z + 0.25 * sin(u * TAU * 0.5),
            )
        };
        self.sheet(8, 5, Material::Frame, |u, v| (placement.point(tube(&over, u, v, 0.13)), [u, v], 1.0));
    }
}

/// What stays below when the head turns.
struct Body<'a> {
    placement: &'a Placement,
    breath: f32,
    shift: V3,
}

impl Body<'_> {
    /// To the world, going with the head by a share.
    fn bend(&self, p: V3, with_head: f32) -> V3 {
        let still = p + self.shift + v3(0.0, 0.08, 0.06) * self.breath;
        mix3(still, self.placement.point(p), with_head)
    }
}

fn teeth(points: &[V3], subject: &Subject, truth: &Truth) -> Teeth {
    let middle = LIPS_INNER.iter().map(|&i| points[i]).fold(V3::default(), |a, b| a + b) * (1.0 / 20.0);
    let lips = subject.neutral(&LIPS_INNER);
    let radius = 2.5;
    Teeth {
        upper: lips.y - 0.18,
        lower: lips.y - 0.22 - 2.3 * truth.mouth_opening,
        middle: v3(middle.x, 0.0, lips.z - 0.75 - radius),
        radius,
    }
}
