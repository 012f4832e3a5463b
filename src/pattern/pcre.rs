//! PCRE2 with bounds. Calls of its C interface are unsafe code, as nothing else is but the allocator.

use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::LazyLock;

use pcre2_sys as sys;

use super::case::Case;
use super::refusal::{BadPattern, TooManySteps};
use super::{characters, dialect};

/// Steps of one match, a millisecond or two. Two loops over the longest name, one in the other, need
/// 32,640; RabbitMQ's bound is 10,000,000, and a list of 10,000 names would wait for minutes.
const MOST_STEPS: u32 = 50_000;
/// Steps that take no time worth speaking of: some ten microseconds.
const FEW_STEPS: u32 = 500;
/// Kibibytes that one match may take to remember where it can go back to.
const MOST_MEMORY_KIB: u32 = 4096;

/// A compiled pattern.
pub struct Code(NonNull<sys::pcre2_code_8>);

// SAFETY: a compiled pattern is not changed after it was made; PCRE2 allows matching with it from
// many threads at once (pcre2api, "Multithreading").
unsafe impl Send for Code {}
// SAFETY: the same.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: it came from `pcre2_compile`, and nobody has it any more.
        unsafe { sys::pcre2_code_free_8(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

/// How many steps a match may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    Few,
    Most,
}

/// What all patterns have in common, made once and never changed.
struct Rules {
    compiling: NonNull<sys::pcre2_compile_context_8>,
    matching: NonNull<sys::pcre2_match_context_8>,
    matching_soon: NonNull<sys::pcre2_match_context_8>,
}

// SAFETY: contexts may be shared by threads that do not change them (pcre2api, "Multithreading").
unsafe impl Send for Rules {}
// SAFETY: the same.
unsafe impl Sync for Rules {}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let none = || -> ! { panic!("no memory for the rules of patterns") };
    // SAFETY: a null general context stands for malloc; the table of characters is as long as
    // PCRE2 wants it and lives as long as the program.
    unsafe {
        let compiling = sys::pcre2_compile_context_create_8(ptr::null_mut());
        let compiling = NonNull::new(compiling).unwrap_or_else(|| none());
        sys::pcre2_set_character_tables_8(compiling.as_ptr(), characters::TABLES.as_ptr());
        sys::pcre2_set_newline_8(compiling.as_ptr(), sys::PCRE2_NEWLINE_LF);
        // A look-behind has one length for each alternative, as in PCRE 8.
        sys::pcre2_set_max_varlookbehind_8(compiling.as_ptr(), 0);
        sys::pcre2_set_compile_extra_options_8(compiling.as_ptr(), sys::PCRE2_EXTRA_ALLOW_LOOKAROUND_BSK);
        let matching_within = |steps| {
            let matching = sys::pcre2_match_context_create_8(ptr::null_mut());
            let matching = NonNull::new(matching).unwrap_or_else(|| none());
            sys::pcre2_set_match_limit_8(matching.as_ptr(), steps);
            sys::pcre2_set_heap_limit_8(matching.as_ptr(), MOST_MEMORY_KIB);
            matching
        };
        Rules {
            compiling,
            matching: matching_within(MOST_STEPS),
            matching_soon: matching_within(FEW_STEPS),
        }
    }
});

impl Code {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// With PCRE's reason.
    pub fn compile(pattern: &[u8], case: Case) -> Result<Self, BadPattern> {
        let written = dialect::for_pcre2(pattern);
        let options = match case {
            Case::Matters => 0,
            Case::Ignored => sys::PCRE2_CASELESS,
        };
        let (mut error, mut at) = (0, 0);
        // SAFETY: the pattern is that long, both places for the error are ours, and the context is
        // not changed.
        let code = unsafe {
            sys::pcre2_compile_8(
                written.text.as_ptr(),
                written.text.len(),
                options,
                &raw mut error,
                &raw mut at,
                RULES.compiling.as_ptr(),
            )
        };
        match NonNull::new(code) {
            Some(code) => Ok(Self(code)),
            None => Err(BadPattern::new(pattern, error, message(error), written.before(at))),
        }
    }

    /// Whether it is found anywhere in the subject.
    ///
    /// # Errors
    /// When it takes more steps or memory to tell than it may.
    pub fn find(&self, subject: &[u8], bound: Bound) -> Result<bool, TooManySteps> {
        let matching = match bound {
            Bound::Few => RULES.matching_soon,
            Bound::Most => RULES.matching,
        };
        // SAFETY: one pair of offsets is room enough for PCRE2 to say whether there is a match; the
        // subject is that long; the match data is ours and freed once.
        let found = unsafe {
            let Some(data) = NonNull::new(sys::pcre2_match_data_create_8(1, ptr::null_mut())) else {
                return Err(TooManySteps);
            };
            let found = sys::pcre2_match_8(
                self.0.as_ptr(),
                subject.as_ptr(),
                subject.len(),
                0,
                0,
                data.as_ptr(),
                matching.as_ptr(),
            );
            sys::pcre2_match_data_free_8(data.as_ptr());
            found
        };
        match found {
            0.. => Ok(true),
            sys::PCRE2_ERROR_MATCHLIMIT
            | sys::PCRE2_ERROR_DEPTHLIMIT
            | sys::PCRE2_ERROR_HEAPLIMIT
            | sys::PCRE2_ERROR_NOMEMORY => Err(TooManySteps),
            // No match, or the pattern and the subject do not go together.
            _ => Ok(false),
        }
    }
}

fn message(error: i32) -> String {
    let mut text = [0; 256];
    // SAFETY: the buffer is that long; PCRE2 ends the text with a zero inside of it.
    let length = unsafe { sys::pcre2_get_error_message_8(error, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).unwrap_or_default().min(text.len());
    String::from_utf8_lossy(&text[..length]).into_owned()
}
