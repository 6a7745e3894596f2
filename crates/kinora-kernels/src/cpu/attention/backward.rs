//! Backward pass: scores are recomputed block by block.
//!
//! Blocks are held transposed, keys × queries: then `dV = Pᵀ·dO` and `dK = dSᵀ·Q` read them as they stand, and only
//! `dQ = dS·K` turns them.

use super::AttentionShape;
use super::softmax::{dot, probabilities_backward};
use crate::cpu::gemm::block::{Out, Packed, multiply};
use crate::cpu::gemm::engine::STRIP;
use crate::cpu::gemm::pack::{lanes_len, pack_lanes, pack_rows, rows_len};
use crate::cpu::gemm::{Engine, vector_level};
use crate::cpu::level::{Level, Precision, level};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Keys of a block: its rows.
const KEYS: usize = 64;
/// Queries of a block: its columns. A multiple of 32, so that packed blocks start at whole tiles.
const QUERIES: usize = 256;

/// Gradients of [`super::attention_forward`] for `d_out`; `dq`, `dk` and `dv` are overwritten.
///
/// # Shapes
/// `q`, `out`, `d_out`, `dq` `[batch, query_tokens, heads, head_dim]`, `k`, `v`, `dk`, `dv`
/// `[batch, key_tokens, heads, head_dim]`, `logsumexp [batch, heads, query_tokens]`, `key_bias [batch, key_tokens]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
#[allow(clippy::too_many_arguments)]
pub fn attention_backward(
    shape: AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &[f32],
    logsumexp: &[f32],
    d_out: &[f32],
    key_bias: Option<&[f32]>,
    scale: f32,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    precision: Precision,
) {
    attention_backward_at(
        level(),
        shape,
        q,
        k,
        v,
        out,
        logsumexp,
        d_out,
        key_bias,
        scale,
        dq,
        dk,
        dv,
        precision,
    );
}

/// [`attention_backward`] with the instructions of `level`, which must be available.
///
/// # Panics
/// As [`attention_backward`], and when the machine lacks the level.
#[allow(clippy::too_many_arguments)]
pub fn attention_backward_at(
    level: Level,
    shape: AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &[f32],
    logsumexp: &[f32],
    d_out: &[f32],
    key_bias: Option<&[f32]>,
    scale: f32,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    precision: Precision,
) {
    let AttentionShape {
        batch,
        heads,
        query_tokens,
        key_tokens,
        head_dim,
    } = shape;
    let queries = [q.len(), out.len(), d_out.len(), dq.len()];
    assert_eq!(
        queries,
        [shape.query_len(); 4],
        "queries, outputs and their gradients are {shape:?}"
    );
    let keys = [k.len(), v.len(), dk.len(), dv.len()];
    assert_eq!(
        keys,
        [shape.key_len(); 4],
        "keys, values and their gradients are {shape:?}"
    );
    assert_eq!(
        logsumexp.len(),
        shape.logsumexp_len(),
        "the log-sum-exp is [batch, heads, query_tokens]"
    );
    shape.check_bias(key_bias);
    if query_tokens == 0 || key_tokens == 0 || batch * heads * head_dim == 0 {
        dq.fill(0.0);
        dk.fill(0.0);
        dv.fill(0.0);
        return;
    }
    let engine = Engine::new(level, precision);
    #[cfg(target_arch = "x86_64")]
    if engine == Engine::AmxBf16 {
        let saved = super::amx::Saved {
            q,
            k,
            v,
            out,
            logsumexp,
            d_out,
            key_bias,
            scale,
        };
        super::amx::backward(shape, saved, dq, dk, dv);
        return;
    }
    let cost = (5 * batch * heads * query_tokens * head_dim).saturating_mul(key_tokens)
        >> engine.cost_shift();
    let (dq, dk, dv) = (Shared::new(dq), Shared::new(dk), Shared::new(dv));
    for_each(batch * heads, cost, |task| {
        let (b, h) = (task / heads, task % heads);
        Head {
            engine,
            q: shape.head(q, query_tokens, b, h),
            k: shape.head(k, key_tokens, b, h),
            v: shape.head(v, key_tokens, b, h),
            out: shape.head(out, query_tokens, b, h),
            d_out: shape.head(d_out, query_tokens, b, h),
            logsumexp: &logsumexp[task * query_tokens..][..query_tokens],
            bias: shape.bias(key_bias, b),
            scale,
            dq: dq.get().wrapping_add(shape.start(query_tokens, b, h)),
            dk: dk.get().wrapping_add(shape.start(key_tokens, b, h)),
            dv: dv.get().wrapping_add(shape.start(key_tokens, b, h)),
            stride: shape.token_stride(),
        }
        .differentiate();
    });
}

