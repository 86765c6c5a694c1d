//! The generators by name, and what each imitates of the one it is named after.
//!
//! | name | mechanism here | edge | does not imitate |
//! |---|---|---|---|
//! | `deepfakes` | an autoencoder of one encoder and two decoders, linear, trained on the pair; its low-resolution face on the target's mesh | soft mask | a network, its own colours |
//! | `face2face` | another's expression moves the target's own mesh and texture, lit smoothly; the mouth comes from the target's own frame of the likest lips | feathered | a fitted 3D model and light |
//! | `faceswap` | the donor's texture on the target's mesh in three dimensions, colours transferred | feathered | relighting |
//! | `neuraltextures` | the lower face drawn again from a texture learned over the target's frames, another's expression | feathered | a network that renders it |
//! | `faceshifter` | the donor's details over the target's light and colours, band by band | pyramid | an encoder of identity, the occlusion step |
//! | `faceswap-gan` | the donor's face as a decoder of transposed convolutions paints it, with their pattern | soft mask | adversarial training, attention |
//! | `fsgan` | the donor's face in the donor's proportions, what a frame does not show filled from others | Poisson | segmentation, a generator |
//! | `wav2lip` | the lower face at 96 pixels or half its width, lips and what is between them driven by another speaker | feathered | sound |
//! | `fsgan-wav2lip` | `fsgan`, and then `wav2lip` by the same donor | both | as its parents |
//! | `self-blended` | the target's own face, changed in colour and sharpness and moved a little, under a random mask (Shiohara and Yamasaki, CVPR 2022): for training, no benchmark | soft mask | its full list of transforms |
//!
//! A null control is a video that has gone through the same drawing, at the same size and with the same edge, with the
//! target's own face and nothing synthesised: what it shows is still true.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::covered::covered;

/// A mechanism of forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// A face swap by a pair's autoencoder.
    Deepfakes,
    /// A reenactment by moving the target's own texture.
    Face2face,
    /// A graphics face swap.
    Faceswap,
    /// A mouth rendered again from a learned texture.
    Neuraltextures,
    /// A swap that keeps light and colours.
    Faceshifter,
    /// A swap with the pattern of transposed convolutions.
    FaceswapGan,
    /// A swap that keeps the donor's proportions, blended by gradients.
    Fsgan,
    /// A mouth driven by another's speech.
    Wav2lip,
    /// A swap whose mouth is driven too.
    FsganWav2lip,
    /// The target's own face over itself; for training.
    SelfBlended,
}

impl Generator {
    /// The nine of the benchmark.
    pub const ALL: [Self; 9] = [
        Self::Deepfakes,
        Self::Face2face,
        Self::Faceswap,
        Self::Neuraltextures,
        Self::Faceshifter,
        Self::FaceswapGan,
        Self::Fsgan,
        Self::Wav2lip,
        Self::FsganWav2lip,
    ];

    /// The name in manifests, reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deepfakes => "deepfakes",
            Self::Face2face => "face2face",
            Self::Faceswap => "faceswap",
            Self::Neuraltextures => "neuraltextures",
            Self::Faceshifter => "faceshifter",
            Self::FaceswapGan => "faceswap-gan",
            Self::Fsgan => "fsgan",
            Self::Wav2lip => "wav2lip",
            Self::FsganWav2lip => "fsgan-wav2lip",
            Self::SelfBlended => "self-blended",
        }
    }

    /// What it imitates, in a line.
    pub fn imitates(self) -> &'static str {
        match self {
            Self::Deepfakes => "a swap by an autoencoder trained on the pair, low in resolution, soft mask",
            Self::Face2face => "another's expression on the target's own mesh and texture",
            Self::Faceswap => "the donor's texture on the target's mesh, colours transferred, feathered",
            Self::Neuraltextures => "the lower face rendered again from a learned texture",
            Self::Faceshifter => "the donor's details in the target's light, blended band by band",
            Self::FaceswapGan => "a swap with the pattern that transposed convolutions leave",
            Self::Fsgan => "a swap in the donor's proportions, filled in and blended by gradients",
            Self::Wav2lip => "the lower face at 96 pixels, driven by another speaker",
            Self::FsganWav2lip => "fsgan, then wav2lip",
            Self::SelfBlended => "the target's own face over itself, for training",
        }
    }

    /// Strength of the standard tier, which is set so that a small ResNet-18 tells each generator's videos of
    /// simulated subjects from real ones neither always nor never.
    pub fn standard_strength(self) -> f32 {
        match self {
            Self::Deepfakes => 0.4,
            Self::Face2face => 0.5,
            Self::Faceswap => 0.9,
            Self::Neuraltextures => 0.95,
            Self::Faceshifter => 0.75,
            Self::FaceswapGan => 0.6,
            Self::Fsgan => 0.6,
            Self::Wav2lip => 0.9,
            Self::FsganWav2lip => 0.6,
            Self::SelfBlended => 0.5,
        }
    }

    /// Whether another person is needed.
    pub fn needs_donor(self) -> bool {
        self != Self::SelfBlended
    }
}

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Generator {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().chain([Self::SelfBlended]).find(|g| g.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|g| g.name()).collect();
            format!("generator {text:?} is none of {}, self-blended", known.join(", "))
        })
    }
}

