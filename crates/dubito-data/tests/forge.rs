//! Every generator on a drawn face: what it changes, what it leaves, and that it does so again.
#![allow(clippy::unwrap_used)]

use dubito_data::forge::{Face, Forger, Generator, Strength, Traces};
use dubito_face::{FACE_OVAL, LIPS_INNER, LIPS_OUTER, MEAN_FACE};
use image::{GrayImage, RgbImage};

const SIZE: u32 = 160;
const FRAMES: usize = 6;

type Mesh = Vec<[f32; 3]>;

/// The mean face, its lower lip lowered by `open` pixels.
fn mesh(open: f32) -> Mesh {
    let lower = |i: usize| [17, 84, 181, 91, 314, 405, 321, 14, 87, 178, 317, 402].contains(&i);
    let place = |(i, p): (usize, &[f32; 2])| {
        [30.0 + 100.0 * p[0], 25.0 + 100.0 * p[1] + if lower(i) { open } else { 0.0 }, 0.0]
    };
    MEAN_FACE.iter().enumerate().map(place).collect()
}

fn inside(p: [f32; 2], outline: &[u16], mesh: &Mesh) -> bool {
    let corner = |k: usize| mesh[outline[k % outline.len()] as usize];
    (0..outline.len()).fold(false, |inside, k| {
        let (a, b) = (corner(k), corner(k + 1));
        let crosses = (a[1] > p[1]) != (b[1] > p[1]) && p[0] < (b[0] - a[0]) * (p[1] - a[1]) / (b[1] - a[1]) + a[0];
        inside != crosses
    })
}

/// A face of one colour with grain, red lips and a dark mouth, before a background of stripes.
fn draw(mesh: &Mesh, skin: [u8; 3], grain: u32) -> RgbImage {
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let p = [x as f32 + 0.5, y as f32 + 0.5];
        let noise = (x.wrapping_mul(2_654_435_761).wrapping_add(y.wrapping_mul(40_503)) >> 7) % grain;
        if inside(p, &LIPS_INNER, mesh) {
            image::Rgb([40, 12, 10])
        } else if inside(p, &LIPS_OUTER, mesh) {
            image::Rgb([180, 60, 70])
        } else if inside(p, &FACE_OVAL, mesh) {
            image::Rgb(skin.map(|v| v + noise as u8))
        } else {
            image::Rgb(if (x / 5 + y / 3) % 2 == 0 { [60, 90, 60] } else { [70, 80, 95] })
        }
    })
}

fn person(skin: [u8; 3], grain: u32, talk: [f32; FRAMES]) -> (Vec<RgbImage>, Vec<Mesh>) {
    talk.into_iter().map(mesh).map(|mesh| (draw(&mesh, skin, grain), mesh)).unzip()
}

fn pair() -> [(Vec<RgbImage>, Vec<Mesh>); 2] {
    [
        person([200, 160, 140], 14, [0.0, 0.5, 1.0, 1.5, 1.0, 0.5]),
        person([150, 115, 95], 9, [1.0, 5.0, 8.0, 9.0, 7.0, 3.0]),
    ]
}

fn change(a: &RgbImage, b: &RgbImage, mask: &GrayImage) -> f64 {
    let changed = mask.pixels().filter(|p| p[0] > 0).count().max(1);
    let sum: u64 =
        a.pixels().zip(b.pixels()).map(|(a, b)| (0..3).map(|c| u64::from(a[c].abs_diff(b[c]))).sum::<u64>()).sum();
    sum as f64 / (3 * changed) as f64
}

