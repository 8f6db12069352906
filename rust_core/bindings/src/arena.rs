//! Memory for secrets: the only module of Slipstream that uses `unsafe`.
//!
//! Pages are mapped apart from the heap, locked (never swapped) and left out of core dumps. Many
//! secrets share a page, because a process may lock little memory (`ulimit -l`, often 8 MiB). A
//! slot is wiped when its key is dropped. Pages are kept for the life of the process.
//!
//! Invariants: a slot belongs to at most one `LockedKey`; a page is never unmapped; a
//! `LockedSecretKey` holds a valid secret key.

use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use slipstream_kernel::ecdsa::{SecretKey, is_secret_key};
use zeroize::{Zeroize, Zeroizing};

const SLOT_LENGTH: usize = 32;
const PAGE_LENGTH: usize = 4096;
/// Slots of a page: one bit each of a `u128`.
const SLOT_COUNT: u32 = 128;

/// Why no memory could be had for a secret.
pub const LOCK_REFUSED: &str = "no locked memory for a key: raise `ulimit -l` (memlock)";

struct Page {
    base: NonNull<u8>,
    used: u128,
}

// SAFETY: a page is plain memory owned by the process; `used` is only touched under the lock.
unsafe impl Send for Page {}

static PAGES: Mutex<Vec<Page>> = Mutex::new(Vec::new());

fn pages() -> MutexGuard<'static, Vec<Page>> {
    PAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 32 bytes in a locked page, wiped on drop. No `Clone`, no `Debug`.
pub struct LockedKey {
    slot: NonNull<[u8; SLOT_LENGTH]>,
    page: usize,
    bit: u32,
}

// SAFETY: the slot is owned by this value alone and only read through a shared reference.
unsafe impl Send for LockedKey {}
// SAFETY: as above; writing needs `&mut self`.
unsafe impl Sync for LockedKey {}

impl LockedKey {
    /// Takes a zeroed slot, or says why there is none.
    pub fn zeroed() -> Result<Self, &'static str> {
        let mut pages = pages();
        let free = pages.iter().position(|page| page.used != u128::MAX);
        let page = free.unwrap_or(pages.len());
        if free.is_none() {
            let base = map_page().ok_or(LOCK_REFUSED)?;
            pages.push(Page { base, used: 0 });
        }
        let entry = pages.get_mut(page).ok_or(LOCK_REFUSED)?;
        let bit = entry.used.trailing_ones();
        let offset = usize::try_from(bit).map_err(|_| LOCK_REFUSED)? * SLOT_LENGTH;
        debug_assert!(bit < SLOT_COUNT && offset < PAGE_LENGTH);
        entry.used |= 1 << bit;
        // SAFETY: bit < 128, so offset + 32 <= 4096: inside the page.
        let slot = unsafe { entry.base.add(offset) }.cast();
        Ok(Self { slot, page, bit })
    }

    /// Reads the bytes.
    pub fn bytes(&self) -> &[u8; SLOT_LENGTH] {
        // SAFETY: the slot is mapped for ever, initialised (zeroed) and owned by `self`.
        unsafe { self.slot.as_ref() }
    }

    /// Writes the bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8; SLOT_LENGTH] {
        // SAFETY: as in `bytes`, and `&mut self` excludes other references.
        unsafe { self.slot.as_mut() }
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        if let Some(page) = pages().get_mut(self.page) {
            page.used &= !(1 << self.bit);
        }
    }
}

/// A valid secp256k1 secret key in a locked page.
pub struct LockedSecretKey(LockedKey);

impl LockedSecretKey {
    /// Takes over bytes that are a secret key; returns `None`, wiped, when they are not.
    pub fn new(key: LockedKey) -> Option<Self> {
        is_secret_key(key.bytes()).then_some(Self(key))
    }

    /// Reads the raw bytes, to seal them.
    pub fn bytes(&self) -> &[u8; SLOT_LENGTH] {
        self.0.bytes()
    }

    /// Lends the key to the signer without copying it out of its page.
    pub fn secret_key(&self) -> &SecretKey {
        const {
            assert!(size_of::<SecretKey>() == SLOT_LENGTH && align_of::<SecretKey>() == 1);
        }
        // SAFETY: `SecretKey` is a struct with one field, `[u8; 32]`; of size 32 and alignment 1 it
        // can only be that array. The bytes were checked to be a valid key in `new`, and nothing
        // writes them afterwards.
        unsafe { self.0.slot.cast::<SecretKey>().as_ref() }
    }
}

fn map_page() -> Option<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the system's choice.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE_LENGTH,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the mapping above, in its whole length.
    let is_locked = unsafe { libc::mlock(base, PAGE_LENGTH) } == 0 && is_kept_out_of_dumps(base);
    if !is_locked {
        // SAFETY: the mapping above, to which no reference exists.
        unsafe { libc::munmap(base, PAGE_LENGTH) };
        return None;
    }
    NonNull::new(base.cast())
}

#[cfg(target_os = "linux")]
fn is_kept_out_of_dumps(base: *mut libc::c_void) -> bool {
    // SAFETY: advice on the mapping just made.
    unsafe { libc::madvise(base, PAGE_LENGTH, libc::MADV_DONTDUMP) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_kept_out_of_dumps(_base: *mut libc::c_void) -> bool {
    true
}

/// Copies a caller's bytearray and zeroes it in place.
pub fn take_bytearray(source: &Bound<'_, PyByteArray>) -> Zeroizing<Vec<u8>> {
    // SAFETY: the GIL is held and no Python code runs while the slice lives, so the bytearray is
    // neither resized nor written by others.
    let bytes = unsafe { source.as_bytes_mut() };
    let taken = Zeroizing::new(bytes.to_vec());
    bytes.zeroize();
    taken
}

/// Moves 32 bytes from a caller's bytearray into a slot and zeroes the source, also when it has
/// another length.
pub fn take_secret(source: &Bound<'_, PyByteArray>, key: &mut LockedKey) -> Result<(), usize> {
    // SAFETY: as in `take_bytearray`.
    let bytes = unsafe { source.as_bytes_mut() };
    let length = bytes.len();
    let is_taken = length == SLOT_LENGTH;
    if is_taken {
        key.bytes_mut().copy_from_slice(bytes);
    }
    bytes.zeroize();
    if is_taken { Ok(()) } else { Err(length) }
}
