use serde::{Deserialize, Serialize};

/// What a picture may cost, checked from its header before the memory is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one source file.
    pub max_file_bytes: u64,
    /// Pixels of one frame, `width * height`.
    pub max_pixels: u64,
    /// Pixels on a side of a source.
    pub max_side: u32,
    /// Pixels summed over all frames.
    pub max_frame_pixels: u64,
    pub max_frames: u32,
    /// Bytes of a decoded picture in memory.
    pub max_decoded_bytes: u64,
    /// Pixels on a side of an output.
    pub max_output_side: u32,
    /// Operations in one request, those inside pipelines counted too.
    pub max_operations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_file_bytes: 40_000_000,
            max_pixels: 50_000_000,
            max_side: 131_072,
            max_frame_pixels: 400_000_000,
            max_frames: 900,
            max_decoded_bytes: 512 << 20,
            max_output_side: 16_384,
            max_operations: 32,
        }
    }
}
