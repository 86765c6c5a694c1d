//! How each generator makes a frame: where the texture comes from, which shape it is drawn in, how its edge is hidden.

use dubito_face::{
    FACE_OVAL, LEFT_EYE, LEFT_EYEBROW, LIPS_OUTER, MEAN_FACE, RIGHT_EYE, RIGHT_EYEBROW, Similarity, TRIANGLES,
};
use image::{GrayImage, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::blend::{self, Blend};
use super::generators::{Face, Generator};
use super::grain::match_grain;
use super::pyramid::Plane;
use super::texture::{Autoencoder, mean_points, mean_texture, textures};
use super::warp::{self, Point, Rect};

type Mesh = Vec<[f32; 3]>;

/// Lower face: the jaw from ear to ear, then back over the cheeks and under the nose.
const LOWER_FACE: [u16; 22] =
    [58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 425, 327, 326, 2, 97, 98, 205];
/// Points that the mouth does not move: the corners of the eyes, and the bridge of the nose.
const STEADY: [u16; 9] = [33, 133, 362, 263, 168, 6, 197, 127, 356];
/// Points that say most about an expression: the mouth's corners, both lips, both lids.
const TELLING: [usize; 12] = [61, 291, 13, 14, 0, 17, 159, 145, 386, 374, 78, 308];
/// How often they count among the 468.
const TELLING_WEIGHT: f32 = 30.0;
/// Components of a pair's autoencoder.
const COMPONENTS: usize = 12;
/// Largest width in pixels at which a mouth is drawn, after Wav2Lip; and never more than half its width.
const MOUTH_PIXELS: f32 = 96.0;

/// Strengths of single traces of a forgery, 0 (hardest to see) to 1, where they differ from that of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// How coarsely the face is drawn.
    pub resolution: Option<f32>,
    /// How plainly its edge shows.
    pub blend: Option<f32>,
    /// How much of its difference in colour is left.
    pub colour: Option<f32>,
}

impl Traces {
    /// Names of the traces.
    pub const NAMES: [&str; 3] = ["resolution", "blend", "colour"];

    /// Whether all are as strong as the whole.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same with the trace of this name at a strength; `None` where there is no such trace.
    pub fn with(mut self, name: &str, strength: f32) -> Option<Self> {
        match name {
            "resolution" => self.resolution = Some(strength),
            "blend" => self.blend = Some(strength),
            "colour" => self.colour = Some(strength),
            _ => return None,
        }
        Some(self)
    }
}

/// How easily a fake is seen: 0 is the hardest, 1 the easiest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// Of all that is not named below: expressions, how smooth a texture is, a decoder's pattern.
    pub whole: f32,
    /// Of single traces.
    pub traces: Traces,
}

impl From<f32> for Strength {
    fn from(whole: f32) -> Self {
        Self { whole, traces: Traces::default() }
    }
}

impl Strength {
    fn resolution(self) -> f32 {
        self.traces.resolution.unwrap_or(self.whole)
    }

    fn blend(self) -> f32 {
        self.traces.blend.unwrap_or(self.whole)
    }

    fn colour(self) -> f32 {
        self.traces.colour.unwrap_or(self.whole)
    }
}

/// A generator at work on one pair of faces.
pub struct Forger<'a> {
    generator: Generator,
    strength: Strength,
    target: &'a Face<'a>,
    /// The other person; without one, a null control is made.
    donor: Option<&'a Face<'a>>,
    /// For each of the target's frames the donor's frame whose face is used.
    chosen: Vec<usize>,
    /// For each of the target's frames the donor's frame whose speech is used.
    spoken: Vec<usize>,
    /// For each of the target's frames the texture that is drawn onto it, of the generators that make one.
    textures: Vec<RgbImage>,
    /// For each of the target's frames the shape that its own mesh takes.
    shapes: Vec<Mesh>,
    /// For each of the target's frames its mesh with some of the donor's proportions, of the generators that take them.
    proportions: Vec<Option<Mesh>>,
    seed: u64,
}

