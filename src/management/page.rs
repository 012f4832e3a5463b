//! Lists as the query asks for them: sorted, filtered by name, in pages, with chosen columns.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::query::Query;
use crate::pattern::{Pattern, TooManySteps};

/// Entries on a page unless the query says otherwise.
const PAGE_SIZE: usize = 100;
/// Most entries on a page.
const MAX_PAGE_SIZE: usize = 500;

/// Answers with a list; `order` are the fields it is sorted by unless the query names one.
pub fn listing(call: &Call, items: Vec<Value>, order: &[&str]) -> Answered {
    list(&call.query, items, order).map(Answer::Json)
}

/// Answers with one thing, with the columns asked for.
pub fn single(call: &Call, item: Value) -> Answered {
    Ok(Answer::Json(match Columns::of(&call.query) {
        Some(columns) => columns.chosen(&item),
        None => item,
    }))
}

fn list(query: &Query, mut items: Vec<Value>, order: &[&str]) -> Result<Value, Failure> {
    let page = Page::of(query)?;
    sort(query, &mut items, order);
    let total = items.len();
    if let Some(page) = &page
        && let Some(filter) = &page.filter
    {
        items = filter.taken(items).map_err(|error| Failure::bad(error.to_string()))?;
    }
    let filtered = items.len();
    let shown = match &page {
        Some(page) => page.cut(items)?,
        None => items,
    };
    let columns = Columns::of(query);
    let shown: Vec<Value> = match &columns {
        Some(columns) => shown.iter().map(|item| columns.chosen(item)).collect(),
        None => shown,
    };
    Ok(match page {
        None => shown.into(),
        Some(page) => json!({
            "filtered_count": filtered,
            "item_count": shown.len(),
            "items": shown,
            "page": page.number,
            "page_count": filtered.div_ceil(page.size),
            "page_size": page.size,
            "total_count": total,
        }),
    })
}

/// A page that is asked for.
struct Page {
    /// Counted from 1.
    number: usize,
    size: usize,
    filter: Option<Filter>,
}

enum Filter {
    /// Names that contain the text in any case.
    Contains(String),
    Matches(Pattern),
}

impl Page {
    /// `None` when the query asks for no page: then there is the whole list.
    fn of(query: &Query) -> Result<Option<Self>, Failure> {
        let Some(number) = query.get("page") else {
            return Ok(None);
        };
        let invalid = || Failure::bad("Pagination parameters are invalid");
        let number: i64 = number.parse().map_err(|_| invalid())?;
        let size: Option<i64> = match query.get("page_size") {
            None | Some("") => None,
            Some(size) => Some(size.parse().map_err(|_| invalid())?),
        };
        let in_range = |value: i64, most: usize| usize::try_from(value).ok().filter(|v| (1..=most).contains(v));
        let filter = match query.get("name") {
            None | Some("") => None,
            Some(text) if query.is_true("use_regex") => {
                let pattern = Pattern::ignoring_case(text).map_err(|_| invalid())?;
                Some(Filter::Matches(pattern))
            }
            Some(text) => Some(Filter::Contains(text.to_lowercase())),
        };
        let given = in_range(number, usize::MAX).zip(in_range(size.unwrap_or(PAGE_SIZE as i64), MAX_PAGE_SIZE));
        let Some((number, size)) = given else {
            let size = size.map_or_else(|| "undefined".to_owned(), |size| size.to_string());
            return Err(Failure::BadPage {
                error: "invalid_pagination_parameters",
                reason: format!("Invalid pagination parameters: page number {number}, page size {size}"),
            });
        };
        Ok(Some(Self { number, size, filter }))
    }

    fn cut(&self, items: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let start = (self.number - 1).saturating_mul(self.size);
        if start >= items.len() && self.number > 1 {
            return Err(Failure::BadPage {
                error: "page_out_of_range",
                reason: format!(
                    "Page out of range, page: {} page size: {}, len: {}",
                    self.number,
                    self.size,
                    items.len()
                ),
            });
        }
        Ok(items.into_iter().skip(start).take(self.size).collect())
    }
}

impl Filter {
    /// The items whose name it takes.
    fn taken(&self, items: Vec<Value>) -> Result<Vec<Value>, TooManySteps> {
        let mut taken = Vec::new();
        for item in items {
            let takes = match item["name"].as_str() {
                Some(name) => self.takes(name)?,
                None => false,
            };
            if takes {
                taken.push(item);
            }
        }
        Ok(taken)
    }

    fn takes(&self, name: &str) -> Result<bool, TooManySteps> {
        match self {
            Self::Contains(text) => Ok(name.to_lowercase().contains(text.as_str())),
            Self::Matches(pattern) => pattern.find(name),
        }
    }
}

fn sort(query: &Query, items: &mut [Value], order: &[&str]) {
    let asked = query.get("sort").filter(|field| !field.is_empty());
    let reverse = query.is_true("sort_reverse");
    items.sort_by(|a, b| {
        let by_asked = asked.map_or(Ordering::Equal, |field| compare(at(a, field), at(b, field)));
        let by_order = || {
            let fields = order.iter().map(|field| compare(at(a, field), at(b, field)));
            fields.fold(Ordering::Equal, Ordering::then)
        };
        let ordering = by_asked.then_with(by_order);
        if reverse { ordering.reverse() } else { ordering }
    });
}

