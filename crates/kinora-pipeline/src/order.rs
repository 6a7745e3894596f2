//! In which order the windows of a timeline are sampled: from what is known outwards.

use std::ops::Range;

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// Latent frames that are seen.
    pub(crate) sees: Range<usize>,
    /// Those of them that are made; the others are known, or were made by windows before.
    pub(crate) makes: Range<usize>,
}

/// The windows that make all that is not `known`, each of at most `window` latent frames, `overlap` of which are those that
/// stand beside what it makes.
///
/// | known beside a gap | order |
/// | --- | --- |
/// | nothing, or what is before it | forwards |
/// | what is after it | backwards, from the known frames outwards |
/// | both | forwards; the last window joins both sides and makes as much as a window can |
pub(crate) fn order(known: &[bool], window: usize, overlap: usize) -> Vec<Span> {
    assert!(overlap < window, "a window must make something new");
    let mut done = known.to_vec();
    let mut spans = Vec::new();
    for gap in gaps(known) {
        for makes in cut(&gap, known.len(), window, overlap) {
            let before = done[..makes.start].iter().rev().take_while(|done| **done);
            let after = done[makes.end..].iter().take_while(|done| **done);
            let room = window - makes.len();
            let left = before.take(overlap).count().min(room);
            let right = after.take(overlap).count().min(room - left);
            done[makes.clone()].fill(true);
            spans.push(Span {
                sees: makes.start - left..makes.end + right,
                makes,
            });
        }
    }
    spans
}

/// Longest stretches of what is not known.
fn gaps(known: &[bool]) -> Vec<Range<usize>> {
    let mut gaps: Vec<Range<usize>> = Vec::new();
    for index in (0..known.len()).filter(|&index| !known[index]) {
        match gaps.last_mut() {
            Some(gap) if gap.end == index => gap.end += 1,
            _ => gaps.push(index..index + 1),
        }
    }
    gaps
}

/// The pieces of a gap in the order in which they are made.
fn cut(gap: &Range<usize>, total: usize, window: usize, overlap: usize) -> Vec<Range<usize>> {
    let new = window - overlap;
    let (before, after) = (gap.start > 0, gap.end < total);
    let mut pieces = Vec::new();
    let mut left = gap.clone();
    if !before && after {
        while !left.is_empty() {
            let start = left.end.saturating_sub(new).max(left.start);
            pieces.push(start..left.end);
            left.end = start;
        }
        return pieces;
    }
    // What the window that joins both sides makes.
    let joint = if after {
        new.saturating_sub(overlap).max(1)
    } else {
        0
    };
    while !left.is_empty() {
        let first = left.start == 0;
        let most = if first { window } else { new };
        let take = match left.len() {
            len if after && len <= joint => len,
            len => most.min(len - joint),
        };
        pieces.push(left.start..left.start + take);
        left.start += take;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(text: &str) -> Vec<bool> {
        text.chars().map(|c| c == 'k').collect()
    }

    fn spans(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
        order(&layout(text), 5, 1)
            .into_iter()
            .map(|span| (span.sees, span.makes))
            .collect()
    }

    #[test]
    fn each_task_has_its_order() {
        // Text to video: forwards.
        assert_eq!(
            spans("............."),
            [(0..5, 0..5), (4..9, 5..9), (8..13, 9..13)]
        );
        // Extended forwards and backwards.
        assert_eq!(spans("kk......"), [(1..6, 2..6), (5..8, 6..8)]);
        assert_eq!(spans("......kk"), [(2..7, 2..6), (0..3, 0..2)]);
        // A gap in one window, and in three.
        assert_eq!(spans("kk...kk"), [(1..6, 2..5)]);
        assert_eq!(
            spans("k.........k"),
            [(0..5, 1..5), (4..7, 5..7), (6..11, 7..10)]
        );
        // A picture in the middle: both ways from it.
        assert_eq!(spans("..k.."), [(0..3, 0..2), (2..5, 3..5)]);
        assert!(spans("kkk").is_empty() && spans("").is_empty());
    }

    #[test]
    fn all_is_made_once_from_what_is_known_or_made() {
        for bits in 0..1_u32 << 11 {
            let known: Vec<bool> = (0..11).map(|i| bits >> i & 1 == 1).collect();
            for (window, overlap) in [(5, 1), (4, 2), (2, 1), (3, 0), (16, 5)] {
                let mut done = known.clone();
                for Span { sees, makes } in order(&known, window, overlap) {
                    assert!(sees.len() <= window && !makes.is_empty());
                    for index in sees {
                        assert_eq!(done[index], !makes.contains(&index), "{bits:b}");
                    }
                    done[makes].fill(true);
                }
                assert!(done.iter().all(|done| *done), "{bits:b}");
            }
        }
    }
}
