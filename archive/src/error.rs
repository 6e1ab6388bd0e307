//! What can be wrong with a release, its file, or the keys that vouch for it.

use std::io;

use crate::explain::{Class, Code, Explain, io_hint};
use crate::parity::Beyond;
use crate::trust::{KeyId, RoleName, Shortfall};
use crate::{Digest, Malformed, ReleaseName};

/// Longest word from outside that is shown, in characters.
const MAX_FOREIGN_WORD: usize = 40;

/// Why an archive, a document in it, or a key was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not `sha256:` (or, where others name content, `sha512:`) and lower-case hexadecimal characters.
    #[error("`{0}` is not a digest")]
    NotADigest(String),
    /// An image reference that Docker's rules do not allow.
    #[error("`{reference}` is not an image reference: {why}")]
    BadReference {
        /// As it was written.
        reference: String,
        /// The rule that it breaks.
        why: String,
    },
    /// A name or number that breaks the rule for its kind.
    #[error("`{value}` cannot be {what}: {rule}")]
    BadValue {
        /// What it was meant to be: `a product name`.
        what: &'static str,
        /// As it was written.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The content ended early or went on past its announced size, in bytes.
    #[error("content `{digest}` is not {announced} bytes long (found {found})")]
    WrongSize {
        /// The content that was wanted.
        digest: Digest,
        /// The size that was announced for it.
        announced: u64,
        /// How many bytes there were, or how many had come when reading was stopped.
        found: u64,
    },
    /// The content is complete, but it is other content.
    #[error("content `{wanted}` is really `{found}`")]
    WrongContent {
        /// The content that was wanted.
        wanted: Digest,
        /// What came instead.
        found: Digest,
    },
    /// A document is not the JSON that it should be.
    #[error("`{document}` is not valid")]
    Json {
        /// The document's name.
        document: String,
        /// What the parser says, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A document says something that contradicts itself or another signed document.
    #[error("`{document}` is not consistent: {why}")]
    Inconsistent {
        /// The document's name.
        document: String,
        /// The contradiction.
        why: String,
    },
    /// Something from outside is larger than it may be, in bytes or entries.
    #[error("{what} has a size of {size}, the limit is {limit}")]
    TooLarge {
        /// What it is.
        what: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A document needs a newer Sealift.
    #[error("`{document}` needs `{feature}`, known since Sealift {since}; this is {ours}", ours = env!("CARGO_PKG_VERSION"))]
    NeedsNewer {
        /// The document's name.
        document: String,
        /// The feature.
        feature: String,
        /// The first version that knows it.
        since: String,
    },
    /// The file is not a Sealift archive at all.
    #[error("`{file}` is not a Sealift archive: {why}")]
    NotAnArchive {
        /// The file.
        file: String,
        /// What gave it away.
        why: String,
    },
    /// The file ends too early (or goes on after its end), in bytes.
    #[error("`{file}` is {found} bytes long, but its signed packing says {expected}")]
    WrongLength {
        /// The file.
        file: String,
        /// What the packing says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Bytes of the archive have changed.
    #[error("`{file}` is damaged in {part} (bytes {start} to {end})")]
    Damaged {
        /// The file.
        file: String,
        /// Which part of the format: `the head`, `frame 17`.
        part: String,
        /// First byte of the part.
        start: u64,
        /// First byte behind the part.
        end: u64,
    },
    /// A file that is called a parity file is none, or contradicts itself.
    #[error("`{file}` is not a parity file that can be used: {why}")]
    BadParity {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Parity files would be longer than files may be there, in bytes.
    #[error("a parity file for this archive is at least {needed} bytes long, the limit is {limit}")]
    ParityTooLarge {
        /// The shortest that a parity file can be.
        needed: u64,
        /// The longest that it may be.
        limit: u64,
    },
    /// More is lost than parity can make up for.
    #[error("more of `{archive}` is lost than parity can make up for: {beyond}")]
    BeyondParity {
        /// The archive.
        archive: String,
        /// What is lost for good.
        beyond: Box<Beyond>,
        /// Files that are not at hand.
        missing: Vec<String>,
    },
    /// There is no parity for an archive.
    #[error("there are no parity files for `{place}`")]
    NoParity {
        /// Where they were looked for.
        place: String,
    },
    /// The archive is not what the format allows, and that is no damage.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A blob of the release is not in this source.
    #[error("`{source_name}` does not hold content `{digest}`")]
    MissingBlob {
        /// The archive or other source.
        source_name: String,
        /// The content.
        digest: Digest,
    },
    /// Too few keys of a role have signed a document.
    #[error("`{document}` has {have} of the {need} signatures that role `{role}` needs{why}")]
    Unsigned {
        /// The document's name.
        document: String,
        /// The role that must sign it.
        role: RoleName,
        /// Distinct keys of the role whose signatures are good.
        have: usize,
        /// The role's threshold.
        need: usize,
        /// Keys that would count.
        keys: Vec<KeyId>,
        /// Why others that came along do not count.
        why: Shortfall,
    },
    /// Enough keys signed a document when it was made, but some of them have lost the role since.
    #[error(
        "`{document}` was signed while trust root version {then} counted; under version {now} it has {have} of the {need} signatures that role `{role}` needs"
    )]
    SignedByFormer {
        /// The document's name.
        document: String,
        /// The role that must sign it.
        role: RoleName,
        /// Distinct keys of the role today whose signatures are good.
        have: usize,
        /// The role's threshold today.
        need: usize,
        /// Keys that would count.
        keys: Vec<KeyId>,
        /// The newest version under which it would have been signed.
        then: u64,
        /// The version that counts.
        now: u64,
    },
    /// The archive's chain of trust roots does not meet the one that is trusted here.
    #[error("`{file}` comes from another vendor: {why}")]
    OtherVendor {
        /// The archive.
        file: String,
        /// Where the two part.
        why: String,
    },
    /// A key that may sign trust roots has another role as well.
    #[error("`{document}` gives key {key} the roles `root` and `{role}`; a root key has no other role")]
    RootKeyReused {
        /// The trust root.
        document: String,
        /// The key.
        key: KeyId,
        /// Its other role.
        role: RoleName,
    },
    /// A trust root that is being made would have a role that nobody can fill.
    #[error("role `{role}` would have {have} keys, and {need} of them would have to sign")]
    TooFewKeys {
        /// The role.
        role: RoleName,
        /// How many keys it has.
        have: usize,
        /// Its threshold.
        need: usize,
    },
    /// Whoever was asked to sign did not.
    #[error("{signer} did not sign for key {key}: {why}", key = key.short())]
    SignerFailed {
        /// The program.
        signer: String,
        /// The key that it was to sign for.
        key: KeyId,
        /// What happened.
        why: String,
    },
    /// Whoever was asked to sign did not answer in time.
    #[error("{signer} has not signed for key {key} in {seconds} seconds", key = key.short())]
    SignerSilent {
        /// The program.
        signer: String,
        /// The key that it was to sign for.
        key: KeyId,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// What came back from a signer is no signature of the key that was expected.
    #[error("what {signer} gave is not a signature by key {key}", key = key.short())]
    NotItsSignature {
        /// The program or key that was asked.
        signer: String,
        /// The key that it was to sign for.
        key: KeyId,
    },
    /// A private key could not be unlocked.
    #[error("the password does not open `{file}`")]
    WrongPassword {
        /// The key file.
        file: String,
    },
    /// A key file holds something else.
    #[error("`{file}` is not {wanted}: {why}")]
    BadKey {
        /// The key file, or where else the key came from.
        file: String,
        /// What was expected there.
        wanted: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The trust root does not know this key in this role.
    #[error("key {key} does not have role `{role}` in trust root version {version}")]
    KeyWithoutRole {
        /// The key.
        key: KeyId,
        /// The role that it would need.
        role: RoleName,
        /// The version of the trust root.
        version: u64,
    },
    /// The disk has too little room for what will be written, in bytes.
    #[error("`{place}` has {free} bytes free, {needed} are needed")]
    NoSpace {
        /// The directory.
        place: String,
        /// What will be written.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// Somebody else is working on the same file.
    #[error("`{place}` is being worked on by another process")]
    Busy {
        /// The file.
        place: String,
    },
    /// Volumes are needed that are not at hand.
    #[error("{} of {count} of `{archive}` {} missing", volumes(numbers), if numbers.len() == 1 { "is" } else { "are" })]
    VolumesMissing {
        /// The archive.
        archive: String,
        /// Their numbers, rising.
        numbers: Vec<u32>,
        /// How many volumes the archive has.
        count: u32,
    },
    /// A volume's header is damaged, so that nobody knows what it is a volume of.
    #[error("the header of volume `{file}` is damaged")]
    BadVolume {
        /// The volume.
        file: String,
    },
    /// A volume is shorter or longer than its header says, in bytes.
    #[error("volume `{file}` is {found} bytes long, but its header says {expected}")]
    VolumeCut {
        /// The volume.
        file: String,
        /// What the header says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Several archives were found where one was expected.
    #[error("`{place}` holds several archives: {}", found.join(", "))]
    SeveralArchives {
        /// Where they were looked for.
        place: String,
        /// What is there.
        found: Vec<String>,
    },
    /// No archive is there.
    #[error("`{place}` holds no Sealift archive")]
    NoArchive {
        /// Where one was looked for.
        place: String,
    },
    /// Volumes of this size cannot hold the archive, in bytes.
    #[error("volumes of {size} bytes are too small for this archive: {smallest} is the least")]
    VolumeTooSmall {
        /// The size that was asked for.
        size: u64,
        /// The smallest that is possible.
        smallest: u64,
    },
    /// A volume is wanted that the archive does not have.
    #[error("there is no volume {number}: this archive makes {count}")]
    NoSuchVolume {
        /// The number that was asked for.
        number: u32,
        /// How many there are.
        count: u32,
    },
    /// What is to be written is there already, as something else.
    #[error("`{path}` is there already, and is something else")]
    Occupied {
        /// The file.
        path: String,
    },
    /// A medium gave back other bytes than were written to it.
    #[error("`{file}` could not be read back as it was written")]
    WrittenWrong {
        /// The file.
        file: String,
    },
    /// Somebody asked to stop.
    #[error("stopped as asked")]
    Interrupted,
    /// A delta does not carry this, and was asked for it.
    #[error(
        "`{source_name}` does not carry content `{digest}`: it is a delta, and that is content of {}",
        either(needs)
    )]
    NotCarried {
        /// The delta.
        source_name: String,
        /// The content.
        digest: Digest,
        /// The releases that the delta builds on.
        needs: Vec<ReleaseName>,
    },
    /// Two releases that cannot travel in one file.
    #[error("{one} and {other} cannot be in one file: {why}")]
    Unlike {
        /// One of them.
        one: Box<ReleaseName>,
        /// The other.
        other: Box<ReleaseName>,
        /// The rule that they break.
        why: &'static str,
    },
    /// A release that a file says it builds on, and cannot.
    #[error("no file can need {needed} here: {why}")]
    BadNeed {
        /// What is needed.
        needed: Box<ReleaseName>,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Reading or writing failed; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// `volume 3`, `volumes 2, 4 to 7 and 9`
fn volumes(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let words: Vec<String> = runs
        .into_iter()
        .flat_map(|(first, last)| match last - first {
            0 => vec![first.to_string()],
            1 => vec![first.to_string(), last.to_string()],
            _ => vec![format!("{first} to {last}")],
        })
        .collect();
    let noun = if numbers.len() == 1 { "volume" } else { "volumes" };
    match words.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{noun} {} and {last}", before.join(", ")),
        _ => format!("{noun} {}", words.join("")),
    }
}

impl Error {
    /// Something that a newer version knows. The words come from outside, maybe unsigned: they are kept short and plain.
    pub(crate) fn needs_newer(document: &str, feature: &str, since: &str) -> Self {
        let plain = |text: &str| text.chars().filter(char::is_ascii_graphic).take(MAX_FOREIGN_WORD).collect();
        Self::NeedsNewer { document: document.to_owned(), feature: plain(feature), since: plain(since) }
    }

    /// A contradiction in a document.
    pub(crate) fn inconsistent(document: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Inconsistent { document: document.into(), why: why.into() }
    }
}

/// `a`, `a or b`
fn either(names: &[ReleaseName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Keys, as people tell them apart.
fn list(keys: &[KeyId]) -> String {
    keys.iter().map(KeyId::short).collect::<Vec<_>>().join(", ")
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::NotADigest(_) => 101,
            Self::BadReference { .. } => 102,
            Self::BadValue { .. } => 103,
            Self::WrongSize { .. } => 104,
            Self::WrongContent { .. } => 105,
            Self::Json { .. } => 106,
            Self::Inconsistent { .. } => 107,
            Self::TooLarge { .. } => 108,
            Self::NeedsNewer { .. } => 109,
            Self::NotAnArchive { .. } => 110,
            Self::WrongLength { .. } => 111,
            Self::Damaged { .. } => 112,
            Self::BadParity { .. } => 168,
            Self::ParityTooLarge { .. } => 169,
            Self::BeyondParity { .. } => 170,
            Self::NoParity { .. } => 171,
            Self::MissingBlob { .. } => 113,
            Self::Unsigned { why, .. } => return why.code(),
            Self::OtherVendor { .. } => 115,
            Self::WrongPassword { .. } => 116,
            Self::BadKey { .. } => 117,
            Self::KeyWithoutRole { .. } => 118,
            Self::NoSpace { .. } => 119,
            Self::Interrupted => 120,
            Self::Busy { .. } => 121,
            Self::Malformed(malformed) => return malformed.code(),
            Self::NotCarried { .. } => 130,
            Self::Unlike { .. } => 131,
            Self::BadNeed { .. } => 132,
            Self::VolumesMissing { .. } => 160,
            Self::BadVolume { .. } => 161,
            Self::VolumeCut { .. } => 162,
            Self::SeveralArchives { .. } => 163,
            Self::NoArchive { .. } => 164,
            Self::VolumeTooSmall { .. } => 165,
            Self::NoSuchVolume { .. } => 172,
            Self::Occupied { .. } => 166,
            Self::WrittenWrong { .. } => 167,
            Self::RootKeyReused { .. } => 122,
            Self::TooFewKeys { .. } => 123,
            Self::SignedByFormer { .. } => 124,
            Self::SignerFailed { .. } => 125,
            Self::SignerSilent { .. } => 126,
            Self::NotItsSignature { .. } => 127,
            Self::Io(_) => 199,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NotADigest(_)
            | Self::BadReference { .. }
            | Self::BadValue { .. }
            | Self::ParityTooLarge { .. }
            | Self::NoParity { .. }
            | Self::WrongPassword { .. }
            | Self::BadKey { .. }
            | Self::TooFewKeys { .. }
            | Self::KeyWithoutRole { .. }
            | Self::SeveralArchives { .. }
            | Self::NoArchive { .. }
            | Self::VolumeTooSmall { .. }
            | Self::NoSuchVolume { .. }
            | Self::Occupied { .. } => Class::Usage,
            Self::SignerFailed { .. } | Self::SignerSilent { .. } | Self::NotItsSignature { .. } => {
                Class::Failed
            }
            Self::VolumesMissing { .. } => Class::Incomplete,
            Self::NoSpace { .. } => Class::NoSpace,
            Self::Interrupted => Class::Interrupted,
            Self::Busy { .. } => Class::Busy,
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => Class::NoSpace,
            Self::WrittenWrong { .. } | Self::Io(_) => Class::Failed,
            _ => Class::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::WrongLength { found, expected, .. } if found < expected => {
                "the copy is incomplete: copy the file again and compare its size".into()
            }
            Self::Damaged { .. } | Self::WrongLength { .. } | Self::WrongContent { .. } | Self::WrongSize { .. } => {
                "copy the file again from where it came from; if it stays damaged, ask the vendor for a new one".into()
            }
            Self::BadParity { .. } => "copy it again from where it came from, or make it again: `sealift parity`".into(),
            Self::NoParity { .. } => {
                "name the folder that they are in too; without them, copy it again from where it came from".into()
            }
            Self::ParityTooLarge { needed, .. } => format!("let parity files have {needed} bytes, or make larger volumes"),
            Self::BeyondParity { missing, .. } if !missing.is_empty() => {
                format!("bring what is not at hand too: {}", missing.join(", "))
            }
            Self::BeyondParity { .. } => {
                "name the folder of another copy too, whole or not: what one copy has lost, the other may have".into()
            }
            Self::VolumesMissing { .. } => "put them into the same folder, or name all the folders that they are in".into(),
            Self::BadVolume { .. } | Self::VolumeCut { .. } => "copy this volume again from where it came from".into(),
            Self::SeveralArchives { .. } => "name one of them, or a volume of it".into(),
            Self::NoArchive { .. } => "name an archive, one of its volumes, or the folder that it is in".into(),
            Self::NoSuchVolume { count, .. } => format!("give numbers from 1 to {count}"),
            Self::Occupied { .. } => "move it away, or choose another place".into(),
            Self::WrittenWrong { .. } => "the medium is not to be trusted: take another one".into(),
            Self::Malformed(_) => "this is no damage, it was made so: do not use it, and ask who made it".into(),
            Self::NeedsNewer { .. } => "update Sealift".into(),
            Self::NotAnArchive { .. } => "name the `….tar.zst` file that `sealift bundle` wrote".into(),
            Self::Unsigned { keys, .. } if keys.is_empty() => "the trust root gives nobody this role".into(),
            Self::Unsigned { keys, .. } => {
                format!("what counts is signatures by: {}; is this the trust root of the vendor who made it?", list(keys))
            }
            Self::SignedByFormer { role: RoleName::Release, keys, .. } => format!(
                "the vendor has to sign this release again (what counts is: {}) and bundle it anew; then take that bundle",
                list(keys)
            ),
            Self::SignedByFormer { keys, .. } => format!(
                "the vendor has to make it anew, signed by keys that have the role today ({})",
                list(keys)
            ),
            Self::OtherVendor { .. } => {
                "ask who made this archive; a pinned trust root is never replaced by what an archive brings".into()
            }
            Self::RootKeyReused { .. } => "give one of the roles to another key: `sealift trust rotate`, or `init` again".into(),
            Self::TooFewKeys { role, .. } => {
                format!("give it another key (`--add {role}=PUB`, `--replace PUB`), or lower `--threshold {role}=N`")
            }
            Self::SignerFailed { .. } | Self::SignerSilent { .. } => {
                "run the program by hand, with a SHA-256 in hexadecimal as its last argument".into()
            }
            Self::NotItsSignature { .. } => {
                "it must sign the digest itself (ECDSA P-256, not hashed once more) with the private half of that key, and print DER".into()
            }
            Self::WrongPassword { .. } => "set COSIGN_PASSWORD, or run it on a terminal and type the password".into(),
            Self::KeyWithoutRole { .. } => {
                "use a key that has this role (`sealift trust show`), or give it the role with `sealift trust rotate`".into()
            }
            Self::NoSpace { needed, free, .. } => {
                format!("free {} more bytes, or choose another place", needed.saturating_sub(*free))
            }
            Self::Busy { .. } => "wait until it has finished, then run the command again".into(),
            Self::NotCarried { .. } => "take a bundle that carries everything, or that of the release that has it".into(),
            Self::Unlike { .. } | Self::BadNeed { .. } => "ask who made it for another one".into(),
            Self::Interrupted => "run the same command again: it goes on where it stopped".into(),
            Self::Io(error) => return io_hint(error),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_volumes_are_told_in_few_words() {
        let cases: [(&[u32], &str); 5] = [
            (&[4, 5, 6], "volumes 4 to 6 of 9 of `acme` are missing"),
            (&[2], "volume 2 of 9 of `acme` is missing"),
            (&[2, 3], "volumes 2 and 3 of 9 of `acme` are missing"),
            (&[1, 3], "volumes 1 and 3 of 9 of `acme` are missing"),
            (&[1, 3, 4, 5, 9], "volumes 1, 3 to 5 and 9 of 9 of `acme` are missing"),
        ];
        for (numbers, expected) in cases {
            let (archive, numbers) = ("acme".to_owned(), numbers.to_vec());
            assert_eq!(Error::VolumesMissing { archive, numbers, count: 9 }.to_string(), expected);
        }
    }
}
