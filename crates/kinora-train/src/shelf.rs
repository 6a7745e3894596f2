//! Scenes that are drawn from several times: a large rendering costs more than a step.

use std::collections::VecDeque;

/// The scenes of a step are those numbered `step..step + room`: each step replaces the oldest one. What a step sees depends on
/// its number alone, so a resumed run sees what it would have seen.
pub(crate) struct Shelf<S> {
    scenes: VecDeque<S>,
    room: usize,
    /// Number of the next scene.
    next: u32,
}

impl<S> Shelf<S> {
    /// An empty shelf for `room` scenes, at least one.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            scenes: VecDeque::new(),
            room: room.max(1),
            next: 0,
        }
    }

    /// The scenes of `step`; those that are missing are made. Steps only grow.
    pub(crate) fn at(&mut self, step: u32, mut make: impl FnMut(u32) -> S) -> &VecDeque<S> {
        self.next = self.next.max(step);
        while self.next < step + self.room as u32 {
            self.scenes.push_back(make(self.next));
            self.next += 1;
        }
        while self.scenes.len() > self.room {
            self.scenes.pop_front();
        }
        &self.scenes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_sees_the_same_scenes() {
        let mut whole = Shelf::new(3);
        for step in 0..9 {
            let seen: Vec<u32> = whole.at(step, |number| number).iter().copied().collect();
            assert_eq!(seen, [step, step + 1, step + 2]);
            let mut resumed = Shelf::new(3);
            assert_eq!(*resumed.at(step, |number| number), seen);
        }
    }
}
