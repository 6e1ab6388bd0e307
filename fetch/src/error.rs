//! Why something could not be fetched, or not be pushed.

use std::fmt;

use sealift_archive::{AnyDigest, Class, Code, Digest, Explain};

/// What was asked for, and where: the part that all errors of a request share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The image for which the request was made, or the address of the file.
    pub reference: String,
    /// The host that answered, or should have: after a redirect it is not the one that was asked.
    pub host: String,
    /// The address without its query, in which storage services carry secrets.
    pub url: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.url == self.reference {
            f.write_str(&self.url)
        } else {
            write!(f, "{} for `{}`", self.url, self.reference)
        }
    }
}

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Where content goes to failed, or somebody asked to stop.
    #[error(transparent)]
    Archive(#[from] sealift_archive::Error),
    /// A file with CA certificates is not usable.
    #[error("`{file}` is not a PEM file with certificates: {why}")]
    BadCa {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A client's certificate or key is not usable.
    #[error("`{certificate}` and `{key}` are not a PEM certificate and its key: {why}")]
    BadIdentity {
        /// The file of the certificate.
        certificate: String,
        /// The file of the key.
        key: String,
        /// What is wrong with them.
        why: String,
    },
    /// The HTTP client cannot be set up on this machine.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
    /// Docker's configuration does not give the credentials that it promises.
    #[error("the credentials for `{host}` cannot be had from `{file}`: {why}")]
    Credentials {
        /// The registry.
        host: String,
        /// Docker's configuration.
        file: String,
        /// What went wrong.
        why: String,
    },
    /// No connection, or no answer.
    #[error("cannot reach `{}`: {why} ({place})", place.host)]
    Unreachable {
        /// What was asked, and where.
        place: Box<Place>,
        /// What the network said.
        why: String,
    },
    /// The answer ended before its content did.
    #[error("`{}` broke off after {received} of {size} bytes: {why} ({place})", place.host)]
    BrokenOff {
        /// What was asked, and where.
        place: Box<Place>,
        /// Bytes of the content that are here.
        received: u64,
        /// Bytes that there should be.
        size: u64,
        /// What the network said.
        why: String,
    },
    /// The server's certificate is not one that this machine trusts.
    #[error("the certificate of `{}` is not trusted: {why} ({place})", place.host)]
    Untrusted {
        /// What was asked, and where.
        place: Box<Place>,
        /// What is wrong with the certificate.
        why: String,
    },
    /// The server wants a certificate of ours, and takes none, or not the one that it was shown.
    #[error("`{}` does not let us in, by our certificate or without one: {why} ({place})", place.host)]
    ClosedOut {
        /// What was asked, and where.
        place: Box<Place>,
        /// What it said, by TLS's name for it.
        why: String,
    },
    /// The server does not speak TLS, and plain HTTP is not allowed.
    #[error("`{}` does not speak TLS ({place})", place.host)]
    NotTls {
        /// What was asked, and where.
        place: Box<Place>,
    },
    /// A redirect that is not followed.
    #[error("`{}` redirects to where we do not follow: {why} ({place})", place.host)]
    BadRedirect {
        /// What was asked, and where.
        place: Box<Place>,
        /// Why it is not followed.
        why: String,
    },
    /// The server said no.
    #[error("`{}` answered {status}{said} ({place})", place.host)]
    Answer {
        /// What was asked, and where.
        place: Box<Place>,
        /// The HTTP status.
        status: Status,
        /// Code and message of the answer.
        said: Said,
    },
    /// The server sent us on to somebody who said no. That says nothing about what the server itself has.
    #[error("`{asked}` sent us on to `{}`, which answered {status}{said} ({place})", place.host)]
    SentAstray {
        /// The host that was asked.
        asked: String,
        /// What was asked, and where it led.
        place: Box<Place>,
        /// The HTTP status.
        status: Status,
        /// Code and message of the answer.
        said: Said,
    },
    /// The server wants us to wait longer than is sensible.
    #[error("`{}` answered {status} and wants us to wait {seconds} s{said} ({place})", place.host)]
    LongWait {
        /// What was asked, and where.
        place: Box<Place>,
        /// The HTTP status.
        status: Status,
        /// How long it wants us to wait.
        seconds: u64,
        /// Code and message of the answer.
        said: Said,
    },
    /// The token service of a registry gives us no token.
    #[error("`{host}` lets us not in: its token service {realm} answered {status}{said} (for `{reference}`)")]
    Login {
        /// The image for which a token was asked.
        reference: String,
        /// The registry.
        host: String,
        /// The token service.
        realm: String,
        /// The HTTP status.
        status: Status,
        /// Code and message of the answer.
        said: Said,
    },
    /// The answer is not what the protocol wants.
    #[error("the answer of `{}` makes no sense: {why} ({place})", place.host)]
    BadAnswer {
        /// What was asked, and where.
        place: Box<Place>,
        /// What is wrong with it.
        why: String,
    },
    /// The server announced another length than the content's. Nothing was read.
    #[error("`{}` announced {announced} bytes instead of {size} ({place})", place.host)]
    WrongLength {
        /// What was asked, and where.
        place: Box<Place>,
        /// The length that the server announced.
        announced: u64,
        /// The length that the content has.
        size: u64,
    },
    /// The server sent more than the content. It was stopped at the limit.
    #[error("`{}` sends more than {limit} bytes ({place})", place.host)]
    TooLong {
        /// What was asked, and where.
        place: Box<Place>,
        /// The most that was wanted, in bytes.
        limit: u64,
    },
    /// The server sent, or said that it would send, other content.
    #[error("`{}` has content `{found}` instead of `{wanted}` ({place})", place.host)]
    WrongContent {
        /// What was asked, and where.
        place: Box<Place>,
        /// The content that was wanted.
        wanted: Box<AnyDigest>,
        /// What came instead.
        found: Box<AnyDigest>,
    },
    /// Two descriptors disagree about the size of one content.
    #[error("content `{digest}` cannot be both {one} and {other} bytes long (for `{reference}`)")]
    TwoSizes {
        /// The image with the second descriptor.
        reference: String,
        /// The content.
        digest: Digest,
        /// The first size.
        one: u64,
        /// The second size.
        other: u64,
    },
    /// An address that is not fetched from.
    #[error("`{url}` is not fetched: {why}")]
    BadUrl {
        /// The address, without its secrets.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The registry lets this account read, or nothing at all, but not write.
    #[error("`{}` does not let us write: it answered {status}{said} ({place})", place.host)]
    MayNotWrite {
        /// What was asked, and where.
        place: Box<Place>,
        /// The HTTP status.
        status: Status,
        /// Code and message of the answer.
        said: Said,
    },
    /// The registry takes an upload otherwise than the protocol says.
    #[error("`{}` takes no upload as it should: {why} ({place})", place.host)]
    BadUpload {
        /// What was asked, and where.
        place: Box<Place>,
        /// What is wrong with its answer.
        why: String,
    },
    /// A tag leads to another manifest than the one that was just pushed.
    #[error("`{reference}` is `{found}`, and not `{wanted}`, which was just pushed")]
    OtherManifest {
        /// The tag.
        reference: String,
        /// What was pushed.
        wanted: Digest,
        /// What is there.
        found: Digest,
    },
    /// It was tried again and again.
    #[error("{cause}; gave up after {tries} tries")]
    GaveUp {
        /// Tries in a row that brought nothing.
        tries: u32,
        /// What happened at the last one.
        cause: Box<Error>,
    },
    /// Several things could not be fetched or pushed; each is told.
    #[error("{} things could not be transferred:{}", .0.len(), Listed(.0))]
    Several(Vec<Error>),
}

/// An HTTP status, shown with its usual words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    const NOT_FOUND: Self = Self(404);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match reqwest::StatusCode::from_u16(self.0) {
            // Shown with the words: `404 Not Found`.
            Ok(status) => write!(f, "{status}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// What a server said beside the status; may be nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(pub String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " and said `{}`", self.0) }
    }
}

/// One line for each error.
struct Listed<'a>(&'a [Error]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|error| write!(f, "\n  - {error}"))
    }
}

