//! The 468-point mesh: the region around a face, its pixels upright, and the network's landmarks back in the
//! picture.

use image::RgbImage;

use crate::detect::{Detection, sigmoid};
use crate::{FaceError, FaceModels};

/// Pixels a side that the mesh network reads.
const INPUT: usize = 192;
/// MediaPipe's rule: the region is the square over the longer side of the face's box, half as large again.
const ENLARGE: f32 = 1.5;

/// A face's 468 landmarks.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    /// x, y in pixels of the picture; z (away from the camera, 0 about the head's centre) at the same scale.
    /// MediaPipe's order.
    pub points: Vec<[f32; 3]>,
    /// The network's probability that the region shows a face, in \[0, 1\].
    pub presence: f32,
}

impl Mesh {
    /// The box around the points: x0, y0, x1, y1 in pixels.
    pub fn bbox(&self) -> [f32; 4] {
        self.points.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |b, p| {
            [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])]
        })
    }
}

/// A square region of the picture, turned so that the face in it is upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roi {
    /// x, y in pixels.
    pub center: [f32; 2],
    /// The side, in pixels.
    pub size: f32,
    /// Clockwise as seen in the picture, in radians.
    pub angle: f32,
}

impl Roi {
    /// The region around a box, turned along the line from the right eye to the left.
    fn around(bbox: [f32; 4], right_eye: [f32; 2], left_eye: [f32; 2]) -> Self {
        let [x0, y0, x1, y1] = bbox;
        Self {
            center: [(x0 + x1) / 2.0, (y0 + y1) / 2.0],
            size: (x1 - x0).max(y1 - y0) * ENLARGE,
            angle: (left_eye[1] - right_eye[1]).atan2(left_eye[0] - right_eye[0]),
        }
    }

    /// Around a detected face.
    pub fn from_detection(detection: &Detection) -> Self {
        Self::around(detection.bbox, detection.keypoints[0], detection.keypoints[1])
    }

    /// Around a mesh, usually of the frame before.
    pub fn from_mesh(mesh: &Mesh) -> Self {
        let point = |i: usize| mesh.points.get(i).map_or([0.0; 2], |p| [p[0], p[1]]);
        Self::around(mesh.bbox(), point(33), point(263))
    }

    /// From the region, 0 to 1 each way, to the picture.
    fn place(&self, u: f32, v: f32) -> [f32; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let (x, y) = ((u - 0.5) * self.size, (v - 0.5) * self.size);
        [self.center[0] + x * cos - y * sin, self.center[1] + x * sin + y * cos]
    }
}

impl FaceModels {
    /// The mesh of the face in a region. The landmarks mean nothing where `presence` is low. A picture without
    /// pixels, or a region that is not finite, has presence 0.
    ///
    /// # Errors
    /// [`FaceError::Device`] where a device fails; never on the CPU.
    pub fn mesh(&self, image: &RgbImage, roi: &Roi) -> Result<Mesh, FaceError> {
        let finite = [roi.center[0], roi.center[1], roi.size, roi.angle].iter().all(|v| v.is_finite());
        if image.width() == 0 || image.height() == 0 || !finite || roi.size <= 0.0 {
            return Ok(Mesh { points: vec![[0.0; 3]; 468], presence: 0.0 });
        }
        let outputs = self.mesh.run(&crop(image, roi))?;
        let scale = 1.0 / INPUT as f32;
        let points = outputs[0].chunks_exact(3).map(|p| {
            let [x, y] = roi.place(p[0] * scale, p[1] * scale);
            [x, y, p[2] * scale * roi.size]
        });
        Ok(Mesh { points: points.collect(), presence: sigmoid(outputs[1][0]) })
    }
}

/// The region's pixels in [0, 1], bilinear; outside the picture its border goes on.
fn crop(image: &RgbImage, roi: &Roi) -> Vec<f32> {
    let step = 1.0 / INPUT as f32;
    let [x0, y0] = roi.place(0.5 * step, 0.5 * step);
    let [right_x, right_y] = roi.place(1.5 * step, 0.5 * step);
    let [down_x, down_y] = roi.place(0.5 * step, 1.5 * step);
    let ([dx, dy], [ex, ey]) = ([right_x - x0, right_y - y0], [down_x - x0, down_y - y0]);
    let mut input = Vec::with_capacity(INPUT * INPUT * 3);
    for row in 0..INPUT {
        let (row_x, row_y) = (x0 + row as f32 * ex, y0 + row as f32 * ey);
        for col in 0..INPUT {
            let rgb = bilinear(image, row_x + col as f32 * dx, row_y + col as f32 * dy);
            input.extend(rgb.map(|v| v / 255.0));
        }
    }
    input
}

/// The picture's colour at a point, 0 to 255, bilinear between pixel centres; outside, the border goes on. The
/// picture must have pixels.
#[inline]
pub(crate) fn bilinear(image: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let x = (x - 0.5).clamp(0.0, (width - 1) as f32);
    let y = (y - 0.5).clamp(0.0, (height - 1) as f32);
    // A NaN becomes 0 here.
    let (x0, y0) = (x as usize, y as usize);
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let (x1, y1) = ((x0 + 1).min(width - 1), (y0 + 1).min(height - 1));
    let data = image.as_raw();
    let pixel = |x: usize, y: usize| {
        let at = (y * width + x) * 3;
        [data[at], data[at + 1], data[at + 2]].map(f32::from)
    };
    let (a, b, c, d) = (pixel(x0, y0), pixel(x1, y0), pixel(x0, y1), pixel(x1, y1));
    std::array::from_fn(|i| {
        let top = a[i] + (b[i] - a[i]) * fx;
        let bottom = c[i] + (d[i] - c[i]) * fx;
        top + (bottom - top) * fy
    })
}
