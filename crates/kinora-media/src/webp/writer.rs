//! Frames to an animated WebP that plays forever.
//!
//! libwebp keeps a whole animation in memory until its end. So it gets segments of some frames, and the chunks of each finished
//! segment are moved into the file. The encoder cannot change threads; it lives on one of its own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde_json::Value;
use webp_animation::{ColorMode, Encoder, EncoderOptions, EncodingConfig};

use super::chunks::{chunk, chunks};
use super::xmp;
use crate::atomic::OutputFile;
use crate::sink::{Backend, SinkOptions, Written};
use crate::{Error, Frame, FrameRate, Result};

/// Frames that libwebp holds at a time, compressed.
const SEGMENT_FRAMES: u64 = 24;

/// Frames that wait for the encoder's thread.
const QUEUE_FRAMES: usize = 2;

/// Browsers slow down frames of 10 ms and less.
const MAX_FPS: u32 = 90;

/// Flags of the file.
const ANIMATED: u8 = 0b10;
const XMP: u8 = 0b100;
const ALPHA: u8 = 0b1_0000;

/// Flag of a frame: it replaces what is under it.
const NO_BLENDING: u8 = 0b10;

const LIMIT: &str = "sides up to 16383 pixels";

/// RIFF counts its bytes with 32 bits.
const MAX_BYTES: u64 = u32::MAX as u64 - 1;

/// Hands frames to the thread that encodes.
pub(crate) struct WebpSink {
    /// `None` once all frames are in.
    frames: Option<SyncSender<Frame>>,
    /// `None` once its result is taken.
    encoder: Option<JoinHandle<Result<Animation>>>,
}

impl WebpSink {
    pub(crate) fn open(path: &Path, options: &SinkOptions) -> Result<Self> {
        let (width, height, fps) = (options.width, options.height, options.fps);
        if width > 16_383 || height > 16_383 {
            return Err(Error::SizeLimit {
                format: "WebP",
                width,
                height,
                limit: LIMIT,
            });
        }
        if fps.as_f64() > f64::from(MAX_FPS) {
            return Err(Error::FrameRateLimit {
                format: "WebP",
                fps,
                max: MAX_FPS,
            });
        }
        let animation = Animation {
            path: path.into(),
            file: OutputFile::create(path, options.overwrite)?,
            size: (width, height),
            fps,
            quality: f32::from(options.quality.get()),
            recipe: options.recipe.clone(),
            frames: 0,
            bytes: 0,
            flags: 0,
        };
        let (sender, receiver) = sync_channel(QUEUE_FRAMES);
        let encoder = std::thread::Builder::new()
            .name("webp".into())
            .spawn(move || animation.encode(&receiver))
            .map_err(|error| Error::writing(path, error))?;
        Ok(Self {
            frames: Some(sender),
            encoder: Some(encoder),
        })
    }

    /// Ends the input and waits for what came of it.
    fn join(&mut self) -> Result<Animation> {
        self.frames = None;
        let gone = || Error::encoder("WebP", "its thread ended");
        self.encoder
            .take()
            .ok_or_else(gone)?
            .join()
            .map_err(|_| gone())?
    }
}

