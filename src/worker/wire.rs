//! The messages between a worker and its child: JSON after its length, on the child's standard input and output.

use std::io::{self, ErrorKind, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::execute::{Outcome, Spec};

/// Longest message in bytes, far above what any picture needs. A message that announces more is invalid.
const LONGEST: u32 = 16 << 20;

/// From the worker to the child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "lowercase")]
pub(super) enum Order {
    /// Computes a picture. `run` identifies it in later messages. All pictures together may use `memory` bytes.
    Run { run: u64, memory: u64, spec: Spec },
    /// Asks the run to stop.
    Stop { run: u64 },
}

/// From the child to the worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub(super) enum Answer {
    /// Sent before the first step, so that the worker knows which pictures had begun if the child dies.
    Started {
        run: u64,
    },
    Ended {
        run: u64,
        outcome: Outcome,
    },
}

/// A message with its length in front.
pub(super) fn frame(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Reads the next message; `None` at the end of the pipe.
pub(super) fn read<T: DeserializeOwned>(pipe: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match pipe.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut body = vec![0; checked(length)?];
    pipe.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// As [`read`], without blocking the thread.
pub(super) async fn receive<T: DeserializeOwned>(pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match pipe.read_exact(&mut length).await {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let mut body = vec![0; checked(length)?];
    pipe.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body)?))
}

fn checked(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        let said = format!("a message of {length} bytes exceeds {LONGEST}");
        return Err(io::Error::new(ErrorKind::InvalidData, said));
    }
    Ok(length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let pipe = [frame(&Order::Stop { run: 7 }), frame(&Order::Stop { run: u64::MAX })].map(Result::unwrap).concat();
        let mut pipe = pipe.as_slice();
        for expected in [7, u64::MAX] {
            let order = read::<Order>(&mut pipe).unwrap();
            assert!(matches!(order, Some(Order::Stop { run }) if run == expected), "{order:?}");
        }
        assert!(read::<Order>(&mut pipe).unwrap().is_none());
    }

    #[test]
    fn noise_is_refused_before_its_memory_is_taken() {
        let fault = read::<Order>(&mut &b"panicked at"[..]).unwrap_err();
        assert!(fault.to_string().contains("exceeds"), "{fault}");
    }
}
