//! The section `receipt`.

use sealift_archive::age::Recipient;
use serde::Deserialize;

/// How receipts are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// The vendor's public key of `age`, if receipts are to be read by nobody else.
    #[serde(default)]
    pub recipient: Option<Recipient>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT: &str = "age1jf5fwjgmzsr4839efz6ysrvah3zcf6hjpfj462v6wxx0ulucedgqvueafv";

    #[test]
    fn a_recipient_is_a_public_key_of_age() {
        let read = |text: &str| serde_saphyr::from_str::<Receipt>(text).map_err(|error| error.to_string());
        assert_eq!(read("{}").unwrap().recipient, None);
        let recipient = read(&format!("recipient: {RECIPIENT}")).unwrap().recipient;
        assert_eq!(recipient.unwrap().to_string(), RECIPIENT);
        let secret = "AGE-SECRET-KEY-1FKPG6CFLMG28A4WSZ74SACKSKNL293VMSKXR05H3P42AAUL2FJMSWJRSGX";
        for (wrong, wanted) in [
            ("recipient: age1short".to_owned(), "it is no public key of age"),
            (format!("recipient: {secret}"), "it is a secret key"),
            ("recipients: []".to_owned(), "unknown field"),
        ] {
            let said = read(&wrong).unwrap_err();
            assert!(said.contains(wanted), "{wrong}: {said}");
        }
    }
}