#[test]
fn what_is_outside_the_mask_is_untouched_and_the_same_is_made_again() {
    let [(own, own_meshes), (other, other_meshes)] = pair();
    let (target, donor) = (Face::new(&own, own_meshes, &[]), Face::new(&other, other_meshes, &[]));
    for generator in Generator::ALL.into_iter().chain([Generator::SelfBlended]) {
        let donor = generator.needs_donor().then_some(&donor);
        let make = || Forger::new(generator, &target, donor, 0.5, 7).frame(2).unwrap();
        let (image, mask) = make();
        let outside =
            |(x, y, p): (u32, u32, &image::Luma<u8>)| p[0] > 0 || image.get_pixel(x, y) == own[2].get_pixel(x, y);
        assert!(mask.enumerate_pixels().all(outside), "{generator}");
        assert!(mask.pixels().all(|p| p[0] == 0 || p[0] == 255));
        assert!(change(&image, &own[2], &mask) > 0.5, "{generator} changes next to nothing");
        assert_eq!(make(), (image, mask), "{generator}");
        assert!(Forger::new(generator, &target, donor, 0.5, 7).frame(FRAMES).is_none());
    }
}

#[test]
fn a_null_control_is_nearer_to_the_truth_than_the_fake_and_as_large() {
    let [(own, own_meshes), (other, other_meshes)] = pair();
    let (target, donor) = (Face::new(&own, own_meshes, &[]), Face::new(&other, other_meshes, &[]));
    for generator in Generator::ALL {
        let (fake, fake_mask) = Forger::new(generator, &target, Some(&donor), 0.5, 7).frame(3).unwrap();
        let (null, null_mask) = Forger::new(generator, &target, None, 0.5, 7).frame(3).unwrap();
        let [fake_change, null_change] = [change(&fake, &own[3], &fake_mask), change(&null, &own[3], &null_mask)];
        assert!(null_change < 0.8 * fake_change, "{generator}: {null_change} and {fake_change}");
        let area = |mask: &GrayImage| mask.pixels().filter(|p| p[0] > 0).count() as f64;
        let ratio = area(&null_mask) / area(&fake_mask);
        assert!((0.8..1.25).contains(&ratio), "{generator}: {ratio}");
    }
}

#[test]
fn strength_makes_a_fake_easier_to_see() {
    let [(own, own_meshes), (other, other_meshes)] = pair();
    let (target, donor) = (Face::new(&own, own_meshes, &[]), Face::new(&other, other_meshes, &[]));
    for generator in Generator::ALL {
        let seen = |strength: f32| {
            let forger = Forger::new(generator, &target, Some(&donor), strength, 7);
            let each =
                (0..FRAMES).map(|i| forger.frame(i).map(|(image, mask)| change(&image, &own[i], &mask)).unwrap());
            each.sum::<f64>() / FRAMES as f64
        };
        let (weak, strong) = (seen(0.0), seen(1.0));
        assert!(strong > weak, "{generator}: {weak} at 0, {strong} at 1");
    }
}

#[test]
fn a_single_trace_is_set_alone() {
    let [(own, own_meshes), (other, other_meshes)] = pair();
    let (target, donor) = (Face::new(&own, own_meshes, &[]), Face::new(&other, other_meshes, &[]));
    let same = |s: f32| Traces { resolution: Some(s), blend: Some(s), colour: Some(s) };
    for generator in [Generator::Faceswap, Generator::Deepfakes, Generator::Faceshifter, Generator::Fsgan] {
        let made = |traces: Traces| {
            Forger::new(generator, &target, Some(&donor), Strength { whole: 0.2, traces }, 7).frame(3).unwrap()
        };
        let plain = made(Traces::default());
        assert_eq!(made(same(0.2)), plain, "{generator}");
        // These faces are smaller than any resolution at which `faceswap` draws one.
        let names = Traces::NAMES.into_iter().filter(|name| generator != Generator::Faceswap || *name != "resolution");
        let each: Vec<_> = names.map(|name| made(Traces::default().with(name, 1.0).unwrap())).collect();
        for (k, one) in each.iter().enumerate() {
            assert!(*one != plain && each[..k].iter().all(|other| other != one), "{generator}, trace {k}");
        }
    }
    assert_eq!(Traces::default().with("sharpness", 1.0), None);
}

