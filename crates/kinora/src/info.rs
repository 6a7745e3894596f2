//! `kinora info`: what the machine offers.

use anyhow::Result;
use kinora_kernels::cpu;

use crate::weights::MINI;
use crate::{device, memory, output};

/// Tells what the machine offers.
pub(crate) fn run() -> Result<()> {
    let memory = match (memory::total_bytes(), memory::available_bytes()) {
        (Some(total), Some(free)) => {
            format!("{}, {} free", output::bytes(total), output::bytes(free))
        }
        _ => "not told by this system".to_owned(),
    };
    let built = device::compiled_in();
    let devices: Vec<String> = built
        .iter()
        .map(|(kind, count)| match count {
            0 => format!("{kind} (none found)"),
            1 => (*kind).to_owned(),
            count => format!("{kind} ({count} found)"),
        })
        .collect();
    let left_out: Vec<&str> = ["cuda", "vulkan", "metal"]
        .into_iter()
        .filter(|kind| !built.iter().any(|(present, _)| present == kind))
        .collect();
    let left_out = match left_out.join(", ") {
        list if list.is_empty() => String::new(),
        list => format!("; built without {list}"),
    };
    output::print(&format!(
        "kinora     {}\nprocessor  {}\nthreads    {}\nmemory     {memory}\ndevices    {}{left_out}\nmodel      {MINI}",
        env!("CARGO_PKG_VERSION"),
        cpu::level_report(),
        rayon::current_num_threads(),
        devices.join(", "),
    ))
}
