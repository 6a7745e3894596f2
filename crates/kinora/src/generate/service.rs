//! Prompts completed by a language model on a server, over the interface of chat completions that most servers offer.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use ureq::Agent;

use super::values;
use crate::{output, setup};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A large model on a small machine takes its time.
const TIMEOUT: Duration = Duration::from_secs(180);
/// Larger than any answer.
const LARGEST_ANSWER: u64 = 1 << 20;
/// Characters of a refusal that are told.
const TOLD_CHARS: usize = 200;
const PATH: &str = "/chat/completions";

/// Who is asked, and for how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// Address up to `/v1`, or with what follows it.
    pub(crate) url: String,
    pub(crate) model: String,
    /// Words of the answer at most.
    pub(crate) words: u32,
}

impl Service {
    /// The fuller caption of `prompt`, as one line.
    ///
    /// # Errors
    ///
    /// Nobody who answers, a refusal, an answer that is no caption.
    pub(crate) fn complete(&self, prompt: &str, seed: u64) -> Result<String> {
        let address = self.address();
        let agent = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TIMEOUT))
            // Refusals carry a reason, which is told below.
            .http_status_as_error(false)
            .user_agent(concat!("kinora/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let mut request = agent
            .post(&address)
            .header("content-type", "application/json");
        if let Some(key) = setup::enhance_key() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request
            .send(self.question(prompt, seed).to_string())
            .with_context(|| {
                format!(
                    "cannot ask {address} to complete the prompt: check --enhance-url, or use --no-enhance"
                )
            })?;
        let status = response.status().as_u16();
        let mut text = String::new();
        let body = response.body_mut().as_reader();
        body.take(LARGEST_ANSWER)
            .read_to_string(&mut text)
            .with_context(|| format!("the answer of {address} broke off: try again"))?;
        match status {
            200 => caption(&text).with_context(|| format!("{address} gave no caption")),
            401 | 403 => bail!(
                "{address} refuses to answer (status {status}): set KINORA_ENHANCE_KEY or OPENAI_API_KEY to its key"
            ),
            _ => {
                let reason: String = output::harmless(text.trim())
                    .chars()
                    .take(TOLD_CHARS)
                    .collect();
                bail!(
                    "{address} does not answer (status {status}): check --enhance-url and --enhance-model. It says: {reason}"
                )
            }
        }
    }

    fn address(&self) -> String {
        let url = self.url.trim_end_matches('/');
        if url.ends_with(PATH) {
            url.to_owned()
        } else if url.ends_with("/v1") {
            format!("{url}{PATH}")
        } else {
            format!("{url}/v1{PATH}")
        }
    }

    fn question(&self, prompt: &str, seed: u64) -> Value {
        let words = self.words;
        let task = format!(
            "You complete prompts for a text-to-video model. Answer with one caption in the language of the prompt and with \
             nothing else, of at most {words} words. Keep every word of the prompt and its subject, place, time and style as \
             they are. Add only what it leaves open: a place and a motion that suit the subject, light, and what the camera \
             does. Contradict nothing."
        );
        json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": task},
                {"role": "user", "content": prompt},
            ],
            "temperature": 0,
            "seed": seed,
        })
    }
}

/// The caption in an answer: its text without what a model thought aloud, in one line, without quotes.
fn caption(answer: &str) -> Result<String> {
    let answer: Value = serde_json::from_str(answer).context("it is no JSON")?;
    let text = answer
        .pointer("/choices/0/message/content")
        .and_then(Value::as_str)
        .context("it has no text at choices[0].message.content")?;
    let said = text.rsplit("</think>").next().unwrap_or(text);
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let bare = line.trim_matches(['"', '“', '”', '`']);
    values::prompt(bare).map_err(anyhow::Error::msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_given_in_part() {
        let address = |url: &str| {
            let service = Service {
                url: url.into(),
                model: "m".into(),
                words: 25,
            };
            service.address()
        };
        let whole = "http://a:8080/v1/chat/completions";
        for url in ["http://a:8080", "http://a:8080/", "http://a:8080/v1", whole] {
            assert_eq!(address(url), whole);
        }
    }

    #[test]
    fn captions_are_one_bare_line() {
        let answer = |text: &str| json!({"choices": [{"message": {"content": text}}]}).to_string();
        let read = |text: &str| caption(&answer(text)).unwrap();
        assert_eq!(read("\"a fox\n runs\"\n"), "a fox runs");
        assert_eq!(read("<think>hm</think>\n一只狐狸"), "一只狐狸");
        for wrong in ["", "{}", &answer(" "), &answer("a \u{1b}[2J fox")] {
            assert!(caption(wrong).is_err(), "{wrong}");
        }
    }
}
