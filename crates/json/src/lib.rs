//! Small readers of JSON (plain values, raw members of objects, names of members, a walk over raw
//! values), and percent coding.

#![warn(missing_docs)]

mod edits;
mod members;
mod name;
pub mod percent;
mod reader;
mod string;
mod walk;

pub use edits::{Edits, range_in};
pub use members::{Members, last_member};
pub use name::{MemberName, is_same_name};
pub use reader::{from_bytes, from_objects, from_text};
pub use string::decode_string;
pub use walk::{RawVisitor, walk_raw};
