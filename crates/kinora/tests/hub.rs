//! Fetching open weights, from a hub on this machine that breaks connections and lies about hashes, and making a clip
//! with them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tempfile::{TempDir, tempdir};

const REPOSITORY: &str = "someone/wan-tiny";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the hub behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Good,
    /// Ends every connection after so many bytes of a file.
    Breaking(usize),
    /// Breaks, and answers ranges with whole files.
    Rangeless(usize),
    /// Gives other bytes than it promised.
    Lying,
    /// Refuses everything.
    Refusing(u16),
}

struct Hub {
    endpoint: String,
    /// Lines and ranges of all requests.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn start(files: BTreeMap<String, Vec<u8>>, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(&mut stream.unwrap(), &files, mood, &log);
            }
        });
        Self { endpoint, requests }
    }

    fn asked(&self, what: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|line| line.contains(what)).count()
    }
}

fn answer(
    stream: &mut TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    mood: Mood,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap()?;
    let headers: Vec<String> = lines
        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .collect();
    let header = |name: &str| {
        let found = headers.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        });
        found.unwrap_or_default()
    };
    let range = header("range");
    log.lock()
        .unwrap()
        .push(format!("{request} {range} {}", header("authorization")));
    if let Mood::Refusing(status) = mood {
        return write!(
            stream,
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let path = request.split(' ').nth(1).unwrap();
    if path.starts_with("/api/") {
        let body = about(files).to_string();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let resolve = format!("/{REPOSITORY}/resolve/{COMMIT}/");
    // As the real one does, files come from another address.
    if let Some(file) = path.strip_prefix(&resolve) {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: /cdn/{file}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let Some(bytes) = path.strip_prefix("/cdn/").and_then(|file| files.get(file)) else {
        return write!(
            stream,
            "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let from = match (mood, range.strip_prefix("bytes=")) {
        (Mood::Rangeless(_), _) | (_, None) => 0,
        (_, Some(range)) => range.trim_end_matches('-').parse().unwrap(),
    };
    let mut rest = bytes[from..].to_vec();
    let length = rest.len();
    match mood {
        Mood::Breaking(most) | Mood::Rangeless(most) => rest.truncate(most),
        Mood::Lying => rest.iter_mut().for_each(|byte| *byte ^= 1),
        _ => {}
    }
    let status = match from {
        0 => "200 OK".to_owned(),
        _ => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            bytes.len() - 1,
            bytes.len()
        ),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&rest)
}

/// What the hub says of its repository: large files by SHA-256, small ones by git's hash.
fn about(files: &BTreeMap<String, Vec<u8>>) -> Value {
    let siblings: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| {
            let mut git = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
            git.update(bytes);
            let id: String = git.finalize().iter().map(|b| format!("{b:02x}")).collect();
            let sha256 = kinora_models::weights::sha256(bytes);
            let lfs = json!({ "sha256": sha256, "size": bytes.len() });
            let is_large = name.ends_with(".safetensors");
            json!({
                "rfilename": name,
                "size": bytes.len(),
                "blobId": id,
                "lfs": if is_large { lfs } else { Value::Null },
            })
        })
        .collect();
    json!({ "sha": COMMIT, "cardData": { "license": "apache-2.0" }, "siblings": siblings })
}

/// A small checkpoint with the layout of the real ones.
fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kinora-pipeline/tests/data/wan-t2v")
}

fn files() -> BTreeMap<String, Vec<u8>> {
    fn add(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            match path.is_dir() {
                true => add(&path, &format!("{name}/"), files),
                false => drop(files.insert(name, fs::read(&path).unwrap())),
            }
        }
    }
    let mut files = BTreeMap::new();
    add(&checkpoint(), "", &mut files);
    files.insert("assets/logo.json".into(), b"{}".to_vec());
    files
}

