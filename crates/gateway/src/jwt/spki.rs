//! Public keys as files hold them: SubjectPublicKeyInfo (RFC 5280, RFC 8017, RFC 5480) in PEM.
//!
//! This reads the two shapes that are needed and checks no numbers. Private keys and certificates are
//! not read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` and NULL: the whole content of the algorithm's identifier.
const RSA: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// `id-ecPublicKey` and `prime256v1`, likewise.
const P256: [u8; 19] = [
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];

/// The numbers of a public key, as they stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicKey<'a> {
    /// Both big-endian.
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    /// As in SEC 1, section 2.3.3.
    P256 { point: &'a [u8] },
}

/// The decoded blocks of a PEM text, `None` for one that is broken. What stands between them is
/// nobody's concern (RFC 7468, section 2).
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Option<Vec<u8>>> {
    text.split(BEGIN).skip(1).map(|block| {
        let (encoded, _) = block.split_once(END)?;
        let encoded: Vec<u8> = encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(encoded).ok()
    })
}

/// Reads a SubjectPublicKeyInfo.
pub(super) fn read(der: &[u8]) -> Option<PublicKey<'_>> {
    let [info] = elements(der, [SEQUENCE])?;
    let [algorithm, key] = elements(info, [SEQUENCE, BIT_STRING])?;
    // A string of bits begins with how many of the last byte do not count.
    let key = key.strip_prefix(&[0])?;
    if algorithm == RSA {
        let [numbers] = elements(key, [SEQUENCE])?;
        let [modulus, exponent] = elements(numbers, [INTEGER, INTEGER])?;
        // An integer is signed.
        let positive = |number: &[u8]| number.first().is_some_and(|byte| byte & 0x80 == 0);
        (positive(modulus) && positive(exponent)).then_some(PublicKey::Rsa { modulus, exponent })
    } else if algorithm == P256 {
        Some(PublicKey::P256 { point: key })
    } else {
        None
    }
}

/// The contents of elements with these tags, which are all that there is.
fn elements<const COUNT: usize>(mut der: &[u8], tags: [u8; COUNT]) -> Option<[&[u8]; COUNT]> {
    let mut contents = [der; COUNT];
    for (content, tag) in contents.iter_mut().zip(tags) {
        (*content, der) = element(der, tag)?;
    }
    der.is_empty().then_some(contents)
}

/// The content of the first element, and what follows it. Lengths up to 64 KiB (X.690, 8.1.3).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match *der.strip_prefix(&[tag])? {
        [length @ 0..=0x7f, ref rest @ ..] => (usize::from(length), rest),
        [0x81, length @ 0x80..=0xff, ref rest @ ..] => (usize::from(length), rest),
        [0x82, high @ 1..=0xff, low, ref rest @ ..] => {
            (usize::from(u16::from_be_bytes([high, low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{P256, PublicKey, RSA, SEQUENCE, blocks, element, read};

    #[track_caller]
    fn check_length(head: &[u8], expected: Option<usize>) {
        let mut der = [&[SEQUENCE], head].concat();
        der.resize(1000, 0);
        assert_eq!(element(&der, SEQUENCE).map(|(content, _)| content.len()), expected);
    }

    #[test]
    fn lengths_have_one_spelling() {
        check_length(&[0], Some(0));
        check_length(&[0x7f], Some(0x7f));
        check_length(&[0x80], None);
        check_length(&[0x81, 0x7f], None);
        check_length(&[0x81, 0x80], Some(0x80));
        check_length(&[0x82, 0, 0xff], None);
        check_length(&[0x82, 1, 0], Some(256));
        check_length(&[0x82, 0xff, 0], None);
        check_length(&[0x83, 0, 1, 0], None);
    }

    #[track_caller]
    fn check(algorithm: &[u8], key: &[u8], expected: Option<PublicKey<'_>>) {
        let algorithm = tagged(SEQUENCE, algorithm);
        let key = tagged(super::BIT_STRING, &[&[0], key].concat());
        let der = tagged(SEQUENCE, &[algorithm, key].concat());
        assert_eq!(read(&der), expected);
        assert_eq!(read(&der[..der.len() - 1]), None);
        assert_eq!(read(&[der.as_slice(), &[0]].concat()), None);
    }

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length], content].concat()
    }

    #[test]
    fn two_shapes_are_read() {
        let numbers = |modulus, exponent: &[u8]| {
            tagged(SEQUENCE, &[tagged(2, modulus), tagged(2, exponent)].concat())
        };
        let rsa = PublicKey::Rsa { modulus: &[0, 0xff], exponent: &[3] };
        check(&RSA, &numbers(&[0, 0xff], &[3]), Some(rsa));
        check(&RSA, &numbers(&[0xff], &[3]), None);
        check(&RSA, &numbers(&[0, 0xff], &[0x83]), None);
        check(&RSA, &numbers(&[], &[3]), None);
        check(&RSA, &[4, 1, 2], None);
        check(&RSA[..11], &numbers(&[0, 0xff], &[3]), None);
        check(&P256, &[4, 1, 2], Some(PublicKey::P256 { point: &[4, 1, 2] }));
        // Ed25519.
        check(&[6, 3, 0x2b, 0x65, 0x70], &[1, 2], None);
    }

    #[track_caller]
    fn check_blocks(text: &str, expected: &[Option<&[u8]>]) {
        let found: Vec<_> = blocks(text).collect();
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn blocks_are_found_between_other_text() {
        let one = "-----BEGIN PUBLIC KEY-----\r\nAQ\r\nID\r\n-----END PUBLIC KEY-----\r\n";
        check_blocks(one, &[Some(&[1, 2, 3])]);
        check_blocks(&format!("mine:\n{one}{one}"), &[Some(&[1, 2, 3]), Some(&[1, 2, 3])]);
        check_blocks("", &[]);
        check_blocks(&one.replace("PUBLIC", "PRIVATE"), &[]);
        check_blocks(&one.replace("END", "AND"), &[None]);
        check_blocks(&one.replace("AQ", "A"), &[None]);
    }

    proptest! {
        #[test]
        fn anything_can_be_read(der in vec(any::<u8>(), 0..64)) {
            read(&der);
        }
    }
}
