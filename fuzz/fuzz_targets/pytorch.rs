//! Pickles in files of PyTorch. The fuzzer's bytes are the pickle; the archive around it is right, and holds numbers.

#![no_main]

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use kinora_fuzz::{Input, explore};
use kinora_models::wan::Checkpoint;
use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

static INPUT: LazyLock<Input> = LazyLock::new(Input::new);

/// What a pickle may say that there is.
const STORAGES: [&str; 3] = ["0", "1", "2"];

fn archive(pickle: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file("a/data.pkl", plain)?;
    archive.write_all(pickle)?;
    for key in STORAGES {
        archive.start_file(format!("a/data/{key}"), plain)?;
        archive.write_all(&[0x3c; 96])?;
    }
    Ok(archive.finish()?.into_inner())
}

fuzz_target!(|data: &[u8]| {
    let bytes = archive(data).expect("memory has room for an archive");
    if let Ok(checkpoint) = Checkpoint::open(&INPUT.with(&bytes)) {
        explore(&checkpoint);
    }
});
