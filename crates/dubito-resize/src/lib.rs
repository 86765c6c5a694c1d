//! Pictures at another size.
//!
//! `fast_image_resize` is generic over pixels, instruction sets and views; whoever calls it compiles all of that anew,
//! several megabytes of code. Here it is compiled once, for the two kinds of pixels that are used.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
pub use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};
use fast_image_resize::{PixelTrait, Resizer};

/// A picture of one byte per pixel, row by row, at the size `to` (width, height). `options` say how, and which part of
/// it. `None` where `pixels` are fewer than `size` (width, height) has, or the part does not lie inside.
#[must_use]
pub fn grey(pixels: &[u8], size: (u32, u32), to: (u32, u32), options: &ResizeOptions) -> Option<Vec<u8>> {
    resize::<U8>(pixels, size, to, options)
}

/// As [`grey`], with three bytes per pixel: red, green, blue.
#[must_use]
pub fn rgb(pixels: &[u8], size: (u32, u32), to: (u32, u32), options: &ResizeOptions) -> Option<Vec<u8>> {
    resize::<U8x3>(pixels, size, to, options)
}

fn resize<P: PixelTrait>(pixels: &[u8], size: (u32, u32), to: (u32, u32), options: &ResizeOptions) -> Option<Vec<u8>> {
    let source = TypedImageRef::<P>::from_buffer(size.0, size.1, pixels).ok()?;
    let mut resized = vec![0; (to.0 as usize).checked_mul(to.1 as usize)?.checked_mul(P::size())?];
    let mut target = TypedImage::<P>::from_buffer(to.0, to.1, &mut resized).ok()?;
    Resizer::new().resize_typed(&source, &mut target, options).ok()?;
    Some(resized)
}
