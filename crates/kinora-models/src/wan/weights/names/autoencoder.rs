//! Names of the autoencoders in Wan's own files, which ComfyUI keeps: `wan/modules/vae.py` (2.1) and `vae2_2.py` (2.2).
//!
//! There a block's layers are counted in the sequence that makes it up, activations too. 2.1 counts blocks and steps
//! between sizes in one list; 2.2 has a list for each size.

use std::collections::BTreeSet;

use super::{Table, Tensors, numbered, renamed, replace};

const WHOLE: &Table = &[("conv1", "quant_conv"), ("conv2", "post_quant_conv")];

const HALF: &Table = &[
    ("conv1", "conv_in"),
    ("head.0", "norm_out"),
    ("head.2", "conv_out"),
    ("middle.1", "mid_block.attentions.0"),
];

const RESIDUAL: &Table = &[
    ("residual.0", "norm1"),
    ("residual.2", "conv1"),
    ("residual.3", "norm2"),
    ("residual.6", "conv2"),
    ("shortcut", "conv_shortcut"),
];

pub(super) fn from_original(tensors: Tensors) -> Tensors {
    // Places in 2.1's list that are steps up.
    let steps: BTreeSet<usize> = tensors
        .keys()
        .filter_map(|name| numbered(name, "decoder.upsamples."))
        .filter(|(_, rest)| is_step(rest))
        .map(|(place, _)| place)
        .collect();
    renamed(tensors, |name| {
        let rename = |half: &str, rest: &str| {
            let rest = middle(rest)
                .or_else(|| replace(HALF, rest))
                .or_else(|| match half {
                    "encoder" => down(rest),
                    _ => up(rest, &steps),
                })?;
            Some(format!("{half}.{rest}"))
        };
        match name.split_once('.') {
            Some((half @ ("encoder" | "decoder"), rest)) => rename(half, rest),
            _ => replace(WHOLE, name),
        }
    })
}

/// Whether a layer changes the size.
fn is_step(layer: &str) -> bool {
    layer.starts_with("resample.") || layer.starts_with("time_conv.")
}

fn middle(name: &str) -> Option<String> {
    let (place, rest) = numbered(name, "middle.")?;
    let resnet = match place {
        0 => 0,
        2 => 1,
        _ => return None,
    };
    Some(format!(
        "mid_block.resnets.{resnet}.{}",
        replace(RESIDUAL, rest)?
    ))
}

fn down(name: &str) -> Option<String> {
    let (place, rest) = numbered(name, "downsamples.")?;
    let layer = |rest: &str| match is_step(rest) {
        true => Some(rest.to_owned()),
        false => replace(RESIDUAL, rest),
    };
    match numbered(rest, "downsamples.") {
        None => Some(format!("down_blocks.{place}.{}", layer(rest)?)),
        Some((_, rest)) if is_step(rest) => Some(format!("down_blocks.{place}.downsampler.{rest}")),
        Some((block, rest)) => Some(format!(
            "down_blocks.{place}.resnets.{block}.{}",
            replace(RESIDUAL, rest)?
        )),
    }
}

fn up(name: &str, steps: &BTreeSet<usize>) -> Option<String> {
    let (place, rest) = numbered(name, "upsamples.")?;
    if let Some((block, rest)) = numbered(rest, "upsamples.") {
        return Some(match is_step(rest) {
            true => format!("up_blocks.{place}.upsampler.{rest}"),
            false => format!(
                "up_blocks.{place}.resnets.{block}.{}",
                replace(RESIDUAL, rest)?
            ),
        });
    }
    let size = steps.range(..place).count();
    if is_step(rest) {
        return Some(format!("up_blocks.{size}.upsamplers.0.{rest}"));
    }
    let first = steps.range(..place).next_back().map_or(0, |step| step + 1);
    let block = place - first;
    Some(format!(
        "up_blocks.{size}.resnets.{block}.{}",
        replace(RESIDUAL, rest)?
    ))
}
