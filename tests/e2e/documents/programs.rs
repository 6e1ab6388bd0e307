//! What our programs take on their command lines, by their own parsers; nothing is done.

use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser};
use sealift_bundler::cli::Cli as Sealift;
use sealift_importer::cli::Cli as Sealiftctl;
use sealift_lab::lab::Options as Lab;
use sealift_registry_shim::Options as Registry;

use crate::excerpt::Kind;

/// The programs whose help texts are read.
pub(crate) fn all() -> [Command; 4] {
    [Sealift::command(), Sealiftctl::command(), Registry::command(), Lab::command()]
}

/// Whether the program that is named takes these words; `None`: it is none of ours.
pub(crate) fn parse(words: &[String], kind: Kind) -> Option<Result<(), String>> {
    let program = words.first()?.rsplit('/').next()?;
    // `…` stands for what is left out, which may have been needed.
    let kind = if words.iter().any(|word| word.contains('…')) { Kind::Mention } else { kind };
    let words = words.iter().filter(|word| *word != "…");
    let parsed = match program {
        "sealift" => Sealift::try_parse_from(words).map(drop),
        "sealiftctl" => Sealiftctl::try_parse_from(words).map(drop),
        "sealift-registry" => Registry::try_parse_from(words).map(drop),
        "sealift-lab" => Lab::try_parse_from(words).map(drop),
        _ => return None,
    };
    Some(match parsed {
        Err(error) if !may_be(error.kind(), kind) => Err(error.to_string()),
        _ => Ok(()),
    })
}

/// Whether what the parser has to say is no fault: help was asked for, or only a part of a command is spoken of.
fn may_be(error: ErrorKind, kind: Kind) -> bool {
    match error {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::TooFewValues
        | ErrorKind::InvalidValue
        | ErrorKind::ValueValidation => kind == Kind::Mention,
        _ => false,
    }
}

#[test]
fn what_does_not_parse_is_refused() {
    let parses = |line: &str, kind| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&words, kind).map(|parsed| parsed.is_ok())
    };
    for (line, whole, mention) in [
        ("sealiftctl activate 1.5.0", true, true),
        ("/usr/bin/sealiftctl k3s upgrade --check", false, true),
        ("sealift-registry --listen nowhere", false, true),
        ("sealift verify --trust", false, true),
        ("sealift bundle RELEASE.yaml …", true, true),
        ("sealift bundle RELEASE.yaml … --no-such-option", false, false),
        ("sealiftctl k3s no-such-command", false, false),
        ("sealift-lab --no-such-option", false, false),
    ] {
        assert_eq!(parses(line, Kind::Whole), Some(whole), "{line}");
        assert_eq!(parses(line, Kind::Mention), Some(mention), "{line}");
    }
    assert_eq!(parses("sealift-mirror.timer", Kind::Whole), None);
}
