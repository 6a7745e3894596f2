//! Where to compute.

use std::str::FromStr;

use anyhow::{Result, bail};
use burn::tensor::Device;

/// A device as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// The processor.
    Cpu,
    /// The NVIDIA GPU of this index.
    Cuda(usize),
    /// The best GPU that speaks Vulkan.
    Vulkan,
    /// The GPU of a Mac.
    Metal,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "unknown device '{text}': known are cpu, cuda, cuda:N (such as cuda:0), vulkan and metal"
            )
        };
        match text.to_ascii_lowercase().split_once(':') {
            None if text.eq_ignore_ascii_case("cpu") => Ok(Self::Cpu),
            None if text.eq_ignore_ascii_case("cuda") => Ok(Self::Cuda(0)),
            None if text.eq_ignore_ascii_case("vulkan") => Ok(Self::Vulkan),
            None if text.eq_ignore_ascii_case("metal") => Ok(Self::Metal),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl DeviceChoice {
    /// The device, if this build and this machine have it.
    pub(crate) fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => found(
                burn::tensor::DeviceType::Cuda,
                index,
                "NVIDIA GPU",
                "its driver",
            ),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => found(
                burn::tensor::DeviceType::Wgpu,
                0,
                "GPU with Vulkan",
                "its Vulkan driver",
            ),
            #[cfg(feature = "metal")]
            Self::Metal => found(
                burn::tensor::DeviceType::Metal,
                0,
                "GPU with Metal",
                "macOS",
            ),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => not_built("cuda"),
            #[cfg(not(feature = "vulkan"))]
            Self::Vulkan => not_built("vulkan"),
            #[cfg(not(feature = "metal"))]
            Self::Metal => not_built("metal"),
        }
    }
}

/// Kinds of devices that this build can use, and how many of each the machine has.
pub(crate) fn compiled_in() -> Vec<(&'static str, usize)> {
    #[allow(unused_mut, reason = "builds without GPUs have only the processor")]
    let mut kinds = vec![("cpu", 1)];
    #[cfg(feature = "cuda")]
    kinds.push((
        "cuda",
        Device::enumerate(burn::tensor::DeviceType::Cuda)
            .into_vec()
            .len(),
    ));
    #[cfg(feature = "vulkan")]
    kinds.push((
        "vulkan",
        Device::enumerate(burn::tensor::DeviceType::Wgpu)
            .into_vec()
            .len(),
    ));
    #[cfg(feature = "metal")]
    kinds.push((
        "metal",
        Device::enumerate(burn::tensor::DeviceType::Metal)
            .into_vec()
            .len(),
    ));
    kinds
}

/// Drivers panic on a device that is not there, so the machine is asked first.
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "metal"))]
fn found(kind: burn::tensor::DeviceType, index: usize, what: &str, needs: &str) -> Result<Device> {
    let devices = Device::enumerate(kind).into_vec();
    let count = devices.len();
    match devices.into_iter().nth(index) {
        Some(device) => Ok(device),
        None if count == 0 => bail!("no {what} was found: install {needs}, or use --device cpu"),
        None => {
            bail!("there is no {what} of index {index}: this machine has {count}, counted from 0")
        }
    }
}

#[cfg(not(all(feature = "cuda", feature = "vulkan", feature = "metal")))]
fn not_built(feature: &str) -> Result<Device> {
    bail!(
        "this program was built without {feature}: use --device cpu, or build it in a checkout of Kinora with \
         `cargo install --path crates/kinora --features {feature}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_people_write_them() {
        assert_eq!("CPU".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("metal".parse(), Ok(DeviceChoice::Metal));
        for text in ["", "tpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0"] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.contains("known are cpu, cuda"), "{error}");
        }
    }
}