impl Backend for WebpSink {
    fn push(&mut self, frame: &Frame) -> Result<()> {
        let sent = self
            .frames
            .as_ref()
            .is_some_and(|frames| frames.send(frame.clone()).is_ok());
        // The thread only ends early with an error.
        if sent {
            Ok(())
        } else {
            self.join().map(|_| ())
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Written> {
        let animation = self.join()?;
        let bytes = animation.file.commit()?;
        Ok(Written {
            path: animation.path,
            frames: animation.frames,
            bytes,
        })
    }
}

impl Drop for WebpSink {
    /// The temporary file is gone when the sink is.
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// The file as it grows.
struct Animation {
    path: PathBuf,
    file: OutputFile,
    size: (u32, u32),
    fps: FrameRate,
    quality: f32,
    recipe: Option<Value>,
    frames: u64,
    bytes: u64,
    flags: u8,
}

impl Animation {
    fn encode(mut self, frames: &Receiver<Frame>) -> Result<Self> {
        let Some(first) = self.encode_segment(frames)? else {
            return Ok(self);
        };
        let animated = self.frames > 1;
        self.write(&header(0, self.size, 0))?;
        if animated {
            // Endlessly repeated, on white.
            self.write(&chunk(b"ANIM", &[255, 255, 255, 255, 0, 0]))?;
            self.write_segment(&first)?;
            while let Some(segment) = self.encode_segment(frames)? {
                self.write_segment(&segment)?;
            }
        } else {
            self.write_still(&first)?;
        }
        if let Some(recipe) = &self.recipe {
            let words = chunk(b"XMP ", xmp::packet(recipe).as_bytes());
            self.write(&words)?;
            self.flags |= XMP;
        }
        self.flags |= if animated { ANIMATED } else { 0 };
        self.file
            .patch(0, &header(self.bytes - 8, self.size, self.flags))?;
        Ok(self)
    }

    /// The next frames as a file of their own; `None` if there are none.
    fn encode_segment(&mut self, frames: &Receiver<Frame>) -> Result<Option<Vec<u8>>> {
        let Ok(first) = frames.recv() else {
            return Ok(None);
        };
        let failed = |error| Error::encoder("WebP", error);
        let mut encoder = Encoder::new_with_options(self.size, self.options()).map_err(failed)?;
        let start = self.frames;
        let mut next = Some(first);
        while let Some(frame) = next {
            encoder
                .add_frame(frame.pixels(), self.millis(start, self.frames))
                .map_err(failed)?;
            self.frames += 1;
            let full = self.frames - start == SEGMENT_FRAMES;
            next = if full { None } else { frames.recv().ok() };
        }
        let webp = encoder
            .finalize(self.millis(start, self.frames))
            .map_err(failed)?;
        Ok(Some(webp.to_vec()))
    }

    fn options(&self) -> EncoderOptions {
        EncoderOptions {
            kmin: 9,
            kmax: 17,
            color_mode: ColorMode::Rgb,
            encoding_config: Some(EncodingConfig::new_lossy(self.quality)),
            ..EncoderOptions::default()
        }
    }

    /// When frame `index` begins, in milliseconds since frame `start`.
    fn millis(&self, start: u64, index: u64) -> i32 {
        (self.fps.ticks_at(index, 1000) - self.fps.ticks_at(start, 1000)) as i32
    }

    /// Moves the frames of a segment into the file.
    fn write_segment(&mut self, webp: &[u8]) -> Result<()> {
        for (kind, payload) in chunks(webp) {
            match &kind {
                b"VP8X" => self.flags |= payload.first().map_or(0, |flags| flags & ALPHA),
                b"ANMF" => self.write(&chunk(b"ANMF", payload))?,
                // A segment in which nothing moves comes as a still.
                b"VP8 " | b"VP8L" => self.write_held(&chunk(&kind, payload))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes a picture that is shown for the whole of the last segment.
    fn write_held(&mut self, picture: &[u8]) -> Result<()> {
        let start = (self.frames - 1) / SEGMENT_FRAMES * SEGMENT_FRAMES;
        let (width, height) = self.size;
        let millis = self.millis(start, self.frames) as u32;
        let mut payload = vec![0; 6];
        payload.extend([width - 1, height - 1, millis].map(three_bytes).concat());
        payload.push(NO_BLENDING);
        payload.extend(picture);
        self.write(&chunk(b"ANMF", &payload))
    }

    /// Writes the only frame as the still picture that it is.
    fn write_still(&mut self, webp: &[u8]) -> Result<()> {
        let is_picture = |kind: &[u8; 4]| matches!(kind, b"VP8 " | b"VP8L");
        let alone = chunks(webp).find(|(kind, _)| is_picture(kind));
        // In a file chunks begin after 12 bytes, and in a frame after 16.
        let in_frame = || {
            let (_, frame) = chunks(webp).find(|(kind, _)| kind == b"ANMF")?;
            chunks(frame.get(4..)?).find(|(kind, _)| is_picture(kind))
        };
        let picture = alone.or_else(in_frame);
        let (kind, payload) =
            picture.ok_or_else(|| Error::encoder("WebP", "it made no picture"))?;
        self.write(&chunk(&kind, payload))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(Error::encoder(
                "WebP",
                "the file grows beyond 4 GiB: write an .mp4",
            ));
        }
        self.file.write(bytes)
    }
}

/// The file's header: everything before `ANIM` or the picture.
fn header(riff_bytes: u64, (width, height): (u32, u32), flags: u8) -> Vec<u8> {
    let mut canvas = vec![flags, 0, 0, 0];
    canvas.extend([width - 1, height - 1].map(three_bytes).concat());
    let riff_bytes = riff_bytes as u32;
    [
        b"RIFF",
        &riff_bytes.to_le_bytes()[..],
        b"WEBP",
        &chunk(b"VP8X", &canvas),
    ]
    .concat()
}

fn three_bytes(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.to_le_bytes();
    [a, b, c]
}
