//! Snapshots of what a program said: its arguments, how it ended, standard output and standard error together.

/// Compares with a snapshot, without what differs from run to run and from machine to machine.
macro_rules! assert_told {
    ($name:literal, $told:expr) => {
        insta::with_settings!({
            omit_expression => true,
            filters => vec![
                (r"127\.\d+\.\d+\.\d+:\d+", "[registry]"),
                (r"sha256:[0-9a-f]{64}", "[digest]"),
                (r"\w+: .* left\n", ""),
                (r"stopped at .* of (.*) after .* s", "stopped at [amount] of $1 after [time]"),
                (r"process \d+", "process [pid]"),
            ],
        }, { insta::assert_snapshot!($name, $told) })
    };
}

pub(crate) use assert_told;
