//! Every length and every byte of every kind of file: an answer or a message, never a panic, never much memory.

use crate::tiny;
use deft::fomo::{ModelFiles, TensorSource};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

/// Remembers the largest piece of memory that each thread has asked for.
struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands every call to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|l| l.set(l.get().max(layout.size())));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|l| l.set(l.get().max(layout.size())));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.with(|l| l.set(l.get().max(size)));
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// The word cache of a byte-level BPE tokenizer takes about one; the files have a few KiB.
const MOST_BYTES: usize = 4 << 20;

/// What `work` gives, and the largest piece of memory that this thread asked for meanwhile.
pub fn largest_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.with(|l| l.set(0));
    let made = work();
    (made, LARGEST.with(Cell::get))
}

/// Does with the model at `path` all that can be done. Whether it opened; every refusal names a file of `folder`.
fn try_everything(folder: &Path, path: &Path, tensors: &[(&str, &[usize])], what: &str) -> bool {
    let clear = |message: String| {
        assert!(message.contains(&folder.display().to_string()), "{what}: {message}");
    };
    LARGEST.with(|l| l.set(0));
    let opened = match ModelFiles::open(path) {
        Err(error) => {
            clear(error.to_string());
            false
        }
        Ok(files) => {
            for (name, shape) in tensors {
                match files.weights().tensor(name, shape) {
                    Ok(values) => {
                        assert_eq!(values.len(), shape.iter().product::<usize>(), "{what}: {name}");
                        assert!(values.iter().all(|v| v.is_finite()), "{what}: {name}");
                    }
                    Err(error) => {
                        let message = error.to_string();
                        assert!(message.contains("ensor `"), "{what}: {message}");
                        clear(message);
                    }
                }
            }
            if let Err(error) = files.architecture() {
                clear(error.to_string());
            }
            match files.tokenizer().and_then(|t| t.encode("good film, abc ab1 <s>", 16)) {
                Ok(ids) => assert!(ids.len() <= 16, "{what}"),
                Err(error) => clear(error.to_string()),
            }
            true
        }
    };
    let largest = LARGEST.with(Cell::get);
    assert!(largest < MOST_BYTES, "{what}: asked for {largest} bytes at once");
    opened
}

/// Tries `file` of `folder` with every length and every lowest and highest bit flipped. How many of all variants opened.
fn break_every_byte(folder: &Path, file: &str, model: &Path, tensors: &[(&str, &[usize])]) -> [usize; 2] {
    let path = folder.join(file);
    let whole = std::fs::read(&path).unwrap();
    let (mut cut_opened, mut flipped_opened) = (0, 0);
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        cut_opened += usize::from(try_everything(folder, model, tensors, &format!("{file} cut to {length}")));
    }
    for (byte, bit) in (0..whole.len()).flat_map(|byte| [(byte, 0), (byte, 7)]) {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << bit;
        std::fs::write(&path, &flipped).unwrap();
        let what = format!("{file} with bit {bit} of byte {byte} flipped");
        flipped_opened += usize::from(try_everything(folder, model, tensors, &what));
    }
    std::fs::write(&path, whole).unwrap();
    [cut_opened, flipped_opened]
}

#[test]
fn a_safetensors_file_may_be_broken_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    std::fs::write(&path, tiny::safetensors(&tiny::BERT)).unwrap();
    let [cut, flipped] = break_every_byte(folder.path(), "m.safetensors", &path, &tiny::BERT);
    assert_eq!(cut, 0, "a cut file was accepted");
    assert!(flipped > 96, "{flipped}");
}

#[test]
fn every_file_of_a_sharded_folder_may_be_broken_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in tiny::sharded_folder(folder.path()) {
        let [cut, _] = break_every_byte(folder.path(), name, folder.path(), &tiny::BERT);
        assert!(cut == 0 || !name.contains("model"), "{name}: a cut file was accepted");
    }
    assert!(try_everything(folder.path(), folder.path(), &tiny::BERT, "mended"));
}

#[test]
fn a_gguf_file_may_be_broken_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, tiny::llama().bytes()).unwrap();
    let [cut, flipped] = break_every_byte(folder.path(), "m.gguf", &path, &tiny::LLAMA);
    assert_eq!(cut, 0, "a cut file was accepted");
    assert!(flipped > 4000, "{flipped}");
}

/// Bytes that were never a model, behind the right beginning.
#[test]
fn noise_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stream = deft::random::CounterStream::new(3, 4);
    for n in 0..2000u64 {
        let noise: Vec<u8> = (0..n % 97).map(|i| (stream.bits(n * 1000 + i) >> 9) as u8 % 7).collect();
        for (name, start) in [("n.gguf", &b"GGUF\x03\0\0\0"[..]), ("n.safetensors", &b""[..])] {
            let path = folder.path().join(name);
            std::fs::write(&path, [start, &noise].concat()).unwrap();
            assert!(!try_everything(folder.path(), &path, &[], &format!("{name} of noise {n}")));
        }
    }
}
