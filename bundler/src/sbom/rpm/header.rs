//! One package's header: an index of tags, and the data that they point into (rpm's `docs/manual/hregions.md` and
//! `format_header.md`). In a database it stands without the magic number that it has in a file.

use super::{Unreadable, damaged, four};
use crate::sbom::package::{Package, PackageType, SourcePackage, text};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const LICENSE: u32 = 1014;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const TAGS: [u32; 7] = [NAME, VERSION, RELEASE, EPOCH, LICENSE, ARCH, SOURCE_RPM];

/// Types of data.
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// Number of index entries and length of the data, before both.
const INTRO_LEN: usize = 8;
const ENTRY_LEN: usize = 16;
/// Most index entries, as rpm has it.
const MAX_ENTRIES: usize = 0xffff;

/// Reads a header; `None` for one without a name, which rpm does not list either.
pub(super) fn parse(header: &[u8]) -> Result<Option<Package>, Unreadable> {
    let refuse = || damaged("a package's header is not one of rpm's");
    let size = |at| usize::try_from(u32::from_be_bytes(four(header, at)?)).ok();
    let (entries, data_len) = size(0).zip(size(4)).ok_or_else(refuse)?;
    if entries > MAX_ENTRIES {
        return Err(refuse());
    }
    let (index, data) = header
        .get(INTRO_LEN..)
        .and_then(|rest| rest.split_at_checked(entries * ENTRY_LEN))
        .ok_or_else(refuse)?;
    let data = data.get(..data_len).ok_or_else(refuse)?;
    let mut tags = Tags { data, places: [None; TAGS.len()] };
    for entry in index.chunks_exact(ENTRY_LEN) {
        let number = |at| four(entry, at).map_or(0, u32::from_be_bytes);
        if let Some(place) = TAGS.iter().position(|&tag| tag == number(0)) {
            // A tag behind the immutable region replaces the one inside: the later one counts.
            tags.places[place] = Some((number(4), number(8)));
        }
    }
    Ok(tags.package())
}

/// The tags that count.
struct Tags<'a> {
    data: &'a [u8],
    /// Type and offset of each of [`TAGS`], if it is there.
    places: [Option<(u32, u32)>; TAGS.len()],
}

impl<'a> Tags<'a> {
    fn bytes(&self, tag: u32, kinds: &[u32]) -> Option<&'a [u8]> {
        let (kind, offset) = self.places[TAGS.iter().position(|&t| t == tag)?]?;
        let bytes = self.data.get(usize::try_from(offset).ok()?..)?;
        kinds.contains(&kind).then_some(bytes)
    }

    /// Of several strings the first, which is in no language.
    fn string(&self, tag: u32) -> Option<String> {
        let bytes = self.bytes(tag, &[STRING, STRING_ARRAY, I18N_STRING])?;
        Some(text(bytes.split(|&b| b == 0).next()?)).filter(|s| !s.is_empty())
    }

    fn package(&self) -> Option<Package> {
        let name = self.string(NAME)?;
        let version =
            [VERSION, RELEASE].into_iter().filter_map(|tag| self.string(tag)).collect::<Vec<_>>().join("-");
        let source = self.string(SOURCE_RPM).and_then(|file| SourcePackage::of_rpm(&file));
        Some(Package {
            source: source.filter(|s| s.name != name || s.version.as_ref() != Some(&version)),
            name,
            version,
            epoch: self.bytes(EPOCH, &[INT32]).and_then(|b| four(b, 0)).map(u32::from_be_bytes),
            kind: PackageType::Rpm,
            architecture: self.string(ARCH),
            license: self.string(LICENSE),
        })
    }
}
