//! GGUF files: headers, entries, tensors of every type.

#![no_main]

use std::sync::LazyLock;

use kinora_fuzz::{Input, explore};
use kinora_models::wan::Checkpoint;
use libfuzzer_sys::fuzz_target;

static INPUT: LazyLock<Input> = LazyLock::new(Input::new);

fuzz_target!(|data: &[u8]| {
    let bytes = [b"GGUF\x03\0\0\0", data].concat();
    if let Ok(checkpoint) = Checkpoint::open(&INPUT.with(&bytes)) {
        explore(&checkpoint);
    }
});
