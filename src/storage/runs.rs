//! The outputs of a job's runs: the folder of each run, its publication and its removal.

use std::io;
use std::path::{Path, PathBuf};

use queue::{GroupId, JobId, Run};

use super::error::at;
use super::local::{entries, remove_folder, sync};
use super::{Result, Storage};

/// A folder on this machine that one run of a job writes its outputs to. The writer creates it.
///
/// No two claims share a folder, even if the broker's state went back in time between them, so a late loser never
/// changes the winner's files. On the local disk, the outputs remain in this folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Storage {
    /// The folder of one run.
    pub fn run_folder(&self, group: GroupId, job: JobId, run: Run) -> RunFolder {
        RunFolder(self.root.join(format!("outputs/{group}/{job}/{run}")))
    }

    /// Publishes a run's outputs as `outputs/<group>/<job>/<run>/<file>`. They are durable when this returns: first
    /// every file, then the folders that contain them.
    ///
    /// Blocks on the disk, so do not call it on an async thread.
    pub fn publish(&self, RunFolder(folder): &RunFolder) -> Result<()> {
        for entry in std::fs::read_dir(folder).map_err(|error| at(folder, &error))? {
            sync(&entry.map_err(|error| at(folder, &error))?.path())?;
        }
        // The folders of the run, the job and the group may be new, so each is made durable in the folder above it.
        folder.ancestors().take(4).try_for_each(sync)
    }

    /// The folders of a group's runs, by job: all runs that began to write outputs and were not removed. Blocks on the
    /// disk.
    pub fn runs(&self, group: GroupId) -> Result<Vec<(JobId, Vec<RunFolder>)>> {
        let mut runs = Vec::new();
        for folder in entries(&self.root.join(format!("outputs/{group}")))? {
            let folder = folder?;
            let job = folder.file_name().and_then(|name| name.to_str()?.parse::<JobId>().ok());
            if let Some(job) = job {
                runs.push((job, entries(&folder)?.map(|run| run.map(RunFolder)).collect::<Result<_>>()?));
            }
        }
        Ok(runs)
    }

    /// Removes the outputs of all runs of a job except `run`; with `None`, of all runs. Blocks on the disk.
    pub fn keep_run(&self, group: GroupId, job: JobId, run: Option<Run>) -> Result<()> {
        let folder = self.root.join(format!("outputs/{group}/{job}"));
        let Some(run) = run else { return remove_folder(&folder) };
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| at(&folder, &error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| at(&folder, &error))?;
            if entry.file_name() != *run.to_string() {
                remove_folder(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the outputs of a run that failed or lost. Blocks on the disk.
    pub fn remove_run(&self, run: &RunFolder) -> Result<()> {
        remove_folder(&run.0)
    }

    /// Removes the folder of a group's outputs if it is empty. Blocks on the disk.
    pub fn remove_empty_outputs(&self, group: GroupId) {
        // This fails if the folder is not empty.
        let _ = std::fs::remove_dir(self.root.join(format!("outputs/{group}")));
    }
}
