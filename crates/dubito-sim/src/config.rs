//! What makes one person: everything a seed decides, open to be set by hand.

use serde::{Deserialize, Serialize};

use crate::error::{SimError, within};
use crate::random::Draws;

/// A person, the light and the room, in numbers.
///
/// [`SubjectConfig::from_seed`] draws all of it; any part may then be changed. Shape is in standard deviations of the
/// simulated population, colours are sRGB.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectConfig {
    /// Seed of what is too fine to be named: pores, freckles, strands, the room.
    pub seed: u64,
    /// Skin tone on the Monk scale (Monk, "Monk Skin Tone Scale", 2019), 1 (lightest) to 10 (darkest).
    pub tone: u8,
    /// The head's shape.
    pub shape: Shape,
    /// The skin's marks.
    pub skin: Skin,
    /// Colour of the iris.
    pub iris: [u8; 3],
    /// Hair on the head.
    pub hair: Hair,
    /// How strong the eyebrows are, 0 to 1.
    pub brows: f32,
    /// Length of the beard in centimetres, 0 (shaven) to 2.
    pub beard: f32,
    /// Length of the moustache in centimetres, 0 (shaven) to 1.
    pub moustache: f32,
    /// Spectacles, if any: the frame's colour.
    pub glasses: Option<[u8; 3]>,
    /// What covers the shoulders.
    pub clothes: Clothes,
    /// The light on the face.
    pub light: Light,
}

/// The head's shape, each mode in standard deviations, -3 to 3; 0 everywhere is the canonical face.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // The names say it.
pub struct Shape {
    pub face_width: f32,
    pub face_length: f32,
    pub jaw_width: f32,
    pub chin_length: f32,
    pub chin_forward: f32,
    pub cheek_fullness: f32,
    pub cheekbones: f32,
    pub forehead_height: f32,
    pub brow_height: f32,
    pub brow_ridge: f32,
    pub eye_size: f32,
    pub eye_spacing: f32,
    pub eye_tilt: f32,
    pub nose_length: f32,
    pub nose_width: f32,
    pub nose_bridge: f32,
    pub nose_tip: f32,
    pub mouth_width: f32,
    pub lip_fullness: f32,
    pub asymmetry: f32,
}

/// The skin's marks, each 0 (none) to 1 (many).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The names say it.
pub struct Skin {
    pub freckles: f32,
    pub blotches: f32,
    pub redness: f32,
    pub lines: f32,
    pub stubble: f32,
    /// How much the lips stand out.
    pub lip_colour: f32,
    /// How oily the skin shines.
    pub shine: f32,
}

/// How the hair is worn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HairStyle {
    /// None.
    Bald,
    /// A few millimetres.
    Cropped,
    /// Some centimetres, shorter at the sides.
    Short,
    /// Combed up and back from the forehead.
    Swept,
    /// Cut straight above the brows.
    Fringe,
    /// Locks of some centimetres.
    Curly,
    /// Dense and round.
    Afro,
    /// Down to the shoulders.
    Long,
    /// Drawn back into a knot on top.
    Bun,
}

impl HairStyle {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::Bald,
        Self::Cropped,
        Self::Short,
        Self::Swept,
        Self::Fringe,
        Self::Curly,
        Self::Afro,
        Self::Long,
        Self::Bun,
    ];
}

/// Hair on the head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hair {
    /// How it is worn.
    pub style: HairStyle,
    /// Its colour, the beard's and the brows'.
    pub colour: [u8; 3],
    /// How far the hairline has moved back, in centimetres, -1 to 4.
    pub recession: f32,
    /// How thick it lies, as a factor, 0.5 to 1.5.
    pub volume: f32,
}

/// What covers the shoulders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clothes {
    /// Its colour.
    pub colour: [u8; 3],
    /// How deep the neckline falls in front, in centimetres, 0 to 8.
    pub neckline: f32,
}

