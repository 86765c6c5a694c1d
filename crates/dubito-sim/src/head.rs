//! The head as a surface: the face's mesh, a skull that closes it, smoothed to four times the triangles.
//!
//! The refinement keeps every landmark where it is: new points lie on the curve that a cubic patch would have through
//! an edge's two ends and normals (Vlachos, Peters, Boyd and Mitchell, "Curved PN triangles", I3D 2001).

use std::collections::BTreeMap;

use crate::canonical::{TRIANGLES, UV, VERTICES};
use crate::landmarks::{FACE_OVAL, LEFT_EYE, LIPS_INNER, RIGHT_EYE};
use crate::math::{V3, mix, v3};

/// What a triangle shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Material {
    /// Skin of the face, in the face's texture.
    Face,
    /// Skin behind the face's outline, in the skull's texture.
    Skull,
    /// Skin of the ears and the neck.
    Skin,
    /// The opening of the right eye.
    RightEye,
    /// The opening of the left eye.
    LeftEye,
    /// The opening of the mouth.
    Mouth,
    /// Hair on the head; the shell's number counts from the scalp.
    Hair(u8),
    /// Hair of the beard.
    Beard(u8),
    /// Clothes.
    Cloth,
    /// The frame of spectacles.
    Frame,
}

/// Rings of the skull behind the face's outline, the outline itself left out.
const RINGS: usize = 11;
/// Points in a ring.
const RIM: usize = FACE_OVAL.len();

/// The head's surface at rest: what does not change from frame to frame.
#[derive(Debug)]
pub(crate) struct Head {
    /// Triangles of the refined surface.
    pub triangles: Vec<([u32; 3], Material)>,
    /// Places in the canonical head, refined.
    pub rest: Vec<V3>,
    /// Places in the texture, refined.
    pub uv: Vec<[f32; 2]>,
    coarse: Vec<([u32; 3], Material)>,
    /// New points: the two ends of their edge, and whether it is an edge of skin.
    middles: Vec<(u32, u32, bool)>,
    /// Pairs of points that lie at one place and share a normal: the outline is in both textures.
    seams: Vec<(u32, u32)>,
}

fn is_skin(m: Material) -> bool {
    matches!(m, Material::Face | Material::Skull)
}

impl Head {
    pub fn new() -> Self {
        let inside = |t: &[u16; 3], ring: &[usize]| t.iter().all(|&v| ring.contains(&usize::from(v)));
        let mut coarse: Vec<([u32; 3], Material)> = TRIANGLES
            .iter()
            .map(|t| {
                let material = if inside(t, &RIGHT_EYE) {
                    Material::RightEye
                } else if inside(t, &LEFT_EYE) {
                    Material::LeftEye
                } else if inside(t, &LIPS_INNER) {
                    Material::Mouth
                } else {
                    Material::Face
                };
                (t.map(u32::from), material)
            })
            .collect();
        let first = VERTICES.len() as u32;
        let at = |ring: usize, i: usize| first + (ring * RIM + i % RIM) as u32;
        for ring in 0..RINGS - 1 {
            for i in 0..RIM {
                let (a, b, c, d) = (at(ring, i), at(ring, i + 1), at(ring + 1, i + 1), at(ring + 1, i));
                coarse.push(([a, b, c], Material::Skull));
                coarse.push(([a, c, d], Material::Skull));
            }
        }
        let pole = at(RINGS, 0);
        for i in 0..RIM {
            coarse.push(([at(RINGS - 1, i), at(RINGS - 1, i + 1), pole], Material::Skull));
        }

        let mut rest = with_skull(VERTICES.iter().map(|&p| V3::from(p)).collect());
        let mut uv: Vec<[f32; 2]> = UV.to_vec();
        for ring in 0..RINGS {
            uv.extend((0..RIM).map(|i| [i as f32 / RIM as f32, ring as f32 / RINGS as f32]));
        }
        uv.push([0.5, 1.0]);
        let mut seams: Vec<(u32, u32)> = (0..RIM).map(|i| (FACE_OVAL[i] as u32, at(0, i))).collect();

        // One new point on each edge, four triangles for each.
        let mut middles: Vec<(u32, u32, bool)> = Vec::new();
        let mut known: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        let mut triangles = Vec::with_capacity(coarse.len() * 4);
        let points = rest.len() as u32;
        for &([a, b, c], material) in &coarse {
            let mut middle = |a: u32, b: u32| {
                let index = *known.entry((a.min(b), a.max(b))).or_insert_with(|| {
                    middles.push((a.min(b), a.max(b), false));
                    points + middles.len() as u32 - 1
                });
                middles[(index - points) as usize].2 |= is_skin(material);
                index
            };
            let (ab, bc, ca) = (middle(a, b), middle(b, c), middle(c, a));
            for t in [[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]] {
                triangles.push((t, material));
            }
        }
        for (i, &from) in FACE_OVAL.iter().enumerate() {
            let (a, b) = (from as u32, FACE_OVAL[(i + 1) % RIM] as u32);
            let (c, d) = (at(0, i), at(0, i + 1));
            if let (Some(&face), Some(&skull)) = (known.get(&(a.min(b), a.max(b))), known.get(&(c.min(d), c.max(d)))) {
                seams.push((face, skull));
            }
        }
        for &(a, b, _) in &middles {
            let (a, b) = (a as usize, b as usize);
            rest.push((rest[a] + rest[b]) * 0.5);
            // The skull's texture goes round: its last edge leads from 35/36 to 1.
            let (ua, ub) = (uv[a], uv[b]);
            let wraps = a >= VERTICES.len() && (ua[0] - ub[0]).abs() > 0.5;
            let u = (ua[0] + ub[0]) * 0.5 + if wraps { 0.5 } else { 0.0 };
            uv.push([u, (ua[1] + ub[1]) * 0.5]);
        }
        Self { triangles, rest, uv, coarse, middles, seams }
    }

