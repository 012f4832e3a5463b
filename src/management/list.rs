//! Lists as the query asks for them: filtered, sorted and counted on keys, in pages, with chosen columns.
//!
//! The JSON of an item is made when it is shown, or when something is asked that its [`Item::key`] does not
//! know: of ten thousand queues a page costs what its hundred cost.

use std::cell::OnceCell;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::condition::Conditions;
use super::key::Key;
use super::page::{Columns, Page};
use super::query::Query;
use crate::types::sorting::sort_by;

/// Different values of a facet that are told, the most frequent first.
const FACET_VALUES: usize = 100;
/// Different values of a facet that are counted.
const COUNTED: usize = 10_000;

/// What can be listed.
pub trait Item: Sized {
    /// What is sorted and filtered by, where that is known without the JSON; `None` where it is not.
    fn key(&self, field: &str) -> Option<Key>;

    /// The item as it is shown.
    fn view(&self) -> Value;

    /// The same, for the last time.
    fn into_view(self) -> Value {
        self.view()
    }

    /// The field that a short word stands for.
    fn full_name(field: &str) -> &str {
        field
    }
}

/// JSON that is there already.
impl Item for Value {
    fn key(&self, field: &str) -> Option<Key> {
        Some(Key::from(at(self, field)))
    }

    fn view(&self) -> Value {
        self.clone()
    }

    fn into_view(self) -> Value {
        self
    }
}

/// Answers with a list; `order` are the fields it is sorted by unless the query names one.
pub fn listing<T: Item>(call: &Call, items: Vec<T>, order: &[&str]) -> Answered {
    list(&call.query, items, order).map(Answer::Json)
}

fn list<T: Item>(query: &Query, items: Vec<T>, order: &[&str]) -> Result<Value, Failure> {
    let facets = query.get("facets").filter(|facets| !facets.is_empty());
    let page = Page::of(query, facets.is_some())?;
    let conditions = Conditions::of(query.get("where").unwrap_or_default())?;
    let total = items.len();
    let mut rows = Vec::with_capacity(total);
    for item in items {
        let row = Row {
            item,
            view: OnceCell::new(),
        };
        if page.as_ref().map_or(Ok(true), |page| page.takes(|| row.key("name")))?
            && conditions.hold(|field| row.key(field))
        {
            rows.push(row);
        }
    }
    let filtered = rows.len();
    let facets = facets.map(|fields| counted(&rows, fields));
    let places = sorted(query, &rows, order);
    let shown = match &page {
        Some(page) => page.cut(places)?,
        None => places,
    };
    let columns = Columns::of(query);
    let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
    let shown = shown
        .into_iter()
        .filter_map(|place| rows[place].take())
        .map(Row::into_view);
    let shown: Vec<Value> = match &columns {
        Some(columns) => shown.map(|item| columns.chosen(&item)).collect(),
        None => shown.collect(),
    };
    let Some(page) = page else {
        return Ok(shown.into());
    };
    let mut answer = json!({
        "filtered_count": filtered,
        "item_count": shown.len(),
        "items": shown,
        "page": page.number,
        "page_count": filtered.div_ceil(page.size),
        "page_size": page.size,
        "total_count": total,
    });
    if let Some(facets) = facets {
        answer["facets"] = facets;
    }
    Ok(answer)
}

/// An item, and its JSON once it was needed.
struct Row<T> {
    item: T,
    view: OnceCell<Value>,
}

impl<T: Item> Row<T> {
    fn key(&self, field: &str) -> Key {
        let field = T::full_name(field);
        let known = self.item.key(field);
        known.unwrap_or_else(|| Key::from(at(self.view.get_or_init(|| self.item.view()), field)))
    }

    fn into_view(self) -> Value {
        let item = self.item;
        self.view.into_inner().unwrap_or_else(|| item.into_view())
    }
}

