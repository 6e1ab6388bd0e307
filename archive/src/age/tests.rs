//! What `age` 1.1.1 made, what is made here, and everything that is not right about a file or a key.

use proptest::prelude::*;

use super::*;

const KEY: &str = "# created: 2026-11-23T12:45:36Z\n\
                   # public key: age1jf5fwjgmzsr4839efz6ysrvah3zcf6hjpfj462v6wxx0ulucedgqvueafv\n\
                   AGE-SECRET-KEY-1FKPG6CFLMG28A4WSZ74SACKSKNL293VMSKXR05H3P42AAUL2FJMSWJRSGX\n";
const RECIPIENT: &str = "age1jf5fwjgmzsr4839efz6ysrvah3zcf6hjpfj462v6wxx0ulucedgqvueafv";
/// `printf 'hello from age' | age -r SOMEBODY -r RECIPIENT`
const FROM_AGE: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB4V3ZWV2R2c3hwV2NhQ3RkQm5aekJYYndVYmpoQUMvQUtEMXBWTEN2el\
Y4CnU0a1RHby9wZ0lZZlVBTFppaFBpTE44UDErampTK3UrSmxxQzNjR1dsaUUKLT4gWDI1NTE5IGlySUNWSys0ZXVtN3dxT2g2Uk1Ba3RrSlYyWWtydWN0TFV\
rL1lpOUtlSGsKK3RYalRRSGRYUDRoQWEreFNjampuN3RsOWtuVSswK1BTSjg4TW4zcEhIUQotLS0gMjRZcTdZMGN3RWZPK0paWjc2K3hpVU9Lc2trQzdCeCtS\
N252YU9iZHZmbwo+4MPy1fzIRdkaax1nJ4Uy2O2RCvGl6+FNqmT3yEYdZLUEc3IpMN4MiVVCgdGP";

fn identities() -> Vec<Identity> {
    Identity::parse_file(KEY).unwrap()
}

fn recipient() -> Recipient {
    RECIPIENT.parse().unwrap()
}

fn from_age() -> Vec<u8> {
    BASE64.decode(FROM_AGE.trim_end_matches('=')).unwrap()
}

#[test]
fn what_age_made_is_read() {
    assert_eq!(identities()[0].recipient(), &recipient());
    assert_eq!(open(&identities(), &from_age()).unwrap(), b"hello from age");
}

#[test]
fn content_comes_back_from_empty_to_the_largest() {
    for length in [0, 1, 500, MAX_CONTENT_BYTES] {
        let content = vec![7; length];
        let sealed = seal(&recipient(), &content).unwrap();
        assert!(is_sealed(&sealed) && sealed.len() <= MAX_BYTES);
        assert_eq!(open(&identities(), &sealed).unwrap(), content, "{length}");
        assert_ne!(seal(&recipient(), &content).unwrap(), sealed, "a key or nonce was used twice");
    }
    assert!(matches!(seal(&recipient(), &vec![0; MAX_CONTENT_BYTES + 1]), Err(Error::TooLong { .. })));
}

#[test]
fn no_bit_of_a_file_can_be_changed() {
    let (sealed, identities) = (from_age(), identities());
    for place in 0..sealed.len() {
        for bit in [0, 5] {
            let mut changed = sealed.clone();
            changed[place] ^= 1 << bit;
            assert!(open(&identities, &changed).is_err(), "bit {bit} of byte {place}");
        }
        assert!(open(&identities, &sealed[..place]).is_err(), "cut to {place} bytes");
    }
    assert!(open(&identities, &[&sealed[..], b"x"].concat()).is_err(), "a byte more");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let good = String::from_utf8_lossy(&seal(&recipient(), b"").unwrap()).into_owned();
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    let (version, stanza) = (lines[0], lines[1..3].concat());
    let full_line = format!("{}\n", "A".repeat(64));
    let long = format!("-> other\n{}\n", "A".repeat(65));
    let cases = [
        ("", "has no end"),
        ("age-encryption.org/v2\n", "does not begin"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", "armored"),
        (&format!("{version}stanza\n"), "something else"),
        (&format!("{version}-> X25519\n\n"), "no share"),
        (&format!("{version}-> X25519 AAAA\nAAAA\n"), "other lengths"),
        (&format!("{version}{long}"), "too long"),
        (&format!("{version}-> ü\n"), "not text"),
        (&format!("{version}--- AAAA\n"), "authenticator is none"),
        (&format!("{version}{}", stanza.repeat(33)), "too many recipients"),
        (&format!("{version}-> other\n{}", full_line.repeat(1000)), "has no end"),
        (&format!("{version}-> scrypt a 18\nAAAA\n--- {}\n", "A".repeat(43)), "other keys"),
    ];
    for (file, wanted) in cases {
        let said = open(&identities(), file.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // Keys of few elements, with which any secret agrees on zero: everybody could open the file, or nobody knows who made it.
    let zero = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("age").unwrap(), &[0; 32]).unwrap();
    assert!(matches!(seal(&zero.parse().unwrap(), b""), Err(Error::BadRecipient)));
}

#[test]
fn keys_have_one_spelling_and_are_not_repeated_in_errors() {
    let secret = KEY.lines().last().unwrap();
    assert_eq!(recipient().to_string(), RECIPIENT);
    let wrong = RECIPIENT.replace("fv", "fw");
    for (text, wanted) in [
        (&*RECIPIENT.to_uppercase(), KeyError::Recipient),
        (&wrong, KeyError::Recipient),
        ("", KeyError::Recipient),
        ("ssh-ed25519 AAAA", KeyError::Recipient),
        (secret, KeyError::Secret),
        ("age1pq1qqqq", KeyError::PostQuantum),
    ] {
        assert_eq!(text.parse::<Recipient>().unwrap_err(), wanted, "{text}");
    }
    let many = format!("{secret}\n").repeat(MAX_IDENTITIES + 1);
    let turned = secret.replace("1FKP", "1FPK");
    for (text, wanted) in [
        ("", KeyError::NoIdentity),
        ("# only a comment\n\n", KeyError::NoIdentity),
        (&format!("\n{turned}"), KeyError::Identity { line: 2 }),
        (RECIPIENT, KeyError::Identity { line: 1 }),
        ("age-encryption.org/v1\n", KeyError::Encrypted),
        (&many, KeyError::TooMany),
    ] {
        let error = Identity::parse_file(text).unwrap_err();
        assert_eq!(error, wanted, "{text}");
        assert!(!error.to_string().contains("FPK"), "{error}");
    }
    assert!(!format!("{:?}", identities()).contains("SECRET"), "{:?}", identities());
}

proptest! {
    #[test]
    fn any_bytes_are_answered(
        place in 0..400_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let identities = identities();
        prop_assert!(open(&identities, &noise).is_err());
        let mut likely = from_age();
        let from = place % likely.len();
        let to = likely.len().min(from + bytes.len());
        likely.splice(from..to, bytes);
        let _ = open(&identities, &likely);
        let _ = Identity::parse_file(&String::from_utf8_lossy(&noise));
    }
}
