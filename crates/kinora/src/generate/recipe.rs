//! The recipe that travels inside the file. It holds nothing that changes from run to run, such as the time.

use kinora_media::FrameRate;
use kinora_models::Description;
use kinora_pipeline::{Film, Finish};
use kinora_sampling::GuidanceKind;
use serde_json::{Value, json};

use super::plan::Plan;
use super::request::Request;
use crate::args::Lora;

/// All that is needed to make the same film again. `task` is told where it is more than words.
pub(crate) fn recipe(
    request: &Request,
    plan: &Plan,
    about: &Description,
    finish: &Finish,
    task: &Value,
    film: &Film<'_>,
) -> Value {
    let mut recipe = json!({
        "program": "kinora",
        "version": env!("CARGO_PKG_VERSION"),
        "prompt": request.prompt,
        "negative": request.negative,
        "seed": request.sampling.seed,
        "sampler": request.sampling.sampler.name(),
        "steps": request.sampling.steps,
        "guidance": decimal(request.sampling.guidance),
        "shift": decimal(request.sampling.shift),
        "size": request.size,
        "native_size": plan.native_size,
        "fps": rate(plan.rates.file),
        "frames": film.reel.frames(),
        "model": about.name,
        "model_hash": about.hash,
    });
    if let Some(below) = request.sampling.guidance_below {
        recipe["guidance_2"] = decimal(below.guidance).into();
    }
    if request.sampling.guidance_kind != GuidanceKind::Cfg {
        recipe["guidance_kind"] = request.sampling.guidance_kind.name().into();
    }
    if request.sampling.guidance_above > 0.0 {
        recipe["guidance_above"] = decimal(request.sampling.guidance_above).into();
    }
    if let Some(threshold) = request.sampling.step_cache {
        recipe["step_cache"] = decimal(threshold).into();
    }
    if let Some(upscaler) = &finish.upscaler {
        recipe["upscaler"] = upscaler.hash().into();
    }
    if let Some(interpolator) = &finish.interpolator {
        recipe["interpolator"] = interpolator.hash().into();
    }
    if !request.loras.is_empty() {
        recipe["loras"] = request.loras.iter().map(lora).collect();
    }
    if let Some(asked) = &request.asked {
        recipe["asked"] = json!(asked);
    }
    if !request.is_text_alone() {
        recipe["task"] = task.clone();
    }
    // All of it is along the paths of the clip that it goes on from, so another can go on from it.
    let origins = film.takes.iter().filter_map(|take| take.origin.as_ref());
    for origin in origins.filter(|origin| origin.prompt == request.prompt) {
        recipe["origin"] = json!({"prompt": origin.prompt, "seed": origin.seed});
    }
    recipe
}

/// The file's name alone: its folder is nobody's business. What is in it is a part of the model's hash.
fn lora(lora: &Lora) -> Value {
    let file = lora.0.path.file_name().unwrap_or_default();
    json!({
        "file": file.to_string_lossy(),
        "strength": decimal(lora.0.strength),
        "experts": lora.experts(),
    })
}

/// A whole rate is a number, another one a fraction as text.
pub(crate) fn rate(fps: FrameRate) -> Value {
    match fps.denominator() {
        1 => fps.numerator().into(),
        _ => fps.to_string().into(),
    }
}

/// The number as it was typed: 3.3 and not 3.299999952316284.
pub(crate) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_they_were_typed() {
        assert_eq!(decimal(3.3), 3.3);
        assert_eq!(rate(FrameRate::whole(24).unwrap()), json!(24));
        assert_eq!(rate("29.97".parse().unwrap()), json!("30000/1001"));
    }
}
