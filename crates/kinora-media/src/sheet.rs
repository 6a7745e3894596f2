//! Many frames on one picture, to look at a clip at a glance.

use crate::{Error, Frame, Result, resize};

/// How a contact sheet is laid out.
#[derive(Clone, Debug)]
pub struct SheetOptions {
    /// Frames in a row, at least 1.
    pub columns: u32,
    /// Width of each frame on the sheet, in pixels; `None` leaves frames as they are.
    pub frame_width: Option<u32>,
    /// Pixels between frames and around them.
    pub gap: u32,
    /// The colour between frames.
    pub background: [u8; 3],
}

impl SheetOptions {
    /// Frames as they are, 4 pixels apart on dark grey.
    pub fn new(columns: u32) -> Self {
        Self {
            columns,
            frame_width: None,
            gap: 4,
            background: [24, 24, 24],
        }
    }
}

/// The frames in rows of `options.columns`, from the left and the top. All take the size of the first.
///
/// # Errors
///
/// [`Error::EmptySheet`] without frames or columns; [`Error::FrameSize`] if the sheet grows too large.
pub fn contact_sheet(frames: &[Frame], options: &SheetOptions) -> Result<Frame> {
    let (Some(first), 1..) = (frames.first(), options.columns) else {
        return Err(Error::EmptySheet);
    };
    let width = options.frame_width.unwrap_or(first.width());
    let height = scaled_height(first, width);
    let columns = u64::from(options.columns).min(frames.len() as u64);
    let rows = (frames.len() as u64).div_ceil(columns);
    let extent = |count: u64, side: u32| {
        let pixels = count * u64::from(side) + (count + 1) * u64::from(options.gap);
        u32::try_from(pixels).unwrap_or(u32::MAX)
    };
    let mut sheet = Frame::filled(
        extent(columns, width),
        extent(rows, height),
        options.background,
    )?;
    for (index, frame) in frames.iter().enumerate() {
        let (column, row) = (index as u64 % columns, index as u64 / columns);
        let left = extent(column, width);
        let top = extent(row, height);
        paste(&mut sheet, &resize(frame, width, height)?, left, top);
    }
    Ok(sheet)
}

fn scaled_height(frame: &Frame, width: u32) -> u32 {
    let height = f64::from(frame.height()) * f64::from(width) / f64::from(frame.width());
    (height.round() as u32).max(1)
}

/// Copies `frame` onto `sheet`, where it fits whole.
fn paste(sheet: &mut Frame, frame: &Frame, left: u32, top: u32) {
    let (stride, row_bytes) = (sheet.stride(), frame.stride());
    for (y, row) in frame.pixels().chunks_exact(row_bytes).enumerate() {
        let at = (top as usize + y) * stride + 3 * left as usize;
        sheet.pixels_mut()[at..at + row_bytes].copy_from_slice(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stand_in_rows() {
        let frames: Vec<_> = (0..5u8)
            .map(|i| Frame::filled(10, 6, [i * 50, 0, 0]).unwrap())
            .collect();
        let sheet = contact_sheet(
            &frames,
            &SheetOptions {
                gap: 2,
                ..SheetOptions::new(3)
            },
        )
        .unwrap();
        assert_eq!(sheet.size(), (3 * 10 + 4 * 2, 2 * 6 + 3 * 2));
        assert_eq!(sheet.pixel(2, 2), Some([0, 0, 0]));
        assert_eq!(sheet.pixel(2 + 12, 2), Some([50, 0, 0]));
        assert_eq!(sheet.pixel(2 + 12, 2 + 8), Some([200, 0, 0]));
        assert_eq!(sheet.pixel(37, 17), Some([24, 24, 24]));
    }

    #[test]
    fn frames_shrink_together() {
        let frames = [
            Frame::filled(100, 50, [1; 3]).unwrap(),
            Frame::filled(60, 60, [2; 3]).unwrap(),
        ];
        let options = SheetOptions {
            frame_width: Some(20),
            gap: 0,
            ..SheetOptions::new(8)
        };
        assert_eq!(contact_sheet(&frames, &options).unwrap().size(), (40, 10));
    }

    #[test]
    fn nothing_makes_no_sheet() {
        let frame = Frame::filled(2, 2, [0; 3]).unwrap();
        assert!(matches!(
            contact_sheet(&[], &SheetOptions::new(2)),
            Err(Error::EmptySheet)
        ));
        assert!(matches!(
            contact_sheet(&[frame], &SheetOptions::new(0)),
            Err(Error::EmptySheet)
        ));
    }
}
