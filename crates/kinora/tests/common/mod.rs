//! The program in folders of its own, for the tests that look at it from outside.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use tempfile::{TempDir, tempdir};

pub(crate) const PROMPT: &str = "a koala waves on a beach at sunset";

/// Sessions stand here and not among the user's own.
pub(crate) const DATA: &str = env!("CARGO_TARGET_TMPDIR");

/// The program in a folder of its own.
pub(crate) fn kinora(folder: &TempDir) -> Command {
    let mut command = Command::cargo_bin("kinora").expect("the program is built");
    command.current_dir(folder.path()).env_remove("KINORA_CPU");
    command.env("XDG_DATA_HOME", DATA);
    command
}

/// A clip that is made in a moment: one second in two steps.
pub(crate) fn quick(folder: &TempDir, output: &str) -> Command {
    let mut command = kinora(folder);
    command.args([
        "generate",
        PROMPT,
        "--seconds",
        "1",
        "--steps",
        "2",
        "--size",
        "176x96",
        "--fps",
        "12",
        "-o",
        output,
    ]);
    command
}

pub(crate) fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// `arguments` are refused with `code` and a message that says all of `reasons`; nothing is left behind.
pub(crate) fn refused(arguments: &[&str], code: i32, reasons: &[&str]) {
    let folder = tempdir().unwrap();
    let mut assert = kinora(&folder)
        .args(arguments)
        .assert()
        .code(code)
        .stdout(is_empty());
    assert = assert
        .stderr(contains("error: "))
        .stderr(contains("panicked").not());
    for reason in reasons {
        assert = assert.stderr(contains(*reason));
    }
    assert_eq!(entries(folder.path()), [] as [&str; 0], "{arguments:?}");
}

/// The weights that the program carries, to be damaged.
pub(crate) fn weights() -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/kinora-mini/model.safetensors");
    fs::read(path).unwrap()
}
