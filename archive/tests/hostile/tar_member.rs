//! Members of a tar stream, honest until somebody changes them.

use sealift_archive::format::member;
use tar::{EntryType, Header};

/// Where a ustar header has the name of the member that a link leads to.
const LINK_FIELD: std::ops::Range<usize> = 157..257;

/// A member: its header, its content, and what stands behind it up to the next one.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) header: Header,
    pub(crate) content: Vec<u8>,
    pub(crate) padding: u8,
}

impl Member {
    pub(crate) fn new(name: &str, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        let header = member::header(name, content.len() as u64);
        Self { header: Header::from_byte_slice(&header).clone(), content, padding: 0 }
    }

    /// A member of another kind that leads somewhere.
    pub(crate) fn of_kind(kind: EntryType, name: &str) -> Self {
        Self::new(name, []).with(|header| {
            header.set_entry_type(kind);
            header.as_mut_bytes()[LINK_FIELD][..11].copy_from_slice(b"/etc/shadow");
        })
    }

    /// Changes the header; its sum is right again.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.header);
        self.header.set_cksum();
        self
    }

    /// Gives it a name that no writer would give it.
    pub(crate) fn named(self, name: &[u8]) -> Self {
        self.with(|header| {
            let field = &mut header.as_old_mut().name;
            field.fill(0);
            field[..name.len()].copy_from_slice(name);
        })
    }

    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.header.path_bytes()).into_owned()
    }
}

/// The members, one behind the other.
pub(crate) fn stream(members: &[Member]) -> Vec<u8> {
    let mut out = Vec::new();
    for Member { header, content, padding } in members {
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), *padding);
    }
    out
}
