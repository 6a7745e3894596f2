//! Frames that are given beside the latents, to models that make all of a clip and look at what is known of it.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_media::{Frame, resize};
use kinora_models::{GivenClip, GivenFrame};

use crate::Error;
use crate::frames::tensor_from_frames;

/// What a model is shown of a take. All of it has the model's size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// Given frames by their place.
    pub frames: BTreeMap<usize, Shown>,
    /// Pictures of what is to be seen.
    pub references: Vec<Frame>,
}

/// A given frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// What it shows.
    pub picture: Frame,
    /// Which of its pixels are made anew, row by row; `None` is none of them.
    pub made: Option<Vec<bool>>,
}

impl From<Frame> for Shown {
    fn from(picture: Frame) -> Self {
        Self {
            picture,
            made: None,
        }
    }
}

impl Beside {
    /// Nothing is shown.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.references.is_empty()
    }

    /// Lets `look` see what is given of a clip of `frames` frames.
    pub(crate) fn with_clip<T>(
        &self,
        size: [usize; 2],
        frames: usize,
        device: &Device,
        look: impl FnOnce(&GivenClip<'_>) -> T,
    ) -> T {
        let tensor = |picture: &Frame| tensor_from_frames(std::slice::from_ref(picture), device);
        let frame = |place: usize| {
            self.frames.get(&place).map(|shown| GivenFrame {
                picture: tensor(&shown.picture),
                made: shown.made.as_ref().map(|made| pixels(made, size, device)),
            })
        };
        look(&GivenClip {
            size,
            frames,
            frame: &frame,
            references: self.references.iter().map(tensor).collect(),
        })
    }
}

/// `[1, 1, 1, height, width]`: 1 is to be made, 0 stays.
pub(crate) fn pixels(made: &[bool], [width, height]: [usize; 2], device: &Device) -> Tensor<5> {
    let values: Vec<f32> = made.iter().map(|&made| f32::from(u8::from(made))).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, 1, height, width]), device)
}

/// A picture of what is to be seen at the model's size: as large as it fits, in the middle of white.
///
/// # Errors
///
/// A size that no frame can have.
pub fn reference(picture: &Frame, size: [usize; 2]) -> Result<Frame, Error> {
    const WHITE: [u8; 3] = [255; 3];
    let [width, height] = size.map(|side| side as u32);
    let scale = f64::min(
        f64::from(width) / f64::from(picture.width()),
        f64::from(height) / f64::from(picture.height()),
    );
    let fitted = |side: u32, most: u32| ((f64::from(side) * scale) as u32).clamp(1, most);
    let (inner_width, inner_height) = (
        fitted(picture.width(), width),
        fitted(picture.height(), height),
    );
    let inner = resize(picture, inner_width, inner_height)?;
    let (left, top) = ((width - inner_width) / 2, (height - inner_height) / 2);
    let at = |x: u32, y: u32| {
        let inside = x.checked_sub(left).filter(|x| *x < inner_width);
        match (inside, y.checked_sub(top).filter(|y| *y < inner_height)) {
            (Some(x), Some(y)) => {
                let index = ((y * inner_width + x) * 3) as usize;
                let pixel = &inner.pixels()[index..index + 3];
                [pixel[0], pixel[1], pixel[2]]
            }
            _ => WHITE,
        }
    };
    Ok(Frame::from_fn(width, height, at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_keep_their_shape_in_white() {
        let picture = Frame::filled(20, 10, [200, 0, 0]).unwrap();
        let fitted = reference(&picture, [32, 32]).unwrap();
        let pixel = |x: usize, y: usize| &fitted.pixels()[(y * 32 + x) * 3..][..3];
        assert_eq!(fitted.size(), (32, 32));
        assert_eq!((pixel(0, 7), pixel(31, 24)), (&[255; 3][..], &[255; 3][..]));
        assert_eq!(
            (pixel(0, 8), pixel(31, 23)),
            (&[200, 0, 0][..], &[200, 0, 0][..])
        );
    }
}
