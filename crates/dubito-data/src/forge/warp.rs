//! One face's texture drawn in the shape of another, triangle by triangle.

use image::RgbImage;
use image::imageops::{self, FilterType};

/// A point in pixels; the centre of the first pixel is (0.5, 0.5).
pub type Point = [f32; 2];

/// A rectangle of pixels inside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

impl Rect {
    /// The pixels that `points` cover, widened by `margin` pixels, inside an image of the given
    /// size; `None` where nothing is left, or a point is not finite.
    pub fn around(points: impl IntoIterator<Item = Point>, margin: f32, size: (u32, u32)) -> Option<Self> {
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for p in points {
            if !p[0].is_finite() || !p[1].is_finite() {
                return None;
            }
            for i in 0..2 {
                low[i] = low[i].min(p[i]);
                high[i] = high[i].max(p[i]);
            }
        }
        let clamp = |v: f32, end: u32| v.clamp(0.0, end as f32) as u32;
        let (x, y) = (clamp((low[0] - margin).floor(), size.0), clamp((low[1] - margin).floor(), size.1));
        let (right, lower) = (clamp((high[0] + margin).ceil(), size.0), clamp((high[1] + margin).ceil(), size.1));
        (right > x && lower > y).then_some(Self { x, y, width: right - x, height: lower - y })
    }

    /// A point of the image in the rectangle's own pixels.
    pub fn inside(&self, p: Point) -> Point {
        [p[0] - self.x as f32, p[1] - self.y as f32]
    }
}

/// A texture drawn over a rectangle, and where it was drawn (255) or not (0).
pub struct Layer {
    /// The pixels drawn, as large as the rectangle.
    pub pixels: RgbImage,
    /// Share of each pixel that was drawn, 0 to 255.
    pub coverage: image::GrayImage,
}

/// Draws `texture`, whose mesh is `from`, over `rect` in the shape `to` (points of the whole image).
///
/// Every triangle is mapped by its own affine map and sampled bilinearly, far triangles first (by the
/// mean z of `to`); those that face away in one of the meshes are left out. The drawing is made at
/// `scale` (at most 1) of the rectangle's size and enlarged, so that two textures of different
/// sharpness come out alike; the texture is shrunk to that size first, so nothing aliases.
pub fn draw(
    texture: &RgbImage,
    from: &[[f32; 3]],
    to: &[[f32; 3]],
    triangles: &[[u16; 3]],
    rect: Rect,
    scale: f32,
) -> Option<Layer> {
    let scale = scale.clamp(0.05, 1.0);
    let size =
        (((rect.width as f32 * scale).round() as u32).max(2), ((rect.height as f32 * scale).round() as u32).max(2));
    let zoom = [size.0 as f32 / rect.width as f32, size.1 as f32 / rect.height as f32];

    // Shrink the texture to about the size that it is drawn at.
    let flat = |points: &[[f32; 3]]| points.iter().map(|p| [p[0], p[1]]).collect::<Vec<Point>>();
    let (from_flat, to_flat) = (flat(from), flat(to));
    let cut = Rect::around(from_flat.iter().copied(), 4.0, texture.dimensions())?;
    let shrink = (spread(&to_flat) / spread(&from_flat) * scale).min(1.0);
    if !shrink.is_finite() || shrink <= 0.0 {
        return None;
    }
    let atlas_size =
        (((cut.width as f32 * shrink).ceil() as u32).max(2), ((cut.height as f32 * shrink).ceil() as u32).max(2));
    let view = imageops::crop_imm(texture, cut.x, cut.y, cut.width, cut.height);
    let atlas = if atlas_size == (cut.width, cut.height) {
        view.to_image()
    } else {
        imageops::resize(&*view, atlas_size.0, atlas_size.1, FilterType::Triangle)
    };
    let to_atlas = [atlas_size.0 as f32 / cut.width as f32, atlas_size.1 as f32 / cut.height as f32];
    let source: Vec<Point> =
        from_flat.iter().map(|&p| cut.inside(p)).map(|p| [p[0] * to_atlas[0], p[1] * to_atlas[1]]).collect();
    let target: Vec<Point> =
        to_flat.iter().map(|&p| rect.inside(p)).map(|p| [p[0] * zoom[0], p[1] * zoom[1]]).collect();

    let mut order: Vec<&[u16; 3]> =
        triangles.iter().filter(|t| t.iter().all(|&i| (i as usize) < source.len().min(target.len()))).collect();
    let depth = |t: &[u16; 3]| t.iter().map(|&i| to[i as usize][2]).sum::<f32>();
    order.sort_by(|a, b| depth(b).total_cmp(&depth(a)));

    let mut layer = Layer { pixels: RgbImage::new(size.0, size.1), coverage: image::GrayImage::new(size.0, size.1) };
    for t in order {
        let pick = |points: &[Point]| t.map(|i| points[i as usize]);
        fill_triangle(&mut layer, &atlas, pick(&source), pick(&target));
    }
    if size != (rect.width, rect.height) {
        layer.pixels = imageops::resize(&layer.pixels, rect.width, rect.height, FilterType::CatmullRom);
        layer.coverage = imageops::resize(&layer.coverage, rect.width, rect.height, FilterType::Triangle);
    }
    Some(layer)
}