/// The places of the rows by the field that the query names, then by `order`: rows are large, and stay where they are.
fn sorted<T: Item>(query: &Query, rows: &[Row<T>], order: &[&str]) -> Vec<usize> {
    let asked = query.get("sort").filter(|field| !field.is_empty());
    let fields: Vec<&str> = asked.into_iter().chain(order.iter().copied()).collect();
    let keys = |row: &Row<T>| fields.iter().map(|field| row.key(field)).collect::<Vec<_>>();
    let mut keyed: Vec<_> = rows.iter().map(keys).zip(0..).collect();
    let compare = |a: &[Key], b: &[Key]| {
        let mut pairs = a.iter().zip(b).map(|(a, b)| a.compare(b));
        pairs.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    };
    match query.is_true("sort_reverse") {
        true => sort_by(&mut keyed, |(a, _), (b, _)| compare(b, a)),
        false => sort_by(&mut keyed, |(a, _), (b, _)| compare(a, b)),
    }
    keyed.into_iter().map(|(_, place)| place).collect()
}

/// How many rows have which value of each field.
fn counted<T: Item>(rows: &[Row<T>], fields: &str) -> Value {
    let facets = fields.split(',').map(|field| {
        let mut counts = HashMap::<String, usize>::new();
        for name in rows.iter().filter_map(|row| row.key(field).name()) {
            if counts.len() < COUNTED || counts.contains_key(&name) {
                *counts.entry(name).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        sort_by(&mut counts, |(a, n), (b, m)| (Reverse(n), a).cmp(&(Reverse(m), b)));
        counts.truncate(FACET_VALUES);
        let counts: Map<_, _> = counts.into_iter().map(|(name, count)| (name, json!(count))).collect();
        (field.to_owned(), counts.into())
    });
    facets.collect::<Map<_, _>>().into()
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
    fn conditions_choose_from_lists_and_pages() {
        assert_eq!(names("where=messages%3E1").expect("a list"), ["a", "b"]);
        assert_eq!(
            names("page=1&where=messages%3C3,name!=d").expect("a page"),
            ["Order", "b"]
        );
        assert_eq!(refused("where=messages").1, "where: 'messages' is no condition");
    }

    #[test]
    fn facets_count_what_the_filter_leaves() {
        let mut items = items();
        items.push(json!({"name": "e", "messages": 3, "down": true}));
        let listed = list(&query("facets=messages,down,none&where=messages%3E1"), items, &["name"]);
        let listed = listed.expect("a page");
        assert_eq!(
            listed["facets"].to_string(),
            r#"{"messages":{"3":2,"2":1},"down":{"true":1},"none":{}}"#
        );
        assert_eq!((&listed["page"], &listed["total_count"]), (&json!(1), &json!(5)));
        assert_eq!(listed["filtered_count"], 3);
    }

    /// An item that says how often its JSON was made.
    struct Lazy<'a>(u64, &'a std::cell::Cell<usize>);

    impl Item for Lazy<'_> {
        fn key(&self, field: &str) -> Option<Key> {
            (field == "number").then(|| Key::from(self.0))
        }

        fn view(&self) -> Value {
            self.1.set(self.1.get() + 1);
            json!({"number": self.0, "odd": self.0 % 2 == 1})
        }

        fn full_name(field: &str) -> &str {
            if field == "n" { "number" } else { field }
        }
    }

    #[test]
    fn only_what_is_shown_is_made() {
        let made = std::cell::Cell::new(0);
        let lazy = || (0..1000).map(|number| Lazy(number, &made)).collect::<Vec<_>>();
        let asked = "page=2&page_size=10&sort=n&sort_reverse=true&where=n%3E100";
        let page = list(&query(asked), lazy(), &[]).expect("a page");
        assert_eq!(page["items"][0]["number"], 989);
        assert_eq!(page["filtered_count"], 899);
        assert_eq!(made.replace(0), 10);
        // What has no key is looked up, once for each.
        let page = list(&query("page=1&page_size=10&where=odd=true&facets=odd"), lazy(), &["n"]).expect("a page");
        assert_eq!(page["facets"]["odd"]["true"], 500);
        assert_eq!(made.get(), 1000);
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