/// The light on the face: one key light, a weaker one from the other side, and light from everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Light {
    /// Where the key light stands, in degrees from the camera: positive on the picture's right, -80 to 80.
    pub azimuth: f32,
    /// How high it stands, in degrees, -10 to 70.
    pub elevation: f32,
    /// Its strength, 0.2 to 2; about 1 exposes well.
    pub key: f32,
    /// The strength of the light from everywhere, 0.05 to 1.
    pub ambient: f32,
    /// Its colour: -1 (blue, like shade) to 1 (orange, like a bulb).
    pub warmth: f32,
}

impl SubjectConfig {
    /// A person drawn from the simulated population; skin tones are uniform, hair and eyes go with them.
    pub fn from_seed(seed: u64) -> Self {
        let tone = 1 + (Draws::new(seed, 1).uniform() * 10.0) as u8;
        Self::from_seed_and_tone(seed, tone.min(10))
    }

    /// The same, of a given tone on the Monk scale; one outside 1 to 10 is refused when the subject is made.
    pub fn from_seed_and_tone(seed: u64, tone: u8) -> Self {
        let mut d = Draws::new(seed, 2);
        let mut mode = || d.normal().clamp(-2.5, 2.5);
        let shape = Shape {
            face_width: mode(),
            face_length: mode(),
            jaw_width: mode(),
            chin_length: mode(),
            chin_forward: mode(),
            cheek_fullness: mode(),
            cheekbones: mode(),
            forehead_height: mode(),
            brow_height: mode(),
            brow_ridge: mode(),
            eye_size: mode(),
            eye_spacing: mode(),
            eye_tilt: mode(),
            nose_length: mode(),
            nose_width: mode(),
            nose_bridge: mode(),
            nose_tip: mode(),
            mouth_width: mode(),
            lip_fullness: mode(),
            asymmetry: mode(),
        };
        let dark = f32::from(tone.clamp(1, 10) - 1) / 9.0;
        let mut d = Draws::new(seed, 3);
        // Everything is drawn whatever the tone, so that one seed in two tones differs in nothing else.
        let (freckled, freckles) = (d.chance(0.35), d.range(0.3, 1.0));
        let skin = Skin {
            freckles: if freckled && dark < 0.5 { freckles } else { 0.15 * freckles },
            blotches: d.range(0.1, 0.8),
            redness: d.range(0.1, 0.8),
            lines: d.range(0.0, 1.0),
            stubble: 0.0,
            lip_colour: d.range(0.2, 1.0),
            shine: d.range(0.2, 0.9),
        };
        let brown = d.pick(&[[60, 36, 20], [78, 48, 26], [46, 28, 18]]);
        let other = d.pick(&[[92, 128, 158], [110, 130, 138], [96, 118, 78], [122, 98, 52], [84, 56, 30]]);
        let iris = if d.chance(0.4) || dark > 0.45 { brown } else { other };
        let grey = d.pick(&[[150, 146, 140], [196, 192, 186], [104, 100, 96]]);
        let black = d.pick(&[[22, 18, 16], [30, 23, 19], [42, 30, 23]]);
        let light = d.pick(&[[70, 46, 30], [104, 70, 42], [168, 128, 78], [134, 62, 30], [52, 36, 26]]);
        let colour = match (d.chance(0.15), d.chance(0.4) || dark > 0.4) {
            (true, _) => grey,
            (false, true) => black,
            (false, false) => light,
        };
        // Longer hair is drawn without a beard more often than not; nothing else hangs together.
        let style = d.pick(&HairStyle::ALL);
        let bearded =
            d.chance(if matches!(style, HairStyle::Long | HairStyle::Bun | HairStyle::Fringe) { 0.1 } else { 0.4 });
        let (long, beard, moustache) = (d.chance(0.5), d.range(0.3, 1.5), d.range(0.3, 0.7));
        let (beard, moustache) = if bearded && long { (beard, moustache) } else { (0.0, 0.0) };
        let stubble = d.range(0.3, 1.0) * f32::from(u8::from(bearded));
        let hair = Hair {
            style,
            colour,
            recession: if d.chance(0.25) { d.range(0.5, 2.5) } else { d.range(-0.6, 0.4) },
            volume: d.range(0.75, 1.3),
        };
        Self {
            seed,
            tone,
            shape,
            skin: Skin { stubble, ..skin },
            iris,
            hair,
            brows: d.range(0.35, 1.0),
            beard,
            moustache,
            glasses: if d.chance(0.2) {
                Some(d.pick(&[[24, 22, 22], [92, 56, 30], [130, 130, 134], [40, 48, 84]]))
            } else {
                None
            },
            clothes: Clothes {
                colour: d.pick(&[
                    [44, 58, 92],
                    [128, 36, 40],
                    [56, 92, 70],
                    [196, 192, 184],
                    [48, 48, 52],
                    [150, 118, 78],
                    [92, 78, 120],
                    [104, 132, 156],
                ]),
                neckline: d.range(0.5, 5.0),
            },
            light: Light {
                azimuth: d.range(-55.0, 55.0),
                elevation: d.range(10.0, 50.0),
                key: d.range(0.75, 1.15),
                ambient: d.range(0.25, 0.5),
                warmth: d.range(-0.6, 0.6),
            },
        }
    }

