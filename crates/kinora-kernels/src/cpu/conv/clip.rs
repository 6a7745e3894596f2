//! A clip whose frames lie where they lie.

use super::Conv3dShape;

/// Numbers of frames, in f32 or in bf16.
#[derive(Clone, Copy, Debug)]
pub enum Frames<'a> {
    /// As they are multiplied or before they are rounded.
    F32(&'a [f32]),
    /// The bits of numbers that are rounded already.
    Bf16(&'a [u16]),
}

impl<'a> Frames<'a> {
    /// How many numbers there are.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(bits) => bits.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The numbers `start..start + len`.
    pub(super) fn part(self, start: usize, len: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[start..start + len]),
            Self::Bf16(bits) => Self::Bf16(&bits[start..start + len]),
        }
    }
}

/// The frames of a clip in one piece.
pub(super) fn frames_of(data: &[f32], count: usize) -> Vec<&[f32]> {
    let frame = data.len() / count.max(1);
    (0..count)
        .map(|index| &data[index * frame..][..frame])
        .collect()
}

/// The frames of all clips of a batch, `[height, width, channels]` each.
pub(super) struct Clip<'a> {
    frames: Vec<Frames<'a>>,
}

impl<'a> Clip<'a> {
    /// So many frames one after another.
    pub(super) fn whole(data: &'a [f32], count: usize) -> Self {
        let frames = frames_of(data, count).into_iter().map(Frames::F32);
        Self {
            frames: frames.collect(),
        }
    }

    /// Parts `[batch, frames, height, width, channels]` that follow one another in time.
    ///
    /// # Panics
    /// When they are not the clip of `shape`.
    pub(super) fn joined(shape: &Conv3dShape, parts: &[Frames<'a>]) -> Self {
        let frame = shape.height * shape.width * shape.channels_in;
        let all: usize = parts.iter().map(|part| part.len()).sum();
        assert_eq!(all, shape.input_len(), "parts of {shape:?}");
        let mut frames = Vec::with_capacity(shape.batch * shape.frames_in);
        for clip in 0..shape.batch {
            for part in parts {
                let of_clip = part.len() / shape.batch;
                let there = of_clip / frame.max(1);
                frames.extend((0..there).map(|t| part.part(clip * of_clip + t * frame, frame)));
            }
        }
        // Frames without a number are not in the parts.
        frames.resize(shape.batch * shape.frames_in, Frames::F32(&[]));
        Self { frames }
    }

    /// Frame `index`, counted over the batch.
    pub(super) fn frame(&self, index: usize) -> Frames<'a> {
        self.frames[index]
    }

    /// The numbers of all frames that are in bf16, in f32; where all are in f32 there is nothing to do.
    pub(super) fn decoded(&self) -> Vec<Vec<f32>> {
        let decode = |frame: &Frames<'_>| match frame {
            Frames::F32(_) => Vec::new(),
            Frames::Bf16(bits) => bits
                .iter()
                .map(|bits| f32::from_bits(u32::from(*bits) << 16))
                .collect(),
        };
        self.frames.iter().map(decode).collect()
    }

    /// The same clip with what was [`decoded`](Self::decoded), frame by frame.
    pub(super) fn in_f32<'b>(&self, decoded: &'b [Vec<f32>]) -> Vec<&'b [f32]>
    where
        'a: 'b,
    {
        let frames = self.frames.iter().zip(decoded);
        frames
            .map(|(frame, decoded)| match *frame {
                Frames::F32(values) => values,
                Frames::Bf16(_) => &decoded[..],
            })
            .collect()
    }
}
