//! Writing on a thread of its own, so that the next frames are made while those before them are encoded.

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::sink::{Backend, Written};
use crate::{Error, Frame, Result};

/// Frames that wait for the writer.
const WAITING: usize = 2;

/// A format that is written behind. Its thread begins with the first frame and has ended when this is dropped.
pub(crate) struct Behind(State);

enum State {
    /// Before the first frame, and after an error.
    Idle(Option<Box<dyn Backend>>),
    /// Frames are being written.
    Busy {
        frames: SyncSender<Frame>,
        writer: JoinHandle<Result<Box<dyn Backend>>>,
    },
}

impl Behind {
    pub(crate) fn new(backend: Box<dyn Backend>) -> Self {
        Self(State::Idle(Some(backend)))
    }

    /// Waits until all frames are written.
    fn join(&mut self) -> Result<Option<Box<dyn Backend>>> {
        match std::mem::replace(&mut self.0, State::Idle(None)) {
            State::Idle(backend) => Ok(backend),
            State::Busy { frames, writer } => {
                drop(frames);
                let gone = |_| Error::encoder("video", "its thread ended");
                writer.join().map_err(gone)?.map(Some)
            }
        }
    }
}

/// Writes frames until no more come.
fn write(mut backend: Box<dyn Backend>, frames: &Receiver<Frame>) -> Result<Box<dyn Backend>> {
    for frame in frames {
        backend.push(&frame)?;
    }
    Ok(backend)
}

impl Backend for Behind {
    fn push(&mut self, frame: &Frame) -> Result<()> {
        if let State::Idle(backend) = &mut self.0 {
            let ended = || Error::encoder("video", "it ended with an error before");
            let backend = backend.take().ok_or_else(ended)?;
            let (sender, receiver) = sync_channel(WAITING);
            let writer = std::thread::Builder::new()
                .name("video writer".into())
                .spawn(move || write(backend, &receiver))
                .map_err(|error| Error::encoder("video", error))?;
            self.0 = State::Busy {
                frames: sender,
                writer,
            };
        }
        if let State::Busy { frames, .. } = &self.0
            && frames.send(frame.clone()).is_ok()
        {
            return Ok(());
        }
        // The writer only ends early with an error.
        self.join().map(|_| ())
    }

    fn copy_audio(&mut self, source: &Path, secs: Range<f64>) -> Option<Result<()>> {
        match &mut self.0 {
            State::Idle(Some(backend)) => backend.copy_audio(source, secs),
            _ => Some(Err(Error::encoder(
                "sound",
                "it must be given before the first frame",
            ))),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Written> {
        match self.join()? {
            Some(backend) => backend.finish(),
            None => Err(Error::encoder("video", "it ended with an error before")),
        }
    }
}

impl Drop for Behind {
    /// What the writer leaves behind it removes before this ends.
    fn drop(&mut self) {
        // Nobody waits for the result any more.
        let _ = self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts frames, and refuses the one with this number. What it holds is gone when it is dropped.
    struct Counter {
        frames: u64,
        refused: u64,
        held: Arc<AtomicUsize>,
    }

    impl Counter {
        fn behind(refused: u64, held: &Arc<AtomicUsize>) -> Box<Behind> {
            held.store(1, Ordering::SeqCst);
            Box::new(Behind::new(Box::new(Self {
                frames: 0,
                refused,
                held: held.clone(),
            })))
        }
    }

    impl Backend for Counter {
        fn push(&mut self, _frame: &Frame) -> Result<()> {
            self.frames += 1;
            match self.frames == self.refused {
                true => Err(Error::encoder("test", "refused")),
                false => Ok(()),
            }
        }

        fn finish(self: Box<Self>) -> Result<Written> {
            Ok(Written {
                path: "test".into(),
                frames: self.frames,
                bytes: 0,
            })
        }
    }

    impl Drop for Counter {
        fn drop(&mut self) {
            self.held.store(0, Ordering::SeqCst);
        }
    }

    #[test]
    fn all_frames_arrive() {
        let (held, frame) = (Arc::default(), Frame::filled(2, 2, [0; 3]).unwrap());
        let mut sink = Counter::behind(0, &held);
        (0..20).for_each(|_| sink.push(&frame).unwrap());
        assert_eq!(sink.finish().unwrap().frames, 20);
    }

    #[test]
    fn errors_arrive_and_nothing_is_left() {
        let (held, frame) = (Arc::default(), Frame::filled(2, 2, [0; 3]).unwrap());
        let mut sink = Counter::behind(3, &held);
        let told = (0..20).find_map(|_| sink.push(&frame).err());
        assert!(told.unwrap().to_string().contains("refused"));
        assert!(sink.push(&frame).is_err() && sink.finish().is_err());
        assert_eq!(held.load(Ordering::SeqCst), 0);
        let mut dropped = Counter::behind(0, &held);
        dropped.push(&frame).unwrap();
        drop(dropped);
        assert_eq!(held.load(Ordering::SeqCst), 0);
    }
}
