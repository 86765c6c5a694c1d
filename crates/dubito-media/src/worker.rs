//! The child side of the embedded decoder and encoder: OpenH264 is C, so it runs in a process of its own.
//!
//! ```text
//! worker decode FILE MAX_PIXELS             messages of `protocol` on standard output
//! worker picture FILE MAX_PIXELS MEMORY     the same of a picture file, whose decoders are safe Rust
//! worker encode FILE WIDTH HEIGHT RATE QP   raw RGB frames on standard input until it ends
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use dubito_resize::{FilterType, ResizeAlg, ResizeOptions};
use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal};
use image::RgbImage;
use image::imageops;
use muxide::api::{MuxerBuilder, VideoCodec};
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::encoder::{
    Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode, UsageType,
    VuiConfig,
};
use openh264::formats::{YUVSlices, YUVSource};
use openh264_sys2::{API, OpenH264Version};
use re_mp4::{Mp4, Sample, StsdBoxContent, TrackKind, TrakBox};

use crate::colour::{Colour, Plane, rgb_from_yuv, yuv_from_rgb};
use crate::picture::{self, Stop};
use crate::protocol::{Failure, Header, write_end, write_frame, write_header};
use crate::video::display_size;
use crate::{MediaKind, VideoInfo};

/// Version of the embedded OpenH264, such as `2.6.0`.
pub(crate) fn openh264_version() -> String {
    let mut version = OpenH264Version::default();
    // SAFETY: OpenH264 fills the structure that it is given and keeps nothing of it.
    #[allow(unsafe_code)]
    unsafe {
        OpenH264API::from_source().WelsGetCodecVersionEx(&raw mut version);
    }
    format!("{}.{}.{}", version.uMajor, version.uMinor, version.uRevision)
}

/// Runs the embedded decoder or encoder; what the hidden subcommand named in
/// [`Tools::embedded_worker`](crate::Tools::embedded_worker) calls.
///
/// `arguments` are those behind the subcommand, as [`open`](crate::open) and
/// [`Writer`](crate::Writer) give them. Standard input and output belong to it.
pub fn worker_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Err(error) = dubito_process::enter_worker() {
        dubito_process::last_words(error);
        return ExitCode::FAILURE;
    }
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let result = match (words.as_slice(), arguments.get(1)) {
        (["decode", _, max_pixels], Some(file)) => {
            parse(max_pixels).and_then(|max_pixels| decode_to_stdout(Path::new(file), max_pixels))
        }
        (["picture", _, max_pixels, memory], Some(file)) => {
            let bounds = || Ok((parse(max_pixels)?, parse(memory)?));
            bounds().and_then(|(max_pixels, memory)| picture_to_stdout(Path::new(file), max_pixels, memory))
        }
        (["encode", _, width, height, rate, quantiser], Some(file)) => {
            let settings = || Ok((parse(width)?, parse(height)?, parse(rate)?, parse(quantiser)?));
            settings().and_then(|(width, height, rate, quantiser)| {
                encode_from_stdin(Path::new(file), width, height, rate, quantiser)
            })
        }
        _ => Err(
            "expected `decode FILE MAX_PIXELS`, `picture FILE MAX_PIXELS MEMORY` or `encode FILE WIDTH HEIGHT RATE QP`"
                .to_owned(),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            if !message.is_empty() {
                dubito_process::last_words(message);
            }
            ExitCode::FAILURE
        }
    }
}

fn parse<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word:?} is no number in range"))
}

// ---- decoding

fn decode_to_stdout(path: &Path, max_pixels: u64) -> Result<(), String> {
    let mut output = BufWriter::new(io::stdout().lock());
    let result = decode(path, max_pixels, &mut output);
    end(output, result)
}

