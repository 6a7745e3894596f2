//! The track of sound that lies beside the pictures.

use std::num::NonZeroU32;

use shiguredo_mp4::boxes::{
    DinfBox, EdtsBox, ElstBox, ElstEntry, HdlrBox, MdiaBox, MediaHeader, MinfBox, SampleEntry,
    SmhdBox, StblBox, StscBox, StsdBox, StszBox, SttsBox, SttsEntry, TkhdBox, TrakBox, UnknownBox,
};
use shiguredo_mp4::{BoxSize, BoxType, FixedPointNumber};

use super::audio::Cut;
use super::boxes;
use super::layout::Chunk;
use super::moov::{NO_TIME, SOUND_TRACK, chunk_lengths, chunk_offsets, media_header};

/// A track that plays `cut` beside pictures whose clock has `movie` ticks per second.
pub(super) fn sound_track(
    cut: &Cut,
    chunks: &[Chunk],
    offsets: Vec<u64>,
    movie: NonZeroU32,
) -> TrakBox {
    let timescale = NonZeroU32::new(cut.ticks_per_sec).unwrap_or(NonZeroU32::MIN);
    let to_movie = |ticks: u64| {
        let (movie, own) = (u128::from(movie.get()), u128::from(timescale.get()));
        ((u128::from(ticks) * movie + own / 2) / own) as u64
    };
    let edit = |edit_duration: u64, media_time: i64| ElstEntry {
        edit_duration,
        media_time,
        media_rate: FixedPointNumber::new(1, 0),
    };
    let pause = (cut.pause > 0).then(|| edit(to_movie(cut.pause), -1));
    let heard = edit(to_movie(cut.heard), cut.lead as i64);
    let mut times: Vec<SttsEntry> = Vec::new();
    for packet in &cut.packets {
        match times.last_mut() {
            Some(run) if run.sample_delta == packet.duration => run.sample_count += 1,
            _ => times.push(SttsEntry {
                sample_count: 1,
                sample_delta: packet.duration,
            }),
        }
    }
    let offsets = offsets.into_iter().zip(chunks);
    let offsets = offsets.filter(|(_, chunk)| chunk.samples > 0);
    let stored = cut
        .packets
        .iter()
        .map(|packet| u64::from(packet.duration))
        .sum();
    TrakBox {
        tkhd_box: TkhdBox {
            flag_track_enabled: true,
            flag_track_in_movie: true,
            flag_track_in_preview: false,
            flag_track_size_is_aspect_ratio: false,
            creation_time: NO_TIME,
            modification_time: NO_TIME,
            track_id: SOUND_TRACK,
            duration: to_movie(cut.pause + cut.heard),
            layer: TkhdBox::DEFAULT_LAYER,
            alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
            volume: TkhdBox::DEFAULT_AUDIO_VOLUME,
            matrix: TkhdBox::DEFAULT_MATRIX,
            width: FixedPointNumber::new(0, 0),
            height: FixedPointNumber::new(0, 0),
        },
        edts_box: Some(EdtsBox {
            elst_box: Some(ElstBox {
                entries: pause.into_iter().chain([heard]).collect(),
            }),
            unknown_boxes: Vec::new(),
        }),
        mdia_box: MdiaBox {
            mdhd_box: media_header(timescale, stored),
            hdlr_box: HdlrBox {
                handler_type: HdlrBox::HANDLER_TYPE_SOUN,
                name: b"Sound\0".to_vec(),
            },
            minf_box: MinfBox {
                media_header: Some(MediaHeader::Smhd(SmhdBox {
                    balance: FixedPointNumber::new(0, 0),
                })),
                dinf_box: DinfBox::LOCAL_FILE,
                stbl_box: StblBox {
                    stsd_box: StsdBox {
                        entries: vec![SampleEntry::Unknown(raw_box(b"mp4a", &cut.entry))],
                    },
                    stts_box: SttsBox { entries: times },
                    ctts_box: None,
                    cslg_box: None,
                    stsc_box: StscBox {
                        entries: chunk_lengths(chunks),
                    },
                    stsz_box: StszBox::Variable {
                        entry_sizes: cut.packets.iter().map(|packet| packet.size).collect(),
                    },
                    stco_or_co64_box: chunk_offsets(offsets.map(|(offset, _)| offset).collect()),
                    stss_box: None,
                    sdtp_box: None,
                    unknown_boxes: Vec::new(),
                },
                unknown_boxes: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        },
        unknown_boxes: Vec::new(),
    }
}

/// A box of `kind` around the payload of `whole`, which is one.
fn raw_box(kind: &[u8; 4], whole: &[u8]) -> UnknownBox {
    let payload = boxes::find(whole, kind).unwrap_or_default().to_vec();
    let box_type = BoxType::Normal(*kind);
    UnknownBox {
        box_type,
        box_size: BoxSize::with_payload_size(box_type, payload.len() as u64),
        payload,
    }
}
