//! Which places the key light reaches: depth as the light sees it.

use crate::head::Material;
use crate::math::{V3, smoothstep, v3};
use crate::scene::Scene;

/// Cells on each side of the map.
const SIZE: usize = 256;
/// Half the width of what the map covers, in centimetres.
const REACH: f32 = 17.0;
/// The middle of it.
const MIDDLE: V3 = v3(0.0, -1.0, 0.0);

/// Depth from the key light over a square around the head.
pub(crate) struct Shadow {
    right: V3,
    up: V3,
    light: V3,
    depth: Vec<f32>,
}

impl Shadow {
    /// Draws head, ears, inner hair and spectacles from the direction of the light.
    pub fn new(scene: &Scene, light: V3) -> Self {
        let right = v3(0.0, 1.0, 0.0).cross(light).unit();
        let up = light.cross(right);
        let mut shadow = Self { right, up, light, depth: vec![f32::NEG_INFINITY; SIZE * SIZE] };
        let seen: Vec<[f32; 3]> = scene.vertices.iter().map(|v| shadow.place(v.point)).collect();
        for t in &scene.triangles {
            let casts = matches!(
                t.material,
                Material::Face | Material::Skull | Material::Skin | Material::Hair(1) | Material::Frame
            );
            if casts {
                shadow.draw(t.corners.map(|v| seen[v as usize]));
            }
        }
        shadow
    }

    /// Cell and depth, larger towards the light.
    fn place(&self, p: V3) -> [f32; 3] {
        let q = p - MIDDLE;
        let cell = |x: f32| (x / REACH + 1.0) * (SIZE as f32 * 0.5);
        [cell(q.dot(self.right)), cell(q.dot(self.up)), q.dot(self.light)]
    }

    fn draw(&mut self, [a, b, c]: [[f32; 3]; 3]) {
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if area.abs() < 1e-9 {
            return;
        }
        let bound = |i: usize| {
            let low = a[i].min(b[i]).min(c[i]).floor().clamp(0.0, SIZE as f32) as usize;
            let high = a[i].max(b[i]).max(c[i]).ceil().clamp(0.0, SIZE as f32) as usize;
            low..high
        };
        for y in bound(1) {
            for x in bound(0) {
                let (px, py) = (x as f32 + 0.5 - a[0], y as f32 + 0.5 - a[1]);
                let v = (px * (c[1] - a[1]) - (c[0] - a[0]) * py) / area;
                let w = ((b[0] - a[0]) * py - px * (b[1] - a[1])) / area;
                if v >= 0.0 && w >= 0.0 && v + w <= 1.0 {
                    let depth = a[2] + v * (b[2] - a[2]) + w * (c[2] - a[2]);
                    let cell = &mut self.depth[y * SIZE + x];
                    *cell = cell.max(depth);
                }
            }
        }
    }

    /// How much of the key light reaches a place, 0 to 1: a blurred comparison with what the light saw.
    pub fn lit(&self, p: V3, n: V3) -> f32 {
        // Away from its own surface.
        let [x, y, depth] = self.place(p + n * 0.25);
        let (x, y) = (x - 0.5, y - 0.5);
        if !(2.0..(SIZE - 4) as f32).contains(&x) || !(2.0..(SIZE - 4) as f32).contains(&y) {
            return 1.0;
        }
        let (i, j) = (x as usize, y as usize);
        let (fx, fy) = (x - i as f32, y - j as f32);
        let mut sum = 0.0;
        // Four by four cells: a box of three, moved smoothly.
        for dj in 0..4 {
            for di in 0..4 {
                let weight = |d: usize, f: f32| match d {
                    0 => 1.0 - f,
                    3 => f,
                    _ => 1.0,
                };
                let before = self.depth[(j + dj - 1) * SIZE + i + di - 1] - depth;
                sum += weight(di, fx) * weight(dj, fy) * smoothstep(0.5, 0.1, before);
            }
        }
        sum / 9.0
    }
}
