use proptest::prelude::*;
use regex_lite::Regex;

use crate::settings::{CustomPii, Pii, PiiAction, PiiKind};
use crate::{Edit, Verdict};

use super::{MAX_RESTORED_BYTES, Masks, PiiMatch, detect, undecided_bytes};

const ALL: [PiiKind; 6] = [
    PiiKind::Email,
    PiiKind::Phone,
    PiiKind::ChineseId,
    PiiKind::Card,
    PiiKind::Address,
    PiiKind::ApiKey,
];

fn pii(action: PiiAction) -> Pii {
    Pii { detect: ALL.to_vec(), custom: Vec::new(), action, restore: true }
}

fn custom(name: &str, pattern: &str, replacement: Option<&str>) -> CustomPii {
    let replacement = replacement.map(str::to_owned);
    CustomPii { name: name.to_owned(), pattern: Regex::new(pattern).unwrap(), replacement }
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut edited = text.to_owned();
    for edit in edits.iter().rev() {
        edited.replace_range(edit.at.clone(), &edit.text);
    }
    edited
}

/// Returns the masked text.
fn masked(masks: &mut Masks, pii: &Pii, text: &str) -> String {
    match masks.mask(pii, text) {
        Verdict::Mask(edits, _) => edited(text, &edits),
        Verdict::Pass => text.to_owned(),
        Verdict::Block(_) | Verdict::TooMany => panic!("{text} must not pass"),
    }
}

/// Asserts the findings in a text, as `kind text`.
#[track_caller]
fn assert_detected(text: &str, expected: &[&str]) {
    let pii = pii(PiiAction::Replace);
    let show = |found: PiiMatch| format!("{} {}", found.detector.label(&pii), &text[found.at]);
    let found: Vec<String> = detect(&pii, text).expect("few").into_iter().map(show).collect();
    assert_eq!(found, expected, "in {text:?}");
}

#[test]
fn near_misses_are_not_detected() {
    // IP addresses
    assert_detected("version 1.2.3.4.5, v1.2.3.4, 256.1.1.1, 1.2.3, 01.2.3.4, 1.2.3.4a", &[]);
    assert_detected(
        "12:34:56, 00:1a:2b:3c:4d:5e, std::string, a::b, ::, crate::fmt, 1:2:3:4:5:6:7",
        &[],
    );
    // Timestamps, order numbers, decimals, identifiers
    assert_detected("1718000000000 1718000000000000 20240131123456 2024-01-31T12:34:56", &[]);
    assert_detected("3.13800138000 13800138000.5 138001380001 x13800138000 13800138000_1", &[]);
    assert_detected(
        "550e8400-e29b-41d4-a716-446655440000 12345678-1234-1234-1234-123456789012",
        &[],
    );
    assert_detected(
        "2025551234, 123-212-555-1234, 212-555-1234-9, 212-555 1234, 112-555-1234",
        &[],
    );
    assert_detected("12800138000 1380013800 +1234567 1+12345678 ++12345678 +12345678.5", &[]);
    // Wrong check digit, impossible date
    assert_detected("110105194912310021 110105194902300021 11010519491231002", &[]);
    assert_detected(
        "4111 1111 1111 1112, 4111-1111 1111-1111, 4111 1111 1111 1111 1",
        &["card 4111 1111 1111 1111"],
    );
    assert_detected("1234567812345670 0000000000000000 4111-1111-1111-1111-1", &[]);
    // E-mail addresses
    assert_detected(
        "@user, user@localhost, a@b.c, a@-x.com, @x.com, .@x.com, user@, user@1.2.3",
        &[],
    );
    // API keys
    assert_detected("sk-learn-is-a-library-for-python, sk-12345, task-1234567890abcdefghij", &[]);
    assert_detected("AKIAIOSFODNN7EXAMPL AKIAIOSFODNN7EXAMPLEX eyJhbGciOiJIUzI1NiJ9.eyJz.abc", &[]);
}

