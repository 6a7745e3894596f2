//! The sample table: where each frame lies, and when (ISO 14496-12, 8.6 and 8.7).

use super::boxes::find;
use super::fields::Fields;

/// The most samples of a track: 18 hours at 60 frames/s. It bounds what a hostile index makes us allocate.
const MAX_SAMPLES: u32 = 4 << 20;

/// One coded frame, or one packet of sound. Times are in ticks of the track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) duration: u32,
    pub(crate) decode_at: i64,
    pub(crate) show_at: i64,
    /// Whether decoding may begin here.
    pub(crate) sync: bool,
    /// Which line of the codec table describes it, from 1.
    pub(crate) description: u32,
}

/// The samples that the payload of an `stbl` lists, all inside a file of `file_bytes`.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn read(table: &[u8], file_bytes: u64) -> Result<Vec<Sample>, &'static str> {
    const SHORT: &str = "its index is cut short";
    let part = |kind: &[u8; 4]| find(table, kind).map(Fields::new);
    let mut sizes = Sizes::new(part(b"stsz").ok_or(SHORT)?).ok_or(SHORT)?;
    if sizes.count == 0 {
        return Err("it has no frames");
    }
    // Equal sizes take no room in the index: there the file itself is the bound.
    let least = u64::from(sizes.equal.unwrap_or(1).max(1));
    if u64::from(sizes.count) * least > file_bytes || sizes.count > MAX_SAMPLES {
        return Err("its index lists more frames than it can hold");
    }
    let mut durations = Runs::new(part(b"stts").ok_or(SHORT)?).ok_or(SHORT)?;
    let mut delays = part(b"ctts").and_then(Runs::new);
    let syncs = part(b"stss")
        .map(|fields| read_list(fields).ok_or(SHORT))
        .transpose()?;
    let mut chunks = Chunks::new(table).ok_or(SHORT)?;

    let mut samples = Vec::with_capacity(sizes.count as usize);
    let (mut decode_at, mut next_sync) = (0i64, 0);
    for number in 1..=sizes.count {
        let size = sizes.next().ok_or(SHORT)?;
        let duration = durations
            .next()
            .ok_or("its index has no time for some frames")?;
        let (offset, description) = chunks
            .place(u64::from(size))
            .ok_or("its index has no place for some frames")?;
        if offset
            .checked_add(u64::from(size))
            .is_none_or(|end| end > file_bytes)
        {
            return Err("its index points beyond its end");
        }
        let delay = match &mut delays {
            Some(delays) => i64::from(delays.next().unwrap_or(0) as i32),
            None => 0,
        };
        let sync = syncs
            .as_ref()
            .is_none_or(|list| list.get(next_sync) == Some(&number));
        next_sync += usize::from(sync);
        samples.push(Sample {
            offset,
            size,
            duration,
            decode_at,
            show_at: decode_at + delay,
            sync,
            description,
        });
        // At most 2^22 durations of 32 bits: this cannot overflow.
        decode_at += i64::from(duration);
    }
    Ok(samples)
}

/// A box that holds a list of numbers.
fn read_list(mut fields: Fields) -> Option<Vec<u32>> {
    fields.skip(4)?;
    let count = fields.u32()? as usize;
    let mut fields = Fields::new(fields.bytes(count.checked_mul(4)?)?);
    Some(std::iter::from_fn(|| fields.u32()).collect())
}

struct Sizes<'a> {
    count: u32,
    equal: Option<u32>,
    list: Fields<'a>,
}

impl<'a> Sizes<'a> {
    fn new(mut fields: Fields<'a>) -> Option<Self> {
        fields.skip(4)?;
        let equal = Some(fields.u32()?).filter(|&size| size > 0);
        let count = fields.u32()?;
        let fits = equal.is_some() || fields.rest().len() / 4 >= count as usize;
        fits.then_some(Self {
            count,
            equal,
            list: fields,
        })
    }

    fn next(&mut self) -> Option<u32> {
        match self.equal {
            Some(size) => Some(size),
            None => self.list.u32(),
        }
    }
}

/// Numbers of which each holds for a run of samples.
struct Runs<'a> {
    list: Fields<'a>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    fn new(mut fields: Fields<'a>) -> Option<Self> {
        fields.skip(8)?;
        Some(Self {
            list: fields,
            left: 0,
            value: 0,
        })
    }

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.left = self.list.u32()?;
            self.value = self.list.u32()?;
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// Walks the chunks, in which samples lie one behind the other.
struct Chunks<'a> {
    offsets: Fields<'a>,
    wide: bool,
    runs: Fields<'a>,
    /// The run that holds now: samples in each chunk, and their description.
    run: (u32, u32),
    /// The run that comes next, and its first chunk.
    next_run: Option<(u32, (u32, u32))>,
    chunk: u32,
    left: u32,
    at: u64,
}