impl<'a> Forger<'a> {
    /// Prepares `generator` for a pair: chooses the donor's frames, trains what is trained. Without a donor it makes
    /// the null control (or, of [`Generator::SelfBlended`], the counterfeit). `strength` is held to 0 to 1.
    pub fn new(
        generator: Generator,
        target: &'a Face<'a>,
        donor: Option<&'a Face<'a>>,
        strength: impl Into<Strength>,
        seed: u64,
    ) -> Self {
        let strength = strength.into();
        use Generator::{Face2face, Fsgan, FsganWav2lip, Neuraltextures, Wav2lip};
        let shown = donor.filter(|donor| !donor.is_empty());
        let chosen = shown.map_or_else(Vec::new, |donor| alike(target, donor));
        let spoken = shown.map_or_else(Vec::new, |donor| in_turn(target, donor));
        let mut shapes = target.meshes.clone();
        if let Some(donor) = shown {
            let drive =
                if matches!(generator, Wav2lip | FsganWav2lip) { 1.0 } else { between(strength.whole, 0.5, 1.0) };
            match generator {
                Face2face => shapes = reenacted(target, donor, &spoken, drive, &EXPRESSION),
                Neuraltextures | Wav2lip | FsganWav2lip => {
                    shapes = reenacted(target, donor, &spoken, drive, &[&LIPS_OUTER]);
                }
                _ => {}
            }
        }
        let proportions = match (generator, shown) {
            (Fsgan | FsganWav2lip, Some(donor)) => proportioned(target, donor, between(strength.whole, 0.2, 0.8)),
            _ => Vec::new(),
        };
        let textures = Vec::new();
        let mut forger =
            Self { generator, strength, target, donor, chosen, spoken, textures, shapes, proportions, seed };
        if !forger.lacks_its_donor() {
            forger.textures = forger.paint().iter().map(Plane::to_image).collect();
        }
        forger
    }

    /// Whether there should be another person and not one frame shows it: then nothing is made.
    fn lacks_its_donor(&self) -> bool {
        self.donor.is_some_and(Face::is_empty)
    }

    /// The whole textures that the generator makes, one for each of the target's frames; none where it makes none.
    fn paint(&self) -> Vec<Plane> {
        use Generator::{Deepfakes, Faceshifter, FaceswapGan, Fsgan, FsganWav2lip, Neuraltextures};
        let side = match self.generator {
            Deepfakes => between(self.strength.resolution(), 112.0, 64.0),
            FaceswapGan => 128.0,
            Neuraltextures => between(self.strength.resolution(), 144.0, 72.0),
            Faceshifter => between(self.strength.resolution(), 160.0, 80.0),
            Fsgan | FsganWav2lip => between(self.strength.resolution(), 176.0, 112.0),
            _ => return Vec::new(),
        } as u32;
        let Some(donor) = self.donor else { return textures(self.target, side) };
        // Frames that a texture is learned from; the more, the smoother.
        let neighbours = between(self.strength.whole, 2.0, 8.0) as usize;
        match self.generator {
            Deepfakes => {
                let (own, other) = (textures(self.target, side), textures(donor, side));
                let pick =
                    |from: &[Plane], face: &Face| face.usable().iter().map(|&i| from[i].clone()).collect::<Vec<_>>();
                match Autoencoder::train(&pick(&own, self.target), &pick(&other, donor), COMPONENTS) {
                    Some(trained) => own.iter().map(|texture| trained.swap(texture)).collect(),
                    None => own,
                }
            }
            FaceswapGan => {
                let other = textures(donor, side);
                self.chosen.iter().map(|&j| other[j].decoded(4, between(self.strength.whole, 0.0, 0.05))).collect()
            }
            Faceshifter => {
                // An identity is told from several frames: the mean of those that are shaped alike.
                let other = textures(donor, side);
                let near = |&j: &usize| likest(&donor.meshes[j], donor, &FACE_OVAL, neighbours);
                let told = |j: &usize| mean_texture(near(j).into_iter().map(|k| &other[k]));
                self.chosen.iter().map(|j| told(j).unwrap_or_else(|| other[*j].clone())).collect()
            }
            Neuraltextures => {
                let own = textures(self.target, side);
                let near = |shape: &Mesh| likest(shape, self.target, &LIPS_OUTER, neighbours);
                let learned = |shape: &Mesh| mean_texture(near(shape).into_iter().map(|i| &own[i]));
                self.shapes.iter().zip(&own).map(|(shape, own)| learned(shape).unwrap_or_else(|| own.clone())).collect()
            }
            _ => {
                // What a frame shows of the donor, filled up with what all its frames show.
                let other = textures(donor, side);
                let Some(mean) = mean_texture(donor.usable().iter().map(|&j| &other[j])) else { return other };
                let share = between(self.strength.whole, 0.2, 0.7);
                self.chosen.iter().map(|&j| other[j].zip(&mean, |own, mean| own + share * (mean - own))).collect()
            }
        }
    }

