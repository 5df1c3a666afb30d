//! RSA signature verification (RFC 8017, RSASSA-PKCS1-v1_5 with SHA-256). It cannot sign.
//!
//! The algorithm is Montgomery exponentiation by square and multiply, over the fixed-size integers
//! of `crypto-bigint`, which P-256 requires anyway. Its own residues set up a modulus by bitwise
//! division, which takes many times as long as a verification, so that step is done here. Every
//! input is public, so nothing needs constant time. The whole padded block is compared and never
//! parsed, which excludes Bleichenbacher's forgery of 2006.
//!
//! The code was checked against OpenSSL's signatures, the crate's own residues, and a fuzz target.
//! No outside cryptographer has reviewed it yet: such a review is welcome.

use std::cmp::Ordering;

use crypto_bigint::modular::montgomery_reduction;
use crypto_bigint::{Limb, U2048, U4096, Uint, Word};
use sha2::{Digest, Sha256};

/// Accepted sizes of a modulus, in bits. RFC 7518, section 3.3 requires at least 2048; above 4096,
/// verification costs every request too much.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// DigestInfo of SHA-256, which precedes the hash (RFC 8017, 9.2, note 1).
const DIGEST_INFO_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Public key with checked size and exponent.
#[derive(Debug)]
pub(super) struct RsaKey {
    /// Big-endian, without leading zeros.
    modulus: Box<[u8]>,
    exponent: u32,
}

impl RsaKey {
    /// Creates a key from big-endian numbers. `None` unless the modulus is odd and of 2048 to 4096
    /// bits, and the exponent is odd and in 3..2³².
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let modulus = strip_leading_zeros(modulus);
        let first = *modulus.first()?;
        let bits = modulus.len() * 8 - first.leading_zeros() as usize;
        if !MODULUS_BITS.contains(&bits) || !is_odd(modulus) {
            return None;
        }
        let exponent = strip_leading_zeros(exponent);
        if exponent.len() > 4 || !is_odd(exponent) || exponent == [1] {
            return None;
        }
        let exponent = exponent.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        Some(Self { modulus: modulus.into(), exponent })
    }

    /// Whether `signature` is this key's signature of `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        if signature.len() != self.modulus.len() {
            return false;
        }
        let expected = emsa_pkcs1_v15(message, self.modulus.len());
        if self.modulus.len() <= U2048::BYTES {
            self.matches_padded::<{ U2048::LIMBS }>(signature, &expected)
        } else {
            self.matches_padded::<{ U4096::LIMBS }>(signature, &expected)
        }
    }

    /// Compares numbers of the same length. It compares the whole padding and parses none of it:
    /// parsers admitted forgeries for small exponents.
    fn matches_padded<const LIMBS: usize>(&self, signature: &[u8], expected: &[u8]) -> bool {
        let modulus = to_uint::<LIMBS>(&self.modulus);
        let signature = to_uint::<LIMBS>(signature);
        // A signature above the modulus would be a second spelling of the same signature.
        signature.cmp_vartime(&modulus) == Ordering::Less
            && pow_mod(&signature, self.exponent, &modulus) == to_uint(expected)
    }
}

/// EMSA-PKCS1-v1_5 (RFC 8017, 9.2): `00 01 ff … ff 00`, the prefix, the hash.
fn emsa_pkcs1_v15(message: &[u8], length: usize) -> Vec<u8> {
    let hash = Sha256::digest(message);
    let mut padded = vec![0xff; length - DIGEST_INFO_PREFIX.len() - hash.len() - 1];
    padded[..2].copy_from_slice(&[0, 1]);
    padded.push(0);
    padded.extend_from_slice(&DIGEST_INFO_PREFIX);
    padded.extend_from_slice(&hash);
    padded
}

/// Computes `base` to the power of `exponent`, modulo an odd modulus above `base`. The exponent is
/// not zero.
fn pow_mod<const LIMBS: usize>(
    base: &Uint<LIMBS>,
    exponent: u32,
    modulus: &Uint<LIMBS>,
) -> Uint<LIMBS> {
    let lowest = Uint::<1>::new([modulus.as_limbs()[0]]);
    let inverse = lowest.inv_mod2k_vartime(Limb::BITS).as_limbs()[0].0;
    let negated = Limb(inverse.wrapping_neg());
    // Product of two numbers divided by 2^width, modulo the modulus.
    let multiply = |left: &Uint<LIMBS>, right: &Uint<LIMBS>| {
        montgomery_reduction(&left.mul_wide(right), modulus, negated)
    };

    // Montgomery form multiplies numbers by R = 2^width, and R² brings them there. It begins as
    // 2^bits - modulus, which doubling brings to R · 2^odd. Squared `twos` times, that is R ·
    // 2^(odd · 2^twos) = R · 2^width.
    let bits = modulus.bits_vartime();
    let width = Uint::<LIMBS>::BITS;
    let twos = width.trailing_zeros();
    let odd = width >> twos;
    // A modulus of the full width makes 2^bits 0 here, and the subtraction wraps to the intended
    // value.
    let mut square = Uint::ONE.shl_vartime(bits).wrapping_sub(modulus);
    for _ in 0..width - bits + odd {
        square = square.add_mod(&square, modulus);
    }
    for _ in 0..twos {
        square = multiply(&square, &square);
    }

    let base = multiply(base, &square);
    let mut result = base;
    for bit in (0..exponent.ilog2()).rev() {
        result = multiply(&result, &result);
        if exponent >> bit & 1 == 1 {
            result = multiply(&result, &base);
        }
    }
    multiply(&result, &Uint::ONE)
}

