//! Tests with signatures that OpenSSL made over the MD5 of the message as a raw
//! digest (`openssl pkeyutl -sign`), as Go's `ecdsa.Sign` does.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;

const KEY: &str = "3059301306072a8648ce3d020106082a8648ce3d0301070342000443018455c01acb937e30a0e54ee41a60f8deb5afbdb25840de649715c6ff6e45f4dc4ad5ea49c6594848a965a7cbac335426fed2cd6599e18d061d64572f2273";

const PEM: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQwGEVcAay5N+MKDlTuQaYPjeta+9\n\
                   slhA3mSXFcb/bkX03ErV6knGWUhIqWWny6wzVCb+0s1lmeGNBh1kVy8icw==\n";

/// Over `Portainer-App`; its s is in the upper half of the curve's order.
const OVER_APPLICATION: &str = "01BCBE30997FE66BA8DEC7995978CD3E836CB048F47303CAFF3494ED3A7F82C3\
                                F0212902764E910CF71550D009E35AA2BF349C9F5D2B747EEF4ADFF46E7D51B2";

/// Over `a shared secret`.
const OVER_SECRET: &str = "032EEEBDB2A29EF7101047311BFD87CFEA120C56BDB2E733096FFFBDF1F1E39D\
                           051F3F1172F7E6E46F0109DB8FCF667D643443D65AB7C8B14B260B178054D799";

fn base64(digits: &str) -> String {
    let bytes: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    STANDARD_NO_PAD.encode(bytes)
}

fn headers(key: &str, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(PUBLIC_KEY, HeaderValue::from_str(key).unwrap());
    headers.insert(
        PORTAINER_SIGNATURE,
        HeaderValue::from_str(signature).unwrap(),
    );
    headers
}

fn verified(key: &str, signature: &str, message: &Message) -> Result<(), &'static str> {
    PortainerHeaders::of(&headers(key, signature))
        .and_then(|shown| shown.verify(message))
        .map_err(|error| error.reason())
}

#[test]
fn a_signature_is_valid_for_its_own_message_only() {
    let application = base64(OVER_APPLICATION);
    let secret = base64(OVER_SECRET);
    assert_eq!(application.len(), 86);
    for (signature, message, expected) in [
        (&application, Message::application(), Ok(())),
        (&secret, Message::secret(b"a shared secret"), Ok(())),
        (
            &secret,
            Message::application(),
            Err("portainer-bad-signature"),
        ),
        (
            &application,
            Message::secret(b"a shared secret"),
            Err("portainer-bad-signature"),
        ),
        (
            &secret,
            Message::secret(b"a shared secret\n"),
            Err("portainer-bad-signature"),
        ),
    ] {
        assert_eq!(verified(KEY, signature, &message), expected, "{signature}");
    }
}

#[test]
fn a_key_is_read_in_the_server_s_form_and_in_openssl_s() {
    let key = PublicKey::from_hex(KEY.as_bytes()).unwrap();
    assert_eq!(key.to_hex(), KEY);
    for text in [
        KEY.to_owned(),
        KEY.to_uppercase(),
        format!("  {KEY}\n"),
        format!("-----BEGIN PUBLIC KEY-----\n{PEM}-----END PUBLIC KEY-----\n"),
        format!("-----BEGIN ECDSA PUBLIC KEY-----\n{PEM}-----END ECDSA PUBLIC KEY-----"),
    ] {
        assert_eq!(PublicKey::from_text(&text), Ok(key.clone()), "{text}");
    }
    for text in [
        "",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
        &format!("-----BEGIN CERTIFICATE-----\n{PEM}-----END CERTIFICATE-----"),
        &KEY[2..],
    ] {
        assert!(PublicKey::from_text(text).is_err(), "{text}");
    }
}