    /// Why frame `i` can't be forged, if it can't.
    pub fn unusable(&self, i: usize) -> Option<&'static str> {
        self.target.unusable.get(i).copied().flatten()
    }

    /// Makes the counterfeit of frame `i`, and the mask: 255 where a pixel may have changed. `None` where it can't be
    /// made (see [`Face::unusable`]) or there is no such frame.
    pub fn frame(&self, i: usize) -> Option<(RgbImage, GrayImage)> {
        use Generator::{
            Deepfakes, Face2face, Faceshifter, Faceswap, FaceswapGan, Fsgan, FsganWav2lip, Neuraltextures,
        };
        if self.target.unusable.get(i)?.is_some() || self.lacks_its_donor() {
            return None;
        }
        let (own, mesh) = (self.target.frames.get(i)?, self.target.meshes.get(i)?);
        let (s, blended, coloured) = (self.strength.whole, self.strength.blend(), self.strength.colour());
        let mut canvas = Canvas { image: own.clone(), mask: GrayImage::new(own.width(), own.height()) };
        match self.generator {
            Faceswap => {
                let (texture, from) = self.donors_frame(&self.chosen, i);
                let blend = Blend::Feathered(between(blended, 0.14, 0.015));
                let (pixels, colour) = (between(self.strength.resolution(), 176.0, 96.0), between(coloured, 1.0, 0.3));
                canvas.paste((texture, from), mesh, &FACE_OVAL, pixels, blend, colour)?;
            }
            Faceshifter => {
                let texture = self.textures.get(i)?;
                let from = mean_points(texture.width());
                let blend = Blend::Bands(between(blended, 0.0, 0.9));
                canvas.paste((texture, &from), mesh, &FACE_OVAL, f32::INFINITY, blend, between(coloured, 1.0, 0.6))?;
            }
            Deepfakes | FaceswapGan => {
                let texture = self.textures.get(i)?;
                let blend = Blend::Soft(between(blended, 0.09, 0.03));
                let from = mean_points(texture.width());
                canvas.paste((texture, &from), mesh, &FACE_OVAL, f32::INFINITY, blend, between(coloured, 1.0, 0.6))?;
            }
            Fsgan | FsganWav2lip => {
                let texture = self.textures.get(i)?;
                let shape = match self.donor {
                    Some(_) => self.proportions.get(i)?.as_ref()?,
                    None => mesh,
                };
                let blend = Blend::Gradient(between(blended, 1.0, 0.6));
                let from = mean_points(texture.width());
                canvas.paste((texture, &from), shape, &FACE_OVAL, f32::INFINITY, blend, between(coloured, 1.0, 0.6))?;
                if self.generator == FsganWav2lip {
                    self.mouth(i, shape, &mut canvas)?;
                }
            }
            Face2face => {
                let shape = &self.shapes[i];
                let light = if self.donor.is_some() { between(s, 0.3, 0.9) } else { 0.0 };
                let (texture, from) = smoothly_lit(own, mesh, light)?;
                let blend = Blend::Feathered(between(blended, 0.12, 0.05));
                canvas.paste((&texture, &from), shape, &FACE_OVAL, 176.0, blend, 0.0)?;
                if self.donor.is_some() {
                    let j = likest(shape, self.target, &LIPS_OUTER, 1).first().copied().unwrap_or(i);
                    let (texture, from) = (&self.target.frames[j], &self.target.meshes[j]);
                    canvas.paste((texture, from), shape, &LIPS_OUTER, 176.0, Blend::Feathered(0.12), 0.8)?;
                }
            }
            Neuraltextures => {
                let texture = self.textures.get(i)?;
                let from = mean_points(texture.width());
                let blend = Blend::Feathered(between(blended, 0.14, 0.02));
                canvas.paste(
                    (texture, &from),
                    &self.shapes[i],
                    &LOWER_FACE,
                    f32::INFINITY,
                    blend,
                    between(coloured, 1.0, 0.6),
                )?;
            }
            Generator::Wav2lip => self.mouth(i, mesh, &mut canvas)?,
            Generator::SelfBlended => self.self_blended(own, mesh, &mut canvas)?,
        }
        Some((canvas.image, canvas.mask))
    }

    /// The donor's frame in place `i` of a list with its mesh; the target's own for a null control.
    fn donors_frame(&self, list: &[usize], i: usize) -> (&RgbImage, &Mesh) {
        match (self.donor, list.get(i)) {
            (Some(donor), Some(&j)) => (&donor.frames[j], &donor.meshes[j]),
            _ => (&self.target.frames[i], &self.target.meshes[i]),
        }
    }

    /// Draws the lower face again, small, with the lips in the other speaker's position and the other's mouth between
    /// them. `mesh` is the face that is on the canvas now.
    fn mouth(&self, i: usize, mesh: &Mesh, canvas: &mut Canvas) -> Option<()> {
        let moved = self.shapes[i].iter().zip(&self.target.meshes[i]);
        let shape: Mesh =
            mesh.iter().zip(moved).map(|(p, (to, from))| [0, 1, 2].map(|k| p[k] + to[k] - from[k])).collect();
        let across = LOWER_FACE.map(|k| shape[k as usize][0]);
        let across = across.iter().copied().fold(f32::MIN, f32::max) - across.iter().copied().fold(f32::MAX, f32::min);
        let pixels = MOUTH_PIXELS.min(across / 2.0) * between(self.strength.resolution(), 1.0, 0.5);
        let before = canvas.image.clone();
        let blend = Blend::Feathered(between(self.strength.blend(), 0.12, 0.015));
        canvas.paste((&before, mesh), &shape, &LOWER_FACE, pixels, blend, 0.0)?;
        let (texture, from) = self.donors_frame(&self.spoken, i);
        // The lips are a part of the lower face: drawn at the same scale.
        let lips = LIPS_OUTER.map(|k| shape[k as usize][0]);
        let lips = lips.iter().copied().fold(f32::MIN, f32::max) - lips.iter().copied().fold(f32::MAX, f32::min);
        let pixels = pixels * lips / across.max(1.0);
        canvas.paste(
            (texture, from),
            &shape,
            &LIPS_OUTER,
            pixels,
            Blend::Feathered(0.15),
            between(self.strength.colour(), 1.0, 0.5),
        )
    }

    /// Lays the target's own face, changed a little, over itself. What is changed, and how much, is drawn once for
    /// the video.
    fn self_blended(&self, own: &RgbImage, mesh: &Mesh, canvas: &mut Canvas) -> Option<()> {
        let draw = |what: &str| {
            let hash = blake3::hash(format!("{} {what}", self.seed).as_bytes());
            let bits = hash.as_bytes().first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
            (f64::from(bits) / f64::from(u32::MAX)) as f32 * 2.0 - 1.0
        };
        let amount = between(self.strength.whole, 0.3, 1.0);
        let gain = ["red", "green", "blue"].map(|c| 1.0 + 0.12 * amount * draw(c));
        let (mut changed, from) = smoothly_lit(own, mesh, (amount * draw("sharpness")).max(0.0))?;
        for pixel in changed.pixels_mut() {
            for (value, gain) in pixel.0.iter_mut().zip(gain) {
                *value = (f32::from(*value) * gain).round().clamp(0.0, 255.0) as u8;
            }
        }
        let points: Vec<Point> = mesh.iter().map(|p| [p[0], p[1]]).collect();
        let width = warp::spread(&points);
        let centre = [0, 1].map(|k| points.iter().map(|p| p[k]).sum::<f32>() / points.len().max(1) as f32);
        let shift = [draw("right"), draw("down")].map(|d| 0.06 * amount * width * d);
        let scale = 1.0 + 0.03 * amount * draw("scale");
        let place = |p: &[f32; 3]| {
            [0, 1, 2].map(|k| if k < 2 { centre[k] + scale * (p[k] - centre[k]) + shift[k] } else { p[k] })
        };
        let moved: Mesh = mesh.iter().map(place).collect();
        let outline: &[u16] = if draw("region") < 0.0 { &LOWER_FACE } else { &FACE_OVAL };
        canvas.paste((&changed, &from), &moved, outline, f32::INFINITY, Blend::Soft(0.05 + 0.03 * draw("edge")), 0.0)
    }
}

