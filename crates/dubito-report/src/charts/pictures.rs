//! Pictures in rows, with what stands above each.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{ImageReader, Limits, RgbImage, imageops};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::pen::{NAME, Pen, Place, SMALL, clean};
use super::{Drawing, Sketch, height_of};
use crate::ReportError;
use crate::figures::{DETAIL, Figure, WIDTH, bitmap, encoded, fine_svg};
use crate::section::Chart;

const GAP: f64 = 10.0;
/// A picture is shown no wider and no higher than this.
const MOST: f64 = 280.0;

pub(super) struct Pictures {
    tiles: Vec<Tile>,
    columns: usize,
    width: f64,
    /// Room for the words above, and for the picture, of each row of tiles.
    label: f64,
    height: f64,
}

struct Tile {
    label: Vec<String>,
    /// The picture, or why there is none.
    picture: Result<RgbImage, String>,
}

impl Pictures {
    pub fn new(columns: usize, tiles: &[(String, String)], folder: &Path) -> Self {
        let columns = columns.clamp(1, 12).min(tiles.len().max(1));
        let width = ((f64::from(WIDTH) - GAP * (columns as f64 - 1.0)) / columns as f64).min(MOST);
        let tiles: Vec<Tile> = tiles
            .iter()
            .map(|(label, file)| Tile {
                label: NAME.wrapped(&clean(label), width, 2),
                picture: read(&folder.join(file)).map_err(|why| format!("{file}: {why}")),
            })
            .collect();
        let ratios = tiles.iter().filter_map(|tile| tile.picture.as_ref().ok());
        let ratios = ratios.map(|picture| f64::from(picture.height()) / f64::from(picture.width().max(1)));
        let tallest = ratios.reduce(f64::max).unwrap_or(0.6);
        let lines = tiles.iter().map(|tile| tile.label.len()).max().unwrap_or(0);
        Self {
            columns,
            width,
            label: if tiles.iter().all(|t| t.label.iter().all(String::is_empty)) {
                2.0
            } else {
                6.0 + 16.0 * lines as f64
            },
            height: (width * tallest).min(1.6 * MOST),
            tiles,
        }
    }

    /// Upper left corner of a tile.
    fn corner(&self, at: usize) -> Place {
        let (column, row) = (at % self.columns, at / self.columns);
        (column as f64 * (self.width + GAP), row as f64 * (self.label + self.height + GAP))
    }

    /// Each picture with its place and size in CSS pixels.
    fn placed(&self) -> impl Iterator<Item = (&RgbImage, Place, Place)> {
        self.tiles.iter().enumerate().filter_map(|(at, tile)| {
            let picture = tile.picture.as_ref().ok()?;
            let (x, y) = self.corner(at);
            let (width, height) = (f64::from(picture.width().max(1)), f64::from(picture.height().max(1)));
            let times = (self.width / width).min(self.height / height);
            Some((picture, (x, y + self.label), (width * times, height * times)))
        })
    }
}

fn read(path: &Path) -> Result<RgbImage, String> {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(16_384), Some(16_384));
    let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|e| e.to_string())?;
    reader.limits(limits);
    Ok(reader.decode().map_err(|e| e.to_string())?.into_rgb8())
}

impl Sketch for Pictures {
    fn height(&self) -> f64 {
        let rows = self.tiles.len().div_ceil(self.columns) as f64;
        rows * (self.label + self.height + GAP)
    }

    /// The words; pictures are laid on what is drawn.
    fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Result<(), String> {
        if self.tiles.is_empty() {
            return pen.nothing((0.0, 0.0), (f64::from(WIDTH), 40.0), "there are no pictures");
        }
        for (at, tile) in self.tiles.iter().enumerate() {
            let (x, y) = self.corner(at);
            let middle = y + self.label - 4.0 - 15.6 * tile.label.len() as f64 / 2.0;
            pen.lines(&tile.label, (x, middle), NAME, HPos::Left)?;
            if let Err(why) = &tile.picture {
                let (low, high) = ((x, y + self.label), (x + self.width, y + self.label + self.height));
                pen.hatched(low, high)?;
                let lines = SMALL.wrapped(&clean(why), self.width - 24.0, 4);
                let (x, y) = ((low.0 + high.0) / 2.0, (low.1 + high.1) / 2.0);
                let half = 8.0 * lines.len() as f64 + 4.0;
                pen.rectangle((low.0 + 6.0, y - half), (high.0 - 6.0, y + half), RGBColor(243, 244, 246))?;
                pen.lines(&lines, (x, y), SMALL, HPos::Center)?;
            }
        }
        Ok(())
    }
}

/// Words and pictures together, as SVG with the pictures inside, and as PNG of twice the size.
pub(super) fn draw(name: &str, chart: &Chart, sketch: &Pictures) -> Result<Figure, ReportError> {
    let height = height_of(sketch);
    let mut page = bitmap(name, height, &Drawing { sketch, in_pixels: true })?;
    let (mut inside, times) = (String::new(), f64::from(DETAIL));
    for (picture, (x, y), (width, tall)) in sketch.placed() {
        let size = |length: f64| ((2.0 * length).round() as u32).max(1);
        let filter = if size(width) < picture.width() {
            imageops::FilterType::Lanczos3
        } else {
            imageops::FilterType::CatmullRom
        };
        let sized = imageops::resize(picture, size(width), size(tall), filter);
        imageops::replace(&mut page, &sized, (2.0 * x).round() as i64, (2.0 * y).round() as i64);
        // The SVG holds no more pixels than the picture has.
        let kept = if sized.width() < picture.width() { &sized } else { picture };
        inside += &format!(
            "<image x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\" href=\"data:image/png;base64,{}\"/>\n",
            times * x,
            times * y,
            times * width,
            times * tall,
            BASE64.encode(encoded(name, kept)?)
        );
    }
    let svg = fine_svg(name, height, &Drawing { sketch, in_pixels: false })?;
    let svg = svg.trim_end().trim_end_matches("</svg>").to_owned() + &inside + "</svg>\n";
    let (title, caption) = (chart.title.clone(), chart.caption.clone());
    Ok(Figure { name: name.into(), title, caption, svg, png: encoded(name, &page)? })
}
