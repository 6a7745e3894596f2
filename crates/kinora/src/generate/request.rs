//! What is to be made: names chosen, defaults filled in, the place for the output proven.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kinora_media::{FrameRate, Quality, SinkOptions, open_sink};
use kinora_pipeline::Sampling;

use crate::args::GenerateArgs;
use crate::device::DeviceChoice;
use crate::name;
use crate::weights::ModelSource;

/// Seconds of a clip when nothing is said.
const DEFAULT_SECONDS: f64 = 4.0;
/// How long a clip is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// A single frame.
    Picture,
    /// As many frames as fit.
    Seconds(f64),
}

/// A clip to be made.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) prompt: String,
    pub(crate) negative: String,
    pub(crate) output: PathBuf,
    pub(crate) preview: Option<PathBuf>,
    pub(crate) overwrite: bool,
    /// Of the file: width and height in pixels.
    pub(crate) size: [u32; 2],
    pub(crate) length: Length,
    /// Of the file; the model's own where nothing was said.
    pub(crate) fps: Option<FrameRate>,
    pub(crate) quality: Quality,
    pub(crate) sampling: Sampling,
    pub(crate) model: ModelSource,
    pub(crate) device: DeviceChoice,
}

impl Request {
    /// What `args` mean.
    ///
    /// # Errors
    ///
    /// An output that could not be written later, and settings that contradict each other.
    pub(crate) fn resolve(args: GenerateArgs) -> Result<Self> {
        let output = match args.output {
            Some(output) => output,
            None => name::from_prompt(Path::new(""), &args.prompt, "mp4", args.preview),
        };
        let request = Self {
            length: length(&output, args.seconds)?,
            preview: args.preview.then(|| name::preview_of(&output)),
            output,
            prompt: args.prompt,
            negative: args.negative,
            overwrite: args.force,
            size: args.size,
            fps: args.fps,
            quality: Quality::new(args.quality)?,
            sampling: Sampling {
                // Short enough to be typed again.
                seed: args.seed.unwrap_or_else(|| rand::random::<u32>().into()),
                steps: args.steps,
                guidance: args.guidance,
                shift: args.shift,
            },
            model: args.model,
            device: args.device,
        };
        request.prove_output()?;
        Ok(request)
    }

    /// How the file is written, at `fps`.
    pub(crate) fn sink_options(&self, fps: FrameRate) -> SinkOptions {
        let [width, height] = self.size;
        SinkOptions {
            overwrite: self.overwrite,
            quality: self.quality,
            ..SinkOptions::new(width, height, fps)
        }
    }

    /// Opens the outputs and drops them: what can be refused is refused before the work and not after it.
    fn prove_output(&self) -> Result<()> {
        let options = self.sink_options(self.fps.unwrap_or(FrameRate::whole(12)?));
        drop(open_sink(&self.output, &options)?);
        if let Some(preview) = &self.preview {
            drop(open_sink(preview, &options).context("cannot write the preview")?);
        }
        Ok(())
    }
}

/// The name of the output and `--seconds` together say how long the clip is.
fn length(output: &Path, seconds: Option<f64>) -> Result<Length> {
    let is_picture = output.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("jpg") || extension.eq_ignore_ascii_case("jpeg")
    });
    match (is_picture, seconds) {
        (true, None) => Ok(Length::Picture),
        (true, Some(_)) => bail!(
            "{} is a single picture, which has no length: leave out --seconds, or end the name with .png for one \
             picture per frame",
            output.display()
        ),
        (false, seconds) => Ok(Length::Seconds(seconds.unwrap_or(DEFAULT_SECONDS))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_is_one_picture() {
        assert_eq!(length(Path::new("a.JPG"), None).unwrap(), Length::Picture);
        assert_eq!(
            length(Path::new("a.mp4"), None).unwrap(),
            Length::Seconds(4.0)
        );
        assert_eq!(
            length(Path::new("a.png"), Some(2.0)).unwrap(),
            Length::Seconds(2.0)
        );
        let error = length(Path::new("a.jpg"), Some(2.0))
            .unwrap_err()
            .to_string();
        assert!(error.contains("leave out --seconds"), "{error}");
    }
}
