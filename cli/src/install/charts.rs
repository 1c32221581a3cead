//! The charts: inside this program, or in a folder. Does I/O.

use std::path::{Path, PathBuf};

use crate::error::Problem;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/charts.rs"));
}

/// A folder with the charts; an unpacked folder is removed at the end.
pub struct Charts {
    folder: PathBuf,
    unpacked: bool,
}

impl Charts {
    /// The charts in a folder, or unpacked from this program.
    pub fn open(folder: Option<&Path>) -> Result<Self, Problem> {
        if let Some(folder) = folder {
            return Ok(Self { folder: folder.to_owned(), unpacked: false });
        }
        if embedded::FILES.is_empty() {
            return Err(Problem::failed("this build holds no charts")
                .safe("nothing was changed")
                .why("name their folder with --charts DIR"));
        }
        let folder = std::env::temp_dir().join(format!("tenantry-charts-{}", std::process::id()));
        let charts = Self { folder, unpacked: true };
        charts.unpack().map_err(|e| {
            Problem::failed(format!("cannot unpack the charts into {}: {e}", charts.folder.display()))
                .safe("nothing was changed")
        })?;
        Ok(charts)
    }

    fn unpack(&self) -> std::io::Result<()> {
        // A new folder, never one that somebody else prepared.
        std::fs::create_dir(&self.folder)?;
        for (name, content) in embedded::FILES {
            let path = self.folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, content)?;
        }
        Ok(())
    }

    /// The folder of one chart.
    pub fn path(&self, chart: &str) -> Result<PathBuf, Problem> {
        let path = self.folder.join(chart);
        if path.join("Chart.yaml").is_file() {
            return Ok(path);
        }
        Err(Problem::not_found(format!("there is no chart {chart} in {}", self.folder.display()))
            .why("needed are the folders tenantry-crds and tenantry"))
    }
}

impl Drop for Charts {
    fn drop(&mut self) {
        if self.unpacked {
            // A folder that cannot be removed stays in the temporary folder and holds nothing secret.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
