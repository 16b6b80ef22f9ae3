//! What all kernels on vectors have in common: the proof that the CPU has the instructions, and the entry into code that uses them.

/// Makes a kernel of an instruction set's `Words`, which implement `Lanes` and must be used nowhere else: only the functions made here
/// enable the instruction set.
macro_rules! lane_kernel {
    (
        $(#[$about:meta])*
        $kernel:ident, $name:literal, $streams:expr, needs $features:literal: $($feature:tt),+
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $kernel(());

        impl $kernel {
            /// `None` where the CPU lacks what it needs.
            pub(super) fn new() -> Option<Self> {
                let found = $(is_x86_feature_detected!($feature))&&+;
                found.then_some(Self(()))
            }
        }

        impl Kernel for $kernel {
            fn name(&self) -> &'static str {
                $name
            }

            fn versions_shared(&self) -> usize {
                super::MAX_VERSIONS
            }

            fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
                // SAFETY: `self` exists, so `new` found the features that `scan` enables.
                unsafe { scan(work, range) }
            }

            fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest> {
                // SAFETY: `self` exists, so `new` found the features that `digests` enables.
                unsafe { digests(work, first) }
            }
        }

        #[target_feature(enable = $features)]
        fn scan(work: &Work, range: NonceRange) -> Option<Hit> {
            Sweep::new(work).scan::<Words, { $streams }>(range)
        }

        #[target_feature(enable = $features)]
        fn digests(work: &Work, first: u32) -> Vec<LaneDigest> {
            Sweep::new(work).digests::<Words, { $streams }>(first)
        }
    };
}

pub(in crate::kernel) use lane_kernel;