    /// Refuses what is outside its range.
    pub(crate) fn check(&self) -> Result<(), SimError> {
        const UNIT: &str = "0 to 1";
        const MODE: &str = "-3 to 3 standard deviations";
        within("tone", f32::from(self.tone), 1.0, 10.0, "1 to 10 on the Monk scale")?;
        for (field, value) in self.shape.modes() {
            within(field, value, -3.0, 3.0, MODE)?;
        }
        for (field, value) in [
            ("skin.freckles", self.skin.freckles),
            ("skin.blotches", self.skin.blotches),
            ("skin.redness", self.skin.redness),
            ("skin.lines", self.skin.lines),
            ("skin.stubble", self.skin.stubble),
            ("skin.lip_colour", self.skin.lip_colour),
            ("skin.shine", self.skin.shine),
            ("brows", self.brows),
        ] {
            within(field, value, 0.0, 1.0, UNIT)?;
        }
        within("beard", self.beard, 0.0, 2.0, "0 to 2 centimetres")?;
        within("moustache", self.moustache, 0.0, 1.0, "0 to 1 centimetre")?;
        within("hair.recession", self.hair.recession, -1.0, 4.0, "-1 to 4 centimetres")?;
        within("hair.volume", self.hair.volume, 0.5, 1.5, "0.5 to 1.5")?;
        within("clothes.neckline", self.clothes.neckline, 0.0, 8.0, "0 to 8 centimetres")?;
        within("light.azimuth", self.light.azimuth, -80.0, 80.0, "-80 to 80 degrees")?;
        within("light.elevation", self.light.elevation, -10.0, 70.0, "-10 to 70 degrees")?;
        within("light.key", self.light.key, 0.2, 2.0, "0.2 to 2")?;
        within("light.ambient", self.light.ambient, 0.05, 1.0, "0.05 to 1")?;
        within("light.warmth", self.light.warmth, -1.0, 1.0, "-1 to 1")
    }
}

impl Shape {
    fn modes(&self) -> [(&'static str, f32); 20] {
        [
            ("shape.face_width", self.face_width),
            ("shape.face_length", self.face_length),
            ("shape.jaw_width", self.jaw_width),
            ("shape.chin_length", self.chin_length),
            ("shape.chin_forward", self.chin_forward),
            ("shape.cheek_fullness", self.cheek_fullness),
            ("shape.cheekbones", self.cheekbones),
            ("shape.forehead_height", self.forehead_height),
            ("shape.brow_height", self.brow_height),
            ("shape.brow_ridge", self.brow_ridge),
            ("shape.eye_size", self.eye_size),
            ("shape.eye_spacing", self.eye_spacing),
            ("shape.eye_tilt", self.eye_tilt),
            ("shape.nose_length", self.nose_length),
            ("shape.nose_width", self.nose_width),
            ("shape.nose_bridge", self.nose_bridge),
            ("shape.nose_tip", self.nose_tip),
            ("shape.mouth_width", self.mouth_width),
            ("shape.lip_fullness", self.lip_fullness),
            ("shape.asymmetry", self.asymmetry),
        ]
    }
}
