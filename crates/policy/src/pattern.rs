//! One string of a policy with its wildcards, escapes and policy variables.
//!
//! `*` is any run of characters, the empty one and `/` included; `?` is one character; `+` and `#` are themselves
//! (Developer Guide, "Using wildcard characters in MQTT and AWS IoT Core policies"). `${*}`, `${?}` and `${$}` are the
//! characters themselves (IAM User Guide, "Policy variables"). What replaces a variable is literal text: a wildcard
//! inside a value matches only itself.
//!
//! Matching takes at most the product of the lengths of pattern and text, and no memory: between two `*` the
//! leftmost match is as good as any other, so nothing is ever tried twice.

use std::borrow::Cow;

use crate::variable::Variable;

/// Which of the special forms a string may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// `*` and `?`.
    pub(crate) wildcards: bool,
    /// `${name}` and the escapes: not before policy version 2012-10-17.
    pub(crate) variables: bool,
}

/// A compiled string.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Anything,
    Literal(Box<str>),
    Prefix(Box<str>),
    /// The parts between the runs of `*`; a single chunk means that there is no `*`.
    Chunks(Box<[Chunk]>),
}

type Chunk = Box<[Token]>;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Literal(Box<str>),
    Variable(Variable),
    AnyCharacter,
}

impl Pattern {
    /// Compiles `source`.
    ///
    /// The error is a sentence about the first `${` that is not closed or has nothing inside.
    pub(crate) fn compile(source: &str, dialect: Dialect) -> Result<Pattern, String> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut tokens: Vec<Token> = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(character) = rest.chars().next() {
            let special = if dialect.variables && rest.starts_with("${") {
                let end = rest.find('}').ok_or_else(|| {
                    format!("\"{rest}\" opens a policy variable that is not closed; write ${{name}}, or ${{$}} for a dollar sign")
                })?;
                let name = &rest[2..end];
                rest = &rest[end + 1..];
                match name {
                    "" => {
                        return Err(
                            "\"${}\" names no policy variable; write one such as ${iot:ClientId}".to_owned()
                        );
                    }
                    "*" | "?" | "$" => {
                        literal.push_str(name);
                        continue;
                    }
                    name => Some(Token::Variable(Variable::new(name))),
                }
            } else {
                rest = &rest[character.len_utf8()..];
                match character {
                    '*' if dialect.wildcards => None,
                    '?' if dialect.wildcards => Some(Token::AnyCharacter),
                    character => {
                        literal.push(character);
                        continue;
                    }
                }
            };
            if !literal.is_empty() {
                tokens.push(Token::Literal(std::mem::take(&mut literal).into()));
            }
            match special {
                Some(token) => tokens.push(token),
                None => chunks.push(std::mem::take(&mut tokens).into()),
            }
        }
        if !literal.is_empty() {
            tokens.push(Token::Literal(literal.into()));
        }
        chunks.push(tokens.into());
        Ok(Pattern { kind: Kind::new(chunks) })
    }

    /// Returns whether the whole of `text` is matched. A variable that `resolve` has no value for matches nothing.
    pub(crate) fn matches<'v, R>(&self, text: &str, resolve: &R) -> bool
    where
        R: Fn(&Variable) -> Option<Cow<'v, str>>,
    {
        match &self.kind {
            Kind::Anything => true,
            Kind::Literal(literal) => **literal == *text,
            Kind::Prefix(prefix) => text.starts_with(&**prefix),
            Kind::Chunks(chunks) => match &**chunks {
                [] => text.is_empty(),
                [only] => after_chunk(only, text, resolve).is_some_and(str::is_empty),
                [first, middle @ .., last] => after_chunk(first, text, resolve)
                    .and_then(|rest| before_chunk(last, rest, resolve))
                    .is_some_and(|rest| has_in_order(middle, rest, resolve)),
            },
        }
    }

    /// Returns `true` if every text that begins with `prefix` is matched; `false` if it is not or that is not known.
    pub(crate) fn covers(&self, prefix: &str) -> bool {
        match &self.kind {
            Kind::Anything => true,
            Kind::Prefix(own) => prefix.starts_with(&**own),
            Kind::Literal(_) | Kind::Chunks(_) => false,
        }
    }

    /// The variables in it, in the order written.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let chunks: &[Chunk] = if let Kind::Chunks(chunks) = &self.kind { chunks } else { &[] };
        chunks.iter().flat_map(|chunk| chunk.iter()).filter_map(|token| match token {
            Token::Variable(variable) => Some(variable),
            Token::Literal(_) | Token::AnyCharacter => None,
        })
    }

    /// The text that a pattern without wildcards stands for; none where a variable has no value.
    pub(crate) fn text<'a, 'v, R>(&'a self, resolve: &R) -> Option<Cow<'a, str>>
    where
        R: Fn(&Variable) -> Option<Cow<'v, str>>,
    {
        match &self.kind {
            Kind::Literal(literal) => Some(Cow::Borrowed(literal)),
            Kind::Chunks(chunks) if chunks.len() == 1 => {
                let mut text = String::new();
                for token in &chunks[0] {
                    match token {
                        Token::Literal(literal) => text.push_str(literal),
                        Token::Variable(variable) => text.push_str(&resolve(variable)?),
                        Token::AnyCharacter => return None,
                    }
                }
                Some(Cow::Owned(text))
            }
            Kind::Anything | Kind::Prefix(_) | Kind::Chunks(_) => None,
        }
    }
}

