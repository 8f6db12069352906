//! Whether a JSON text says one thing twice.
//!
//! Parsers keep the first or the last of two equal keys, each its own; a text that bears money
//! must not have them. This scanner looks at keys only: whether the text is JSON at all is for a
//! parser to say.

/// Objects and arrays inside each other, at most.
const DEPTH_MAX: usize = 64;

/// What is wrong with the keys of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError<'a> {
    /// Two equal keys in one object.
    #[error("key {:?} appears twice in one object", String::from_utf8_lossy(.0))]
    Repeated(&'a [u8]),
    /// A key that could be equal to another one in disguise.
    #[error("key {:?} is written with escapes", String::from_utf8_lossy(.0))]
    Escaped(&'a [u8]),
    /// More nesting than any venue's message has.
    #[error("nested more than {DEPTH_MAX} deep")]
    TooDeep,
}

/// One object or array that is open.
struct Level<'a> {
    is_object: bool,
    is_key_next: bool,
    keys: Vec<&'a [u8]>,
}

/// Refuses a text in which an object has two equal keys.
///
/// # Errors
/// [`KeyError`] names the key.
pub fn require_distinct_keys(text: &[u8]) -> Result<(), KeyError<'_>> {
    let mut levels: Vec<Level<'_>> = Vec::with_capacity(8);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let string = string_from(text, at);
                at += string.len() + 1;
                take_key(levels.last_mut(), string)?;
            }
            b'{' | b'[' => {
                if levels.len() == DEPTH_MAX {
                    return Err(KeyError::TooDeep);
                }
                let is_object = *byte == b'{';
                levels.push(Level {
                    is_object,
                    is_key_next: is_object,
                    keys: Vec::new(),
                });
            }
            b'}' | b']' => {
                levels.pop();
            }
            b',' => {
                if let Some(level) = levels.last_mut() {
                    level.is_key_next = level.is_object;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns what stands between the quote before `start` and the next one that is not escaped.
fn string_from(text: &[u8], start: usize) -> &[u8] {
    let rest = text.get(start..).unwrap_or_default();
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
}

fn take_key<'a>(level: Option<&mut Level<'a>>, string: &'a [u8]) -> Result<(), KeyError<'a>> {
    let Some(level) = level else { return Ok(()) };
    if !level.is_key_next {
        return Ok(());
    }
    level.is_key_next = false;
    if string.contains(&b'\\') {
        return Err(KeyError::Escaped(string));
    }
    if level.keys.contains(&string) {
        return Err(KeyError::Repeated(string));
    }
    level.keys.push(string);
    Ok(())
}