/// The value at a dotted path.
fn at<'a>(item: &'a Value, path: &str) -> &'a Value {
    match item.get(path) {
        Some(value) => value,
        None => path
            .split('.')
            .try_fold(item, |value, part| value.get(part))
            .unwrap_or(&Value::Null),
    }
}

/// Nothing before numbers before texts.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::Bool(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) | Value::Object(_) => 4,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// The fields asked for, by dotted paths.
struct Columns<'a>(Vec<Vec<&'a str>>);

impl<'a> Columns<'a> {
    fn of(query: &'a Query) -> Option<Self> {
        let columns = query.get("columns").filter(|columns| !columns.is_empty())?;
        Some(Self(columns.split(',').map(|path| path.split('.').collect()).collect()))
    }

    fn chosen(&self, item: &Value) -> Value {
        let paths: Vec<&[&str]> = self.0.iter().map(Vec::as_slice).collect();
        chosen(item, &paths)
    }
}

/// What of a value lies on the paths, in the value's own order.
fn chosen(item: &Value, paths: &[&[&str]]) -> Value {
    let mut out = Map::new();
    for (field, value) in item.as_object().into_iter().flatten() {
        let below: Vec<&[&str]> = paths
            .iter()
            .filter(|path| path.first() == Some(&field.as_str()))
            .map(|path| &path[1..])
            .collect();
        if below.iter().any(|path| path.is_empty()) {
            out.insert(field.clone(), value.clone());
        } else if !below.is_empty() && value.is_object() {
            out.insert(field.clone(), chosen(value, &below));
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/?{text}").parse().expect("a URL"))
    }

    fn items() -> Vec<Value> {
        [("b", 2), ("a", 3), ("Order", 1), ("d", 0)]
            .map(|(name, messages)| json!({"name": name, "messages": messages, "stats": {"x": messages, "y": 0}}))
            .to_vec()
    }

    fn names(asked: &str) -> Result<Vec<String>, Failure> {
        let listed = list(&query(asked), items(), &["name"])?;
        let items = listed
            .get("items")
            .unwrap_or(&listed)
            .as_array()
            .expect("a list")
            .clone();
        Ok(items
            .iter()
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect())
    }

    fn refused(asked: &str) -> (String, String) {
        match names(asked) {
            Err(Failure::BadPage { error, reason }) => (error.to_owned(), reason),
            Err(Failure::Bad(reason)) => ("bad_request".to_owned(), reason.as_str().expect("a text").to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_is_sorted_by_what_is_asked() {
        assert_eq!(names("").expect("a list"), ["Order", "a", "b", "d"]);
        assert_eq!(names("sort=messages").expect("a list"), ["d", "Order", "b", "a"]);
        assert_eq!(
            names("sort=stats.x&sort_reverse=true").expect("a list"),
            ["a", "b", "Order", "d"]
        );
        assert_eq!(names("sort=nonsense").expect("a list"), ["Order", "a", "b", "d"]);
    }

    #[test]
    fn a_page_says_where_it_stands() {
        let page = list(&query("page=2&page_size=3"), items(), &["name"]).expect("a page");
        assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(page["page_count"], 2);
        assert_eq!(page["total_count"], 4);
        assert_eq!(page["filtered_count"], 4);
    }

    #[test]
    fn names_are_filtered_by_text_or_pattern() {
        assert_eq!(names("page=1&name=ord").expect("a page"), ["Order"]);
        assert_eq!(
            names("page=1&name=%5E%5Bab%5D&use_regex=true").expect("a page"),
            ["a", "b"]
        );
        assert_eq!(names("page=1&name=none").expect("an empty page"), [""; 0]);
        assert_eq!(
            refused("page=1&name=%28&use_regex=true").1,
            "Pagination parameters are invalid"
        );
    }

    #[test]
    fn pages_that_are_none_are_refused() {
        assert_eq!(refused("page=abc").1, "Pagination parameters are invalid");
        assert_eq!(
            refused("page=0").1,
            "Invalid pagination parameters: page number 0, page size undefined"
        );
        assert_eq!(refused("page=1&page_size=501").0, "invalid_pagination_parameters");
        assert_eq!(
            refused("page=99&page_size=3").1,
            "Page out of range, page: 99 page size: 3, len: 4"
        );
    }

    #[test]
    fn columns_are_taken_by_path() {
        let listed = |columns| list(&query(columns), items(), &["name"]).expect("a list")[0].to_string();
        assert_eq!(listed("columns=stats.x,name"), r#"{"name":"Order","stats":{"x":1}}"#);
        assert_eq!(listed("columns=stats.x,stats"), r#"{"stats":{"x":1,"y":0}}"#);
        assert_eq!(listed("columns=name.x,none,,a..b"), "{}");
    }
}
