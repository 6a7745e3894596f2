//! The index of a film with one H.264 track, and perhaps one of AAC.

use std::num::{NonZeroU16, NonZeroU32};

use serde_json::Value;
use shiguredo_mp4::boxes::{
    Avc1Box, AvccBox, Co64Box, DinfBox, HdlrBox, MdhdBox, MdiaBox, MediaHeader, MinfBox, MoovBox,
    MvhdBox, SampleEntry, StblBox, StcoBox, StscBox, StscEntry, StsdBox, StssBox, StszBox, SttsBox,
    SttsEntry, TkhdBox, TrakBox, UnknownBox, VisualSampleEntryFields, VmhdBox,
};
use shiguredo_mp4::{
    BoxSize, BoxType, Either, Encode, FixedPointNumber, LanguageCode, Mp4FileTime, Uint,
};

use super::audio::Cut;
use super::layout::{Chunk, Layout};
use super::metadata;
use super::sound_track::sound_track;
use crate::{Colour, Error, FrameRate, Result};

/// What the index says about the film.
pub(super) struct Movie<'a> {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) fps: FrameRate,
    pub(super) sps: &'a [u8],
    pub(super) pps: &'a [u8],
    pub(super) samples: &'a SampleTable,
    pub(super) sound: Option<&'a Cut>,
    pub(super) recipe: Option<&'a Value>,
}

/// Where the frames lie: all that is kept in memory while a film is written, 4 bytes for each frame.
#[derive(Default)]
pub(super) struct SampleTable {
    /// Bytes of each frame.
    pub(super) sizes: Vec<u32>,
    /// Numbers of the key frames, from 1.
    pub(super) key_frames: Vec<NonZeroU32>,
}

impl SampleTable {
    pub(super) fn push(&mut self, size: u32, key_frame: bool) {
        self.sizes.push(size);
        if key_frame {
            self.key_frames
                .extend(NonZeroU32::new(self.sizes.len() as u32));
        }
    }
}