impl Kind {
    fn new(mut chunks: Vec<Chunk>) -> Kind {
        // `**` is `*`: an empty chunk in the middle is left out.
        let last = chunks.len() - 1;
        let mut index = 0;
        chunks.retain(|chunk| {
            let keep = index == 0 || index == last || !chunk.is_empty();
            index += 1;
            keep
        });
        match chunks.as_slice() {
            [only] if only.is_empty() => Kind::Literal("".into()),
            [first, last] if first.is_empty() && last.is_empty() => Kind::Anything,
            [first, rest @ ..] => match (&**first, rest) {
                ([Token::Literal(literal)], []) => Kind::Literal(literal.clone()),
                ([Token::Literal(prefix)], [last]) if last.is_empty() => Kind::Prefix(prefix.clone()),
                _ => Kind::Chunks(chunks.into()),
            },
            [] => Kind::Chunks(chunks.into()),
        }
    }
}

/// What is left of `text` after `chunk` at its beginning.
fn after_chunk<'t, 'v, R>(chunk: &[Token], text: &'t str, resolve: &R) -> Option<&'t str>
where
    R: Fn(&Variable) -> Option<Cow<'v, str>>,
{
    chunk.iter().try_fold(text, |rest, token| match token {
        Token::Literal(literal) => rest.strip_prefix(&**literal),
        Token::Variable(variable) => rest.strip_prefix(&*resolve(variable)?),
        Token::AnyCharacter => rest.chars().next().map(|character| &rest[character.len_utf8()..]),
    })
}

/// What is left of `text` before `chunk` at its end.
fn before_chunk<'t, 'v, R>(chunk: &[Token], text: &'t str, resolve: &R) -> Option<&'t str>
where
    R: Fn(&Variable) -> Option<Cow<'v, str>>,
{
    chunk.iter().rev().try_fold(text, |rest, token| match token {
        Token::Literal(literal) => rest.strip_suffix(&**literal),
        Token::Variable(variable) => rest.strip_suffix(&*resolve(variable)?),
        Token::AnyCharacter => {
            rest.chars().next_back().map(|character| &rest[..rest.len() - character.len_utf8()])
        }
    })
}

/// Whether the chunks occur in `text`, one after the other, with anything between.
fn has_in_order<'v, R>(chunks: &[Chunk], text: &str, resolve: &R) -> bool
where
    R: Fn(&Variable) -> Option<Cow<'v, str>>,
{
    let mut rest = text;
    for chunk in chunks {
        // What a chunk begins with takes the search from one candidate to the next.
        let start: Cow<'_, str> = match chunk.first() {
            Some(Token::Literal(literal)) => Cow::Borrowed(literal),
            Some(Token::Variable(variable)) => match resolve(variable) {
                Some(value) => value,
                None => return false,
            },
            Some(Token::AnyCharacter) | None => Cow::Borrowed(""),
        };
        loop {
            let Some(at) = rest.find(&*start) else { return false };
            rest = &rest[at..];
            if let Some(after) = after_chunk(chunk, rest, resolve) {
                rest = after;
                break;
            }
            let Some(character) = rest.chars().next() else { return false };
            rest = &rest[character.len_utf8()..];
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: Dialect = Dialect { wildcards: true, variables: true };

    fn values(variable: &Variable) -> Option<Cow<'static, str>> {
        match variable.name() {
            "v" => Some("ab".into()),
            "star" => Some("*".into()),
            "empty" => Some("".into()),
            _ => None,
        }
    }

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::compile(pattern, FULL).unwrap().matches(text, &values)
    }

    #[test]
    fn wildcards_match_as_documented() {
        for (pattern, text, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/", false),
            ("a/*", "a/b/c/d", true),
            ("a/*", "a/", true),
            ("a/*", "a", false),
            ("a*", "abc/x", true),
            ("*", "", true),
            ("a/??", "a/b1", true),
            ("a/??", "a/é🚀", true),
            ("a/??", "a/b", false),
            ("a/+", "a/b", false),
            ("a/+", "a/+", true),
            ("a/*/c", "a/x/c/c", true),
            ("a/*/c", "a/c", false),
            ("ab*ba", "aba", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a**b", "ab", true),
            ("", "", true),
            ("", "a", false),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn variables_are_literal_text_and_without_a_value_match_nothing() {
        for (pattern, text, expected) in [
            ("x/${v}/y", "x/ab/y", true),
            ("x/${v}*", "x/abc", true),
            ("*${v}*c", "xxaababxc", true),
            ("${star}", "*", true),
            ("${star}", "anything", false),
            ("a${empty}b", "ab", true),
            ("x/${nothing}", "x/${nothing}", false),
            ("*${nothing}*", "x", false),
            ("${v}${v}", "abab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn escapes_are_the_characters_themselves() {
        assert!(matches("a${*}", "a*"));
        assert!(!matches("a${*}", "ab"));
        assert!(matches("${?}${$}", "?$"));
        assert!(matches("${$}{x}", "${x}"));
    }

    #[test]
    fn a_dialect_leaves_what_it_does_not_know_as_text() {
        let old = Pattern::compile("${v}*", Dialect { wildcards: true, variables: false }).unwrap();
        assert!(old.matches("${v}/x", &values));
        let equals = Pattern::compile("a*?", Dialect { wildcards: false, variables: true }).unwrap();
        assert!(equals.matches("a*?", &values) && !equals.matches("abc", &values));
    }

    #[test]
    fn a_variable_that_is_open_or_empty_is_refused() {
        assert!(Pattern::compile("a/${iot:ClientId", FULL).unwrap_err().contains("not closed"));
        assert!(Pattern::compile("a/${}", FULL).unwrap_err().contains("names no policy variable"));
    }

    #[test]
    fn many_wildcards_against_a_long_text_stay_cheap() {
        let text = "a".repeat(60_000);
        assert!(!matches(&format!("{}*b*", "*a?".repeat(500)), &text));
        assert!(!matches(&format!("*{}b*", "a".repeat(500)), &text));
    }

    /// The definition, tried in every way.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], text) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            (['?', pattern @ ..], [_, text @ ..]) => naive(pattern, text),
            ([wanted, pattern @ ..], [found, text @ ..]) => wanted == found && naive(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_matcher_agrees_with_the_definition(pattern in "[abé*?]{0,9}", text in "[abé]{0,9}") {
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(matches(&pattern, &text), expected);
        }

        #[test]
        fn a_variable_matches_as_its_value_written_out(
            before in "[ab*?]{0,4}", after in "[ab*?]{0,4}", text in "[ab]{0,9}",
        ) {
            let written_out = matches(&format!("{before}ab{after}"), &text);
            prop_assert_eq!(matches(&format!("{before}${{v}}{after}"), &text), written_out);
        }

        #[test]
        fn compiling_never_panics(source in any::<String>()) {
            let _ = Pattern::compile(&source, FULL);
        }
    }
}
