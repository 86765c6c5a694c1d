//! Triangles to pixels: what is in front at four places of each pixel, for one band of rows.

use crate::hair::{SHELLS, Strands};
use crate::head::Material;
use crate::scene::{Scene, Vertex};

/// The four places of a pixel at which it is asked what is in front: a rotated grid.
pub(crate) const SAMPLES: [(f32, f32); 4] = [(0.375, 0.125), (0.875, 0.375), (0.125, 0.625), (0.625, 0.875)];
/// No triangle.
pub(crate) const NONE: u32 = u32::MAX;

/// A corner on the screen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Corner {
    /// In pixels.
    pub x: f32,
    pub y: f32,
    /// One over the distance along the optical axis: this, not the distance, is linear on the screen.
    pub nearness: f32,
}

/// A pinhole camera that looks along -z.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinhole {
    pub width: u32,
    pub height: u32,
    /// Focal length in pixels.
    pub focal: f32,
    /// Where it is.
    pub y: f32,
    pub z: f32,
}

impl Pinhole {
    pub fn project(&self, p: crate::math::V3) -> Corner {
        let nearness = 1.0 / (self.z - p.z).max(1.0);
        Corner {
            x: self.width as f32 * 0.5 + self.focal * p.x * nearness,
            y: self.height as f32 * 0.5 - self.focal * (p.y - self.y) * nearness,
            nearness,
        }
    }

    /// The direction of the ray through a place of the screen, 1 along the axis.
    pub fn ray(&self, x: f32, y: f32) -> crate::math::V3 {
        let (x, y) = (x - self.width as f32 * 0.5, y - self.height as f32 * 0.5);
        crate::math::v3(x / self.focal, -y / self.focal, -1.0)
    }
}

/// Weights of a triangle's corners at a place of the screen, not yet corrected for perspective.
pub(crate) fn weights(c: &[Corner; 3], x: f32, y: f32) -> Option<[f32; 3]> {
    let area = (c[1].x - c[0].x) * (c[2].y - c[0].y) - (c[2].x - c[0].x) * (c[1].y - c[0].y);
    if area == 0.0 {
        return None;
    }
    let v = ((x - c[0].x) * (c[2].y - c[0].y) - (c[2].x - c[0].x) * (y - c[0].y)) / area;
    let w = ((c[1].x - c[0].x) * (y - c[0].y) - (x - c[0].x) * (c[1].y - c[0].y)) / area;
    Some([1.0 - v - w, v, w])
}

/// What is in front at each sample of a band of rows.
pub(crate) struct Band {
    pub first_row: u32,
    pub rows: u32,
    width: u32,
    /// Triangle and nearness of each sample, four to a pixel.
    ids: Vec<u32>,
    nearness: Vec<f32>,
}

impl Band {
    pub fn new(first_row: u32, rows: u32, width: u32) -> Self {
        let samples = (rows * width) as usize * SAMPLES.len();
        Self { first_row, rows, width, ids: vec![NONE; samples], nearness: vec![0.0; samples] }
    }

    /// Triangle and nearness at the four samples of a pixel.
    pub fn pixel(&self, x: u32, row: u32) -> ([u32; 4], [f32; 4]) {
        let at = (row * self.width + x) as usize * 4;
        let mut ids = [0; 4];
        let mut near = [0.0; 4];
        ids.copy_from_slice(&self.ids[at..at + 4]);
        near.copy_from_slice(&self.nearness[at..at + 4]);
        (ids, near)
    }

