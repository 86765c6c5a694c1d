//! What `ffprobe` says of a file, read into a [`VideoInfo`].

use std::ffi::OsString;
use std::path::Path;

use dubito_process::Process;
use serde::Deserialize;

use crate::colour::Colour;
use crate::ffmpeg::killed;
use crate::message::clean;
use crate::tools::ffmpeg_command;
use crate::video::display_size;
use crate::{FfmpegTools, Limits, MediaError, MediaKind, VideoInfo};

/// Containers that hold their video themselves. Playlists and scripts (`hls`, `concat`, `dash`, ...)
/// are left out: they would make FFmpeg open other files.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,\
ogg,asf,gif,apng,h264,hevc,av1,obu,ivf,nut,yuv4mpegpipe,mxf,mjpeg,m4v,dv,rm,wav,mp3,aac,flac,w64,aiff";

/// Arguments that keep FFmpeg to one local file, whatever its name looks like.
pub(crate) fn input_arguments(path: &Path) -> Result<Vec<OsString>, MediaError> {
    let absolute = std::path::absolute(path).map_err(|error| MediaError::io(path, error))?;
    let mut file = OsString::from("file:");
    file.push(absolute);
    let words = ["-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS, "-i"];
    Ok(words.into_iter().map(OsString::from).chain([file]).collect())
}

/// The video stream that is decoded, and what is needed to decode it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probe {
    pub stream: u32,
    pub info: VideoInfo,
    /// What the numbers of an 8-bit 4:2:0 stream mean; `None` for every other pixel format.
    pub colour: Option<Colour>,
    /// When the stream begins, in seconds.
    pub start: Option<f64>,
    /// How long the file is said to be, sound and all, in seconds.
    pub file_duration: Option<f64>,
}

/// Runs `ffprobe` on the file.
pub(crate) fn probe(path: &Path, tools: &FfmpegTools, limits: &Limits) -> Result<Probe, MediaError> {
    let mut command = ffmpeg_command(&tools.ffprobe);
    command.args(["-hide_banner", "-loglevel", "error", "-print_format", "json", "-show_entries"]);
    command.arg(
        "format=format_name,duration,bit_rate,size:stream=index,codec_type,codec_name,codec_tag_string,width,height,pix_fmt,\
         sample_aspect_ratio,avg_frame_rate,nb_frames,duration,bit_rate,start_time,color_space,color_range:\
         stream_tags=rotate,enc_key_id,DURATION:stream_side_data=rotation:stream_disposition=attached_pic",
    );
    command.args(input_arguments(path)?);
    let mut process = Process::spawn(command, &limits.process(), |_| false)?;
    let json = process.read_all(1 << 20);
    let status = process.finish()?;
    if let Some(error) = MediaError::stopped(&process, path) {
        return Err(error);
    }
    let json = json.map_err(|error| MediaError::NotMedia { path: path.to_owned(), message: error.to_string() })?;
    if let Some(error) = killed(status, "ffprobe", path) {
        return Err(error);
    }
    if !status.success() {
        return Err(MediaError::NotMedia { path: path.to_owned(), message: clean(&process.message(), path) });
    }
    let size_bytes = std::fs::metadata(path).map_err(|error| MediaError::io(path, error))?.len();
    let probe = parse(&json, path, size_bytes)?;
    let Some(probe) = probe else {
        return Err(MediaError::NoVideo { path: path.to_owned(), found: kinds(&json) });
    };
    limits.check_pixels(path, u64::from(probe.info.width), u64::from(probe.info.height))?;
    Ok(probe)
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    format_name: Option<String>,
    duration: Option<String>,
    bit_rate: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    index: u32,
    codec_type: Option<String>,
    codec_name: Option<String>,
    codec_tag_string: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    pix_fmt: Option<String>,
    color_space: Option<String>,
    color_range: Option<String>,
    sample_aspect_ratio: Option<String>,
    avg_frame_rate: Option<String>,
    nb_frames: Option<String>,
    duration: Option<String>,
    bit_rate: Option<String>,
    start_time: Option<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    side_data_list: Vec<SideData>,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Deserialize, Default)]
struct Tags {
    rotate: Option<String>,
    /// Which key a Matroska stream is encrypted with.
    enc_key_id: Option<String>,
    /// When a Matroska stream ends, `HH:MM:SS.fraction`.
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: i32,
}