impl<'a> Chunks<'a> {
    fn new(table: &'a [u8]) -> Option<Self> {
        let (mut offsets, wide) = match find(table, b"co64") {
            Some(payload) => (Fields::new(payload), true),
            None => (Fields::new(find(table, b"stco")?), false),
        };
        offsets.skip(8)?;
        let mut runs = Fields::new(find(table, b"stsc")?);
        runs.skip(8)?;
        let next_run = read_run(&mut runs);
        Some(Self {
            offsets,
            wide,
            runs,
            run: (0, 0),
            next_run,
            chunk: 0,
            left: 0,
            at: 0,
        })
    }

    /// Where the next sample of `size` bytes lies, and its description.
    fn place(&mut self, size: u64) -> Option<(u64, u32)> {
        while self.left == 0 {
            self.at = self.offsets.u32_or_u64(self.wide)?;
            self.chunk += 1;
            while let Some((first, run)) = self.next_run.filter(|(first, _)| *first <= self.chunk) {
                debug_assert!(first <= self.chunk);
                self.run = run;
                self.next_run = read_run(&mut self.runs);
            }
            self.left = self.run.0;
        }
        self.left -= 1;
        let at = self.at;
        self.at = at.checked_add(size)?;
        Some((at, self.run.1))
    }
}

fn read_run(fields: &mut Fields) -> Option<(u32, (u32, u32))> {
    Some((fields.u32()?, (fields.u32()?, fields.u32()?)))
}

#[cfg(test)]
mod tests {
    use super::super::boxes::wrap;
    use super::*;

    fn words(kind: &[u8; 4], words: &[u32]) -> Vec<u8> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        wrap(kind, &bytes)
    }

    fn table(parts: &[(&[u8; 4], &[u32])]) -> Vec<u8> {
        parts
            .iter()
            .flat_map(|(kind, list)| words(kind, list))
            .collect()
    }

    #[test]
    fn frames_lie_behind_each_other_in_chunks() {
        let bytes = table(&[
            (b"stsz", &[0, 0, 4, 10, 20, 30, 40]),
            (b"stts", &[0, 2, 3, 100, 1, 50]),
            (b"ctts", &[0, 2, 1, 200, 3, 0u32.wrapping_sub(100)]),
            (b"stss", &[0, 2, 1, 4]),
            (b"stsc", &[0, 2, 1, 2, 1, 2, 1, 2]),
            (b"stco", &[0, 3, 1000, 2000, 3000]),
        ]);
        let samples = read(&bytes, 10_000).unwrap();
        let places: Vec<_> = samples.iter().map(|s| (s.offset, s.size)).collect();
        assert_eq!(places, [(1000, 10), (1010, 20), (2000, 30), (3000, 40)]);
        let times: Vec<_> = samples.iter().map(|s| (s.decode_at, s.show_at)).collect();
        assert_eq!(times, [(0, 200), (100, 0), (200, 100), (300, 200)]);
        let syncs: Vec<_> = samples.iter().map(|s| s.sync).collect();
        assert_eq!(syncs, [true, false, false, true]);
        assert_eq!((samples[1].description, samples[2].description), (1, 2));
        assert!(read(&bytes, 3039).is_err());
    }

    #[test]
    fn lies_are_refused_without_allocating() {
        let rest: &[(&[u8; 4], &[u32])] = &[
            (b"stts", &[0, 1, u32::MAX, 1]),
            (b"stsc", &[0, 1, 1, u32::MAX, 1]),
            (b"stco", &[0, 1, 0]),
        ];
        let with = |sizes: &[u32]| [words(b"stsz", sizes), table(rest)].concat();
        assert!(read(&with(&[0, 1, u32::MAX]), 1 << 40).is_err());
        assert!(read(&with(&[0, 0, u32::MAX]), 1 << 40).is_err());
        assert!(read(&with(&[0, 0, 0]), 1 << 40).is_err());
        assert!(read(&with(&[0, 1 << 31, 4]), u64::MAX).is_ok());
        assert!(read(&table(rest), 100).is_err());
        assert!(read(b"garbage", 100).is_err());
        // Chunks of no samples do not go on for ever.
        let empty = table(&[
            (b"stsz", &[0, 1, 1]),
            (b"stts", &[0, 1, 1, 1]),
            (b"stsc", &[0, 1, 1, 0, 1]),
            (b"stco", &[0, 2, 0, 0]),
        ]);
        assert!(read(&empty, 100).is_err());
    }
}