/// The program with a cache of its own; nothing of this machine's settings reaches it.
fn kinora(home: &TempDir, hub: Option<&Hub>) -> Command {
    let mut command = Command::cargo_bin("kinora").expect("the program is built");
    for variable in [
        "KINORA_CPU",
        "HF_TOKEN",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "HF_ENDPOINT",
    ] {
        command.env_remove(variable);
    }
    command
        .current_dir(home.path())
        .env("HF_HOME", home.path().join("hf"));
    // Where nobody listens, unless there is a hub.
    command.env(
        "HF_ENDPOINT",
        hub.map_or("http://127.0.0.1:9", |hub| &hub.endpoint),
    );
    command
}

fn pull(home: &TempDir, hub: &Hub) -> Command {
    let mut command = kinora(home, Some(hub));
    command.args(["models", "pull", REPOSITORY, "--accept-licence"]);
    command
}

fn folder(home: &TempDir) -> PathBuf {
    home.path().join("hf/hub/models--someone--wan-tiny")
}

#[test]
fn a_model_is_fetched_listed_used_without_network_and_removed() {
    let home = tempdir().unwrap();
    let hub = Hub::start(files(), Mood::Good);
    pull(&home, &hub)
        .assert()
        .success()
        .stderr(contains("licence  apache-2.0"))
        .stdout(contains("is there"));
    let snapshot = folder(&home).join("snapshots").join(COMMIT);
    assert_eq!(
        fs::read_to_string(folder(&home).join("refs/main")).unwrap(),
        COMMIT
    );
    let weights = snapshot.join("transformer/diffusion_pytorch_model.safetensors");
    let original =
        fs::read(checkpoint().join("transformer/diffusion_pytorch_model.safetensors")).unwrap();
    assert_eq!(fs::read(&weights).unwrap(), original);
    #[cfg(unix)]
    assert!(
        fs::read_link(&weights)
            .unwrap()
            .starts_with("../../../blobs")
    );
    assert_eq!(hub.asked("logo.json"), 0);

    // Nothing is fetched twice.
    let before = hub.asked("/cdn/");
    pull(&home, &hub).assert().success();
    assert_eq!(hub.asked("/cdn/"), before);

    let models = kinora(&home, None)
        .args(["models", "list", "--json"])
        .output()
        .unwrap();
    let models: Value = serde_json::from_slice(&models.stdout).unwrap();
    assert_eq!(models[0]["name"], "kinora-mini");
    assert_eq!(
        (&models[1]["name"], &models[1]["complete"]),
        (&json!(REPOSITORY), &json!(true))
    );
    kinora(&home, None)
        .args(["models", "info", REPOSITORY])
        .assert()
        .success()
        .stdout(contains("unipc, 50 steps").and(contains("up to 81 frames at 16 frames/s")));

    let made = kinora(&home, None)
        .args([
            "generate",
            "a red fox",
            "--model",
            REPOSITORY,
            "--size",
            "64x64",
            "--seconds",
            "0.6",
        ])
        .args(["--steps", "2", "--seed", "3", "-o", "fox.mp4", "--json"])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(
        (&made["model"], &made["sampler"]),
        (&json!(REPOSITORY), &json!("unipc"))
    );
    assert_eq!(
        (&made["frames"], &made["native_size"]),
        (&json!(10), &json!([64, 64]))
    );
    assert_eq!(
        (&made["guidance"], &made["shift"]),
        (&json!(5.0), &json!(3.0))
    );

    kinora(&home, None)
        .args(["models", "rm", REPOSITORY])
        .assert()
        .failure()
        .stderr(contains("add --yes"));
    kinora(&home, None)
        .args(["models", "rm", REPOSITORY, "--yes"])
        .assert()
        .success();
    assert!(!folder(&home).exists());
}

#[test]
fn broken_connections_are_gone_on_with() {
    let home = tempdir().unwrap();
    let hub = Hub::start(files(), Mood::Breaking(9_000));
    pull(&home, &hub).assert().success();
    assert!(hub.asked("bytes=9000-") > 0);
}