fn picture_to_stdout(path: &Path, max_pixels: u64, memory: u64) -> Result<(), String> {
    let mut output = BufWriter::new(io::stdout().lock());
    let decode = AssertUnwindSafe(|| picture::decode(path, max_pixels, memory, &mut output));
    // A fault of a decoder costs the file that it was shown by.
    let result = catch_unwind(decode).unwrap_or_else(|_| Err(Failure::Decode("the decoder failed".to_owned()).into()));
    end(output, result)
}

fn end(mut output: impl Write, result: Result<(), Stop>) -> Result<(), String> {
    let failure = match result {
        Ok(()) => None,
        Err(Stop::Failure(failure)) => Some(failure),
        Err(Stop::Output(error)) => return unread(error),
    };
    write_end(&mut output, failure).or_else(unread)
}

/// What is said of output that could not be written: nothing where its reader has gone away.
fn unread(error: io::Error) -> Result<(), String> {
    Err(if error.kind() == io::ErrorKind::BrokenPipe { String::new() } else { error.to_string() })
}

impl<W: Write> picture::Output for W {
    fn header(&mut self, header: Header) -> io::Result<()> {
        write_header(self, &header)
    }

    fn frame(&mut self, timestamp: f64, image: RgbImage) -> io::Result<()> {
        write_frame(self, timestamp, image.as_raw())
    }
}

/// The video track of an MP4 file, ready to decode.
struct Track {
    info: VideoInfo,
    colour: Colour,
    /// Stored picture size, cropped.
    stored: (u32, u32),
    /// Parameter sets in Annex B form.
    parameter_sets: Vec<u8>,
    /// Bytes of the length in front of each NAL unit.
    length_size: usize,
    samples: Vec<Sample>,
    /// Presentation times in seconds in display order; `None`: an edit list hides this frame.
    times: Vec<Option<f64>>,
}

fn decode(path: &Path, max_pixels: u64, output: &mut impl Write) -> Result<(), Stop> {
    let file = File::open(path).map_err(|error| Failure::NotMedia(error.to_string()))?;
    let size = file.metadata().map_err(|error| Failure::NotMedia(error.to_string()))?.len();
    let mut file = BufReader::new(file);
    let mp4 = read_index(&mut file, size)?;
    // The reader of the index trusts its tables; a table that contradicts another makes it panic.
    let track = catch_unwind(AssertUnwindSafe(|| Track::find(&mp4)))
        .unwrap_or_else(|_| Err(Failure::NotMedia("the MP4 index contradicts itself".to_owned())))?;
    drop(mp4);
    let (width, height) = (u64::from(track.info.width), u64::from(track.info.height));
    let stored = u64::from(track.stored.0) * u64::from(track.stored.1);
    if width * height > max_pixels || stored > max_pixels {
        return Err(Failure::Pixels { width, height }.into());
    }
    if track.samples.is_empty() {
        return Err(Failure::NoFrames.into());
    }
    write_header(output, &Header { info: track.info.clone() }).map_err(Stop::Output)?;

    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    let failed = |error: openh264::Error| Failure::Decode(error.to_string());
    let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), config).map_err(failed)?;
    // Pictures come out in display order; the n-th of them has the n-th time.
    let mut times = track.times.iter();
    let mut emit = |picture: &DecodedYUV<'_>| -> Result<(), Stop> {
        let image = track.picture(picture)?;
        match times.next() {
            Some(Some(time)) => write_frame(output, *time, image.as_raw()).map_err(Stop::Output),
            Some(None) => Ok(()),
            None => Err(Failure::Decode("more pictures than the index lists".to_owned()).into()),
        }
    };
    let mut problem = None;
    let mut packet = track.parameter_sets.clone();
    for sample in &track.samples {
        let result = track.read_sample(&mut file, size, sample, &mut packet);
        let decoded = result.and_then(|()| decoder.decode(&packet).map_err(failed));
        packet.clear();
        match decoded {
            Ok(Some(picture)) => emit(&picture)?,
            Ok(None) => {}
            Err(failure) => {
                problem = Some(failure);
                break;
            }
        }
    }
    for picture in decoder.flush_remaining().unwrap_or_default() {
        emit(&picture)?;
    }
    match problem {
        Some(failure) => Err(failure.into()),
        None if times.next().is_some() => {
            Err(Failure::Truncated("some pictures could not be decoded".to_owned()).into())
        }
        None => Ok(()),
    }
}