    /// Draws one triangle. Of two at the same depth the one drawn first stays.
    pub fn draw(&mut self, id: u32, scene: &Scene, corners: &[Corner], strands: &Strands) {
        let triangle = &scene.triangles[id as usize];
        let c = triangle.corners.map(|v| corners[v as usize]);
        let area = (c[1].x - c[0].x) * (c[2].y - c[0].y) - (c[2].x - c[0].x) * (c[1].y - c[0].y);
        // The screen's y points down: what faces the camera has a negative area.
        if area == 0.0 || (area > 0.0 && !triangle.two_sided) {
            return;
        }
        let hair = match triangle.material {
            Material::Hair(shell) | Material::Beard(shell) => Some(usize::from(shell)),
            _ => None,
        };
        let inverse = 1.0 / area;
        let clamp = |v: f32, top: u32| v.clamp(0.0, top as f32) as u32;
        let low_x = clamp(c[0].x.min(c[1].x).min(c[2].x).floor(), self.width);
        let high_x = clamp(c[0].x.max(c[1].x).max(c[2].x).ceil(), self.width);
        let low_y = clamp(c[0].y.min(c[1].y).min(c[2].y).floor(), self.first_row + self.rows).max(self.first_row);
        let high_y = clamp(c[0].y.max(c[1].y).max(c[2].y).ceil(), self.first_row + self.rows);
        // Weights and nearness are linear: value at the first corner and slope along x and y.
        let dv = ((c[2].y - c[0].y) * inverse, (c[0].x - c[2].x) * inverse);
        let dw = ((c[0].y - c[1].y) * inverse, (c[1].x - c[0].x) * inverse);
        let (near_v, near_w) = (c[1].nearness - c[0].nearness, c[2].nearness - c[0].nearness);
        // The largest that a weight can be in a pixel, over its value at the pixel's corner.
        let most = |d: (f32, f32)| d.0.max(0.0) + d.1.max(0.0);
        let (most_v, most_w) = (most(dv), most(dw));
        let most_u = most((-dv.0 - dw.0, -dv.1 - dw.1));
        for y in low_y..high_y {
            let row = (y - self.first_row) * self.width;
            for x in low_x..high_x {
                let (px, py) = (x as f32 - c[0].x, y as f32 - c[0].y);
                let (v, w) = (px * dv.0 + py * dv.1, px * dw.0 + py * dw.1);
                if v + most_v < 0.0 || w + most_w < 0.0 || 1.0 - v - w + most_u < 0.0 {
                    continue;
                }
                let mut open = 0b1111u32;
                let mut asked = false;
                for (s, &(sx, sy)) in SAMPLES.iter().enumerate() {
                    let (qx, qy) = (px + sx, py + sy);
                    let v = qx * dv.0 + qy * dv.1;
                    let w = qx * dw.0 + qy * dw.1;
                    if v < 0.0 || w < 0.0 || v + w > 1.0 {
                        continue;
                    }
                    let near = c[0].nearness + v * near_v + w * near_w;
                    let at = (row + x) as usize * 4 + s;
                    if near <= self.nearness[at] {
                        continue;
                    }
                    if let (Some(shell), false) = (hair, asked) {
                        let vertices = triangle.corners.map(|v| &scene.vertices[v as usize]);
                        open = strand_mask(vertices, [1.0 - v - w, v, w], shell, strands);
                        asked = true;
                    }
                    if open >> s & 1 == 1 {
                        self.nearness[at] = near;
                        self.ids[at] = id;
                    }
                }
            }
        }
    }
}

/// Three places on a circle of length 1, brought to the same turn.
pub(crate) fn around(u: [f32; 3]) -> [f32; 3] {
    let high = u[0].max(u[1]).max(u[2]);
    u.map(|x| if high - x > 0.5 { x + 1.0 } else { x })
}

/// How much hair there is at a place of a shell, 0 to 1.
pub(crate) fn hair_cover(inside: f32, strand: f32, shell: usize) -> f32 {
    let gaps = SHELLS[shell].1;
    let rooted = ((inside * 1.1 + (strand - 0.5) * 1.6) * 2.0 + 0.5).clamp(0.0, 1.0);
    let grown = ((strand - gaps) * 5.0 + 0.6).clamp(0.0, 1.0);
    if shell == 0 { rooted } else { rooted * grown }
}

/// Which of the four samples hair covers.
fn strand_mask(v: [&Vertex; 3], w: [f32; 3], shell: usize, strands: &Strands) -> u32 {
    let mix = |f: fn(&Vertex) -> f32| f(v[0]) * w[0] + f(v[1]) * w[1] + f(v[2]) * w[2];
    let u = around(v.map(|v| v.uv[0]));
    let strand = strands.at(u[0] * w[0] + u[1] * w[1] + u[2] * w[2], mix(|v| v.uv[1]));
    let cover = hair_cover(mix(|v| v.extra), strand, shell);
    const FIRST: [u32; 5] = [0b0000, 0b0001, 0b1001, 0b1101, 0b1111];
    let mask = FIRST[(cover * 4.0 + 0.5) as usize];
    // Each shell starts with another sample, so that thin shells do not hide behind each other.
    let turn = shell as u32 % 4;
    (mask << turn | mask >> (4 - turn)) & 0b1111
}
