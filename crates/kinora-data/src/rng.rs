//! Random numbers that are the same on every machine: SplitMix64 and FNV-1a, in integers.

pub(crate) use kinora_style::mix;

/// SplitMix64 (Steele et al., 2014): tiny, seedable with any number, and good enough for scenes.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator that starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one `part` of a whole that is seeded with `seed`.
    pub fn derived(seed: u64, part: u64) -> Self {
        Self(mix(seed ^ mix(part.wrapping_add(0x9E37_79B9_7F4A_7C15))))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform in `0.0..1.0`, on a grid of 2⁻²⁴.
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in `low..high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..count`; 0 when `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next_u64()) * count as u128) >> 64) as usize
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of `items`, uniformly.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &'a [&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// An index drawn in proportion to `weights`; 0 when they sum to nothing.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let total: f32 = weights.iter().sum();
        let mut left = self.unit() * total;
        for (index, weight) in weights.iter().enumerate() {
            if *weight > 0.0 && left < *weight {
                return index;
            }
            left -= weight;
        }
        weights
            .iter()
            .rposition(|weight| *weight > 0.0)
            .unwrap_or(0)
    }
}

/// FNV-1a over the parts, with a separator between them.
pub(crate) fn hash_words(parts: &[&str]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain(std::iter::once(0xFF)) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
    mix(hash)
}

/// Smooth noise in `-1.0..1.0` along a line, one knot per unit.
pub(crate) fn noise_1d(seed: u64, x: f32) -> f32 {
    let cell = x.floor();
    let t = x - cell;
    let knot = |cell: i64| Rng::derived(seed, cell as u64).range(-1.0, 1.0);
    let (a, b) = (knot(cell as i64), knot(cell as i64 + 1));
    a + (b - a) * t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_the_published_numbers() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn weights_of_zero_are_never_drawn() {
        let mut rng = Rng::new(7);
        for _ in 0..1000 {
            assert_eq!(rng.weighted(&[0.0, 2.0, 0.0]), 1);
        }
    }

    #[test]
    fn noise_is_continuous_across_knots() {
        for knot in -3..3 {
            let (before, after) = (
                noise_1d(5, knot as f32 - 1e-4),
                noise_1d(5, knot as f32 + 1e-4),
            );
            assert!((before - after).abs() < 1e-2);
        }
    }
}
