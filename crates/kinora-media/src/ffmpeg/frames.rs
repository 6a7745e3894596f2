//! Frames from FFmpeg, as they are asked for.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use yuv::YuvStandardMatrix;

use super::tools::input;
use super::{Demuxer, Tools};
use crate::geometry::check_video_size;
use crate::hdr::ToneMap;
use crate::source::TimedFrame;
use crate::{Colour, DynamicRange, Error, Frame, FrameRate, MediaInfo, Orientation, Result};

/// How much before a moment FFmpeg is told to begin, in seconds: the frame that is shown then may have begun earlier.
const LEAD_SECS: f64 = 1.0;

/// The lines of complaint that are kept.
const KEPT_LINES: usize = 4;

/// The longest line that is listened to.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// The frames of a clip in the order in which they are shown.
pub(crate) struct FfmpegFrames {
    path: PathBuf,
    running: Running,
    /// As they come: with square pixels, but not yet upright.
    size: (u32, u32),
    orientation: Orientation,
    tone_map: Option<ToneMap>,
    fps: Option<FrameRate>,
    /// The moment that FFmpeg calls 0.
    origin_secs: f64,
    /// The frame that was read and whose end is not known yet.
    held: Option<(Frame, f64)>,
    read: u64,
    ended: bool,
}

/// The process and what it tells. It ends when this is dropped.
struct Running {
    child: Child,
    pixels: Option<ChildStdout>,
    times: Receiver<Option<f64>>,
    listener: Option<JoinHandle<VecDeque<String>>>,
}

