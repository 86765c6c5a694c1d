//! Where tensors live: the CPU, or a GPU behind the feature `wgpu`.

use burn::tensor::Device;

use crate::NnError;

/// The device with this name: `cpu`, or `gpu` in a build with the feature `wgpu`.
///
/// # Errors
/// [`NnError::Device`] for another name, or for `gpu` in a build without it.
pub fn device(name: &str) -> Result<Device, NnError> {
    let error = |reason: &str| Err(NnError::Device { name: name.to_owned(), reason: reason.to_owned() });
    match name {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "gpu" => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(not(feature = "wgpu"))]
        "gpu" => error("this build has no GPU support; build again with `--features wgpu`, or use `cpu`"),
        _ => error("expected `cpu` or `gpu`"),
    }
}

/// What this build and machine can compute on, a line each, for `doctor`.
pub fn describe_devices() -> Vec<String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = format!("cpu: burn flex, {threads} threads");
    let gpu = if cfg!(feature = "wgpu") {
        "gpu: built in (Vulkan); `--device gpu` uses the first one found"
    } else {
        "gpu: not in this build; build with `--features wgpu` to use one"
    };
    vec![cpu, gpu.to_owned()]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_are_errors_that_say_what_there_is() {
        assert!(device("cpu").is_ok());
        let e = device("cuda:0").unwrap_err().to_string();
        assert!(e.contains("`cuda:0`") && e.contains("`cpu` or `gpu`"), "{e}");
        #[cfg(not(feature = "wgpu"))]
        assert!(device("gpu").unwrap_err().to_string().contains("--features wgpu"));
    }
}
