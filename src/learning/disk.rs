//! The cache on disk: one small file a result, named by its identity, written by atomic rename.
//!
//! A file that is missing, cut or damaged counts as absent and is computed again.

use super::LearningError;
use super::identity::Identity;
use super::value::{Metric, State};
use crate::backend::cuda::Cuda;
use crate::nn::Moments;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const STATE_MAGIC: &[u8; 8] = b"DEFTST02";
const CHECKSUM_BYTES: usize = 32;

pub(super) struct DiskCache {
    root: PathBuf,
}

impl DiskCache {
    pub fn open(root: &Path) -> Result<Self, LearningError> {
        fs::create_dir_all(root).map_err(|cause| error(root, &cause))?;
        Ok(Self { root: root.to_owned() })
    }

    pub fn read_metric(&self, identity: Identity) -> Option<Metric> {
        serde_json::from_slice(unsealed(&fs::read(self.path(identity, "metric")).ok()?)?).ok()
    }

    pub fn write_metric(&self, identity: Identity, metric: Metric) -> Result<(), LearningError> {
        let json = serde_json::to_vec(&metric).expect("a metric has only finite fields of fixed names");
        self.write(&self.path(identity, "metric"), &sealed(json))
    }

    pub fn read_state(&self, identity: Identity) -> Option<State> {
        decode(&fs::read(self.path(identity, "state")).ok()?)
    }

    pub fn write_state(&self, identity: Identity, state: &State) -> Result<(), LearningError> {
        // What an optimiser remembers may lie on a device.
        let bytes = Cuda::catching(|| encode(state))?;
        self.write(&self.path(identity, "state"), &bytes)
    }

    /// All states that are there, whole or not.
    pub fn states(&self) -> impl Iterator<Item = Identity> {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
        let files = entries(&self.root).flat_map(move |folder| entries(&folder).collect::<Vec<_>>());
        let states = files.filter(|file| file.extension().is_some_and(|e| e == "state"));
        states.filter_map(|file| Identity::from_name(file.file_stem()?.to_str()?))
    }

    /// Two levels of folders keep each folder small.
    fn path(&self, identity: Identity, extension: &str) -> PathBuf {
        let name = identity.to_string();
        self.root.join(&name[..2]).join(format!("{name}.{extension}"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), LearningError> {
        let folder = path.parent().expect("cache files lie in a folder");
        // The name holds the process and thread: two writers of one identity write equal bytes to different files.
        let temporary = path.with_extension(format!("{}-{:?}.tmp", std::process::id(), std::thread::current().id()));
        fs::create_dir_all(folder)
            .and_then(|()| fs::File::create(&temporary)?.write_all(bytes))
            .and_then(|()| fs::rename(&temporary, path))
            .map_err(|cause| error(path, &cause))
    }
}

fn error(path: &Path, cause: &std::io::Error) -> LearningError {
    LearningError::Cache { path: path.display().to_string(), cause: cause.to_string() }
}

/// `body` with its SHA-256 behind it.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = Sha256::digest(&body);
    body.extend(checksum);
    body
}

/// What [`sealed`] was given; `None` if a single bit is not as it was.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (body, checksum) = bytes.split_at(bytes.len().checked_sub(CHECKSUM_BYTES)?);
    (Sha256::digest(body)[..] == *checksum).then_some(body)
}

/// Magic, loss (NaN for none), number of parameters, parameters, then the moments' own bytes if there are any, little
/// endian; sealed.
fn encode(state: &State) -> Vec<u8> {
    let mut out = STATE_MAGIC.to_vec();
    out.extend(state.loss.unwrap_or(f64::NAN).to_le_bytes());
    out.extend((state.parameters.len() as u64).to_le_bytes());
    state.parameters.iter().for_each(|p| out.extend(p.to_le_bytes()));
    out.extend(state.moments.iter().flat_map(Moments::to_bytes));
    sealed(out)
}

fn decode(bytes: &[u8]) -> Option<State> {
    let body = unsealed(bytes)?.strip_prefix(STATE_MAGIC)?;
    let (loss, body) = body.split_first_chunk::<8>()?;
    let (len, body) = body.split_first_chunk::<8>()?;
    let size = usize::try_from(u64::from_le_bytes(*len)).ok()?.checked_mul(size_of::<f32>())?;
    let (parameters, moments) = body.split_at_checked(size)?;
    let loss = f64::from_le_bytes(*loss);
    Some(State {
        parameters: parameters.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect(),
        moments: if moments.is_empty() { None } else { Some(Moments::from_bytes(moments)?) },
        loss: (!loss.is_nan()).then_some(loss),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> [State; 2] {
        let moments = Moments { m: vec![0.5, 1.0].into(), v: vec![2.0, 3.0].into(), step: 7, ..Moments::default() };
        [
            State { parameters: vec![1.0, -2.0], moments: None, loss: None },
            State { parameters: vec![1.0, -2.0], moments: Some(moments), loss: Some(0.25) },
        ]
    }

    #[test]
    fn states_survive_the_round_trip() {
        for state in states() {
            assert_eq!(decode(&encode(&state)), Some(state));
        }
    }

    #[test]
    fn damaged_files_count_as_absent() {
        let good = encode(&states()[1]);
        for cut in 0..good.len() {
            assert_eq!(decode(&good[..cut]), None, "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad), None, "flipped at {at}");
        }
    }
}
