//! Inner loops in wider registers than every processor has.

/// Runs `work` compiled for AVX2 where the processor has it; the loops in it must be inlined into it.
#[inline]
pub(super) fn wide<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn avx2<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        // SAFETY: the processor has AVX2.
        return unsafe { avx2(work) };
    }
    work()
}
