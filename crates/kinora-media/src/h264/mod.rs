//! H.264: frames to access units and back.

mod bits;
mod decode;
mod encode;
mod sps;

pub(crate) use decode::{Decoder, Refused};
pub(crate) use encode::Encoder;
pub(crate) use sps::Sps;

/// The NAL units of a byte stream with start codes (H.264, annex B).
pub(crate) fn annex_b_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &stream[start + 3..end])
        // The zero before a start code of four bytes belongs to neither unit.
        .map(|unit| &unit[..unit.len() - unit.iter().rev().take_while(|&&byte| byte == 0).count()])
        .filter(|unit| !unit.is_empty())
        .collect()
}

/// The type of a NAL unit: 5 is a slice of a key frame, 7 a sequence parameter set, 8 a picture parameter set.
pub(crate) fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_split_at_start_codes() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 9, 0, 0, 0, 1, 0x65];
        let units = annex_b_units(&stream);
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 9], &[0x65]]);
        assert_eq!(
            units.iter().map(|unit| unit_type(unit)).collect::<Vec<_>>(),
            [7, 8, 5]
        );
        assert!(annex_b_units(&[0, 0]).is_empty());
        assert!(annex_b_units(&[]).is_empty());
    }
}
