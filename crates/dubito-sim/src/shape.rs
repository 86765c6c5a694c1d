//! From the canonical face to one person's, and from rest to speech and blinks.

use crate::canonical::{MIRROR, VERTICES};
use crate::config::Shape;
use crate::math::{Rotation, V3, bell, bell_at, smoothstep, v3};

/// The upper lid of the right eye from its outer corner, corners left out.
const UPPER_LID: [usize; 7] = [246, 161, 160, 159, 158, 157, 173];
/// The lower lid, point by point below the upper one.
const LOWER_LID: [usize; 7] = [7, 163, 144, 145, 153, 154, 155];
/// The skin above the upper lid, point by point.
const LID_FOLD: [usize; 7] = [247, 30, 29, 27, 28, 56, 190];
/// The skin above that.
const BELOW_BROW: [usize; 7] = [113, 225, 224, 223, 222, 221, 189];

/// Where the two lips meet in the canonical face, whose mouth is a little open.
const MOUTH_LINE: f32 = -4.27;
/// Half the mouth's width.
const MOUTH_HALF: f32 = 2.15;
/// The axis about which the jaw turns: through both joints, before the ears.
const JAW_AXIS: V3 = v3(0.0, 0.2, -2.0);
/// How far the jaw turns when it is fully open, in radians.
const JAW_TURN: f32 = 0.36;

/// A vector to the right on the picture's right half of the face and to the left on the other.
fn outwards(x: f32) -> f32 {
    x.signum() * smoothstep(0.0, 0.6, x.abs())
}

/// Moves a place of the canonical head to where this person has it.
pub(crate) fn deform(p: V3, s: &Shape) -> V3 {
    let half = v3(p.x.abs(), p.y, p.z);
    let side = outwards(p.x);
    let mut d = v3(0.0, 0.0, 0.0);

    d.x += p.x * (0.028 * s.face_width + 0.05 * s.jaw_width * smoothstep(-2.0, -7.5, p.y));
    d.y += (p.y + 0.5) * 0.028 * s.face_length;
    d.y -= 0.3 * s.chin_length * smoothstep(-5.6, -9.2, p.y) * smoothstep(-1.0, 2.5, p.z);
    d.z += 0.3 * s.chin_forward * bell_at(half, v3(0.0, -8.2, 4.6), 2.0);
    let cheek = bell_at(half, v3(5.2, -3.2, 2.4), 1.9);
    d.x += side * 0.3 * s.cheek_fullness * cheek;
    d.z += 0.25 * s.cheek_fullness * cheek;
    let bone = bell_at(half, v3(5.4, 0.2, 3.0), 1.6);
    d.x += side * 0.22 * s.cheekbones * bone;
    d.z += 0.22 * s.cheekbones * bone;
    d.y += 0.3 * s.forehead_height * smoothstep(5.2, 8.3, p.y);

    let brow = bell((p.y - 4.7) / 0.8) * smoothstep(6.6, 4.5, half.x) * smoothstep(0.0, 3.0, p.z);
    d.y += 0.17 * s.brow_height * brow;
    d.z += 0.2 * s.brow_ridge * brow;

    let eye = v3(3.15, 2.62, 3.5);
    let near = bell_at(half, eye, 1.2);
    d.x += side * (half.x - eye.x) * 0.07 * s.eye_size * near;
    d.y += (p.y - eye.y) * 0.13 * s.eye_size * near;
    let around = bell_at(half, eye, 1.7);
    d.x += side * 0.11 * s.eye_spacing * around;
    d.y += 0.1 * s.eye_tilt * ((half.x - eye.x) / 1.3) * bell_at(half, eye, 1.5);

    d.y -= 0.22 * s.nose_length * bell_at(half, v3(0.0, -1.0, 6.6), 1.5);
    d.x += p.x * 0.1 * s.nose_width * bell_at(half, v3(0.0, -1.0, 5.6), 1.5);
    d.z += 0.22 * s.nose_bridge * bell(half.x / 0.8) * bell((p.y - 1.9) / 1.4) * smoothstep(2.0, 5.0, p.z);
    d.z += 0.24 * s.nose_tip * bell_at(half, v3(0.0, -0.5, 7.4), 1.0);
    d.y += 0.06 * s.nose_tip * bell_at(half, v3(0.0, -0.7, 7.0), 1.1);

    let mouth = bell_at(half, v3(0.9, MOUTH_LINE, 5.0), 1.6);
    d.x += p.x * 0.06 * s.mouth_width * mouth;
    let lips = bell((p.y - MOUTH_LINE) / 1.0) * smoothstep(2.6, 1.6, half.x) * smoothstep(2.0, 4.0, p.z);
    d.y += (p.y - MOUTH_LINE) * 0.11 * s.lip_fullness * lips;
    d.z += 0.1 * s.lip_fullness * lips;

    // No two halves are alike: one side a little higher, the nose and the chin a little off.
    d.y += 0.09 * s.asymmetry * (p.x / 5.0).clamp(-1.2, 1.2);
    d.x += 0.1 * s.asymmetry * (bell((p.y + 1.0) / 2.2) - bell((p.y + 7.5) / 2.5)) * smoothstep(0.0, 5.0, p.z);
    p + d
}

