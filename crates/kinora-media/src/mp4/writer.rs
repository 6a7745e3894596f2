//! Frames to an MP4 that has its index first.
//!
//! The index is known only at the end, and browsers want it at the beginning. So the pictures go to one temporary file while they
//! come, and at the end the index and then the pictures to a second one, which takes the final name.

use std::ops::Range;
use std::path::Path;

use shiguredo_mp4::Encode;
use shiguredo_mp4::boxes::{Brand, FtypBox};

use super::audio::Cut;
use super::moov::{Movie, SampleTable};
use crate::atomic::OutputFile;
use crate::h264::{Encoder, unit_type};
use crate::sink::{Backend, SinkOptions, Written};
use crate::{Error, Frame, Result};

pub(crate) struct Mp4Sink {
    options: SinkOptions,
    encoder: Encoder,
    pictures: OutputFile,
    samples: SampleTable,
    sound: Option<Cut>,
    sps: Vec<u8>,
    pps: Vec<u8>,
}

impl Mp4Sink {
    pub(crate) fn open(path: &Path, options: &SinkOptions) -> Result<Self> {
        let encoder = Encoder::new(options.width, options.height, options.fps, options.quality)?;
        Ok(Self {
            options: options.clone(),
            encoder,
            pictures: OutputFile::create(path, options.overwrite)?,
            samples: SampleTable::default(),
            sound: None,
            sps: Vec::new(),
            pps: Vec::new(),
        })
    }
}

impl Backend for Mp4Sink {
    fn push(&mut self, frame: &Frame) -> Result<()> {
        let encoded = self.encoder.encode(frame)?;
        for unit in encoded.parameter_sets {
            let kept = if unit_type(unit) == 7 {
                &mut self.sps
            } else {
                &mut self.pps
            };
            if kept.is_empty() {
                *kept = unit.to_vec();
            } else if kept != unit {
                return Err(Error::encoder(
                    "H.264",
                    "it changed its parameters on the way",
                ));
            }
        }
        let mut size = 0;
        for unit in encoded.units {
            let length = unit.len() as u32;
            self.pictures.write(&length.to_be_bytes())?;
            self.pictures.write(unit)?;
            size += 4 + length;
        }
        self.samples.push(size, encoded.key_frame);
        Ok(())
    }

    fn copy_audio(&mut self, source: &Path, secs: Range<f64>) -> Option<Result<()>> {
        Some(Cut::open(source, secs).map(|cut| self.sound = Some(cut)))
    }

    fn finish(mut self: Box<Self>) -> Result<Written> {
        if let Some(sound) = &mut self.sound {
            sound.end_at(
                self.options
                    .fps
                    .duration_secs(self.samples.sizes.len() as u64),
            );
        }
        // What is heard may lie wholly behind the last picture.
        let mut sound = self.sound.take().filter(|sound| sound.heard > 0);
        let path = self.pictures.path().to_path_buf();
        let movie = Movie {
            // The encoder takes at most 3840 pixels a side.
            width: self.options.width as u16,
            height: self.options.height as u16,
            fps: self.options.fps,
            sps: &self.sps,
            pps: &self.pps,
            samples: &self.samples,
            sound: sound.as_ref(),
            recipe: self.options.recipe.as_ref(),
        };
        let file_type = file_type()
            .encode_to_vec()
            .map_err(|error| Error::encoder("MP4", error))?;
        let layout = movie.layout();
        let data = data_header(layout.total_bytes());
        let before_moov = file_type.len() as u64;
        let moov = movie.encode(&layout, |moov| before_moov + moov + data.len() as u64)?;

        let mut file = OutputFile::create(&path, self.options.overwrite)?;
        file.write(&file_type)?;
        file.write(&moov)?;
        file.write(&data)?;
        self.pictures.rewind()?;
        let mut packet = 0;
        for (pictures, sounds) in layout.pictures.iter().zip(&layout.sound) {
            file.append_next(&mut self.pictures, pictures.bytes)?;
            for _ in 0..sounds.samples {
                if let Some(sound) = &mut sound {
                    file.write(&sound.read(packet)?)?;
                }
                packet += 1;
            }
        }
        let bytes = file.commit()?;
        Ok(Written {
            path,
            frames: self.samples.sizes.len() as u64,
            bytes,
        })
    }
}

fn file_type() -> FtypBox {
    FtypBox {
        major_brand: Brand::ISOM,
        minor_version: 512,
        compatible_brands: vec![Brand::ISOM, Brand::ISO2, Brand::AVC1, Brand::MP41],
    }
}

/// The header of the box that holds `bytes` of pictures.
fn data_header(bytes: u64) -> Vec<u8> {
    match u32::try_from(bytes + 8) {
        Ok(size) => [&size.to_be_bytes()[..], b"mdat"].concat(),
        Err(_) => [&[0, 0, 0, 1][..], b"mdat", &(bytes + 16).to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_films_have_a_long_header() {
        assert_eq!(data_header(100), [0, 0, 0, 108, b'm', b'd', b'a', b't']);
        let long = data_header(u64::from(u32::MAX));
        assert_eq!(long.len(), 16);
        assert_eq!(long[8..], (u64::from(u32::MAX) + 16).to_be_bytes());
    }
}
