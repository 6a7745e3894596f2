//! From a prompt to the token ids of umT5.
//!
//! Follows `prompt_clean` of diffusers 0.42, `pipelines/wan/pipeline_wan.py`: what the `ftfy` library does to text that is
//! not garbled (entities, curly quotes, full width, control characters, NFC), then single spaces. Garbled encodings are
//! not repaired. A prompt that is too long is refused, where upstream drops its end in silence.

use std::path::Path;

use tokenizers::{ModelWrapper, Tokenizer};
use unicode_normalization::UnicodeNormalization;

use super::search::TOKENIZER;
use crate::Error;

/// Tokens that the transformer sees; upstream's `max_sequence_length`.
pub const TEXT_TOKENS: usize = 512;

/// Entities that HTML allows without a semicolon.
const BARE_ENTITIES: [(&str, char); 24] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("nbsp", '\u{a0}'),
    ("copy", '©'),
    ("reg", '®'),
    ("deg", '°'),
    ("times", '×'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("middot", '·'),
    ("frac12", '½'),
    ("pound", '£'),
    ("yen", '¥'),
    ("agrave", 'à'),
    ("auml", 'ä'),
    ("ccedil", 'ç'),
    ("eacute", 'é'),
    ("egrave", 'è'),
    ("ntilde", 'ñ'),
    ("ouml", 'ö'),
    ("szlig", 'ß'),
    ("uuml", 'ü'),
];

/// Entities that need one.
const ENTITIES: [(&str, char); 10] = [
    ("apos", '\''),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bull", '•'),
    ("trade", '™'),
];

/// A prompt as the tokenizer is given it.
pub fn clean(prompt: &str) -> String {
    let text = unescape(&unescape(&repair(&unescape(prompt))));
    text.split(is_space)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Python's `\s`: the separators of ASCII too.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Straight quotes, letters of usual width, no control characters, NFC.
fn repair(text: &str) -> String {
    let straight = |c: char| match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        other => other,
    };
    let is_dropped = |c: &char| {
        matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{feff}')
            || matches!(c, '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffc}')
    };
    let plain_letters = |c: char| -> Box<dyn Iterator<Item = char>> {
        match c {
            '\u{3000}' => Box::new(std::iter::once(' ')),
            // Letters that are two, and letters of East Asian width.
            '\u{132}'..='\u{133}'
            | '\u{149}'
            | '\u{1c4}'..='\u{1cc}'
            | '\u{1f1}'..='\u{1f3}'
            | '\u{fb00}'..='\u{fb06}'
            | '\u{ff01}'..='\u{ffef}' => Box::new(std::iter::once(c).nfkc()),
            other => Box::new(std::iter::once(other)),
        }
    };
    text.chars()
        .filter(|c| !is_dropped(c))
        .flat_map(plain_letters)
        .map(straight)
        .nfc()
        .collect()
}

/// HTML's entities as characters, once.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match entity(rest) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[length..];
            }
            None => out.push('&'),
        }
    }
    out + rest
}

/// What the text after `&` stands for, and its length.
fn entity(text: &str) -> Option<(char, usize)> {
    if let Some(digits) = text.strip_prefix('#') {
        return numbered(digits).map(|(c, length)| (c, length + 1));
    }
    let closed = |(name, c): &(&str, char)| {
        let rest = text.strip_prefix(name)?;
        rest.starts_with(';').then_some((*c, name.len() + 1))
    };
    let bare = |(name, c): &(&str, char)| text.starts_with(name).then_some((*c, name.len()));
    let all = || BARE_ENTITIES.iter().chain(&ENTITIES);
    all()
        .find_map(closed)
        .or_else(|| BARE_ENTITIES.iter().find_map(bare))
}

/// `123;` or `x1f;`, the semicolon may be missing.
fn numbered(text: &str) -> Option<(char, usize)> {
    let (digits, radix, before) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 1),
        None => (text, 10, 0),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let code = u32::from_str_radix(&digits[..end], radix).ok()?;
    let length = before + end + usize::from(digits[end..].starts_with(';'));
    Some((char::from_u32(code).unwrap_or('\u{fffd}'), length))
}

/// The tokenizer of a folder.
#[derive(Debug, Clone)]
pub struct PromptTokenizer(Tokenizer);

impl PromptTokenizer {
    /// Whether the file is of a tokenizer made for a text encoder of so many entries: of unigram pieces, nearly as many.
    pub(super) fn fits(path: &Path, vocabulary: usize) -> bool {
        /// T5X rounds tables up to a multiple of this.
        const ROUNDING: usize = 128;
        Tokenizer::from_file(path).is_ok_and(|tokenizer| {
            let tokens = tokenizer.get_vocab_size(true);
            matches!(tokenizer.get_model(), ModelWrapper::Unigram(_))
                && (tokens..tokens + ROUNDING).contains(&vocabulary)
        })
    }

    /// Reads `tokenizer.json` of a folder, or the file itself, for a text encoder of so many entries.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the file is missing, damaged, or of another text encoder.
    pub fn read(path: &Path, vocabulary: usize) -> Result<Self, Error> {
        let path = match path.is_dir() {
            true => path.join(TOKENIZER),
            false => path.to_owned(),
        };
        let config = |reason: String| Error::Config {
            path: path.clone(),
            reason,
        };
        if !path.is_file() {
            return Err(config("is not there; fetch the model again".into()));
        }
        let mut tokenizer =
            Tokenizer::from_file(&path).map_err(|error| config(error.to_string()))?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        if let Some(id) = largest.filter(|&id| id as usize >= vocabulary) {
            return Err(config(format!(
                "gives token {id}, but the text encoder has {vocabulary} entries"
            )));
        }
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| config(error.to_string()))?;
        Ok(Self(tokenizer))
    }

    /// Token ids of a prompt, cleaned, with the end's own token.
    ///
    /// # Errors
    ///
    /// [`Error::PromptLength`] for more than [`TEXT_TOKENS`], [`Error::Tokenizer`].
    pub fn tokenize(&self, prompt: &str) -> Result<Vec<u32>, Error> {
        let encoding = self
            .0
            .encode(clean(prompt), true)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        match encoding.get_ids() {
            ids if ids.len() > TEXT_TOKENS => Err(Error::PromptLength {
                got: ids.len(),
                limit: TEXT_TOKENS,
            }),
            [] => Err(Error::Tokenizer(
                "it gives no token for the end of a prompt; fetch the model again".into(),
            )),
            ids => Ok(ids.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_cleaned() {
        for (prompt, cleaned) in [
            ("  a fox\n\t runs ", "a fox runs"),
            ("cat &amp;amp; dog &lt;3", "cat & dog <3"),
            ("&#39;x&#x27; &unknown; 5 & 6", "'x' &unknown; 5 & 6"),
            ("caf&eacute; caf&eacute &copy2024", "café café ©2024"),
            ("“curly” ‘quotes’ don’t", "\"curly\" 'quotes' don't"),
            ("ＡＢＣ，一只　狐狸", "ABC,一只 狐狸"),
            ("e\u{301}te\u{301} \u{fb01}n ŉ", "été fin 'n"),
            ("a\u{0}b\u{feff}c\u{7f}", "abc"),
            ("a\u{a0}b &nbsp; c", "a b c"),
            ("", ""),
            ("&#xffffffffff; &#; &", "&#xffffffffff; &#; &"),
        ] {
            assert_eq!(clean(prompt), cleaned, "{prompt}");
        }
    }
}