/// A face that can speak and blink: the neutral landmarks and how each follows.
#[derive(Debug)]
pub(crate) struct Face {
    neutral: Vec<V3>,
    /// How much each landmark goes with the jaw, 0 to 1.
    jaw: Vec<f32>,
    /// Up (positive) or down as the mouth opens or purses, lips alone.
    lips: Vec<f32>,
    /// Where each goes when the right or left eye closes.
    blink: Vec<V3>,
}

impl Face {
    pub fn new(shape: &Shape) -> Self {
        let rest: Vec<V3> = VERTICES.iter().map(|&p| V3::from(p)).collect();
        let mut neutral: Vec<V3> = rest.iter().map(|&p| deform(p, shape)).collect();
        // The canonical mouth is half a centimetre open: bring the lips together.
        for (p, r) in neutral.iter_mut().zip(&rest) {
            let gap = 0.55 * (1.0 - (r.x / MOUTH_HALF).powi(4)).max(0.0) * smoothstep(3.0, 4.0, r.z);
            if r.y > MOUTH_LINE {
                p.y -= 0.32 * gap * bell((r.y + 4.0) / 0.75);
            } else {
                p.y += 0.62 * gap * bell((r.y + 4.5) / 0.95);
            }
        }
        let jaw = rest
            .iter()
            .map(|r| {
                let blur = 0.02 + 1.3 * (r.x.abs() - MOUTH_HALF + 0.25).max(0.0);
                smoothstep(MOUTH_LINE + blur, MOUTH_LINE - blur, r.y) * smoothstep(-3.2, -0.5, r.z + 0.25 * -r.y)
            })
            .collect();
        let lips = rest.iter().map(|r| bell_at(v3(r.x * 0.6, r.y, r.z), v3(0.0, MOUTH_LINE, 5.0), 1.3)).collect();
        let mut blink = vec![V3::default(); rest.len()];
        for i in 0..UPPER_LID.len() {
            for mirrored in [false, true] {
                let of = |n: usize| if mirrored { usize::from(MIRROR[n]) } else { n };
                let drop = neutral[of(LOWER_LID[i])] - neutral[of(UPPER_LID[i])];
                blink[of(UPPER_LID[i])] = drop * 0.9 + v3(0.0, 0.0, 0.1);
                blink[of(LID_FOLD[i])] = drop * 0.5 + v3(0.0, 0.0, 0.03);
                blink[of(BELOW_BROW[i])] = drop * 0.1;
                blink[of(LOWER_LID[i])] = drop * -0.08;
            }
        }
        Self { neutral, jaw, lips, blink }
    }

    /// The landmarks with the mouth and the lids so far open.
    pub fn posed(&self, mouth_opening: f32, mouth_spread: f32, eye_opening: f32) -> Vec<V3> {
        let turn = Rotation::from_yaw_pitch_roll(0.0, JAW_TURN * mouth_opening, 0.0);
        let closed = 1.0 - eye_opening;
        self.neutral
            .iter()
            .enumerate()
            .map(|(i, &p)| {
                let mut p = p + self.blink[i] * closed;
                let lips = self.lips[i];
                // Pursed lips come forward and together; spread ones go back and apart.
                p.x *= 1.0 + lips * if mouth_spread > 0.0 { 0.13 } else { 0.22 } * mouth_spread;
                p.z -= lips * if mouth_spread > 0.0 { 0.15 } else { 0.35 } * mouth_spread;
                // The upper lip rises a little, and an open mouth is narrower.
                p.y += 0.22 * mouth_opening * lips * (1.0 - self.jaw[i]);
                p.x *= 1.0 - 0.08 * mouth_opening * lips;
                let turned = turn.apply(p - JAW_AXIS) + JAW_AXIS;
                p + (turned - p) * self.jaw[i]
            })
            .collect()
    }

    /// The middle of some landmarks at rest.
    pub fn middle(&self, landmarks: &[usize]) -> V3 {
        landmarks.iter().map(|&i| self.neutral[i]).fold(V3::default(), |a, b| a + b) * (1.0 / landmarks.len() as f32)
    }
}
