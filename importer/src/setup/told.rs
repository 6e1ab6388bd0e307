//! What a person is told.

use std::fmt::{Display, Write as _};

use super::answers::{Answers, Decision, Role};
use super::plan::{State, Step};

/// What an appliance is to be, and who said so.
#[must_use]
pub fn decision(answers: &Answers, decision: &Decision) -> String {
    let from = list(&decision.origins);
    let mut text = format!("This appliance, by {from}:\n{}", summary(answers));
    for overruled in &decision.overruled {
        let (key, origin, by) = (overruled.key, overruled.origin, overruled.by);
        writeln!(text, "note: {origin} answers `{key}` otherwise; {by} counts")
            .expect("a string takes all text");
    }
    for unheard in &decision.unheard {
        writeln!(text, "note: not heard: {unheard}").expect("a string takes all text");
    }
    text
}

/// What would be done, step by step.
#[must_use]
pub fn steps(steps: &[Step]) -> String {
    let mut text = String::new();
    for (number, step) in steps.iter().enumerate() {
        let state = match step.state {
            State::Done => ": done",
            State::ToDo => "",
            State::LeftOut => ": left out",
        };
        writeln!(text, "step {} of {}: {}{state}", number + 1, steps.len(), step.title)
            .expect("a string takes all text");
        for line in step.actions.iter().cloned().chain(step.notes.iter().map(|note| format!("note: {note}")))
        {
            writeln!(text, "  {line}").expect("a string takes all text");
        }
    }
    text
}

/// The answers, without the token.
#[must_use]
pub fn summary(answers: &Answers) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let value = if value.is_empty() { "none".to_owned() } else { value };
        writeln!(text, "  {label:<13} {value}").expect("a string takes all text");
    };
    line("name", answers.hostname.to_string());
    line("address", address(answers));
    line("name servers", answers.network.as_ref().map(|network| list(&network.dns)).unwrap_or_default());
    line("role", role(answers));
    line("endpoints", list(&answers.endpoints));
    if answers.role != Role::Single {
        line("other nodes", list(&answers.nodes));
    }
    line("time servers", list(&answers.time));
    line(
        "online",
        answers
            .online
            .as_ref()
            .map_or("no: releases come on sticks, and nothing leaves".to_owned(), |online| {
                format!("{}, channel {}", online.source, online.channel)
            }),
    );
    line("may log in", list(&answers.public_keys.iter().map(short).collect::<Vec<_>>()));
    text
}

fn address(answers: &Answers) -> String {
    let Some(network) = &answers.network else { return "as cloud-init has left it".to_owned() };
    match &network.fixed {
        None => "by DHCP".to_owned(),
        Some(fixed) => match fixed.gateway {
            Some(gateway) => format!("{}, gateway {gateway}", fixed.address),
            None => format!("{}, no gateway", fixed.address),
        },
    }
}

fn role(answers: &Answers) -> String {
    let name = answers.role.name().as_str();
    match &answers.role {
        Role::Join { server, token } => {
            let token = if token.is_some() { ", with a token" } else { "" };
            format!("{name}: comes to {server}{token}")
        }
        _ => name.to_owned(),
    }
}

/// A public key by its beginning and its remark.
fn short(key: &super::value::PublicKey) -> String {
    let text = key.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [kind, _, remark @ ..] if !remark.is_empty() => format!("{kind} {}", remark.join(" ")),
        [kind, key, ..] => format!("{kind} {key:.16}…"),
        _ => text,
    }
}

fn list<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
