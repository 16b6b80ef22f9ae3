//! Nonce-search kernels: one portable reference, one file per instruction set, one place that chooses.
//!
//! A kernel tests consecutive nonces of one [`Work`] against its target. All give the same answers (that of
//! [`Portable`]) and differ only in speed. [`supported`] lists those that this CPU can run; [`fastest`] measures
//! them, because the order of feature names says little about the order of speeds.
//!
//! This folder is the only place of the crate with `unsafe` code: kernels need CPU features that only exist where
//! they have been detected. A value of a kernel type is the proof of detection, and only its `new` makes one.

#[cfg(any(target_arch = "aarch64", test))]
mod aarch64;
#[cfg(all(test, not(target_arch = "aarch64")))]
mod aarch64_model;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
pub(crate) mod check;
mod choose;
mod clock;
#[cfg_attr(
    not(any(target_arch = "x86_64", test)),
    expect(dead_code, reason = "vectors elsewhere")
)]
mod lanes;
mod portable;
mod sha256;
mod work;
#[cfg(target_arch = "x86_64")]
mod x86_sha;

use std::fmt::Debug;
use std::sync::Arc;

use thiserror::Error;

pub use choose::SelfTestError;
pub(crate) use choose::{fastest, self_test};
pub(crate) use choose::{median, race_job, race_work};
pub(crate) use clock::core_hz;
pub(crate) use portable::Portable;
pub(crate) use work::{Hit, LaneDigest, MAX_VERSIONS, NonceRange, Work};

/// All kernels of this architecture by name, the reference first.
#[cfg(target_arch = "x86_64")]
pub(crate) const NAMES: &[&str] = &["portable", "avx2", "x86-sha", "avx512"];
/// All kernels of this architecture by name, the reference first.
#[cfg(target_arch = "aarch64")]
pub(crate) const NAMES: &[&str] = &["portable", "aarch64-sha2"];
/// All kernels of this architecture by name, the reference first.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) const NAMES: &[&str] = &["portable"];

/// Tests nonces of one header.
pub(crate) trait Kernel: Debug + Send + Sync {
    /// The name that `--kernel` takes.
    fn name(&self) -> &'static str;

    /// How many versions a [`Work`] should hold for this kernel to be fastest: more than one where versions share
    /// a message schedule.
    fn versions_shared(&self) -> usize;

    /// The candidate of lowest nonce, and among equal nonces of lowest version, that meets the work's target.
    ///
    /// Every candidate is confirmed by the reference implementation before it is returned.
    fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit>;

    /// Full digests of every lane that one step from `first` on computes. Nonces wrap at 2^32. For tests.
    fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest>;
}

/// The kernels that this CPU can run, the reference first.
#[must_use]
pub(crate) fn supported() -> Vec<Arc<dyn Kernel>> {
    NAMES.iter().filter_map(|name| construct(name)).collect()
}

fn construct(name: &str) -> Option<Arc<dyn Kernel>> {
    fn shared<K: Kernel + 'static>(kernel: K) -> Arc<dyn Kernel> {
        Arc::new(kernel)
    }
    match name {
        "portable" => Some(shared(Portable::new())),
        #[cfg(target_arch = "x86_64")]
        "avx2" => avx2::Avx2::new().map(shared),
        #[cfg(target_arch = "x86_64")]
        "x86-sha" => x86_sha::X86Sha::new().map(shared),
        #[cfg(target_arch = "x86_64")]
        "avx512" => avx512::Avx512::new().map(shared),
        #[cfg(target_arch = "aarch64")]
        "aarch64-sha2" => aarch64::Aarch64Sha2::new().map(shared),
        _ => None,
    }
}

/// No kernel of that name runs here.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("kernel {name:?} {why}; this machine has: {}", supported.join(", "))]
pub struct UnknownKernel {
    name: String,
    why: &'static str,
    supported: Vec<&'static str>,
}

/// The kernel called `name`, after its [`self_test`].
///
/// # Errors
///
/// [`ByNameError::Unknown`] when there is no such kernel or the CPU lacks its instructions, with the names that
/// would work; [`ByNameError::Wrong`] when the kernel computes wrong hashes on this CPU.
pub(crate) fn by_name(name: &str) -> Result<Arc<dyn Kernel>, ByNameError> {
    let Some(kernel) = construct(name) else {
        let known = NAMES.contains(&name);
        let why = if known {
            "is not supported by this CPU"
        } else {
            "does not exist"
        };
        let supported = supported().iter().map(|k| k.name()).collect();
        return Err(UnknownKernel {
            name: name.to_owned(),
            why,
            supported,
        }
        .into());
    };
    self_test(kernel.as_ref())?;
    Ok(kernel)
}

/// Why `by_name` gave no kernel.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ByNameError {
    /// No such kernel here.
    #[error(transparent)]
    Unknown(#[from] UnknownKernel),
    /// It computes wrong hashes.
    #[error(transparent)]
    Wrong(#[from] SelfTestError),
}

#[cfg(test)]
mod tests {
    use bitcoin::BlockHash;
    use bitcoin::block::Header;
    use bitcoin::consensus::deserialize;
    use bitcoin::hashes::Hash;

    use super::*;

    #[test]
    fn every_kernel_finds_the_nonces_of_a_chain_made_by_bitcoin_core() {
        let bytes = include_bytes!("testdata/regtest-headers.bin");
        let headers = bytes.chunks(80).map(deserialize);
        let headers: Vec<Header> = headers.collect::<Result<_, _>>().expect("headers");
        assert_eq!(headers.len(), 163);
        for kernel in supported() {
            for header in &headers {
                let work = Work::new(header, header.target(), &[header.version]);
                let range = NonceRange::starting_at(0, u64::from(header.nonce) + 50);
                let hit = kernel.scan(&work, range.expect("not empty"));
                let hit = hit.expect("the block's nonce");
                // Core starts at nonce 0 and takes the first that fits. The genesis block's was chosen otherwise.
                let is_genesis = header.prev_blockhash == BlockHash::all_zeros();
                let name = kernel.name();
                assert!(
                    is_genesis || work.header(hit) == *header,
                    "{name}: {header:?}"
                );
                assert!(work.meets_target(hit) && hit.nonce <= header.nonce);
            }
        }
    }

    #[test]
    fn an_unknown_kernel_is_refused_with_the_names_that_work() {
        let error = by_name("abacus").expect_err("no such kernel").to_string();
        assert!(error.starts_with("kernel \"abacus\" does not exist; this machine has: portable"));
    }

    #[test]
    fn every_supported_kernel_has_a_listed_name_and_passes_its_self_test() {
        for kernel in supported() {
            assert!(NAMES.contains(&kernel.name()));
            assert_eq!(
                by_name(kernel.name()).expect("self-test").name(),
                kernel.name()
            );
        }
    }

    #[test]
    fn nonce_ranges_end_at_the_last_nonce() {
        assert_eq!(NonceRange::starting_at(5, 0), None);
        let range = NonceRange::starting_at(u32::MAX - 1, 100).expect("not empty");
        assert_eq!(
            (range.first(), range.last(), range.count()),
            (u32::MAX - 1, u32::MAX, 2)
        );
        assert_eq!(range.steps(8).collect::<Vec<_>>(), [u32::MAX - 1]);
        assert_eq!(
            NonceRange::starting_at(0, u64::MAX).map(NonceRange::count),
            Some(1 << 32)
        );
    }
}
