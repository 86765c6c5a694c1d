//! Frames in which something is before the mouth or the nose (a hand, a microphone): the mesh follows a face behind it
//! and is sure of it, but what is drawn there would lie over the hand.
//!
//! Each frame's face is drawn in the mean face's shape, and compared with the median over the track. Speech and blinks
//! move the mesh with them, so they hardly change what is seen there; what is inside the lips is left out.

use dubito_face::{FACE_OVAL, LIPS_INNER, LIPS_OUTER, Region, TRIANGLES};
use image::RgbImage;

use super::blend::fill_polygon;
use super::texture::mean_points;
use super::warp::{self, Rect};

/// Side of the face in the mean face's shape, in cells.
const SIDE: u32 = 48;
/// Fewest frames that say how a face looks.
const LEAST_FRAMES: usize = 5;
/// Correlation with the median below which the mouth and what is around it, or the nose, is not what it was.
const LIKE_MOUTH: f32 = 0.55;
const LIKE_NOSE: f32 = 0.5;
/// Deviation of the median's colours, in grey levels, below which there is nothing to be like.
const FEATURELESS: f32 = 5.0;
/// Distance from the median's colours, in grey levels and in multiples of the cell's usual one, that a cell of the lips
/// has where something else is seen, and the share of such cells.
const FAR: f32 = 20.0;
const UNUSUAL: f32 = 3.7;
const MUCH_OF_THE_LIPS: f32 = 0.45;

/// Whether the mouth or the nose is covered in each frame; those without a mesh (`None`) are not looked at. Either the
/// pattern of their colours is not that of the track's median, or most of the lips are of other colours than ever. What
/// covers the face in more than half of the frames is taken for the face.
pub fn covered(frames: &[RgbImage], meshes: &[Option<&[[f32; 3]]>]) -> Vec<bool> {
    let seen: Vec<Option<Seen>> = frames.iter().zip(meshes).map(|(frame, mesh)| Seen::of(frame, (*mesh)?)).collect();
    let whole: Vec<&Seen> = seen.iter().flatten().collect();
    if whole.len() < LEAST_FRAMES {
        return vec![false; frames.len()];
    }
    let cells = (SIDE * SIDE) as usize;
    let usual: Vec<[f32; 3]> = (0..cells)
        .map(|cell| {
            let there = || whole.iter().filter(|seen| seen.there[cell]);
            [0, 1, 2].map(|c| median(there().map(|seen| seen.colours[cell][c]).collect()))
        })
        .collect();
    let parts = Parts::new();
    let distances: Vec<Vec<f32>> = whole.iter().map(|seen| seen.distances(&usual, &parts.face)).collect();
    let limits: Vec<(usize, f32)> = parts
        .lips
        .iter()
        .map(|&cell| (cell, FAR.max(UNUSUAL * median(distances.iter().map(|d| d[cell]).collect()))))
        .collect();
    let unlike = |seen: &Seen, part: &[usize], least: f32| seen.likeness(&usual, part).is_some_and(|like| like < least);
    let mut found = whole.iter().zip(&distances).map(|(seen, distances)| {
        let far = limits.iter().filter(|(cell, limit)| distances[*cell] > *limit).count();
        far as f32 > MUCH_OF_THE_LIPS * limits.len() as f32
            || unlike(seen, &parts.mouth, LIKE_MOUTH)
            || unlike(seen, &parts.nose, LIKE_NOSE)
    });
    seen.iter().map(|seen| seen.is_some() && found.next().unwrap_or(false)).collect()
}

/// The cells of the mean face that are looked at.
struct Parts {
    /// All but the outline.
    face: Vec<usize>,
    /// The lips without what is between them.
    lips: Vec<usize>,
    /// The lips and what is around them.
    mouth: Vec<usize>,
    nose: Vec<usize>,
}

