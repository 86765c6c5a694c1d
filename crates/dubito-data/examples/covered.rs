//! How often the forge takes something for a hand before the face, and how often it notices one.
//!
//!     cargo run -p dubito-data --example covered -- FOLDER [EVERY [FRAMES]]
//!
//! Follows the face in every video of the folder as `dubito forge` does, and says which frames are refused and why. Then
//! something is drawn over the mouth in every fifth frame, the mesh is found anew there, and those that are refused are
//! counted: a rectangle of the cheeks' colour, a dark one, a dark disc of the size of a microphone, and a rectangle from
//! the side in the colour of a hand.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use dubito_data::follow::{Sampling, follow};
use dubito_data::forge::Face;
use dubito_data::identities;
use dubito_face::{FaceModels, LIPS_OUTER, Mesh, Roi};
use dubito_media::{RgbImage, Tools};
use image::Rgb;

const COVERS: [&str; 4] = ["skin", "dark", "microphone", "hand"];
/// Every so manieth frame is covered.
const APART: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: covered FOLDER [EVERY [FRAMES]]")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |n| n.parse());
    let sampling = Sampling::Every { step: number(4)?, frames: number(32)? };
    let (tools, models) = (Tools::discover(), FaceModels::cpu()?);
    let mut all: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for source in identities::index(Path::new(&folder), None, &tools)?.usable() {
        let followed = follow(&source.path, &source.name, &tools, &models, sampling, None)?;
        let Some(track) = followed.tracks.first() else { continue };
        let wanted = |index: u64| track.frame_index.binary_search(&index).is_ok();
        let mut frames = Vec::new();
        for frame in dubito_media::open(&source.path, &tools)? {
            let frame = frame?;
            if wanted(frame.index) {
                frames.push(frame.image);
            }
        }
        let meshes: Vec<Vec<[f32; 3]>> = (0..frames.len()).filter_map(|i| Some(track.points(i)?.to_vec())).collect();
        let face = Face::new(&frames, meshes.clone(), &track.presence);
        let mut why: BTreeMap<&str, usize> = BTreeMap::new();
        face.unusable.iter().flatten().for_each(|reason| *why.entry(reason).or_default() += 1);
        let before = face.unusable.iter().flatten().filter(|reason| reason.contains("before")).count();
        println!("{}: {} frames, refused {why:?}", source.name, frames.len());
        count(&mut all, "as they are", [before, frames.len()]);
        for cover in COVERS {
            let (mut frames, mut meshes, mut presence) = (frames.clone(), meshes.clone(), track.presence.clone());
            let chosen: Vec<usize> = (1..frames.len()).step_by(APART).collect();
            for &i in &chosen {
                draw(&mut frames[i], &meshes[i], cover);
                let seen = Mesh { points: meshes[i].clone(), presence: 1.0 };
                let mesh = models.mesh(&frames[i], &Roi::from_mesh(&seen))?;
                (meshes[i], presence[i]) = (mesh.points, mesh.presence);
            }
            let face = Face::new(&frames, meshes, &presence);
            let found = chosen.iter().filter(|&&i| face.unusable[i].is_some()).count();
            count(&mut all, cover, [found, chosen.len()]);
        }
    }
    for (what, [refused, of]) in all {
        println!("{what}: {refused} of {of} refused ({:.1} %)", 100.0 * refused as f64 / of.max(1) as f64);
    }
    Ok(())
}

fn count<'a>(all: &mut BTreeMap<&'a str, [usize; 2]>, what: &'a str, [refused, of]: [usize; 2]) {
    let sum = all.entry(what).or_default();
    *sum = [sum[0] + refused, sum[1] + of];
}

/// Draws something over the mouth, in proportion to the face's width.
fn draw(image: &mut RgbImage, mesh: &[[f32; 3]], cover: &str) {
    let across = mesh.iter().map(|p| p[0]);
    let width = across.clone().fold(f32::MIN, f32::max) - across.fold(f32::MAX, f32::min);
    let mean = |k: usize| LIPS_OUTER.iter().map(|&i| mesh[i as usize][k]).sum::<f32>() / LIPS_OUTER.len() as f32;
    let at = |i: usize, c: usize| {
        let place = |v: f32, end: u32| (v.max(0.0) as u32).min(end - 1);
        f32::from(image.get_pixel(place(mesh[i][0], image.width()), place(mesh[i][1], image.height()))[c])
    };
    // The middle of both cheeks.
    let skin = [0, 1, 2].map(|c| (at(50, c) + at(280, c)) / 2.0);
    let (colour, [x, y], [half_width, half_height]) = match cover {
        "skin" => (skin, [0.0, 0.0], [0.3, 0.17]),
        "dark" => ([30.0; 3], [0.0, 0.0], [0.3, 0.17]),
        "microphone" => ([35.0; 3], [0.0, 0.06], [0.14, 0.14]),
        _ => (skin.map(|v| 0.85 * v), [0.2, -0.05], [0.4, 0.15]),
    };
    let centre = [mean(0) + x * width, mean(1) + y * width];
    for (px, py, pixel) in image.enumerate_pixels_mut() {
        let [u, v] = [(px as f32 - centre[0]) / (half_width * width), (py as f32 - centre[1]) / (half_height * width)];
        let inside = if cover == "microphone" { u.hypot(v) < 1.0 } else { u.abs() < 1.0 && v.abs() < 1.0 };
        if inside {
            *pixel = Rgb(colour.map(|c| c as u8));
        }
    }
}
