//! When the frames of a track are shown: its edit list (ISO 14496-12, 8.6.6).

use std::ops::Range;

use super::fields::Fields;

/// One line of an edit list. A negative `media_time` is a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// In ticks of the film; 0 is "to the end".
    pub(super) duration: u64,
    /// In ticks of the track.
    pub(super) media_time: i64,
    /// 16.16; 1 is the ordinary speed.
    pub(super) rate: i32,
}

/// Reads the payload of an `elst`; `None` if it is broken.
pub(super) fn read(payload: &[u8]) -> Option<Vec<Edit>> {
    let mut fields = Fields::new(payload);
    let wide = fields.u32()? >> 24 == 1;
    let count = fields.u32()?;
    // Each line is read before the next is allocated: a lying count ends at the box's end.
    (0..count)
        .map(|_| {
            Some(Edit {
                duration: fields.u32_or_u64(wide)?,
                media_time: if wide {
                    fields.i64()?
                } else {
                    i64::from(fields.i32()?)
                },
                rate: fields.i32()?,
            })
        })
        .collect()
}

/// Which stretches of a track are shown, and when. All in ticks of the track.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    spans: Vec<Span>,
    /// What the film's coarser clock may be wrong by.
    slack: i64,
}

#[derive(Debug, PartialEq, Eq)]
struct Span {
    media: Range<i64>,
    shown_at: i64,
}

/// Clocks of the film and the track, in ticks per second.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) movie: u32,
    pub(super) track: u32,
}

impl Timeline {
    /// The timeline of a track whose frames fill `media`. Without edits it begins with its first frame. `None` if the edits go
    /// backwards, repeat or change the speed.
    pub(super) fn new(edits: &[Edit], clocks: Clocks, media: Range<i64>) -> Option<Self> {
        let slack = i64::from(clocks.track / clocks.movie.max(1)) + 1;
        if edits.is_empty() {
            let whole = Span { media, shown_at: 0 };
            return Some(Self {
                spans: vec![whole],
                slack,
            });
        }
        let (mut spans, mut shown_at) = (Vec::<Span>::new(), 0i64);
        for edit in edits {
            let length = to_track_ticks(edit.duration, clocks);
            if edit.media_time < 0 {
                shown_at = shown_at.checked_add(length)?;
                continue;
            }
            let start = edit.media_time;
            if start > i64::MAX / 4 {
                return None;
            }
            let end = start.saturating_add(length);
            // The film's clock rounds, and 0 stands for "to the end".
            let to_end =
                length == 0 || end.saturating_sub(media.end).unsigned_abs() <= slack as u64;
            let end = if to_end { media.end } else { end };
            let follows = spans
                .last()
                .is_none_or(|last| start >= last.media.end.saturating_sub(slack));
            if edit.rate != 1 << 16 || !follows {
                return None;
            }
            spans.push(Span {
                media: start..end,
                shown_at,
            });
            shown_at = shown_at.checked_add(length)?;
        }
        Some(Self { spans, slack })
    }

    /// When what lies at `media` in the track is shown; `None` if it is not.
    pub(super) fn shown(&self, media: Range<i64>) -> Option<Range<i64>> {
        self.spans.iter().find_map(|span| {
            let start = media.start.max(span.media.start);
            let end = media.end.min(span.media.end);
            let (whole, part) = (
                media.end.saturating_sub(media.start),
                end.saturating_sub(start),
            );
            // A sliver is what rounding left of a frame that was cut off.
            let sliver = part <= self.slack && part < whole / 2;
            let at = |tick: i64| (tick - span.media.start).saturating_add(span.shown_at);
            (part > 0 && !sliver).then(|| at(start)..at(end))
        })
    }

    /// What lies in the track at `shown`, as far as one stretch holds it.
    pub(super) fn media(&self, shown: Range<i64>) -> Option<(Range<i64>, i64)> {
        self.spans.iter().find_map(|span| {
            let length = span.media.end.saturating_sub(span.media.start);
            let start = shown.start.max(span.shown_at);
            let end = shown.end.min(span.shown_at.saturating_add(length));
            let at = |tick: i64| (tick - span.shown_at).saturating_add(span.media.start);
            (start < end).then(|| (at(start)..at(end), start))
        })
    }
}

fn to_track_ticks(movie_ticks: u64, clocks: Clocks) -> i64 {
    let movie = u128::from(clocks.movie.max(1));
    let ticks = (u128::from(movie_ticks) * u128::from(clocks.track) + movie / 2) / movie;
    i64::try_from(ticks).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKS: Clocks = Clocks {
        movie: 1000,
        track: 12_000,
    };

    fn edit(duration: u64, media_time: i64) -> Edit {
        Edit {
            duration,
            media_time,
            rate: 1 << 16,
        }
    }

    #[test]
    fn without_edits_the_first_frame_is_at_zero() {
        let timeline = Timeline::new(&[], CLOCKS, 2000..26_000).unwrap();
        assert_eq!(timeline.shown(2000..3000), Some(0..1000));
    }

    #[test]
    fn a_pause_delays_and_an_offset_hides() {
        let edits = [edit(500, -1), edit(1000, 2000)];
        let timeline = Timeline::new(&edits, CLOCKS, 0..24_000).unwrap();
        assert_eq!(timeline.shown(0..1000), None);
        assert_eq!(timeline.shown(2000..3000), Some(6000..7000));
        // What begins before the cut is shown from it.
        assert_eq!(timeline.shown(1000..5000), Some(6000..9000));
        assert_eq!(timeline.shown(13_000..15_000), Some(17_000..18_000));
        assert_eq!(timeline.shown(14_000..15_000), None);
        assert_eq!(timeline.media(6000..7000), Some((2000..3000, 6000)));
        assert_eq!(timeline.media(0..7000), Some((2000..3000, 6000)));
    }

    #[test]
    fn rounding_of_the_films_clock_cuts_nothing() {
        // 20 frames at 24 frames/s are 833.3 ms.
        let clocks = Clocks {
            movie: 1000,
            track: 12_288,
        };
        let timeline = Timeline::new(&[edit(833, 1024)], clocks, 1024..11_264).unwrap();
        assert_eq!(timeline.shown(10_752..11_264), Some(9728..10_240));
    }

    #[test]
    fn what_does_not_run_forwards_is_refused() {
        let backwards = [edit(100, 6000), edit(100, 0)];
        assert_eq!(Timeline::new(&backwards, CLOCKS, 0..24_000), None);
        let slow = Edit {
            rate: 1 << 15,
            ..edit(100, 0)
        };
        assert_eq!(Timeline::new(&[slow], CLOCKS, 0..24_000), None);
        let endless = [edit(u64::MAX, -1), edit(u64::MAX, -1), edit(u64::MAX, -1)];
        let _ = Timeline::new(&endless, CLOCKS, 0..24_000);
        assert_eq!(Timeline::new(&[edit(1000, 0); 5], CLOCKS, 0..24_000), None);
    }

    #[test]
    fn a_lying_count_is_none() {
        let one = [
            &[0, 0, 0, 0, 255, 255, 255, 255][..],
            &[0, 0, 0, 9, 0, 0, 0, 0, 0, 1, 0, 0],
        ]
        .concat();
        assert_eq!(read(&one), None);
        let honest = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &one[8..]].concat();
        assert_eq!(read(&honest), Some(vec![edit(9, 0)]));
    }
}