impl Parts {
    fn new() -> Self {
        let points = mean_points(SIDE);
        let inside = |outline: &[u16]| {
            let polygon: Vec<_> = outline.iter().map(|&i| [points[i as usize][0], points[i as usize][1]]).collect();
            fill_polygon(&polygon, SIDE, SIDE)
        };
        let outside: Vec<bool> = inside(&FACE_OVAL).into_iter().map(|inside| !inside).collect();
        let (outside, between) = (grown(&outside, 1), grown(&inside(&LIPS_INNER), 1));
        let lips = inside(&LIPS_OUTER);
        let (around, nose) = (grown(&lips, 4), grown(&inside(Region::Nose.polygons()[0]), 1));
        let cells = |part: &dyn Fn(usize) -> bool| (0..outside.len()).filter(|&i| !outside[i] && part(i)).collect();
        Self {
            face: cells(&|_| true),
            lips: cells(&|i| lips[i] && !between[i]),
            mouth: cells(&|i| around[i] && !between[i]),
            nose: cells(&|i| nose[i]),
        }
    }
}

/// The cells at most so many steps (also diagonal ones) from those that are set.
fn grown(cells: &[bool], steps: usize) -> Vec<bool> {
    let side = SIDE as usize;
    let near = |v: usize| v.saturating_sub(steps)..(v + steps + 1).min(side);
    let any = |i: usize| near(i / side).any(|y| near(i % side).any(|x| cells[y * side + x]));
    (0..cells.len()).map(any).collect()
}

/// The middle of some numbers; 0 of none.
pub fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// A frame's face in the mean face's shape.
struct Seen {
    colours: Vec<[f32; 3]>,
    /// Whether the frame shows the cell.
    there: Vec<bool>,
}

impl Seen {
    fn of(frame: &RgbImage, mesh: &[[f32; 3]]) -> Option<Self> {
        let rect = Rect { x: 0, y: 0, width: SIDE, height: SIDE };
        let layer = warp::draw(frame, mesh, &mean_points(SIDE), &TRIANGLES, rect, 1.0)?;
        Some(Self {
            colours: layer.pixels.pixels().map(|p| p.0.map(f32::from)).collect(),
            there: layer.coverage.pixels().map(|c| c[0] > 250).collect(),
        })
    }

    /// Distance of each cell's colour from the usual one (root mean square over the channels), after the difference
    /// that half of the face has is taken away: another light is no hand. 0 where the frame does not show the cell.
    fn distances(&self, usual: &[[f32; 3]], face: &[usize]) -> Vec<f32> {
        let there = || face.iter().filter(|&&i| self.there[i]);
        let light = [0, 1, 2].map(|c| median(there().map(|&i| self.colours[i][c] - usual[i][c]).collect()));
        let distance = |i: usize| {
            let squares = (0..3).map(|c| (self.colours[i][c] - usual[i][c] - light[c]).powi(2));
            if self.there[i] { (squares.sum::<f32>() / 3.0).sqrt() } else { 0.0 }
        };
        (0..usual.len()).map(distance).collect()
    }

    /// Correlation of a part's colours with the usual ones, each channel about its own mean; `None` where the frame
    /// does not show half of it, or it has no features.
    fn likeness(&self, usual: &[[f32; 3]], part: &[usize]) -> Option<f32> {
        let cells: Vec<usize> = part.iter().copied().filter(|&i| self.there[i]).collect();
        let n = cells.len() as f32;
        if 2 * cells.len() < part.len() || cells.is_empty() {
            return None;
        }
        let (mut own, mut other, mut both) = (0.0, 0.0, 0.0);
        for c in 0..3 {
            let mean = |colours: &[[f32; 3]]| cells.iter().map(|&i| colours[i][c]).sum::<f32>() / n;
            let (mean_own, mean_other) = (mean(&self.colours), mean(usual));
            for &i in &cells {
                let (a, b) = (self.colours[i][c] - mean_own, usual[i][c] - mean_other);
                own += a * a;
                other += b * b;
                both += a * b;
            }
        }
        ((other / (3.0 * n)).sqrt() >= FEATURELESS).then(|| both / (own * other).sqrt().max(1e-6))
    }
}