/// The groups of points that an expression moves.
const EXPRESSION: [&[u16]; 5] = [&LIPS_OUTER, &LEFT_EYE, &RIGHT_EYE, &LEFT_EYEBROW, &RIGHT_EYEBROW];

fn between(strength: f32, weak: f32, strong: f32) -> f32 {
    weak + strength.clamp(0.0, 1.0) * (strong - weak)
}

/// A frame in the making.
struct Canvas {
    image: RgbImage,
    mask: GrayImage,
}

impl Canvas {
    /// Draws `texture`, whose mesh is `from`, in the shape `to` inside its `outline`, at most `pixels` wide. Widths in
    /// `blend` are fractions of the drawing's; `colour` says how much of the difference in colour is removed. What is drawn
    /// gets the grain of what is there.
    /// `None` where a mesh can't be drawn.
    fn paste(
        &mut self,
        (texture, from): (&RgbImage, &[[f32; 3]]),
        to: &[[f32; 3]],
        outline: &[u16],
        pixels: f32,
        blend: Blend,
        colour: f32,
    ) -> Option<()> {
        let polygon: Vec<Point> = outline.iter().map(|&i| [to[i as usize][0], to[i as usize][1]]).collect();
        let rect = Rect::around(polygon.iter().copied(), 2.0, self.image.dimensions())?;
        let scale = (pixels / rect.width as f32).min(1.0);
        let mut layer = warp::draw(texture, from, to, &TRIANGLES, rect, scale)?;
        let polygon: Vec<Point> = polygon.into_iter().map(|p| rect.inside(p)).collect();
        let width = rect.width as f32;
        let blend = match blend {
            Blend::Feathered(share) => Blend::Feathered(share * width),
            Blend::Soft(share) => Blend::Soft(share * width),
            other => other,
        };
        let opacity = blend.fit(&mut layer, &self.image, rect, &polygon, colour);
        let before = imageops::crop_imm(&self.image, rect.x, rect.y, rect.width, rect.height).to_image();
        blend::lay_over(&mut self.image, &mut self.mask, &layer.pixels, rect, &opacity);
        match_grain(&mut self.image, &before, rect, &opacity);
        Some(())
    }
}

