//! A region of a clip: white is to be made, black stays as it is given.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_media::{Frame, FrameRate, FramesAt, open_source, resize};

use crate::Error;
use crate::reel::{OpenClip, fit_given};

/// From this brightness on a mask is white.
const WHITE: u8 = 128;
/// Width of the soft edge, as a part of the shorter side; it lies inside the white.
const FEATHER: u32 = 48;
/// How far the shape of a mask may be from that of the clip: what rounding to whole pixels does.
const SHAPE_TOLERANCE: f64 = 0.02;

/// Where the masks come from: a picture for all frames, or a clip.
pub struct Mask {
    path: PathBuf,
    frames: FramesAt,
    /// The frame that is valid now: true is white. The last one stays.
    now: Option<Painted>,
    is_still: bool,
    /// Whether the first frame, which is read when the mask is opened, was asked for.
    begun: bool,
}

/// A mask, pixel by pixel.
pub(crate) struct Painted {
    size: [u32; 2],
    white: Vec<bool>,
}

impl Painted {
    fn of(frame: &Frame) -> Self {
        let bright = |pixel: &[u8]| pixel.iter().map(|&c| u32::from(c)).sum::<u32>() / 3;
        Self {
            size: frame.size().into(),
            white: frame
                .pixels()
                .chunks_exact(3)
                .map(|pixel| bright(pixel) >= u32::from(WHITE))
                .collect(),
        }
    }

    /// 1 for each latent of which a part is white, 0 for the others: `[1, 1, 1, rows, columns]`.
    pub(crate) fn latents(&self, grid: [usize; 2], device: &Device) -> Tensor<5> {
        let [rows, columns] = grid;
        let [width, height] = self.size.map(|side| side as usize);
        let mut values = vec![0.0_f32; rows * columns];
        for (index, _) in self.white.iter().enumerate().filter(|(_, white)| **white) {
            let (x, y) = (index % width, index / width);
            values[y * rows / height * columns + x * columns / width] = 1.0;
        }
        Tensor::from_data(TensorData::new(values, [1, 1, 1, rows, columns]), device)
    }

    /// Whether each pixel of a frame of this size, row by row, is white, be it in part.
    pub(crate) fn pixels(&self, [columns, rows]: [usize; 2]) -> Vec<bool> {
        let [width, height] = self.size.map(|side| side as usize);
        let part = |index: usize, from: usize, to: usize| {
            let first = index * from / to;
            first..((index + 1) * from / to).max(first + 1)
        };
        let is_white = |column: usize, row: usize| {
            part(row, height, rows).any(|y| {
                let pixels = part(column, width, columns);
                self.white[y * width + pixels.start..y * width + pixels.end].contains(&true)
            })
        };
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (column, row)))
            .map(|(column, row)| is_white(column, row))
            .collect()
    }

    /// How much of the made frame is seen at each pixel: all of it deep in the white, nothing outside.
    fn opacity(&self, size: [u32; 2]) -> Result<Vec<f32>, Error> {
        let [width, height] = self.size;
        let pixels = self
            .white
            .iter()
            .flat_map(|&white| [u8::from(white) * 255; 3]);
        let frame = Frame::new(width, height, pixels.collect())?;
        let fitted = Self::of(&resize(&frame, size[0], size[1])?);
        let [width, height] = size.map(|side| side as usize);
        let reach = (size[0].min(size[1]) / FEATHER).max(1) as usize;
        let hard: Vec<f32> = fitted
            .white
            .iter()
            .map(|&white| f32::from(u8::from(white)))
            .collect();
        let across = blurred(&hard, [width, height], reach);
        let down = transposed(
            &blurred(&transposed(&across, width), [height, width], reach),
            height,
        );
        let inside = |(soft, hard): (f32, f32)| (2.0 * soft - 1.0).max(0.0) * hard;
        Ok(down.into_iter().zip(hard).map(inside).collect())
    }
}

/// Means over `2 · reach + 1` values along rows of `width`; rows end as they begin.
fn blurred(values: &[f32], [width, _]: [usize; 2], reach: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        let at = |index: isize| row[index.clamp(0, width as isize - 1) as usize];
        let reach = reach as isize;
        let mut sum: f32 = (-reach..=reach).map(at).sum();
        for x in 0..width as isize {
            out.push(sum / (2 * reach + 1) as f32);
            sum += at(x + reach + 1) - at(x - reach);
        }
    }
    out
}

fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let height = values.len() / width;
    (0..width)
        .flat_map(|x| (0..height).map(move |y| values[y * width + x]))
        .collect()
}