    /// Points and outward normals of the refined surface, from the landmarks.
    pub fn surface(&self, landmarks: Vec<V3>) -> (Vec<V3>, Vec<V3>) {
        let mut points = with_skull(landmarks);
        let normals = self.normals(&points, &self.coarse);
        points.reserve(self.middles.len());
        for &(a, b, skin) in &self.middles {
            let (p, q) = (points[a as usize], points[b as usize]);
            let mut middle = (p + q) * 0.5;
            if skin {
                let (n, m) = (normals[a as usize], normals[b as usize]);
                let bulge = n * (q - p).dot(n) + m * (p - q).dot(m);
                middle = middle - bulge * 0.125;
            }
            points.push(middle);
        }
        let normals = self.normals(&points, &self.triangles);
        (points, normals)
    }

    /// The rings of the canonical skull, from the outline backwards, and the pole repeated as the last.
    pub fn skull_rest(&self) -> Vec<V3> {
        let first = VERTICES.len();
        let mut rings = self.rest[first..first + RINGS * RIM].to_vec();
        rings.extend([self.rest[first + RINGS * RIM]; RIM]);
        rings
    }

    fn normals(&self, points: &[V3], triangles: &[([u32; 3], Material)]) -> Vec<V3> {
        let mut sums = vec![V3::default(); points.len()];
        for ([a, b, c], material) in triangles {
            if is_skin(*material) {
                let (a, b, c) = (*a as usize, *b as usize, *c as usize);
                let n = (points[b] - points[a]).cross(points[c] - points[a]);
                for v in [a, b, c] {
                    sums[v] += n;
                }
            }
        }
        for &(a, b) in &self.seams {
            let (a, b) = (a as usize, b as usize);
            if b < sums.len() && a < sums.len() {
                let sum = sums[a] + sums[b];
                (sums[a], sums[b]) = (sum, sum);
            }
        }
        sums.into_iter().map(V3::unit).collect()
    }
}

/// The middle of the skull.
pub(crate) const SKULL_CENTRE: V3 = v3(0.0, 3.0, -3.8);

/// Adds the skull's rings to the landmarks: each point of the outline is carried over the head to its back.
fn with_skull(landmarks: Vec<V3>) -> Vec<V3> {
    let mut points = landmarks;
    let width = (points[356].x - points[127].x) * 0.5;
    let centre = SKULL_CENTRE;
    let radius = |d: V3| {
        let (up, back) = (if d.y > 0.0 { 10.0 } else { 8.2 }, if d.z > 0.0 { 9.0 } else { 9.6 });
        let (x, y, z) = (d.x / width, d.y / up, d.z / back);
        1.0 / (x * x + y * y + z * z).sqrt()
    };
    let pole = v3(0.0, -0.12, -1.0).unit();
    let rim: Vec<V3> = FACE_OVAL.iter().map(|&i| points[i]).collect();
    for ring in 0..RINGS {
        let t = ring as f32 / RINGS as f32;
        for &p in &rim {
            if ring == 0 {
                points.push(p);
                continue;
            }
            let from = (p - centre).unit();
            let excess = (p - centre).length() / radius(from);
            // Equal steps of angle from the outline to the pole.
            let angle = libm::acosf(from.dot(pole).clamp(-0.999, 0.999));
            let side = (from - pole * from.dot(pole)).unit();
            let a = angle * (1.0 - t);
            let d = pole * crate::math::cos(a) + side * crate::math::sin(a);
            let keep = (1.0 - t) * (1.0 - t) * (1.0 - t);
            points.push(centre + d * (radius(d) * mix(1.0, excess, keep)));
        }
    }
    points.push(centre + pole * radius(pole));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refinement_keeps_the_landmarks_and_normals_point_outwards() {
        let head = Head::new();
        let landmarks: Vec<V3> = VERTICES.iter().map(|&p| V3::from(p)).collect();
        let (points, normals) = head.surface(landmarks.clone());
        assert_eq!(points[..468], landmarks[..]);
        assert_eq!(points.len(), head.rest.len());
        // The head is nearly convex around its middle: all but nostrils, lids and lips look away from it.
        let outwards = points.iter().zip(&normals).filter(|(p, n)| (**p - SKULL_CENTRE).dot(**n) > 0.0).count();
        assert!(outwards as f32 > 0.97 * points.len() as f32, "{outwards} of {}", points.len());
        for n in normals {
            assert!((n.length() - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn openings_are_found() {
        let head = Head::new();
        let count = |m| head.coarse.iter().filter(|(_, n)| *n == m).count();
        assert_eq!([count(Material::RightEye), count(Material::LeftEye), count(Material::Mouth)], [14, 14, 18]);
    }
}