#[test]
fn what_an_earlier_try_left_is_not_fetched_again() {
    let home = tempdir().unwrap();
    // Nothing gets beyond the first bytes of a file, and the hub knows no ranges.
    let hub = Hub::start(files(), Mood::Rangeless(4_000));
    pull(&home, &hub)
        .assert()
        .failure()
        .stderr(contains("goes on from there").and(contains("panicked").not()));
    assert!(!folder(&home).join("refs/main").exists());
    kinora(&home, None)
        .args(["generate", "a fox", "--model", REPOSITORY])
        .assert()
        .failure()
        .stderr(contains("kinora models pull"));
    kinora(&home, None)
        .args(["models"])
        .assert()
        .success()
        .stdout(contains("not complete"));

    let hub = Hub::start(files(), Mood::Good);
    pull(&home, &hub).assert().success();
    let requests = hub.requests.lock().unwrap();
    let resumed = |line: &String| line.contains("/cdn/") && line.contains("bytes=4000-");
    assert_eq!(
        requests.iter().filter(|line| resumed(line)).count(),
        1,
        "{requests:?}"
    );
}

#[test]
fn files_that_are_not_what_was_promised_are_removed() {
    let home = tempdir().unwrap();
    let hub = Hub::start(files(), Mood::Lying);
    pull(&home, &hub)
        .assert()
        .failure()
        .stderr(contains("has hash").and(contains("it was removed")));
    let blobs = fs::read_dir(folder(&home).join("blobs")).unwrap();
    assert_eq!(blobs.count(), 0);
    assert!(!folder(&home).join("refs/main").exists());
}

#[test]
fn refusals_say_what_to_do() {
    for (status, reason) in [
        (401, "HF_TOKEN"),
        (403, "is gated: accept its terms"),
        (404, "there is no repository"),
        (503, "try again later"),
    ] {
        let home = tempdir().unwrap();
        let hub = Hub::start(files(), Mood::Refusing(status));
        pull(&home, &hub)
            .assert()
            .failure()
            .stderr(contains(reason));
        assert!(!home.path().join("hf").exists());
    }
    let home = tempdir().unwrap();
    let refused = |command: &mut Command, reason: &str| {
        command.assert().failure().stderr(contains(reason));
        assert!(!home.path().join("hf").exists());
    };
    refused(
        kinora(&home, None).args(["models", "pull", REPOSITORY, "--accept-licence"]),
        "cannot reach http://127.0.0.1:9: check the network",
    );
    refused(
        kinora(&home, None).env("HF_HUB_OFFLINE", "1").args([
            "models",
            "pull",
            REPOSITORY,
            "--accept-licence",
        ]),
        "HF_HUB_OFFLINE forbids the network",
    );
    refused(
        kinora(&home, None).args(["models", "pull", "../x"]),
        "write OWNER/NAME",
    );
    refused(
        kinora(&home, None).args(["models", "rm", REPOSITORY, "--yes"]),
        "is not in",
    );
    let hub = Hub::start(files(), Mood::Good);
    let asked = &["models", "pull", REPOSITORY][..];
    refused(
        kinora(&home, Some(&hub)).args(asked),
        "add --accept-licence",
    );
}

#[test]
fn models_that_cannot_be_run_are_refused_before_their_weights_come() {
    let mut files = files();
    let index = r#"{"_class_name": "WanAnimatePipeline"}"#;
    files.insert("model_index.json".into(), index.into());
    let home = tempdir().unwrap();
    let hub = Hub::start(files.clone(), Mood::Good);
    pull(&home, &hub)
        .assert()
        .failure()
        .stderr(contains("no pipeline of Wan that Kinora runs"));
    assert_eq!(hub.asked("safetensors"), 0);

    files.remove("model_index.json");
    let hub = Hub::start(files, Mood::Good);
    pull(&home, &hub)
        .assert()
        .failure()
        .stderr(contains("end in -Diffusers"));
}

/// The token goes to the hub, but not to wherever the hub sends on to.
#[test]
fn the_token_is_shown_to_the_hub_alone() {
    let home = tempdir().unwrap();
    let hub = Hub::start(files(), Mood::Good);
    pull(&home, &hub)
        .env("HF_TOKEN", "hf_secret")
        .assert()
        .success();
    let requests = hub.requests.lock().unwrap();
    for line in requests.iter() {
        assert_eq!(
            line.contains("Bearer hf_secret"),
            !line.contains("/cdn/"),
            "{line}"
        );
    }
}
