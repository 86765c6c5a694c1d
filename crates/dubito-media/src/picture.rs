//! Picture files: a still is a one-frame video; an animated PNG, WebP or GIF has all its frames.
//!
//! The program itself reads only a file's first bytes ([`sniff`]). Everything else happens in a worker process under
//! [`Limits`](crate::Limits), by decoders in safe Rust; who knows no worker decodes in a thread of the same process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, Frames, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use crate::protocol::{Failure, Header};
use crate::{MediaKind, VideoInfo};

/// Bytes of a file that [`sniff`] looks at.
pub(crate) const SNIFFED: u64 = 4096;
/// Longest `eXIf` and `tEXt` chunks of a PNG that are read, in bytes.
const LONGEST_EXIF: u32 = 64 * 1024;
const LONGEST_TEXT: u32 = 256;
/// Frames a second of pictures in a row without times, as FFmpeg takes them.
const MOTION_JPEG_RATE: f64 = 25.0;

/// What the first bytes of a file say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// A picture that is decoded here.
    Picture(ImageFormat),
    /// A picture that FFmpeg decodes, and its kind.
    ByFfmpeg(&'static str, MediaKind),
    /// A picture that nobody decodes here, by its name.
    Foreign(&'static str),
    /// No picture and no video, in words.
    Other(&'static str),
    /// Perhaps a video.
    Unknown,
}

/// Tells what a file is by its first [`SNIFFED`] bytes.
pub(crate) fn sniff(start: &[u8]) -> Sniffed {
    use Sniffed::{ByFfmpeg, Foreign, Other, Picture, Unknown};
    match start {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Picture(ImageFormat::Png),
        [0xff, 0xd8, 0xff, ..] => Picture(ImageFormat::Jpeg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Picture(ImageFormat::WebP),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Picture(ImageFormat::Gif),
        // `BM`, the file's size, four reserved bytes, where the pixels begin, the size of the header.
        [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => {
            Picture(ImageFormat::Bmp)
        }
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Picture(ImageFormat::Tiff),
        [b'I', b'I', b'+', 0, ..] | [b'M', b'M', 0, b'+', ..] => Picture(ImageFormat::Tiff),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => {
            // FFmpeg shows one tile of a picture of several, and does not turn, mirror or cut it.
            let has = |name: &[u8]| brand.windows(4).any(|word| word == name);
            let whole = ![b"grid", b"iovl", b"irot", b"imir", b"clap"].iter().any(|name| has(*name));
            match brand.get(..4).unwrap_or_default() {
                b"avif" if whole => ByFfmpeg("AVIF", MediaKind::Picture),
                b"avis" if whole => ByFfmpeg("AVIF", MediaKind::Animation),
                b"avif" | b"avis" => Foreign("AVIF"),
                b"mif1" | b"msf1" | b"miaf" if has(b"avif") => Foreign("AVIF"),
                b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => Foreign("HEIC"),
                b"crx " => Foreign("CR3"),
                _ => Unknown,
            }
        }
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Foreign("JPEG XL"),
        [0xff, 0x4f, 0xff, 0x51, ..] | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => Foreign("JPEG 2000"),
        [b'8', b'B', b'P', b'S', ..] => Foreign("PSD"),
        [0, 0, 1 | 2, 0, count, 0, ..] if *count > 0 => Foreign("ICO"),
        [b'q', b'o', b'i', b'f', ..] => Foreign("QOI"),
        [0x76, 0x2f, 0x31, 0x01, ..] => Foreign("OpenEXR"),
        [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t' | b'#', ..] => Foreign("PNM"),
        [b'%', b'P', b'D', b'F', ..] => Other("a PDF document"),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Other("a ZIP archive: unpack it first"),
        [0x1f, 0x8b, ..] => Other("packed with gzip: unpack it first"),
        _ => {
            let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start().to_ascii_lowercase();
            if [&b"<!doctype html"[..], b"<html", b"<head", b"<body"].iter().any(|tag| text.starts_with(tag)) {
                Other("an HTML page, as a download that failed leaves: fetch the file again")
            } else if text.starts_with(b"<svg") {
                Foreign("SVG")
            } else if text.starts_with(b"<?xml") {
                Other("an XML document")
            } else if text.starts_with(b"version https://git-lfs") {
                Other("a pointer of Git LFS, not the file itself: `git lfs pull` fetches it")
            } else {
                Unknown
            }
        }
    }
}

/// Where decoded pictures go.
pub(crate) trait Output {
    /// Takes what is said of the file; comes first, and once.
    fn header(&mut self, header: Header) -> io::Result<()>;
    /// Takes a frame and its time in seconds.
    fn frame(&mut self, timestamp: f64, image: RgbImage) -> io::Result<()>;
}

/// Why decoding stops early: for a reason to report, or because nobody listens any more.
pub(crate) enum Stop {
    /// The reason.
    Failure(Failure),
    /// The output is closed.
    Output(io::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Decodes a picture file. Orientation by EXIF is applied, transparency is ignored, 16 bits become 8.
///
/// `max_pixels` bounds a frame, `memory` (bytes) what a decoder allocates for it.
pub(crate) fn decode(path: &Path, max_pixels: u64, memory: u64, output: &mut impl Output) -> Result<(), Stop> {
    let read = |error: io::Error| Failure::NotMedia(error.to_string());
    let mut file = BufReader::new(File::open(path).map_err(read)?);
    let Sniffed::Picture(format) = sniff(file.fill_buf().map_err(read)?) else {
        return Err(Failure::NotMedia("no picture".to_owned()).into());
    };
    let limits = Limits { max_pixels, memory };
    match format {
        ImageFormat::Png => {
            let header = read_animation_header(&mut file)?;
            file.rewind().map_err(read)?;
            match header {
                Some(header) => {
                    let decoder = PngDecoder::with_limits(essential(file), limits.of_decoder()).map_err(failure)?;
                    let size = decoder.dimensions();
                    limits.check(size)?;
                    let frames = decoder.apng().map_err(failure)?.into_frames();
                    animation(frames, size, "apng", u64::from(header.frames), header.frame_rate, output)
                }
                None => still(essential(file), format, limits, output),
            }
        }
        ImageFormat::WebP => {
            let frames = webp_frames(&mut file).map_err(read)?;
            file.rewind().map_err(read)?;
            if frames == 0 {
                return still(file, format, limits, output);
            }
            let decoder = WebPDecoder::new(file).map_err(failure)?;
            let size = decoder.dimensions();
            limits.check(size)?;
            animation(decoder.into_frames(), size, "webp", frames, None, output)
        }
        ImageFormat::Gif => {
            let frames = gif_frames(&mut file).map_err(read)?;
            file.rewind().map_err(read)?;
            let mut decoder = GifDecoder::new(file).map_err(failure)?;
            let size = decoder.dimensions();
            limits.check(size)?;
            decoder.set_limits(limits.of_decoder()).map_err(failure)?;
            animation(decoder.into_frames(), size, "gif", frames, None, output)
        }
        ImageFormat::Jpeg => {
            let mut bytes = Vec::new();
            file.take(memory.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
            if bytes.len() as u64 > memory {
                return Err(Failure::Memory(format!("a JPEG file of more than {memory} bytes")).into());
            }
            jpeg(&bytes, limits, output)
        }
        ImageFormat::Tiff => {
            check_pages(&mut file)?;
            file.rewind().map_err(read)?;
            still(file, format, limits, output)
        }
        _ => still(file, format, limits, output),
    }
}

/// Bounds on one frame.
#[derive(Clone, Copy)]
struct Limits {
    max_pixels: u64,
    memory: u64,
}

impl Limits {
    fn check(self, (width, height): (u32, u32)) -> Result<(), Failure> {
        let (width, height) = (u64::from(width), u64::from(height));
        if width * height > self.max_pixels { Err(Failure::Pixels { width, height }) } else { Ok(()) }
    }

    fn of_decoder(self) -> image::Limits {
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(self.memory);
        limits
    }
}

fn failure(error: ImageError) -> Failure {
    match error {
        ImageError::Limits(error) => Failure::Memory(error.to_string()),
        ImageError::Unsupported(error) => Failure::Unsupported(error.to_string()),
        error => Failure::NotMedia(error.to_string()),
    }
}

fn info(format: &str, kind: MediaKind, (width, height): (u32, u32), frames: u64, frame_rate: Option<f64>) -> VideoInfo {
    VideoInfo {
        kind,
        width,
        height,
        codec: format.to_owned(),
        pixel_format: "rgb24".to_owned(),
        container: "image".to_owned(),
        frame_rate,
        frames: Some(frames),
        duration: None,
        bit_rate: None,
        rotation: 0,
        sample_aspect: (1, 1),
        size_bytes: 0,
    }
}

fn read_still(input: impl BufRead + Seek, format: ImageFormat, limits: Limits) -> Result<RgbImage, Failure> {
    let mut reader = ImageReader::with_format(input, format);
    reader.limits(limits.of_decoder());
    let mut decoder = reader.into_decoder().map_err(failure)?;
    limits.check(decoder.dimensions())?;
    let orientation = decoder.orientation().map_err(failure)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failure)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

fn still(
    input: impl BufRead + Seek,
    format: ImageFormat,
    limits: Limits,
    output: &mut impl Output,
) -> Result<(), Stop> {
    let image = read_still(input, format, limits)?;
    let name = format!("{format:?}").to_lowercase();
    let info = info(&name, MediaKind::Picture, image.dimensions(), 1, None);
    output.header(Header { info }).map_err(Stop::Output)?;
    output.frame(0.0, image).map_err(Stop::Output)
}

/// The frames of an animation as they come. A frame without a duration is shown for a tenth of a second, as browsers do.
fn animation(
    frames: Frames<'_>,
    size: (u32, u32),
    format: &str,
    declared: u64,
    frame_rate: Option<f64>,
    output: &mut impl Output,
) -> Result<(), Stop> {
    let kind = if declared > 1 { MediaKind::Animation } else { MediaKind::Picture };
    let header = Header { info: info(format, kind, size, declared, frame_rate) };
    let (mut index, mut time, mut header) = (0_u64, 0.0, Some(header));
    for frame in frames {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if index == 0 => return Err(failure(error).into()),
            Err(error) => return Err(Failure::Truncated(error.to_string()).into()),
        };
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let seconds = f64::from(numerator) / f64::from(denominator.max(1)) / 1000.0;
        // A multiple of the frame's duration carries no accumulated rounding.
        let timestamp = frame_rate.map_or(time, |rate| index as f64 / rate);
        time += if seconds > 0.0 { seconds } else { 0.1 };
        index += 1;
        let image = DynamicImage::from(frame.into_buffer()).into_rgb8();
        if let Some(header) = header.take() {
            output.header(header).map_err(Stop::Output)?;
        }
        output.frame(timestamp, image).map_err(Stop::Output)?;
    }
    match index {
        0 => Err(Failure::NoFrames.into()),
        index if index < declared => Err(Failure::Truncated("the file ends".to_owned()).into()),
        _ => Ok(()),
    }
}

// ---- PNG

/// The chunks of a PNG that its pixels need. Colour profiles and texts, which may be packed a thousandfold, are passed over
/// unread.
struct Essential<R> {
    file: R,
    /// Bytes at hand to give out before more of the file.
    ready: Cursor<Vec<u8>>,
    /// Bytes of the file to give out as they are.
    pass: u64,
}

fn essential<R: BufRead + Seek>(file: R) -> BufReader<Essential<R>> {
    // The signature passes as it is.
    BufReader::new(Essential { file, ready: Cursor::default(), pass: 8 })
}

impl<R: BufRead> Read for Essential<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.ready.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if self.pass > 0 {
                let most = usize::try_from(self.pass).map_or(buffer.len(), |pass| pass.min(buffer.len()));
                let count = self.file.read(&mut buffer[..most])?;
                self.pass -= count as u64;
                return Ok(count);
            }
            let mut head = Vec::new();
            self.file.by_ref().take(8).read_to_end(&mut head)?;
            let (length, kind) = match head.as_slice() {
                [] => return Ok(0),
                [a, b, c, d, kind @ ..] if kind.len() == 4 => (u32::from_be_bytes([*a, *b, *c, *d]), kind.to_owned()),
                // The rest of a file that is cut short.
                _ => (0, head.clone()),
            };
            let critical = kind.first().is_some_and(|letter| letter & 0x20 == 0);
            let wanted = match kind.as_slice() {
                b"tRNS" | b"acTL" | b"fcTL" | b"fdAT" => true,
                b"eXIf" => length <= LONGEST_EXIF,
                b"tEXt" => length <= LONGEST_TEXT,
                _ => critical,
            };
            // The checksum stands behind the data.
            let rest = u64::from(length) + 4;
            if wanted {
                self.ready = Cursor::new(head);
                self.pass = rest;
            } else {
                io::copy(&mut self.file.by_ref().take(rest), &mut io::sink())?;
            }
        }
    }
}

/// The decoder asks for it and never seeks.
impl<R> Seek for Essential<R> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct AnimationHeader {
    frames: u32,
    /// Frames per second where our own writer made the file: its frames all last equally long.
    frame_rate: Option<f64>,
}

/// Marks a file whose frames all last equally long, with the rate as `numerator/denominator`.
const RATE_KEYWORD: &str = "frame rate";

/// `None` for a PNG that is not animated.
fn read_animation_header(file: impl BufRead + Seek) -> Result<Option<AnimationHeader>, Failure> {
    let not_media = |error: png::DecodingError| Failure::NotMedia(error.to_string());
    let reader = png::Decoder::new(essential(file)).read_info().map_err(not_media)?;
    let info = reader.info();
    let rate = info.uncompressed_latin1_text.iter().find(|text| text.keyword == RATE_KEYWORD);
    let rate = rate.and_then(|text| text.text.parse::<f64>().ok()).filter(|rate| rate.is_finite() && *rate > 0.0);
    Ok(info.animation_control().map(|control| AnimationHeader { frames: control.num_frames, frame_rate: rate }))
}

// ---- WebP and GIF

/// Frames of an animated WebP (its `ANMF` chunks); 0 of a still.
fn webp_frames(file: &mut (impl BufRead + Seek)) -> io::Result<u64> {
    let (mut frames, mut place) = (0, 12);
    loop {
        file.seek(SeekFrom::Start(place))?;
        let mut head = Vec::new();
        file.by_ref().take(8).read_to_end(&mut head)?;
        let [a, b, c, d, size @ ..] = head.as_slice() else { return Ok(frames) };
        let Ok(size) = <[u8; 4]>::try_from(size) else { return Ok(frames) };
        frames += u64::from([*a, *b, *c, *d] == *b"ANMF");
        // A chunk of odd size is followed by a byte that means nothing.
        place += 8 + u64::from(u32::from_le_bytes(size)).next_multiple_of(2);
    }
}

/// Frames of a GIF; of one that is cut short, those that begin before its end.
fn gif_frames(file: &mut impl BufRead) -> io::Result<u64> {
    let mut frames = 0;
    let mut header = [0; 13];
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut walk = || -> io::Result<()> {
        file.read_exact(&mut header)?;
        skip(file, colours(header[10]))?;
        loop {
            match byte(file)? {
                // An image: where it lies, its colours, the width of its codes.
                0x2c => {
                    frames += 1;
                    let mut place = [0; 9];
                    file.read_exact(&mut place)?;
                    skip(file, colours(place[8]) + 1)?;
                }
                // An extension of some kind.
                0x21 => skip(file, 1)?,
                _ => return Ok(()),
            }
            loop {
                match byte(file)? {
                    0 => break,
                    length => skip(file, length.into())?,
                }
            }
        }
    };
    match walk() {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(frames),
    }
}

fn byte(file: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact(&mut byte).map(|()| byte[0])
}

fn skip(file: &mut impl Read, count: u64) -> io::Result<()> {
    io::copy(&mut file.take(count), &mut io::sink()).map(|_| ())
}

// ---- JPEG

/// A JPEG, or several of one size in a row: a video (motion JPEG) without a container.
fn jpeg(bytes: &[u8], limits: Limits, output: &mut impl Output) -> Result<(), Stop> {
    let read = |picture: &[u8]| read_still(Cursor::new(picture), ImageFormat::Jpeg, limits);
    // What is missing would be grey.
    let cut_short = || Failure::NotMedia("the JPEG data end before the picture does".to_owned());
    let end = jpeg_end(bytes).ok_or_else(cut_short)?;
    let first = read(&bytes[..end])?;
    let size = first.dimensions();
    // A block of 64 samples takes a bit at the very least; what is missing would be grey here too.
    if 8 * end as u64 * 64 < u64::from(size.0) * u64::from(size.1) {
        let what = format!("{end} bytes of JPEG are too few for {}x{} pixels", size.0, size.1);
        return Err(Failure::NotMedia(what).into());
    }
    let (places, cut) = if has_other_pictures(bytes) { (Vec::new(), false) } else { jpegs_behind(bytes, end) };
    if places.is_empty() && !cut {
        let info = info("jpeg", MediaKind::Picture, size, 1, None);
        output.header(Header { info }).map_err(Stop::Output)?;
        return output.frame(0.0, first).map_err(Stop::Output);
    }
    let declared = 1 + places.len() as u64 + u64::from(cut);
    let info = info("mjpeg", MediaKind::Video, size, declared, Some(MOTION_JPEG_RATE));
    output.header(Header { info }).map_err(Stop::Output)?;
    output.frame(0.0, first).map_err(Stop::Output)?;
    for (index, place) in places.into_iter().enumerate() {
        let image = match read(&bytes[place]) {
            Ok(image) if image.dimensions() == size => image,
            Ok(_) => return Err(Failure::Decode("the size of the pictures changes".to_owned()).into()),
            // The pictures before it are good.
            Err(Failure::NotMedia(what) | Failure::Unsupported(what)) => return Err(Failure::Decode(what).into()),
            Err(failure) => return Err(failure.into()),
        };
        output.frame((index + 1) as f64 / MOTION_JPEG_RATE, image).map_err(Stop::Output)?;
    }
    if cut {
        return Err(Failure::Truncated("the file ends before its last picture does".to_owned()).into());
    }
    Ok(())
}

/// Where the JPEGs lie that follow the first one, which ends at `place`, and are of its size; and whether the file ends in the
/// middle of another one. A picture may be followed by others that belong to it, such as a preview: they are smaller.
fn jpegs_behind(bytes: &[u8], mut place: usize) -> (Vec<std::ops::Range<usize>>, bool) {
    const START: &[u8] = &[0xff, 0xd8, 0xff];
    let size = jpeg_size(bytes);
    let mut places = Vec::new();
    loop {
        let rest = bytes.get(place..).unwrap_or_default();
        if rest.is_empty() || !(rest.starts_with(START) || START.starts_with(rest)) {
            return (places, false);
        }
        let own = jpeg_size(rest);
        match jpeg_end(rest) {
            Some(length) if own == size => {
                places.push(place..place + length);
                place += length;
            }
            Some(_) => return (places, false),
            // Where its size is cut off, too, it is one more if it follows several.
            None => {
                let is_like = own == size || (own.is_none() && !places.is_empty());
                return (places, is_like);
            }
        }
    }
}

/// The marker segments of a JPEG: the marker, where its data lie, where the scan behind it ends.
fn jpeg_segments(bytes: &[u8]) -> impl Iterator<Item = (u8, std::ops::Range<usize>)> + '_ {
    let mut place = 2;
    std::iter::from_fn(move || {
        // Up to the next marker: a byte 0xff of a scan is followed by 0, restarts belong to it, and markers may be padded.
        while bytes.get(place) != Some(&0xff) || matches!(bytes.get(place + 1)?, 0 | 0xd0..=0xd7 | 0xff) {
            place += 1;
            bytes.get(place)?;
        }
        let marker = *bytes.get(place + 1)?;
        let begin = place + 2;
        let end = match marker {
            0xd8 | 0xd9 | 0x01 => begin,
            _ => begin + usize::from(u16::from_be_bytes([*bytes.get(begin)?, *bytes.get(begin + 1)?])),
        };
        place = end;
        (end <= bytes.len()).then_some((marker, begin..end))
    })
}

/// Where a JPEG ends; `None` if it is cut short.
fn jpeg_end(bytes: &[u8]) -> Option<usize> {
    jpeg_segments(bytes).find(|(marker, _)| *marker == 0xd9).map(|(_, place)| place.end)
}

/// Height and width as they stand in the frame header, if there is one before the picture's end.
fn jpeg_size(bytes: &[u8]) -> Option<&[u8]> {
    let frame = |marker: u8| matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
    let (_, place) =
        jpeg_segments(bytes).take_while(|(marker, _)| *marker != 0xd9).find(|(marker, _)| frame(*marker))?;
    bytes.get(place.start + 3..place.start + 7)
}

/// Whether a JPEG says that others behind it belong to it (multi-picture format).
fn has_other_pictures(bytes: &[u8]) -> bool {
    jpeg_segments(bytes)
        .take_while(|(marker, _)| *marker != 0xda)
        .any(|(marker, place)| marker == 0xe2 && bytes[place].get(2..6) == Some(b"MPF\0"))
}

// ---- TIFF

/// Refuses a TIFF of several pages, of which only the first would be read, and one whose first picture is a thumbnail, as
/// those of cameras are.
fn check_pages(file: &mut (impl Read + Seek)) -> Result<(), Failure> {
    const MOST: usize = 1000;
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Failure::NotMedia("the TIFF ends before its index".to_owned()),
        _ => Failure::NotMedia(error.to_string()),
    };
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(cut)?;
    let little = head[0] == b'I';
    let short = |b: &[u8]| {
        let b = [b[0], b[1]];
        if little { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) }
    };
    let long = |b: &[u8]| {
        let b = [b[0], b[1], b[2], b[3]];
        if little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) }
    };
    if short(&head[2..]) != 42 {
        return Err(Failure::Unsupported("BigTIFF".to_owned()));
    }
    let (mut next, mut pages, mut read) = (long(&head[4..]), 0, 0);
    while next != 0 {
        read += 1;
        if read > MOST {
            return Err(Failure::NotMedia("the TIFF's index has no end".to_owned()));
        }
        file.seek(SeekFrom::Start(next.into())).map_err(cut)?;
        let mut count = [0; 2];
        file.read_exact(&mut count).map_err(cut)?;
        let mut entries = vec![0; usize::from(short(&count)) * 12 + 4];
        file.read_exact(&mut entries).map_err(cut)?;
        let (entries, after) = entries.split_at(entries.len() - 4);
        next = long(after);
        // Tag 254: what kind of picture; bit 0: one of less resolution. 50706 and 33421: the sensor's own numbers.
        let mut reduced = false;
        for entry in entries.chunks_exact(12) {
            match short(entry) {
                254 => reduced = long(&entry[8..]) & 1 == 1,
                50706 | 33421 => return Err(Failure::Unsupported("a camera's raw picture".to_owned())),
                _ => {}
            }
        }
        if reduced && read == 1 {
            return Err(Failure::Unsupported("a TIFF that begins with a thumbnail".to_owned()));
        }
        pages += usize::from(!reduced);
    }
    match pages {
        0 | 1 => Ok(()),
        pages => Err(Failure::Unsupported(format!("a TIFF of {pages} pages"))),
    }
}