/// The part of a frame that holds the face with its mesh there, `share` of its fine detail taken away: what a light
/// that varies slowly over the surface leaves.
fn smoothly_lit(image: &RgbImage, mesh: &Mesh, share: f32) -> Option<(RgbImage, Mesh)> {
    let rect = Rect::around(mesh.iter().map(|p| [p[0], p[1]]), 4.0, image.dimensions())?;
    let cut = imageops::crop_imm(image, rect.x, rect.y, rect.width, rect.height).to_image();
    let mesh = mesh.iter().map(|p| [p[0] - rect.x as f32, p[1] - rect.y as f32, p[2]]).collect();
    if share <= 0.0 {
        return Some((cut, mesh));
    }
    let own = Plane::from_image(&cut);
    // Details below a fiftieth of the face.
    let levels = (rect.width as f32 / 50.0).log2().round().max(1.0) as usize;
    let lit = own.zip(&own.smoothed(levels), |own, smooth| own + share * (smooth - own));
    Some((lit.to_image(), mesh))
}

fn flat(mesh: &[[f32; 3]], i: usize) -> [f64; 2] {
    [f64::from(mesh[i][0]), f64::from(mesh[i][1])]
}

/// The map from a mesh's pixels to the mean face, by the points that speech does not move; `None` of a mesh that
/// lacks points.
fn to_mean(mesh: &[[f32; 3]]) -> Option<Similarity> {
    if mesh.len() < MEAN_FACE.len() {
        return None;
    }
    let from = STEADY.map(|i| flat(mesh, i as usize));
    Similarity::estimate(&from, &STEADY.map(|i| MEAN_FACE[i as usize].map(f64::from)))
}

