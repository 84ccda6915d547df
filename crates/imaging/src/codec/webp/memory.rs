//! When libwebp finds no memory the process ends, as it does when an allocation in Rust fails.
//!
//! Who took too much cannot be told in here, and whoever only asked next is not to blame. For one allocation, of 5 kB at
//! most, libwebp blames the picture all the same: what it sorts a code's symbols in.

use std::io::Write;

use libwebp_sys::WebPEncodingError::{
    self, VP8_ENC_ERROR_BAD_WRITE, VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY, VP8_ENC_ERROR_OUT_OF_MEMORY,
};

pub(in crate::codec) fn out_of_memory() -> ! {
    let _ = writeln!(std::io::stderr(), "libwebp finds no memory");
    std::process::abort()
}

/// Goes on where an encoder failed for another reason. It writes to memory, too.
pub(in crate::codec) fn hold(error: WebPEncodingError) {
    if matches!(error, VP8_ENC_ERROR_OUT_OF_MEMORY | VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY | VP8_ENC_ERROR_BAD_WRITE) {
        out_of_memory();
    }
}