impl Movie<'_> {
    /// How pictures and sound lie behind each other.
    pub(super) fn layout(&self) -> Layout {
        let per_chunk = self.fps.as_f64().ceil() as usize;
        let chunk_secs = self.fps.duration_secs(per_chunk as u64);
        Layout::new(&self.samples.sizes, per_chunk, chunk_secs, self.sound)
    }

    /// The bytes of `moov` for a file whose first frame lies at `data_offset(bytes of moov)`.
    pub(super) fn encode(
        &self,
        layout: &Layout,
        data_offset: impl Fn(u64) -> u64,
    ) -> Result<Vec<u8>> {
        let encode = |offset: u64| {
            self.moov(layout, offset)
                .encode_to_vec()
                .map_err(|error| Error::encoder("MP4", error))
        };
        // Offsets decide between 4 and 8 bytes for each chunk, and so the size of the box that they follow.
        let size = encode(data_offset(0))?.len() as u64;
        let moov = encode(data_offset(size))?;
        match moov.len() as u64 == size {
            true => Ok(moov),
            false => encode(data_offset(moov.len() as u64)),
        }
    }

    fn moov(&self, layout: &Layout, data_offset: u64) -> MoovBox {
        let (timescale, frame_ticks) = ticks(self.fps);
        let duration = self.samples.sizes.len() as u64 * u64::from(frame_ticks);
        let (picture_offsets, sound_offsets) = layout.offsets(data_offset);
        let pictures = TrakBox {
            tkhd_box: self.track_header(duration),
            edts_box: None,
            mdia_box: MdiaBox {
                mdhd_box: media_header(timescale, duration),
                hdlr_box: HdlrBox {
                    handler_type: HdlrBox::HANDLER_TYPE_VIDE,
                    name: b"Video\0".to_vec(),
                },
                minf_box: MinfBox {
                    media_header: Some(MediaHeader::Vmhd(VmhdBox {
                        graphicsmode: VmhdBox::DEFAULT_GRAPHICSMODE,
                        opcolor: VmhdBox::DEFAULT_OPCOLOR,
                    })),
                    dinf_box: DinfBox::LOCAL_FILE,
                    stbl_box: self.sample_tables(layout, picture_offsets, frame_ticks),
                    unknown_boxes: Vec::new(),
                },
                unknown_boxes: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        };
        let sound = self
            .sound
            .map(|cut| sound_track(cut, &layout.sound, sound_offsets, timescale));
        MoovBox {
            mvhd_box: MvhdBox {
                creation_time: NO_TIME,
                modification_time: NO_TIME,
                timescale,
                duration,
                rate: MvhdBox::DEFAULT_RATE,
                volume: MvhdBox::DEFAULT_VOLUME,
                matrix: MvhdBox::DEFAULT_MATRIX,
                next_track_id: SOUND_TRACK + 1,
            },
            trak_boxes: std::iter::once(pictures).chain(sound).collect(),
            mvex_box: None,
            unknown_boxes: vec![metadata::user_data(self.recipe)],
        }
    }

    fn track_header(&self, duration: u64) -> TkhdBox {
        TkhdBox {
            flag_track_enabled: true,
            flag_track_in_movie: true,
            flag_track_in_preview: false,
            flag_track_size_is_aspect_ratio: false,
            creation_time: NO_TIME,
            modification_time: NO_TIME,
            track_id: TRACK,
            duration,
            layer: TkhdBox::DEFAULT_LAYER,
            alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
            volume: TkhdBox::DEFAULT_VIDEO_VOLUME,
            matrix: TkhdBox::DEFAULT_MATRIX,
            width: FixedPointNumber::new(self.width as i16, 0),
            height: FixedPointNumber::new(self.height as i16, 0),
        }
    }

    fn sample_tables(&self, layout: &Layout, offsets: Vec<u64>, frame_ticks: u32) -> StblBox {
        let sizes = &self.samples.sizes;
        StblBox {
            stsd_box: StsdBox {
                entries: vec![SampleEntry::Avc1(self.sample_entry())],
            },
            stts_box: SttsBox {
                entries: vec![SttsEntry {
                    sample_count: sizes.len() as u32,
                    sample_delta: frame_ticks,
                }],
            },
            ctts_box: None,
            cslg_box: None,
            stsc_box: StscBox {
                entries: chunk_lengths(&layout.pictures),
            },
            stsz_box: StszBox::Variable {
                entry_sizes: sizes.clone(),
            },
            stco_or_co64_box: chunk_offsets(offsets),
            stss_box: Some(StssBox {
                sample_numbers: self.samples.key_frames.clone(),
            }),
            sdtp_box: None,
            unknown_boxes: Vec::new(),
        }
    }

    fn sample_entry(&self) -> Avc1Box {
        let [_, profile, compatibility, level, ..] = *self.sps else {
            unreachable!("the encoder's parameter set has a profile and a level")
        };
        Avc1Box {
            visual: VisualSampleEntryFields {
                data_reference_index: NonZeroU16::MIN,
                width: self.width,
                height: self.height,
                horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
                vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
                frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
                compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
                depth: VisualSampleEntryFields::DEFAULT_DEPTH,
            },
            avcc_box: AvccBox {
                avc_profile_indication: profile,
                profile_compatibility: compatibility,
                avc_level_indication: level,
                length_size_minus_one: Uint::new(3),
                sps_list: vec![self.sps.to_vec()],
                pps_list: vec![self.pps.to_vec()],
                chroma_format: Some(Uint::new(1)),
                bit_depth_luma_minus8: Some(Uint::new(0)),
                bit_depth_chroma_minus8: Some(Uint::new(0)),
                sps_ext_list: Vec::new(),
            },
            unknown_boxes: vec![colour_box(Colour::BT709)],
        }
    }
}

const TRACK: u32 = 1;

/// The number of the track with the sound.
pub(super) const SOUND_TRACK: u32 = 2;

/// The same frames make the same file, so it does not say when it was made.
pub(super) const NO_TIME: Mp4FileTime = Mp4FileTime::from_secs(0);

/// Ticks per second, and ticks of a frame.
fn ticks(fps: FrameRate) -> (NonZeroU32, u32) {
    // Players round to milliseconds or finer: a scale of 12 would be legal, and 12,000 is kinder.
    let fits = fps.numerator() < 1000 && fps.denominator() <= u32::MAX / 1000;
    let factor = if fits { 1000 } else { 1 };
    let scale = NonZeroU32::new(fps.numerator() * factor).unwrap_or(NonZeroU32::MIN);
    (scale, fps.denominator() * factor)
}