/// A mesh laid over the mean face.
fn aligned(mesh: &[[f32; 3]]) -> Option<Vec<[f32; 2]>> {
    let map = to_mean(mesh)?;
    Some((0..mesh.len()).map(|i| map.apply(flat(mesh, i)).map(|v| v as f32)).collect())
}

/// The mean of a person's aligned meshes.
fn neutral(face: &Face) -> Option<Vec<[f32; 2]>> {
    let shapes: Vec<Vec<[f32; 2]>> = face.usable().iter().filter_map(|&i| aligned(&face.meshes[i])).collect();
    let n = shapes.len() as f32;
    let mean = |k: usize| [0, 1].map(|c| shapes.iter().map(|s| s[k][c]).sum::<f32>() / n);
    (!shapes.is_empty()).then(|| (0..MEAN_FACE.len()).map(mean).collect())
}

/// Distance of a place on the mean face from the nearest of some points.
fn nearest(p: [f32; 2], points: &[u16]) -> f32 {
    let away = |&i: &u16| (MEAN_FACE[i as usize][0] - p[0]).hypot(MEAN_FACE[i as usize][1] - p[1]);
    points.iter().map(away).fold(f32::INFINITY, f32::min)
}

/// How much each point follows the nearest of the `leaders`: 1 there, less the farther away, 0 on the outline.
fn follow(leaders: &[&[u16]]) -> Vec<f32> {
    const REACH: f32 = 0.09;
    MEAN_FACE
        .iter()
        .map(|&p| {
            let away = leaders.iter().map(|l| nearest(p, l)).fold(f32::INFINITY, f32::min);
            let inwards = (nearest(p, &FACE_OVAL) / REACH).min(1.0);
            (-(away / REACH).powi(2)).exp() * inwards
        })
        .collect()
}

/// A mesh laid over the mean face, each point `k` put where `place(k, point)` says, and laid back.
fn moved(mesh: &Mesh, place: impl Fn(usize, [f32; 2]) -> [f32; 2]) -> Option<Mesh> {
    let back = to_mean(mesh)?.inverse();
    let points = aligned(mesh)?.into_iter().zip(mesh).enumerate();
    let to = points.map(|(k, (point, own))| {
        let [x, y] = back.apply(place(k, point).map(f64::from)).map(|v| v as f32);
        [x, y, own[2]]
    });
    Some(to.collect())
}

/// The target's meshes with the donor's expressions: `drive` of the difference of the donor's frame from the donor's
/// mean face, added to the target's mean face where the points follow the `leaders`.
fn reenacted(target: &Face, donor: &Face, chosen: &[usize], drive: f32, leaders: &[&[u16]]) -> Vec<Mesh> {
    let (Some(own), Some(other)) = (neutral(target), neutral(donor)) else { return target.meshes.clone() };
    let follow = follow(leaders);
    let driven = |mesh: &Mesh, j: usize| -> Option<Mesh> {
        let driver = aligned(&donor.meshes[j])?;
        moved(mesh, |k, point| {
            let wanted = [0, 1].map(|c| own[k][c] + driver[k][c] - other[k][c]);
            [0, 1].map(|c| point[c] + drive * follow[k] * (wanted[c] - point[c]))
        })
    };
    let each = target.meshes.iter().zip(chosen);
    each.map(|(mesh, &j)| driven(mesh, j).unwrap_or_else(|| mesh.clone())).collect()
}

