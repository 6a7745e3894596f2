//! A trained denoiser with room for further latent channels.

use kinora_models::weights::{TensorMap, Values};

/// Makes room for further latent channels in the layers that know them: nothing comes of what goes in there, and nothing comes out, until
/// it is learned.
pub(crate) fn make_room(tensors: &mut TensorMap, [old, new]: [usize; 2]) {
    if new <= old {
        return;
    }
    let zeros = |shape: Vec<usize>| Values {
        data: vec![0.0; shape.iter().product()],
        shape,
    };
    if let Some(embed) = tensors.get_mut("model.transformer.embed.weight")
        && let &[inputs, width] = embed.shape.as_slice()
    {
        // Latents, then those of the plate, then what covers it.
        let mut rows = zeros(vec![inputs + 2 * (new - old), width]);
        let covers = inputs.saturating_sub(2 * old);
        for (from, to, count) in [(0, 0, old), (old, new, old), (2 * old, 2 * new, covers)] {
            rows.data[to * width..(to + count) * width]
                .copy_from_slice(&embed.data[from * width..(from + count) * width]);
        }
        *embed = rows;
    }
    for name in ["model.transformer.out.weight", "model.transformer.out.bias"] {
        let Some(out) = tensors.get_mut(name) else {
            continue;
        };
        let mut shape = out.shape.clone();
        if let Some(channels) = shape.last_mut() {
            *channels = new;
        }
        let mut grown = zeros(shape);
        let rows = grown.data.chunks_exact_mut(new);
        for (to, from) in rows.zip(out.data.chunks_exact(old)) {
            to[..old].copy_from_slice(from);
        }
        *out = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_of_the_first_channels_stays() {
        let values = |shape: &[usize]| Values {
            shape: shape.to_vec(),
            data: (1..=shape.iter().product::<usize>())
                .map(|i| i as f32)
                .collect(),
        };
        let mut tensors = TensorMap::new();
        // Two channels of the latents, two of the plate and one that covers it.
        tensors.insert("model.transformer.embed.weight".into(), values(&[5, 1]));
        tensors.insert("model.transformer.out.weight".into(), values(&[2, 2]));
        tensors.insert("model.transformer.out.bias".into(), values(&[2]));
        let same = tensors.clone();
        make_room(&mut tensors, [2, 2]);
        assert!(tensors == same);
        make_room(&mut tensors, [2, 3]);
        let data = |name: &str| tensors[&format!("model.transformer.{name}")].data.clone();
        assert_eq!(data("embed.weight"), [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 5.0]);
        assert_eq!(data("out.weight"), [1.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
        assert_eq!(data("out.bias"), [1.0, 2.0, 0.0]);
    }
}