/// A face followed through a video.
#[derive(Debug)]
pub struct Face<'a> {
    /// Its frames, all of one size.
    pub frames: &'a [RgbImage],
    /// The mesh in each frame: 468 points in the frame's pixels.
    pub meshes: Vec<Vec<[f32; 3]>>,
    /// Why a frame can't be forged (a profile, a hand before the mouth); `None` where it can.
    pub unusable: Vec<Option<&'static str>>,
}

/// The mesh's belief in a face below which the face counts as covered.
const MIN_PRESENCE: f32 = 0.8;
/// Where the nose's tip lies between the face's sides (0 to 1) in a profile: nearer to a side than this.
const PROFILE: f32 = 0.12;

impl<'a> Face<'a> {
    /// A face from its frames, meshes and the mesh's presence in each; what can't be forged is looked for.
    pub fn new(frames: &'a [RgbImage], meshes: Vec<Vec<[f32; 3]>>, presence: &[f32]) -> Self {
        let mut unusable: Vec<Option<&'static str>> = meshes
            .iter()
            .enumerate()
            .map(|(i, mesh)| match presence.get(i) {
                Some(p) if *p < MIN_PRESENCE => Some("a covered or unclear face"),
                _ => unusable(mesh),
            })
            .collect();
        let clear: Vec<Option<&[[f32; 3]]>> =
            meshes.iter().zip(&unusable).map(|(mesh, why)| why.is_none().then_some(mesh.as_slice())).collect();
        let covered = covered(frames, &clear);
        for (why, _) in unusable.iter_mut().zip(covered).filter(|(_, covered)| *covered) {
            *why = Some("something before the mouth or nose");
        }
        Self { frames, meshes, unusable }
    }

    /// Frames that have a mesh.
    pub fn len(&self) -> usize {
        self.frames.len().min(self.meshes.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frames that can be forged, or all where none can.
    pub fn usable(&self) -> Vec<usize> {
        let usable: Vec<usize> = (0..self.len()).filter(|&i| self.unusable[i].is_none()).collect();
        if usable.is_empty() { (0..self.len()).collect() } else { usable }
    }
}

fn unusable(mesh: &[[f32; 3]]) -> Option<&'static str> {
    const NOSE_TIP: usize = 1;
    const SIDES: [usize; 2] = [234, 454];
    if mesh.len() < dubito_face::MEAN_FACE.len() || mesh.iter().flatten().any(|v| !v.is_finite()) {
        return Some("no whole mesh");
    }
    let [left, right] = SIDES.map(|i| [mesh[i][0], mesh[i][1]]);
    let (across, nose) =
        ([right[0] - left[0], right[1] - left[1]], [mesh[NOSE_TIP][0] - left[0], mesh[NOSE_TIP][1] - left[1]]);
    let width = across[0].powi(2) + across[1].powi(2);
    let place = (across[0] * nose[0] + across[1] * nose[1]) / width.max(1e-6);
    (!(PROFILE..=1.0 - PROFILE).contains(&place)).then_some("a profile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for generator in Generator::ALL.into_iter().chain([Generator::SelfBlended]) {
            assert_eq!(generator.name().parse(), Ok(generator));
            assert_eq!(serde_json::to_value(generator).ok(), Some(generator.name().into()));
        }
        assert!("sora".parse::<Generator>().is_err_and(|e| e.contains("deepfakes")));
    }

    #[test]
    fn a_turned_head_a_covered_face_and_a_broken_mesh_are_not_forged() {
        let frontal: Vec<[f32; 3]> = super::super::texture::mean_points(100);
        let mut turned = frontal.clone();
        turned[1][0] = turned[454][0];
        let mut broken = frontal.clone();
        broken[7][1] = f32::NAN;
        let frames = vec![RgbImage::new(100, 100); 4];
        let face = Face::new(&frames, vec![frontal.clone(), turned, broken, frontal], &[1.0, 1.0, 1.0, 0.6]);
        let expected = [None, Some("a profile"), Some("no whole mesh"), Some("a covered or unclear face")];
        assert_eq!(face.unusable, expected);
        assert_eq!(face.usable(), [0]);
    }
}
