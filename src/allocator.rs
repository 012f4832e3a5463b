//! The program's allocator: mimalloc, and the system itself for what is large.
//!
//! A block that another thread frees goes back to the thread that asked for it, which looks only when
//! it next runs short: a thread that has nothing to do keeps it for as long. For small blocks that is
//! little. The bodies of large messages are asked for by one thread, written and sent by others, and
//! each of a handful of threads would keep some of 16 MB. So what is [`LARGE`] is mapped, and
//! unmapped by whoever is done with it. The price is that the system fills its pages with zeros, which
//! takes less than the copy that follows.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use mimalloc::MiMalloc;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// Bytes from which on a block is mapped. Below are all buffers that are used again and again.
const LARGE: usize = 4 * 1024 * 1024;
/// What a mapping is aligned to, on every system that this runs on.
const PAGE: usize = 4096;

/// How often memory was asked back ([`ask_back`]),
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// and how often that was when this thread last gave some.
    static GIVEN: Cell<u64> = const { Cell::new(0) };
}

/// See the head of this file.
pub struct Allocator;

/// Asks each thread for the memory that it keeps and does not use. Only a thread itself can look, in
/// [`give_back`].
pub fn ask_back() {
    ASKED.fetch_add(1, Ordering::Relaxed);
}

/// Gives back what this thread keeps and does not use, if that was asked for since it last did; to be
/// called by threads that are about to rest.
pub fn give_back() {
    let asked = ASKED.load(Ordering::Relaxed);
    // A thread that ends has nothing more to say, and its memory goes to the others.
    let is_new = GIVEN.try_with(|given| given.replace(asked) != asked);
    if is_new.unwrap_or_default() {
        // SAFETY: it is a call of the allocator about the thread's own heap.
        unsafe { libmimalloc_sys::mi_collect(true) };
    }
}

/// Whether such a block is mapped. What was asked for as such is freed as such.
fn is_mapped(layout: &Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

fn map(size: usize) -> *mut u8 {
    // SAFETY: where a mapping goes is left to the system, so it takes no other's place.
    let mapped = unsafe { mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    mapped.map_or(null_mut(), <*mut _>::cast)
}

// SAFETY: whether a block is mapped is told by its layout alone, which is the same when it is freed
// or made larger; a mapping has the size and the alignment that were asked for, and is nobody else's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_mapped(&layout) {
            true => map(layout.size()),
            // SAFETY: the caller's promises are passed on.
            false => unsafe { MiMalloc.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_mapped(&layout) {
            // The system gives pages of zeros.
            true => map(layout.size()),
            // SAFETY: the caller's promises are passed on.
            false => unsafe { MiMalloc.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        match is_mapped(&layout) {
            true => {
                // SAFETY: it was mapped with this size, and nobody uses it any more. An error would be
                // of a place that is none, or of a system with too many mappings; then it stays mapped.
                let _ = unsafe { munmap(place.cast(), layout.size()) };
            }
            // SAFETY: the caller's promises are passed on.
            false => unsafe { MiMalloc.dealloc(place, layout) },
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that is not 0 and does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_mapped(&layout), is_mapped(&wanted)) {
            // SAFETY: the caller's promises are passed on.
            (false, false) => unsafe { MiMalloc.realloc(place, layout, size) },
            // SAFETY: it was mapped with this size, and its owner uses only what is returned.
            (true, true) => unsafe {
                mremap(place.cast(), layout.size(), size, MremapFlags::MAYMOVE).map_or(null_mut(), <*mut _>::cast)
            },
            // SAFETY: the new block is another one, and both have what is copied.
            _ => unsafe {
                let moved = NonNull::new(self.alloc(wanted));
                let Some(moved) = moved else { return null_mut() };
                place.copy_to_nonoverlapping(moved.as_ptr(), layout.size().min(size));
                self.dealloc(place, layout);
                moved.as_ptr()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_their_bytes_when_they_grow_and_shrink_across_the_bound() {
        let sizes = [
            100,
            LARGE - 1,
            LARGE,
            3 * LARGE + 5,
            LARGE + 1,
            LARGE - 1,
            4 * LARGE,
            10,
        ];
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: each block is used within the size that it has, and freed with it.
        unsafe {
            let mut size = sizes[0];
            let mut block = Allocator.alloc_zeroed(layout(size));
            let mut filled: usize = 0;
            for next in sizes.into_iter().chain([1]) {
                assert!(!block.is_null());
                let bytes = std::slice::from_raw_parts_mut(block, size);
                let is_kept = bytes[..filled].iter().enumerate().all(|(at, byte)| *byte == at as u8);
                assert!(is_kept, "at {size} bytes");
                bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
                block = Allocator.realloc(block, layout(size), next);
                filled = size.min(next);
                size = next;
            }
            Allocator.dealloc(block, layout(size));
        }
    }

    #[test]
    fn what_is_large_is_zero_when_that_is_asked_for_and_gone_when_it_is_freed() {
        let layout = Layout::from_size_align(2 * LARGE, 16).expect("a layout");
        // SAFETY: the block is used within its size, and freed with it.
        unsafe {
            let block = Allocator.alloc_zeroed(layout);
            assert!(
                std::slice::from_raw_parts(block, 2 * LARGE)
                    .iter()
                    .all(|byte| *byte == 0)
            );
            block.write_bytes(7, 2 * LARGE);
            Allocator.dealloc(block, layout);
            let again = Allocator.alloc_zeroed(layout);
            assert!(
                std::slice::from_raw_parts(again, 2 * LARGE)
                    .iter()
                    .all(|byte| *byte == 0)
            );
            Allocator.dealloc(again, layout);
        }
    }
}
