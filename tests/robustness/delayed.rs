//! Exchanges that hold messages back: every publish is answered.

use lapin::ExchangeKind;

use super::frames::{all_acked, confirming, delayed, method, publish_with};
use crate::support::*;

const MANY: usize = 400;

async fn with_exchange(broker: &Broker) -> Client {
    let client = broker.client().await;
    let kind = ExchangeKind::Custom("x-delayed-message".into());
    client
        .exchange("later", kind, table([("x-delayed-type", text("fanout"))]))
        .await;
    client
}

fn burst() -> Vec<u8> {
    publish_with("later", "", &delayed(3_600_000), b"m").repeat(MANY)
}

#[tokio::test]
async fn confirms_that_come_while_others_are_still_read_are_not_lost() {
    let broker = Broker::start();
    let _client = with_exchange(&broker).await;
    let mut raw = confirming(&broker);
    raw.send(&burst());
    assert_eq!(all_acked(&mut raw, MANY), []);
}

#[tokio::test]
async fn who_waits_for_a_confirm_hears_of_it_though_the_exchange_is_deleted() {
    let broker = Broker::start();
    let _client = with_exchange(&broker).await;
    let mut raw = confirming(&broker);
    let delete = [&[0, 0][..], &short("later"), &[0]].concat();
    raw.send(&[burst(), method(1, (40, 20), &delete)].concat());
    let others = all_acked(&mut raw, MANY);
    if others.is_empty() {
        raw.expect(40, 21);
    } else {
        assert_eq!(others, [(40, 21)]);
    }
}
