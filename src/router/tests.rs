//! Exchanges joined to one another, and random bindings against a naive list of them.

use proptest::prelude::*;

use super::*;
use crate::exchange::Headers;
use crate::spec::Destination;
use crate::types::{FieldTable, MessageParts, NodeId, Traits};

/// Those from a hundred on are on other nodes.
impl Queue for u32 {
    fn is_here(&self) -> bool {
        *self < 100
    }
}

fn exchange(name: &str, kind: ExchangeKind) -> ExchangeSpec {
    ExchangeSpec {
        vhost: "/".into(),
        name: name.into(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        home: NodeId::default(),
        arguments: FieldTable::new(),
        user: "guest".into(),
    }
}

fn to_queue(source: &str, key: &str, queue: u32) -> (BindingSpec, Target<u32>) {
    let destination = Destination::Queue(queue.to_string().into());
    let binding = BindingSpec {
        source: source.into(),
        destination,
        key: key.into(),
        arguments: FieldTable::new(),
    };
    (binding, Target::Queue(queue))
}

fn to_exchange(source: &str, key: &str, name: &str) -> (BindingSpec, Target<u32>) {
    let destination = Destination::Exchange(name.into());
    let binding = BindingSpec {
        source: source.into(),
        destination,
        key: key.into(),
        arguments: FieldTable::new(),
    };
    (binding, Target::Exchange(name.into()))
}

fn input<'a>(exchange: &'a str, keys: &'a [&'a [u8]], headers: Option<&'a [u8]>) -> RouteInput<'a> {
    RouteInput {
        exchange,
        keys,
        headers: Headers::new(headers),
        message_id: None,
        correlation_id: None,
        timestamp: None,
        delayed: false,
    }
}

fn routed(router: &Router<u32>, exchange: &str, key: &str) -> Vec<u32> {
    let mut out = Routed::default();
    router.route(&input(exchange, &[key.as_bytes()], None), &mut || 0, &mut out);
    out.queues
}

fn router(exchanges: &[(&str, ExchangeKind)], bindings: &[(BindingSpec, Target<u32>)]) -> Router<u32> {
    let mut router = Router::new();
    exchanges
        .iter()
        .for_each(|(name, kind)| router.declare(&exchange(name, *kind)));
    bindings
        .iter()
        .for_each(|(binding, target)| router.bind(binding, target));
    router
}

#[test]
fn a_local_random_exchange_takes_queues_of_this_node_only() {
    let all = [100, 1, 101, 2];
    let bindings: Vec<_> = all.iter().map(|queue| to_queue("x", "", *queue)).collect();
    let kinds = [("x", ExchangeKind::LocalRandom)];
    let router = router(&kinds, &bindings);
    let input = input("x", &[b""], None);
    let picked = [0, 1, 2, 3].map(|chance| {
        let mut out = Routed::default();
        router.route(&input, &mut || chance, &mut out);
        out.queues
    });
    assert_eq!(picked, [[1], [2], [1], [2]]);
    let mut away = self::router(&kinds, &[to_queue("x", "", 100)]);
    assert_eq!(routed(&away, "x", ""), [0; 0], "there is none on this node");
    away.declare(&exchange("rest", ExchangeKind::Fanout));
    let (binding, target) = to_queue("rest", "", 7);
    away.bind(&binding, &target);
    away.set_alternate("x", Some("rest".into()));
    assert_eq!(routed(&away, "x", ""), [7]);
}

#[test]
fn exchanges_bound_in_a_circle_route_once() {
    let router = router(
        &[("a", ExchangeKind::Fanout), ("b", ExchangeKind::Fanout)],
        &[
            to_exchange("a", "", "b"),
            to_exchange("b", "", "a"),
            to_queue("a", "", 1),
            to_queue("b", "", 1),
            to_queue("b", "", 2),
        ],
    );
    assert_eq!(routed(&router, "a", "x"), [1, 2]);
    assert_eq!(routed(&router, "b", "x"), [1, 2]);
}

