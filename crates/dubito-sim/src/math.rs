//! Vectors, rotations and the few functions that must give the same bits on every machine.
//!
//! Square roots and arithmetic are exact by IEEE 754; everything else comes from `libm`, in software.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A point or direction: x to the picture's right, y up, z towards the viewer; centimetres.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct V3 {
    pub x: f32,
    pub y: f32,
    pub z: f32,
}

/// Short for a [`V3`].
pub(crate) const fn v3(x: f32, y: f32, z: f32) -> V3 {
    V3 { x, y, z }
}

impl V3 {
    pub fn dot(self, o: V3) -> f32 {
        self.x * o.x + self.y * o.y + self.z * o.z
    }

    pub fn cross(self, o: V3) -> V3 {
        v3(self.y * o.z - self.z * o.y, self.z * o.x - self.x * o.z, self.x * o.y - self.y * o.x)
    }

    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// Length 1; what has no direction points to the viewer.
    pub fn unit(self) -> V3 {
        let length = self.length();
        if length > 1e-12 { self * (1.0 / length) } else { v3(0.0, 0.0, 1.0) }
    }

    /// Component by component.
    pub fn times(self, o: V3) -> V3 {
        v3(self.x * o.x, self.y * o.y, self.z * o.z)
    }

    pub fn array(self) -> [f32; 3] {
        [self.x, self.y, self.z]
    }
}

impl From<[f32; 3]> for V3 {
    fn from([x, y, z]: [f32; 3]) -> V3 {
        v3(x, y, z)
    }
}

impl Add for V3 {
    type Output = V3;
    fn add(self, o: V3) -> V3 {
        v3(self.x + o.x, self.y + o.y, self.z + o.z)
    }
}

impl AddAssign for V3 {
    fn add_assign(&mut self, o: V3) {
        *self = *self + o;
    }
}

impl Sub for V3 {
    type Output = V3;
    fn sub(self, o: V3) -> V3 {
        v3(self.x - o.x, self.y - o.y, self.z - o.z)
    }
}

impl Mul<f32> for V3 {
    type Output = V3;
    fn mul(self, s: f32) -> V3 {
        v3(self.x * s, self.y * s, self.z * s)
    }
}

impl Neg for V3 {
    type Output = V3;
    fn neg(self) -> V3 {
        v3(-self.x, -self.y, -self.z)
    }
}

/// A rotation matrix by rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotation([V3; 3]);

impl Rotation {
    /// Roll, then pitch, then yaw, in radians. Positive yaw turns the face to the picture's right, positive pitch
    /// down, positive roll tilts it clockwise as seen in the picture.
    pub fn from_yaw_pitch_roll(yaw: f32, pitch: f32, roll: f32) -> Self {
        let (sy, cy) = (sin(yaw), cos(yaw));
        let (sp, cp) = (sin(pitch), cos(pitch));
        let (sr, cr) = (-sin(roll), cos(roll));
        Self([
            v3(cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp),
            v3(cp * sr, cp * cr, -sp),
            v3(-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp),
        ])
    }

    pub fn apply(&self, p: V3) -> V3 {
        v3(self.0[0].dot(p), self.0[1].dot(p), self.0[2].dot(p))
    }

    /// The inverse rotation.
    pub fn undo(&self, p: V3) -> V3 {
        self.0[0] * p.x + self.0[1] * p.y + self.0[2] * p.z
    }
}

pub(crate) fn sin(x: f32) -> f32 {
    libm::sinf(x)
}

pub(crate) fn cos(x: f32) -> f32 {
    libm::cosf(x)
}

pub(crate) fn exp(x: f32) -> f32 {
    libm::expf(x)
}

/// A bell of height 1 and standard deviation 1.
pub(crate) fn bell(x: f32) -> f32 {
    if x.abs() > 5.0 { 0.0 } else { exp(-0.5 * x * x) }
}

/// A bell around `centre`, of standard deviation `width` in space.
pub(crate) fn bell_at(p: V3, centre: V3, width: f32) -> f32 {
    bell((p - centre).length() / width)
}

pub(crate) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

pub(crate) fn mix3(a: V3, b: V3, t: f32) -> V3 {
    a + (b - a) * t
}

/// 0 at and before `from`, 1 at and after `to`, smooth between; `from` may be the larger.
pub(crate) fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The value at x of straight lines through points of ascending x, constant outside.
pub(crate) fn piecewise(points: &[(f32, f32)], x: f32) -> f32 {
    let Some(&(first_x, first)) = points.first() else { return 0.0 };
    if x <= first_x {
        return first;
    }
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if x <= x1 {
            return mix(y0, y1, (x - x0) / (x1 - x0));
        }
    }
    points[points.len() - 1].1
}

/// From a stored sRGB value, 0 to 1, to linear light (IEC 61966-2-1).
pub(crate) fn linear_from_srgb(v: f32) -> f32 {
    if v <= 0.040_45 { v / 12.92 } else { libm::powf((v + 0.055) / 1.055, 2.4) }
}

/// From linear light, 0 to 1, to the stored sRGB value (IEC 61966-2-1).
pub(crate) fn srgb_from_linear(v: f32) -> f32 {
    if v <= 0.003_130_8 { v * 12.92 } else { 1.055 * libm::powf(v, 1.0 / 2.4) - 0.055 }
}

/// A colour in linear light from its usual 8-bit notation.
pub(crate) fn colour(rgb: u32) -> V3 {
    let channel = |shift: u32| linear_from_srgb(((rgb >> shift) & 255) as f32 / 255.0);
    v3(channel(16), channel(8), channel(0))
}
