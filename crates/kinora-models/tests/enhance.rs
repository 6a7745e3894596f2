//! Captions from a few words: what is kept, what is added, and what never is.

use burn::tensor::Device;
use kinora_models::VideoModel;
use kinora_models::mini::air::Weathers;
use kinora_models::mini::backdrops::{Backdrops, NamedLight, NamedPlace};
use kinora_models::mini::config::{
    AutoencoderConfig, DirectorConfig, TextConfig, TransformerConfig,
};
use kinora_models::mini::lexicon::{Animation, Entry, Lexicon, PICTURE_VALUES};
use kinora_models::mini::pictures::Pictures;
use kinora_models::mini::styles::Styles;
use kinora_models::mini::text::tokenize;
use kinora_models::mini::{Mini, MiniConfig, MiniNetworks, MiniParts};
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;

/// A model that knows a few names and takes prompts of so many words and marks.
fn model(max_tokens: usize) -> Mini {
    let owned = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    let entry = |name: &str, phrases: &[&str], tags: &[&str]| Entry {
        name: name.into(),
        phrases: owned(phrases),
        tags: owned(tags),
        animation: Animation::default(),
    };
    let entries = vec![
        entry("koala", &["koala", "考拉"], &["animal"]),
        entry("rocket", &["rocket", "火箭"], &["travel"]),
        entry("mountain railway", &["mountain railway"], &["vehicle"]),
        entry("star", &["star"], &[]),
        entry("full moon", &["full moon"], &[]),
        entry("microphone", &["microphone", "sing"], &[]),
    ];
    let place = |name: &str, phrases: &[&str], is_common| NamedPlace {
        name: name.into(),
        phrases: owned(phrases),
        is_common,
    };
    let places = vec![
        place("forest", &["forest", "森林", "树林"], true),
        place("room", &["room", "indoors", "房间", "客厅"], true),
        place("mountains", &["mountain"], false),
        place("space", &["space", "太空", "宇宙"], false),
    ];
    let day = NamedLight {
        name: "day".into(),
        phrases: owned(&["by day"]),
        on_subjects: vec![[1.0; 3]; places.len()],
    };
    let text = TextConfig::new()
        .with_vocabulary(8)
        .with_max_tokens(max_tokens)
        .with_width(16)
        .with_heads(2)
        .with_depth(1);
    let small = TransformerConfig::new()
        .with_width(16)
        .with_depth(1)
        .with_heads(2);
    let autoencoder = AutoencoderConfig::new()
        .with_latent_channels(8)
        .with_decoder_channels([16, 12, 8]);
    let config = MiniConfig::new(
        autoencoder,
        text.clone(),
        small.clone(),
        DirectorConfig::new(text, small),
    );
    let unknown = [("[UNK]".to_owned(), 0)].into_iter().collect();
    let words = WordLevel::builder()
        .vocab(unknown)
        .unk_token("[UNK]".into());
    let mut tokenizer = Tokenizer::new(words.build().unwrap());
    tokenizer.with_pre_tokenizer(Some(tokenizers::pre_tokenizers::whitespace::Whitespace));
    let device = Device::flex();
    let pictures = vec![0; entries.len() * PICTURE_VALUES];
    let parts = MiniParts {
        backdrops: Backdrops::new(places, vec![day], Vec::new(), Vec::new()).unwrap(),
        weathers: Weathers::default(),
        styles: Styles::default(),
        networks: MiniNetworks::new(&config, &device),
        config,
        tokenizer,
        lexicon: Lexicon::new(entries, Pictures::plain(pictures)),
    };
    Mini::new("test", String::new(), parts, &device)
}

/// What twenty seeds make of a prompt.
fn written(prompt: &str) -> Vec<Option<String>> {
    let model = model(60);
    assert_eq!(model.enhance(prompt, 3), model.enhance(prompt, 3));
    (0..20).map(|seed| model.enhance(prompt, seed)).collect()
}

/// Each caption of `prompt` begins and ends as one of these.
fn always(prompt: &str, fits: impl Fn(&str) -> bool) {
    for text in written(prompt) {
        let text = text.unwrap_or_else(|| panic!("nothing was added to '{prompt}'"));
        assert!(fits(&text), "{prompt} -> {text}");
    }
}