#[test]
fn an_alternate_exchange_gets_what_has_no_target() {
    let mut router = router(
        &[("main", ExchangeKind::Direct), ("rest", ExchangeKind::Fanout)],
        &[to_queue("main", "k", 1), to_queue("rest", "", 2)],
    );
    router.set_alternate("main", Some("rest".into()));
    assert_eq!(routed(&router, "main", "k"), [1]);
    assert_eq!(routed(&router, "main", "other"), [2]);
    router.delete(&"rest".into());
    assert_eq!(routed(&router, "main", "other"), [0; 0]);
}

#[test]
fn every_key_is_tried_and_each_queue_gets_one_copy() {
    let router = router(
        &[("e", ExchangeKind::Direct)],
        &[to_queue("e", "a", 1), to_queue("e", "b", 1), to_queue("e", "b", 2)],
    );
    let mut out = Routed::default();
    assert!(router.route(&input("e", &[b"a", b"b"], None), &mut || 0, &mut out));
    assert_eq!(out.queues, [1, 2]);
    assert!(!router.route(&input("missing", &[b"a"], None), &mut || 0, &mut out));
}

#[test]
fn bindings_that_differ_in_arguments_are_unbound_one_by_one() {
    let (plain, target) = to_queue("e", "k", 1);
    let mut other = plain.clone();
    other.arguments.set("a", FieldValue::I32(1));
    let mut router = router(
        &[("e", ExchangeKind::Direct)],
        &[(plain.clone(), target.clone()), (other.clone(), target)],
    );
    router.unbind(&plain, &Target::Queue(1));
    assert_eq!(routed(&router, "e", "k"), [1]);
    router.unbind(&other, &Target::Queue(1));
    assert_eq!(routed(&router, "e", "k"), [0; 0]);
}

#[test]
fn a_random_exchange_picks_one_of_its_bindings() {
    let router = router(
        &[("r", ExchangeKind::Random)],
        &[to_queue("r", "", 1), to_queue("r", "", 2), to_queue("r", "", 3)],
    );
    let picks: Vec<u32> = (0..3)
        .flat_map(|chance| {
            let mut out = Routed::default();
            router.route(&input("r", &[b""], None), &mut || chance, &mut out);
            assert!(!out.cacheable);
            out.queues
        })
        .collect();
    assert_eq!(picks, [1, 2, 3]);
}

#[test]
fn a_delayed_message_is_held_back_once() {
    let mut spec = exchange("d", ExchangeKind::DelayedMessage);
    spec.arguments.set("x-delayed-type", FieldValue::text("fanout"));
    let mut router = Router::new();
    router.declare(&spec);
    let (binding, target) = to_queue("d", "", 1);
    router.bind(&binding, &target);
    let mut headers = Vec::new();
    FieldTable(vec![("x-delay".into(), FieldValue::I32(50))]).encode(&mut headers);
    let mut out = Routed::default();
    let mut when = input("d", &[b""], Some(&headers));
    router.route(&when, &mut || 0, &mut out);
    assert_eq!((out.queues.len(), &out.delayed[..]), (0, &[("d".into(), 50)][..]));
    when.delayed = true;
    router.route(&when, &mut || 0, &mut out);
    assert_eq!((&out.queues[..], out.delayed.len()), (&[1][..], 0));
}

#[test]
fn recent_history_keeps_the_last_messages() {
    let mut spec = exchange("h", ExchangeKind::RecentHistory);
    spec.arguments.set("x-recent-history-length", FieldValue::I32(2));
    let mut router: Router<u32> = Router::new();
    router.declare(&spec);
    let mut out = Routed::default();
    for body in [b"1", b"2", b"3"] {
        router.route(&input("h", &[b""], None), &mut || 0, &mut out);
        let parts = MessageParts {
            exchange: b"h",
            routing_key: b"",
            properties: &[0, 0],
            traits: Traits::default(),
        };
        let message = Message::new(parts, body, &mut Vec::new());
        for name in &out.remembered {
            router.remember(name, &message);
        }
    }
    let kept: Vec<_> = router
        .history_for("h")
        .iter()
        .map(|message| message.body().to_vec())
        .collect();
    assert_eq!(kept, [b"2", b"3"]);
}

