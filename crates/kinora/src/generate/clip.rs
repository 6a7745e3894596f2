//! Frames of the model, fitted to the file and written as they come.

use kinora_media::{
    Frame, Result, SheetOptions, SinkOptions, VideoSink, Written, contact_sheet, open_sink, resize,
    resize_to_cover, write_picture,
};
use kinora_models::Description;

use super::plan::Plan;
use super::recipe::recipe;
use super::request::Request;

/// Pictures of a preview, and how many stand in a row.
const PREVIEW_PICTURES: usize = 12;
const PREVIEW_COLUMNS: u32 = 4;
/// Widest picture of a preview, in pixels.
const PREVIEW_WIDTH: u32 = 320;

/// A clip that is being written.
pub(crate) struct Clip<'a> {
    request: &'a Request,
    plan: &'a Plan,
    sink: VideoSink,
    /// Frames that came from the model.
    received: usize,
    /// Small pictures for the preview.
    pictures: Vec<Frame>,
}

impl<'a> Clip<'a> {
    pub(crate) fn open(request: &'a Request, plan: &'a Plan, about: &Description) -> Result<Self> {
        let options = SinkOptions {
            recipe: Some(recipe(request, plan, about)),
            ..request.sink_options(plan.fps)
        };
        Ok(Self {
            request,
            plan,
            sink: open_sink(&request.output, &options)?,
            received: 0,
            pictures: Vec::new(),
        })
    }

    /// Takes the model's next frame.
    pub(crate) fn push(&mut self, frame: &Frame) -> Result<()> {
        let index = self.received;
        self.received += 1;
        let is_previewed = self.request.preview.is_some() && is_previewed(index, self.plan.frames);
        if !self.is_next(index) && !is_previewed {
            return Ok(());
        }
        let [width, height] = self.request.size;
        let fitted = resize_to_cover(frame, width, height)?;
        while self.is_next(index) {
            self.sink.push(&fitted)?;
        }
        if is_previewed {
            let small = width.min(PREVIEW_WIDTH);
            let small_height =
                (u64::from(height) * u64::from(small)).div_ceil(u64::from(width)) as u32;
            self.pictures.push(resize(&fitted, small, small_height)?);
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

    /// Whether the file's next frame shows frame `index` of the model.
    fn is_next(&self, index: usize) -> bool {
        let next = self.sink.frames();
        next < self.plan.file_frames() && self.plan.model_frame(next) == index
    }
}

/// Previewed frames are spread evenly over the clip, its first and last among them.
fn is_previewed(index: usize, frames: usize) -> bool {
    let pictures = frames.min(PREVIEW_PICTURES);
    (0..pictures).any(|picture| picture * (frames - 1) / (pictures - 1).max(1) == index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_show_the_whole_clip() {
        for frames in [1, 2, 11, 12, 13, 48, 7200] {
            let shown: Vec<usize> = (0..frames)
                .filter(|&index| is_previewed(index, frames))
                .collect();
            assert_eq!(shown.len(), frames.min(PREVIEW_PICTURES), "{frames}");
            assert_eq!((shown[0], shown[shown.len() - 1]), (0, frames - 1));
        }
    }
}
