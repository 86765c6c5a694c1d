//! Which landmarks make up what.

/// The outline of the face, clockwise as seen in a picture from the top of the forehead.
pub(crate) const FACE_OVAL: [usize; 36] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];
/// The outline of the lips.
pub(crate) const LIPS_OUTER: [usize; 20] =
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146];
/// The outline of the mouth's opening, from the right corner over the upper lip.
pub(crate) const LIPS_INNER: [usize; 20] =
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95];
/// The right eye's opening, from its outer corner over the upper lid.
pub(crate) const RIGHT_EYE: [usize; 16] = [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7];
/// The left eye's opening, from its outer corner over the upper lid.
pub(crate) const LEFT_EYE: [usize; 16] =
    [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249];
/// The right eyebrow's upper edge, from the temple.
pub(crate) const BROW_UPPER: [usize; 5] = [70, 63, 105, 66, 107];
/// The right eyebrow's lower edge, from the temple.
pub(crate) const BROW_LOWER: [usize; 5] = [46, 53, 52, 65, 55];
