//! Frames written as they come, and the preview beside them.

use kinora_media::FrameRate;
use kinora_media::{
    Frame, Result, SheetOptions, SinkOptions, VideoSink, Written, contact_sheet, open_sink, resize,
    write_picture,
};
use serde_json::Value;

use super::request::Request;
use super::sound::Sound;

/// Pictures of a preview, and how many stand in a row.
const PREVIEW_PICTURES: u64 = 12;
const PREVIEW_COLUMNS: u32 = 4;
/// Widest picture of a preview, in pixels.
const PREVIEW_WIDTH: u32 = 320;

/// A clip that is being written.
pub(crate) struct Clip<'a> {
    request: &'a Request,
    sink: VideoSink,
    /// Frames of the file.
    frames: u64,
    /// Small pictures for the preview.
    pictures: Vec<Frame>,
}

impl<'a> Clip<'a> {
    /// Opens the file for `frames` frames, with this sound.
    pub(crate) fn open(
        request: &'a Request,
        fps: FrameRate,
        frames: u64,
        recipe: Value,
        sound: Option<&Sound>,
    ) -> Result<Self> {
        let options = SinkOptions {
            recipe: Some(recipe),
            ..request.sink_options(fps)
        };
        let mut sink = open_sink(&request.output, &options)?;
        if let Some(Sound { clip, secs }) = sound {
            sink.copy_audio(clip, secs.clone())?;
        }
        Ok(Self {
            request,
            sink,
            frames,
            pictures: Vec::new(),
        })
    }

    /// Writes the next frame.
    pub(crate) fn push(&mut self, frame: &Frame) -> Result<()> {
        let index = self.sink.frames();
        self.sink.push(frame)?;
        if self.request.preview.is_some() && is_previewed(index, self.frames) {
            let (width, height) = frame.size();
            let small = width.min(PREVIEW_WIDTH);
            let small_height =
                (u64::from(height) * u64::from(small)).div_ceil(u64::from(width)) as u32;
            self.pictures.push(resize(frame, small, small_height)?);
        }
        Ok(())
    }

    /// Completes the file, and the preview if there is one.
    pub(crate) fn finish(self) -> Result<Written> {
        let written = self.sink.finish()?;
        if let Some(preview) = &self.request.preview {
            let sheet = contact_sheet(&self.pictures, &SheetOptions::new(PREVIEW_COLUMNS))?;
            write_picture(preview, &sheet, self.request.overwrite)?;
        }
        Ok(written)
    }
}

/// Previewed frames are spread evenly over the clip, its first and last among them.
fn is_previewed(index: u64, frames: u64) -> bool {
    let pictures = frames.min(PREVIEW_PICTURES);
    (0..pictures).any(|picture| picture * (frames - 1) / (pictures - 1).max(1) == index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_show_the_whole_clip() {
        for frames in [1, 2, 11, 12, 13, 48, 7200] {
            let shown: Vec<u64> = (0..frames)
                .filter(|&index| is_previewed(index, frames))
                .collect();
            assert_eq!(shown.len() as u64, frames.min(PREVIEW_PICTURES), "{frames}");
            assert_eq!((shown[0], shown[shown.len() - 1]), (0, frames - 1));
        }
    }
}
