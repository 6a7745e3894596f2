//! A clip whose frames lie where they lie.

use super::Conv3dShape;

/// The frames of all clips of a batch, `[height, width, channels]` each.
pub(super) struct Clip<'a> {
    frames: Vec<&'a [f32]>,
}

impl<'a> Clip<'a> {
    /// Frames one after another.
    pub(super) fn whole(data: &'a [f32], frames: usize) -> Self {
        let frame = data.len() / frames.max(1);
        Self {
            frames: (0..frames)
                .map(|index| &data[index * frame..][..frame])
                .collect(),
        }
    }

    /// Parts `[batch, frames, height, width, channels]` that follow one another in time.
    ///
    /// # Panics
    /// When they are not the clip of `shape`.
    pub(super) fn joined(shape: &Conv3dShape, parts: &[&'a [f32]]) -> Self {
        let frame = shape.height * shape.width * shape.channels_in;
        let frames: Vec<&[f32]> = (0..shape.batch)
            .flat_map(|clip| {
                parts.iter().flat_map(move |part| {
                    let of_clip = part.len() / shape.batch;
                    part[clip * of_clip..][..of_clip].chunks_exact(frame.max(1))
                })
            })
            .collect();
        let all: usize = parts.iter().map(|part| part.len()).sum();
        assert_eq!(
            (frames.len(), all),
            (shape.batch * shape.frames_in, shape.input_len()),
            "parts of {shape:?}"
        );
        Self { frames }
    }

    /// Frame `index`, counted over the batch.
    pub(super) fn frame(&self, index: usize) -> &'a [f32] {
        self.frames[index]
    }
}
