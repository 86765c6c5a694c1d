//! The contact sheet: every generator's counterfeit of one pair of simulated people, side by side.

use std::path::Path;

use dubito_data::forge::{Face, Forger, Generator};
use dubito_report::sheet::{Tile, sheet};
use image::{RgbImage, imageops};
use rayon::prelude::*;

use crate::StudyError;
use crate::simulate::{SimulateOptions, subject};

/// Frames of each person; the middle one is shown.
const FRAMES: usize = 16;
/// Side of a tile in pixels.
const SIDE: u32 = 256;

/// Draws the sheet and writes it as PNG: both people, then for each generator the counterfeit at `strength` (its
/// standard one without it), then in the same order what was changed.
///
/// # Errors
/// A file that can't be written.
pub fn contact_sheet(path: &Path, seed: u64, strength: Option<f32>) -> Result<(), StudyError> {
    let options = SimulateOptions {
        seed,
        subjects: 2,
        frames: FRAMES,
        frame_rate: 6.0,
        width: 512,
        height: 384,
        quantiser: None,
    };
    type Meshes = Vec<Vec<[f32; 3]>>;
    let person = |i: usize| -> Result<(Vec<RgbImage>, Meshes), StudyError> {
        let (subject, performance) = subject(i, &options)?;
        let frame = |n: usize| dubito_sim::render(&subject, &performance, n as u64);
        Ok((0..FRAMES).map(frame).map(|r| (r.image, r.landmarks)).unzip())
    };
    let ((target_frames, target_meshes), (donor_frames, donor_meshes)) = (person(1)?, person(3)?);
    let target = Face::new(&target_frames, target_meshes, &[]);
    let donor = Face::new(&donor_frames, donor_meshes, &[]);
    let shown = target.usable()[target.usable().len() / 2];
    let around = |mesh: &[[f32; 3]], image: &RgbImage| {
        let mean = [0, 1].map(|k| mesh.iter().map(|p| p[k]).sum::<f32>() / mesh.len().max(1) as f32);
        let side = image.height().min(image.width()) * 3 / 4;
        let place = |v: f32, end: u32| (v as u32).saturating_sub(side / 2).min(end - side);
        let (x, y) = (place(mean[0], image.width()), place(mean[1], image.height()));
        imageops::resize(
            &imageops::crop_imm(image, x, y, side, side).to_image(),
            SIDE,
            SIDE,
            imageops::FilterType::CatmullRom,
        )
    };
    let mesh = &target.meshes[shown];
    let tile = |label: &str, image: RgbImage| Tile { label: label.into(), image };
    let mut tiles = vec![
        tile("target", around(mesh, &target_frames[shown])),
        tile("donor", around(&donor.meshes[shown], &donor_frames[shown])),
    ];
    let kinds: Vec<Generator> = Generator::ALL.into_iter().chain([Generator::SelfBlended]).collect();
    let made: Vec<(Tile, Tile)> = kinds
        .par_iter()
        .filter_map(|&generator| {
            let other = generator.needs_donor().then_some(&donor);
            let strength = strength.unwrap_or(generator.standard_strength());
            let (image, mask) = Forger::new(generator, &target, other, strength, seed).frame(shown)?;
            let mask = image::DynamicImage::ImageLuma8(mask).into_rgb8();
            let name = generator.name();
            Some((tile(name, around(mesh, &image)), tile(&format!("{name}: changed"), around(mesh, &mask))))
        })
        .collect();
    let (fakes, masks): (Vec<Tile>, Vec<Tile>) = made.into_iter().unzip();
    tiles.extend(fakes);
    tiles.extend(masks);
    let drawn = sheet(&tiles, 6).map_err(StudyError::from)?;
    let mut png = std::io::Cursor::new(Vec::new());
    drawn.write_to(&mut png, image::ImageFormat::Png).map_err(|e| StudyError::Input {
        message: format!("{}: {e}", path.display()),
        hint: "give -o a folder that can be written to".into(),
    })?;
    Ok(dubito_data::write_atomically(path, png.get_ref())?)
}
