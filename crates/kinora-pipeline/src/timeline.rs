//! The latent frames of a clip: known, to be changed, or free.

use std::ops::Range;

use burn::tensor::Tensor;

/// One latent frame of the finished clip.
#[derive(Debug, Clone)]
pub enum LatentFrame {
    /// Given and clean: `[1, channels, 1, height, width]`.
    Known(Tensor<5>),
    /// Given, to be changed.
    Noised {
        /// `[1, channels, 1, height, width]`
        latents: Tensor<5>,
        /// 0 keeps it, 1 replaces it.
        strength: f32,
    },
    /// To be made.
    Free,
}

/// What is known of a clip before it is made.
#[derive(Debug, Clone)]
pub struct Timeline {
    latent_frames: Vec<LatentFrame>,
}

impl Timeline {
    /// A clip of which nothing is known.
    pub fn free(latent_frames: usize) -> Self {
        Self {
            latent_frames: vec![LatentFrame::Free; latent_frames],
        }
    }

    /// A clip with the given latent frames.
    pub fn new(latent_frames: Vec<LatentFrame>) -> Self {
        Self { latent_frames }
    }

    /// Its latent frames, in order.
    pub fn latent_frames(&self) -> &[LatentFrame] {
        &self.latent_frames
    }

    /// The windows that are sampled one after another: each has at most `window` latent frames, and
    /// all but the first begin with the last `overlap` latent frames of the one before.
    pub fn windows(&self, window: usize, overlap: usize) -> Vec<Range<usize>> {
        assert!(overlap < window, "a window must make something new");
        let total = self.latent_frames.len();
        let mut windows = Vec::new();
        let mut done = 0;
        while done < total {
            let start = if done == 0 { 0 } else { done - overlap };
            let end = (start + window).min(total);
            windows.push(start..end);
            done = end;
        }
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_clip_and_overlap() {
        for total in [1, 4, 5, 6, 13, 182] {
            let windows = Timeline::free(total).windows(5, 1);
            assert_eq!(windows[0].start, 0);
            assert_eq!(windows.last().unwrap().end, total);
            assert!(windows.iter().all(|w| w.len() <= 5));
            for pair in windows.windows(2) {
                assert_eq!(pair[1].start + 1, pair[0].end);
            }
        }
        assert_eq!(Timeline::free(13).windows(5, 1), [0..5, 4..9, 8..13]);
        assert!(Timeline::free(0).windows(5, 1).is_empty());
    }
}
