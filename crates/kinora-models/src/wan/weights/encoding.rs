//! How numbers are stored in weight files, and back to `f32`.
//!
//! Sources: safetensors' dtypes; the block formats of ggml (`ggml-common.h`, `ggml-quants.c`), to the bit; the 8-bit
//! floats of Micikevicius et al., 2022 ("FP8 formats for deep learning").

use half::{bf16, f16};
use safetensors::Dtype;

use super::{blocks, super_blocks};

/// A way to store numbers. The names are those of ggml and safetensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// 8-bit floats, 4 bits of exponent, no infinities.
    F8E4M3,
    /// 8-bit floats, 5 bits of exponent.
    F8E5M2,
    /// Whole numbers of 8 bits; a scale beside the tensor says what one is worth.
    I8,
    /// 32 numbers of 4 bits with a scale.
    Q4_0,
    /// 32 numbers of 4 bits with a scale and a minimum.
    Q4_1,
    /// 32 numbers of 5 bits with a scale.
    Q5_0,
    /// 32 numbers of 5 bits with a scale and a minimum.
    Q5_1,
    /// 32 numbers of 8 bits with a scale.
    Q8_0,
    /// 256 numbers of 2 bits; scales and minima of 4 bits for each 16.
    Q2K,
    /// 256 numbers of 3 bits; scales of 6 bits for each 16.
    Q3K,
    /// 256 numbers of 4 bits; scales and minima of 6 bits for each 32.
    Q4K,
    /// 256 numbers of 5 bits; scales and minima of 6 bits for each 32.
    Q5K,
    /// 256 numbers of 6 bits; scales of 8 bits for each 16.
    Q6K,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::F8E4M3,
        Self::F8E5M2,
        Self::I8,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// The longest block, in numbers: pieces of a row that start and end at its multiples can always be decoded.
    pub const LONGEST_BLOCK: usize = 256;

    /// Its usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::I8 => "I8",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Numbers that are stored together.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 | Self::F8E4M3 | Self::F8E5M2 | Self::I8 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => Self::LONGEST_BLOCK,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 => 1,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q2K => 16 + 64 + 4,
            Self::Q3K => 32 + 64 + 12 + 2,
            Self::Q4K => 4 + 12 + 128,
            Self::Q5K => 4 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes of `len` numbers; `None` where they are no whole blocks, or more than can be counted.
    pub const fn bytes(self, len: usize) -> Option<usize> {
        match len % self.block_len() {
            0 => (len / self.block_len()).checked_mul(self.block_bytes()),
            _ => None,
        }
    }

    /// The encoding of a safetensors dtype, if it is one that is read.
    pub(super) const fn of_dtype(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F8_E4M3 => Some(Self::F8E4M3),
            Dtype::F8_E5M2 => Some(Self::F8E5M2),
            Dtype::I8 => Some(Self::I8),
            _ => None,
        }
    }

    /// Decodes whole blocks.
    ///
    /// # Panics
    ///
    /// When `bytes` are not those of `out.len()` numbers.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        let required = self.bytes(out.len());
        assert_eq!(Some(bytes.len()), required, "{} in bytes", self.name());
        match self {
            Self::F32 => each(bytes, out, f32::from_le_bytes),
            Self::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, out, |b: [u8; 2]| {
                f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
            }),
            Self::F8E4M3 => each(bytes, out, |[b]| F8_E4M3[usize::from(b)]),
            Self::F8E5M2 => each(bytes, out, |[b]| f16::from_bits(u16::from(b) << 8).to_f32()),
            Self::I8 => each(bytes, out, |[b]| f32::from(b.cast_signed())),
            Self::Q4_0 => blocks_of(bytes, out, blocks::q4_0),
            Self::Q4_1 => blocks_of(bytes, out, blocks::q4_1),
            Self::Q5_0 => blocks_of(bytes, out, blocks::q5_0),
            Self::Q5_1 => blocks_of(bytes, out, blocks::q5_1),
            Self::Q8_0 => blocks_of(bytes, out, blocks::q8_0),
            Self::Q2K => blocks_of(bytes, out, super_blocks::q2_k),
            Self::Q3K => blocks_of(bytes, out, super_blocks::q3_k),
            Self::Q4K => blocks_of(bytes, out, super_blocks::q4_k),
            Self::Q5K => blocks_of(bytes, out, super_blocks::q5_k),
            Self::Q6K => blocks_of(bytes, out, super_blocks::q6_k),
        }
    }
}

/// Numbers that stand alone.
#[inline(always)]
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = decode(*bytes);
    }
}

/// Blocks of `N` numbers in `B` bytes.
#[inline(always)]
fn blocks_of<const B: usize, const N: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; B], &mut [f32; N]),
) {
    let blocks = bytes.as_chunks().0;
    for (out, block) in out.as_chunks_mut().0.iter_mut().zip(blocks) {
        decode(block, out);
    }
}

/// What each byte means in E4M3.
static F8_E4M3: [f32; 256] = f8_e4m3();

const fn f8_e4m3() -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        let sign = (byte as u32 >> 7) << 31;
        let (exponent, mantissa) = ((byte as u32 >> 3) & 15, byte as u32 & 7);
        table[byte] = match (exponent, mantissa) {
            (15, 7) => f32::from_bits(sign | f32::NAN.to_bits()),
            // Below the smallest normal number, 2⁻⁶, in steps of 2⁻⁹.
            (0, _) => {
                let step = f32::from_bits((127 - 9) << 23);
                f32::from_bits(sign | (mantissa as f32 * step).to_bits())
            }
            // The bias is 7 here and 127 there.
            _ => f32::from_bits(sign | ((exponent + 120) << 23) | (mantissa << 20)),
        };
        byte += 1;
    }
    table
}

/// `f32` to the nearest `bf16`, as bytes.
pub(super) fn to_bf16(values: &[f32], out: &mut [u8]) {
    for (out, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *out = bf16::from_f32(*value).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_floats_are_as_their_paper() {
        let of = |byte: u8| {
            let mut out = [0.0];
            Encoding::F8E4M3.decode(&[byte], &mut out);
            out[0]
        };
        assert_eq!(
            [of(0), of(1), of(7), of(8)],
            [0.0, 1.0 / 512.0, 7.0 / 512.0, 1.0 / 64.0]
        );
        assert_eq!(
            [of(0x38), of(0x3c), of(0x7e), of(0xfe)],
            [1.0, 1.5, 448.0, -448.0]
        );
        assert!(of(0x7f).is_nan() && of(0xff).is_nan());
        assert!(of(0x80) == 0.0 && of(0x80).is_sign_negative());
        let mut out = [0.0; 4];
        Encoding::F8E5M2.decode(&[0x3c, 0xbe, 0x7b, 0x01], &mut out);
        assert_eq!(out, [1.0, -1.5, 57344.0, 1.0 / 65536.0]);
    }

    #[test]
    fn blocks_are_whole() {
        for encoding in Encoding::ALL {
            let len = encoding.block_len();
            assert_eq!(encoding.bytes(3 * len), Some(3 * encoding.block_bytes()));
            assert!(len == 1 || encoding.bytes(len + 1).is_none());
            assert_eq!(Encoding::LONGEST_BLOCK % len, 0);
            encoding.decode(&[], &mut []);
        }
        assert_eq!(Encoding::F32.bytes(usize::MAX), None);
    }
}
