//! A disk that remembers every write and every sync, and from which the images
//! can be made that a power failure may leave.

use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub enum Step {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

#[derive(Default, Debug)]
struct State {
    data: Vec<u8>,
    steps: Vec<Step>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Write(at, data) => write!(f, "Write({at}, {} bytes)", data.len()),
            Step::Resize(len) => write!(f, "Resize({len})"),
            Step::Sync => f.write_str("Sync"),
        }
    }
}

/// Clones are the same disk.
#[derive(Clone, Default, Debug)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn holding(data: Vec<u8>) -> Self {
        Disk(Arc::new(Mutex::new(State { data, steps: Vec::new() })))
    }

    pub fn data(&self) -> Vec<u8> {
        self.0.lock().unwrap().data.clone()
    }

    /// The moment now, as a number of steps.
    pub fn moment(&self) -> usize {
        self.0.lock().unwrap().steps.len()
    }

    pub fn steps(&self) -> Vec<Step> {
        self.0.lock().unwrap().steps.clone()
    }
}

impl Step {
    pub fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Step::Write(at, bytes) => {
                let at = *at as usize;
                if data.len() < at + bytes.len() {
                    data.resize(at + bytes.len(), 0);
                }
                data[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Step::Resize(len) => data.resize(*len as usize, 0),
            Step::Sync => {}
        }
    }

    /// Only some of its sectors reach the disk, as `keep` says for each.
    pub fn apply_torn(&self, data: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        const SECTOR: usize = 512;
        let Step::Write(at, bytes) = self else { return self.apply(data) };
        for (sector, part) in bytes.chunks(SECTOR).enumerate() {
            if keep() {
                let at = *at as usize + sector * SECTOR;
                Step::Write(at as u64, part.to_vec()).apply(data);
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().data.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let range = offset as usize..offset as usize + len;
        state.data.get(range).map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.take(Step::Resize(len))
    }

    fn sync_data(&self, _eventual: bool) -> io::Result<()> {
        self.take(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.take(Step::Write(offset, data.to_vec()))
    }
}

impl Disk {
    fn take(&self, step: Step) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        step.apply(&mut state.data);
        state.steps.push(step);
        Ok(())
    }
}