impl Mask {
    /// Opens a mask for a clip of this size.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, [`Error::MaskShape`], [`Error::EmptyMask`] for a picture without white.
    pub fn open(path: PathBuf, clip_size: [u32; 2], fps: FrameRate) -> Result<Self, Error> {
        let source = open_source(&path)?;
        let info = source.info();
        let got = [info.width, info.height];
        let shape = |[width, height]: [u32; 2]| f64::from(width) / f64::from(height);
        if (shape(got) / shape(clip_size)).ln().abs() > SHAPE_TOLERANCE {
            return Err(Error::MaskShape {
                path,
                got,
                clip: clip_size,
            });
        }
        let mut mask = Self {
            is_still: info.fps.is_none(),
            path,
            frames: source.frames_at(fps),
            now: None,
            begun: false,
        };
        mask.read()?;
        let is_black = |mask: &Painted| !mask.white.contains(&true);
        if mask.now.as_ref().is_none_or(is_black) && mask.is_still {
            return Err(Error::EmptyMask { path: mask.path });
        }
        Ok(mask)
    }

    fn read(&mut self) -> Result<(), Error> {
        if let Some(frame) = self.frames.next() {
            self.now = Some(Painted::of(&frame?));
        }
        Ok(())
    }

    /// The mask of the next frame. A picture, and a clip that is over, stays what it was.
    pub(crate) fn next(&mut self) -> Result<&Painted, Error> {
        if self.begun && !self.is_still {
            self.read()?;
        }
        self.begun = true;
        self.now.as_ref().ok_or_else(|| Error::EmptyMask {
            path: self.path.clone(),
        })
    }
}

/// Made frames laid over those of a given clip.
pub struct Region {
    clip: OpenClip,
    mask: Mask,
    opacity: Vec<f32>,
}

impl Region {
    /// Both from their first frame on, at the file's rate.
    ///
    /// # Errors
    ///
    /// A clip or a mask that cannot be read.
    pub fn open(clip: PathBuf, mask: Mask, fps: FrameRate) -> Result<Self, Error> {
        Ok(Self {
            clip: OpenClip::open(clip, fps)?,
            mask,
            opacity: Vec::new(),
        })
    }

    /// The next given frame with `made` over it where the mask is white, both of this size.
    ///
    /// # Errors
    ///
    /// A clip or a mask that cannot be read.
    pub fn lay(&mut self, made: &Frame, size: [u32; 2]) -> Result<Frame, Error> {
        let mut frame = fit_given(&self.clip.frame()?, size)?;
        if self.opacity.is_empty() || !self.mask.is_still {
            self.opacity = self.mask.next()?.opacity(size)?;
        }
        let pixels = frame.pixels_mut().chunks_exact_mut(3);
        let made = made.pixels().chunks_exact(3);
        for ((given, made), &opacity) in pixels.zip(made).zip(&self.opacity) {
            if opacity > 0.0 {
                for (given, &made) in given.iter_mut().zip(made) {
                    let mixed = f32::from(*given) * (1.0 - opacity) + f32::from(made) * opacity;
                    *given = mixed.round() as u8;
                }
            }
        }
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right half is white.
    fn half() -> Painted {
        let white = |x: u32, _| if x < 48 { [0; 3] } else { [255; 3] };
        Painted::of(&Frame::from_fn(96, 64, white).unwrap())
    }

    #[test]
    fn black_stays_and_the_edge_is_soft() {
        let opacity = half().opacity([192, 128]).unwrap();
        let row = &opacity[192 * 60..192 * 61];
        assert!(row[..96].iter().all(|&seen| seen == 0.0));
        assert!(
            row[96..].is_sorted() && row[96] < 0.5 && row[191] == 1.0,
            "{row:?}"
        );
    }

    #[test]
    fn a_latent_that_is_white_in_part_is_made() {
        let device = Device::flex();
        let values = |grid| -> Vec<f32> {
            let latents = half().latents(grid, &device);
            latents.into_data().try_into_vec().unwrap()
        };
        assert_eq!(values([1, 2]), [0.0, 1.0]);
        assert_eq!(values([1, 3]), [0.0, 1.0, 1.0]);
        assert_eq!(half().pixels([3, 1]), [false, true, true]);
        // Larger than the mask.
        let large = half().pixels([192, 2]);
        assert!(
            large
                .iter()
                .enumerate()
                .all(|(i, white)| *white == (i % 192 >= 96))
        );
    }
}
