use kinora_models::mini::config::{DirectorConfig, TextConfig, TransformerConfig};
use kinora_models::mini::{MiniConfig, MiniNetworks, MiniParts};
use kinora_models::weights;

use super::*;
use crate::classifier::tests::{Folder, alone, tiny_autoencoder, tiny_judges};
use crate::{lexicon, places, styles, tokenizer, weathers};

/// Fresh networks predict nothing, and nothing decodes to a flat frame, which is refused: these predict
/// something.
fn with_texture(networks: MiniNetworks) -> MiniNetworks {
    let mut tensors = weights::collect(&networks, "model");
    let bias = tensors.get_mut("model.transformer.out.bias").unwrap();
    for (channel, value) in bias.data.iter_mut().enumerate() {
        *value = (channel % 7) as f32 - 3.0;
    }
    weights::assign(networks, "model", &tensors).unwrap()
}

/// A model that has learned nothing.
fn untrained(pack: &Pack, device: &Device) -> Mini {
    let text = TextConfig::new()
        .with_vocabulary(400)
        .with_width(32)
        .with_depth(1)
        .with_heads(2);
    let transformer = TransformerConfig::new()
        .with_width(32)
        .with_depth(1)
        .with_heads(2);
    let director = DirectorConfig::new(text.clone(), transformer.clone());
    let config = MiniConfig::new(tiny_autoencoder(), text, transformer, director);
    let networks = with_texture(MiniNetworks::new(&config, device));
    let parts = MiniParts {
        backdrops: places::backdrops(pack, &config.sizes),
        weathers: weathers::weathers(&config.sizes),
        styles: styles::styles(),
        config,
        networks,
        tokenizer: tokenizer::train(pack, 400).unwrap(),
        lexicon: lexicon::lexicon(pack),
    };
    Mini::new("untrained", String::new(), parts, device)
}

