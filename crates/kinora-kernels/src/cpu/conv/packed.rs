//! Weights of convolutions that are packed once.

use std::fmt;

use super::Conv3dShape;
use super::clip::{Clip, Frames};
use super::walk::{Ending, Walk};
use super::way::Way;
use crate::cpu::gemm::{Activation, Engine};
use crate::cpu::level::{Level, Precision, level};
use crate::cpu::matrix::MatRef;
use crate::cpu::scratch::AlignedWords;

/// A weight in the form in which one level and precision multiply it, with its taps and steps.
pub struct PackedConv {
    engine: Engine,
    way: Way,
    /// Of some clip.
    layer: Conv3dShape,
    words: AlignedWords,
}

/// The sizes of a clip that goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipSize {
    /// Clips.
    pub batch: usize,
    /// Frames.
    pub frames: usize,
    /// Frames of zeros before the first.
    pub before: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl PackedConv {
    /// Packs `weight`, `[kt, kh, kw, channels_in, channels_out]`, for the current [`level`]; of what clips `layer` is does not matter.
    ///
    /// # Panics
    /// When the weight has another length.
    #[must_use]
    pub fn pack(layer: Conv3dShape, weight: &[f32], precision: Precision) -> Self {
        Self::pack_at(level(), layer, weight, precision)
    }

    pub(crate) fn pack_at(
        level: Level,
        layer: Conv3dShape,
        weight: &[f32],
        precision: Precision,
    ) -> Self {
        assert_eq!(weight.len(), layer.weight_len(), "{layer:?}");
        let engine = Engine::new(level, precision);
        let walk = Walk::forward(&layer);
        let way = Way::of(engine, &walk);
        let mut words = AlignedWords::new(way.packed_len(engine, &walk));
        let matrix = MatRef::new(weight, walk.summed(), layer.channels_out);
        way.pack(engine, &walk, &matrix.t(), words.as_mut_ptr());
        Self {
            engine,
            way,
            layer,
            words,
        }
    }

    /// Taps along frames, rows and columns.
    #[must_use]
    pub const fn kernel(&self) -> [usize; 3] {
        self.layer.kernel
    }

    /// Whether what goes in is rounded to bf16, so that nothing is lost where it comes so.
    #[must_use]
    pub const fn takes_bf16(&self) -> bool {
        self.engine.is_bf16()
    }

    /// The convolution of a clip of this size.
    #[must_use]
    pub const fn shape(&self, size: ClipSize) -> Conv3dShape {
        Conv3dShape {
            batch: size.batch,
            frames_in: size.frames,
            frames_before: size.before,
            height: size.height,
            width: size.width,
            ..self.layer
        }
    }

    /// `out = activation(conv(parts, weight) + bias)`, where the parts of the clip follow one another in time but not in memory.
    ///
    /// # Shapes
    /// Each part `[batch, its frames, height, width, channels_in]`, `out` as [`Conv3dShape::size_out`].
    ///
    /// # Panics
    /// When a slice does not have the length of its shape, or the shape has no output.
    pub fn convolve(
        &self,
        size: ClipSize,
        parts: &[Frames<'_>],
        bias: Option<&[f32]>,
        activation: Activation,
        out: &mut [f32],
    ) {
        let shape = self.shape(size);
        assert_eq!(out.len(), shape.output_len(), "{shape:?}");
        let ending = Ending { bias, activation };
        let clip = Clip::joined(&shape, parts);
        let walk = Walk::forward(&shape);
        self.way
            .convolve(self.engine, walk, clip, self.words.as_ptr(), ending, out);
    }
}

impl fmt::Debug for PackedConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, engine, .. } = self;
        let channels = [layer.channels_in, layer.channels_out];
        write!(f, "{:?} taps, {channels:?} for {engine:?}", layer.kernel)
    }
}
