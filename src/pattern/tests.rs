//! What RabbitMQ 4.0.5 answers is in `constructs.json`: each pattern with subjects, or with the text
//! and the position of its refusal.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const CONSTRUCTS: &str = include_str!("constructs.json");

/// Refused by PCRE 8, taken by PCRE2, which gives them a meaning.
const TAKEN: &[&str] = &[
    "\\p{Script=Greek}",
    "(?^i)a",
    "(?n)(a)",
    "(?a)a",
    "(*NOTEMPTY)a",
    "(*LIMIT_DEPTH=10)a",
    "(*LIMIT_HEAP=10)a",
    "(*atomic:a+)b",
    "(*pla:a)a",
    "(?C'x')a",
    "(?0)",
    "(?<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa>x)",
    "(?R)",
    "(?R)?a",
    "a|(?R)",
    "(a|(?1))b",
    "(?(VERSION>=10)a)",
    "(?^)a",
    "(?*a)",
    "(?<*a)",
    "\\g{+1}(a)",
    "\\g{ 1 }(a)",
    "\\x{ 61 }",
    "\\k{ n }(?<n>a)",
];
/// Refused by both in other words.
const OTHER_WORDS: &[&str] = &[
    "(?i",
    "(?",
    "(?<",
    "(?P",
    "(?P<",
    "(?<>a)",
    "(?(",
    "\\g",
    "\\g{",
    "\\g{0}",
    "\\g0",
    "\\x{",
    "\\o{",
    "\\pé",
    "(?(0)a)",
    "\\g{+2}(a)",
];
/// Taken by both, with another answer: PCRE2 goes back into a recursion.
const OTHER_ANSWER: &[&str] = &["^((.)(?1)\\2|.?)$"];
/// Taken by PCRE 8, refused here.
const REFUSED: &[&str] = &["(?X)a", "(?(R1)a)", "\\9", "\\8", "\\81", "\\c\u{1}", "(?-i-s)a"];

fn answers(entry: &Value) -> (String, Value) {
    let text = entry["pattern"].as_str().expect("a pattern").to_owned();
    let own = match Pattern::new(&text) {
        Err(error) => serde_json::json!([error.reason, error.position]),
        Ok(pattern) => {
            let subjects = entry["matches"].as_array().into_iter().flatten();
            let answer = |subject: &Value| {
                let subject = subject[0].as_str().expect("a subject");
                serde_json::json!([subject, pattern.find(subject).unwrap_or(false)])
            };
            subjects.map(answer).collect()
        }
    };
    (text, own)
}

#[test]
fn constructs_mean_what_they_mean_in_rabbitmq() {
    let entries: Vec<Value> = serde_json::from_str(CONSTRUCTS).expect("JSON");
    let mut moved = 0;
    let (mut taken, mut other_words, mut other_answer, mut refused) = (vec![], vec![], vec![], vec![]);
    for entry in &entries {
        let (text, own) = answers(entry);
        let is_refusal = own[0].is_string();
        let list = match (entry.get("error"), is_refusal) {
            (Some(_), false) => &mut taken,
            (Some(error), true) if error[0] != own[0] => {
                println!("{text:?}: RabbitMQ {error}, here {own}");
                &mut other_words
            }
            (Some(error), true) if *error != own => {
                moved += 1;
                continue;
            }
            (None, true) => {
                println!("{text:?}: refused here, {own}");
                &mut refused
            }
            (None, false) if entry["matches"] != own => {
                println!("{text:?}: RabbitMQ {}, here {own}", entry["matches"]);
                &mut other_answer
            }
            _ => continue,
        };
        list.push(text);
    }
    assert_eq!(
        (taken, other_words, other_answer),
        (own(TAKEN), own(OTHER_WORDS), own(OTHER_ANSWER))
    );
    assert_eq!(refused, own(REFUSED));
    assert!(moved <= 41, "{moved} refusals name another place");
    assert!(entries.len() > 400);
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

const PIECES: &[&str] = &[
    "a", "b", "é", "A", ".", "-", "{", "}", "]", " ", "\n", "\\.", "\\$", "\\d", "\\w", "\\W", "\\s", "\\S", "[ab]",
    "[^a]", "[a-c]", "[é]", "[^é]", "[\\w-]", "[.-]", "[^\\d.]", "[A-z]", "(a|b)", "(?:ab|)", "(|b)", "(", ")", "(?:",
    "|", "^", "$", "*", "+", "?", "{2}", "{1,2}", "{0,}", "{,2}", "{x", "(?i)", "\\b", "(?!a)", "\\x41",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_linear_engine_gives_the_answers_of_pcre(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..9),
        subject in "[ab.é \n1A_-]{0,7}",
        ignored in any::<bool>(),
    ) {
        let pattern = pieces.concat();
        let case = if ignored { Case::Ignored } else { Case::Matters };
        if let Ok(code) = pcre::Code::compile(pattern.as_bytes(), case)
            && let Some(regex) = linear::regex(pattern.as_bytes(), case)
        {
            prop_assert_eq!(Ok(regex.is_match(subject.as_bytes())), code.find(subject.as_bytes(), Bound::Most), "{:?} {}", pattern, regex);
        }
    }

    #[test]
    fn no_text_breaks_the_engines(pattern in "\\PC{0,24}", subject in "\\PC{0,40}") {
        if let Ok(pattern) = Pattern::new(&pattern) {
            let _ = pattern.find(&subject);
        }
    }
}