#[test]
fn what_is_left_open_is_said_where_captions_say_it() {
    always("A koala", |text| {
        text.starts_with("A koala ")
            && text.contains(" in ")
            && text.contains("forest")
            && text.contains(" day")
            || text.contains("daylight")
    });
    always("a rocket", |text| {
        text.contains("space, ") && !text.contains("day")
    });
    always("two koalas at night", |text| {
        text.contains("forest at night, ") && !text.contains("day")
    });
    always("a koala sleeps in the rain", |text| {
        text.starts_with("a koala sleeps in ") && text.contains("forest in the rain ")
    });
    always("a koala in a room, pixel art", |text| {
        let begin = ["a koala standing", "a koala looking", "a koala walking"];
        begin.iter().any(|begin| text.starts_with(begin))
            && text.contains("in a room ")
            && text.contains(", pixel art, ")
            && !text.contains("forest")
    });
    always("一只考拉", |text| {
        text.starts_with("白天，一只考拉在") && text.contains("镜头")
    });
    always("考拉跳舞。", |text| {
        text.ends_with("。") && text.contains("跳舞，") && text.contains("镜头")
    });
    always("夜晚，一只考拉在房间里", |text| {
        text.starts_with("夜晚，一只考拉在房间里")
            && !text.contains("白天")
            && !text.contains("森林")
    });
}

#[test]
fn seeds_choose_the_words() {
    let mut all = written("a koala");
    all.sort();
    all.dedup();
    assert!(all.len() > 8, "{}", all.len());
}

#[test]
fn what_says_it_all_or_names_nothing_stays_as_it_is() {
    for prompt in [
        "a koala waves in a forest",
        "a koala is dancing in a room",
        "a running koala indoors",
        "the sea of love",
        "",
        "一只考拉在森林里挥手",
    ] {
        assert_eq!(written(prompt), vec![None; 20], "{prompt}");
    }
    // What was written is complete.
    for text in written("a koala").into_iter().flatten() {
        assert_eq!(written(&text), vec![None; 20], "{text}");
    }
}

#[test]
fn nothing_contradicts_the_prompt() {
    always("a mountain railway", |text| {
        text.starts_with("a mountain railway driving")
    });
    always("a koala, the camera pans left", |text| {
        text.ends_with(", the camera pans left")
    });
    always("a koala chases a rocket", |text| {
        text.starts_with("a koala chases a rocket in ")
    });
    // To the lexicon "sings" is a microphone.
    always("a koala sings", |text| {
        text.starts_with("a koala sings in ")
    });
    // Where it is is no doing.
    always("a koala on a steep slope", |text| {
        let (before, _) = text.split_once(" on a steep slope").unwrap();
        before.len() > "a koala".len()
    });
    assert_eq!(
        written("a koala on a steep slope waves in a forest"),
        vec![None; 20]
    );
    // The subject brings its own time of day.
    always("a full moon", |text| !text.contains("day"));
}

#[test]
fn what_does_not_fit_is_left_out_the_camera_first() {
    let within = |tokens| model(tokens).enhance("a rocket", 1);
    assert!(within(20).unwrap().contains("camera"));
    let shorter = within(6).unwrap();
    assert!(
        shorter.contains("space") && !shorter.contains("camera"),
        "{shorter}"
    );
    assert_eq!(within(3), None);
}

/// The model that ships, asked for each of its subjects by name.
#[test]
fn every_subject_keeps_its_name_and_gets_a_place() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/kinora-mini/model.safetensors"
    );
    let model = Mini::from_bytes(&std::fs::read(path).unwrap(), &Device::flex()).unwrap();
    let (lexicon, backdrops) = (model.lexicon(), model.backdrops());
    let (mut silent, mut again) = (Vec::new(), Vec::new());
    for (index, entry) in lexicon.entries().iter().enumerate() {
        let prompt = format!("a {}", entry.name);
        if lexicon.find(&prompt) != [index] {
            continue;
        }
        let Some(text) = model.enhance(&prompt, index as u64) else {
            silent.push(prompt);
            continue;
        };
        assert_eq!(lexicon.find(&text), [index], "{prompt} -> {text}");
        let place = backdrops.find(&lexicon.rest(&text));
        assert!(place.is_some(), "{prompt} -> {text}");
        tokenize(model.tokenizer(), &model.config().text, &[&text]).unwrap();
        again.extend(model.enhance(&text, 5));
    }
    assert!(silent.len() < 20, "{silent:?}");
    assert!(again.is_empty(), "{} {again:?}", again.len());
}