pub(super) fn media_header(timescale: NonZeroU32, duration: u64) -> MdhdBox {
    MdhdBox {
        creation_time: NO_TIME,
        modification_time: NO_TIME,
        timescale,
        duration,
        language: LanguageCode::UNDEFINED,
    }
}

/// Offsets of 4 bytes if they all fit.
pub(super) fn chunk_offsets(offsets: Vec<u64>) -> Either<StcoBox, Co64Box> {
    let narrow: Option<Vec<u32>> = offsets
        .iter()
        .map(|&offset| u32::try_from(offset).ok())
        .collect();
    match narrow {
        Some(chunk_offsets) => Either::A(StcoBox { chunk_offsets }),
        None => Either::B(Co64Box {
            chunk_offsets: offsets,
        }),
    }
}

/// Runs of chunks with equally many samples. Empty chunks are left out.
pub(super) fn chunk_lengths(chunks: &[Chunk]) -> Vec<StscEntry> {
    let mut runs: Vec<StscEntry> = Vec::new();
    let filled = chunks.iter().filter(|chunk| chunk.samples > 0);
    for (first_chunk, chunk) in (1..).zip(filled) {
        let length = chunk.samples as u32;
        let continues = runs
            .last()
            .is_some_and(|run| run.sample_per_chunk == length);
        if let (false, Some(first_chunk)) = (continues, NonZeroU32::new(first_chunk)) {
            runs.push(StscEntry {
                first_chunk,
                sample_per_chunk: length,
                sample_description_index: NonZeroU32::MIN,
            });
        }
    }
    runs
}

fn colour_box(colour: Colour) -> UnknownBox {
    let mut payload = b"nclx".to_vec();
    for code in [colour.primaries, colour.transfer, colour.matrix] {
        payload.extend_from_slice(&u16::from(code).to_be_bytes());
    }
    payload.push(u8::from(colour.full_range) << 7);
    let box_type = BoxType::Normal(*b"colr");
    let box_size = BoxSize::with_payload_size(box_type, payload.len() as u64);
    UnknownBox {
        box_type,
        box_size,
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_lasts_exactly_its_time() {
        for (text, expected) in [
            ("12", (12_000, 1000)),
            ("30000/1001", (30_000, 1001)),
            ("25/2", (25_000, 2000)),
        ] {
            let (scale, frame) = ticks(text.parse().unwrap());
            assert_eq!((scale.get(), frame), expected, "{text}");
        }
    }

    #[test]
    fn offsets_beyond_4_gib_take_8_bytes() {
        let mut samples = SampleTable::default();
        for index in 0..30 {
            samples.push(1 << 29, index == 0);
        }
        let movie = Movie {
            width: 64,
            height: 32,
            fps: FrameRate::whole(4).unwrap(),
            sps: &[0x67, 100, 0, 30],
            pps: &[0x68],
            samples: &samples,
            sound: None,
            recipe: None,
        };
        let layout = movie.layout();
        let moov = movie.encode(&layout, |moov| 40 + moov).unwrap();
        let position = |kind: &[u8]| moov.windows(4).position(|window| window == kind);
        let at = position(b"co64").unwrap() + 12;
        let first = u64::from_be_bytes(moov[at..at + 8].try_into().unwrap());
        let second = u64::from_be_bytes(moov[at + 8..at + 16].try_into().unwrap());
        assert_eq!(
            (first, second),
            (40 + moov.len() as u64, 40 + moov.len() as u64 + (4 << 29))
        );
        assert!(position(b"stco").is_none());
        assert_eq!(layout.total_bytes(), 30 << 29);
    }

    #[test]
    fn the_last_chunk_may_be_short() {
        let runs = |frames| -> Vec<_> {
            let layout = Layout::new(&vec![1; frames], 12, 1.0, None);
            let lengths = chunk_lengths(&layout.pictures);
            lengths
                .iter()
                .map(|run| (run.first_chunk.get(), run.sample_per_chunk))
                .collect()
        };
        assert_eq!(runs(48), [(1, 12)]);
        assert_eq!(runs(50), [(1, 12), (5, 2)]);
        assert_eq!(runs(5), [(1, 5)]);
    }
}