fn read_index(file: &mut (impl Read + Seek), size: u64) -> Result<Mp4, Failure> {
    // The index reader refuses a box that reaches beyond the size it is told: in a truncated file the
    // frames there are would be lost.
    let declared = declared_size(file, size).map_err(|error| Failure::NotMedia(error.to_string()))?;
    catch_unwind(AssertUnwindSafe(|| Mp4::read(file, declared)))
        .unwrap_or(Err(re_mp4::Error::InvalidData("the MP4 index contradicts itself")))
        .map_err(|error| match error {
            re_mp4::Error::BoxNotFound(_) => Failure::NotMedia("no MP4 index found".to_owned()),
            error => Failure::NotMedia(error.to_string()),
        })
}

/// Where the last top-level box says that it ends: the file's size, or more if the file is cut short.
fn declared_size(file: &mut (impl Read + Seek), size: u64) -> io::Result<u64> {
    let mut end = 0_u64;
    // A file has a handful of boxes, a fragmented one two for each fragment.
    while end + 8 <= size {
        file.seek(SeekFrom::Start(end))?;
        let mut header = [0; 16];
        file.read_exact(&mut header[..8])?;
        let mut length = u64::from(u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
        if length == 1 {
            file.read_exact(&mut header[8..])?;
            length = header[8..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        }
        match end.checked_add(length) {
            Some(next) if length >= 8 => end = next,
            // Length 0: up to the end of the file. Less than a header: damage.
            _ => break,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(end.max(size))
}

impl Track {
    fn find(mp4: &Mp4) -> Result<Self, Failure> {
        let is_video = |trak: &&TrakBox| trak.mdia.hdlr.handler_type.value == *b"vide";
        let Some(trak) = mp4.moov.traks.iter().find(is_video) else {
            let mut kinds: Vec<_> = mp4.moov.traks.iter().map(|trak| trak.mdia.hdlr.handler_type.to_string()).collect();
            kinds.dedup();
            return Err(Failure::NoVideo(if kinds.is_empty() { "no track".to_owned() } else { kinds.join(", ") }));
        };
        let avc = match &trak.mdia.minf.stbl.stsd.contents {
            StsdBoxContent::Avc1(avc) => avc,
            StsdBoxContent::Unknown(code) => return Err(Failure::Unsupported(format!("codec {code}"))),
            other => {
                let codec = other.codec_string().unwrap_or_else(|| "this codec".to_owned());
                return Err(Failure::Unsupported(format!("codec {codec}")));
            }
        };
        let Some(track) = mp4.tracks().get(&trak.tkhd.track_id).filter(|track| track.kind == Some(TrackKind::Video))
        else {
            return Err(Failure::NotMedia("the video track has no index".to_owned()));
        };
        let avcc = &avc.avcc.contents;
        let sequence = match avcc.sequence_parameter_sets.first() {
            Some(unit) => SeqParameterSet::from_bits(RefNal::new(&unit.bytes, &[], true).rbsp_bits())
                .map_err(|error| Failure::NotMedia(format!("the H.264 parameters cannot be read: {error:?}")))?,
            None => return Err(Failure::Unsupported("H.264 without parameters in the index".to_owned())),
        };
        check_supported(&sequence)?;
        let stored = sequence
            .pixel_dimensions()
            .map_err(|error| Failure::NotMedia(format!("the picture size cannot be read: {error:?}")))?;
        let (sample_aspect, colour) = presentation(&sequence);
        let rotation = rotation(trak);
        let (width, height) = display_size(stored.0, stored.1, sample_aspect, rotation);
        let size = |value: u64| u32::try_from(value).map_err(|_| Failure::Pixels { width, height });

        let mut parameter_sets = Vec::new();
        for unit in avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets) {
            parameter_sets.extend_from_slice(&[0, 0, 0, 1]);
            parameter_sets.extend_from_slice(&unit.bytes);
        }
        let scale = track.timescale.max(1) as f64;
        let duration = track.duration as f64 / scale;
        let frames = track.samples.len();
        // The table of sizes may name fewer frames than that of times, as FFmpeg counts them.
        let timed = trak.mdia.minf.stbl.stts.entries.iter().map(|entry| u64::from(entry.sample_count)).sum();
        let bytes: u64 = track.samples.iter().map(|sample| sample.size).sum();
        let times = presentation_times(mp4, trak, track);
        // What is declared to be shown is without what the edit list hides.
        let hidden = times.iter().filter(|time| time.is_none()).count();
        let shown = 1.0 - hidden as f64 / frames.max(1) as f64;
        Ok(Self {
            info: VideoInfo {
                kind: MediaKind::Video,
                width: size(width)?,
                height: size(height)?,
                codec: "h264".to_owned(),
                pixel_format: "yuv420p".to_owned(),
                container: "mov,mp4,m4a,3gp,3g2,mj2".to_owned(),
                frame_rate: (duration > 0.0 && frames > 0).then(|| frames as f64 / duration),
                frames: Some((frames as u64).max(timed) - hidden as u64),
                duration: (duration > 0.0).then_some(duration * shown),
                bit_rate: (duration > 0.0).then(|| (bytes as f64 * 8.0 / duration) as u64),
                rotation,
                sample_aspect,
                size_bytes: 0,
            },
            colour,
            stored,
            parameter_sets,
            length_size: usize::from(avcc.length_size_minus_one & 3) + 1,
            times,
            samples: track.samples.clone(),
        })
    }

    /// Appends a sample to `packet` in Annex B form.
    fn read_sample(
        &self,
        file: &mut (impl Read + Seek),
        file_size: u64,
        sample: &Sample,
        packet: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if sample.offset.checked_add(sample.size).is_none_or(|end| end > file_size) {
            return Err(Failure::Truncated(format!("frame {} lies beyond the end of the file", sample.id)));
        }
        let mut bytes = vec![0; sample.size as usize];
        file.seek(SeekFrom::Start(sample.offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| Failure::Truncated(error.to_string()))?;
        append_annex_b(&bytes, self.length_size, packet)
            .ok_or_else(|| Failure::Decode(format!("frame {} is damaged", sample.id)))
    }

    /// The decoded picture as it is to be shown.
    fn picture(&self, picture: &DecodedYUV<'_>) -> Result<RgbImage, Failure> {
        let (wide, high) = picture.dimensions();
        if (wide as u64, high as u64) != (u64::from(self.stored.0), u64::from(self.stored.1)) {
            return Err(Failure::Unsupported("H.264 whose picture size changes".to_owned()));
        }
        let strides = picture.strides();
        let plane = |samples, stride| Plane { samples, stride };
        let planes = [plane(picture.y(), strides.0), plane(picture.u(), strides.1), plane(picture.v(), strides.2)];
        let image = rgb_from_yuv(planes, self.stored.0, self.stored.1, self.colour)
            .ok_or_else(|| Failure::Decode("a picture has a wrong size".to_owned()))?;
        let (width, height) = match self.info.rotation % 180 {
            90 => (self.info.height, self.info.width),
            _ => (self.info.width, self.info.height),
        };
        let image = if (width, height) == self.stored {
            image
        } else {
            resize(&image, width, height).ok_or_else(|| Failure::Decode("a picture cannot be scaled".to_owned()))?
        };
        Ok(match self.info.rotation {
            90 => imageops::rotate90(&image),
            180 => imageops::rotate180(&image),
            270 => imageops::rotate270(&image),
            _ => image,
        })
    }
}

/// The picture at another size, by bicubic interpolation.
fn resize(image: &RgbImage, width: u32, height: u32) -> Option<RgbImage> {
    let algorithm = ResizeAlg::Convolution(FilterType::CatmullRom);
    let options = ResizeOptions::new().resize_alg(algorithm);
    RgbImage::from_raw(
        width,
        height,
        dubito_resize::rgb(image.as_raw(), image.dimensions(), (width, height), &options)?,
    )
}

/// Replaces the lengths in front of NAL units by start codes. `None` if they don't fit the sample.
fn append_annex_b(mut bytes: &[u8], length_size: usize, packet: &mut Vec<u8>) -> Option<()> {
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at_checked(length_size)?;
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        packet.extend_from_slice(&[0, 0, 0, 1]);
        packet.extend_from_slice(unit);
        bytes = rest;
    }
    Some(())
}

/// Refuses what OpenH264 does not decode: other than 8-bit 4:2:0, interlaced, above level 5.2.
fn check_supported(sequence: &SeqParameterSet) -> Result<(), Failure> {
    let chroma = &sequence.chroma_info;
    let bits = 8 + chroma.bit_depth_luma_minus8.max(chroma.bit_depth_chroma_minus8);
    let what = if chroma.chroma_format != ChromaFormat::YUV420 {
        format!("H.264 with {:?} chroma", chroma.chroma_format)
    } else if bits != 8 {
        format!("H.264 with {bits} bits a sample")
    } else if sequence.frame_mbs_flags != FrameMbsFlags::Frames {
        "interlaced H.264".to_owned()
    } else if sequence.level_idc > 52 {
        format!("H.264 of level {}", f32::from(sequence.level_idc) / 10.0)
    } else {
        return Ok(());
    };
    Err(Failure::Unsupported(what))
}

/// Shape of a pixel and meaning of the colours, as the stream's VUI signals them.
fn presentation(sequence: &SeqParameterSet) -> ((u32, u32), Colour) {
    let Some(vui) = &sequence.vui_parameters else {
        return ((1, 1), Colour::BT601);
    };
    let aspect = vui.aspect_ratio_info.as_ref().and_then(|info| info.get());
    let aspect = aspect.map(|(n, d)| (u32::from(n), u32::from(d))).filter(|(n, d)| *n > 0 && *d > 0 && n != d);
    let colour = vui.video_signal_type.as_ref().map_or(Colour::BT601, |signal| {
        let matrix = signal.colour_description.as_ref().map_or(2, |colour| colour.matrix_coefficients);
        Colour::signalled(matrix, signal.video_full_range_flag)
    });
    (aspect.unwrap_or((1, 1)), colour)
}

/// Clockwise degrees by the track's matrix (ISO/IEC 14496-12, 8.3.2), to the nearest quarter turn.
fn rotation(trak: &TrakBox) -> i32 {
    let matrix = &trak.tkhd.matrix;
    let degrees = f64::from(matrix.b).atan2(f64::from(matrix.a)).to_degrees();
    ((degrees / 90.0).round() as i32).rem_euclid(4) * 90
}

/// When each frame is shown, in display order, by the composition times and the edit list.
///
/// The list may delay the beginning (entries without media) and hide what lies before its first
/// media time; later edits are not followed.
fn presentation_times(mp4: &Mp4, trak: &TrakBox, track: &re_mp4::Track) -> Vec<Option<f64>> {
    let scale = track.timescale.max(1) as f64;
    // The index reader moved the smallest composition time to 0: undo that.
    let lowest = if trak.mdia.minf.stbl.stsz.sample_count > 0 {
        let offsets = trak.mdia.minf.stbl.ctts.iter().flat_map(|table| &table.entries);
        let shift = offsets.map(|entry| -i64::from(entry.sample_offset)).max().unwrap_or(0).max(0);
        -track.samples.first().map_or(0, |sample| sample.decode_timestamp) - shift
    } else {
        0
    };
    let mut delay = 0.0;
    let mut begin = 0;
    let edits = trak.edts.iter().filter_map(|edits| edits.elst.as_ref()).flat_map(|list| &list.entries);
    for edit in edits {
        if edit.media_time == u64::from(u32::MAX) || edit.media_time == u64::MAX {
            delay += edit.segment_duration as f64 / f64::from(mp4.moov.mvhd.timescale.max(1));
        } else {
            begin = i64::try_from(edit.media_time).unwrap_or(0);
            break;
        }
    }
    let mut times: Vec<i64> = track.samples.iter().map(|sample| sample.composition_timestamp + lowest).collect();
    times.sort_unstable();
    times.into_iter().map(|time| (time >= begin).then(|| (time - begin) as f64 / scale + delay)).collect()
}

// ---- encoding

fn encode_from_stdin(path: &Path, width: usize, height: usize, rate: f64, quantiser: u8) -> Result<(), String> {
    let even = |size: usize| size > 0 && size.is_multiple_of(2);
    if !(even(width) && even(height) && rate.is_finite() && rate > 0.0 && (1..=51).contains(&quantiser)) {
        return Err("expected even width and height, a rate above 0 and a QP from 1 to 51".to_owned());
    }
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Quality)
        .qp(QpRange::new(quantiser, quantiser))
        .skip_frames(false)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(250))
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::Medium)
        .max_frame_rate(FrameRate::from_hz(rate as f32))
        .num_threads(1)
        .vui(VuiConfig::bt601());
    let mut encoder =
        Encoder::with_api_config(OpenH264API::from_source(), config).map_err(|error| error.to_string())?;
    let file = BufWriter::new(File::create(path).map_err(|error| error.to_string())?);
    let size = |value: usize| u32::try_from(value).map_err(|error| error.to_string());
    let mut muxer = MuxerBuilder::new(file)
        .video(VideoCodec::H264, size(width)?, size(height)?, rate)
        .build()
        .map_err(|error| error.to_string())?;

    let mut input = BufReader::new(io::stdin().lock());
    let mut rgb = vec![0; width * height * 3];
    let mut index = 0_u64;
    while read_frame(&mut input, &mut rgb).map_err(|error| error.to_string())? {
        let planes = yuv_from_rgb(&rgb, width, height, Colour::BT601);
        let (luma, chroma) = planes.split_at(width * height);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        let picture = YUVSlices::new((luma, u, v), (width, height), (width, width / 2, width / 2));
        let stream = encoder.encode(&picture).map_err(|error| error.to_string())?;
        let key = matches!(stream.frame_type(), FrameType::IDR | FrameType::I);
        muxer.write_video(index as f64 / rate, &stream.to_vec(), key).map_err(|error| error.to_string())?;
        index += 1;
    }
    muxer.finish().map_err(|error| error.to_string())
}

/// Fills one frame; `false` at the end of the input. An unfinished frame is an error.
fn read_frame(input: &mut impl Read, frame: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < frame.len() {
        match input.read(&mut frame[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_become_start_codes() {
        let mut packet = Vec::new();
        append_annex_b(&[0, 2, 7, 8, 0, 1, 9], 2, &mut packet).unwrap();
        assert_eq!(packet, [0, 0, 0, 1, 7, 8, 0, 0, 0, 1, 9]);
        assert!(append_annex_b(&[0, 3, 7], 2, &mut packet).is_none());
        assert!(append_annex_b(&[0], 2, &mut packet).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 1_usize..5) {
            let _ = append_annex_b(&bytes, size, &mut Vec::new());
            let _ = read_index(&mut io::Cursor::new(&bytes), bytes.len() as u64);
        }
    }
}
