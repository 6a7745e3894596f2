//! Convolution with 512-bit vectors: no patch is ever copied.
//!
//! A task makes some rows and columns of one frame. What they read is copied once, in bf16 or as it is, with the zeros around it, into a
//! *window* that stays in the second-level cache. There the taps of a row and their channels are neighbours, so a pixel is the sum over
//! *runs*, one for each frame and row of the kernel, and eight pixels at a time are multiplied from where they lie.

use super::clip::Clip;
use super::walk::{Ending, Walk};
use super::window::{Kernel, Pixels, Rows, fill_line};
use crate::cpu::gemm::engine::STRIP;
use crate::cpu::gemm::pack::{Source, pack_lanes};
use crate::cpu::gemm::{Activation, Engine, SharedWords, finish_row, vector_level};
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Words of a window at most, unless eight pixels need more: half of a second-level cache of 1 MiB.
const WINDOW: usize = 1 << 17;

/// Rows and columns of a task at most.
const SIDE: usize = 16;

/// Pixels below which a task is not cut to give every thread some: each window has a margin.
const FEWEST: usize = 64;

/// Words along the summed axis between two visits of a sum, if a run is not longer: three strips of the weight then take a quarter of a
/// second-level cache of 1 MiB.
const DEPTH: usize = 1400;

/// Strips of the weight that a kernel takes at once.
const STRIPS: usize = 3;

/// Whether the engine has such kernels.
pub(super) const fn suits(engine: Engine) -> bool {
    matches!(engine, Engine::Avx512 | Engine::Avx512Bf16)
}

/// How the pixels of a frame are cut into tasks, and what a task's window holds.
struct Plan {
    walk: Walk,
    engine: Engine,
    /// Rows and columns of a task.
    part: [usize; 2],
    /// Tasks along rows and columns.
    parts: [usize; 2],
    /// Rows and columns of a window.
    window: [usize; 2],
    /// Words of a pixel, and of a strip of the weight.
    pixel: usize,
    strip: usize,
}

impl Plan {
    fn new(walk: Walk, engine: Engine) -> Self {
        let [frames, rows, columns] = walk.size_out;
        let pixel = engine.words(walk.channels_in);
        let cut = |part: [usize; 2]| [rows.div_ceil(part[0]), columns.div_ceil(part[1])];
        let window = |part: [usize; 2]| {
            [0, 1].map(|axis| (part[axis] - 1) * walk.stride[axis + 1] + walk.kernel[axis + 1])
        };
        let halve = |part: [usize; 2]| match part[0] > part[1] {
            true => [part[0].div_ceil(2), part[1]],
            false => [part[0], part[1].div_ceil(2)],
        };
        let mut part = [rows.min(SIDE), columns.min(SIDE)];
        // Where there are few rows there is room for more columns.
        part[1] = columns.min(SIDE * SIDE / part[0]);
        part[0] = rows.min(SIDE * SIDE / part[1]);
        while walk.kernel[0] * window(part).iter().product::<usize>() * pixel > WINDOW
            && part[0] * part[1] > Rows::COUNT
        {
            part = halve(part);
        }
        let tasks = 4 * rayon::current_num_threads();
        while walk.batch * frames * cut(part).iter().product::<usize>() < tasks
            && part[0] * part[1] >= 2 * FEWEST
        {
            part = halve(part);
        }
        // As many, but of one size.
        let parts = cut(part);
        let part = [rows.div_ceil(parts[0]), columns.div_ceil(parts[1])];
        Self {
            walk,
            engine,
            part,
            parts: cut(part),
            window: window(part),
            pixel,
            strip: strip_words(engine, &walk),
        }
    }

    /// Words of a run: the taps of a row.
    const fn run(&self) -> usize {
        self.walk.kernel[2] * self.pixel
    }

    /// Words of a line of the window.
    const fn line(&self) -> usize {
        self.window[1] * self.pixel
    }
}

/// Words that [`pack`] may write.
pub(super) fn packed_len(engine: Engine, walk: &Walk) -> usize {
    walk.channels_out.div_ceil(STRIP) * strip_words(engine, walk)
}

