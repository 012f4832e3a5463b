//! A ledger as a row of pieces, and back.
//!
//! ```text
//! u8 version │ u8 HEAD     │ next seq │ delivered up to │ (u64 producer │ since? │ its number │ seq) …
//! u8 version │ u8 MESSAGES │ (seq − the one before │ count │ dead? │ 24 bytes meta │ length │ stored form) …
//! u8 version │ u8 END      │ messages
//! ```
//!
//! Whether a message is dead, and why, is there in version 2 only, which is for pieces with dead ones;
//! since when all of a producer was taken, too: where no head has it, nothing was ever refused.
//! Numbers are as in records. The same ledger gives the same bytes on every member: where a body
//! lies is not in them.

use std::sync::Arc;
use std::{io, vec};

use bytes::Bytes;

use super::living::{Block, One};
use super::pieces::{FORMAT, FORMAT_DISCARDED, MESSAGES, each_message};
use super::{Known, Ledger, known_meta, reading};
use crate::machine::{Parts, Source, Unreadable};
use crate::queue::record::{Input, MAX_SEQ, ProducerId, put_number};
use crate::queue::sink::{DeathReason, META_LEN};

/// A head with producers of whom something was refused; the version before cannot read it.
const FORMAT_REFUSED: u8 = 2;
/// The oldest and the newest that are written and read.
pub const FORMATS: [u8; 2] = [FORMAT, FORMAT_REFUSED];
const HEAD: u8 = 1;
const END: u8 = 3;

/// Bytes after which a piece of messages ends.
const PIECE: usize = 256 * 1024;

/// The pieces of a ledger, made as they are asked for.
pub(super) struct Pieces {
    head: Option<Bytes>,
    blocks: vec::IntoIter<Arc<Block>>,
    /// The block that is being written, and its next slot.
    current: Option<(Arc<Block>, usize)>,
    source: Option<Arc<dyn Source>>,
    written: u64,
    is_over: bool,
}

impl Pieces {
    pub fn of(ledger: &Ledger) -> Self {
        let producers = ledger.producers.in_order();
        let some_refused = producers.iter().any(|(_, known)| known.since > 1);
        let format = if some_refused { FORMAT_REFUSED } else { FORMAT };
        let mut head = vec![format, HEAD];
        put_number(&mut head, ledger.next_seq());
        put_number(&mut head, ledger.delivered_up_to);
        for (id, known) in producers {
            head.extend_from_slice(&id.0.to_le_bytes());
            if some_refused {
                put_number(&mut head, known.since);
            }
            put_number(&mut head, known.number);
            put_number(&mut head, known.seq);
        }
        Self {
            head: Some(head.into()),
            blocks: ledger.living.blocks().into_iter(),
            current: None,
            source: ledger.source.clone(),
            written: 0,
            is_over: false,
        }
    }

    fn next_message(&mut self) -> Option<One> {
        loop {
            if let Some((block, at)) = &mut self.current
                && let Some((one, next)) = block.living_from(*at)
            {
                *at = next;
                return Some(one);
            }
            self.current = Some((self.blocks.next()?, 0));
        }
    }

