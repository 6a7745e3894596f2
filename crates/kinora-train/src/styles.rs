//! What the styles are called.

use kinora_data::{Style, style_names};
use kinora_models::mini::styles::{NamedStyle, Styles};

/// All but the natural one, which needs no name.
pub(crate) fn styles() -> Styles {
    let named = |&style: &Style| NamedStyle {
        style,
        phrases: style_names(style).iter().map(|&name| name.into()).collect(),
    };
    Styles::new(
        Style::ALL
            .iter()
            .map(named)
            .filter(|it| !it.phrases.is_empty())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinora_data::{Fact, Pack, SceneSpec, Split, captions};

    #[test]
    fn captions_that_say_a_style_name_it_and_others_name_none() {
        let pack = Pack::sample();
        let (styles, lexicon) = (styles(), crate::lexicon::lexicon(&pack));
        let (mut said, mut found, mut wrong) = (0, 0, 0);
        for seed in 0..600 {
            let spec = SceneSpec::sample(seed, &pack, Split::Train);
            let told = captions(&spec, &pack, seed);
            for caption in [told.short_en, told.long_en, told.short_zh, told.long_zh] {
                let style = styles.find(&lexicon.rest(&caption.text));
                if caption.facts.contains(&Fact::Style) {
                    said += 1;
                    found += usize::from(style == Some(spec.style));
                } else {
                    wrong += usize::from(style.is_some());
                }
            }
        }
        assert!(found * 100 >= said * 97, "{found} of {said}");
        assert!(wrong * 50 <= said, "{wrong} styles that nobody named");
    }
}