/// Words of a strip of the weight, with room for the padding of its last tap.
fn strip_words(engine: Engine, walk: &Walk) -> usize {
    (walk.taps() * engine.words(walk.channels_in) + STRIP) * STRIP
}

/// `out = activation(conv(x, weight) + bias)` with a weight that [`pack`] has packed. The engine [`suits`].
pub(super) fn convolve(
    engine: Engine,
    walk: Walk,
    x: &Clip<'_>,
    weight: *const u32,
    ending: Ending<'_>,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let plan = Plan::new(walk, engine);
    let strips = SharedWords(weight);
    let cost = out.len().saturating_mul(walk.taps() * walk.channels_in) >> engine.cost_shift();
    let of_frame = plan.parts[0] * plan.parts[1];
    let out = Shared::new(out);
    for_each(walk.batch * walk.size_out[0] * of_frame, cost, |task| {
        let (frame, part) = (task / of_frame, task % of_frame);
        let part = Part {
            plan: &plan,
            weight: strips.get(),
            ending,
            frame,
            first: [
                part / plan.parts[1] * plan.part[0],
                part % plan.parts[1] * plan.part[1],
            ],
        };
        part.make(x, out.get());
    });
}

/// The weight as strips of 16 channels that come out, taps one after another with no padding between. Its lanes are channels that come
/// out; summed are `[taps, channels_in]`, in the order of the forward pass. `to` has room for [`packed_len`] words.
pub(super) fn pack(engine: Engine, walk: &Walk, weight: &dyn Source, to: *mut u32) {
    let (pixel, strip) = (engine.words(walk.channels_in), strip_words(engine, walk));
    let strips = walk.channels_out.div_ceil(STRIP);
    let group = strips
        .div_ceil(2 * rayon::current_num_threads())
        .clamp(1, 8);
    let to = Shared::from_ptr(to);
    let elements = walk.taps() * walk.channels_in * walk.channels_out;
    for_each(strips.div_ceil(group), elements, |task| {
        let lane = task * group * STRIP;
        let lanes = (group * STRIP).min(walk.channels_out - lane);
        let to = to.get().wrapping_add(task * group * strip);
        // In order: the padding of each is overwritten by the next.
        for tap in 0..walk.taps() {
            let to = to.wrapping_add(tap * pixel * STRIP);
            let (first, len) = (walk.tap(tap) * walk.channels_in, walk.channels_in);
            // SAFETY: these strips are this task's, with room for the padding of the last tap.
            unsafe {
                pack_lanes(engine, weight, lane, lanes, first, len, to, strip);
            }
        }
    });
}

/// Some rows and columns of one frame, with all channels.
struct Part<'a> {
    plan: &'a Plan,
    weight: *const u32,
    ending: Ending<'a>,
    /// Counted over the batch.
    frame: usize,
    /// Row and column.
    first: [usize; 2],
}

