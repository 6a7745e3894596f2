//! Prompts completed by a server on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// Answers one request; gives its header and body back.
fn server(status: u16, answer: String) -> (String, JoinHandle<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut header = String::new();
        while !header.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut header).unwrap() > 0);
        }
        let lower = header.to_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let length = answer.len();
        write!(
            stream,
            "HTTP/1.1 {status} Answer\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        )
        .unwrap();
        (lower, serde_json::from_slice(&body).unwrap())
    });
    (url, served)
}

fn generate(folder: &TempDir, url: &str) -> Command {
    let mut command = Command::cargo_bin("kinora").expect("the program is built");
    command
        .current_dir(folder.path())
        .env("XDG_DATA_HOME", folder.path().join(".data"))
        .env("KINORA_ENHANCE_KEY", "secret")
        .args(["generate", "a rocket", "--seconds", "0.1", "--steps", "1"])
        .args(["--size", "176x96", "--seed", "7", "--json", "-o", "a.gif"])
        .args(["--enhance-url", url, "--enhance-model", "scribe"]);
    command
}

#[test]
fn a_server_completes_the_prompt() {
    let folder = tempdir().unwrap();
    let fuller = "a rocket flies past a planet in space";
    let answer = json!({"choices": [{"message": {"content": format!("\"{fuller}\"\n")}}]});
    let (url, served) = server(200, answer.to_string());
    let run = generate(&folder, &url).assert().success();
    let told: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(
        (&told["prompt"], &told["asked"]),
        (&fuller.into(), &"a rocket".into())
    );
    run.stderr(contains(format!("prompt: {fuller}")));
    let (header, question) = served.join().unwrap();
    assert!(header.starts_with("post /v1/chat/completions "), "{header}");
    assert!(header.contains("authorization: bearer secret"), "{header}");
    assert_eq!(
        (&question["model"], &question["seed"]),
        (&"scribe".into(), &7.into())
    );
    assert_eq!(question["messages"][1]["content"], "a rocket");
    assert!(
        question["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("25 words")
    );
}

#[test]
fn what_is_no_caption_is_refused_and_nothing_is_made() {
    let folder = tempdir().unwrap();
    for (status, answer, reason) in [
        (401, "no", "OPENAI_API_KEY"),
        (
            404,
            "no model \u{1b}[2J scribe",
            "--enhance-model. It says: no model \\u{1b}[2J scribe",
        ),
        (200, "hello", "gave no caption"),
        (200, "{\"choices\": []}", "choices[0].message.content"),
        (
            200,
            "{\"choices\": [{\"message\": {\"content\": \" \"}}]}",
            "the prompt is empty",
        ),
    ] {
        let (url, served) = server(status, answer.to_owned());
        let run = generate(&folder, &url).assert().code(1);
        run.stderr(
            contains("error: ")
                .and(contains(reason))
                .and(contains("secret").not()),
        );
        served.join().unwrap();
        assert!(!folder.path().join("a.gif").exists());
    }
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let run = generate(&folder, &format!("http://{closed}"))
        .assert()
        .code(1);
    run.stderr(contains("check --enhance-url"));
    let run = generate(&folder, "http://a")
        .arg("--no-enhance")
        .assert()
        .code(2);
    run.stderr(contains("--no-enhance"));
}