/// One head of one sequence.
struct Head<'a> {
    engine: Engine,
    q: MatRef<'a>,
    k: MatRef<'a>,
    v: MatRef<'a>,
    out: MatRef<'a>,
    d_out: MatRef<'a>,
    logsumexp: &'a [f32],
    bias: Option<&'a [f32]>,
    scale: f32,
    dq: *mut f32,
    dk: *mut f32,
    dv: *mut f32,
    stride: usize,
}

/// A right operand in scratch.
struct Strips {
    words: Scratch,
    stride: usize,
}

impl Strips {
    fn pack(engine: Engine, source: MatRef<'_>) -> Self {
        let (lanes, k) = (source.rows(), source.cols());
        let mut words = Scratch::take(lanes_len(engine, lanes, k));
        let stride = engine.padded_words(k) * STRIP;
        // SAFETY: the scratch has the length that packing asks for.
        unsafe { pack_lanes(engine, &source, 0, lanes, 0, k, words.as_mut_ptr(), stride) };
        Self { words, stride }
    }

    /// From lane `lane` (a multiple of 16) and word `word` (likewise) on.
    fn from(&self, lane: usize, word: usize) -> Packed {
        Packed {
            ptr: self
                .words
                .as_ptr()
                .wrapping_add(lane / STRIP * self.stride + word * STRIP),
            stride: self.stride,
        }
    }
}

/// A left operand in scratch.
struct Panels {
    words: Scratch,
    stride: usize,
}

impl Panels {
    fn with_room(engine: Engine, rows: usize, k: usize) -> Self {
        Self {
            words: Scratch::take(rows_len(engine, rows, k)),
            stride: 0,
        }
    }

    /// Packs `rows` rows of `source` from `first` on, in place of what was there.
    fn fill(&mut self, engine: Engine, source: MatRef<'_>, first: usize, rows: usize) -> Packed {
        let k = source.cols();
        // SAFETY: `with_room` was asked for at least these sizes.
        unsafe { pack_rows(engine, &source, first, rows, 0, k, self.words.as_mut_ptr()) };
        self.stride = engine.padded_words(k) * engine.tile_rows();
        Packed {
            ptr: self.words.as_ptr(),
            stride: self.stride,
        }
    }
}