impl Part<'_> {
    fn make(&self, x: &Clip<'_>, out: *mut f32) {
        let plan = self.plan;
        let walk = &plan.walk;
        let [frames, rows, columns] = walk.size_out;
        let size = [
            plan.part[0].min(rows - self.first[0]),
            plan.part[1].min(columns - self.first[1]),
        ];
        let taps = walk.frames(self.frame % frames);
        let kh = walk.kernel[1];
        let mut window = Scratch::take(walk.kernel[0] * plan.window[0] * plan.line());
        self.fill(x, taps.clone(), window.as_mut_ptr());

        // Word at which each run starts for the first pixel.
        let runs: Vec<usize> = taps
            .flat_map(|frame| (0..kh).map(move |row| frame * plan.window[0] + row))
            .map(|line| line * plan.line())
            .collect();
        let first_run = walk.frames(self.frame % frames).start * kh;
        let pieces = (runs.len() * plan.run())
            .div_ceil(DEPTH)
            .clamp(1, runs.len().max(1));
        let piece = runs.len().div_ceil(pieces).max(1);

        let channels = walk.channels_out;
        let strips = channels.div_ceil(STRIP);
        let pixels = Pixels {
            window: window.as_ptr(),
            line: plan.line() * walk.stride[1],
            step: plan.pixel * walk.stride[2],
            out: out.wrapping_add(
                ((self.frame * rows + self.first[0]) * columns + self.first[1]) * channels,
            ),
            out_line: columns * channels,
            out_step: channels,
            size,
        };
        let mut done = 0;
        loop {
            let now = &runs[done..(done + piece).min(runs.len())];
            let ends = done + now.len() == runs.len();
            let mut strip = 0;
            while strip < strips {
                let count = group(strips - strip);
                let at = strip * plan.strip + (first_run + done) * plan.run() * STRIP;
                let kernel = Kernel {
                    engine: plan.engine,
                    runs: now,
                    run: plan.run(),
                    weight: self.weight.wrapping_add(at),
                    stride: plan.strip,
                    strips: count,
                    cols: (count * STRIP).min(channels - strip * STRIP),
                    accumulate: done > 0,
                };
                for first in (0..size[0] * size[1]).step_by(Rows::COUNT) {
                    let rows = pixels.rows(first, strip * STRIP);
                    // SAFETY: the window holds what the runs reach, the strips hold all runs, and the pixels are this task's.
                    unsafe { kernel.multiply(&rows) };
                    if ends {
                        self.finish(&rows, strip * STRIP, kernel.cols);
                    }
                }
                strip += count;
            }
            if ends {
                return;
            }
            done += now.len();
        }
    }

    /// Copies what the part reads of the frames `taps` into the window.
    fn fill(&self, x: &Clip<'_>, taps: std::ops::Range<usize>, window: *mut u32) {
        let plan = self.plan;
        let walk = &plan.walk;
        let [frames_in, rows_in, columns_in] = walk.size_in;
        let (batch, frame) = (
            self.frame / walk.size_out[0],
            self.frame % walk.size_out[0] * walk.stride[0],
        );
        // The columns of the window that are inside the picture.
        let left = self.first[1] * walk.stride[2];
        let start = walk.before[2].saturating_sub(left).min(plan.window[1]);
        let end = (columns_in + walk.before[2])
            .saturating_sub(left)
            .clamp(start, plan.window[1]);
        for (tap, line) in taps.flat_map(|tap| (0..plan.window[0]).map(move |line| (tap, line))) {
            let at = (tap * plan.window[0] + line) * plan.line();
            // SAFETY: lines of the window are apart, and the window is this task's.
            let to = unsafe { std::slice::from_raw_parts_mut(window.add(at), plan.line()) };
            let row = (self.first[0] * walk.stride[1] + line).wrapping_sub(walk.before[1]);
            if row >= rows_in || start == end {
                to.fill(0);
                continue;
            }
            let (margin, rest) = to.split_at_mut(start * plan.pixel);
            let (inside, behind) = rest.split_at_mut((end - start) * plan.pixel);
            margin.fill(0);
            behind.fill(0);
            let frame = batch * frames_in + frame + tap - walk.before[0];
            let column = left + start - walk.before[2];
            let from = (row * columns_in + column) * walk.channels_in;
            let from = x.frame(frame).part(from, (end - start) * walk.channels_in);
            fill_line(plan.engine, from, walk.channels_in, inside);
        }
    }

    /// Bias and activation of sums that are complete.
    fn finish(&self, rows: &Rows, channel: usize, cols: usize) {
        let Ending { bias, activation } = self.ending;
        if bias.is_none() && activation == Activation::None {
            return;
        }
        let bias = bias.map(|bias| &bias[channel..][..cols]);
        for out in rows.out() {
            // SAFETY: these channels of the pixel are this task's, and the kernel has written them.
            let row = unsafe { std::slice::from_raw_parts_mut(*out, cols) };
            finish_row(vector_level(self.plan.engine), row, bias, None, activation);
        }
    }
}

/// Strips for the next kernel, so that none is left alone.
fn group(left: usize) -> usize {
    match left {
        4 => 2,
        left => left.min(STRIPS),
    }
}
