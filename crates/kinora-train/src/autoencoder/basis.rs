//! The linear code: fitted to the covariance of patches in closed form, or to what the code of a model leaves.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use kinora_kernels::{Activation, Precision, linear};
use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::weights::{self, TensorMap};

use super::MODEL_PREFIX;
use crate::corpus::{Corpus, Shape};
use crate::{AutoencoderRun, Error};

/// Rounds of subspace iteration; each multiplies the gap between kept and dropped directions.
const ROUNDS: usize = 60;
/// Last channels of a known code by whose scale that of new ones is set.
const SCALE_NEIGHBOURS: usize = 16;

/// A linear code.
pub(super) struct Basis {
    /// `[patch_values]`
    mean: Tensor<1>,
    /// `[patch_values, channels]`, orthonormal columns
    directions: Tensor<2>,
    /// `[channels]`
    scale: Tensor<1>,
    /// Share of the variance.
    pub(super) kept: f32,
}

impl Basis {
    /// The code of a model file, whose columns are orthonormal but for the rounding of the file.
    pub(super) fn of_tensors(
        tensors: &TensorMap,
        config: &AutoencoderRun,
        device: &Device,
    ) -> Result<Self, Error> {
        let find = |name: &str| {
            let name = format!("{MODEL_PREFIX}.{name}");
            let missing = || kinora_models::Error::MissingTensor(name.clone());
            tensors.get(&name).ok_or_else(missing)
        };
        let (encode, mean) = (find("encode.weight")?, find("decode.bias")?);
        let values = config.model.patch_values();
        let &[rows, channels] = encode.shape.as_slice() else {
            return Err(wrong_code(encode, values));
        };
        if rows != values || channels > config.model.latent_channels || mean.shape != [values] {
            return Err(wrong_code(encode, values));
        }
        let encode = TensorData::new(encode.data.clone(), [rows, channels]);
        let encode = Tensor::<2>::from_data(encode, device);
        let lengths = encode.clone().square().sum_dim(0).sqrt();
        Ok(Self {
            mean: Tensor::from_floats(mean.data.as_slice(), device),
            scale: lengths.clone().recip().reshape([channels]),
            directions: encode / lengths,
            kept: 0.0,
        })
    }

    /// Leading eigenvectors of the covariance of patches, by orthogonal iteration; after those of a `known` code, where there is one, of
    /// what it leaves.
    pub(super) fn fit(
        config: &AutoencoderRun,
        known: Option<Self>,
        corpus: &Corpus,
        device: &Device,
    ) -> Self {
        let values = config.model.patch_values();
        let channels = config.model.latent_channels;
        let (mean, covariance) = moments(config, corpus, device);

        let first = match &known {
            Some(known) => orthonormal(known.directions.clone()),
            None => Tensor::zeros([values, 0], device),
        };
        let known_channels = first.dims()[1];
        let spare = channels - known_channels + 16;
        // Gram and Schmidt leave the first columns as they are, and take them out of all others.
        let after_known = |q: Tensor<2>| {
            let all = match known_channels {
                0 => q,
                _ => Tensor::cat(vec![first.clone(), q], 1),
            };
            orthonormal(all).narrow(1, known_channels, spare)
        };
        let random = Tensor::random([values, spare], Distribution::Normal(0.0, 1.0), device);
        let mut q = after_known(random);
        for _ in 0..ROUNDS {
            q = after_known(product(covariance.clone(), q));
        }
        let added = q.narrow(1, 0, channels - known_channels);
        let directions = match known_channels {
            0 => added,
            _ => Tensor::cat(vec![first, added], 1),
        };
        let spread = product(covariance.clone(), directions.clone());
        let eigenvalues =
            weights::floats((directions.clone() * spread).sum_dim(0).reshape([channels]));
        let trace: f32 = weights::floats(covariance).iter().step_by(values + 1).sum();
        let kept = eigenvalues.iter().sum::<f32>() / trace;

        // Whitened in part, and scaled so that the latents' mean variance is one, or as the known ones are.
        let partial: Vec<f32> = eigenvalues
            .iter()
            .map(|value| value.max(1e-8).sqrt().powf(config.whitening))
            .collect();
        let of_known = known
            .as_ref()
            .map(|known| weights::floats(known.scale.clone()));
        let mut scale = of_known.unwrap_or_default();
        let factor = match scale.is_empty() {
            true => {
                let variances = eigenvalues
                    .iter()
                    .zip(&partial)
                    .map(|(value, scale)| value / (scale * scale));
                (variances.sum::<f32>() / channels as f32).sqrt()
            }
            // Of the last ones, after which the new ones come.
            false => {
                let last = scale.len().saturating_sub(SCALE_NEIGHBOURS)..scale.len();
                let ratios = last.clone().map(|i| scale[i] / partial[i]);
                ratios.sum::<f32>() / last.len() as f32
            }
        };
        scale.extend(partial[scale.len()..].iter().map(|scale| scale * factor));
        Self {
            mean: known.map_or(mean, |known| known.mean),
            directions,
            scale: Tensor::from_floats(scale.as_slice(), device),
            kept,
        }
    }