/// Reads ffprobe's JSON; `Ok(None)` where there is no video stream.
fn parse(json: &[u8], path: &Path, size_bytes: u64) -> Result<Option<Probe>, MediaError> {
    let not_media = |message: String| MediaError::NotMedia { path: path.to_owned(), message };
    let output: Output =
        serde_json::from_slice(json).map_err(|error| not_media(format!("ffprobe's answer cannot be read: {error}")))?;
    let is_video =
        |stream: &&Stream| stream.codec_type.as_deref() == Some("video") && stream.disposition.attached_pic == 0;
    let Some(stream) = output.streams.iter().find(is_video) else {
        return Ok(None);
    };
    // Common encryption, and that of Apple's shop.
    if stream.tags.enc_key_id.is_some() || matches!(stream.codec_tag_string.as_deref(), Some("encv" | "drmi")) {
        return Err(MediaError::Encrypted { path: path.to_owned() });
    }
    let codec = stream.codec_name.clone().unwrap_or_else(|| "unknown".to_owned());
    let (Some(width @ 1..), Some(height @ 1..)) = (stream.width, stream.height) else {
        return Err(not_media(format!("the {codec} video stream declares no picture size")));
    };
    // The display matrix turns counter-clockwise; the older `rotate` tag turns clockwise.
    let turned = stream.side_data_list.iter().find_map(|data| data.rotation).map(|degrees| -degrees);
    let turned = turned.or_else(|| number(&stream.tags.rotate));
    let rotation = quarter_turn(turned.unwrap_or(0.0));
    // ASF says of every stream how long the file is, and FLV says that alone: it is the video's if there is nothing else.
    let is_alone = output.streams.iter().filter(|stream| stream.disposition.attached_pic == 0).count() == 1;
    let is_of_file = output.format.format_name.as_deref() == Some("asf");
    let file_duration = number(&output.format.duration);
    let duration = number(&stream.duration)
        .filter(|_| is_alone || !is_of_file)
        .or_else(|| clock(stream.tags.duration.as_deref()?))
        .or(file_duration.filter(|_| is_alone));
    let sample_aspect = aspect(stream.sample_aspect_ratio.as_deref());
    let too_large = || not_media(format!("a picture of {width}x{height} cannot be shown"));
    let (shown_width, shown_height) = display_size(width, height, sample_aspect, rotation);
    Ok(Some(Probe {
        stream: stream.index,
        colour: colour(stream),
        start: number(&stream.start_time),
        file_duration,
        info: VideoInfo {
            kind: MediaKind::Video,
            width: u32::try_from(shown_width).map_err(|_| too_large())?,
            height: u32::try_from(shown_height).map_err(|_| too_large())?,
            codec,
            pixel_format: stream.pix_fmt.clone().unwrap_or_else(|| "unknown".to_owned()),
            container: output.format.format_name.clone().unwrap_or_else(|| "unknown".to_owned()),
            frame_rate: ratio(stream.avg_frame_rate.as_deref(), '/').map(|(n, d)| f64::from(n) / f64::from(d)),
            frames: stream.nb_frames.as_deref().and_then(|text| text.parse().ok()),
            duration,
            bit_rate: [&stream.bit_rate, &output.format.bit_rate]
                .into_iter()
                .find_map(|text| text.as_deref()?.parse().ok()),
            rotation,
            sample_aspect,
            size_bytes,
        },
    }))
}

/// Meaning of an 8-bit 4:2:0 stream's numbers; `None` for what is not converted here.
fn colour(stream: &Stream) -> Option<Colour> {
    let full = match stream.pix_fmt.as_deref()? {
        "yuv420p" => stream.color_range.as_deref() == Some("pc"),
        "yuvj420p" => true,
        _ => return None,
    };
    // FFmpeg's names of the codes of ITU-T H.273.
    let matrix = match stream.color_space.as_deref() {
        Some("bt709") => 1,
        None | Some("unknown" | "reserved") => 2,
        Some("fcc") => 4,
        Some("bt470bg") => 5,
        Some("smpte170m") => 6,
        Some("smpte240m") => 7,
        Some("bt2020nc") => 9,
        Some(_) => return None,
    };
    Some(Colour::signalled(matrix, full))
}

