//! One file, in as many pieces as the network breaks it into.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ureq::Body;
use ureq::http::{Response, header};

use super::Repository;
use super::api::{Hub, RemoteFile, accepted};
use super::hash::Hasher;
use crate::output;

/// Read at a time.
const PIECE: usize = 1 << 20;
/// How often to try again when nothing came at all.
const TRIES: u32 = 5;
/// Before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Where files come from.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) repository: &'a Repository,
    pub(crate) commit: &'a str,
}

/// A file that is being fetched, under a name that says so.
struct Partial {
    file: File,
    path: PathBuf,
    have: u64,
    hasher: Hasher,
}

/// What ended a piece.
enum Ended {
    /// Another try may get further.
    Broken(anyhow::Error),
    /// None will.
    Failed(anyhow::Error),
}

/// Fetches `file` into `blobs`, under the name of its hash. What an earlier try left is gone on with. `on_bytes` is told
/// of bytes as they come and may end the work; what came stays for the next try.
///
/// # Errors
///
/// No network, no space, a file that is not what the hub said, another download of the same file, and whatever `on_bytes`
/// returns.
pub(crate) fn fetch(
    source: &Source<'_>,
    file: &RemoteFile,
    blobs: &Path,
    mut on_bytes: impl FnMut(u64) -> Result<()>,
) -> Result<PathBuf> {
    let blob = blobs.join(file.hash.name());
    if blob.metadata().is_ok_and(|about| about.len() == file.bytes) {
        on_bytes(file.bytes)?;
        return Ok(blob);
    }
    let mut partial = Partial::open(blobs, file)?;
    on_bytes(partial.have)?;
    let mut failures = 0;
    while partial.have < file.bytes {
        let before = partial.have;
        let Err(ended) = partial.go_on(source, file, &mut on_bytes) else {
            continue;
        };
        let error = match ended {
            Ended::Failed(error) => return Err(error),
            Ended::Broken(error) => error,
        };
        failures = if partial.have > before {
            1
        } else {
            failures + 1
        };
        if failures >= TRIES {
            return Err(error.context(format!(
                "cannot fetch {}: {} of {} came; the same command goes on from there",
                file.path,
                output::bytes(partial.have),
                output::bytes(file.bytes)
            )));
        }
        tracing::info!(file = file.path, %error, "connection broke; trying again");
        std::thread::sleep(FIRST_PAUSE * 2_u32.pow(failures - 1));
    }
    partial.complete(file, &blob)?;
    Ok(blob)
}

impl Partial {
    /// Opens what an earlier try left, or an empty file.
    fn open(blobs: &Path, file: &RemoteFile) -> Result<Self> {
        let path = blobs.join(format!("{}.incomplete", file.hash.name()));
        let failed = || format!("cannot write {}", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let handle = options.open(&path).with_context(failed)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "{} is being fetched by another program: wait for it, or end it",
                file.path
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        let mut partial = Self {
            file: handle,
            hasher: file.hash.hasher(file.bytes),
            path,
            have: 0,
        };
        partial.reread(file)?;
        Ok(partial)
    }

    /// Hashes what is there.
    fn reread(&mut self, file: &RemoteFile) -> Result<()> {
        let failed = || format!("cannot read {}", self.path.display());
        if self.file.metadata().with_context(failed)?.len() > file.bytes {
            return self.restart(file);
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = self.file.read(&mut piece);
            match count.with_context(|| format!("cannot read {}", self.path.display()))? {
                0 => return Ok(()),
                count => {
                    self.hasher.update(&piece[..count]);
                    self.have += count as u64;
                }
            }
        }
    }

    /// Drops what is there.
    fn restart(&mut self, file: &RemoteFile) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.have = 0;
        self.hasher = file.hash.hasher(file.bytes);
        Ok(())
    }

    /// Asks for the rest and writes as much as comes.
    fn go_on(
        &mut self,
        source: &Source<'_>,
        file: &RemoteFile,
        on_bytes: &mut impl FnMut(u64) -> Result<()>,
    ) -> Result<(), Ended> {
        let response = source
            .hub
            .file(source.repository, source.commit, &file.path, self.have)
            .map_err(Ended::Broken)?;
        match response.status().as_u16() {
            206 if range_start(&response) == Some(self.have) => {}
            // The server knows no ranges, or not this one: all over again.
            200 | 206 | 416 if self.have > 0 => {
                self.restart(file).map_err(Ended::Failed)?;
                if response.status() != 200 {
                    return Err(Ended::Broken(anyhow!(
                        "the hub gave another part of the file"
                    )));
                }
            }
            500.. => {
                let refused = accepted(response, source.repository).err();
                return Err(Ended::Broken(refused.unwrap_or_else(|| anyhow!("refused"))));
            }
            _ => {}
        }
        let response = accepted(response, source.repository)
            .with_context(|| format!("cannot fetch {}", file.path))
            .map_err(Ended::Failed)?;
        let mut body = response.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let count = match body.read(&mut piece) {
                Ok(0) if self.have < file.bytes => {
                    return Err(Ended::Broken(anyhow!("the connection ended too early")));
                }
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) => return Err(Ended::Broken(error.into())),
            };
            if self.have + count as u64 > file.bytes {
                return Err(Ended::Failed(
                    self.reject(file, "is longer than the hub said"),
                ));
            }
            self.write(&piece[..count]).map_err(Ended::Failed)?;
            on_bytes(count as u64).map_err(Ended::Failed)?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => anyhow!(
                "no space left for {}: free some, or set HF_HOME to another disk; the same command goes on from here",
                self.path.display()
            ),
            _ => anyhow!(error).context(format!("cannot write {}", self.path.display())),
        })?;
        self.hasher.update(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    /// Removes a file that is not what it should be.
    fn reject(&self, file: &RemoteFile, what: &str) -> anyhow::Error {
        let _ = fs::remove_file(&self.path);
        anyhow!(
            "{} {what}: it was removed; try again, and if that fails too, what stands between here and the hub changes \
             files",
            file.path
        )
    }

    /// Checks the hash and gives the file its name.
    fn complete(self, file: &RemoteFile, blob: &Path) -> Result<()> {
        let got = self.hasher.clone().finish();
        if got != file.hash.name() {
            let what = format!("has hash {got} but should have {}", file.hash.name());
            return Err(self.reject(file, &what));
        }
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, blob))
            .with_context(|| format!("cannot write {}", blob.display()))
    }
}

/// Where the answer begins, by `Content-Range: bytes START-END/TOTAL`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)?
        .to_str()
        .ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}
