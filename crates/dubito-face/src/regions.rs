//! Parts of the face as polygons of landmarks, and their masks.
//!
//! On a frontal face the regions do not overlap: they cover three quarters of the face oval: not the
//! surroundings of the eyes, the upper lip's skin and the borders between them. `Left` and `Right` are the person's own, so the right eye
//! is on the picture's left.

use image::{GrayImage, Luma};

/// The outline of the face, clockwise as seen in a picture from the top of the forehead.
pub const FACE_OVAL: [u16; 36] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];
/// The outline of the lips, from the right corner over the upper lip.
pub const LIPS_OUTER: [u16; 20] =
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146];
/// The outline of the mouth's opening, from the right corner over the upper lip.
pub const LIPS_INNER: [u16; 20] =
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95];
/// The right eye's opening, from its outer corner over the upper lid.
pub const RIGHT_EYE: [u16; 16] = [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7];
/// The left eye's opening, from its outer corner over the upper lid.
pub const LEFT_EYE: [u16; 16] = [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249];
/// The right eyebrow, along its upper edge from the temple and back.
pub const RIGHT_EYEBROW: [u16; 10] = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46];
/// The left eyebrow, along its upper edge from the temple and back.
pub const LEFT_EYEBROW: [u16; 10] = [300, 293, 334, 296, 336, 285, 295, 282, 283, 276];

/// A ring of landmarks inside [`FACE_OVAL`]: the boundary's inner edge.
const INNER_OVAL: [u16; 36] = [
    151, 337, 299, 333, 298, 301, 383, 372, 345, 352, 376, 433, 416, 434, 430, 431, 262, 428, 199, 208, 32, 211, 210,
    214, 192, 213, 147, 123, 116, 143, 156, 71, 68, 104, 69, 108,
];
const RIGHT_EYE_AREA: [u16; 16] = [226, 113, 225, 224, 223, 222, 221, 189, 244, 233, 232, 231, 230, 229, 228, 31];
const LEFT_EYE_AREA: [u16; 16] = [446, 342, 445, 444, 443, 442, 441, 413, 464, 453, 452, 451, 450, 449, 448, 261];
const NOSE: [u16; 26] = [
    168, 417, 465, 412, 399, 437, 355, 429, 279, 358, 294, 327, 326, 2, 97, 98, 64, 129, 49, 209, 126, 217, 174, 188,
    245, 193,
];
const RIGHT_CHEEK: [u16; 21] =
    [116, 117, 118, 119, 120, 121, 114, 217, 126, 209, 49, 129, 203, 206, 216, 212, 214, 192, 213, 147, 123];
const LEFT_CHEEK: [u16; 21] =
    [345, 346, 347, 348, 349, 350, 343, 437, 355, 429, 279, 358, 423, 426, 436, 432, 434, 416, 433, 376, 352];
const FOREHEAD: [u16; 20] =
    [68, 104, 69, 108, 151, 337, 299, 333, 298, 301, 293, 334, 296, 336, 9, 107, 66, 105, 63, 71];
const CHIN: [u16; 18] = [202, 106, 182, 83, 18, 313, 406, 335, 422, 430, 431, 262, 428, 199, 208, 32, 211, 210];

/// A part of the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Region {
    /// The person's left eye with its lids.
    LeftEye,
    /// The person's right eye with its lids.
    RightEye,
    /// The left eyebrow.
    LeftBrow,
    /// The right eyebrow.
    RightBrow,
    /// The nose from its root to its base.
    Nose,
    /// The lips and what is between them.
    Mouth,
    /// The left cheek.
    LeftCheek,
    /// The right cheek.
    RightCheek,
    /// The forehead above the brows.
    Forehead,
    /// Below the lower lip.
    Chin,
    /// The band along the face's outline, where a face swap is blended.
    Boundary,
}

impl Region {
    /// All eleven, in a fixed order.
    pub const ALL: [Region; 11] = [
        Region::LeftEye,
        Region::RightEye,
        Region::LeftBrow,
        Region::RightBrow,
        Region::Nose,
        Region::Mouth,
        Region::LeftCheek,
        Region::RightCheek,
        Region::Forehead,
        Region::Chin,
        Region::Boundary,
    ];

