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
