//! Given frames as latents.

use burn::tensor::{Device, Tensor};
use kinora_media::Frame;
use kinora_models::VideoModel;

use crate::Error;
use crate::frames::tensor_from_frames;

/// The latent frame that begins a clip: one frame.
pub(super) fn first<M: VideoModel>(
    model: &M,
    frame: &Frame,
    device: &Device,
) -> Result<Tensor<5>, Error> {
    Ok(model.encode_frames(tensor_from_frames(std::slice::from_ref(frame), device))?)
}

/// A latent frame in the middle of a clip: as many frames as the model's temporal stride. `before` is the frame before them,
/// which causal encoders see.
pub(super) fn middle<M: VideoModel>(
    model: &M,
    before: &Frame,
    frames: &[Frame],
    device: &Device,
) -> Result<Tensor<5>, Error> {
    let clip: Vec<Frame> = std::iter::once(before).chain(frames).cloned().collect();
    let latents = model.encode_frames(tensor_from_frames(&clip, device))?;
    Ok(latents.narrow(2, 1, 1))
}
