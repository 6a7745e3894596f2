//! What is timed: operations at the sizes of the models that matter.

use std::fmt;

use kinora_kernels::cpu::{
    self, AttentionShape, Conv3dShape, Epilogue, GroupedRows, HeadsShape, Int8Matrix, MatRef,
    PackedMatrix,
};
use kinora_kernels::{Activation, Precision};

/// How many values of a result are compared before it is timed.
pub(crate) const SAMPLES: usize = 64;

/// Of a norm.
const EPSILON: f32 = 1e-6;

/// An operation and its size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    /// Rows, channels in, channels out.
    Linear(usize, usize, usize),
    /// The same with a weight that is packed before.
    LinearPacked(usize, usize, usize),
    /// The same in 8 bits.
    LinearInt8(usize, usize, usize),
    /// Gradients for the input and the weight.
    LinearBackward(usize, usize, usize),
    /// Heads of 128, tokens.
    Attention(usize, usize),
    AttentionBackward(usize, usize),
    /// Channels, frames, height, width; 3×3×3, causal.
    Conv3d(usize, [usize; 3]),
    Conv3dBackward(usize, [usize; 3]),
    /// Rows, channels.
    NormModulate(usize, usize),
    /// Tokens, heads of 128.
    RmsNormRope(usize, usize),
    /// Rows, channels.
    Gelu(usize, usize),
}

/// All, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    use Case::*;
    vec![
        Linear(1280, 1536, 1536),
        Linear(1280, 1536, 8960),
        Linear(4096, 1536, 8960),
        Linear(512, 384, 1536),
        LinearPacked(330, 256, 256),
        LinearPacked(330, 256, 1024),
        LinearPacked(1280, 1536, 1536),
        LinearPacked(1280, 1536, 8960),
        LinearInt8(330, 256, 1024),
        LinearInt8(1280, 1536, 1536),
        LinearInt8(1280, 1536, 8960),
        Attention(12, 1280),
        Attention(12, 4096),
        Conv3d(96, [5, 128, 128]),
        Conv3d(384, [5, 32, 32]),
        LinearBackward(1280, 1536, 1536),
        LinearBackward(1280, 1536, 8960),
        AttentionBackward(12, 1280),
        Conv3dBackward(96, [5, 128, 128]),
        Conv3dBackward(384, [5, 32, 32]),
        NormModulate(1280, 1536),
        RmsNormRope(1280, 12),
        Gelu(1280, 1536),
    ]
}