#[test]
fn a_report_holds_every_figure_and_survives_json() {
    let _turn = alone();
    let device = Device::flex();
    let folder = Folder::new("evaluate");
    let (judges, corpus) = tiny_judges(&folder, 2, &device);
    let model = untrained(corpus.pack(), &device);
    let out = folder.0.join("report");
    let options = EvaluateOptions {
        model: &model,
        judges: &judges,
        pack: corpus.pack(),
        clips: 2,
        task_clips: 1,
        paths: 2,
        drift_secs: 3.0,
        long_clips: 1,
        prompts: &EVERYDAY_PROMPTS[..1],
        sampling: Sampling {
            sampler: kinora_sampling::Sampler::Euler,
            seed: 3,
            steps: 1,
            guidance: 1.0,
            guidance_below: None,
            guidance_kind: kinora_sampling::GuidanceKind::Cfg,
            guidance_above: 0.0,
            step_cache: None,
            shift: 1.0,
        },
        out: &out,
    };
    let mut stages = Vec::new();
    let report = evaluate(&options, &device, |progress| {
        stages.push(std::mem::discriminant(&progress));
        true
    })
    .unwrap();
    stages.dedup();
    assert_eq!(stages.len(), 6);

    assert!(report.autoencoder.psnr_db.is_finite());
    assert_eq!(report.ceiling.subject_top_1.of, 4);
    assert_eq!(report.generated.subject_top_1.of, 2);
    assert_eq!((report.clips.len(), report.sheet.len()), (2, 1));
    let told = |fact| {
        report
            .clips
            .iter()
            .filter(|clip| clip.told.contains(&fact))
            .count()
    };
    assert_eq!(report.generated.background.of, told(Fact::Background));
    assert_eq!(report.generated.camera.of, told(Fact::Camera));
    assert_eq!(report.generated.style.of, told(Fact::Style));
    assert!(report.feature_distance.unwrap() > 0.0 && report.feature_distance_floor.unwrap() > 0.0);

    let names: Vec<GivenTask> = report.tasks.iter().map(|quality| quality.task).collect();
    assert_eq!(names, GivenTask::ALL);
    for quality in &report.tasks {
        let is_whole = quality.task == GivenTask::Remix;
        let in_time = !is_whole && quality.task != GivenTask::Region;
        let scene_goes_on = quality.task != GivenTask::Loop;
        assert!(
            is_whole || quality.kept_psnr_db.unwrap() > 5.0,
            "{quality:?}"
        );
        assert!(is_whole || quality.seam_jump.unwrap() > 0.0);
        assert_eq!(quality.first_psnr_db.is_some(), in_time);
        assert_eq!(
            quality.real_first_psnr_db.is_some(),
            in_time && scene_goes_on
        );
        assert_eq!(quality.real_seam_jump.is_some(), !is_whole && scene_goes_on);
        assert!(in_time || quality.agreement.subject_top_5.of == 1);
    }
    assert_eq!(report.tasks[5].agreement.style.of, 1);
    assert!(out.join("tasks.png").exists() && !out.join("given.mp4").exists());
    assert_eq!(
        report.paths.unwrap().rendered_motion.of,
        report.paths.unwrap().motion.of
    );
    assert!(report.drift.unwrap().contrast > 0.0);
    let long = report.long_clips.unwrap();
    let judged = (long.first.subject_top_5.of, long.last.subject_top_1.of);
    assert_eq!(judged, (1 - long.gone, 1 - long.gone));
    let unplanned = long.drift.unwrap().unplanned.unwrap();
    assert!(unplanned.contrast > 0.0 && unplanned.colour_share >= 0.0);

    let json = std::fs::read_to_string(out.join("report.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<EvaluateReport>(&json).unwrap(),
        report
    );
    let page = std::fs::read_to_string(out.join("report.md")).unwrap();
    for text in [
        "autoencoder PSNR",
        "| picture to video | 1 |",
        "the mean colour drifts by",
        "Of 1 clips of 3 seconds",
        EVERYDAY_PROMPTS[0],
        report.clips[1].prompt.as_str(),
    ] {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
    for picture in ["sheet.png", "judged.png"] {
        assert!(page.contains(picture) && out.join(picture).exists());
    }

    let nothing = EvaluateOptions {
        clips: 0,
        task_clips: 0,
        paths: 0,
        drift_secs: 0.0,
        long_clips: 1,
        prompts: &[],
        ..options.clone()
    };
    let report = evaluate(&nothing, &device, |_| true).unwrap();
    assert!(report.tasks.is_empty() && report.drift.is_none() && report.long_clips.is_none());

    let stopped = evaluate(&options, &device, |progress| {
        !matches!(progress, EvaluateProgress::Clips { .. })
    });
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn only_told_facts_are_counted() {
    let facts = Facts {
        subject: "koala".into(),
        background: Background::Beach,
        motion: Motion::Stand,
        camera: Camera::Static,
        time: TimeOfDay::Day,
        weather: Weather::Fog,
        style: Style::Natural,
    };
    let seen = Seen {
        facts: Facts {
            subject: "bear".into(),
            ..facts.clone()
        },
        subject_top_5: vec!["bear".into(), "koala".into()],
    };
    let mut accuracies = Accuracies::default();
    accuracies.count(&facts, &seen, &[Fact::Subject, Fact::Motion]);
    assert_eq!(accuracies.subject_top_1, Accuracy { right: 0, of: 1 });
    assert_eq!(accuracies.subject_top_5, Accuracy { right: 1, of: 1 });
    assert_eq!(accuracies.motion.share(), Some(1.0));
    assert_eq!(accuracies.background.share(), None);
    assert_eq!(accuracies.camera.of, 0);
}

/// Who completes prompts must speak as captions do: a word that no caption has says nothing to the model.
#[test]
fn completed_prompts_use_the_words_of_captions() {
    let pack = Pack::sample();
    let words = |text: &str| -> Vec<String> {
        let is_han = |c: char| ('\u{3400}'..='\u{9fff}').contains(&c);
        let spaced: String = text
            .chars()
            .flat_map(|c| match is_han(c) {
                true => vec![' ', c, ' '],
                false => vec![c],
            })
            .collect();
        let lower = spaced.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric());
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut said: std::collections::HashSet<String> = std::collections::HashSet::new();
    for seed in 0..1500 {
        let spec = SceneSpec::sample(seed, &pack, Split::Train);
        let told = captions(&spec, &pack, seed);
        for caption in [told.short_en, told.long_en, told.short_zh, told.long_zh] {
            said.extend(words(&caption.text));
        }
    }
    let model = untrained(&pack, &Device::flex());
    let mut added = 0;
    for entry in pack.entries() {
        for prompt in [format!("a {}", entry.name_en), entry.name_zh.clone()] {
            for text in (0..20).filter_map(|seed| model.enhance(&prompt, seed)) {
                let own = words(&prompt);
                for word in words(&text).into_iter().filter(|word| !own.contains(word)) {
                    assert!(said.contains(&word), "{word} in {text}");
                    added += 1;
                }
            }
        }
    }
    assert!(added > 1000, "{added}");
}
