//! `--lora`: an adapter as it is typed.

use std::path::PathBuf;
use std::str::FromStr;

use kinora_models::wan::{AdapterFile, Experts};

/// Stronger than any that is of use.
const STRONGEST: f32 = 10.0;

/// `FILE`, `FILE=STRENGTH`, and `high:` or `low:` before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lora(pub(crate) AdapterFile);

impl FromStr for Lora {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (experts, rest) = match (text.strip_prefix("high:"), text.strip_prefix("low:")) {
            (Some(rest), _) => (Experts::High, rest),
            (_, Some(rest)) => (Experts::Low, rest),
            _ => (Experts::All, text),
        };
        // A name may hold a sign of equality itself.
        let (file, strength) = match rest.rsplit_once('=') {
            Some((file, strength))
                if !strength.contains('.') || strength.parse::<f32>().is_ok() =>
            {
                (file, strength)
            }
            _ => (rest, "1"),
        };
        if file.is_empty() {
            return Err("no file is named: give FILE or FILE=STRENGTH".into());
        }
        match strength.parse::<f32>() {
            Ok(strength) if strength.abs() <= STRONGEST => Ok(Self(AdapterFile {
                path: PathBuf::from(file),
                strength,
                experts,
            })),
            _ => Err(format!(
                "the strength '{strength}' is no number from -{STRONGEST} to {STRONGEST}; 1 is what its author meant"
            )),
        }
    }
}

impl Lora {
    /// For the recipe.
    pub(crate) fn experts(&self) -> &'static str {
        match self.0.experts {
            Experts::All => "all",
            Experts::High => "high",
            Experts::Low => "low",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_with_strengths() {
        let parse = |text: &str| text.parse::<Lora>().map(|lora| lora.0);
        for (text, file, strength, experts) in [
            ("a.safetensors", "a.safetensors", 1.0, Experts::All),
            ("a.safetensors=0.8", "a.safetensors", 0.8, Experts::All),
            ("high:a=-1", "a", -1.0, Experts::High),
            ("low:x=y.safetensors", "x=y.safetensors", 1.0, Experts::Low),
            (
                "low:x=y.safetensors=2",
                "x=y.safetensors",
                2.0,
                Experts::Low,
            ),
        ] {
            let expected = AdapterFile {
                path: file.into(),
                strength,
                experts,
            };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "high:", "=1", "a=much", "a=nan", "a=inf", "a=11", "a="] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