    /// Channels of its latents.
    pub(super) fn channels(&self) -> usize {
        self.directions.dims()[1]
    }

    /// `network` with this code.
    pub(super) fn within(self, network: Autoencoder) -> Autoencoder {
        let [mean, scale] = [self.mean, self.scale].map(Tensor::from_inner);
        network.set_basis(mean, Tensor::from_inner(self.directions), scale)
    }
}

/// Mean and covariance of the patches of rendered scenes, `[patch_values]` and `[patch_values, patch_values]`.
fn moments(config: &AutoencoderRun, corpus: &Corpus, device: &Device) -> (Tensor<1>, Tensor<2>) {
    let values = config.model.patch_values();
    let zero = Tensor::<1>::zeros([values], device);
    let (mut sum, mut outer, mut count) = (zero, Tensor::<2>::zeros([values, values], device), 0);
    let mut step = u32::MAX;
    while count < config.basis_patches {
        let shape = Shape {
            batch: 8,
            latent_frames: 3,
            anywhere: true,
            anchored: false,
        };
        let patches = corpus.batch(step, shape).patches(device);
        step -= 1;
        let rows = patches.dims()[..4].iter().product();
        let patches = patches.reshape([rows, values]);
        sum = sum + patches.clone().sum_dim(0).reshape([values]);
        outer = outer + product(patches.clone().transpose(), patches);
        count += rows;
    }
    let mean = sum / count as f32;
    let column = mean.clone().reshape([values, 1]);
    let covariance = outer / count as f32 - product(column.clone(), column.transpose());
    (mean, covariance)
}

fn product(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let bias = Tensor::zeros([b.dims()[1]], &a.device());
    linear(a, b, bias, Activation::None, Precision::F32)
}

fn wrong_code(got: &weights::Values, patch_values: usize) -> Error {
    Error::Model(kinora_models::Error::TensorShape {
        name: format!("{MODEL_PREFIX}.encode.weight"),
        got: got.shape.clone(),
        required: vec![patch_values, 0],
    })
}

/// Gives the autoencoder of a model file the channels that `fitted` has beyond its own: its own and what it made of them stay as they
/// were.
pub(super) fn grow(tensors: &mut TensorMap, fitted: &Autoencoder, known: usize) {
    for (name, mut values) in weights::collect(fitted, MODEL_PREFIX) {
        let part = name.strip_prefix(MODEL_PREFIX).unwrap_or_default();
        let Some(old) = tensors.get(&name) else {
            continue;
        };
        // Of every tensor that knows the channels one axis is theirs. What differs in another way does not fit, and is refused later.
        let rank = values.shape.len().min(old.shape.len());
        let mut differ = (0..rank).filter(|&axis| values.shape[axis] != old.shape[axis]);
        let (Some(axis), None) = (differ.next(), differ.next()) else {
            continue;
        };
        if old.shape[axis] != known || values.shape.len() != old.shape.len() {
            continue;
        }
        match part {
            // The new columns, rows or numbers are those that were fitted.
            ".encode.weight" | ".encode.bias" | ".decode.weight" => {}
            // The network behind the code does not look at them yet.
            _ => values.data.fill(0.0),
        }
        let inner: usize = values.shape[axis + 1..].iter().product();
        let (new_run, old_run) = (values.shape[axis] * inner, known * inner);
        let pairs = values.data.chunks_exact_mut(new_run);
        for (new, old) in pairs.zip(old.data.chunks_exact(old_run)) {
            new[..old_run].copy_from_slice(old);
        }
        tensors.insert(name, values);
    }
}

