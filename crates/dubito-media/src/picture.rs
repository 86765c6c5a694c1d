//! Image files: a still is a one-frame video, an animated PNG a lossless one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use image::codecs::png::PngDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use crate::video::hash_file;
use crate::{Frame, Limits, MediaError, Provenance, Video, VideoInfo};

/// The image format that a file begins with, if it is one that we read without FFmpeg.
pub(crate) fn sniff(start: &[u8]) -> Option<ImageFormat> {
    match start {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(ImageFormat::Png),
        [0xff, 0xd8, 0xff, ..] => Some(ImageFormat::Jpeg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageFormat::WebP),
        _ => None,
    }
}

/// Opens an image file. Orientation by EXIF is applied, transparency is ignored, 16 bits become 8.
pub(crate) fn open(path: &Path, format: ImageFormat, limits: &Limits) -> Result<Video, MediaError> {
    let size_bytes = std::fs::metadata(path).map_err(|error| MediaError::io(path, error))?.len();
    let mut info = VideoInfo {
        width: 0,
        height: 0,
        codec: format!("{format:?}").to_lowercase(),
        pixel_format: "rgb24".to_owned(),
        container: "image".to_owned(),
        frame_rate: None,
        frames: Some(1),
        duration: None,
        bit_rate: None,
        rotation: 0,
        sample_aspect: (1, 1),
        size_bytes,
    };
    let provenance = Provenance {
        decoder: "image".to_owned(),
        version: "0.25".to_owned(),
        exact: format == ImageFormat::Png,
        blake3: hash_file(path)?,
    };
    if format == ImageFormat::Png
        && let Some(animation) = Animation::start(path, limits)?
    {
        (info.width, info.height) = (animation.width, animation.height);
        info.codec = "apng".to_owned();
        info.frames = Some(animation.frames);
        info.frame_rate = animation.frame_rate;
        return Ok(Video { info, provenance, frames: Box::new(animation), ended: false });
    }
    let image = read_still(path, format, limits)?;
    (info.width, info.height) = image.dimensions();
    let frame = Frame { index: 0, timestamp: 0.0, image };
    let frames = std::iter::once(limits.check_frames(path, 0).map(|()| frame));
    Ok(Video { info, provenance, frames: Box::new(frames), ended: false })
}

