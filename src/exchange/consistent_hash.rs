//! `x-consistent-hash`: a target by the hash of the routing key, a header or a property; the
//! binding key is a weight (RabbitMQ, "Consistent Hash Exchange").
//!
//! A binding of weight w owns w buckets; jump consistent hashing chooses the bucket, so that a new
//! bucket takes only its share from the others.

use super::exchange_type::{Deciding, ExchangeType, ExchangeTypeSpec, NewBinding, Queue, RouteInput, Target};
use crate::spec::exchange_arguments::{Bad, ExchangeArgument, text};
use crate::spec::shape::{Kind, Shape};
use crate::spec::term::binary;
use crate::spec::{BindingSpec, SpecError};
use crate::types::{FieldTable, FieldValue};

pub(super) static TYPE: ExchangeTypeSpec =
    ExchangeTypeSpec::new("x-consistent-hash", "Consistent Hashing Exchange", Deciding::Together)
        .takes(&[
            ExchangeArgument::new("hash-header", text).asks(
                Shape::any(Kind::Text),
                "The header that is hashed instead of the routing key.",
            ),
            ExchangeArgument::new("hash-property", hash_property).asks(
                Shape::one_of(&["correlation_id", "message_id", "timestamp"]),
                "The property that is hashed instead of the routing key.",
            ),
        ])
        .checks(hashed_once)
        .checks_bindings(check_weight);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(arguments: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(ConsistentHash::new(arguments))
}

/// Most buckets one binding may own: a weight comes from a client.
const MAX_WEIGHT: usize = 1000;

/// The buckets in the order of binding.
pub struct ConsistentHash<Q> {
    buckets: Vec<Target<Q>>,
    by: HashBy,
}

enum HashBy {
    RoutingKey,
    Header(String),
    MessageId,
    CorrelationId,
    Timestamp,
}

impl<Q> ConsistentHash<Q> {
    /// Without bindings; the exchange's arguments say what is hashed.
    pub fn new(arguments: &FieldTable) -> Self {
        let text = |name| arguments.get(name).and_then(FieldValue::as_str);
        let by = match (text("hash-header"), text("hash-property")) {
            (Some(header), _) => HashBy::Header(header.to_owned()),
            (None, Some("message_id")) => HashBy::MessageId,
            (None, Some("correlation_id")) => HashBy::CorrelationId,
            (None, Some("timestamp")) => HashBy::Timestamp,
            (None, _) => HashBy::RoutingKey,
        };
        Self {
            buckets: Vec::new(),
            by,
        }
    }

    fn hash(&self, input: &RouteInput<'_>) -> u64 {
        match &self.by {
            HashBy::RoutingKey => hash(input.keys.first().copied().unwrap_or_default()),
            HashBy::Header(name) => {
                let mut bytes = Vec::new();
                if let Some(value) = input.headers.table().get(name) {
                    value.encode(&mut bytes);
                }
                hash(&bytes)
            }
            HashBy::MessageId => hash(input.message_id.unwrap_or_default()),
            HashBy::CorrelationId => hash(input.correlation_id.unwrap_or_default()),
            HashBy::Timestamp => hash(&input.timestamp.unwrap_or_default().to_be_bytes()),
        }
    }
}

impl<Q: Clone + Eq + Send + Sync> ExchangeType<Q> for ConsistentHash<Q> {
    fn bind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        self.buckets
            .extend(std::iter::repeat_n(target.clone(), weight(binding)));
    }

    fn unbind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        let mut left = weight(binding);
        self.buckets.retain(|own| {
            let drop = left > 0 && own == target;
            left -= usize::from(drop);
            !drop
        });
    }

    fn route(&self, input: &RouteInput<'_>, _: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        if !self.buckets.is_empty() {
            hit(&self.buckets[jump(self.hash(input), self.buckets.len())]);
        }
    }

    fn by_key_alone(&self) -> bool {
        matches!(self.by, HashBy::RoutingKey)
    }
}

fn weight(binding: &BindingSpec) -> usize {
    binding.key.parse().unwrap_or(1).min(MAX_WEIGHT)
}

/// FNV-1a with a final mix: the same for the same bytes in every process and version.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// Jump consistent hash (Lamping and Veach, 2014): a bucket below `buckets`, which is not 0.
fn jump(mut key: u64, buckets: usize) -> usize {
    let (mut bucket, mut next) = (0, 0);
    while next < buckets as u64 {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket as usize
}

/// The properties that an `x-consistent-hash` exchange can hash.
const HASH_PROPERTIES: [&[u8]; 3] = [b"correlation_id", b"message_id", b"timestamp"];

/// `hash-header` or `hash-property`, not both.
fn hashed_once(arguments: &FieldTable) -> Result<(), SpecError> {
    let has = |name| arguments.get(name).is_some();
    match has("hash-header") && has("hash-property") {
        true => Err(SpecError::HashedTwice),
        false => Ok(()),
    }
}

fn hash_property(value: &FieldValue) -> Result<(), Bad> {
    match value {
        FieldValue::LongString(name) if HASH_PROPERTIES.contains(&name.as_slice()) => Ok(()),
        FieldValue::LongString(name) => Err(Bad::Whole(SpecError::HashProperty(
            String::from_utf8_lossy(name).into_owned(),
        ))),
        _ => Err(Bad::Type),
    }
}

/// The key is a weight.
fn check_weight(binding: &NewBinding<'_>) -> Result<(), SpecError> {
    let key = binding.key;
    let digits = key.strip_prefix(['+', '-']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SpecError::WeightIsNoNumber(binary(key.as_bytes())));
    }
    match !key.starts_with('-') && digits.bytes().any(|byte| byte != b'0') {
        true => Ok(()),
        false => Err(SpecError::WeightTooSmall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_bucket_takes_only_its_share() {
        let keys: Vec<u64> = (0..10_000_u32).map(|key| hash(&key.to_be_bytes())).collect();
        let moved = keys.iter().filter(|key| jump(**key, 10) != jump(**key, 11)).count();
        assert!((700..1100).contains(&moved), "{moved} of 10,000 moved");
        assert!(
            keys.iter()
                .all(|key| jump(*key, 11) == jump(*key, 10) || jump(*key, 11) == 10)
        );
    }

    #[test]
    fn a_consistent_hash_binding_key_is_a_weight() {
        let key = |key| {
            let binding = NewBinding {
                key,
                arguments: &FieldTable::new(),
                destination: None,
            };
            check_weight(&binding).err().map(|error| error.to_string())
        };
        for good in ["1", "+2", "007", "99999999999999999999999"] {
            assert_eq!(key(good), None);
        }
        for zero in ["0", "-1", "-0"] {
            assert_eq!(key(zero).as_deref(), Some("The binding key must be greater than 0"));
        }
        assert_eq!(
            key("1.5").as_deref(),
            Some("The binding key must be an integer: <<\"1.5\">>")
        );
        assert_eq!(key("").as_deref(), Some("The binding key must be an integer: <<>>"));
        assert!(key("-").is_some());
    }
}
