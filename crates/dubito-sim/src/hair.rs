//! Hair: where it grows, how thick it lies, and the strands.

use crate::config::{Hair, HairStyle};
use crate::head::SKULL_CENTRE;
use crate::math::{V3, mix, piecewise, smoothstep, v3};
use crate::random::noise3;

/// The direction from the skull's middle to the crown, from which strands run down.
pub(crate) const CROWN: V3 = v3(0.0, 0.92, -0.39);

/// How far out each shell lies, as a fraction of the hair's thickness, and how much of it is gaps. The first lies
/// on the scalp, the second carries most of the volume, the others fray.
pub(crate) const SHELLS: [(f32, f32); 6] =
    [(0.0, 0.0), (0.62, 0.12), (0.74, 0.3), (0.84, 0.45), (0.93, 0.6), (1.0, 0.72)];

/// Hair at one place of the head.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Growth {
    /// How far inside the hairline, in centimetres; negative outside.
    pub inside: f32,
    /// How far the outermost shell stands off, in centimetres.
    pub thickness: f32,
    /// Place in the texture of strands: around the crown in turns, and from it, 0 to 1.
    pub strand: [f32; 2],
}

/// The hair at a place of the canonical head.
pub(crate) fn growth(p: V3, hair: &Hair) -> Growth {
    let from = p - SKULL_CENTRE;
    // 0 in front, half a turn at the back.
    let around = libm::atan2f(p.x.abs(), from.z) / std::f32::consts::PI;
    let front = match hair.style {
        HairStyle::Fringe => 6.3,
        HairStyle::Curly | HairStyle::Long => 8.0,
        _ => 8.3,
    };
    let r = hair.recession;
    let line = piecewise(
        &[
            (0.0, front + 0.5 * r),
            (0.12, front + 0.9 * r),
            (0.24, mix(7.9, front, 0.3) + 1.1 * r),
            (0.33, 5.4 + 0.8 * r),
            (0.40, 2.5),
            (0.44, 0.2),
            (0.475, 1.0),
            (0.52, 4.2),
            (0.60, 3.6),
            (0.66, -2.0),
            (0.75, -6.0),
            (1.0, -7.0),
        ],
        around,
    );
    let inside = p.y - line;
    let top = smoothstep(5.0, 10.5, p.y);
    let thickness = match hair.style {
        HairStyle::Bald => 0.0,
        HairStyle::Cropped => 0.35,
        HairStyle::Short => mix(0.7, 1.7, top),
        HairStyle::Swept => mix(0.6, 2.6, top),
        HairStyle::Fringe => mix(1.3, 1.9, top),
        HairStyle::Curly => mix(1.8, 2.6, top),
        HairStyle::Afro => mix(3.2, 4.2, top),
        HairStyle::Long => mix(1.1, 1.6, top),
        HairStyle::Bun => 0.6,
    } * hair.volume;
    let rise = if hair.style == HairStyle::Afro { 1.6 } else { 2.4 };
    let thickness = thickness * mix(0.12, 1.0, smoothstep(-0.2, rise, inside));
    let d = from.unit();
    let right = v3(1.0, 0.0, 0.0);
    let ahead = right.cross(CROWN);
    // The seam lies at the back.
    let turn = libm::atan2f(d.dot(right), d.dot(ahead)) / std::f32::consts::TAU + 0.5;
    Growth { inside, thickness, strand: [turn, (1.0 - d.dot(CROWN)) * 0.5] }
}

/// Beard and moustache at a place of the canonical face: how far inside, negative outside.
pub(crate) fn beard(p: V3, beard: f32, moustache: f32) -> Growth {
    let half = p.x.abs();
    // The upper edge falls from before the ear to the corner of the mouth.
    let edge = piecewise(
        &[(0.0, -5.9), (1.2, -5.8), (2.3, -5.0), (2.9, -4.4), (4.4, -4.6), (6.0, -3.6), (7.0, -1.0), (7.8, 1.5)],
        half,
    );
    let cheek = (edge - p.y).min(p.z * 0.5 + 3.0);
    // A moustache lies between the nose and the upper lip and ends above the corners of the mouth.
    let lip = (0.75 - (p.y + 2.75 + 0.06 * half * half).abs()).min(2.7 - half).min(p.z - 3.0);
    let (inside, thickness) =
        if moustache > 0.0 && lip > cheek { (lip, moustache) } else { (if beard > 0.0 { cheek } else { -1.0 }, beard) };
    let thickness = thickness * smoothstep(-0.2, 1.2, inside);
    Growth { inside, thickness, strand: [p.x * 0.045 + 0.5, p.y * 0.03 + 0.5] }
}

/// Strands seen from outside, 0 (gap) to 1 (tip), around the crown by distance from it.
#[derive(Debug)]
pub(crate) struct Strands {
    values: Vec<f32>,
}

const ACROSS: usize = 1024;
const ALONG: usize = 128;

impl Strands {
    pub fn new(style: HairStyle, seed: u32) -> Self {
        let curly = matches!(style, HairStyle::Curly | HairStyle::Afro);
        let mut values = Vec::with_capacity(ACROSS * ALONG);
        for j in 0..ALONG {
            for i in 0..ACROSS {
                let turn = i as f32 / ACROSS as f32 * std::f32::consts::TAU;
                let (s, c) = (crate::math::sin(turn), crate::math::cos(turn));
                let v = j as f32 / ALONG as f32;
                // On a cylinder, so that it closes.
                let at = |fine: f32, long: f32| noise3(v3(s * fine, c * fine, v * long), seed);
                let value = if curly {
                    0.55 * at(9.0, 16.0) + 0.35 * at(19.0, 34.0) + 0.25 * at(40.0, 64.0)
                } else {
                    let wave = 0.25 * noise3(v3(s * 3.0, c * 3.0, v * 7.0), seed ^ 5);
                    let fine = |f: f32, l: f32| noise3(v3((s + wave * c) * f, (c - wave * s) * f, v * l), seed ^ 9);
                    0.4 * fine(14.0, 3.0) + 0.4 * fine(38.0, 5.0) + 0.4 * fine(80.0, 9.0)
                };
                values.push((0.5 + 0.62 * value).clamp(0.0, 1.0));
            }
        }
        Self { values }
    }

    /// Between the four nearest; u goes round, v stops at its ends.
    pub fn at(&self, u: f32, v: f32) -> f32 {
        let x = (u - u.floor()) * ACROSS as f32;
        let y = v.clamp(0.0, 1.0) * (ALONG - 1) as f32;
        let (i, j) = (x as usize, y as usize);
        let (fx, fy) = (x - i as f32, y - j as f32);
        let get = |i: usize, j: usize| self.values[j.min(ALONG - 1) * ACROSS + i % ACROSS];
        mix(mix(get(i, j), get(i + 1, j), fx), mix(get(i, j + 1), get(i + 1, j + 1), fx), fy)
    }
}
