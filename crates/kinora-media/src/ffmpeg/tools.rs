//! Finding FFmpeg.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::Demuxer;

/// The programs of an FFmpeg that runs.
#[derive(Debug)]
pub(crate) struct Tools {
    ffmpeg: OsString,
    ffprobe: OsString,
    /// How it is told to leave times alone: the option was renamed in 5.1.
    pub(super) passthrough: [&'static str; 2],
}

impl Tools {
    /// The system's; `None` if one of the two programs is missing. It is looked for once.
    pub(crate) fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Tools>> = OnceLock::new();
        FOUND
            .get_or_init(|| Self::at("ffmpeg".into(), "ffprobe".into()).ok())
            .as_ref()
    }

    fn at(ffmpeg: OsString, ffprobe: OsString) -> io::Result<Self> {
        let version = version(&ffmpeg)?;
        self::version(&ffprobe)?;
        Ok(Self {
            passthrough: passthrough(&version),
            ffmpeg,
            ffprobe,
        })
    }

    /// An `ffmpeg` that will read `path`.
    pub(super) fn ffmpeg(&self) -> Command {
        let mut command = quiet(&self.ffmpeg);
        command.args([
            "-hide_banner",
            "-nostdin",
            "-nostats",
            "-loglevel",
            "level+info",
        ]);
        command
    }

    /// An `ffprobe` that tells errors alone.
    pub(super) fn ffprobe(&self) -> Command {
        let mut command = quiet(&self.ffprobe);
        command.args(["-hide_banner", "-loglevel", "error"]);
        command
    }
}

/// Names the input: its kind, and the file as a file whatever its name looks like.
pub(super) fn input(command: &mut Command, demuxer: Demuxer, path: &Path) {
    let mut name = OsString::from("file:");
    name.push(path);
    command
        .args(["-f", demuxer.name(), "-protocol_whitelist", "file", "-i"])
        .arg(name);
}

fn quiet(program: &OsString) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

fn version(program: &OsString) -> io::Result<String> {
    let output = quiet(program).arg("-version").output()?;
    if !output.status.success() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The option for a version text that begins `ffmpeg version 5.1.6-0+deb12u1 Copyright …`. Builds from source say a commit: they are
/// taken for new ones.
fn passthrough(version: &str) -> [&'static str; 2] {
    let number = version.split_whitespace().nth(2).unwrap_or_default();
    let mut parts = number
        .trim_start_matches('n')
        .split(['.', '-'])
        .map(str::parse::<u32>);
    let old = match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (5, 1),
        (Some(Ok(major)), _) => major < 5,
        _ => false,
    };
    if old {
        ["-vsync", "passthrough"]
    } else {
        ["-fps_mode", "passthrough"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_know_the_old_option() {
        for (number, option) in [
            ("4.4.2-0ubuntu0.22.04.1", "-vsync"),
            ("n5.0", "-vsync"),
            ("5.1.6-0+deb12u1", "-fps_mode"),
            ("n7.1", "-fps_mode"),
            ("8.0", "-fps_mode"),
            ("N-112345-gabcdef", "-fps_mode"),
        ] {
            let text = format!("ffmpeg version {number} Copyright (c) 2000");
            assert_eq!(passthrough(&text)[0], option, "{number}");
        }
    }

    #[test]
    fn a_missing_program_is_told() {
        let none = || OsString::from("kinora-has-no-such-program");
        assert_eq!(
            Tools::at(none(), none()).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