#[test]
fn a_queue_of_weight_two_gets_twice_the_share() {
    let router = router(
        &[("c", ExchangeKind::ConsistentHash)],
        &[to_queue("c", "1", 1), to_queue("c", "2", 2)],
    );
    let heavy = (0..3000)
        .filter(|key| routed(&router, "c", &key.to_string()) == [2])
        .count();
    assert!((1850..2150).contains(&heavy), "{heavy} of 3,000");
}

#[derive(Clone, Debug)]
enum Step {
    Bind(usize, usize, u32),
    Unbind(usize, usize, u32),
    RemoveQueue(u32),
    DeleteExchange(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize, 0..3usize, 0..25u32).prop_map(|(e, k, q)| Step::Bind(e, k, q)),
        2 => (0..3usize, 0..3usize, 0..25u32).prop_map(|(e, k, q)| Step::Unbind(e, k, q)),
        1 => (0..25u32).prop_map(Step::RemoveQueue),
        1 => (0..3usize).prop_map(Step::DeleteExchange),
    ]
}

proptest! {
    #[test]
    fn routing_agrees_with_a_list_of_bindings(steps in proptest::collection::vec(step(), 1..120)) {
        const EXCHANGES: [(&str, ExchangeKind); 3] =
            [("d", ExchangeKind::Direct), ("f", ExchangeKind::Fanout), ("t", ExchangeKind::Topic)];
        const KEYS: [&str; 3] = ["a", "b", "a.b"];
        let mut router = router(&EXCHANGES, &[]);
        let mut model: Vec<(usize, usize, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Bind(e, k, q) => {
                    let (binding, target) = to_queue(EXCHANGES[e].0, KEYS[k], q);
                    router.bind(&binding, &target);
                    if !model.contains(&(e, k, q)) { model.push((e, k, q)); }
                }
                Step::Unbind(e, k, q) => {
                    let (binding, target) = to_queue(EXCHANGES[e].0, KEYS[k], q);
                    router.unbind(&binding, &target);
                    model.retain(|own| *own != (e, k, q));
                }
                Step::RemoveQueue(q) => {
                    router.remove_queue(&q);
                    model.retain(|(_, _, own)| *own != q);
                }
                Step::DeleteExchange(e) => {
                    router.delete(&EXCHANGES[e].0.into());
                    router.declare(&exchange(EXCHANGES[e].0, EXCHANGES[e].1));
                    model.retain(|(own, _, _)| *own != e);
                }
            }
            for (e, (name, kind)) in EXCHANGES.iter().enumerate() {
                for (k, key) in KEYS.iter().enumerate() {
                    let mut expected: Vec<u32> = model.iter()
                        .filter(|(own, bound, _)| *own == e && (*kind == ExchangeKind::Fanout || *bound == k))
                        .map(|(_, _, q)| *q).collect();
                    expected.sort_unstable();
                    expected.dedup();
                    let mut found = routed(&router, name, key);
                    found.sort_unstable();
                    prop_assert_eq!(found, expected);
                }
            }
            prop_assert_eq!(router.bindings_of.values().map(Vec::len).sum::<usize>(), model.len());
        }
    }
}

/// One that is bound, or asked: exchange, key, header.
type Bound = (usize, usize, bool);

fn bound() -> impl Strategy<Value = Bound> {
    (0..6usize, 0..5usize, any::<bool>())
}