// ---- writing

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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is said of a file, and its frames' times.
    #[derive(Default)]
    struct Taken(Option<VideoInfo>, Vec<f64>);

    impl Output for Taken {
        fn header(&mut self, header: Header) -> io::Result<()> {
            self.0 = Some(header.info);
            Ok(())
        }

        fn frame(&mut self, timestamp: f64, _: RgbImage) -> io::Result<()> {
            self.1.push(timestamp);
            Ok(())
        }
    }

    /// A JPEG of one grey.
    fn grey(value: u8) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(64, 48, image::Rgb([value; 3])).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    fn failure_of(bytes: &[u8], memory: u64) -> (Taken, Option<Failure>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut taken = Taken::default();
        let failure = match decode(file.path(), 1 << 20, memory, &mut taken) {
            Ok(()) => None,
            Err(Stop::Failure(failure)) => Some(failure),
            Err(Stop::Output(error)) => panic!("{error}"),
        };
        (taken, failure)
    }

    #[test]
    fn a_motion_jpeg_gives_the_pictures_before_the_one_that_is_damaged_or_cut() {
        let all: Vec<Vec<u8>> = [10, 60, 110, 160].map(grey).into();
        let row = all.concat();
        let (taken, failure) = failure_of(&row, 1 << 20);
        assert!(failure.is_none() && taken.1.len() == 4, "{failure:?}");
        // The first Huffman table of the third picture is none.
        let mut damaged = all.clone();
        let table = damaged[2].windows(2).position(|pair| pair == [0xff, 0xc4]).unwrap();
        damaged[2][table + 5..table + 21].fill(0xfe);
        let (taken, failure) = failure_of(&damaged.concat(), 1 << 20);
        assert!(matches!(failure, Some(Failure::Decode(_))) && taken.1.len() == 2, "{failure:?}, {:?}", taken.1);
        // The last picture without its end, of its head alone, of its first two bytes.
        for kept in [all[3].len() - 5, 30, 2] {
            let (taken, failure) = failure_of(&row[..row.len() - all[3].len() + kept], 1 << 20);
            assert!(matches!(failure, Some(Failure::Truncated(_))), "{kept}: {failure:?}");
            assert_eq!((taken.0.unwrap().frames, taken.1.len()), (Some(4), 3), "{kept}");
        }
    }

    #[test]
    fn a_jpeg_of_more_bytes_than_memory_is_no_shorter_one() {
        let row: Vec<u8> = [grey(10), grey(60)].concat();
        let (taken, failure) = failure_of(&row, row.len() as u64 - 1);
        assert!(matches!(failure, Some(Failure::Memory(_))) && taken.1.is_empty(), "{failure:?}");
    }

    #[test]
    fn many_empty_jpegs_behind_one_are_passed_over_at_once() {
        let bytes = [grey(10), [0xff, 0xd8, 0xff, 0xd9].repeat(1 << 20), grey(60)].concat();
        let begun = std::time::Instant::now();
        let (taken, failure) = failure_of(&bytes, 1 << 30);
        assert!(failure.is_none() && taken.0.unwrap().frames == Some(1), "{failure:?}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }

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
