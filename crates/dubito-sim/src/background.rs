//! The room behind: out of focus, so a coarse grid of colours is enough.

use crate::math::{V3, colour, mix3, v3};
use crate::random::{Draws, fractal3};

const COLUMNS: usize = 40;
const ROWS: usize = 30;

/// A room in linear light, lit like the scene's ambient light.
#[derive(Debug)]
pub(crate) struct Background {
    grid: Vec<V3>,
}

impl Background {
    pub fn new(seed: u64) -> Self {
        let mut d = Draws::new(seed, 30);
        let wall = colour(d.pick(&[0xC8C2B8, 0xA8B4BC, 0xB8A890, 0x8C9488, 0x788490, 0xD4D0C8, 0x9A8878, 0x606872]))
            * d.range(0.5, 1.0);
        let fall = d.range(-0.35, 0.35);
        let mut grid: Vec<V3> = Vec::with_capacity(COLUMNS * ROWS);
        for j in 0..ROWS {
            for i in 0..COLUMNS {
                let (x, y) = (i as f32 / (COLUMNS - 1) as f32, j as f32 / (ROWS - 1) as f32);
                let uneven = 1.0 + fall * (x - 0.5) - 0.2 * (y - 0.5);
                grid.push(wall * (uneven * (1.0 + 0.12 * fractal3(v3(x * 4.0, y * 3.0, 0.5), 2, seed as u32))));
            }
        }
        // Furniture, pictures, a window: rectangles, later blurred.
        for _ in 0..3 + (d.uniform() * 6.0) as usize {
            let (w, h) = (d.range(0.08, 0.35), d.range(0.1, 0.6));
            let (x, y) = (d.range(-0.1, 1.0), d.range(0.0, 1.0));
            let bright = d.chance(0.15);
            let tint = colour(d.pick(&[0x5C4030, 0x38485C, 0x6C7058, 0x8C5038, 0x303438, 0xB0A898, 0x486048]))
                * d.range(0.5, 1.3)
                + if bright { v3(0.5, 0.55, 0.6) } else { V3::default() };
            for j in 0..ROWS {
                for i in 0..COLUMNS {
                    let (u, v) = (i as f32 / COLUMNS as f32, j as f32 / ROWS as f32);
                    if u >= x && u < x + w && v >= y && v < y + h {
                        grid[j * COLUMNS + i] = tint;
                    }
                }
            }
        }
        // Three passes of a small box are nearly a bell.
        for _ in 0..3 {
            let before = grid.clone();
            for j in 0..ROWS {
                for i in 0..COLUMNS {
                    let mut sum = V3::default();
                    for dj in 0..3 {
                        for di in 0..3 {
                            let (y, x) =
                                ((j + dj).saturating_sub(1).min(ROWS - 1), (i + di).saturating_sub(1).min(COLUMNS - 1));
                            sum += before[y * COLUMNS + x];
                        }
                    }
                    grid[j * COLUMNS + i] = sum * (1.0 / 9.0);
                }
            }
        }
        Self { grid }
    }

    /// At a place of the picture, 0 to 1 each.
    pub fn at(&self, x: f32, y: f32) -> V3 {
        let (x, y) = (x.clamp(0.0, 1.0) * (COLUMNS - 1) as f32, y.clamp(0.0, 1.0) * (ROWS - 1) as f32);
        let (i, j) = ((x as usize).min(COLUMNS - 2), (y as usize).min(ROWS - 2));
        let (fx, fy) = (x - i as f32, y - j as f32);
        let row = |j: usize| mix3(self.grid[j * COLUMNS + i], self.grid[j * COLUMNS + i + 1], fx);
        mix3(row(j), row(j + 1), fy)
    }
}
