//! Pictures side by side, each with its name: one PNG to look at.

use image::{RgbImage, imageops};
use plotters::prelude::*;

use crate::ReportError;
use crate::figures::{FAMILY, fonts};

/// A picture and what stands above it.
pub struct Tile {
    /// One line of text.
    pub label: String,
    /// The picture; all of a sheet should be of one size.
    pub image: RgbImage,
}

/// Height of a label in pixels.
const LABEL: u32 = 26;
/// Distance between tiles in pixels.
const GAP: u32 = 8;

/// Lays tiles out in rows of `columns`, on white.
///
/// # Errors
/// Text that can't be drawn.
pub fn sheet(tiles: &[Tile], columns: u32) -> Result<RgbImage, ReportError> {
    let failed = |problem: String| ReportError::Figure { figure: "contact sheet".into(), problem };
    fonts().map_err(failed)?;
    let width = tiles.iter().map(|t| t.image.width()).max().unwrap_or(0);
    let height = tiles.iter().map(|t| t.image.height()).max().unwrap_or(0);
    let columns = columns.clamp(1, tiles.len().max(1) as u32);
    let rows = (tiles.len() as u32).div_ceil(columns);
    let size = (GAP + columns * (width + GAP), GAP + rows * (height + LABEL + GAP));
    let mut out = RgbImage::from_pixel(size.0, size.1, image::Rgb([255; 3]));
    let place = |i: usize| {
        let (x, y) = (i as u32 % columns, i as u32 / columns);
        (GAP + x * (width + GAP), GAP + y * (height + LABEL + GAP))
    };
    for (i, tile) in tiles.iter().enumerate() {
        let (x, y) = place(i);
        imageops::replace(&mut out, &tile.image, x.into(), (y + LABEL).into());
    }
    {
        let canvas = BitMapBackend::with_buffer(&mut out, size).into_drawing_area();
        let style = (FAMILY, 17).into_font().color(&BLACK);
        for (i, tile) in tiles.iter().enumerate() {
            let (x, y) = place(i);
            canvas.draw_text(&tile.label, &style, (x as i32, y as i32 + 4)).map_err(|e| failed(e.to_string()))?;
        }
        canvas.present().map_err(|e| failed(e.to_string()))?;
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stand_under_their_names() {
        let tile = |label: &str, shade| Tile {
            label: label.into(),
            image: RgbImage::from_pixel(60, 40, image::Rgb([shade; 3])),
        };
        let sheet = sheet(&[tile("first", 90), tile("second", 120), tile("third", 200)], 2).unwrap();
        assert_eq!(sheet.dimensions(), (8 + 2 * 68, 8 + 2 * 74));
        assert_eq!(sheet.get_pixel(20, 50)[0], 90);
        assert_eq!(sheet.get_pixel(90, 50)[0], 120);
        assert_eq!(sheet.get_pixel(20, 125)[0], 200);
        let dark = |x: std::ops::Range<u32>| {
            x.flat_map(|x| (8..34).map(move |y| (x, y))).filter(|&(x, y)| sheet.get_pixel(x, y)[0] < 100).count()
        };
        assert!(dark(8..68) > 10 && dark(76..136) > 10, "the names are written");
    }
}
