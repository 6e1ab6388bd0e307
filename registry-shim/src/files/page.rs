//! The list of files, for people.

use std::fmt::{self, Display, Formatter};

use super::{Entry, ROOT};
use crate::html::{self, Size, Text};

/// All that the page tells.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// The files, by name.
    pub(super) files: &'a [Entry<'a>],
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        html::begin(f, &"Files", html::Renewal::OnDemand)?;
        f.write_str("<section>\n<h2>Files of the active release</h2>\n")?;
        if self.files.is_empty() {
            f.write_str("<p class=\"none\">nothing</p>\n")?;
        } else {
            f.write_str("<table>\n<tr><th>Name<th>SHA-256<th>Size\n")?;
            for file in self.files {
                let (name, size, sha256) = (Text(file.name), Size(file.size), file.digest.hex());
                // Whatever a name may hold stands for itself in a path.
                writeln!(
                    f,
                    "<tr><td><a href=\"{ROOT}{name}\">{name}</a><td><code>{sha256}</code><td>{size}"
                )?;
            }
            f.write_str("</table>\n")?;
        }
        f.write_str("</section>\n<footer>\n<p><a href=\"/\">status</a></p>\n</footer>\n")?;
        html::end(f)
    }
}