impl Case {
    /// The operation's name.
    pub(crate) fn op(self) -> &'static str {
        match self {
            Case::Linear(..) => "linear",
            Case::LinearPacked(..) => "linear_packed",
            Case::LinearInt8(..) => "linear_int8",
            Case::LinearBackward(..) => "linear_backward",
            Case::Attention(..) => "attention",
            Case::AttentionBackward(..) => "attention_backward",
            Case::Conv3d(..) => "conv3d",
            Case::Conv3dBackward(..) => "conv3d_backward",
            Case::NormModulate(..) => "norm_modulate",
            Case::RmsNormRope(..) => "rms_norm_rope",
            Case::Gelu(..) => "gelu",
        }
    }

    /// Its size, as the peer takes it.
    pub(crate) fn shape(self) -> Vec<usize> {
        match self {
            Case::Linear(m, k, n)
            | Case::LinearPacked(m, k, n)
            | Case::LinearInt8(m, k, n)
            | Case::LinearBackward(m, k, n) => {
                vec![m, k, n]
            }
            Case::Attention(heads, tokens) | Case::AttentionBackward(heads, tokens) => {
                vec![heads, tokens, 128]
            }
            Case::Conv3d(channels, [t, h, w]) | Case::Conv3dBackward(channels, [t, h, w]) => {
                vec![channels, t, h, w]
            }
            Case::NormModulate(rows, channels) | Case::Gelu(rows, channels) => vec![rows, channels],
            Case::RmsNormRope(tokens, heads) => vec![tokens, heads, 128],
        }
    }

    /// The type that its products are taken in, if that is not a matter of precision.
    pub(crate) fn fixed_dtype(self) -> Option<&'static str> {
        matches!(self, Case::LinearInt8(..)).then_some("int8")
    }

    /// Whether products carry its cost.
    pub(crate) fn has_products(self) -> bool {
        !matches!(
            self,
            Case::NormModulate(..) | Case::RmsNormRope(..) | Case::Gelu(..)
        )
    }

    /// Multiplications and additions, in 10⁹; of rows that memory bounds `None`.
    pub(crate) fn gflop(self) -> Option<f64> {
        let product =
            |sizes: &[usize]| sizes.iter().map(|&size| size as f64).product::<f64>() / 1e9;
        Some(match self {
            Case::Linear(m, k, n) | Case::LinearPacked(m, k, n) | Case::LinearInt8(m, k, n) => {
                2.0 * product(&[m, k, n])
            }
            Case::LinearBackward(m, k, n) => 4.0 * product(&[m, k, n]),
            Case::Attention(heads, tokens) => 4.0 * product(&[heads, tokens, tokens, 128]),
            // Scores and their gradient once more, and three products for queries, keys and values.
            Case::AttentionBackward(heads, tokens) => 10.0 * product(&[heads, tokens, tokens, 128]),
            Case::Conv3d(channels, [t, h, w]) => 2.0 * product(&[27, channels, channels, t, h, w]),
            Case::Conv3dBackward(channels, [t, h, w]) => {
                4.0 * product(&[27, channels, channels, t, h, w])
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self.shape().iter().map(usize::to_string).collect();
        write!(f, "{} {}", self.op(), shape.join("×"))
    }
}

/// A case with its inputs and outputs.
pub(crate) struct Ours {
    case: Case,
    precision: Precision,
    inputs: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
    packed: Option<PackedMatrix>,
    int8: Option<Int8Matrix>,
}

/// Values between −1 and 1 that the peer makes alike: a hash of the place and the number of the input.
fn noise(len: usize, input: u32) -> Vec<f32> {
    let value = |place: u32| {
        let mut hash = place.wrapping_mul(0x9e37_79b1) ^ (input + 1).wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 15;
        hash = hash.wrapping_mul(0x2c1b_3c6d);
        hash ^= hash >> 12;
        (hash >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len as u32).map(value).collect()
}

impl Ours {
    pub(crate) fn new(case: Case, precision: Precision) -> Self {
        let (inputs, outputs): (Vec<usize>, Vec<usize>) = match case {
            Case::Linear(m, k, n) | Case::LinearPacked(m, k, n) | Case::LinearInt8(m, k, n) => {
                (vec![m * k, k * n, n], vec![m * n])
            }
            Case::LinearBackward(m, k, n) => (vec![m * k, k * n, m * n], vec![m * k, k * n]),
            Case::Attention(heads, tokens) => (
                vec![heads * tokens * 128; 3],
                vec![heads * tokens * 128, heads * tokens],
            ),
            Case::AttentionBackward(heads, tokens) => {
                let len = heads * tokens * 128;
                (vec![len; 4], vec![len, len, len, len, heads * tokens])
            }
            Case::Conv3d(channels, size) => {
                let shape = conv_shape(channels, size);
                (
                    vec![shape.input_len(), shape.weight_len(), channels],
                    vec![shape.output_len()],
                )
            }
            Case::Conv3dBackward(channels, size) => {
                let shape = conv_shape(channels, size);
                let inputs = vec![shape.input_len(), shape.weight_len(), shape.output_len()];
                (inputs, vec![shape.input_len(), shape.weight_len()])
            }
            Case::NormModulate(rows, channels) => (
                vec![rows * channels, channels, channels],
                vec![rows * channels, rows, rows],
            ),
            Case::RmsNormRope(tokens, heads) => {
                let angles = tokens * 64;
                (
                    vec![tokens * heads * 128, 128, angles, angles],
                    vec![tokens * heads * 128, tokens * heads],
                )
            }
            Case::Gelu(rows, channels) => (vec![rows * channels], vec![rows * channels]),
        };
        let mut ours = Self {
            case,
            precision,
            inputs: inputs
                .into_iter()
                .zip(0..)
                .map(|(len, input)| noise(len, input))
                .collect(),
            outputs: outputs.into_iter().map(|len| vec![0.0; len]).collect(),
            packed: None,
            int8: None,
        };
        match case {
            Case::LinearPacked(_, k, n) => {
                let weight = MatRef::new(&ours.inputs[1], k, n);
                ours.packed = Some(PackedMatrix::pack(weight, precision));
            }
            Case::LinearInt8(_, k, n) => {
                ours.int8 = Some(Int8Matrix::new(MatRef::new(&ours.inputs[1], k, n)));
            }
            _ => {}
        }
        if let Case::AttentionBackward(heads, tokens) = case {
            // What the forward pass left behind.
            let [q, k, v, _] = &ours.inputs[..] else {
                return ours;
            };
            let [.., out, sums] = &mut ours.outputs[..] else {
                return ours;
            };
            let shape = attention_shape(heads, tokens);
            cpu::attention_forward(
                shape,
                q,
                k,
                v,
                None,
                128f32.powf(-0.5),
                out,
                sums,
                precision,
            );
        }
        ours
    }

    pub(crate) fn case(&self) -> Case {
        self.case
    }

    /// Runs it once.
    pub(crate) fn call(&mut self) {
        let precision = self.precision;
        match (self.case, &self.inputs[..], &mut self.outputs[..]) {
            (Case::Linear(m, k, n) | Case::LinearPacked(m, k, n), [x, weight, bias], [out]) => {
                let epilogue = Epilogue {
                    bias: Some(bias),
                    ..Epilogue::default()
                };
                let x = MatRef::new(x, m, k);
                // At the portable level, which the result is compared with, nothing is packed before.
                match &self.packed {
                    Some(packed) if packed.fits(precision) => {
                        cpu::gemm_packed(x, packed, out, epilogue);
                    }
                    _ => cpu::gemm(x, MatRef::new(weight, k, n), out, epilogue, precision),
                }
            }
            (Case::LinearInt8(m, k, _), [x, _, bias], [out]) => {
                let epilogue = Epilogue {
                    bias: Some(bias),
                    ..Epilogue::default()
                };
                let weight = self.int8.as_ref().expect("made with the case");
                cpu::gemm_int8(MatRef::new(x, m, k), weight, out, epilogue);
            }
            (Case::LinearBackward(m, k, n), [x, weight, d_out], [d_x, d_weight]) => {
                let d_out = MatRef::new(d_out, m, n);
                let weight = MatRef::new(weight, k, n);
                cpu::gemm(d_out, weight.t(), d_x, Epilogue::default(), precision);
                cpu::gemm(
                    MatRef::new(x, m, k).t(),
                    d_out,
                    d_weight,
                    Epilogue::default(),
                    precision,
                );
            }
            (Case::Attention(heads, tokens), [q, k, v], [out, sums]) => {
                let shape = attention_shape(heads, tokens);
                cpu::attention_forward(
                    shape,
                    q,
                    k,
                    v,
                    None,
                    128f32.powf(-0.5),
                    out,
                    sums,
                    precision,
                );
            }
            (Case::AttentionBackward(heads, tokens), [q, k, v, d_out], [dq, dk, dv, out, sums]) => {
                let (shape, scale) = (attention_shape(heads, tokens), 128f32.powf(-0.5));
                cpu::attention_backward(
                    shape, q, k, v, out, sums, d_out, None, scale, dq, dk, dv, precision,
                );
            }
            (Case::Conv3d(channels, size), [x, weight, bias], [out]) => {
                let shape = conv_shape(channels, size);
                cpu::conv3d_forward(
                    shape,
                    x,
                    weight,
                    Some(bias),
                    Activation::None,
                    out,
                    precision,
                );
            }
            (Case::Conv3dBackward(channels, size), [x, weight, d_out], [d_x, d_weight]) => {
                let shape = conv_shape(channels, size);
                cpu::conv3d_backward_input(shape, weight, d_out, d_x, precision);
                cpu::conv3d_backward_weight(shape, x, d_out, d_weight, precision);
            }
            (Case::NormModulate(rows, channels), [x, shift, scale], [out, mean, rstd]) => {
                let shape = GroupedRows {
                    groups: 1,
                    rows,
                    channels,
                };
                cpu::norm_modulate_forward(shape, x, shift, scale, EPSILON, out, mean, rstd);
            }
            (Case::RmsNormRope(tokens, heads), [x, weight, cos, sin], [out, rstd]) => {
                let shape = HeadsShape {
                    batch: 1,
                    tokens,
                    heads,
                    head_dim: 128,
                };
                cpu::rms_norm_rope_forward(shape, x, weight, Some((cos, sin)), EPSILON, out, rstd);
            }
            (Case::Gelu(..), [x], [out]) => cpu::activation_forward(Activation::GeluTanh, x, out),
            (case, ..) => unreachable!("{case} has other inputs"),
        }
    }

    /// Values of the first result, evenly spread.
    pub(crate) fn sample(&self, count: usize) -> Vec<f32> {
        let out = &self.outputs[0];
        let step = out.len() / count;
        (0..count).map(|index| out[index * step]).collect()
    }
}

fn attention_shape(heads: usize, tokens: usize) -> AttentionShape {
    AttentionShape {
        batch: 1,
        heads,
        query_tokens: tokens,
        key_tokens: tokens,
        head_dim: 128,
    }
}

/// Two frames come before the clip: the convolution is causal.
fn conv_shape(channels: usize, [frames, height, width]: [usize; 3]) -> Conv3dShape {
    Conv3dShape {
        batch: 1,
        frames_in: frames + 2,
        frames_before: 0,
        height,
        width,
        channels_in: channels,
        channels_out: channels,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        padding: [1, 1],
    }
}

/// Whether two results agree, against the largest value. Sums in another order differ by about 1e-6 of it, bf16 inputs by 4e-3 each.
pub(crate) fn compare(got: &[f32], expected: &[f32], precision: Precision) -> Result<(), String> {
    let largest = expected
        .iter()
        .fold(1e-6f32, |largest, value| largest.max(value.abs()));
    let tolerance = match precision {
        Precision::F32 => 1e-4,
        Precision::Bf16 => 2e-2,
    };
    if got.len() != expected.len() {
        return Err(format!("{} values for {}", got.len(), expected.len()));
    }
    let differs = |(a, b): (&f32, &f32)| {
        let difference = (a - b).abs();
        difference.is_nan() || difference > tolerance * largest
    };
    match got.iter().zip(expected).position(differs) {
        None => Ok(()),
        Some(place) => Err(format!(
            "value {place} is {} and not {}",
            got[place], expected[place]
        )),
    }
}
