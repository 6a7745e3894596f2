//! Between tensors of pixels in −1 to 1 and frames of bytes.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_media::Frame;

use crate::Error;

/// Frames of `[1, 3, frames, height, width]`; values outside −1 to 1 are clipped.
///
/// # Errors
///
/// A frame of a size that no picture can have.
pub fn frames_from_tensor(video: Tensor<5>) -> Result<Vec<Frame>, Error> {
    let [_, _, frames, height, width] = video.dims();
    let values: Vec<f32> = video
        .permute([0, 2, 3, 4, 1])
        .into_data()
        .try_into_vec()
        .expect("networks give f32 tensors");
    // Rounded, and clipped by the cast.
    let byte = |value: &f32| (value * 127.5 + 128.0) as u8;
    let size = height * width * 3;
    (0..frames)
        .map(|i| {
            let pixels = values[i * size..][..size].iter().map(byte).collect();
            Ok(Frame::new(width as u32, height as u32, pixels)?)
        })
        .collect()
}

/// The opposite of [`frames_from_tensor`]; all frames have the same size.
pub fn tensor_from_frames(frames: &[Frame], device: &Device) -> Tensor<5> {
    let (width, height) = frames.first().map_or((0, 0), Frame::size);
    let values: Vec<f32> = frames
        .iter()
        .flat_map(|frame| frame.pixels())
        .map(|&byte| f32::from(byte) / 127.5 - 1.0)
        .collect();
    let shape = [1, frames.len(), height as usize, width as usize, 3];
    Tensor::<5>::from_data(TensorData::new(values, shape), device).permute([0, 4, 1, 2, 3])
}