#[test]
fn a_face_that_cannot_be_used_is_left_alone() {
    let [(own, mut own_meshes), (other, other_meshes)] = pair();
    own_meshes[1][40] = [f32::NAN; 3];
    own_meshes[2].truncate(100);
    let presence = [1.0, 1.0, 1.0, 1.0, 0.3, 1.0];
    let target = Face::new(&own, own_meshes, &presence);
    let donor = Face::new(&other, other_meshes, &[]);
    for generator in Generator::ALL {
        let forger = Forger::new(generator, &target, Some(&donor), 0.5, 7);
        let made: Vec<bool> = (0..FRAMES).map(|i| forger.frame(i).is_some()).collect();
        assert_eq!(made, [true, false, false, true, false, true], "{generator}");
        assert_eq!(forger.unusable(4), Some("a covered or unclear face"));
        let nobody = Face::new(&[], Vec::new(), &[]);
        assert!(Forger::new(generator, &target, Some(&nobody), 0.5, 7).frame(0).is_none());
        assert!(Forger::new(generator, &nobody, Some(&donor), 0.5, 7).frame(0).is_none());
    }
}

/// Draws a rectangle of one colour over the mouth.
fn cover(image: &mut RgbImage, mesh: &[[f32; 3]], colour: [u8; 3]) {
    let side = |k: usize, outline: &[u16]| {
        let each = outline.iter().map(|&i| mesh[i as usize][k]);
        (each.clone().fold(f32::MAX, f32::min), each.fold(f32::MIN, f32::max))
    };
    let ((left, right), (top, bottom)) = (side(0, &LIPS_OUTER), side(1, &LIPS_OUTER));
    let (margin, height) = (0.4 * (right - left), 0.5 * (right - left));
    let middle = (top + bottom) / 2.0;
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        if (left - margin..right + margin).contains(&(x as f32)) && (y as f32 - middle).abs() < height {
            *pixel = image::Rgb(colour);
        }
    }
}

#[test]
fn something_before_the_mouth_is_noticed_and_speech_and_blinks_are_not() {
    const SHOWN: usize = 14;
    // What has the colour of the skin does not stand out from lips that nearly have it too.
    let mut skin_coloured = 0;
    for (seed, tone) in [(3, 2), (5, 8)] {
        let config = dubito_sim::SubjectConfig::from_seed_and_tone(seed, tone);
        let subject = dubito_sim::Subject::from_config(config).unwrap();
        let mut config = dubito_sim::PerformanceConfig::from_seed(seed);
        (config.camera.width, config.camera.height, config.camera.frame_rate) = (400, 300, 6.0);
        let performance = dubito_sim::Performance::from_config(config).unwrap();
        let shown = dubito_sim::frames(&subject, &performance).take(SHOWN);
        let (plain, meshes): (Vec<RgbImage>, Vec<Mesh>) = shown.map(|f| (f.image, f.landmarks)).unzip();
        let face = Face::new(&plain, meshes.clone(), &[]);
        assert_eq!(face.unusable, vec![None; SHOWN], "{seed}");
        let cheek = |i: usize| plain[i].get_pixel(meshes[i][50][0] as u32, meshes[i][50][1] as u32).0;
        for (dark, hidden) in [(false, vec![2, 9]), (true, vec![0, 5, 6, 12])] {
            let mut frames = plain.clone();
            for &i in &hidden {
                cover(&mut frames[i], &meshes[i], if dark { [30, 28, 30] } else { cheek(i) });
            }
            let face = Face::new(&frames, meshes.clone(), &[]);
            let found: Vec<usize> = (0..SHOWN).filter(|&i| face.unusable[i].is_some()).collect();
            match dark {
                true => assert_eq!(found, hidden, "{seed}"),
                false => assert!(found.contains(&hidden[0]) && found.iter().all(|i| hidden.contains(i)), "{found:?}"),
            }
            skin_coloured += if dark { 0 } else { found.len() };
            let forger = Forger::new(Generator::Faceswap, &face, Some(&face), 0.5, 7);
            assert!(forger.frame(hidden[0]).is_none() && forger.frame(1).is_some());
            assert!(forger.unusable(hidden[0]).unwrap().contains("before the mouth"));
        }
    }
    assert!(skin_coloured >= 3, "{skin_coloured} of 4");
}