/// The target's meshes with `share` of the donor's proportions inside their outline; `None` where there is no whole
/// mesh.
fn proportioned(target: &Face, donor: &Face, share: f32) -> Vec<Option<Mesh>> {
    let (Some(own), Some(other)) = (neutral(target), neutral(donor)) else { return Vec::new() };
    let inside: Vec<f32> = MEAN_FACE.iter().map(|&p| (nearest(p, &FACE_OVAL) / 0.15).min(1.0)).collect();
    let place = |k: usize, point: [f32; 2]| [0, 1].map(|c| point[c] + share * inside[k] * (other[k][c] - own[k][c]));
    target.meshes.iter().map(|mesh| moved(mesh, place)).collect()
}

/// The frames of `face` whose points of a region are most like those of `shape`, both laid over the mean face.
fn likest(shape: &Mesh, face: &Face, region: &[u16], count: usize) -> Vec<usize> {
    let Some(wanted) = aligned(shape) else { return Vec::new() };
    let distance = |i: usize| -> Option<f32> {
        let there = aligned(&face.meshes[i])?;
        let one = |&k: &u16| {
            let (a, b) = (wanted[k as usize], there[k as usize]);
            (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
        };
        Some(region.iter().map(one).sum())
    };
    let mut order: Vec<(f32, usize)> = face.usable().into_iter().filter_map(|i| Some((distance(i)?, i))).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.into_iter().take(count).map(|(_, i)| i).collect()
}

/// For each of the target's frames a usable frame of the donor, one after the other, back and forth.
fn in_turn(target: &Face, donor: &Face) -> Vec<usize> {
    let usable = donor.usable();
    let period = (2 * usable.len()).saturating_sub(2).max(1);
    let at = |i: usize| if i < usable.len() { i } else { period - i };
    (0..target.len()).map(|i| usable[at(i % period)]).collect()
}

/// For each of the target's frames the usable frame of the donor whose face has the most similar shape: least squared
/// distance of the points after both are centred and scaled to the same spread, mouth and lids counting most.
fn alike(target: &Face, donor: &Face) -> Vec<usize> {
    let shape = |mesh: &Mesh| -> Vec<[f32; 2]> {
        let points: Vec<Point> = mesh.iter().map(|p| [p[0], p[1]]).collect();
        let n = points.len().max(1) as f32;
        let centre = [0, 1].map(|k| points.iter().map(|p| p[k]).sum::<f32>() / n);
        let spread = warp::spread(&points).max(1e-6);
        points.iter().map(|p| [(p[0] - centre[0]) / spread, (p[1] - centre[1]) / spread]).collect()
    };
    let donors: Vec<(usize, Vec<[f32; 2]>)> =
        donor.usable().into_iter().map(|j| (j, shape(&donor.meshes[j]))).collect();
    let distance = |a: &[[f32; 2]], b: &[[f32; 2]]| -> f32 {
        let one = |k: usize| (a[k][0] - b[k][0]).powi(2) + (a[k][1] - b[k][1]).powi(2);
        let n = a.len().min(b.len());
        let telling: f32 = TELLING.into_iter().filter(|&k| k < n).map(one).sum();
        (0..n).map(one).sum::<f32>() + TELLING_WEIGHT * telling
    };
    let best = |mesh: &Mesh| {
        let own = shape(mesh);
        donors.iter().min_by(|a, b| distance(&own, &a.1).total_cmp(&distance(&own, &b.1))).map_or(0, |(j, _)| *j)
    };
    target.meshes.iter().map(best).collect()
}
