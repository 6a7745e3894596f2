//! What the hub says of a repository, and how its refusals are told.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use super::Repository;
use super::hash::Expected;

/// Larger than any answer about a repository.
const LARGEST_ANSWER: u64 = 32 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// A hub on the network.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// A repository at one commit.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) commit: String,
    /// As the model card names it, such as `apache-2.0`.
    pub(crate) licence: Option<String>,
    pub(crate) files: Vec<RemoteFile>,
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Relative, with slashes.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) hash: Expected,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(rename = "cardData", default)]
    card: Value,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    blob_id: Option<String>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Hub {
    /// The hub at `endpoint`; `token` is shown to it and to no other host.
    pub(crate) fn new(endpoint: &str, token: Option<String>) -> Self {
        let agent = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(SILENCE))
            // Refusals carry a reason, which is told below.
            .http_status_as_error(false)
            .user_agent(concat!("kinora/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
        }
    }

    /// What a repository holds.
    ///
    /// # Errors
    ///
    /// No network, no such repository, no access, an answer that makes no sense.
    pub(crate) fn about(&self, repository: &Repository, revision: &str) -> Result<About> {
        let address = format!(
            "{}/api/models/{repository}/revision/{revision}?blobs=true",
            self.endpoint
        );
        let response = self.get(&address, |request| request)?;
        let response = accepted(response, repository)?;
        let mut text = String::new();
        response
            .into_body()
            .into_reader()
            .take(LARGEST_ANSWER)
            .read_to_string(&mut text)
            .with_context(|| format!("the answer of {address} broke off: try again"))?;
        let senseless = || format!("{address} gave no answer that this program understands");
        let answer: Answer = serde_json::from_str(&text).with_context(senseless)?;
        answer.into_about().with_context(senseless)
    }

    /// Asks for a file from byte `from` on.
    pub(crate) fn file(
        &self,
        repository: &Repository,
        commit: &str,
        path: &str,
        from: u64,
    ) -> Result<Response<Body>> {
        let address = format!("{}/{repository}/resolve/{commit}/{path}", self.endpoint);
        let response = self.get(&address, |request| match from {
            0 => request,
            from => request.header("Range", format!("bytes={from}-")),
        })?;
        Ok(response)
    }

    fn get(
        &self,
        address: &str,
        change: impl FnOnce(
            RequestBuilder<ureq::typestate::WithoutBody>,
        ) -> RequestBuilder<ureq::typestate::WithoutBody>,
    ) -> Result<Response<Body>> {
        // Whole bytes: a compressed answer has no ranges.
        let mut request = self
            .agent
            .get(address)
            .header("Accept-Encoding", "identity");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        change(request).call().map_err(|error| {
            anyhow!(error).context(format!(
                "cannot reach {}: check the network, or set HF_ENDPOINT to a mirror; models that were fetched work \
                 without network",
                self.endpoint
            ))
        })
    }
}

impl Answer {
    fn into_about(self) -> Result<About> {
        if self.sha.is_empty() || !self.sha.chars().all(|c| c.is_ascii_hexdigit()) {
            bail!("'{}' is no commit", self.sha);
        }
        let tag = |tags: &[String]| {
            let mut licences = tags.iter().filter_map(|tag| tag.strip_prefix("license:"));
            licences.next().map(str::to_owned)
        };
        let card = |name: &str| self.card.get(name).and_then(Value::as_str);
        let licence = match (card("license_name"), card("license")) {
            // "other" says nothing; then it has a name of its own.
            (Some(name), _) | (None, Some(name)) => Some(name.to_owned()),
            (None, None) => tag(&self.tags),
        };
        Ok(About {
            commit: self.sha,
            licence,
            files: self
                .siblings
                .into_iter()
                .map(Sibling::into_file)
                .collect::<Result<_>>()?,
        })
    }
}

impl Sibling {
    fn into_file(self) -> Result<RemoteFile> {
        let path = self.rfilename;
        // It becomes a path on this machine.
        let is_plain = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', ':', '\0'])
        };
        if !path.split('/').all(is_plain) {
            bail!("'{path}' is no name of a file");
        }
        let (hash, bytes) = match (self.lfs, self.blob_id, self.size) {
            (Some(lfs), ..) => (Expected::Sha256(lfs.sha256), lfs.size),
            (None, Some(id), Some(size)) => (Expected::Git(id), size),
            _ => bail!("'{path}' has no hash or no size"),
        };
        if !hash.is_sound() {
            bail!("'{path}' has '{}' for a hash", hash.name());
        }
        Ok(RemoteFile { path, bytes, hash })
    }
}

/// The response, if it holds what was asked for.
pub(crate) fn accepted(
    response: Response<Body>,
    repository: &Repository,
) -> Result<Response<Body>> {
    let token = "set HF_TOKEN to a token of an account that has";
    match response.status().as_u16() {
        200..300 => Ok(response),
        401 => bail!(
            "the hub does not show {repository} to everybody, or there is no such repository: check the name, or {token} \
             access"
        ),
        403 => bail!(
            "{repository} is gated: accept its terms on the hub's page of it, then {token} done so"
        ),
        404 => bail!(
            "there is no repository {repository}, or no such file or revision in it: check the name"
        ),
        429 => bail!(
            "the hub asks to wait: try again in a few minutes; the same command goes on from here"
        ),
        status => bail!("the hub answered with status {status}: try again later"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(text: &str) -> Result<About> {
        let answer: Answer = serde_json::from_str(text)?;
        answer.into_about()
    }

    #[test]
    fn answers_are_read() {
        let sha256 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        let git = "95d09f2b10159347eece71399a7e2e907ea3df4f";
        let about = about(&format!(
            r#"{{"sha": "0fad", "cardData": {{"license": "apache-2.0"}}, "siblings": [
                {{"rfilename": "vae/w.safetensors", "size": 11, "blobId": "{git}", "lfs": {{"sha256": "{sha256}", "size": 11}}}},
                {{"rfilename": "model_index.json", "size": 3, "blobId": "{git}"}}]}}"#
        ))
        .unwrap();
        assert_eq!(about.licence.as_deref(), Some("apache-2.0"));
        assert_eq!(about.files[0].hash, Expected::Sha256(sha256.into()));
        assert_eq!(about.files[1].hash, Expected::Git(git.into()));
    }

    #[test]
    fn names_and_hashes_that_lead_elsewhere_are_refused() {
        let git = "95d09f2b10159347eece71399a7e2e907ea3df4f";
        for (name, id) in [
            ("../x", git),
            ("a//b", git),
            ("/etc/x", git),
            ("a\\\\..\\\\b", git),
            ("C:x", git),
            ("ok", "../../x"),
            ("ok", ""),
        ] {
            let text = format!(
                r#"{{"sha": "0fad", "siblings": [{{"rfilename": "{name}", "size": 3, "blobId": "{id}"}}]}}"#
            );
            assert!(about(&text).is_err(), "{name} {id}");
        }
        assert!(about(r#"{"sha": "../.."}"#).is_err());
    }
}
