//! Questions to a directory, as RabbitMQ's LDAP plug-in has them: Erlang terms.
//!
//! ```text
//! {for, [{permission, configure, {in_group, "cn=admins,dc=example"}},
//!        {permission, write,     {'or', [{match, {string, "${name}"}, {string, "^${username}-"}}, {constant, false}]}},
//!        {permission, read,      {constant, true}}]}
//! ```
//! Read here, so that a query that is none is found when the node starts; asked by [`crate::backends`].

use super::erlang::{self, Term};

/// A question with yes or no for an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    Constant(bool),
    /// There is an object of that name.
    Exists(String),
    /// The object of that name has the user for one of the values of an attribute.
    InGroup {
        dn: String,
        attribute: String,
    },
    /// The same of a group, or of one that is in it.
    InGroupNested {
        dn: String,
        attribute: String,
        one_level: bool,
    },
    /// A text matches a regular expression.
    Match(Text, Text),
    Equals(Text, Text),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    /// The first whose variable has the value.
    For(Vec<Case>),
}

/// A variable, its value, and what is asked then.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub variable: String,
    pub value: String,
    pub query: Query,
}

/// What gives a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// With `${variables}`.
    Pattern(String),
    /// The values of an attribute.
    Attribute { dn: String, name: String },
}

/// A tag, and who has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TagQuery {
    pub tag: String,
    pub query: Query,
}

/// Where a term is no query, and what would be one.
#[derive(Debug, PartialEq)]
pub struct NoQuery {
    /// In the term; `None` where it cannot be said.
    pub line: Option<usize>,
    pub expected: String,
}

/// No more than this would be asked of a user that did not set it: everything goes.
impl Default for Query {
    fn default() -> Self {
        Self::Constant(true)
    }
}

impl Query {
    /// Reads the text of a term.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NoQuery> {
        Self::of(&term(text)?)
    }

    /// Reads a term.
    ///
    /// # Errors
    /// When it is no query.
    pub fn of(term: &Term) -> Result<Self, NoQuery> {
        let (name, rest) = tuple(term)?;
        let attribute = |at: usize| rest.get(at).map_or(Ok("member".to_owned()), text);
        match (name, rest) {
            ("constant", [Term::Atom(word)]) if word == "true" || word == "false" => Ok(Self::Constant(word == "true")),
            ("exists", [dn]) => Ok(Self::Exists(text(dn)?)),
            ("in_group", [dn] | [dn, _]) => Ok(Self::InGroup {
                dn: text(dn)?,
                attribute: attribute(1)?,
            }),
            ("in_group_nested", [dn] | [dn, _] | [dn, _, _]) => Ok(Self::InGroupNested {
                dn: text(dn)?,
                attribute: attribute(1)?,
                one_level: match rest.get(2) {
                    None => false,
                    Some(Term::Atom(scope)) if scope == "subtree" => false,
                    Some(Term::Atom(scope)) if scope == "singlelevel" || scope == "single_level" => true,
                    Some(_) => {
                        return Err(wrong(
                            term,
                            "'subtree' or 'singlelevel' as the scope of in_group_nested",
                        ));
                    }
                },
            }),
            ("match", [value, pattern]) => Ok(Self::Match(Text::of(value)?, Text::of(pattern)?)),
            ("equals", [one, other]) => Ok(Self::Equals(Text::of(one)?, Text::of(other)?)),
            ("not", [query]) => Ok(Self::Not(Box::new(Self::of(query)?))),
            ("and", [Term::List(queries)]) => Ok(Self::And(queries.iter().map(Self::of).collect::<Result<_, _>>()?)),
            ("or", [Term::List(queries)]) => Ok(Self::Or(queries.iter().map(Self::of).collect::<Result<_, _>>()?)),
            ("for", [Term::List(cases)]) => Ok(Self::For(cases.iter().map(case).collect::<Result<_, _>>()?)),
            _ => Err(wrong(term, QUERIES)),
        }
    }
}

impl Text {
    fn of(term: &Term) -> Result<Self, NoQuery> {
        if let Term::Text(pattern) = term {
            return Ok(Self::Pattern(pattern.clone()));
        }
        match tuple(term)? {
            ("string", [pattern]) => Ok(Self::Pattern(text(pattern)?)),
            ("attribute", [dn, name]) => Ok(Self::Attribute {
                dn: text(dn)?,
                name: text(name)?,
            }),
            _ => Err(wrong(term, "{string, \"…\"} or {attribute, \"DN\", \"name\"}")),
        }
    }
}