/// Reads a big-endian number that is not longer than the limbs.
fn to_uint<const LIMBS: usize>(bytes: &[u8]) -> Uint<LIMBS> {
    let mut limbs = [Limb::ZERO; LIMBS];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.rchunks(Limb::BYTES)) {
        *limb = Limb(bytes.iter().fold(0, |word, byte| word << 8 | Word::from(*byte)));
    }
    Uint::new(limbs)
}

fn strip_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|byte| byte & 1 == 1)
}

#[cfg(test)]
mod tests {
    use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
    use crypto_bigint::{U64, U256, U2048, U4096};
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, prop_assume, proptest};

    use super::{RsaKey, pow_mod, to_uint};

    #[track_caller]
    fn assert_accepted(modulus: &[u8], exponent: &[u8], accepted: bool) {
        assert_eq!(RsaKey::new(modulus, exponent).is_some(), accepted);
    }

    #[test]
    fn key_of_wrong_size_or_exponent_is_refused() {
        let mut modulus = [0xff; 512];
        assert_accepted(&modulus, &[1, 0, 1], true);
        assert_accepted(&modulus, &[0, 0, 0, 0, 0, 3], true);
        assert_accepted(&modulus, &[0xff, 0xff, 0xff, 0xff], true);
        assert_accepted(&modulus, &[1, 0, 0, 0, 1], false);
        assert_accepted(&modulus, &[1, 0, 0], false);
        assert_accepted(&modulus, &[1], false);
        assert_accepted(&modulus, &[0, 1], false);
        assert_accepted(&modulus, &[0], false);
        assert_accepted(&modulus, &[], false);
        assert_accepted(&[0xff; 513], &[3], false);
        assert_accepted(&modulus[..256], &[3], true);
        assert_accepted(&modulus[..255], &[3], false);
        assert_accepted(&[], &[3], false);
        assert_accepted(&[0; 512], &[3], false);
        modulus[511] = 0xfe;
        assert_accepted(&modulus, &[3], false);

        // 2047 bits, and a leading zero that does not count.
        let mut modulus = [0xff; 257];
        modulus[0] = 0;
        assert_accepted(&modulus, &[3], true);
        modulus[1] = 0x7f;
        assert_accepted(&modulus, &[3], false);
    }

    #[test]
    fn common_exponents_return_known_powers() {
        // 7^e modulo 2^61 - 1, computed in Python.
        let modulus = to_uint(&((1u64 << 61) - 1).to_be_bytes());
        for (exponent, expected) in
            [(1u32, 7u64), (3, 343), (65537, SEVEN_TO_65537), (u32::MAX, SEVEN_TO_ALL_ONES)]
        {
            let result: U256 = pow_mod(&to_uint(&[7]), exponent, &modulus);
            assert_eq!(result, U256::from(expected), "{exponent}");
        }
    }

    const SEVEN_TO_65537: u64 = 947640889622960979;
    const SEVEN_TO_ALL_ONES: u64 = 946148741578963242;

    proptest! {
        // The crate's own residues are slow and correct, and share only the reduction with this
        // code.
        #[test]
        fn pow_mod_agrees_with_residues(
            modulus in vec(any::<u8>(), 1..=32),
            base in vec(any::<u8>(), 1..=32),
            exponent in 1u32..,
        ) {
            let modulus: U256 = to_uint::<{ U256::LIMBS }>(&modulus) | U256::ONE;
            // Modulo 1 every number is 0; keys are never so short.
            prop_assume!(modulus != U256::ONE);
            let base = to_uint::<{ U256::LIMBS }>(&base).const_rem(&modulus).0;
            let residue = DynResidue::new(&base, DynResidueParams::new(&modulus));
            let expected = residue.pow(&U64::from(exponent)).retrieve();
            assert_eq!(pow_mod(&base, exponent, &modulus), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn pow_mod_agrees_in_both_widths(
            mut modulus in vec(any::<u8>(), 256),
            mut base in vec(any::<u8>(), 256),
            exponent in 1u32..,
        ) {
            modulus[0] |= 0x80;
            modulus[255] |= 1;
            base[0] &= 0x7f;
            let narrow = pow_mod::<{ U2048::LIMBS }>(&to_uint(&base), exponent, &to_uint(&modulus));
            let wide = pow_mod::<{ U4096::LIMBS }>(&to_uint(&base), exponent, &to_uint(&modulus));
            assert_eq!(U4096::from(&narrow), wide);
        }
    }
}