#[test]
fn data_of_each_kind_are_detected() {
    assert_detected(
        "mail admin@gmail.com, or bob+x@mail.example.co.uk.",
        &["email admin@gmail.com", "email bob+x@mail.example.co.uk"],
    );
    assert_detected(
        "邮箱admin@gmail.com电话13800138000。",
        &["email admin@gmail.com", "phone 13800138000"],
    );
    assert_detected(
        "<a@b.com-> 'c@d.io' e@f.com.1",
        &["email a@b.com", "email c@d.io", "email e@f.com"],
    );
    assert_detected("13800138000@qq.com", &["email 13800138000@qq.com"]);
    assert_detected(
        "138 0013 8000, 138-0013-8000, 13800138000-13900139000",
        &["phone 138 0013 8000", "phone 138-0013-8000", "phone 13800138000", "phone 13900139000"],
    );
    assert_detected(
        "+86 13800138000 (+86)13800138000 8613800138000 86-13800138000 0086 138 0013 8000",
        &[
            "phone +86 13800138000",
            "phone +86)13800138000",
            "phone 8613800138000",
            "phone 86-13800138000",
            "phone 0086 138 0013 8000",
        ],
    );
    assert_detected(
        "010-12345678 0755-1234567 +86 10 1234 5678",
        &["phone 010-12345678", "phone 0755-1234567", "phone +86 10 1234 5678"],
    );
    assert_detected(
        "212-555-1234, (212) 555-1234, (212)555.1234, 1-212-555-1234, 1-(212) 555-1234.",
        &[
            "phone 212-555-1234",
            "phone (212) 555-1234",
            "phone (212)555.1234",
            "phone 1-212-555-1234",
            "phone 1-(212) 555-1234",
        ],
    );
    assert_detected(
        "862-555-1234 +1 (212) 555-1234, +12125551234 tel:+44 (0)20 7946 0958.",
        &[
            "phone 862-555-1234",
            "phone +1 (212) 555-1234",
            "phone +12125551234",
            "phone +44 (0)20 7946 0958",
        ],
    );
    assert_detected(
        "身份证11010519491231002X，11010519491231002x 310101200002291239",
        &["cn_id 11010519491231002X", "cn_id 11010519491231002x"],
    );
    assert_detected(
        "4111111111111111 5500-0000-0000-0004 3782 822463 10005 30569309025904",
        &[
            "card 4111111111111111",
            "card 5500-0000-0000-0004",
            "card 3782 822463 10005",
            "card 30569309025904",
        ],
    );
    assert_detected(
        "127.0.0.1:8080, 10.0.0.0/8 在192.168.0.1上 255.255.255.255.",
        &["ip 127.0.0.1", "ip 10.0.0.0", "ip 192.168.0.1", "ip 255.255.255.255"],
    );
    assert_detected(
        "http://[2001:db8::1]:80 ::1 fe80::1: ::ffff:10.0.0.1. 1:2:3:4:5:6:7:8",
        &["ip 2001:db8::1", "ip ::1", "ip fe80::1", "ip ::ffff:10.0.0.1", "ip 1:2:3:4:5:6:7:8"],
    );
    assert_detected(
        "sk-proj-abcdefghij1234567890, sk-ant-api03-AbCdEfGh1234-_5678 AKIAIOSFODNN7EXAMPLE",
        &[
            "api_key sk-proj-abcdefghij1234567890",
            "api_key sk-ant-api03-AbCdEfGh1234-_5678",
            "api_key AKIAIOSFODNN7EXAMPLE",
        ],
    );
    assert_detected(
        "token=ghp_abcdefghijklmnopqrstuvwxyz0123456789&x",
        &["api_key ghp_abcdefghijklmnopqrstuvwxyz0123456789"],
    );
    assert_detected(
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN-Hl0w5",
        &["api_key eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN-Hl0w5"],
    );
}

#[test]
fn longest_of_overlapping_findings_is_masked() {
    let mut pii = pii(PiiAction::Replace);
    pii.custom.push(custom("order", r"NO-\d+", None));
    pii.custom.push(custom("staff-mail", r"\w+@corp\.com", Some("<staff>")));
    let mut masks = Masks::default();
    assert_eq!(masked(&mut masks, &pii, "NO-13800138000 bob@corp.com"), "[ORDER_1] <staff>");
    assert_eq!(masked(&mut masks, &pii, "x.bob@corp.com"), "[EMAIL_1]");
}

