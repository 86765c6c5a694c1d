//! A person: everything that is computed once and used in every frame.

use crate::background::Background;
use crate::canonical::VERTICES;
use crate::config::{HairStyle, SubjectConfig};
use crate::error::SimError;
use crate::hair::{self, Growth, Strands};
use crate::head::{Head, Material};
use crate::math::V3;
use crate::random::hash;
use crate::shape::Face;
use crate::skin::{self, Texture};

/// A simulated person in their light and room.
///
/// Made once (some 100 ms), then rendered by [`render`](crate::render) in any performance.
#[derive(Debug)]
pub struct Subject {
    pub(crate) config: SubjectConfig,
    pub(crate) face: Face,
    pub(crate) head: Head,
    pub(crate) face_texture: Texture,
    pub(crate) skull_texture: Texture,
    pub(crate) neck_texture: Texture,
    pub(crate) strands: Strands,
    pub(crate) growth: Vec<Growth>,
    pub(crate) hair_triangles: Vec<[u32; 3]>,
    pub(crate) beard: Vec<Growth>,
    pub(crate) beard_triangles: Vec<[u32; 3]>,
    pub(crate) background: Background,
}

impl Subject {
    /// A person drawn by seed, see [`SubjectConfig::from_seed`].
    pub fn new(seed: u64) -> Self {
        Self::build(SubjectConfig::from_seed(seed))
    }

    /// The person of this configuration.
    ///
    /// # Errors
    /// A setting outside its range.
    pub fn from_config(config: SubjectConfig) -> Result<Self, SimError> {
        config.check()?;
        Ok(Self::build(config))
    }

    /// The person's configuration.
    pub fn config(&self) -> &SubjectConfig {
        &self.config
    }

    /// The pulse at each of the 468 landmarks: the blood supply, 0 to 1, by which the amplitude is multiplied, and
    /// the delay in seconds after the pulse's first arrival.
    pub fn pulse_map(&self) -> Vec<[f32; 2]> {
        VERTICES.iter().map(|&p| skin::pulse_at(p.into(), self.config.seed).into()).collect()
    }

    fn build(config: SubjectConfig) -> Self {
        let head = Head::new();
        let growth: Vec<Growth> = head.rest.iter().map(|&p| hair::growth(p, &config.hair)).collect();
        let beard: Vec<Growth> = head.rest.iter().map(|&p| hair::beard(p, config.beard, config.moustache)).collect();
        let grown = |growth: &[Growth], skip: bool| {
            let skin = |m| matches!(m, Material::Face | Material::Skull);
            head.triangles
                .iter()
                .filter(|(t, m)| !skip && skin(*m) && t.iter().any(|&v| growth[v as usize].inside > -0.6))
                .map(|(t, _)| *t)
                .collect::<Vec<_>>()
        };
        Self {
            face: Face::new(&config.shape),
            face_texture: skin::face_texture(&config),
            skull_texture: skin::skull_texture(&config, &head),
            neck_texture: skin::neck_texture(&config),
            strands: Strands::new(config.hair.style, hash(config.seed ^ 0x57) as u32),
            hair_triangles: grown(&growth, config.hair.style == HairStyle::Bald),
            beard_triangles: grown(&beard, config.beard == 0.0 && config.moustache == 0.0),
            background: Background::new(config.seed),
            growth,
            beard,
            head,
            config,
        }
    }

    /// The middle of some landmarks of the face at rest.
    pub(crate) fn neutral(&self, landmarks: &[usize]) -> V3 {
        self.face.middle(landmarks)
    }
}