impl Error {
    /// Whether the server said that there is no such thing: a 404, and nothing else. Neither a token service nor a
    /// storage service to which we were sent can say so.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Answer { status: Status::NOT_FOUND, .. })
    }

    /// The errors of a run as one: itself if there is only one.
    ///
    /// `None` if there are none.
    pub(crate) fn all(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() > 1 { Some(Self::Several(errors)) } else { errors.pop() }
    }
}

impl Explain for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Archive(error) => return error.code(),
            Self::GaveUp { cause, .. } => return cause.code(),
            Self::BadCa { .. } => 201,
            Self::Setup(_) => 202,
            Self::Credentials { .. } => 203,
            Self::Unreachable { .. } => 204,
            Self::BrokenOff { .. } => 205,
            Self::Untrusted { .. } => 206,
            Self::NotTls { .. } => 207,
            Self::BadRedirect { .. } => 208,
            Self::Answer { .. } => 209,
            Self::LongWait { .. } => 210,
            Self::Login { .. } => 211,
            Self::BadAnswer { .. } => 212,
            Self::WrongLength { .. } => 213,
            Self::TooLong { .. } => 214,
            Self::WrongContent { .. } => 215,
            Self::TwoSizes { .. } => 216,
            Self::Several(_) => 217,
            Self::BadUrl { .. } => 218,
            Self::SentAstray { .. } => 219,
            Self::MayNotWrite { .. } => 220,
            Self::BadUpload { .. } => 221,
            Self::OtherManifest { .. } => 222,
            Self::BadIdentity { .. } => 223,
            Self::ClosedOut { .. } => 650,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Archive(error) => error.class(),
            Self::GaveUp { cause, .. } => cause.class(),
            Self::BadCa { .. }
            | Self::BadIdentity { .. }
            | Self::Credentials { .. }
            | Self::BadUrl { .. } => Class::Usage,
            Self::Setup(_) => Class::Failed,
            Self::Unreachable { .. }
            | Self::BrokenOff { .. }
            | Self::Untrusted { .. }
            | Self::ClosedOut { .. }
            | Self::NotTls { .. }
            | Self::BadRedirect { .. }
            | Self::Answer { .. }
            | Self::SentAstray { .. }
            | Self::LongWait { .. }
            | Self::Login { .. }
            | Self::BadAnswer { .. }
            | Self::MayNotWrite { .. }
            | Self::BadUpload { .. } => Class::Unreachable,
            Self::OtherManifest { .. } => Class::Busy,
            Self::WrongLength { .. }
            | Self::TooLong { .. }
            | Self::WrongContent { .. }
            | Self::TwoSizes { .. } => Class::Refused,
            Self::Several(errors) => {
                let first = errors.first().map_or(Class::Failed, Explain::class);
                if errors.iter().all(|error| error.class() == first) { first } else { Class::Failed }
            }
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Archive(error) => return error.hint(),
            Self::GaveUp { cause, .. } => return cause.hint(),
            Self::Several(errors) => return errors.iter().find_map(Explain::hint),
            Self::BadCa { .. } => "it must hold one or more `-----BEGIN CERTIFICATE-----` blocks".into(),
            Self::BadIdentity { .. } => "the first must hold the certificate's chain, the second its private key".into(),
            Self::Credentials { host, .. } => format!("run `docker login {host}` again, or remove the entry"),
            Self::Unreachable { .. } => {
                "check the name of the host, the network and the proxy settings".into()
            }
            Self::BrokenOff { .. } => "run the same command again: it goes on where it stopped".into(),
            Self::Untrusted { .. } => {
                "if it is a private server, give its CA certificate with --ca-file".into()
            }
            Self::ClosedOut { .. } => {
                "it wants a client's certificate of an authority that it knows, and one that counts by its clock".into()
            }
            Self::NotTls { .. } => "if that is intended, allow it with --plain-http".into(),
            Self::Answer { place, status, .. } => return status.hint(&place.host),
            Self::LongWait { .. } => "run the same command again later: it goes on where it stopped".into(),
            Self::Login { status, .. } | Self::SentAstray { status, .. } if status.may_pass() => {
                "run the same command again later: it goes on where it stopped".into()
            }
            Self::Login { host, .. } => format!("check the account with `docker login {host}`"),
            Self::SentAstray { asked, status: Status::NOT_FOUND, .. } => {
                format!("`{asked}` knows it and has lost its content: push it again, or ask who runs it")
            }
            Self::WrongLength { .. } | Self::TooLong { .. } | Self::WrongContent { .. } => {
                "the server, or something between it and us, changes content: do not use what it sends".into()
            }
            Self::TwoSizes { .. } => "one of the two manifests is wrong: build that image again".into(),
            Self::BadUrl { .. } => {
                "give an https:// address; credentials come from `docker login`, and plain HTTP \
                 is allowed with --plain-http"
                    .into()
            }
            Self::MayNotWrite { place, .. } => {
                format!("log in with `docker login {}`, with an account that may push to this repository", place.host)
            }
            Self::OtherManifest { .. } => {
                "somebody else pushes to the same place: make sure that only one does, and run the command again".into()
            }
            Self::Setup(_) | Self::BadUpload { .. } | Self::BadRedirect { .. } | Self::BadAnswer { .. } | Self::SentAstray { .. } => {
                return None;
            }
        })
    }
}

impl Status {
    /// Whether the same request may be answered otherwise a little later.
    fn may_pass(self) -> bool {
        matches!(self.0, 408 | 429 | 500..=599)
    }

    fn hint(self, host: &str) -> Option<String> {
        Some(match self.0 {
            401 => format!("log in with `docker login {host}`"),
            403 => format!("the account for `{host}` may not read this repository"),
            404 => {
                "check the name and the tag; to an account without rights, private repositories look the same"
                    .into()
            }
            _ if self.may_pass() => "run the same command again later: it goes on where it stopped".into(),
            _ => return None,
        })
    }
}