impl Head<'_> {
    fn differentiate(&self) {
        let engine = self.engine;
        let level = vector_level(engine);
        let (queries, keys, head_dim) = (self.q.rows(), self.k.rows(), self.q.cols());
        let q_by_query = Strips::pack(engine, self.q);
        let q_by_channel = Strips::pack(engine, self.q.t());
        let do_by_query = Strips::pack(engine, self.d_out);
        let do_by_channel = Strips::pack(engine, self.d_out.t());
        let k_by_channel = Strips::pack(engine, self.k.t());
        let block = QUERIES.min(queries);
        let width = block.next_multiple_of(STRIP);
        let mut panels_k = Panels::with_room(engine, KEYS, head_dim);
        let mut panels_v = Panels::with_room(engine, KEYS, head_dim);
        // Room for the block as it stands and turned.
        let mut panels_s =
            Scratch::take(rows_len(engine, KEYS, block).max(rows_len(engine, block, KEYS)));
        let mut work = Scratch::take(2 * KEYS * width + 2 * queries);
        let work = work.floats(2 * KEYS * width + 2 * queries);
        let (scores, work) = work.split_at_mut(KEYS * width);
        let (dp, work) = work.split_at_mut(KEYS * width);
        let (delta, logsumexp) = work.split_at_mut(queries);
        for query in 0..queries {
            delta[query] = dot(level, row(&self.out, query), row(&self.d_out, query));
            // A query that saw no key: exp(… − ∞) makes all its probabilities 0.
            let value = self.logsumexp[query];
            logsumexp[query] = if value == f32::NEG_INFINITY {
                f32::INFINITY
            } else {
                value
            };
        }

        let channel_words = engine.words(head_dim);
        let to = |start: *mut f32, token: usize, rows: usize, accumulate: bool| Out {
            c: start.wrapping_add(token * self.stride),
            ldc: self.stride,
            rows,
            cols: head_dim,
            accumulate,
        };
        let product = |words: usize, left: Packed, right: Packed, out: Out| {
            // SAFETY: operands are packed for the engine; the target is scratch or a gradient of this head.
            unsafe { multiply(engine, words, left, right, out, |_, _, _| {}) };
        };
        let pack = |source: MatRef<'_>, panels: &mut Scratch| {
            // SAFETY: the scratch has room for a block in either direction.
            unsafe {
                pack_rows(
                    engine,
                    &source,
                    0,
                    source.rows(),
                    0,
                    source.cols(),
                    panels.as_mut_ptr(),
                )
            };
            Packed {
                ptr: panels.as_ptr(),
                stride: engine.padded_words(source.cols()) * engine.tile_rows(),
            }
        };
        for key in (0..keys).step_by(KEYS) {
            let rows = KEYS.min(keys - key);
            let left_k = panels_k.fill(engine, self.k, key, rows);
            let left_v = panels_v.fill(engine, self.v, key, rows);
            for query in (0..queries).step_by(QUERIES) {
                let cols = QUERIES.min(queries - query);
                let block = |c: &mut [f32]| Out {
                    c: c.as_mut_ptr(),
                    ldc: width,
                    rows,
                    cols,
                    accumulate: false,
                };
                product(
                    channel_words,
                    left_k,
                    q_by_query.from(query, 0),
                    block(scores),
                );
                product(channel_words, left_v, do_by_query.from(query, 0), block(dp));
                for i in 0..rows {
                    probabilities_backward(
                        level,
                        &mut scores[i * width..][..cols],
                        &mut dp[i * width..][..cols],
                        self.scale,
                        self.bias.map_or(0.0, |bias| bias[key + i]),
                        &logsumexp[query..],
                        &delta[query..],
                    );
                }
                let (query_word, key_word) = (query / engine.per_word(), key / engine.per_word());
                let p = pack(MatRef::strided(scores, rows, cols, width, 1), &mut panels_s);
                let target = to(self.dv, key, rows, query > 0);
                product(
                    engine.words(cols),
                    p,
                    do_by_channel.from(0, query_word),
                    target,
                );
                let ds = MatRef::strided(dp, rows, cols, width, 1);
                let left = pack(ds, &mut panels_s);
                let target = to(self.dk, key, rows, query > 0);
                product(
                    engine.words(cols),
                    left,
                    q_by_channel.from(0, query_word),
                    target,
                );
                let left = pack(ds.t(), &mut panels_s);
                let target = to(self.dq, query, cols, key > 0);
                product(
                    engine.words(rows),
                    left,
                    k_by_channel.from(0, key_word),
                    target,
                );
            }
        }
    }
}

/// Row `index` of a matrix whose rows are contiguous.
fn row<'a>(matrix: &MatRef<'a>, index: usize) -> &'a [f32] {
    matrix.row(index).expect("heads have contiguous channels")
}