proptest! {
    /// The route tester says what the router does, over any bindings between exchanges of most types.
    #[test]
    fn an_explanation_agrees_with_the_route(
        queues in proptest::collection::vec((bound(), 0..12u32), 0..25),
        exchanges in proptest::collection::vec((bound(), 0..6usize), 0..6),
        alternates in proptest::collection::vec((0..6usize, 0..6usize), 0..4),
        asked in bound(),
    ) {
        const EXCHANGES: [(&str, ExchangeKind); 6] = [
            ("d", ExchangeKind::Direct),
            ("f", ExchangeKind::Fanout),
            ("t", ExchangeKind::Topic),
            ("h", ExchangeKind::Headers),
            ("c", ExchangeKind::ConsistentHash),
            ("m", ExchangeKind::ModulusHash),
        ];
        const KEYS: [&str; 5] = ["a", "a.b", "#", "*.b", "7"];
        let arguments = |with: bool| match with {
            true => FieldTable::of(&[("n", FieldValue::I32(1))]),
            false => FieldTable::of(&[("n", FieldValue::I32(2)), ("x-match", FieldValue::text("any"))]),
        };
        let mut router = router(&EXCHANGES, &[]);
        for ((e, k, with), queue) in queues {
            let (mut binding, target) = to_queue(EXCHANGES[e].0, KEYS[k], queue);
            binding.arguments = arguments(with);
            router.bind(&binding, &target);
        }
        for ((e, k, with), to) in exchanges {
            let (mut binding, target) = to_exchange(EXCHANGES[e].0, KEYS[k], EXCHANGES[to].0);
            binding.arguments = arguments(with);
            router.bind(&binding, &target);
        }
        for (e, to) in alternates {
            router.set_alternate(EXCHANGES[e].0, Some(EXCHANGES[to].0.into()));
        }
        let (e, k, with) = asked;
        let mut headers = Vec::new();
        arguments(with).encode(&mut headers);
        let keys = [KEYS[k].as_bytes()];
        let input = input(EXCHANGES[e].0, &keys, Some(&headers));
        let mut out = Routed::default();
        prop_assert!(router.route(&input, &mut || 0, &mut out));
        let explained = router.explain(&input).expect("it is there");
        let mut expected = out.queues;
        let mut found: Vec<u32> = explained.queues.iter().map(|(queue, _)| *queue).collect();
        expected.sort_unstable();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
        prop_assert!(explained.is_certain);
    }
}

#[test]
fn an_explanation_names_what_was_tried_and_why_not() {
    use crate::exchange::Why;
    use explain::Verdict;
    let mut router = router(
        &[
            ("t", ExchangeKind::Topic),
            ("f", ExchangeKind::Fanout),
            ("r", ExchangeKind::Random),
        ],
        &[
            to_queue("t", "order.#", 1),
            to_queue("t", "mail.*", 2),
            to_exchange("t", "order.paid", "f"),
            to_queue("r", "", 4),
            to_queue("r", "", 5),
        ],
    );
    router.set_alternate("f", Some("r".into()));
    let explained = router
        .explain(&input("t", &[b"order.paid"], None))
        .expect("it is there");
    let steps: Vec<_> = explained.steps.iter().map(|step| step.exchange.as_str()).collect();
    assert_eq!(steps, ["t", "f", "r"]);
    let verdicts: Vec<_> = explained.steps[0].tried.iter().map(|tried| tried.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Takes, Verdict::Refuses(Why::PatternDiffers), Verdict::Takes]
    );
    assert_eq!(explained.steps[1].alternate.as_deref(), Some("r"));
    let reached: Vec<_> = explained
        .queues
        .iter()
        .map(|(queue, via)| (*queue, via.as_str()))
        .collect();
    assert_eq!(reached, [(1, "t"), (4, "r"), (5, "r")]);
    assert!(!explained.is_certain, "chance decides");
    assert!(router.explain(&input("none", &[b"a"], None)).is_none());
}
