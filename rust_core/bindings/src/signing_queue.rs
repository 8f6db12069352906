//! Signing on a thread that never asks for the interpreter lock.
//!
//! Jobs are extracted under the lock when they are handed in; the thread signs them in chunks and
//! makes a descriptor readable; results are wrapped under the lock when they are taken. Between
//! the two the thread and the event loop do not wait for each other.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use slipstream_kernel::ecdsa::SigningContext;

use crate::error::SignerError;
use crate::signer::{Job, Message, Signed, Signer, as_signer_error, context, job_of};

/// Signatures between two signs of life: about half a millisecond.
const CHUNK: usize = 32;
/// The first chunk is small, so that the first order need not wait for the others.
const FIRST_CHUNK: usize = 4;

/// Jobs of one `submit`.
struct Batch {
    number: u64,
    jobs: Vec<Job>,
}

type Outcome = Result<(Py<Signer>, Signed), PyErr>;

/// Signed jobs of a batch, from its `start`-th on.
struct Chunk {
    number: u64,
    start: usize,
    outcomes: Vec<Outcome>,
}

type Ready = Arc<Mutex<Vec<Chunk>>>;

/// A queue of jobs, its thread and its results.
#[pyclass(module = "slipstream._core")]
pub struct SigningQueue {
    jobs: Option<Sender<Batch>>,
    ready: Ready,
    signal: UnixStream,
    thread: Option<JoinHandle<()>>,
    next_number: u64,
}

fn system(error: &std::io::Error) -> PyErr {
    SignerError::new_err(format!("signing queue: {error}"))
}

fn serve(
    context: &'static SigningContext,
    jobs: &Receiver<Batch>,
    ready: &Ready,
    signal: &UnixStream,
) {
    let sign = |(signer, message): (Py<Signer>, Message)| {
        let signed = message.sign(context, signer.get().key());
        (signer, signed)
    };
    while let Ok(batch) = jobs.recv() {
        let mut start = 0;
        let mut size = FIRST_CHUNK;
        let mut rest = batch.jobs.into_iter();
        loop {
            let outcomes: Vec<Outcome> =
                rest.by_ref().take(size).map(|job| job.map(sign)).collect();
            let count = outcomes.len();
            if count == 0 {
                break;
            }
            let chunk = Chunk {
                number: batch.number,
                start,
                outcomes,
            };
            let was_empty = {
                let mut waiting = ready.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.push(chunk);
                waiting.len() == 1
            };
            if was_empty {
                // A full pipe already says that there is something to take.
                let _ = (&*signal).write(&[1]);
            }
            start += count;
            size = CHUNK;
        }
    }
}

#[pymethods]
impl SigningQueue {
    #[new]
    fn new() -> PyResult<Self> {
        let context = context()?;
        let (signal, other) = UnixStream::pair().map_err(|error| system(&error))?;
        for end in [&signal, &other] {
            end.set_nonblocking(true).map_err(|error| system(&error))?;
        }
        let ready: Ready = Arc::default();
        let (sender, receiver) = channel();
        let results = Arc::clone(&ready);
        let thread = std::thread::Builder::new()
            .name("signing".to_owned())
            .spawn(move || serve(context, &receiver, &results, &other))
            .map_err(|error| system(&error))?;
        Ok(Self {
            jobs: Some(sender),
            ready,
            signal,
            thread: Some(thread),
            next_number: 0,
        })
    }

    fn fileno(&self) -> i32 {
        self.signal.as_raw_fd()
    }

    fn submit(&mut self, jobs: &Bound<'_, PyAny>) -> PyResult<u64> {
        let sender = self
            .jobs
            .as_ref()
            .ok_or_else(|| SignerError::new_err("signing queue: expected an open one"))?;
        let jobs = jobs
            .try_iter()?
            .map(|job| Ok(job_of(&job?)))
            .collect::<PyResult<Vec<Job>>>()?;
        let number = self.next_number;
        sender
            .send(Batch { number, jobs })
            .map_err(|_| SignerError::new_err("signing queue: its thread has ended"))?;
        self.next_number += 1;
        Ok(number)
    }

    fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<(u64, usize, Bound<'py, PyList>)>> {
        let mut signs = [0; 64];
        loop {
            match (&self.signal).read(&mut signs) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(system(&error)),
            }
        }
        let chunks = {
            let mut waiting = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            core::mem::take(&mut *waiting)
        };
        let mut taken = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let results = PyList::empty(py);
            for outcome in chunk.outcomes {
                match outcome {
                    Ok((_, signed)) => results.append(PyBytes::new(py, signed.as_bytes()))?,
                    Err(error) => results.append(as_signer_error(py, error))?,
                }
            }
            taken.push((chunk.number, chunk.start, results));
        }
        Ok(taken)
    }

    fn close(&mut self, py: Python<'_>) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = py.detach(|| thread.join());
        }
    }
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SigningQueue>()
}
