//! Where pictures and sound lie in the file: a second of pictures, then the sound of that second, so that a player reads forwards.

use super::audio::Cut;

/// Chunks in the order of the file. All lists have the same length.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) pictures: Vec<Chunk>,
    pub(super) sound: Vec<Chunk>,
}

/// Samples that lie behind each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) samples: usize,
    pub(super) bytes: u64,
}

impl Layout {
    /// Pictures of these sizes, `per_chunk` ≥ 1 together, which last `chunk_secs`.
    pub(super) fn new(
        sizes: &[u32],
        per_chunk: usize,
        chunk_secs: f64,
        sound: Option<&Cut>,
    ) -> Self {
        let pictures: Vec<Chunk> = sizes
            .chunks(per_chunk)
            .map(|sizes| Chunk {
                samples: sizes.len(),
                bytes: sizes.iter().map(|&size| u64::from(size)).sum(),
            })
            .collect();
        let mut sounds = vec![Chunk::default(); pictures.len()];
        if let Some(cut) = sound {
            let chunk_ticks = chunk_secs * f64::from(cut.ticks_per_sec);
            let mut at = cut.pause as f64 - cut.lead as f64;
            for packet in &cut.packets {
                let chunk = ((at / chunk_ticks).max(0.0) as usize).min(sounds.len() - 1);
                sounds[chunk].samples += 1;
                sounds[chunk].bytes += u64::from(packet.size);
                at += f64::from(packet.duration);
            }
        }
        Self {
            pictures,
            sound: sounds,
        }
    }

    /// Where the chunks begin if the first lies at `offset`: of pictures, and of sound.
    pub(super) fn offsets(&self, offset: u64) -> (Vec<u64>, Vec<u64>) {
        let mut at = offset;
        let mut next = |chunk: &Chunk| {
            let start = at;
            at += chunk.bytes;
            start
        };
        self.pictures
            .iter()
            .zip(&self.sound)
            .map(|(pictures, sound)| (next(pictures), next(sound)))
            .unzip()
    }

    /// Bytes of all.
    pub(super) fn total_bytes(&self) -> u64 {
        let chunks = self.pictures.iter().chain(&self.sound);
        chunks.map(|chunk| chunk.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_films_are_chunks_of_pictures() {
        let layout = Layout::new(&[1, 2, 3, 4, 5], 2, 1.0, None);
        let samples: Vec<_> = layout.pictures.iter().map(|chunk| chunk.samples).collect();
        assert_eq!(samples, [2, 2, 1]);
        assert_eq!(layout.offsets(100).0, [100, 103, 110]);
        assert_eq!(layout.total_bytes(), 15);
    }
}