impl TagQuery {
    /// Reads the text of a list of `{tag, Query}`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, NoQuery> {
        Self::all_of(&term(text)?)
    }

    /// Reads such a list.
    ///
    /// # Errors
    /// When it is none.
    pub fn all_of(term: &Term) -> Result<Vec<Self>, NoQuery> {
        let Term::List(tags) = term else {
            return Err(wrong(term, "a list of {tag, Query}"));
        };
        let each = tags.iter().map(|tag| match tuple(tag)? {
            (name, [query]) => Ok(Self {
                tag: name.to_owned(),
                query: Query::of(query)?,
            }),
            _ => Err(wrong(tag, "{tag, Query}")),
        });
        each.collect()
    }
}

const QUERIES: &str = "a query: {constant, true or false}, {exists, \"DN\"}, {in_group, \"DN\"}, \
                       {in_group_nested, \"DN\"}, {match, Text, Text}, {equals, Text, Text}, {'not', Query}, \
                       {'and', [Query]}, {'or', [Query]} or {for, [{variable, value, Query}]}";

fn term(text: &str) -> Result<Term, NoQuery> {
    erlang::parse(&format!("{text}.")).map_err(|unreadable| NoQuery {
        line: None,
        expected: unreadable.expected.to_owned(),
    })
}

fn case(term: &Term) -> Result<Case, NoQuery> {
    let word = |term: &Term| match term {
        Term::Atom(word) | Term::Text(word) => Some(word.clone()),
        _ => None,
    };
    match tuple(term)? {
        (variable, [value, query]) => Ok(Case {
            variable: variable.to_owned(),
            value: word(value).ok_or_else(|| wrong(term, "a word as the value"))?,
            query: Query::of(query)?,
        }),
        _ => Err(wrong(term, "{variable, value, Query}")),
    }
}

fn tuple(term: &Term) -> Result<(&str, &[Term]), NoQuery> {
    if let Term::Tuple { items, .. } = term
        && let [Term::Atom(name), rest @ ..] = items.as_slice()
    {
        return Ok((name, rest));
    }
    Err(wrong(term, QUERIES))
}

fn text(term: &Term) -> Result<String, NoQuery> {
    match term {
        Term::Text(text) => Ok(text.clone()),
        other => Err(wrong(other, "a text in double quotes")),
    }
}

fn wrong(term: &Term, expected: &str) -> NoQuery {
    let line = match term {
        Term::Tuple { line, .. } => Some(*line),
        _ => None,
    };
    NoQuery {
        line,
        expected: format!("{expected}; not {term}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let query = Query::parse(
            "{for, [{permission, configure, {in_group, \"cn=a\"}}, {resource, queue, {'not', {exists, \"cn=${name}\"}}}]}",
        );
        let expected = Query::For(vec![
            Case {
                variable: "permission".into(),
                value: "configure".into(),
                query: Query::InGroup {
                    dn: "cn=a".into(),
                    attribute: "member".into(),
                },
            },
            Case {
                variable: "resource".into(),
                value: "queue".into(),
                query: Query::Not(Box::new(Query::Exists("cn=${name}".into()))),
            },
        ]);
        assert_eq!(query, Ok(expected));
        for good in [
            "{constant, true}",
            "{in_group_nested, \"cn=a\", \"uniqueMember\", singlelevel}",
            "{match, {attribute, \"${user_dn}\", \"mail\"}, {string, \"^a\"}}",
            "{equals, \"${vhost}\", <<\"a\">>}",
            "{'and', [{'or', []}]}",
        ] {
            assert!(Query::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_query_says_where_and_what_would_be() {
        for (bad, shown) in [
            ("{frobnicate, 1}", "{frobnicate, 1}"),
            ("{'and', [{constant, maybe}]}", "{constant, maybe}"),
            ("{in_group, cn}", "cn"),
            ("true", "true"),
            ("{match, {constant, true}, \"x\"}", "{constant, true}"),
        ] {
            let wrong = Query::parse(bad).expect_err(bad);
            assert!(
                wrong.expected.ends_with(&format!("; not {shown}")),
                "{}",
                wrong.expected
            );
        }
        assert!(Query::parse("{constant, true").is_err());
        assert_eq!(
            Query::of(&term("{'or',\n[\n{bad}]}").expect("a term"))
                .expect_err("none")
                .line,
            Some(3)
        );
    }

    #[test]
    fn tags_have_queries() {
        let tags = TagQuery::parse_all("[{administrator, {constant, false}}, {monitoring, {in_group, \"cn=m\"}}]");
        let tags = tags.expect("good ones");
        assert_eq!(tags[1].tag, "monitoring");
        assert!(TagQuery::parse_all("{administrator, {constant, false}}").is_err());
        assert!(TagQuery::parse_all("[administrator]").is_err());
    }
}
