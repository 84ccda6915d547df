use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::imaging::Operation;

/// What a job is to do. Closed: the `match` over it is the registry of kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Payload {
    #[serde(rename = "image.process")]
    ImageProcess(ImageProcess),
}

/// One picture and the outputs that are wanted of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageProcess {
    pub source: Source,
    /// The client's name for the picture; shown, never used as a path.
    pub image: String,
    pub operations: Vec<Operation>,
}

/// Where a job's picture lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A key of the store.
    Stored(String),
    /// A file beside the worker; only `pixmill batch` without a server makes these.
    File(PathBuf),
}

/// What a job's work mostly needs, and so which slots it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Cpu,
    Io,
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Io => "io",
        }
    }
}

impl Payload {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ImageProcess(_) => "image.process",
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::ImageProcess(_) => Class::Cpu,
        }
    }

    pub fn default_queue(&self) -> &'static str {
        match self {
            Self::ImageProcess(_) => "cpu_intensive",
        }
    }
}