/// Root of the mean squared distance of points from their centre.
pub fn spread(points: &[Point]) -> f32 {
    let n = points.len().max(1) as f32;
    let centre = [0, 1].map(|i| points.iter().map(|p| p[i]).sum::<f32>() / n);
    (points.iter().map(|p| (p[0] - centre[0]).powi(2) + (p[1] - centre[1]).powi(2)).sum::<f32>() / n).sqrt()
}

fn signed_area([a, b, c]: [Point; 3]) -> f32 {
    (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
}

fn fill_triangle(layer: &mut Layer, atlas: &RgbImage, from: [Point; 3], to: [Point; 3]) {
    let (area, texture_area) = (signed_area(to), signed_area(from));
    if area.abs() < 1e-6 || area * texture_area <= 0.0 {
        return;
    }
    let Some(rect) = Rect::around(to, 0.0, layer.pixels.dimensions()) else { return };
    for y in rect.y..rect.y + rect.height {
        for x in rect.x..rect.x + rect.width {
            let p = [x as f32 + 0.5, y as f32 + 0.5];
            // Barycentric weights; the slack closes the seams between neighbours.
            let wa = signed_area([p, to[1], to[2]]) / area;
            let wb = signed_area([to[0], p, to[2]]) / area;
            let wc = 1.0 - wa - wb;
            if wa < -1e-4 || wb < -1e-4 || wc < -1e-4 {
                continue;
            }
            let at = [0, 1].map(|i| wa * from[0][i] + wb * from[1][i] + wc * from[2][i]);
            layer.pixels.put_pixel(x, y, image::Rgb(sample(atlas, at)));
            layer.coverage.put_pixel(x, y, image::Luma([255]));
        }
    }
}

/// Bilinear sample; outside the image its edge is repeated.
fn sample(image: &RgbImage, p: Point) -> [u8; 3] {
    let (w, h) = image.dimensions();
    let (x, y) = ((p[0] - 0.5).clamp(0.0, (w - 1) as f32), (p[1] - 0.5).clamp(0.0, (h - 1) as f32));
    let (x0, y0) = (x as u32, y as u32);
    let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let (a, b) = (image.get_pixel(x0, y0).0, image.get_pixel(x1, y0).0);
    let (c, d) = (image.get_pixel(x0, y1).0, image.get_pixel(x1, y1).0);
    [0, 1, 2].map(|i| {
        let upper = f32::from(a[i]) * (1.0 - fx) + f32::from(b[i]) * fx;
        let lower = f32::from(c[i]) * (1.0 - fx) + f32::from(d[i]) * fx;
        (upper * (1.0 - fy) + lower * fy).round() as u8
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A grid of 6 x 6 points over a picture, and its triangles.
    fn grid(width: f32, height: f32) -> (Vec<[f32; 3]>, Vec<[u16; 3]>) {
        let points = (0..36).map(|i| [(i % 6) as f32 * width / 5.0, (i / 6) as f32 * height / 5.0, 0.0]).collect();
        let mut triangles = Vec::new();
        for y in 0..5_u16 {
            for x in 0..5_u16 {
                let i = y * 6 + x;
                triangles.extend([[i, i + 1, i + 6], [i + 1, i + 7, i + 6]]);
            }
        }
        (points, triangles)
    }

    fn picture() -> RgbImage {
        RgbImage::from_fn(60, 50, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, ((x + y) * 2) as u8]))
    }

    #[test]
    fn a_mesh_drawn_onto_itself_changes_nothing_and_leaves_no_seam() {
        let (points, triangles) = grid(60.0, 50.0);
        let rect = Rect { x: 0, y: 0, width: 60, height: 50 };
        let layer = draw(&picture(), &points, &points, &triangles, rect, 1.0).unwrap();
        assert!(layer.coverage.pixels().all(|p| p[0] == 255));
        assert_eq!(layer.pixels, picture());
    }

    #[test]
    fn a_shifted_mesh_shifts_the_picture() {
        let (points, triangles) = grid(60.0, 50.0);
        let shifted: Vec<_> = points.iter().map(|p| [p[0] + 7.0, p[1] + 3.0, p[2]]).collect();
        let rect = Rect { x: 10, y: 10, width: 40, height: 30 };
        let layer = draw(&picture(), &points, &shifted, &triangles, rect, 1.0).unwrap();
        for (x, y, pixel) in layer.pixels.enumerate_pixels() {
            assert_eq!(pixel, picture().get_pixel(x + 10 - 7, y + 10 - 3));
        }
    }

    #[test]
    fn what_faces_away_is_not_drawn() {
        let (points, triangles) = grid(60.0, 50.0);
        let mirrored: Vec<_> = points.iter().map(|p| [60.0 - p[0], p[1], p[2]]).collect();
        let rect = Rect { x: 0, y: 0, width: 60, height: 50 };
        let layer = draw(&picture(), &points, &mirrored, &triangles, rect, 1.0).unwrap();
        assert!(layer.coverage.pixels().all(|p| p[0] == 0));
    }

    #[test]
    fn points_that_are_not_numbers_draw_nothing() {
        let (mut points, triangles) = grid(60.0, 50.0);
        let rect = Rect { x: 0, y: 0, width: 60, height: 50 };
        points[3] = [f32::NAN; 3];
        assert!(draw(&picture(), &points, &points, &triangles, rect, 1.0).is_none());
        assert_eq!(Rect::around([[-9.0, -9.0], [-2.0, -2.0]], 1.0, (60, 50)), None);
    }
}