/// Columns made orthonormal by the modified Gram–Schmidt process, in f64.
fn orthonormal(matrix: Tensor<2>) -> Tensor<2> {
    let device = matrix.device();
    let [rows, columns] = matrix.dims();
    let transposed = weights::floats(matrix.transpose());
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(columns);
    for column in transposed.chunks(rows) {
        let mut v: Vec<f64> = column.iter().map(|&x| f64::from(x)).collect();
        for other in &basis {
            let along: f64 = v.iter().zip(other).map(|(a, b)| a * b).sum();
            v.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-30);
        v.iter_mut().for_each(|x| *x /= norm);
        basis.push(v);
    }
    let flat: Vec<f32> = basis.iter().flatten().map(|&x| x as f32).collect();
    Tensor::<1>::from_floats(flat.as_slice(), &device)
        .reshape([columns, rows])
        .transpose()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kinora_data::{Pack, Split};
    use kinora_models::mini::config::AutoencoderConfig;

    use super::*;
    use crate::classifier::tests::{alone, tiny_autoencoder};
    use crate::{OptimizerConfig, RunConfig};

    fn run(model: AutoencoderConfig) -> AutoencoderRun {
        AutoencoderRun {
            run: RunConfig {
                pack: Default::default(),
                seed: 1,
                steps: 0,
                minutes: None,
                checkpoint_every: 0,
                samples_every: 0,
            },
            model,
            from: None,
            optimizer: OptimizerConfig::default(),
            batch: 1,
            latent_frames: 2,
            basis_patches: 1500,
            even_share: 0.5,
            whitening: 0.65,
            latent_noise: 0.0,
            denoised_share: 0.0,
            no_plate_share: 0.0,
            given_share: 0.0,
            remix_share: 0.0,
            region_share: 0.0,
        }
    }

    #[test]
    fn further_channels_leave_the_first_ones_as_they_are_and_tell_more() {
        let _turn = alone();
        let device = Device::flex();
        let (small, large) = (
            run(tiny_autoencoder().with_latent_channels(12)),
            run(tiny_autoencoder().with_latent_channels(20)),
        );
        let pack = Arc::new(Pack::sample());
        let corpus = Corpus::new(pack, Split::Train, 1, &small.model);
        device.seed(3);
        let first = Basis::fit(&small, None, &corpus, &device);
        let few = first.within(Autoencoder::new(&small.model, &device));
        let mut tensors = weights::collect(&few, MODEL_PREFIX);

        let known = Basis::of_tensors(&tensors, &large, &device).unwrap();
        let more = Basis::fit(&large, Some(known), &corpus, &device);
        assert_eq!(more.channels(), 20);
        let fresh = Autoencoder::new(&large.model, &device);
        grow(&mut tensors, &more.within(fresh.clone()), 12);
        let many: Autoencoder = weights::assign(fresh, MODEL_PREFIX, &tensors).unwrap();

        let shape = Shape {
            batch: 2,
            latent_frames: 2,
            anywhere: true,
            anchored: false,
        };
        let patches = corpus.batch(0, shape).patches(&device);
        let latents = [&few, &many].map(|network| network.encode_tokens(patches.clone()));
        let kept = latents[1].clone().narrow(4, 0, 12);
        assert_eq!(
            weights::floats(kept.clone()),
            weights::floats(latents[0].clone())
        );
        let error = |network: &Autoencoder, latents: &Tensor<5>| {
            let video = network.unpatchify(patches.clone());
            (network.decode_tokens(latents.clone(), None) - video)
                .square()
                .mean()
                .into_scalar::<f32>()
        };
        let (before, after) = (error(&few, &latents[0]), error(&many, &latents[1]));
        assert!(after < 0.9 * before, "{after} of {before}");
        // Without what the new channels tell, it is what it was.
        let zeros = Tensor::zeros_like(&latents[1].clone().narrow(4, 12, 8));
        let silent = Tensor::cat(vec![kept, zeros], 4);
        assert!((error(&many, &silent) - before).abs() < 1e-3 * before);

        let wrong = Basis::of_tensors(&tensors, &small, &device);
        assert!(wrong.is_err(), "a larger code is refused");
    }
}
