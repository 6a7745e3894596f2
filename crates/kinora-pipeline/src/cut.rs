//! Cuts: where a frame shows something else than the one before.

use kinora_media::{Frame, resize};

use crate::Error;

/// Longer side of the pictures that are compared, in pixels.
const SIDE: u32 = 40;
/// How far something may have moved from one frame to the next, in pixels of those pictures.
const REACH: usize = 3;
/// From this mean difference on it is a cut, in levels of 255. Of what moves nearly all is found again.
const CUT_LEVELS: f64 = 16.0;

/// Whether `second` shows something else than `first`, and not the same moved on.
///
/// # Errors
///
/// A size that no frame can have.
pub(crate) fn is_cut(first: &Frame, second: &Frame) -> Result<bool, Error> {
    Ok(change(first, second)? > CUT_LEVELS)
}

/// How much of `second` is not found near its place in `first`, and the other way round, in mean levels of 255.
fn change(first: &Frame, second: &Frame) -> Result<f64, Error> {
    let (width, height) = first.size();
    let longer = width.max(height);
    let small = |side: u32| (side * SIDE).div_ceil(longer);
    let [first, second] = [
        resize(first, small(width), small(height))?,
        resize(second, small(width), small(height))?,
    ];
    Ok(0.5 * (lost(&first, &second) + lost(&second, &first)))
}

/// Mean difference of the pixels of `seen` to the most similar ones of `before` near them.
fn lost(seen: &Frame, before: &Frame) -> f64 {
    let (width, height) = (seen.width() as usize, seen.height() as usize);
    let pixel = |frame: &Frame, at: usize| -> [u8; 3] {
        let pixel = &frame.pixels()[3 * at..][..3];
        [pixel[0], pixel[1], pixel[2]]
    };
    let near = |at: usize, side: usize| at.saturating_sub(REACH)..(at + REACH + 1).min(side);
    let mut sum = 0;
    for y in 0..height {
        for x in 0..width {
            let here = pixel(seen, y * width + x);
            let places = near(y, height).flat_map(|y| near(x, width).map(move |x| y * width + x));
            let levels = places.map(|at| {
                let there = pixel(before, at);
                let channels = here.iter().zip(there);
                channels
                    .map(|(&a, b)| u32::from(a.abs_diff(b)))
                    .sum::<u32>()
            });
            sum += u64::from(levels.min().unwrap_or(0));
        }
    }
    sum as f64 / (3 * width * height) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A striped field with a ball, both moved.
    fn field(moved: u32, colours: [[u8; 3]; 3]) -> Frame {
        Frame::from_fn(176, 96, |x, y| {
            let ball = (x as i32 - 60 - 2 * moved as i32).pow(2) + (y as i32 - 50).pow(2) < 400;
            match (ball, (x + moved) / 22 % 2) {
                (true, _) => colours[0],
                (false, stripe) => colours[1 + stripe as usize],
            }
        })
        .unwrap()
    }

    const DAY: [[u8; 3]; 3] = [[240, 200, 60], [60, 150, 60], [40, 110, 50]];
    const NIGHT: [[u8; 3]; 3] = [[200, 60, 40], [20, 25, 60], [30, 35, 90]];

    #[test]
    fn what_moves_is_no_cut() {
        for moved in [0, 3, 10] {
            assert!(
                !is_cut(&field(0, DAY), &field(moved, DAY)).unwrap(),
                "{moved}"
            );
        }
        let lighter = DAY.map(|colour| colour.map(|level| level + 10));
        assert!(!is_cut(&field(0, DAY), &field(2, lighter)).unwrap());
    }

    #[test]
    fn another_picture_is_one() {
        assert!(is_cut(&field(0, DAY), &field(0, NIGHT)).unwrap());
        let upside_down = Frame::from_fn(176, 96, |x, y| field(0, DAY).pixel(x, 95 - y).unwrap());
        // The same colours elsewhere: the field lies on its side.
        let grey = Frame::filled(176, 96, [128; 3]).unwrap();
        assert!(is_cut(&upside_down.unwrap(), &grey).unwrap());
    }
}