#[test]
fn same_datum_gets_same_placeholder() {
    let (pii, mut masks) = (pii(PiiAction::Replace), Masks::default());
    let text = "a@b.io 1.1.1.1 c@d.io a@b.io";
    assert_eq!(masked(&mut masks, &pii, text), "[EMAIL_1] [IP_1] [EMAIL_2] [EMAIL_1]");
    assert_eq!(masked(&mut masks, &pii, "c@d.io"), "[EMAIL_2]");
    // A text that is not exactly a mask stays.
    let answer = "[EMAIL_2] [EMAIL_1 [email_1] [EMAIL_3] [EMAIL_11] [[IP_1]]";
    let restored = "c@d.io [EMAIL_1 [email_1] [EMAIL_3] [EMAIL_11] [1.1.1.1]";
    assert_eq!(edited(answer, &masks.restore(answer, MAX_RESTORED_BYTES)), restored);
}

#[test]
fn placeholders_of_caller_are_avoided() {
    let (pii, mut masks) = (pii(PiiAction::Replace), Masks::default());
    masks.reserve_placeholders("what is [EMAIL_2]?");
    assert_eq!(
        masked(&mut masks, &pii, "[EMAIL_1]: a@b.io c@d.io"),
        "[EMAIL_1]: [EMAIL_3] [EMAIL_4]"
    );
    assert_eq!(masks.restore("[EMAIL_1] [EMAIL_2]", MAX_RESTORED_BYTES), []);
    // Masks of another guard do not prevent restoring.
    assert_eq!(masked(&mut masks, &pii, "[EMAIL_3]"), "[EMAIL_3]");
    assert_eq!(edited("[EMAIL_3]", &masks.restore("[EMAIL_3]", MAX_RESTORED_BYTES)), "a@b.io");
}

#[test]
fn refused_data_block_and_unrestored_masks_stay() {
    let mut pii = pii(PiiAction::Refuse);
    let Verdict::Block(findings) = Masks::default().mask(&pii, "a@b.io c@d.io 1.1.1.1") else {
        panic!("it may pass");
    };
    let labels: Vec<&str> = findings.iter().map(|finding| finding.label.as_str()).collect();
    assert_eq!(labels, ["email", "ip"]);
    (pii.action, pii.restore) = (PiiAction::Replace, false);
    let mut masks = Masks::default();
    assert_eq!(masked(&mut masks, &pii, "a@b.io"), "[EMAIL_1]");
    assert_eq!(masks.restore("[EMAIL_1]", MAX_RESTORED_BYTES), []);
    assert_eq!(masks.mask(&pii, "nothing"), Verdict::Pass);
}

/// Asserts the masked text of one long datum, and that its mask stays in an answer.
#[track_caller]
fn assert_not_restored(pii: &Pii, datum: &str, mask: &str) {
    let mut masks = Masks::default();
    let asked = format!("{datum} and {datum}");
    assert_eq!(masked(&mut masks, pii, &asked), format!("{mask} and {mask}"));
    assert_eq!(masks.restore(mask, MAX_RESTORED_BYTES), []);
}

#[test]
fn long_datum_or_mask_is_not_restored() {
    let mut pii = pii(PiiAction::Replace);
    let key = |length: usize| format!("sk-a1{}", "a".repeat(length - 5));
    assert_not_restored(&pii, &key(1_025), "[API_KEY_1]");
    assert_not_restored(&pii, &key(1 << 20), "[API_KEY_1]");
    let mut masks = Masks::default();
    masked(&mut masks, &pii, &key(1_024));
    assert_eq!(
        edited("[API_KEY_1]", &masks.restore("[API_KEY_1]", MAX_RESTORED_BYTES)),
        key(1_024)
    );
    pii.custom.push(custom("echo", "<([a-z]+)>", Some("($1)")));
    let long = "a".repeat(255);
    assert_not_restored(&pii, &format!("<{long}>"), &format!("({long})"));
    // A mask that also stands for a long datum is ambiguous.
    pii.custom.push(custom("word", "#[a-z]+", Some("#")));
    let mut masks = Masks::default();
    assert_eq!(masked(&mut masks, &pii, &format!("#a #{}", "b".repeat(2_000))), "# #");
    assert_eq!(masks.restore("#", MAX_RESTORED_BYTES), []);
}

