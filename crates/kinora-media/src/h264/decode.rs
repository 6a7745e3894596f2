//! H.264 to frames by rusty_h264, which decodes B-frames and never leaves safe Rust.

use super::{Sps, unit_type};
use crate::colour::Planes;
use crate::geometry::check_video_size;

/// Decodes access units in decoding order, each to one frame.
pub(crate) struct Decoder {
    decoder: rusty_h264::Decoder,
    sps: Sps,
    stream: Vec<u8>,
}

/// Why an access unit did not become a frame.
pub(crate) enum Refused {
    /// It is broken.
    Corrupt(String),
    /// It uses what the decoder does not know.
    Unsupported(String),
}

impl Decoder {
    /// A decoder for the stream that `parameter_sets` begin, as NAL units without start codes.
    pub(crate) fn new(parameter_sets: &[Vec<u8>]) -> Result<Self, Refused> {
        let corrupt = || Refused::Corrupt("its H.264 parameter set cannot be read".into());
        let first = parameter_sets
            .iter()
            .find(|unit| unit_type(unit) == 7)
            .ok_or_else(corrupt)?;
        let sps = Sps::parse(first).ok_or_else(corrupt)?;
        refuse_unsupported(&sps)?;
        let mut decoder = Self {
            decoder: rusty_h264::Decoder::new(),
            sps,
            stream: Vec::new(),
        };
        decoder.decode_units(parameter_sets.iter().map(Vec::as_slice))?;
        Ok(decoder)
    }

    /// The picture that the NAL units of one access unit make. `None` if they hold none.
    pub(crate) fn decode<'a>(
        &mut self,
        units: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Planes>, Refused> {
        let Some(planes) = self.decode_units(units)? else {
            return Ok(None);
        };
        if (planes.width, planes.height) != (self.sps.width, self.sps.height) {
            return Err(Refused::Unsupported("its size changes on the way".into()));
        }
        Ok(Some(planes))
    }

    fn decode_units<'a>(
        &mut self,
        units: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Planes>, Refused> {
        self.stream.clear();
        for unit in units {
            if unit_type(unit) == 7 {
                self.check_size(unit)?;
            }
            self.stream.extend_from_slice(&[0, 0, 1]);
            self.stream.extend_from_slice(unit);
        }
        match self.decoder.decode(&self.stream) {
            Ok(None) => Ok(None),
            Ok(Some(frame)) => Ok(Some(Planes {
                width: frame.width as u32,
                height: frame.height as u32,
                y: frame.y,
                u: frame.u,
                v: frame.v,
            })),
            Err(rusty_h264::DecodeError::Unsupported(tool)) => {
                Err(Refused::Unsupported(tool.into()))
            }
            Err(error) => Err(Refused::Corrupt(error.to_string())),
        }
    }

    /// Refuses a parameter set on the way that would change the size: it could ask for any amount of memory.
    fn check_size(&self, unit: &[u8]) -> Result<(), Refused> {
        match Sps::parse(unit) {
            None => Err(Refused::Corrupt(
                "its H.264 parameter set cannot be read".into(),
            )),
            Some(sps) if (sps.width, sps.height) != (self.sps.width, self.sps.height) => {
                Err(Refused::Unsupported("its size changes on the way".into()))
            }
            Some(_) => Ok(()),
        }
    }
}

fn refuse_unsupported(sps: &Sps) -> Result<(), Refused> {
    let what = if sps.bit_depth != 8 {
        format!("H.264 with {} bits a sample", sps.bit_depth)
    } else if sps.chroma_format != 1 {
        "H.264 that is not 4:2:0".into()
    } else if !sps.progressive {
        "interlaced H.264".into()
    } else if let Err(error) = check_video_size((sps.width, sps.height)) {
        return Err(Refused::Corrupt(error.to_string()));
    } else {
        return Ok(());
    };
    Err(Refused::Unsupported(what))
}