#[test]
fn other_keys_are_refused() {
    let off_the_curve = format!("{}74", &KEY[..180]);
    let compressed =
        "3039301306072a8648ce3d020106082a8648ce3d03010703220003".to_owned() + &KEY[54..118];
    let p384 = KEY.replacen("2a8648ce3d030107", "2b8104002200ff00", 1);
    let infinity = format!("{}{}", &KEY[..52], "00".repeat(65));
    let hybrid = KEY.replacen("0342000443", "0342000643", 1);
    let longer = format!("{KEY}00");
    let not_hex = KEY.replace('a', "g");
    for key in [
        &off_the_curve,
        &compressed,
        &p384,
        &infinity,
        &hybrid,
        &longer,
        &not_hex,
    ] {
        let refused = verified(key, &base64(OVER_APPLICATION), &Message::application());
        assert_eq!(refused, Err("portainer-malformed"), "{key}");
    }
}

#[test]
fn a_signature_of_another_form_is_refused() {
    let good = base64(OVER_APPLICATION);
    let zero_r = base64(&format!("{}{}", "00".repeat(32), &OVER_APPLICATION[64..]));
    // The order of the curve: r and s are below it.
    let order = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";
    let large_s = base64(&format!("{}{order}", &OVER_APPLICATION[..64]));
    let (r, s) = OVER_APPLICATION.split_at(64);
    let der = base64(&format!("30450220{r}022100{s}"));
    for signature in [
        &format!("{good}=="),
        &good[..85],
        &good[..84],
        &format!("{good}AA"),
        &format!("{good}AAAAAAAA"),
        &good.replace(&good[..1], "-"),
        &zero_r,
        &large_s,
        &der,
        "=",
    ] {
        let refused = verified(KEY, signature, &Message::application());
        assert_eq!(refused, Err("portainer-malformed"), "{signature}");
    }
}

#[test]
fn both_headers_are_needed_each_once() {
    let good = base64(OVER_APPLICATION);
    for (key, signature) in [("", &*good), (KEY, "")] {
        let missing = verified(key, signature, &Message::application());
        assert_eq!(missing, Err("portainer-missing"));
    }
    for name in [PUBLIC_KEY, PORTAINER_SIGNATURE] {
        let mut headers = headers(KEY, &good);
        let twice = headers[&name].clone();
        headers.append(&name, twice);
        assert_eq!(
            PortainerHeaders::of(&headers).unwrap_err().reason(),
            "portainer-malformed"
        );
        headers.remove(&name);
        assert!(PortainerHeaders::any(&headers));
        assert_eq!(
            PortainerHeaders::of(&headers).unwrap_err(),
            PortainerError::Missing
        );
    }
    assert!(!PortainerHeaders::any(&HeaderMap::new()));
}

#[test]
fn the_messages_have_the_texts_that_servers_compare() {
    assert_eq!(
        PortainerError::Missing.to_string(),
        "Missing request signature headers"
    );
    let other = PortainerError::OtherKey {
        shown: "ab".to_owned(),
    };
    for error in [PortainerError::BadSignature, other] {
        assert_eq!(error.to_string(), "Invalid request signature");
        assert!(!error.details().is_empty());
    }
}

#[test]
fn debug_shows_no_message() {
    let shown = format!("{:?}", Message::secret(b"a shared secret"));
    assert_eq!(shown, "Message(..)");
}

proptest! {
    #[test]
    fn no_key_and_no_signature_make_it_panic(key in "[0-9a-f]{0,200}", point in "[0-9a-f]{130}", signature in "[A-Za-z0-9+/=]{0,100}") {
        let prefix = &KEY[..52];
        for key in [key, format!("{prefix}{point}")] {
            let outcome = verified(&key, &signature, &Message::application());
            prop_assert!(outcome.is_err());
        }
    }

    #[test]
    fn a_signature_with_a_changed_bit_is_refused(bit in 0_usize..512) {
        let mut bytes = STANDARD_NO_PAD.decode(base64(OVER_APPLICATION)).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = STANDARD_NO_PAD.encode(bytes);
        prop_assert!(verified(KEY, &changed, &Message::application()).is_err());
    }

    #[test]
    fn no_text_of_a_file_makes_it_panic(text in "(-----BEGIN |PUBLIC KEY-----|-----END|[A-Za-z0-9+/=\n -é]){0,40}") {
        let _ = PublicKey::from_text(&text);
    }
}