#[test]
fn restored_data_are_bounded() {
    let (pii, mut masks) = (pii(PiiAction::Replace), Masks::default());
    let key = format!("sk-a1{}", "a".repeat(995));
    masked(&mut masks, &pii, &key);
    let answer = "[API_KEY_1]".repeat(300);
    for (max, expected) in [(0, 0), (999, 0), (1_000, 1), (25_999, 25), (MAX_RESTORED_BYTES, 262)] {
        assert_eq!(masks.restore(&answer, max).len(), expected, "{max}");
    }
}

#[test]
fn text_with_too_many_findings_does_not_pass() {
    let mut pii = pii(PiiAction::Replace);
    let addresses = |count: usize| (0..count).map(|at| format!("a{at}@b.co ")).collect::<String>();
    let mask = |pii: &Pii, text: &str| Masks::default().mask(pii, text);
    assert!(
        matches!(mask(&pii, &addresses(10_000)), Verdict::Mask(edits, _) if edits.len() == 10_000)
    );
    assert_eq!(mask(&pii, &addresses(10_001)), Verdict::TooMany);
    pii.detect.clear();
    pii.custom.push(custom("digit", "[0-9]", None));
    assert!(matches!(mask(&pii, &"1 ".repeat(4_000)), Verdict::Mask(..)));
    assert_eq!(mask(&pii, &"1 ".repeat(10_001)), Verdict::TooMany);
}

#[test]
fn masks_beyond_the_bound_have_no_number() {
    let (pii, mut masks) = (pii(PiiAction::Replace), Masks::default());
    for block in 0..2 {
        let text: String = (0..5_000).map(|at| format!("a{block}x{at}@b.co ")).collect();
        masked(&mut masks, &pii, &text);
    }
    assert_eq!(masked(&mut masks, &pii, "a0x0@b.co more@b.co"), "[EMAIL_1] [EMAIL]");
    assert_eq!(masks.restore("[EMAIL]", MAX_RESTORED_BYTES), []);
    let mut masks = Masks::default();
    let reserved: String = (0..10_001).map(|at| format!("[EMAIL_{at}]")).collect();
    masks.reserve_placeholders(&reserved);
    assert_eq!(masks.mask(&pii, "nothing"), Verdict::Pass);
    assert_eq!(masks.mask(&pii, "a@b.co"), Verdict::TooMany);
}

#[test]
fn custom_pattern_finds_matches_anywhere_in_a_long_text() {
    let mut pii = pii(PiiAction::Replace);
    pii.detect.clear();
    pii.custom.push(custom("block", r"BEGIN[\s\S]*?END", Some("*")));
    pii.custom.push(custom("line", r"(?m)^secret$", Some("-")));
    let block = format!("BEGIN{}END", "é".repeat(2_000));
    for before in [0, 1, 100, 4_090, 4_095, 4_096, 4_100, 8_190, 8_192, 12_345, 50_000] {
        let text = format!("{}\n{block}\nsecret\nsecrets", "é".repeat(before));
        let expected = format!("{}\n*\n-\nsecrets", "é".repeat(before));
        assert_eq!(masked(&mut Masks::default(), &pii, &text), expected, "{before}");
    }
}