    fn messages(&mut self) -> io::Result<Bytes> {
        let mut run = Vec::new();
        let mut bytes = 0;
        while bytes < PIECE
            && let Some(one) = self.next_message()
        {
            bytes += one.stored_len as usize + META_LEN;
            run.push(one);
        }
        let elsewhere = run.iter().filter(|one| one.stored.is_empty());
        let elsewhere: Vec<_> = elsewhere.map(|one| (one.seq, one.place)).collect();
        let mut read = reading::read(self.source.as_deref(), &elsewhere).into_iter();
        let mut piece = Vec::with_capacity(bytes + 16 * run.len() + 16);
        let format = match run.iter().any(|one| one.discarded.is_some()) {
            true => FORMAT_DISCARDED,
            false => FORMAT,
        };
        piece.extend([format, MESSAGES]);
        let mut before = 0;
        for one in run {
            let stored = match one.stored.is_empty() {
                true => read.next().unwrap_or_else(reading::gone)?,
                false => one.stored,
            };
            if stored.len() != one.stored_len as usize {
                return Err(io::Error::other(format!(
                    "the body of message {} is another's",
                    one.seq
                )));
            }
            put_number(&mut piece, one.seq - before);
            before = one.seq;
            put_number(&mut piece, one.count.into());
            if format == FORMAT_DISCARDED {
                piece.push(one.discarded.map_or(0, DeathReason::code));
            }
            piece.extend_from_slice(&one.meta);
            put_number(&mut piece, stored.len() as u64);
            piece.extend_from_slice(&stored);
            self.written += 1;
        }
        if before == 0 {
            piece[1] = END;
            put_number(&mut piece, self.written);
            self.is_over = true;
        }
        Ok(piece.into())
    }
}

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(head) = self.head.take() {
            return Some(Ok(head));
        }
        if self.is_over {
            return None;
        }
        let piece = self.messages();
        self.is_over |= piece.is_err();
        Some(piece)
    }
}

/// Reads a snapshot into an empty ledger.
pub(super) fn read(mut ledger: Ledger, parts: Parts) -> Result<Ledger, Unreadable> {
    let damaged = || Unreadable::new("a queue's snapshot is damaged");
    let mut expected = HEAD;
    for piece in parts {
        let piece = piece?;
        let (&[version, kind], _) = piece.split_first_chunk().ok_or_else(damaged)?;
        let is_known = match kind {
            HEAD => version == FORMAT || version == FORMAT_REFUSED,
            MESSAGES => version == FORMAT || version == FORMAT_DISCARDED,
            _ => version == FORMAT,
        };
        if !is_known {
            return Err(Unreadable(format!(
                "format version {version} of a queue's snapshot is unknown; this version reads up to {FORMAT_DISCARDED}"
            )));
        }
        match (expected, kind) {
            (HEAD, HEAD) => {
                read_head(&mut ledger, &piece).ok_or_else(damaged)?;
                expected = MESSAGES;
            }
            (MESSAGES, MESSAGES) => read_messages(&mut ledger, &piece)?.ok_or_else(damaged)?,
            (MESSAGES, END) => {
                let mut input = Input { bytes: &piece, at: 2 };
                if input.number() != Some(ledger.living.len()) || !input.is_at_end() {
                    return Err(damaged());
                }
                expected = END;
            }
            _ => return Err(damaged()),
        }
    }
    if expected != END {
        return Err(Unreadable::new("a queue's snapshot is not whole"));
    }
    ledger.held = ledger.living.bytes();
    Ok(ledger)
}

fn read_head(ledger: &mut Ledger, piece: &[u8]) -> Option<()> {
    let some_refused = piece.first() == Some(&FORMAT_REFUSED);
    let mut input = Input { bytes: piece, at: 2 };
    ledger.next_seq = input.number().filter(|next| *next <= MAX_SEQ + 1)?;
    ledger.delivered_up_to = input.number().filter(|mark| *mark <= MAX_SEQ)?;
    while !input.is_at_end() {
        let producer = ProducerId(input.fixed()?);
        let known = Known {
            since: match some_refused {
                true => input.number()?,
                false => 1,
            },
            number: input.number()?,
            seq: input.number()?,
        };
        ledger.producers.restore(producer, known);
    }
    Some(())
}

/// `None` where the piece is damaged.
fn read_messages(ledger: &mut Ledger, piece: &Bytes) -> Result<Option<()>, Unreadable> {
    let mut last = 0;
    let mut fits = true;
    let mut known = Ok(());
    let whole = each_message(piece, |one| {
        if known.is_ok() {
            known = known_meta(&one.meta);
        }
        fits = fits && one.seq < ledger.next_seq && ledger.living.goes_on_with(one.seq);
        if fits {
            last = one.seq;
            ledger.living.push(one);
        }
    });
    known?;
    if whole.is_none() || !fits {
        return Ok(None);
    }
    ledger.shrink_window(last, piece.len() as u64);
    Ok(Some(()))
}
