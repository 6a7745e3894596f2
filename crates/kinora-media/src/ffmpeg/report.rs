//! What FFprobe says about a file.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;

use super::tools::input;
use super::{Demuxer, Tools};
use crate::geometry::{Orientation, PixelAspect};
use crate::mp4::AudioInfo;
use crate::{Colour, Container, Error, FrameRate, MediaInfo, Reader, Result};

/// The most that we listen to.
const MAX_REPORT_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
struct Format {
    format_name: Option<String>,
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stream {
    codec_name: Option<String>,
    profile: Option<String>,
    codec_type: Option<String>,
    width: u32,
    height: u32,
    sample_aspect_ratio: Option<String>,
    pix_fmt: Option<String>,
    color_range: Option<String>,
    color_space: Option<String>,
    color_transfer: Option<String>,
    color_primaries: Option<String>,
    field_order: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    duration: Option<String>,
    nb_frames: Option<String>,
    sample_rate: Option<String>,
    channels: u16,
    disposition: Disposition,
    tags: Tags,
    side_data_list: Vec<SideData>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disposition {
    attached_pic: u8,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tags {
    #[serde(rename = "DURATION")]
    duration: Option<String>,
    rotate: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SideData {
    rotation: Option<f64>,
}

/// What the file `path` holds.
///
/// # Errors
///
/// [`Error::Ffmpeg`] if FFprobe does not read it either.
pub(crate) fn describe(tools: &Tools, path: &Path, demuxer: Demuxer) -> Result<MediaInfo> {
    let report = ask(tools, path, demuxer)?;
    let declared_secs = report.declared_secs();
    let mut info = report.describe(path)?;
    if let Some(declared) = declared_secs {
        let (frames, secs) = count(tools, path, demuxer)?;
        // A single frame, and what tells no times, cannot be judged.
        if frames > 1 && secs > 0.0 && secs < 0.9 * declared - 0.5 {
            return Err(failed(
                path,
                format!("it ends after {secs:.1} of {declared:.1} seconds, so it was cut off"),
            ));
        }
    }
    if info.duration_secs <= 0.0 {
        // What browsers record has no length in its header.
        (info.frames, info.duration_secs) = count(tools, path, demuxer)?;
        if let Ok(fps) = average(info.frames, info.duration_secs) {
            info.fps = Some(fps);
        }
    }
    if info.frames == 0 {
        return Err(failed(path, "it has no frames"));
    }
    Ok(info)
}

fn failed(path: &Path, what: impl Into<String>) -> Error {
    Error::Ffmpeg {
        path: path.into(),
        what: what.into(),
    }
}

fn ask(tools: &Tools, path: &Path, demuxer: Demuxer) -> Result<Report> {
    let mut command = tools.ffprobe();
    command.args(["-show_streams", "-show_format", "-of", "json"]);
    input(&mut command, demuxer, path);
    let output = command
        .output()
        .map_err(|error| failed(path, error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it does not say why");
        return Err(failed(path, last));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(path, error.to_string()))
}

/// Frames and seconds, from every packet's time. Nothing is decoded.
fn count(tools: &Tools, path: &Path, demuxer: Demuxer) -> Result<(u64, f64)> {
    let mut command = tools.ffprobe();
    command.args([
        "-select_streams",
        "V:0",
        "-show_entries",
        "packet=pts_time,dts_time,duration_time",
    ]);
    command
        .args(["-of", "csv=p=0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    input(&mut command, demuxer, path);
    let failed = |error: std::io::Error| failed(path, error.to_string());
    let mut child = command.spawn().map_err(failed)?;
    let Some(told) = child.stdout.take() else {
        return Ok((0, 0.0));
    };
    let (mut frames, mut begin, mut end, mut longest) = (0u64, f64::INFINITY, 0.0f64, 0.0f64);
    for line in BufReader::new(told.take(64 * MAX_REPORT_BYTES)).lines() {
        let line = line.map_err(failed)?;
        let mut numbers = line
            .split(',')
            .map(|number| number.trim().parse::<f64>().ok());
        // Some containers tell only when a packet is due to be decoded.
        let (shown, decoded) = (numbers.next().flatten(), numbers.next().flatten());
        if let Some(time) = shown.or(decoded) {
            let duration = numbers.next().flatten().unwrap_or(0.0);
            (begin, end) = (begin.min(time), end.max(time + duration));
            longest = longest.max(time);
        }
        frames += 1;
    }
    child.wait().map_err(failed)?;
    // Without a duration of its own the last frame lasts as long as an average one.
    if frames > 1 && end <= longest && longest > begin {
        end = longest + (longest - begin) / (frames - 1) as f64;
    }
    Ok((frames, if begin.is_finite() { end } else { 0.0 }))
}

fn average(frames: u64, secs: f64) -> Result<FrameRate> {
    FrameRate::from_average(frames, (secs * 1e6).round() as u64, 1_000_000)
}

impl Report {
    /// What the header says of the length of the pictures. Of other files, and where sound may be longer, FFprobe tells an estimate.
    fn declared_secs(&self) -> Option<f64> {
        const DECLARING: [&str; 4] = ["matroska", "mov", "avi", "asf"];
        let format = self.format.format_name.as_deref().unwrap_or_default();
        let is_declaring = DECLARING.iter().any(|name| format.contains(name));
        let pictures = |stream: &&Stream| {
            stream.codec_type.as_deref() == Some("video") && stream.disposition.attached_pic == 0
        };
        let own = self.streams.iter().find(pictures)?.duration_secs();
        let is_alone = self.streams.len() == 1;
        let whole = || number(&self.format.duration).filter(|_| is_alone);
        own.or_else(whole)
            .filter(|secs| is_declaring && *secs > 0.0)
    }

    fn describe(self, path: &Path) -> Result<MediaInfo> {
        let of_kind = |stream: &&Stream, kind: &str| stream.codec_type.as_deref() == Some(kind);
        let pictures = self
            .streams
            .iter()
            .find(|stream| of_kind(stream, "video") && stream.disposition.attached_pic == 0)
            .ok_or_else(|| failed(path, "it has no video track"))?;
        let sound = self.streams.iter().find(|stream| of_kind(stream, "audio"));
        let orientation = pictures.orientation();
        let aspect = pictures
            .aspect()
            .ok_or_else(|| failed(path, "its pixels have no possible shape"))?;
        let stored = (pictures.width, pictures.height);
        let (width, height) = orientation.shown_size(aspect.squared(stored));
        let duration_secs = pictures
            .duration_secs()
            .or_else(|| number(&self.format.duration))
            .unwrap_or(0.0);
        let rate = |text: &Option<String>| text.as_ref()?.parse::<FrameRate>().ok();
        let fps = rate(&pictures.avg_frame_rate).or_else(|| rate(&pictures.r_frame_rate));
        let counted = pictures
            .nb_frames
            .as_ref()
            .and_then(|text| text.parse().ok());
        let estimated = fps.map_or(0.0, |fps| (duration_secs * fps.as_f64()).round().max(1.0));
        let colour = pictures.colour();
        Ok(MediaInfo {
            container: container(self.format.format_name.as_deref().unwrap_or_default()),
            codec: pictures.codec(),
            width,
            height,
            fps,
            frames: counted.unwrap_or(estimated as u64),
            duration_secs,
            colour: Some(colour),
            dynamic_range: colour.dynamic_range(),
            bit_depth: pictures.bit_depth(),
            interlaced: matches!(
                pictures.field_order.as_deref(),
                Some("tt" | "bb" | "tb" | "bt")
            ),
            orientation,
            pixel_aspect: aspect,
            audio: sound.map(|sound| AudioInfo {
                codec: pretty(sound.codec_name.as_deref().unwrap_or("unknown")),
                channels: sound.channels,
                sample_rate: sound
                    .sample_rate
                    .as_ref()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0),
                duration_secs: sound
                    .duration_secs()
                    .or_else(|| number(&self.format.duration))
                    .unwrap_or(0.0),
                can_be_copied: false,
            }),
            reader: Reader::Ffmpeg,
            index_first: true,
            recipe: None,
        })
    }
}

impl Stream {
    fn codec(&self) -> String {
        let name = pretty(self.codec_name.as_deref().unwrap_or("unknown"));
        match &self.profile {
            Some(profile) if name == "H.264" => format!("{name} {profile}"),
            _ => name,
        }
    }

    fn duration_secs(&self) -> Option<f64> {
        number(&self.duration).or_else(|| {
            // Matroska: 00:01:02.345000000
            let text = self.tags.duration.as_ref()?;
            text.split(':').try_fold(0.0, |secs, part| {
                Some(60.0 * secs + part.parse::<f64>().ok()?)
            })
        })
    }

    fn orientation(&self) -> Orientation {
        let tag = self
            .tags
            .rotate
            .as_ref()
            .and_then(|text| text.parse::<f64>().ok());
        // The side data counts against the clock, the tag with it.
        let side = self.side_data_list.iter().find_map(|side| side.rotation);
        let clockwise = side.map(|degrees| -degrees).or(tag).unwrap_or(0.0);
        let quarters = (clockwise / 90.0).round().rem_euclid(4.0);
        Orientation {
            clockwise_degrees: 90 * quarters as u16,
            mirrored: false,
        }
    }

    fn aspect(&self) -> Option<PixelAspect> {
        let text = self.sample_aspect_ratio.as_deref().unwrap_or("0:1");
        let (width, height) = text.split_once(':').unwrap_or(("0", "1"));
        PixelAspect::new(width.parse().unwrap_or(0), height.parse().unwrap_or(0))
    }

    fn bit_depth(&self) -> u8 {
        let format = self.pix_fmt.as_deref().unwrap_or_default();
        let has = |depth: &str| {
            format.contains(&format!("p{depth}")) || format.contains(&format!("p0{depth}"))
        };
        [("10", 10), ("12", 12), ("14", 14), ("16", 16), ("9", 9)]
            .into_iter()
            .find_map(|(text, depth)| has(text).then_some(depth))
            .unwrap_or(8)
    }

    /// Names of FFmpeg as code points of H.273.
    fn colour(&self) -> Colour {
        let code = |name: &Option<String>, codes: &[(&str, u8)]| {
            let known = codes
                .iter()
                .find(|(known, _)| Some(*known) == name.as_deref());
            known.map_or(2, |(_, code)| *code)
        };
        let full_format = self
            .pix_fmt
            .as_deref()
            .is_some_and(|format| format.starts_with("yuvj"));
        Colour {
            primaries: code(
                &self.color_primaries,
                &[
                    ("bt709", 1),
                    ("bt470m", 4),
                    ("bt470bg", 5),
                    ("smpte170m", 6),
                    ("smpte240m", 7),
                    ("bt2020", 9),
                    ("smpte431", 11),
                    ("smpte432", 12),
                ],
            ),
            transfer: code(
                &self.color_transfer,
                &[
                    ("bt709", 1),
                    ("bt470m", 4),
                    ("bt470bg", 5),
                    ("smpte170m", 6),
                    ("smpte240m", 7),
                    ("linear", 8),
                    ("iec61966-2-1", 13),
                    ("bt2020-10", 14),
                    ("bt2020-12", 15),
                    ("smpte2084", 16),
                    ("arib-std-b67", 18),
                ],
            ),
            matrix: code(
                &self.color_space,
                &[
                    ("gbr", 0),
                    ("bt709", 1),
                    ("fcc", 4),
                    ("bt470bg", 5),
                    ("smpte170m", 6),
                    ("smpte240m", 7),
                    ("bt2020nc", 9),
                    ("bt2020c", 10),
                ],
            ),
            full_range: full_format || self.color_range.as_deref() == Some("pc"),
        }
    }
}

fn number(text: &Option<String>) -> Option<f64> {
    text.as_ref()?
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
}

fn container(name: &str) -> Container {
    match name {
        "matroska,webm" => Container::Matroska,
        "avi" => Container::Avi,
        "mpegts" => Container::MpegTs,
        _ => Container::Mp4,
    }
}

fn pretty(codec: &str) -> String {
    let name = match codec {
        "h264" => "H.264",
        "hevc" => "HEVC",
        "av1" => "AV1",
        "vp8" => "VP8",
        "vp9" => "VP9",
        "vvc" => "VVC",
        "prores" => "ProRes",
        "mjpeg" => "Motion JPEG",
        "mpeg4" => "MPEG-4 Part 2",
        "mpeg2video" => "MPEG-2",
        "aac" => "AAC",
        "opus" => "Opus",
        "vorbis" => "Vorbis",
        "mp3" => "MP3",
        "ac3" => "AC-3",
        "eac3" => "E-AC-3",
        "flac" => "FLAC",
        other if other.starts_with("pcm_") => "PCM",
        other => return other.to_owned(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DynamicRange;

    #[test]
    fn a_phones_hdr_clip_is_understood() {
        let report: Report = serde_json::from_str(
            r#"{"streams": [
                {"codec_type": "audio", "codec_name": "aac", "channels": 2, "sample_rate": "48000", "duration": "2.0"},
                {"codec_type": "video", "codec_name": "mjpeg", "width": 9, "height": 9, "disposition": {"attached_pic": 1}},
                {"codec_type": "video", "codec_name": "hevc", "profile": "Main 10", "width": 1920, "height": 1080,
                 "sample_aspect_ratio": "1:1", "pix_fmt": "yuv420p10le", "color_range": "tv", "color_space": "bt2020nc",
                 "color_transfer": "arib-std-b67", "color_primaries": "bt2020", "field_order": "progressive",
                 "avg_frame_rate": "30000/1001", "r_frame_rate": "120/1", "duration": "2.002", "nb_frames": "60",
                 "side_data_list": [{"side_data_type": "DOVI"}, {"rotation": -90}]}
            ], "format": {"format_name": "mov,mp4,m4a,3gp,3g2,mj2", "duration": "2.002"}}"#,
        )
        .unwrap();
        let info = report.describe(Path::new("a.mov")).unwrap();
        assert_eq!((info.width, info.height, info.frames), (1080, 1920, 60));
        assert_eq!(
            (info.dynamic_range, info.bit_depth),
            (DynamicRange::Hlg, 10)
        );
        assert_eq!(info.orientation.clockwise_degrees, 90);
        assert_eq!(info.fps.unwrap().to_string(), "30000/1001");
        assert_eq!(info.audio.unwrap().codec, "AAC");
    }

    #[test]
    fn a_file_of_sound_has_no_pictures() {
        let report: Report =
            serde_json::from_str(r#"{"streams": [{"codec_type": "audio"}]}"#).unwrap();
        assert!(matches!(
            report.describe(Path::new("a")),
            Err(Error::Ffmpeg { .. })
        ));
    }
}
