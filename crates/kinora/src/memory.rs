//! Memory of this process and of the machine, where the system tells.

/// The most memory that this process has held, in bytes.
pub(crate) fn peak_bytes() -> Option<u64> {
    read("/proc/self/status", "VmHWM:")
}

/// Memory of the machine, in bytes.
pub(crate) fn total_bytes() -> Option<u64> {
    read("/proc/meminfo", "MemTotal:")
}

/// Memory that is free for programs, in bytes.
pub(crate) fn available_bytes() -> Option<u64> {
    read("/proc/meminfo", "MemAvailable:")
}

fn read(path: &str, key: &str) -> Option<u64> {
    parse(&std::fs::read_to_string(path).ok()?, key)
}

/// Lines look like `VmHWM:   123456 kB`.
fn parse(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read() {
        let status = "Name:\tkinora\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(parse(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(parse(status, "VmSwap:"), None);
        assert_eq!(parse("VmHWM: much", "VmHWM:"), None);
    }
}
