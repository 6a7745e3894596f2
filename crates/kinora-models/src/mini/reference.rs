//! What the plate adds to decoded frames.
//!
//! A linear code of few channels loses fine and fast detail: what crosses a patch in the time of one token comes back as a streak. The
//! plate shows the same subjects and the same place, frame by frame, so what the code loses *of the plate* is known. Where the scene
//! looks like its plate, that is what it lost of the scene too; gates that see both say where and by how much, in each pixel and colour.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation::silu};

use crate::layers::Linear;

/// Gates for what the code loses of the plate, at the decoder's finest resolution.
#[derive(Module, Debug)]
pub(super) struct Reference {
    see: Linear,
    hidden: Linear,
    gate: Linear,
}

impl Reference {
    /// Adds nothing yet. `channels` are the decoder's, `hidden` the gates' own, and `values` is what a place of the decoder shows.
    pub(super) fn new(channels: usize, hidden: usize, values: usize, device: &Device) -> Self {
        Self {
            see: Linear::zeros(values, channels, device),
            hidden: Linear::new(channels, hidden, 1.4, device),
            gate: Linear::zeros(hidden, values, device),
        }
    }

    /// Shows the decoder what was lost.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, frames, height, width, channels]`
    /// - `lost`: `[batch, frames, height, width, values]`
    pub(super) fn seen(&self, x: Tensor<5>, lost: Tensor<5>) -> Tensor<5> {
        x + self.see.forward(lost)
    }

    /// What of it is shown, as `lost`.
    pub(super) fn shown(&self, x: Tensor<5>, lost: Tensor<5>) -> Tensor<5> {
        self.gate.forward(silu(self.hidden.forward(x))) * lost
    }

    /// Multiply-adds for one place.
    pub(super) fn products(&self) -> usize {
        let layers = [&self.see, &self.hidden, &self.gate];
        let of = |layer: &&Linear| layer.weight.dims().iter().product::<usize>();
        layers.iter().map(of).sum()
    }
}