/// Masking cases (c.3) of the reference implementation.
#[test]
fn reference_cases_are_masked() {
    let mut pii = pii(PiiAction::Hash);
    pii.detect.clear();
    let mail = r"[a-zA-Z0-9_.+=:-]+@(?<domain>\w+(?:\.\w+)+)";
    pii.custom.push(custom("email-address", mail, Some("****@$domain")));
    pii.custom.push(custom("address", r"\d+\.\d+\.\d+\.\d+", Some("***.***.***.***")));
    pii.custom.push(custom("key", "sk-[0-9a-zA-Z]*", None));
    let hash = "c11e7177eb60c80cf983ddf8ca98f2dc1272d4c612204ce9bedd2460b18939cc";
    for (address, mail) in [("127.0.0.1", "admin@gmail.com"), ("192.168.0.1", "root@gmail.com")] {
        let mut masks = Masks::default();
        let asked = masked(&mut masks, &pii, &format!("{address} {mail} sk-12345"));
        assert_eq!(asked, format!("***.***.***.*** ****@gmail.com {hash}"));
        let answer = format!("***.***.***.*** {hash} ****@gmail.com");
        let restored = edited(&answer, &masks.restore(&answer, MAX_RESTORED_BYTES));
        assert_eq!(restored, format!("{address} sk-12345 {mail}"));
    }
    // Two data with one mask: the mask cannot be restored.
    let mut masks = Masks::default();
    let asked = masked(&mut masks, &pii, "1.1.1.1 2.2.2.2 a@b.io");
    assert_eq!(asked, "***.***.***.*** ***.***.***.*** ****@b.io");
    assert_eq!(
        edited(&asked, &masks.restore(&asked, MAX_RESTORED_BYTES)),
        "***.***.***.*** ***.***.***.*** a@b.io"
    );
}

/// Texts of data, parts of data, and separators.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("admin@gmail.com"),
        Just("c@d.io"),
        Just("13800138000"),
        Just("+86 138 0013 8000"),
        Just("(212) 555-1234"),
        Just("+44 20 7946 0958"),
        Just("11010519491231002X"),
        Just("4111 1111 1111 1111"),
        Just("6011111111111117"),
        Just("127.0.0.1"),
        Just("2001:db8::1"),
        Just("sk-proj-abcdefghij1234567890"),
        Just("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN"),
        Just("AKIAIOSFODNN7EXAMPLE"),
        Just("[EMAIL_"),
        Just("[CARD_1"),
    ];
    let piece = prop_oneof![piece.prop_map(str::to_owned), "[ .:@+()\\[\\]_0-9a-f*微-]{0,4}"];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn masked_text_has_no_findings_and_is_restored(text in text()) {
        let (pii, mut masks) = (pii(PiiAction::Replace), Masks::default());
        let asked = masked(&mut masks, &pii, &text);
        prop_assert_eq!(detect(&pii, &asked), Some(vec![]), "left in {:?}", asked);
        prop_assert_eq!(edited(&asked, &masks.restore(&asked, MAX_RESTORED_BYTES)), text);
    }

    /// An answer in any number of pieces is restored like the whole answer.
    #[test]
    fn answer_under_any_split_is_restored(text in text(), cuts in "[.|]{0,64}", hash in any::<bool>()) {
        let action = if hash { PiiAction::Hash } else { PiiAction::Replace };
        let (mut pii, mut masks) = (pii(action), Masks::default());
        pii.custom.push(custom("star", r"微", Some("**")));
        pii.custom.push(custom("stars", r"\+", Some("***")));
        let answer = masked(&mut masks, &pii, &text);
        let (mut shown, mut buffer, mut cuts) = (String::new(), String::new(), cuts.chars());
        for character in answer.chars() {
            buffer.push(character);
            if cuts.next() == Some('|') {
                let ready = buffer.len() - masks.undecided_bytes(&buffer);
                shown += &edited(&buffer[..ready], &masks.restore(&buffer[..ready], MAX_RESTORED_BYTES));
                buffer.drain(..ready);
            }
        }
        shown += &edited(&buffer, &masks.restore(&buffer, MAX_RESTORED_BYTES));
        prop_assert_eq!(shown, edited(&answer, &masks.restore(&answer, MAX_RESTORED_BYTES)));
    }

    /// Decided findings of an incomplete text are those of the whole text.
    #[test]
    fn decided_findings_do_not_change_with_more_text(text in text(), cut in 0_usize..64) {
        let pii = pii(PiiAction::Replace);
        let part = &text[..text.floor_char_boundary(cut)];
        let decided = part.len() - undecided_bytes(part);
        let before = |text: &str| -> Vec<PiiMatch> {
            { detect(&pii, text).expect("few") }.into_iter().filter(|found| found.at.start < decided).collect()
        };
        prop_assert_eq!(before(part), before(&text));
        prop_assert!(before(&text).iter().all(|found| found.at.end <= decided));
    }
}