/// The kinds of stream in ffprobe's JSON, for the error message.
fn kinds(json: &[u8]) -> String {
    let streams = serde_json::from_slice::<Output>(json).map(|output| output.streams).unwrap_or_default();
    let mut kinds: Vec<String> = streams
        .into_iter()
        .map(|stream| {
            if stream.disposition.attached_pic != 0 {
                "cover art".to_owned()
            } else {
                stream.codec_type.unwrap_or_else(|| "unknown".to_owned())
            }
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    if kinds.is_empty() { "no stream at all".to_owned() } else { kinds.join(", ") }
}

fn number(text: &Option<String>) -> Option<f64> {
    text.as_deref()?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Seconds of `HH:MM:SS.fraction`.
fn clock(text: &str) -> Option<f64> {
    let seconds = text.trim().split(':').try_fold(0.0, |sum, part| Some(60.0 * sum + part.parse::<f64>().ok()?))?;
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

/// `n/d` (or with another separator), both positive.
fn ratio(text: Option<&str>, separator: char) -> Option<(u32, u32)> {
    let (numerator, denominator) = text?.split_once(separator)?;
    match (numerator.parse(), denominator.parse()) {
        (Ok(n @ 1..), Ok(d @ 1..)) => Some((n, d)),
        _ => None,
    }
}

fn aspect(text: Option<&str>) -> (u32, u32) {
    match ratio(text, ':') {
        Some((n, d)) if n != d => (n, d),
        _ => (1, 1),
    }
}

/// The nearest of 0, 90, 180, 270 clockwise degrees.
fn quarter_turn(degrees: f64) -> i32 {
    ((degrees / 90.0).round() as i64).rem_euclid(4) as i32 * 90
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parsed(json: &str) -> Result<Option<Probe>, MediaError> {
        parse(json.as_bytes(), Path::new("x.mp4"), 7)
    }

    #[test]
    fn a_turned_wide_pixel_stream() {
        let probe = parsed(
            r#"{"streams": [{"index": 0, "codec_type": "audio"},
                {"index": 1, "codec_name": "h264", "codec_type": "video", "width": 640, "height": 480,
                 "pix_fmt": "yuv420p", "sample_aspect_ratio": "4:3", "avg_frame_rate": "30000/1001",
                 "nb_frames": "12", "bit_rate": "9", "start_time": "0.080000", "side_data_list": [{}, {"rotation": -90}]}],
                "format": {"format_name": "mov", "duration": "1.5", "bit_rate": "11"}}"#,
        )
        .unwrap()
        .unwrap();
        assert_eq!((probe.stream, probe.info.width, probe.info.height), (1, 480, 854));
        assert_eq!((probe.info.rotation, probe.info.sample_aspect), (90, (4, 3)));
        assert_eq!((probe.info.frames, probe.info.duration, probe.info.bit_rate), (Some(12), None, Some(9)));
        assert_eq!(probe.file_duration, Some(1.5));
        assert!((probe.info.frame_rate.unwrap() - 29.97).abs() < 0.01);
        assert_eq!(probe.start, Some(0.08));
    }

    #[test]
    fn what_is_not_said_is_none() {
        let probe = parsed(
            r#"{"streams": [{"index": 0, "codec_type": "video", "width": 3, "height": 5, "avg_frame_rate": "0/0"}]}"#,
        )
        .unwrap()
        .unwrap();
        assert_eq!((probe.info.frame_rate, probe.info.frames, probe.info.duration), (None, None, None));
        assert_eq!((probe.info.width, probe.info.height, probe.info.sample_aspect), (3, 5, (1, 1)));
    }

    #[test]
    fn the_duration_of_a_file_is_that_of_its_video_where_there_is_no_sound() {
        let duration = |container: &str, own: &str, other: &str| {
            let json = format!(
                r#"{{"streams": [{{"index": 0, "codec_type": "video", "width": 3, "height": 5{own}}}{other}],
                    "format": {{"format_name": "{container}", "duration": "10.0"}}}}"#
            );
            parsed(&json).unwrap().unwrap().info.duration
        };
        let (own, tag) = (r#", "duration": "2.0""#, r#", "tags": {"DURATION": "00:00:02.000000000"}"#);
        let sound = r#", {"index": 1, "codec_type": "audio"}"#;
        let cover = r#", {"index": 1, "codec_type": "video", "disposition": {"attached_pic": 1}}"#;
        assert_eq!(duration("flv", "", ""), Some(10.0));
        assert_eq!(duration("flv", "", cover), Some(10.0));
        assert_eq!(duration("flv", "", sound), None);
        assert_eq!(duration("avi", own, sound), Some(2.0));
        assert_eq!(duration("matroska,webm", tag, sound), Some(2.0));
        assert_eq!(duration("asf", own, ""), Some(2.0));
        assert_eq!(duration("asf", own, sound), None);
    }

    #[test]
    fn cover_art_and_sizeless_streams() {
        let cover = r#"{"streams": [{"index": 0, "codec_type": "video", "disposition": {"attached_pic": 1}}]}"#;
        assert_eq!(parsed(cover).unwrap(), None);
        assert_eq!(kinds(cover.as_bytes()), "cover art");
        assert!(parsed(r#"{"streams": [{"index": 0, "codec_type": "video", "width": 0, "height": 5}]}"#).is_err());
        assert_eq!(parsed("{}").unwrap(), None);
    }

    #[test]
    fn turns() {
        let turns = [0.0, 90.0, -90.0, 180.0, -180.0, 450.0, 89.0, f64::NAN].map(quarter_turn);
        assert_eq!(turns, [0, 90, 270, 180, 180, 90, 90, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, Path::new("x"), 0);
            let _ = kinds(&bytes);
        }

        #[test]
        fn any_values_are_an_answer_or_an_error(
            width in any::<u32>(), height in any::<u32>(), aspect in "[0-9]{0,11}:[0-9]{0,11}",
            rate in "[0-9]{0,11}/[0-9]{0,11}", rotation in any::<f64>(),
        ) {
            let json = serde_json::json!({"streams": [{"index": 0, "codec_type": "video", "width": width, "height": height,
                "sample_aspect_ratio": aspect, "avg_frame_rate": rate, "side_data_list": [{"rotation": rotation}]}]});
            if let Ok(Some(probe)) = parsed(&json.to_string()) {
                prop_assert!(probe.info.width > 0 && probe.info.height > 0);
                prop_assert!(probe.info.frame_rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()));
            }
        }
    }
}
