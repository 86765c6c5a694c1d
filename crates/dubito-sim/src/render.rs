//! A subject in a performance, frame by frame.

use std::sync::OnceLock;

use image::{GrayImage, RgbImage};
use rayon::prelude::*;

use crate::head::Material;
use crate::math::{V3, srgb_from_linear};
use crate::performance::{Performance, Truth};
use crate::random::{gaussian, hash};
use crate::raster::{Band, Corner, NONE, Pinhole, SAMPLES};
use crate::scene::Scene;
use crate::shade::{DELAYS, Lamps, Shader};
use crate::shadow::Shadow;
use crate::subject::Subject;

/// Rows that are drawn together. The result does not depend on it.
const BAND: u32 = 16;

/// One frame and what is true of it.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The picture, sRGB.
    pub image: RgbImage,
    /// The 468 landmarks of MediaPipe's face mesh in pixels: x to the right, y down, continuous (the centre of the
    /// top left pixel is (0.5, 0.5)); z away from the camera in the same scale, 0 at the middle of the head. They are
    /// true where the picture does not show them, too.
    pub landmarks: Vec<[f32; 3]>,
    /// How much of each pixel shows the face, 0 to 255: skin, eyes and mouth within the face's outline, not what
    /// covers it (hair, beard, spectacles).
    pub face_mask: GrayImage,
    /// What is true of the frame.
    pub truth: Truth,
}

/// Renders one frame.
///
/// A function of its arguments alone: the same bits on every machine, whatever the thread count, in any order of
/// frames.
pub fn render(subject: &Subject, performance: &Performance, frame: u64) -> Rendered {
    let config = performance.config();
    let truth = performance.truth(frame);
    let c = &config.camera;
    let camera = Pinhole {
        width: c.width,
        height: c.height,
        focal: c.focal * c.height as f32,
        y: c.height_above - 2.0,
        z: c.distance,
    };
    let scene = Scene::new(subject, &truth, c.distance);
    let corners: Vec<Corner> = scene.vertices.iter().map(|v| camera.project(v.point)).collect();
    let shadow = Shadow::new(&scene, Lamps::new(&subject.config.light).key);
    let pulse = (0..DELAYS.1)
        .map(|i| {
            config.pulse.amplitude * performance.pulse_after(truth.time, DELAYS.0 * i as f32 / (DELAYS.1 - 1) as f32)
        })
        .collect();
    let shader = Shader::new(subject, &scene, &corners, camera, shadow, pulse);

    // Each band's triangles, in the order of the scene.
    let mut bands: Vec<Vec<u32>> = vec![Vec::new(); c.height.div_ceil(BAND) as usize];
    for (id, t) in scene.triangles.iter().enumerate() {
        let ys = t.corners.map(|v| corners[v as usize].y);
        let low = ys[0].min(ys[1]).min(ys[2]);
        let high = ys[0].max(ys[1]).max(ys[2]);
        if high < 0.0 || low >= c.height as f32 {
            continue;
        }
        let (first, last) = ((low.max(0.0) as u32) / BAND, (high.min(c.height as f32 - 1.0) as u32) / BAND);
        for band in first..=last {
            bands[band as usize].push(id as u32);
        }
    }

    let mut image = RgbImage::new(c.width, c.height);
    let mut face_mask = GrayImage::new(c.width, c.height);
    let row = c.width as usize;
    let pixels = image.as_mut().par_chunks_mut(3 * row * BAND as usize);
    let masks = face_mask.as_mut().par_chunks_mut(row * BAND as usize);
    pixels.zip(masks).zip(bands).enumerate().for_each(|(number, ((pixels, masks), triangles))| {
        let rows = (masks.len() / row) as u32;
        let mut band = Band::new(number as u32 * BAND, rows, c.width);
        for id in triangles {
            band.draw(id, &scene, &corners, &subject.strands);
        }
        for y in 0..rows {
            for x in 0..c.width {
                let (light, face) = pixel(&shader, &band, x, y);
                let at = (y * c.width + x) as usize;
                masks[at] = face;
                let place = u64::from(number as u32 * BAND + y) * u64::from(c.width) + u64::from(x);
                let noise = hash(config.seed ^ hash(frame)) ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let rgb = light.array();
                for (channel, value) in rgb.iter().enumerate() {
                    pixels[at * 3 + channel] =
                        sense(*value, c.shot_noise, c.read_noise, noise ^ ((channel as u64) << 61));
                }
            }
        }
    });

    let middle = scene.placement.point(V3::default());
    let scale = camera.focal / (camera.z - middle.z);
    let landmarks = scene
        .landmarks
        .iter()
        .map(|&p| {
            let on_screen = camera.project(p);
            [on_screen.x, on_screen.y, (middle.z - p.z) * scale]
        })
        .collect();
    Rendered { image, landmarks, face_mask, truth }
}

/// The frames of a performance from the first on, without end: take as many as you need.
pub fn frames<'a>(subject: &'a Subject, performance: &'a Performance) -> impl Iterator<Item = Rendered> + 'a {
    (0..).map(move |frame| render(subject, performance, frame))
}

/// Light in a pixel, and how much of it is the face's, 0 to 255.
fn pixel(shader: &Shader<'_>, band: &Band, x: u32, row: u32) -> (V3, u8) {
    let (ids, near) = band.pixel(x, row);
    let y = band.first_row + row;
    let mut sum = V3::default();
    let mut face = 0u32;
    let mut left = 0b1111u32;
    let camera = &shader.camera;
    while left != 0 {
        // Samples on one surface are coloured once, in their middle.
        let first = left.trailing_zeros() as usize;
        let id = ids[first];
        let (mut count, mut sx, mut sy) = (0.0, 0.0, 0.0);
        for s in first..4 {
            let same = ids[s] == id
                || id != NONE
                    && ids[s] != NONE
                    && shader.scene.triangles[ids[s] as usize].material == shader.scene.triangles[id as usize].material
                    && (near[s] - near[first]).abs() * camera.z * camera.z < 0.5;
            if left >> s & 1 == 1 && same {
                left &= !(1 << s);
                count += 1.0;
                sx += SAMPLES[s].0;
                sy += SAMPLES[s].1;
            }
        }
        let (px, py) = (x as f32 + sx / count, y as f32 + sy / count);
        let colour = if id == NONE {
            shader.subject.background.at(px / camera.width as f32, py / camera.height as f32)
        } else {
            let material = shader.scene.triangles[id as usize].material;
            if matches!(material, Material::Face | Material::RightEye | Material::LeftEye | Material::Mouth) {
                face += count as u32;
            }
            shader.colour(id, px, py)
        };
        sum += colour * count;
    }
    (sum * 0.25, (face * 255 / 4) as u8)
}

/// From light to a stored value: noise of photons and of reading, a soft limit at white, sRGB.
fn sense(light: f32, shot: f32, read: f32, place: u64) -> u8 {
    static CURVE: OnceLock<Vec<u8>> = OnceLock::new();
    const STEPS: usize = 1 << 14;
    let curve = CURVE.get_or_init(|| {
        (0..STEPS).map(|i| (srgb_from_linear((i as f32 + 0.5) / STEPS as f32) * 255.0 + 0.5) as u8).collect()
    });
    let light = light.max(0.0);
    let light = if light > 0.7 { 0.7 + 0.3 * (1.0 - 1.0 / (1.0 + (light - 0.7) / 0.3)) } else { light };
    let sigma = (shot * light + read * read).sqrt();
    let value = light + sigma * gaussian(hash(place));
    curve[((value.clamp(0.0, 1.0) * STEPS as f32) as usize).min(STEPS - 1)]
}
