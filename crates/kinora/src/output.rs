//! Results on stdout. A reader that has gone away (`kinora inspect clip.mp4 | head -1`) is no error.

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes `text` and a line's end.
pub(crate) fn print(text: &str) -> Result<()> {
    print_bytes(format!("{}\n", text.trim_end()).as_bytes())
}

/// Writes `bytes` as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

/// Text from a file that strangers may have written, without what would steer a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| -> Box<dyn Iterator<Item = char>> {
            if c.is_control() {
                Box::new(c.escape_default())
            } else {
                Box::new(std::iter::once(c))
            }
        })
        .collect()
}

/// Bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    match count as f64 {
        count if count < 1024.0 => format!("{count} bytes"),
        count if count < MIB => format!("{:.0} KiB", count / 1024.0),
        count if count < 1024.0 * MIB => format!("{:.1} MiB", count / MIB),
        count => format!("{:.1} GiB", count / MIB / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(harmless("考拉 \x1b[31mred\n"), "考拉 \\u{1b}[31mred\\n");
    }

    #[test]
    fn bytes_have_a_fitting_unit() {
        assert_eq!(bytes(12), "12 bytes");
        assert_eq!(bytes(2048), "2 KiB");
        assert_eq!(bytes(3 << 19), "1.5 MiB");
        assert_eq!(bytes(5 << 29), "2.5 GiB");
    }
}
