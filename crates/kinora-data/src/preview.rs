//! Contact sheets: scenes as rows, frames as columns.

use std::path::Path;

use image::RgbImage;

use crate::error::{Error, Result};
use crate::pack::Pack;
use crate::render::{RenderOptions, Renderer};
use crate::scene::SceneSpec;

/// Writes a PNG with one row per scene and `columns` frames of each, `step_secs` apart, each at most `side` pixels wide and high.
///
/// # Errors
/// A scene does not render, or the file cannot be written.
pub fn contact_sheet(
    pack: &Pack,
    specs: &[SceneSpec],
    columns: usize,
    step_secs: f32,
    side: usize,
    out_file: &Path,
) -> Result<()> {
    let sizes: Vec<(usize, usize)> = specs
        .iter()
        .map(|spec| fit(spec.aspect.native_size(), side))
        .collect();
    let gap = 4;
    let sheet_width = sizes
        .iter()
        .map(|(width, _)| columns * (width + gap) + gap)
        .max()
        .unwrap_or(1);
    let sheet_height = sizes.iter().map(|(_, height)| height + gap).sum::<usize>() + gap;
    let mut sheet = RgbImage::from_pixel(
        sheet_width as u32,
        sheet_height as u32,
        image::Rgb([24, 24, 28]),
    );
    let mut top = gap;
    for (spec, (width, height)) in specs.iter().zip(&sizes) {
        let options = RenderOptions {
            width: *width,
            height: *height,
            fps: 1.0 / step_secs,
            start_frame: 0,
            frames: columns,
        };
        let clip = Renderer::new(pack).render(spec, options)?;
        for column in 0..columns {
            let left = gap + column * (width + gap);
            for (index, pixel) in clip.frame(column).chunks_exact(3).enumerate() {
                let (x, y) = (left + index % width, top + index / width);
                sheet.put_pixel(
                    x as u32,
                    y as u32,
                    image::Rgb([pixel[0], pixel[1], pixel[2]]),
                );
            }
        }
        top += height + gap;
    }
    sheet.save(out_file).map_err(|error| Error::Write {
        path: out_file.into(),
        source: std::io::Error::other(error),
    })
}

/// The largest size of the same shape within a square.
fn fit((width, height): (usize, usize), side: usize) -> (usize, usize) {
    let longer = width.max(height);
    (
        (width * side / longer).max(16),
        (height * side / longer).max(16),
    )
}
