use expect_test::expect;

use super::*;

/// The example keys of RFC 8410, section 10.3: somebody else's encoder wrote them.
const RFC_8410_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const RFC_8410_PRIVATE_WITH_PUBLIC: &str = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";
const RFC_8410_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
fn key(n: u8) -> SigningKey {
    SigningKey::from_secret(&[n; 32])
}

#[test]
fn ed25519_gives_the_answers_of_rfc_8032() {
    // Section 7.1, TEST 1 to 3: secret, public, message, signature.
    let vectors = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (secret, public, message, signature) in vectors {
        let key = SigningKey::from_secret(&hex::decode(secret).unwrap().try_into().unwrap());
        let message = hex::decode(message).unwrap();
        assert_eq!(hex::encode(key.sign(&message)), signature);
        assert!(key.verifying_key().vouches(&message, &hex::decode(signature).unwrap()));
        assert!(!key.verifying_key().vouches(b"another", &hex::decode(signature).unwrap()));
        // The last 32 bytes of the DER encoding are the key itself.
        let pem = key.verifying_key().to_pem();
        let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, pem.lines().nth(1).unwrap());
        assert_eq!(hex::encode(&der.unwrap()[12..]), public);
    }
}

#[test]
fn a_signature_has_one_encoding() {
    // Adding the group's order to the second half gives the same number modulo the order.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut signature = key(1).sign(b"m");
    assert!(key(1).verifying_key().vouches(b"m", &signature));
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(!key(1).verifying_key().vouches(b"m", &signature));
    assert!(!key(1).verifying_key().vouches(b"m", &signature[..63]));
}

#[test]
fn key_files_are_those_of_rfc_8410_and_openssl() {
    let key = SigningKey::from_pem(RFC_8410_PRIVATE).unwrap();
    assert_eq!(key.to_pem().as_str(), RFC_8410_PRIVATE);
    assert_eq!(key.verifying_key().to_pem(), RFC_8410_PUBLIC);
    assert_eq!(key.key_id().as_str(), digest::sha256(RFC_8410_PUBLIC.as_bytes()));
    assert_eq!(SigningKey::from_pem(RFC_8410_PRIVATE_WITH_PUBLIC).unwrap().key_id(), key.key_id());
    let windows = RFC_8410_PUBLIC.replace('\n', "\r\n");
    assert_eq!(VerifyingKey::all_from_pem(&windows).unwrap(), [key.verifying_key()]);
}

#[test]
fn a_file_may_hold_several_public_keys_with_comments() {
    let text = format!("# old\n{}\n# new\n{}", key(1).verifying_key().to_pem(), key(2).verifying_key().to_pem());
    assert_eq!(VerifyingKey::all_from_pem(&text).unwrap(), [key(1).verifying_key(), key(2).verifying_key()]);
}

#[test]
fn a_bad_key_file_is_refused_with_the_line_and_never_its_content() {
    let public = |text: &str| VerifyingKey::all_from_pem(text).unwrap_err();
    let private = |text: &str| SigningKey::from_pem(text).unwrap_err();
    let label = |expected, found: &str| KeyError::Label { line: 1, expected, found: found.into() };
    assert_eq!(public(""), KeyError::Empty { expected: "PUBLIC KEY" });
    assert_eq!(public(RFC_8410_PRIVATE), label("PUBLIC KEY", "PRIVATE KEY"));
    assert_eq!(private(RFC_8410_PUBLIC), label("PRIVATE KEY", "PUBLIC KEY"));
    let encrypted = RFC_8410_PRIVATE.replace("PRIVATE", "ENCRYPTED PRIVATE");
    assert_eq!(private(&encrypted), label("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    assert_eq!(private(&RFC_8410_PRIVATE.repeat(2)), KeyError::Several { found: 2 });
    assert_eq!(public(&format!("{RFC_8410_PUBLIC}secret\n")), KeyError::Stray { line: 4 });
    assert_eq!(public(&RFC_8410_PUBLIC.replace("-----END", "----END")), KeyError::Unfinished { line: 1 });
    let cut_off = &RFC_8410_PUBLIC[..60];
    assert_eq!(public(&format!("\n{cut_off}\n{RFC_8410_PUBLIC}")), KeyError::Unfinished { line: 2 });
    for (error, expected) in [
        // X25519 is one digit away: 1.3.101.110 instead of .112.
        (
            private(&RFC_8410_PRIVATE.replace("K2Vw", "K2Vu")),
            expect![
                "PEM block on line 1 is not an Ed25519 key: public key error: unknown/unsupported algorithm OID: 1.3.101.110"
            ],
        ),
        (
            public(&RFC_8410_PUBLIC.replace("K2Vw", "K2Vu")),
            expect!["PEM block on line 1 is not an Ed25519 key: unknown/unsupported algorithm OID: 1.3.101.110"],
        ),
        (
            private(&RFC_8410_PRIVATE.replace("dVhC", "dV")),
            expect![
                "PEM block on line 1 is not an Ed25519 key: PKCS#8 ASN.1 error: PEM error: PEM Base64 error: invalid Base64 encoding"
            ],
        ),
        (
            private(&RFC_8410_PRIVATE.replace("MC4C", "MC*C")),
            expect![
                "PEM block on line 1 is not an Ed25519 key: PKCS#8 ASN.1 error: PEM error: PEM Base64 error: invalid Base64 encoding"
            ],
        ),
        // The last byte of the public half inside is not the one its secret gives.
        (
            private(&RFC_8410_PRIVATE_WITH_PUBLIC.replace("ZuE=", "ZuA=")),
            expect!["PEM block on line 1 is not an Ed25519 key: PKCS#8 key malformed: key invalid"],
        ),
    ] {
        expected.assert_eq(&error.to_string());
    }
    // The neutral element, y = 1.
    let neutral = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
    assert_eq!(public(neutral), KeyError::Weak { line: 1 });
}

#[test]
fn a_signing_key_prints_its_id_and_nothing_else() {
    assert_eq!(format!("{:?}", key(1)), format!("SigningKey({})", key(1).key_id()));
}
