//! Frames are made larger and more behind the sampler, on a thread of their own: a window is sampled while the frames of the one
//! before it are finished.

use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use kinora_media::Frame;

use crate::Error;
use crate::reel::Reel;

/// Bytes of frames that may wait, as far as the number of frames leaves it open.
const WAITING_BYTES: usize = 64 << 20;
/// A piece of the decoder waits in any case, and no more than two windows of the mini family: an error must not have to wait long
/// for what is being finished.
const WAITING_FRAMES: RangeInclusive<usize> = 4..=32;

/// What the sampler hands on.
enum Handed {
    /// A frame of the model, and its place.
    Frame(usize, Frame),
    /// There are no more.
    End,
}

/// Runs `sample`, which hands the model's frames of `size` (width and height in pixels) to what it is given, while `reel` makes
/// frames of the file of those before. Returns what `sample` returns, and the time that `on_frame` took.
///
/// # Errors
///
/// What `sample` and `on_frame` return, and what the reel cannot read. An error on one side ends the other.
///
/// # Panics
///
/// Where `on_frame` does.
pub(crate) fn finish_behind<T>(
    reel: &mut Reel,
    size: [usize; 2],
    on_frame: impl FnMut(&Frame) -> Result<(), Error> + Send,
    sample: impl FnOnce(&mut dyn FnMut(usize, Frame) -> Result<(), Error>) -> Result<T, Error>,
) -> Result<(T, Duration), Error> {
    let bytes = 3 * size.iter().product::<usize>();
    let (fewest, most) = WAITING_FRAMES.into_inner();
    let waiting = (WAITING_BYTES / bytes.max(1)).clamp(fewest, most);
    let (sender, receiver) = sync_channel(waiting);
    thread::scope(|scope| {
        let behind = scope.spawn(move || finish(reel, receiver, on_frame));
        let sampled = hand_on(sender, sample);
        let finished = match behind.join() {
            Ok(finished) => finished,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // When the finisher failed, the sampler only knows that nobody takes its frames.
        let output = finished?;
        Ok((sampled?, output))
    })
}

fn hand_on<T>(
    sender: SyncSender<Handed>,
    sample: impl FnOnce(&mut dyn FnMut(usize, Frame) -> Result<(), Error>) -> Result<T, Error>,
) -> Result<T, Error> {
    let hand = |handed| sender.send(handed).map_err(|_| Error::Stopped);
    let sampled = sample(&mut |place, frame| hand(Handed::Frame(place, frame)))?;
    hand(Handed::End)?;
    Ok(sampled)
}

/// Makes frames of the file until no more come. Where the sampler broke off, what follows the last frame is not shown. Returns the
/// time that `on_frame` took.
fn finish(
    reel: &mut Reel,
    frames: Receiver<Handed>,
    mut on_frame: impl FnMut(&Frame) -> Result<(), Error>,
) -> Result<Duration, Error> {
    let mut spent = Duration::ZERO;
    let mut timed = |frame: &Frame| {
        let clock = Instant::now();
        let taken = on_frame(frame);
        spent += clock.elapsed();
        taken
    };
    for handed in frames {
        match handed {
            Handed::Frame(place, frame) => reel.push(place, &frame, &mut timed)?,
            Handed::End => reel.finish(&mut timed)?,
        }
    }
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finish, Fit, Piece, Rates, Way};
    use burn::tensor::Device;
    use kinora_media::FrameRate;

    const SIZE: [usize; 2] = [8, 4];

    /// Four made frames, and a given one behind them.
    fn reel() -> Reel {
        let fps = FrameRate::whole(12).unwrap();
        let rates = Rates {
            model: fps,
            file: fps,
        };
        let made = Piece::Made {
            places: 0..4,
            frames: 4,
            way: Way::from_start(rates),
            over: None,
        };
        let given = Piece::Still {
            picture: frame(200),
            frames: 1,
        };
        let finish = Finish::plain(&Device::flex());
        Reel::new([8, 4], rates, Fit::Stretch, finish, vec![made, given])
    }

    fn frame(level: u8) -> Frame {
        Frame::filled(8, 4, [level; 3]).unwrap()
    }

    /// The levels that arrive where the sampler breaks off before frame `sampled`, and what it all ends with. `refused` is not
    /// taken.
    fn run(sampled: usize, refused: Option<u8>) -> (Vec<u8>, Result<usize, Error>) {
        let mut shown = Vec::new();
        let take = |frame: &Frame| {
            let level = frame.pixels()[0];
            if Some(level) == refused {
                return Err(Error::EmptyTimeline);
            }
            shown.push(level);
            Ok(())
        };
        let ended = finish_behind(&mut reel(), SIZE, take, |hand_on| {
            for place in 0..4 {
                if place == sampled {
                    return Err(Error::FlatFrame { frame: place });
                }
                hand_on(place, frame(10 * place as u8))?;
            }
            Ok(4)
        });
        (shown, ended.map(|(frames, _)| frames))
    }

    #[test]
    fn all_frames_arrive_in_order() {
        let (shown, ended) = run(9, None);
        assert_eq!((shown, ended.unwrap()), (vec![0, 10, 20, 30, 200], 4));
    }

    #[test]
    fn where_the_sampler_breaks_off_nothing_follows() {
        let (shown, ended) = run(2, None);
        assert_eq!(shown, [0, 10]);
        assert!(matches!(ended, Err(Error::FlatFrame { frame: 2 })));
    }

    /// Not that nobody took the frames, which is all that the sampler knows.
    #[test]
    fn what_the_finisher_says_is_told() {
        let (shown, ended) = run(9, Some(20));
        assert_eq!(shown, [0, 10]);
        assert!(matches!(ended, Err(Error::EmptyTimeline)), "{ended:?}");
        let (shown, ended) = run(9, Some(200));
        assert_eq!(shown, [0, 10, 20, 30]);
        assert!(matches!(ended, Err(Error::EmptyTimeline)), "{ended:?}");
    }
}