    /// The eight groups in which regions are reported: both sides together.
    pub const GROUPS: [(&'static str, &'static [Region]); 8] = [
        ("eyes", &[Region::LeftEye, Region::RightEye]),
        ("brows", &[Region::LeftBrow, Region::RightBrow]),
        ("nose", &[Region::Nose]),
        ("mouth", &[Region::Mouth]),
        ("cheeks", &[Region::LeftCheek, Region::RightCheek]),
        ("forehead", &[Region::Forehead]),
        ("chin", &[Region::Chin]),
        ("boundary", &[Region::Boundary]),
    ];

    /// The name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Region::LeftEye => "left_eye",
            Region::RightEye => "right_eye",
            Region::LeftBrow => "left_brow",
            Region::RightBrow => "right_brow",
            Region::Nose => "nose",
            Region::Mouth => "mouth",
            Region::LeftCheek => "left_cheek",
            Region::RightCheek => "right_cheek",
            Region::Forehead => "forehead",
            Region::Chin => "chin",
            Region::Boundary => "boundary",
        }
    }

    /// The region's closed outlines, as indices of landmarks. What is inside an odd number of them belongs to
    /// the region: the boundary has two, every other region one.
    pub fn polygons(self) -> &'static [&'static [u16]] {
        match self {
            Region::LeftEye => &[&LEFT_EYE_AREA],
            Region::RightEye => &[&RIGHT_EYE_AREA],
            Region::LeftBrow => &[&LEFT_EYEBROW],
            Region::RightBrow => &[&RIGHT_EYEBROW],
            Region::Nose => &[&NOSE],
            Region::Mouth => &[&LIPS_OUTER],
            Region::LeftCheek => &[&LEFT_CHEEK],
            Region::RightCheek => &[&RIGHT_CHEEK],
            Region::Forehead => &[&FOREHEAD],
            Region::Chin => &[&CHIN],
            Region::Boundary => &[&FACE_OVAL, &INNER_OVAL],
        }
    }
}

/// A region's mask, `width` by `height`: 255 where a pixel's centre lies in the region, else 0. `points` are the
/// 468 landmarks in the mask's pixels; a region with a landmark that is missing or not finite is empty.
pub fn region_mask(points: &[[f32; 3]], region: Region, width: u32, height: u32) -> GrayImage {
    polygon_mask(points, region.polygons(), width, height)
}

/// Fills polygons by scan lines, even-odd.
fn polygon_mask(points: &[[f32; 3]], polygons: &[&[u16]], width: u32, height: u32) -> GrayImage {
    let mut mask = GrayImage::new(width, height);
    let mut edges = Vec::new();
    for polygon in polygons {
        for (i, &from) in polygon.iter().enumerate() {
            let to = polygon[(i + 1) % polygon.len()];
            let (Some(&[ax, ay, _]), Some(&[bx, by, _])) = (points.get(usize::from(from)), points.get(usize::from(to)))
            else {
                return mask;
            };
            if ![ax, ay, bx, by].iter().all(|v| v.is_finite()) {
                return mask;
            }
            edges.push([ax, ay, bx, by]);
        }
    }
    for row in 0..height {
        let y = row as f32 + 0.5;
        let crossed = edges.iter().filter(|[_, ay, _, by]| (*ay <= y) != (*by <= y));
        let mut xs: Vec<f32> = crossed.map(|[ax, ay, bx, by]| ax + (y - ay) / (by - ay) * (bx - ax)).collect();
        xs.sort_by(f32::total_cmp);
        for span in xs.chunks_exact(2) {
            // Pixels whose centre lies in [span[0], span[1]).
            let first = (span[0] - 0.5).ceil().clamp(0.0, width as f32) as u32;
            let end = (span[1] - 0.5).ceil().clamp(0.0, width as f32) as u32;
            for x in first..end {
                mask.put_pixel(x, row, Luma([255]));
            }
        }
    }
    mask
}