impl FfmpegFrames {
    /// Starts FFmpeg on `path`, which holds `info`, so that the frame shown at `from_secs` is among the first.
    pub(crate) fn open(
        tools: &Tools,
        path: &Path,
        demuxer: Demuxer,
        info: &MediaInfo,
        from_secs: f64,
    ) -> Result<Self> {
        check_video_size((info.width, info.height))?;
        // Turning swaps the sides, and turning back does the same.
        let size = info.orientation.shown_size((info.width, info.height));
        let tone_map = ToneMap::new(info.dynamic_range);
        let origin_secs = (from_secs - LEAD_SECS).max(0.0);
        let mut command = tools.ffmpeg();
        if origin_secs > 0.0 {
            command.args(["-ss", &format!("{origin_secs:.6}")]);
        }
        // It would turn them before the filters, and lines of fields would stand upright.
        command.arg("-noautorotate");
        input(&mut command, demuxer, path);
        command.args([
            "-map",
            "0:V:0",
            "-an",
            "-sn",
            "-dn",
            "-vf",
            &filters(info, size),
        ]);
        command
            .args(tools.passthrough)
            .args(["-f", "rawvideo", "pipe:1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = command
            .spawn()
            .map(Running::new)
            .map_err(|error| Error::Ffmpeg {
                path: path.into(),
                what: error.to_string(),
            })?;
        Ok(Self {
            path: path.into(),
            running,
            size,
            orientation: info.orientation,
            tone_map,
            fps: info.fps,
            origin_secs,
            held: None,
            read: 0,
            ended: false,
        })
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<TimedFrame>> {
        if self.held.is_none() {
            self.held = self.read_frame()?;
        }
        let Some((frame, time_secs)) = self.held.take() else {
            return Ok(None);
        };
        self.held = self.read_frame()?;
        let frame_secs = self.fps.map_or(0.0, |fps| fps.duration_secs(1));
        let duration_secs = match &self.held {
            Some((_, next)) => (next - time_secs).max(0.0),
            None => frame_secs,
        };
        Ok(Some(TimedFrame {
            frame,
            time_secs,
            duration_secs,
        }))
    }

    fn read_frame(&mut self) -> Result<Option<(Frame, f64)>> {
        if self.ended {
            return Ok(None);
        }
        let (width, height) = self.size;
        let bytes = Frame::byte_len(width, height)? * if self.tone_map.is_some() { 2 } else { 1 };
        let mut pixels = Vec::with_capacity(bytes);
        if let Some(pipe) = &mut self.running.pixels {
            pipe.take(bytes as u64)
                .read_to_end(&mut pixels)
                .map_err(|error| Error::reading(&self.path, error))?;
        }
        if pixels.len() < bytes {
            return self.end(pixels.is_empty());
        }
        let frame = match &self.tone_map {
            Some(tone_map) => tone_map.apply(width, height, &pixels)?,
            None => Frame::new(width, height, pixels)?,
        };
        let frame = self.orientation.apply(frame)?;
        // A frame's time is told before its pixels come.
        let told = self.running.times.recv().ok().flatten();
        let steady = self.fps.map_or(0.0, |fps| fps.duration_secs(self.read));
        self.read += 1;
        Ok(Some((frame, self.origin_secs + told.unwrap_or(steady))))
    }

    fn end(&mut self, whole: bool) -> Result<Option<(Frame, f64)>> {
        self.ended = true;
        let (succeeded, said) = self.running.finish();
        if succeeded && whole && self.read > 0 {
            return Ok(None);
        }
        let what = match said.is_empty() {
            true => "it gives no more frames".to_owned(),
            false => said,
        };
        Err(Error::Ffmpeg {
            path: self.path.clone(),
            what,
        })
    }
}

/// What happens to each frame, which gets `width` and `height`.
fn filters(info: &MediaInfo, (width, height): (u32, u32)) -> String {
    let colour = info.colour.unwrap_or(Colour::UNSPECIFIED);
    let matrix = match colour.decoding_matrix(height) {
        YuvStandardMatrix::Bt709 => "bt709",
        YuvStandardMatrix::Fcc => "fcc",
        YuvStandardMatrix::Smpte240 => "smpte240m",
        YuvStandardMatrix::Bt2020 => "bt2020",
        _ => "bt601",
    };
    let range = if colour.full_range { "full" } else { "limited" };
    let deinterlace = if info.interlaced {
        "yadif=deint=interlaced,"
    } else {
        ""
    };
    let format = match info.dynamic_range {
        DynamicRange::Standard => "rgb24",
        DynamicRange::Pq | DynamicRange::Hlg => "rgb48le",
    };
    format!(
        "{deinterlace}scale=w={width}:h={height}:flags=bicubic+accurate_rnd+full_chroma_int:in_color_matrix={matrix}:in_range={range},\
         format={format},showinfo"
    )
}

impl Running {
    fn new(mut child: Child) -> Self {
        let (sender, times) = mpsc::channel();
        let pixels = child.stdout.take();
        let listener = child
            .stderr
            .take()
            .map(|told| std::thread::spawn(move || listen(told, &sender)));
        Self {
            child,
            pixels,
            times,
            listener,
        }
    }

    /// Waits for the end. Answers whether it went well, and what was said.
    fn finish(&mut self) -> (bool, String) {
        self.pixels = None;
        let succeeded = self.child.wait().is_ok_and(|status| status.success());
        let said = self
            .listener
            .take()
            .and_then(|listener| listener.join().ok());
        (succeeded, Vec::from(said.unwrap_or_default()).join("; "))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.finish();
    }
}

/// Hears the time of each frame, and keeps the last complaints.
fn listen(told: ChildStderr, times: &Sender<Option<f64>>) -> VecDeque<String> {
    let mut told = BufReader::new(told);
    let mut complaints = VecDeque::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        match told
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return complaints,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(time) = shown_at(&text) {
            // Nobody may be there any more to hear it.
            let _ = times.send(time);
        } else if ["[error]", "[fatal]", "[panic]"]
            .iter()
            .any(|level| text.contains(level))
        {
            complaints.push_back(text.trim().to_owned());
            if complaints.len() > KEPT_LINES {
                complaints.pop_front();
            }
        }
    }
}

/// The time in a line of the filter `showinfo`: `[Parsed_showinfo_2 @ 0x5] [info] n: 3 pts: 4 pts_time:0.16 …`. The time of a frame
/// without one is `None`.
fn shown_at(line: &str) -> Option<Option<f64>> {
    let rest = line.strip_prefix("[Parsed_showinfo")?;
    let (_, after) = rest.split_once(" pts_time:")?;
    Some(after.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_heard_among_other_lines() {
        let line = "[Parsed_showinfo_2 @ 0x55d] [info] n:   3 pts:   2048 pts_time:0.16     pos: 5 fmt:rgb24 sar:1/1";
        assert_eq!(shown_at(line), Some(Some(0.16)));
        assert_eq!(
            shown_at("[Parsed_showinfo_2 @ 0x1] [info] n: 0 pts:NOPTS pts_time:NOPTS pos: 5"),
            Some(None)
        );
        assert_eq!(
            shown_at("[Parsed_showinfo_2 @ 0x1] [info] config in time_base: 1/12800"),
            None
        );
        assert_eq!(shown_at("[mov @ 0x1] [error] pts_time: 7"), None);
    }
}
