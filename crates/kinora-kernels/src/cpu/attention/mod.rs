//! Attention without a score matrix in memory (FlashAttention-2, Dao 2023), forward and backward.
//!
//! Blocks of scores live in a thread's scratch; the products use the packed micro-kernels of the matrix product, so
//! every CPU level that multiplies fast also attends fast.

#[cfg(target_arch = "x86_64")]
mod amx;
mod backward;
mod forward;
mod softmax;
#[cfg(test)]
mod tests;

pub use backward::{attention_backward, attention_backward_at};
pub use forward::{attention_forward, attention_forward_at};

use super::matrix::MatRef;

/// Sizes of an attention call. Queries, keys, values and outputs are `[batch, tokens, heads, head_dim]`, contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Independent sequences.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Tokens that ask.
    pub query_tokens: usize,
    /// Tokens that are asked.
    pub key_tokens: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

impl AttentionShape {
    /// Elements of queries and outputs.
    #[must_use]
    pub const fn query_len(&self) -> usize {
        self.batch * self.query_tokens * self.heads * self.head_dim
    }

    /// Elements of keys and of values.
    #[must_use]
    pub const fn key_len(&self) -> usize {
        self.batch * self.key_tokens * self.heads * self.head_dim
    }

    /// Elements of the log-sum-exp: `[batch, heads, query_tokens]`.
    #[must_use]
    pub const fn logsumexp_len(&self) -> usize {
        self.batch * self.heads * self.query_tokens
    }

    /// Elements between two tokens of one head.
    const fn token_stride(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Where head `head` of sequence `batch` starts when a sequence has `tokens`.
    const fn start(&self, tokens: usize, batch: usize, head: usize) -> usize {
        (batch * tokens * self.heads + head) * self.head_dim
    }

    /// One head of a sequence as a matrix `[tokens, head_dim]`.
    fn head<'a>(&self, data: &'a [f32], tokens: usize, batch: usize, head: usize) -> MatRef<'a> {
        MatRef::strided(
            &data[self.start(tokens, batch, head)..],
            tokens,
            self.head_dim,
            self.token_stride(),
            1,
        )
    }

    fn check_bias(&self, key_bias: Option<&[f32]>) {
        if let Some(bias) = key_bias {
            assert_eq!(
                bias.len(),
                self.batch * self.key_tokens,
                "a key bias is [batch, key_tokens]"
            );
        }
    }

    fn bias<'a>(&self, key_bias: Option<&'a [f32]>, batch: usize) -> Option<&'a [f32]> {
        key_bias.map(|bias| &bias[batch * self.key_tokens..][..self.key_tokens])
    }
}