#[test]
fn common_patterns_take_linear_time() {
    for text in [
        "",
        ".*",
        "^$",
        "^amq\\.",
        "^(amq\\.|app-).*$",
        "^[a-zA-Z0-9_-]{1,64}$",
        "orders|payments",
        "^v\\d+\\.(eu|us)\\.[^.]+$",
        "(?i)^Orders",
        "^caf\u{e9}$",
        "^a$|^b$",
        "^(a|b$)",
    ] {
        let pattern = Pattern::new(text).expect("a pattern");
        assert!(matches!(pattern.0.engine, Engine::Linear(_)), "{text}");
    }
    for text in [
        "^(?!amq\\.)",
        "(a)\\1",
        "(?>a+)b",
        "(a$)\n",
        "\\bfoo",
        "(?i)caf\u{e9}",
        "$^",
    ] {
        let pattern = Pattern::new(text).expect("a pattern");
        assert!(matches!(pattern.0.engine, Engine::Backtracking(..)), "{text}");
    }
}

#[test]
fn a_match_that_takes_too_many_steps_is_none() {
    let slow = Pattern::new("^(?=a)(a|aa)+$").expect("a pattern");
    let subject = format!("{}b", "a".repeat(200));
    assert_eq!(slow.find(&subject), Err(TooManySteps));
    assert!(!slow.matches(&subject));
    assert!(slow.matches("aaa"));
}

#[test]
fn two_loops_over_the_longest_name_are_not_too_many_steps() {
    let pattern = Pattern::new("^(?!.*x.*y).*$").expect("a pattern");
    assert_eq!(pattern.find(&"x".repeat(255)), Ok(true));
    let pattern = Pattern::new("(?=a).*.*b").expect("a pattern");
    assert_eq!(pattern.find(&"a".repeat(255)), Ok(false));
}

#[test]
fn names_are_escaped_whatever_is_in_them() {
    for name in ["a.b", "a+b(c)[d]{e}|f^g$h\\i", "#&~-<>\"' ", "caf\u{e9}", "\\Qa\\E"] {
        let pattern = Pattern::new(&format!("^{}\\z", escaped(name))).expect("a pattern");
        assert!(pattern.matches(name), "{name}");
    }
    assert!(!Pattern::new(&escaped("a.b")).expect("a pattern").matches("axb"));
}

#[test]
fn a_refusal_is_broken_where_erlang_breaks_it() {
    let refusal = |text: &str| Pattern::new(text).expect_err(text);
    let column = "pattern should be regular expression but is invalid: ".len();
    assert_eq!(refusal("(").in_column(column), "{\"missing )\",1}");
    assert_eq!(
        refusal("\u{e9}\\").in_column(column),
        format!("{{\"\\\\ at end of pattern\",\n{}3}}", " ".repeat(54))
    );
    let at = |position: usize| {
        let pattern = format!("{}**", "a".repeat(position - 1));
        refusal(&pattern).in_column(column)
    };
    assert_eq!(at(100), "{\"nothing to repeat\",100}");
    assert_eq!(at(1000), format!("{{\"nothing to repeat\",\n{}1000}}", " ".repeat(54)));
}
