//! What needs no video: alignment, regions, topology, bad input.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use dubito_face::{
    CropSpec, DetectOptions, FACE_OVAL, FaceModels, MEAN_FACE, MIRROR, Range, Region, Roi, STABLE_POINTS, Similarity,
    TRIANGLES, Tiles, TrackOptions, Tracker, align, region_mask,
};
use image::{Rgb, RgbImage};
use serde_json::Value;

/// The mean face in a square picture of `size` pixels, a twentieth away from its border.
fn mean_face(size: f32) -> Vec<[f32; 3]> {
    MEAN_FACE.iter().map(|[x, y]| [(0.05 + 0.9 * x) * size, (0.05 + 0.9 * y) * size, 0.0]).collect()
}

#[test]
fn similarity_equals_scikit_image() {
    let cases: Value = serde_json::from_str(include_str!("golden/similarity.json")).unwrap();
    let points = |v: &Value| -> Vec<[f64; 2]> { serde_json::from_value(v.clone()).unwrap() };
    for case in cases.as_array().unwrap() {
        let golden: [[f64; 3]; 2] = serde_json::from_value(case["matrix"].clone()).unwrap();
        let ours = Similarity::estimate(&points(&case["source"]), &points(&case["target"])).unwrap();
        for (ours, golden) in ours.matrix.iter().flatten().zip(golden.iter().flatten()) {
            assert!((ours - golden).abs() <= 1e-9 * golden.abs().max(1.0), "{ours} is not {golden}");
        }
        let there = ours.apply([12.0, -7.0]);
        let back = ours.inverse().apply(there);
        assert!((back[0] - 12.0).abs() < 1e-9 && (back[1] + 7.0).abs() < 1e-9, "{back:?}");
    }
    assert_eq!(Similarity::estimate(&[[1.0, 1.0]; 4], &[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), None);
    assert_eq!(Similarity::estimate(&[[f64::NAN, 1.0], [0.0, 0.0]], &[[0.0, 0.0], [1.0, 0.0]]), None);
}

#[test]
fn a_turned_face_comes_upright() {
    // A picture whose red is x and green is y, and the mean face in it, turned by 0.5 and 200 pixels large.
    let image = RgbImage::from_fn(400, 400, |x, y| Rgb([(x / 2) as u8, (y / 2) as u8, 7]));
    let (sin, cos) = 0.5f32.sin_cos();
    let points: Vec<[f32; 3]> = MEAN_FACE
        .iter()
        .map(|[x, y]| {
            let (x, y) = (200.0 * (x - 0.5), 200.0 * (y - 0.5));
            [190.0 + x * cos - y * sin, 210.0 + x * sin + y * cos, 20.0]
        })
        .collect();
    let aligned = align(&image, &points, &CropSpec { size: 120, margin: 0.1 }).unwrap();
    assert!((aligned.transform.scale() - 0.5).abs() < 1e-4);
    for (landmark, mean) in aligned.landmarks.iter().zip(MEAN_FACE) {
        assert!((landmark[0] - (mean[0] * 100.0 + 10.0)).abs() < 1e-2);
        assert!((landmark[1] - (mean[1] * 100.0 + 10.0)).abs() < 1e-2);
        assert!((landmark[2] - 10.0).abs() < 1e-2);
    }
    // The crop's pixels are the picture's at the place the transform says.
    for (x, y) in [(60u32, 60u32), (20, 90), (110, 15)] {
        let [u, v] = aligned.transform.inverse().apply([f64::from(x) + 0.5, f64::from(y) + 0.5]);
        let [r, g, b] = aligned.crop.get_pixel(x, y).0;
        assert!((f64::from(r) - (u - 0.5) / 2.0).abs() < 1.0, "red {r} at {u}");
        assert!((f64::from(g) - (v - 0.5) / 2.0).abs() < 1.0, "green {g} at {v}");
        assert_eq!(b, 7);
    }
}

#[test]
fn shrinking_does_not_alias() {
    // Stripes of one pixel become grey, not stripes.
    let image = RgbImage::from_fn(800, 800, |x, _| Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
    let aligned = align(&image, &mean_face(800.0), &CropSpec { size: 64, margin: 0.0 }).unwrap();
    for pixel in aligned.crop.pixels() {
        assert!((100..156).contains(&pixel[0]), "{pixel:?}");
    }
}

#[test]
fn alignment_ignores_the_mouth() {
    let image = RgbImage::new(300, 300);
    let spec = CropSpec { size: 112, margin: 0.2 };
    let still = mean_face(300.0);
    let mut speaking = still.clone();
    for i in 0..468 {
        // Everything below the nose moves but the stable points.
        if still[i][1] > 200.0 && !STABLE_POINTS.contains(&i) {
            speaking[i][1] += 25.0;
        }
    }
    assert_eq!(align(&image, &still, &spec).unwrap().transform, align(&image, &speaking, &spec).unwrap().transform);
}

#[test]
fn regions_are_disjoint_and_inside_the_oval() {
    let size = 600;
    let points = mean_face(size as f32);
    let masks = Region::ALL.map(|region| region_mask(&points, region, size, size));
    let oval: Vec<[f32; 2]> =
        FACE_OVAL.iter().map(|&i| [points[usize::from(i)][0], points[usize::from(i)][1]]).collect();
    let inside = |x: f32, y: f32| {
        let crossings = (0..oval.len()).filter(|&i| {
            let (a, b) = (oval[i], oval[(i + 1) % oval.len()]);
            (a[1] <= y) != (b[1] <= y) && a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) > x
        });
        crossings.count() % 2 == 1
    };
    let (mut face, mut covered) = (0, 0);
    for y in 0..size {
        for x in 0..size {
            let count = masks.iter().filter(|m| m.get_pixel(x, y)[0] == 255).count();
            assert!(count <= 1, "two regions share ({x}, {y})");
            let within = inside(x as f32 + 0.5, y as f32 + 0.5);
            assert!(within || count == 0, "({x}, {y}) is outside the face");
            face += usize::from(within);
            covered += count;
        }
    }
    let share = covered as f64 / face as f64;
    assert!((0.72..0.85).contains(&share), "the regions cover {share} of the oval");
    for (region, mask) in Region::ALL.iter().zip(&masks) {
        let area = mask.pixels().filter(|p| p[0] == 255).count();
        assert!(area * 100 > face, "{} covers {area} of {face} pixels", region.name());
    }
}

#[test]
fn regions_are_symmetric() {
    let mirrored = |polygon: &[u16]| polygon.iter().map(|&i| MIRROR[usize::from(i)]).collect::<HashSet<_>>();
    let points = |region: Region| region.polygons().concat().into_iter().collect::<HashSet<_>>();
    for region in Region::ALL {
        let other = match region {
            Region::LeftEye => Region::RightEye,
            Region::RightEye => Region::LeftEye,
            Region::LeftBrow => Region::RightBrow,
            Region::RightBrow => Region::LeftBrow,
            Region::LeftCheek => Region::RightCheek,
            Region::RightCheek => Region::LeftCheek,
            same => same,
        };
        assert_eq!(mirrored(&region.polygons().concat()), points(other), "{}", region.name());
    }
    let mut grouped: Vec<Region> = Region::GROUPS.iter().flat_map(|(_, regions)| *regions).copied().collect();
    grouped.sort();
    assert_eq!(grouped, Region::ALL);
}

#[test]
fn triangles_are_a_surface() {
    let mut edges: HashMap<(u16, u16), usize> = HashMap::new();
    for t in TRIANGLES {
        let [a, b, c] = t.map(|i| MEAN_FACE[usize::from(i)]);
        let doubled = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        assert!(doubled > -1e-5, "{t:?} is turned over");
        for i in 0..3 {
            let (from, to) = (t[i], t[(i + 1) % 3]);
            *edges.entry((from.min(to), from.max(to))).or_default() += 1;
        }
    }
    let used: HashSet<u16> = TRIANGLES.into_iter().flatten().collect();
    assert_eq!(used.len(), 468);
    assert!(edges.values().all(|&n| n <= 2), "an edge belongs to three triangles");
    let border: HashSet<u16> = edges.iter().filter(|(_, n)| **n == 1).flat_map(|((a, b), _)| [*a, *b]).collect();
    assert_eq!(border, FACE_OVAL.into_iter().collect(), "the surface has a hole");
    // Euler's characteristic of a disc.
    assert_eq!(468 + TRIANGLES.len(), edges.len() + 1);
}

#[test]
fn bad_input_is_an_answer_or_an_error() {
    let models = FaceModels::cpu().unwrap();
    let options = DetectOptions { range: Range::Both, tiles: Tiles::WhenEmpty, ..DetectOptions::default() };
    let mut tracker = Tracker::new(&models, TrackOptions { detect_every: 0, max_faces: 0, ..TrackOptions::default() });
    for (width, height) in [(0, 0), (0, 5), (1, 1), (16, 16), (1, 700), (700, 1)] {
        for grey in [0, 128, 255] {
            let image = RgbImage::from_pixel(width, height, Rgb([grey; 3]));
            assert_eq!(models.detect(&image, &options).unwrap(), []);
            assert_eq!(tracker.push(&image, f64::NAN).unwrap(), []);
            for size in [f32::NAN, f32::INFINITY, 0.0, -5.0, 1e30, 1e-30, 9.0] {
                let mesh = models.mesh(&image, &Roi { center: [1.0, 1.0], size, angle: 1.0 }).unwrap();
                assert_eq!(mesh.points.len(), 468);
                assert!((0.0..=1.0).contains(&mesh.presence));
                assert!(size.is_finite() && size > 0.0 || mesh.presence == 0.0);
            }
        }
    }
    let image = RgbImage::new(20, 20);
    let spec = CropSpec { size: 32, margin: 0.0 };
    for points in [vec![[f32::NAN; 3]; 468], vec![[3.0; 3]; 468], vec![[f32::INFINITY; 3]; 468], vec![]] {
        let error = align(&image, &points, &spec).unwrap_err().to_string();
        assert!(error.starts_with("landmarks: "), "{error}");
        let mask = region_mask(&points, Region::Nose, 10, 10);
        assert!(mask.pixels().all(|p| p[0] == 0));
    }
    for (size, margin) in [(0, 0.0), (9000, 0.0), (32, f32::NAN), (32, -0.5)] {
        let error = align(&image, &mean_face(20.0), &CropSpec { size, margin }).unwrap_err().to_string();
        assert!(error.contains("expected"), "{error}");
    }
    assert!(align(&RgbImage::new(0, 0), &mean_face(20.0), &spec).is_ok());
    // Landmarks far outside the picture.
    let far: Vec<[f32; 3]> = mean_face(20.0).iter().map(|p| [p[0] + 1e7, p[1] - 1e7, 0.0]).collect();
    assert!(align(&image, &far, &spec).is_ok());
    assert!(region_mask(&far, Region::Nose, 10, 10).pixels().all(|p| p[0] == 0));
}