fn read_still(path: &Path, format: ImageFormat, limits: &Limits) -> Result<RgbImage, MediaError> {
    let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
    let failed = |error| failed(path, error);
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    reader.limits(image_limits(limits));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    limits.check_pixels(path, u64::from(width), u64::from(height))?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

fn image_limits(limits: &Limits) -> image::Limits {
    let mut result = image::Limits::default();
    result.max_alloc = Some(limits.memory_bytes);
    result
}

fn failed(path: &Path, error: ImageError) -> MediaError {
    let path = path.to_owned();
    match error {
        ImageError::Limits(error) => MediaError::Limit {
            path,
            field: "memory_bytes",
            what: format!("decoding ({error})"),
            limit: "the bytes allowed".to_owned(),
        },
        ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => MediaError::io(&path, error),
        error => MediaError::NotMedia { path, message: error.to_string() },
    }
}

/// The frames of an animated PNG, decoded in a thread one ahead of the reader.
struct Animation {
    path: PathBuf,
    limits: Limits,
    width: u32,
    height: u32,
    frames: u64,
    frame_rate: Option<f64>,
    decoded: Receiver<Result<(RgbImage, f64), ImageError>>,
    index: u64,
    timestamp: f64,
}

impl Animation {
    /// `None` for a PNG that is not animated.
    fn start(path: &Path, limits: &Limits) -> Result<Option<Self>, MediaError> {
        let Some(header) = read_animation_header(path)? else {
            return Ok(None);
        };
        let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
        let decoder =
            PngDecoder::with_limits(BufReader::new(file), image_limits(limits)).map_err(|e| failed(path, e))?;
        let (width, height) = decoder.dimensions();
        limits.check_pixels(path, u64::from(width), u64::from(height))?;
        let animation = decoder.apng().map_err(|error| failed(path, error))?;
        let (sender, decoded) = mpsc::sync_channel(1);
        thread::spawn(move || {
            for frame in animation.into_frames() {
                let frame = frame.map(|frame| {
                    let (numerator, denominator) = frame.delay().numer_denom_ms();
                    let seconds = f64::from(numerator) / f64::from(denominator.max(1)) / 1000.0;
                    (DynamicImage::from(frame.into_buffer()).into_rgb8(), seconds)
                });
                let last = frame.is_err();
                if sender.send(frame).is_err() || last {
                    break;
                }
            }
        });
        Ok(Some(Self {
            path: path.to_owned(),
            limits: limits.clone(),
            width,
            height,
            frames: u64::from(header.frames),
            frame_rate: header.frame_rate,
            decoded,
            index: 0,
            timestamp: 0.0,
        }))
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, MediaError> {
        let (index, expected) = (self.index, self.frames);
        let truncated = |message: String| MediaError::Truncated {
            path: self.path.clone(),
            frames: index,
            expected: Some(expected),
            message,
        };
        match self.decoded.recv() {
            Ok(Ok((image, duration))) => {
                self.limits.check_frames(&self.path, index)?;
                // A multiple of the frame's duration carries no accumulated rounding.
                let timestamp = match self.frame_rate {
                    Some(rate) => index as f64 / rate,
                    None => self.timestamp,
                };
                self.timestamp += duration;
                self.index += 1;
                Ok(Some(Frame { index, timestamp, image }))
            }
            Ok(Err(error)) if index == 0 => Err(failed(&self.path, error)),
            Ok(Err(error)) => Err(truncated(error.to_string())),
            Err(_) if index < expected => Err(truncated("the file ends".to_owned())),
            Err(_) => Ok(None),
        }
    }
}

impl Iterator for Animation {
    type Item = Result<Frame, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_frame().transpose()
    }
}

struct AnimationHeader {
    frames: u32,
    /// Frames per second where our own writer made the file: its frames all last equally long.
    frame_rate: Option<f64>,
}

/// Marks a file whose frames all last equally long, with the rate as `numerator/denominator`.
const RATE_KEYWORD: &str = "frame rate";

fn read_animation_header(path: &Path) -> Result<Option<AnimationHeader>, MediaError> {
    let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
    let not_media =
        |error: png::DecodingError| MediaError::NotMedia { path: path.to_owned(), message: error.to_string() };
    let reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(not_media)?;
    let info = reader.info();
    let rate = info.uncompressed_latin1_text.iter().find(|text| text.keyword == RATE_KEYWORD);
    let rate = rate.and_then(|text| text.text.parse::<f64>().ok()).filter(|rate| rate.is_finite() && *rate > 0.0);
    Ok(info.animation_control().map(|control| AnimationHeader { frames: control.num_frames, frame_rate: rate }))
}

/// Writes an animated PNG frame by frame; the number of frames is filled in at the end.
pub(crate) struct AnimationWriter {
    writer: png::Writer<BufWriter<File>>,
    frames: u32,
}

/// Where the `acTL` chunk of our files lies: behind the signature and `IHDR`.
const ACTL_OFFSET: u64 = 8 + 25;
const IEND: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

impl AnimationWriter {
    pub(crate) fn create(file: File, width: u32, height: u32, frame_rate: f64) -> Result<Self, png::EncodingError> {
        let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        // The true number is written over this one in `finish`.
        encoder.set_animated(i32::MAX as u32, 0)?;
        let (numerator, denominator) = duration_of_frame(frame_rate);
        encoder.set_frame_delay(numerator, denominator)?;
        encoder.add_text_chunk(RATE_KEYWORD.to_owned(), format!("{frame_rate}"))?;
        Ok(Self { writer: encoder.write_header()?, frames: 0 })
    }

    pub(crate) fn write(&mut self, image: &RgbImage) -> Result<(), png::EncodingError> {
        self.writer.write_image_data(image.as_raw())?;
        self.frames += 1;
        Ok(())
    }

    /// Ends the file at `path`, the one that `create` was given.
    pub(crate) fn finish(self, path: &Path) -> std::io::Result<()> {
        let frames = self.frames;
        // Dropping the writer writes IEND and flushes; whether it did is seen in the file.
        drop(self.writer);
        let mut file = File::options().read(true).write(true).open(path)?;
        let mut end = [0; IEND.len()];
        file.seek(SeekFrom::End(-(IEND.len() as i64)))?;
        file.read_exact(&mut end)?;
        let mut chunk = [0; 20];
        file.seek(SeekFrom::Start(ACTL_OFFSET))?;
        file.read_exact(&mut chunk)?;
        if end != IEND || &chunk[4..8] != b"acTL" {
            return Err(std::io::Error::other("the file could not be written to its end"));
        }
        chunk[8..12].copy_from_slice(&frames.to_be_bytes());
        let checksum = crc32fast::hash(&chunk[4..16]);
        chunk[16..20].copy_from_slice(&checksum.to_be_bytes());
        file.seek(SeekFrom::Start(ACTL_OFFSET))?;
        file.write_all(&chunk)
    }
}

/// Seconds of one frame as the 16-bit fraction that animated PNG has: the best one there is.
fn duration_of_frame(frame_rate: f64) -> (u16, u16) {
    let mut best = (1_u16, 25_u16, f64::INFINITY);
    for numerator in 1..=1001_u16 {
        let denominator = (f64::from(numerator) * frame_rate).round();
        if (1.0..=65535.0).contains(&denominator) {
            let error = (denominator / f64::from(numerator) - frame_rate).abs();
            if error < best.2 - 1e-12 {
                best = (numerator, denominator as u16, error);
            }
        }
    }
    (best.0, best.1)
}

#[cfg(test)]
mod tests {
    use super::duration_of_frame;

    #[test]
    fn frame_rates_become_fractions() {
        assert_eq!(duration_of_frame(25.0), (1, 25));
        assert_eq!(duration_of_frame(30000.0 / 1001.0), (1001, 30000));
        assert_eq!(duration_of_frame(24000.0 / 1001.0), (1001, 24000));
        assert_eq!(duration_of_frame(12.5), (2, 25));
        let (numerator, denominator) = duration_of_frame(84_960_000.0 / 2_822_749.0);
        assert!((f64::from(denominator) / f64::from(numerator) - 30.098_319_050_68).abs() < 1e-4);
    }
}
