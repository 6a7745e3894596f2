//! What causal convolutions remember of the frames before, so that a clip can come in pieces.

use burn::tensor::Tensor;
use kinora_kernels::Precision;

use crate::Error;

/// The memory of one direction (encoding or decoding) between two pieces of a clip.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// The last frames that each convolution over frames has seen, in the order in which the network runs them.
    tails: Vec<Vec<Tensor<5>>>,
    /// `[batch, height, width]` of the pieces, once there was one.
    size: Option<[usize; 3]>,
}

impl Memory {
    /// Whether a piece went through already.
    pub(super) fn has_started(&self) -> bool {
        self.size.is_some()
    }

    /// Holds all pieces of a clip to one size.
    pub(super) fn expect_size(
        &mut self,
        name: &'static str,
        size: [usize; 3],
    ) -> Result<(), Error> {
        match self.size {
            Some(before) if before != size => Err(Error::Input {
                name,
                got: size.to_vec(),
                required: format!("[batch, height, width] {before:?}, as the pieces before"),
            }),
            _ => {
                self.size = Some(size);
                Ok(())
            }
        }
    }

    /// A walk through the network with the next frames; `first` for the frame that begins the clip.
    pub(super) fn pass(&mut self, first: bool, precision: Precision) -> Pass<'_> {
        Pass {
            tails: &mut self.tails,
            next: 0,
            first,
            precision,
        }
    }
}

/// One walk through a network, layer by layer.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    tails: &'a mut Vec<Vec<Tensor<5>>>,
    next: usize,
    /// Whether this is the frame that begins the clip, which goes alone.
    pub(super) first: bool,
    pub(super) precision: Precision,
}

impl Pass<'_> {
    /// Where in the network the walk is.
    pub(super) const fn place(&self) -> usize {
        self.next
    }

    /// Goes back to a place where it was, with the frames that follow.
    pub(super) const fn go_to(&mut self, place: usize) {
        self.next = place;
    }

    /// The memory of the layer that is run now: parts that follow one another.
    pub(super) fn tail(&mut self) -> &mut Vec<Tensor<5>> {
        let index = self.next;
        self.next += 1;
        if self.tails.len() == index {
            self.tails.push(Vec::new());
        }
        &mut self.tails[index]
    }
}
