//! Inner loops in wider registers than every processor has.

/// Computes an expression in code compiled for AVX2 if the processor has it. Functions with loops in it must be inlined.
///
/// The expression is compiled twice, so that each of its closures has one caller and is always inlined into it.
macro_rules! wide {
    ($work:expr) => {{
        #[cfg(target_arch = "x86_64")]
        let done = if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { $crate::wide::avx2(|| $work) }
        } else {
            $work
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = $work;
        done
    }};
}

pub(crate) use wide;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(crate) fn avx2<T>(work: impl FnOnce() -> T) -> T {
    work()
}
