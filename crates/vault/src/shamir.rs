//! A secret in n shares, of which any k make it and any k − 1 say nothing about it (Shamir 1979).
//!
//! Every byte of the secret is the value at 0 of a polynomial of degree k − 1 over GF(2⁸) whose other coefficients
//! are random; share x has its values at x. Each coefficient is drawn from all 256 values: leaving out zero would
//! say something. Multiplication takes the same steps whatever the bytes.

use zeroize::Zeroizing;

use crate::seal::random;

/// Bytes of a secret.
pub(crate) const SECRET: usize = 32;

/// One share: the point x, which is never 0, and the values there.
pub(crate) struct Point {
    pub(crate) x: u8,
    pub(crate) values: Zeroizing<[u8; SECRET]>,
}

/// Multiplies in GF(2⁸) modulo x⁸ + x⁴ + x³ + x + 1.
fn times(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (a, 0);
    for bit in 0..8 {
        product ^= a & 0u8.wrapping_sub(b >> bit & 1);
        a = a << 1 ^ 0x1b & 0u8.wrapping_sub(a >> 7);
    }
    product
}

/// The inverse: a²⁵⁴. Of 0 it is 0.
fn inverse(a: u8) -> u8 {
    let (mut power, mut result) = (a, 1);
    for _ in 0..7 {
        power = times(power, power);
        result = times(result, power);
    }
    result
}

/// Splits a secret so that `threshold` of `count` shares make it.
pub(crate) fn split(secret: &[u8; SECRET], threshold: u8, count: u8) -> Vec<Point> {
    assert!(1 <= threshold && threshold <= count, "checked where the numbers come in");
    let coefficients: Vec<Zeroizing<[u8; SECRET]>> = (1..threshold).map(|_| Zeroizing::new(random())).collect();
    (1..=count)
        .map(|x| {
            let mut values = Zeroizing::new([0; SECRET]);
            for coefficient in coefficients.iter().rev().map(|own| &**own).chain([secret]) {
                for (value, next) in values.iter_mut().zip(coefficient) {
                    *value = times(*value, x) ^ next;
                }
            }
            Point { x, values }
        })
        .collect()
}

/// The value at 0 of the polynomial through these points, whose x differ.
pub(crate) fn combine(points: &[Point]) -> Zeroizing<[u8; SECRET]> {
    let mut secret = Zeroizing::new([0; SECRET]);
    for point in points {
        let mut weight = 1;
        for other in points.iter().filter(|other| other.x != point.x) {
            weight = times(weight, times(other.x, inverse(other.x ^ point.x)));
        }
        for (byte, value) in secret.iter_mut().zip(point.values.iter()) {
            *byte ^= times(weight, *value);
        }
    }
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: u8, value: u8) -> Point {
        Point { x, values: Zeroizing::new([value; SECRET]) }
    }

    /// The products are those of FIPS 197 (4.2, 4.2.1); the shares of 0x42 with 0x42 + 0x57·x are worked out by hand.
    #[test]
    fn the_field_and_a_small_sharing_are_those_of_the_books() {
        assert_eq!((times(0x57, 0x83), times(0x57, 0x13), times(0x57, 0x10)), (0xc1, 0xfe, 0x07));
        assert_eq!(inverse(0x53), 0xca);
        assert!((1..=255).all(|a| times(a, inverse(a)) == 1));
        // 0x57·2 = 0xae, 0x57·16 = 0x07.
        let shares = [point(1, 0x42 ^ 0x57), point(2, 0x42 ^ 0xae), point(16, 0x42 ^ 0x07)];
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let points = pair.map(|at| point(shares[at].x, shares[at].values[0]));
            assert_eq!(*combine(&points), [0x42; SECRET]);
        }
    }

    #[test]
    fn any_k_shares_make_the_secret() {
        let secret = random();
        let shares = split(&secret, 3, 5);
        for a in 0..5 {
            for b in (0..5).filter(|b| *b != a) {
                for c in (0..5).filter(|c| ![a, b].contains(c)) {
                    let points = [a, b, c].map(|at| Point { x: shares[at].x, values: shares[at].values.clone() });
                    assert_eq!(*combine(&points), secret);
                }
            }
        }
        assert_eq!(*combine(&split(&secret, 1, 1)), secret);
        let most = split(&secret, 255, 255);
        assert_eq!(*combine(&most), secret);
    }

    /// With k − 1 shares every secret is possible: for each there is a k-th share that leads to it.
    #[test]
    fn one_share_too_few_leaves_every_secret_possible() {
        let shares = split(&[7; SECRET], 3, 3);
        let mut reached: Vec<u8> = (0..=255)
            .map(|value| {
                let two = [0, 1].map(|at| Point { x: shares[at].x, values: shares[at].values.clone() });
                let [first, second] = two;
                combine(&[first, second, point(3, value)])[0]
            })
            .collect();
        reached.sort_unstable();
        assert_eq!(reached, (0..=255).collect::<Vec<u8>>());
    }
}
