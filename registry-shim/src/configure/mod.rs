//! `sealift-registry config`: what k3s, containerd and Flux have to be told so that all they want comes from here.
//!
//! Each kind of client has its own file, and each makes documents from options and from what the store's releases hold;
//! nothing else is looked at, and nobody is asked. What the documents say of other programs' formats is written down at
//! the place where it is made.

pub(crate) mod containerd;
mod endpoint;
pub(crate) mod flux;
pub(crate) mod k3s;

use std::io::{self, Write};
use std::path::Path;

use sealift_archive::durable;

pub(crate) use self::endpoint::Endpoint;

/// A file for another program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Document {
    /// Where it belongs, below the folder that was asked for.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

/// Puts documents into a folder, or one after the other on `out`.
pub(crate) fn deliver(documents: &[Document], folder: Option<&Path>, out: &mut impl Write) -> io::Result<()> {
    for (place, document) in documents.iter().enumerate() {
        let Some(folder) = folder else {
            if documents.len() > 1 {
                writeln!(out, "{}# {}", if place > 0 { "\n" } else { "" }, document.path)?;
            }
            out.write_all(document.text.as_bytes())?;
            continue;
        };
        let path = folder.join(&document.path);
        durable::create_dir_all(path.parent().unwrap_or(folder))?;
        durable::write(&path, document.text.as_bytes())?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}
